/* What a simulated run will be: the options and the schedule that are drawn from a seed. A plan is
 * plain data, so that a part of it can be taken out (shrinking) and the rest repeated. */
#ifndef ENGINE_SIM_SIM_PLAN_H
#define ENGINE_SIM_SIM_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIM_ACTS_MAX = 256, SIM_RULE_TEXT_MAX = 96 };

/* What is done to the server; A(SYMBOL, "word", "meaning of a, b"). */
#define SIM_ACTS(A)                                                                                \
    A(RELOAD, "reload", "a valid configuration, then HUP; a: workers, b: 1 wait for the outcome")  \
    A(BAD_RELOAD, "bad-reload", "an invalid configuration, then HUP")                              \
    A(SIGNAL_MASTER, "signal-master", "a: signal")                                                 \
    A(SIGNAL_WORKER, "signal-worker", "a: signal, b: which of the live workers")                   \
    A(SIGNAL_ALL, "signal-all", "every worker at once; a: signal")                                 \
    A(STORM, "storm", "signals to the master, 1 ms apart; a: signal, 0 mixed; b: how many")        \
    A(ASK, "ask", "USR1, and its effect is waited for")                                            \
    A(ARM, "arm", "a fault rule; a: number of its text, b: for how many ms")                       \
    A(SLOW, "slow", "a worker's turns come late; a: which, b: ms")                                 \
    A(FD_LIMIT, "fd-limit",                                                                        \
      "of all workers; a: descriptors, seen by them at their next heartbeat")                      \
    A(BURST, "burst", "new connections at the same moment; a: how many")                           \
    A(UPGRADE, "upgrade", "USR2; a: 0 the new binary becomes ready, 1 it ends, 2 it stalls")
enum sim_act_kind {
#define A(symbol, word, meaning) SIM_ACT_##symbol,
    SIM_ACTS(A)
#undef A
        SIM_ACT_COUNT
};

struct sim_act {
    uint64_t at_ns; /* after the act phase began */
    uint16_t kind;  /* enum sim_act_kind */
    bool skipped;   /* taken out by the shrinker */
    uint32_t a, b;
};

/* The fault rules that ARM knows; `weight` of them is drawn. R(SYMBOL, "rule", "with a seed") */
#define SIM_RULES(R)                                                                               \
    R(CRASH_BOOT, "worker.boot crash=SEGV chance=1/2")                                             \
    R(EXIT_BOOT, "worker.boot exit=3")                                                             \
    R(CRASH_READY, "worker.ready crash=ABRT chance=1/3")                                           \
    R(CRASH_REQUEST, "worker.request crash=SEGV chance=1/40")                                      \
    R(CRASH_DRAIN, "worker.drain crash=SEGV chance=1/2")                                           \
    R(STALL_BOOT, "worker.boot stall chance=1/3")                                                  \
    R(STALL_LOOP, "worker.loop stall chance=1/2000")                                               \
    R(DELAY_BOOT, "worker.boot delay=300ms")                                                       \
    R(DELAY_ACCEPT, "net.accept delay=20ms")                                                       \
    R(FORK_EAGAIN, "proc.fork errno=EAGAIN chance=1/2 role=master")                                \
    R(PAIR_EMFILE, "net.socketpair errno=EMFILE chance=1/2 role=master")                           \
    R(WAIT_EINTR, "proc.waitpid errno=EINTR chance=1/2 role=master")                               \
    R(KILL_EPERM, "proc.kill errno=EPERM chance=1/2 role=master")                                  \
    R(SEND_EAGAIN, "net.sendmsg errno=EAGAIN chance=1/2 role=worker")                              \
    R(ACCEPT_EMFILE, "net.accept errno=EMFILE chance=1/10")                                        \
    R(ACCEPT_NEVER, "net.accept errno=EMFILE")                                                     \
    R(RECV_RESET, "net.recv errno=ECONNRESET chance=1/100")                                        \
    R(SEND_EPIPE, "net.send errno=EPIPE chance=1/100")
enum sim_rule {
#define R(symbol, text) SIM_RULE_##symbol,
    SIM_RULES(R)
#undef R
        SIM_RULE_COUNT
};
extern const char *const sim_rule_texts[SIM_RULE_COUNT];

/* What the run is about; only GENERAL ones mix everything. */
#define SIM_THEMES(T)                                                                              \
    T(GENERAL, "general")                                                                          \
    T(FD_LIMIT, "fd-limit")                                                                        \
    T(CONNECTIONS, "connections")                                                                  \
    T(SLOW_ACCEPT, "slow-accept")                                                                  \
    T(QUIET, "quiet")
enum sim_theme {
#define T(symbol, word) SIM_THEME_##symbol,
    SIM_THEMES(T)
#undef T
        SIM_THEME_COUNT
};

enum sim_stop { SIM_STOP_FAST, SIM_STOP_GRACEFUL, SIM_STOP_KILL }; /* as director.stop's a */

struct sim_plan {
    uint64_t seed;
    enum sim_theme theme;
    enum sim_stop stop;
    uint32_t workers, workers_later, connections, fd_limit, backlog, pid_max;
    bool multi_accept, reloads_wait, resizes;
    uint64_t drain_ns, watchdog_ns, backoff_min_ns, backoff_max_ns, reload_timeout_ns;
    uint64_t keepalive_ns, service_ns;        /* service: mean time of a handler */
    uint64_t latency_ns, delay_ns, jitter_ns; /* of the network and of processes' turns */
    uint32_t fresh_rate, pooled_rate, post_rate, long_rate; /* requests per second */
    uint32_t pool, held;
    uint64_t baseline_ns, act_ns, quiet_ns, converge_ns; /* quiet: without requests, 0 not */
    const char *user_plan; /* fault rules of the user's, armed for the whole run; NULL none */
    uint64_t delays_scale; /* of 16: how much of the drawn jitter is kept (shrinking) */
    size_t act_count;
    struct sim_act acts[SIM_ACTS_MAX];
};

void sim_plan_draw(struct sim_plan *plan, uint64_t seed);
/* The options, and the schedule, as lines for people. */
void sim_plan_print(const struct sim_plan *plan);
const char *sim_theme_word(enum sim_theme theme);

#endif
