/* What a simulated run will be: options, clients, and a schedule of what is done to the server.
 * Drawn from a seed, or read from a file (sim_schedule.h). A plan is plain data, so that a part of
 * it can be taken out (shrinking) and the rest repeated. */
#ifndef ENGINE_SIM_SIM_PLAN_H
#define ENGINE_SIM_SIM_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scenarios/history/hist.h"

enum {
    SIM_ACTS_MAX = 4096,
    SIM_LOADS_MAX = 12,
    SIM_BACKENDS_MAX = 8,
    SIM_TEXTS_MAX = 64,
    SIM_TEXT_MAX = 160,
    SIM_NAME_MAX = 32,
    SIM_RULES_ROOM = 1024,
};

/* ---- what is done -----------------------------------------------------------------------------
 */

/* A(SYMBOL, "word", "arguments", "meaning"). An argument is S a signal, N a number, M ms, T a text
 * to the end of the line, L the name of a load, W a word of a list that the meaning names. The
 * first group is drawn from seeds, and happens at its time; the second is what stories need. */
#define SIM_ACTS(A)                                                                                \
    A(RELOAD, "reload", "NN",                                                                      \
      "a valid configuration of so many workers, then HUP; 1: its report is recorded, 0: not")     \
    A(BAD_RELOAD, "bad-reload", "NN", "an invalid configuration (workers: 0), then HUP")           \
    A(SIGNAL_MASTER, "signal-master", "S", "one signal; who was stopped goes on after 300 ms")     \
    A(SIGNAL_WORKER, "signal-worker", "SN", "to which of the live workers, counted around")        \
    A(SIGNAL_ALL, "signal-all", "S", "to every worker at once")                                    \
    A(STORM, "storm", "NNN",                                                                       \
      "to the master: a set of signals (1 << number, ...), how many, us between two")              \
    A(ASK, "ask", "M", "USR1, and its effect is waited for, at most so long")                      \
    A(ARM, "arm", "MT", "a fault rule, for so long; 0: until it is disarmed")                      \
    A(SLOW, "slow", "NM", "which worker's turns come up to so late")                               \
    A(FD_LIMIT, "fd-limit", "N", "of all workers, seen by them at their next heartbeat")           \
    A(BURST, "burst", "LN", "so many new connections of a load at the same moment")                \
    A(UPGRADE, "upgrade", "N",                                                                     \
      "USR2; the new binary 0 becomes ready and is told to go, 1 ends, 2 stalls, 3 becomes ready " \
      "and the old one is told to go")                                                             \
    A(BACKEND, "backend", "NW",                                                                    \
      "which of the backends, counted around: well, refuse, reset, trickle, stall, dead")          \
    A(SIGNAL_TO, "signal-to", "SW", "to master, worker, last-worker, all-workers, all, group")     \
    A(CONFIG, "config", "N", "a configuration of so many workers is written; 0: an invalid one")   \
    A(HUP, "hup", "N",                                                                             \
      "HUP for the configuration that is there; 1: its report is recorded, 2: it is to fail, 3: "  \
      "both")                                                                                      \
    A(REPORTED, "reported", "WM", "waits for that report (ok, refused, undone, superseded)")       \
    A(ANSWERED, "answered", "", "waits until every ask is answered or too late")                   \
    A(BASELINE, "baseline", "NM", "the master's state before (0) and after (1) a failed reload")   \
    A(WAIT, "wait", "MT", "until the condition holds (sim_seen.h), at most so long")               \
    A(OBSERVE, "observe", "M", "lets time pass")                                                   \
    A(CLOCK, "clock", "", "starts the clock of `until`")                                           \
    A(UNTIL, "until", "M", "waits until the clock shows so much")                                  \
    A(PHASE, "phase", "W", "enters baseline, act, recover, quiet, stop")                           \
    A(DISARM, "disarm", "N", "a rule, counted from 0 as the acts armed them; 99: all")             \
    A(START, "start", "L", "a load begins")                                                        \
    A(RELEASE, "release", "L", "a load ends: nothing new, held connections are let go")            \
    A(RATE, "rate", "LN", "a load's requests in 1000 s from now on")                               \
    A(STOP, "stop", "WM", "fast, graceful or kill; waits for the master's end, at most so long")
/* What a backend does to those who ask it. M(SYMBOL, "word"), pytests/masterwork/backend.py's, and:
 * it is killed, and started again with its next mood. */
#define SIM_MOODS(M)                                                                               \
    M(WELL, "well")                                                                                \
    M(REFUSE, "refuse")                                                                            \
    M(RESET, "reset")                                                                              \
    M(TRICKLE, "trickle")                                                                          \
    M(STALL, "stall")                                                                              \
    M(DEAD, "dead")
enum sim_mood {
#define M(symbol, word) SIM_MOOD_##symbol,
    SIM_MOODS(M)
#undef M
        SIM_MOOD_COUNT
};

/* What comes of a new binary. */
enum sim_fate { SIM_FATE_RETURNS, SIM_FATE_ENDS, SIM_FATE_STALLS, SIM_FATE_STAYS };

enum sim_act_kind {
#define A(symbol, word, arguments, meaning) SIM_ACT_##symbol,
    SIM_ACTS(A)
#undef A
        SIM_ACT_COUNT
};

struct sim_act {
    uint64_t at_ns; /* after the act phase began; SIM_THEN: when the act before it is over */
    uint16_t kind;  /* enum sim_act_kind */
    bool skipped;   /* taken out by the shrinker */
    uint32_t a, b, c;
};
#define SIM_THEN UINT64_MAX
enum { SIM_HUP_WAITS = 1, SIM_HUP_FAILS = 2 }; /* HUP's a */
enum { SIM_EVERY_RULE = 99 };                  /* DISARM's a */

enum sim_receiver { SIM_MASTER, SIM_WORKER, SIM_LAST_WORKER, SIM_ALL_WORKERS, SIM_ALL, SIM_GROUP };

/* The fault rules that are drawn; they are the first texts of every plan. R(SYMBOL, "rule") */
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
    R(ACCEPT_ENOMEM, "net.accept errno=ENOMEM chance=1/10")                                        \
    R(ACCEPT_ABORTED, "net.accept errno=ECONNABORTED chance=1/4")                                  \
    R(RECV_RESET, "net.recv errno=ECONNRESET chance=1/100")                                        \
    R(RECV_TIMEDOUT, "net.recv errno=ETIMEDOUT chance=1/100")                                      \
    R(SEND_EPIPE, "net.send errno=EPIPE chance=1/100")
enum sim_rule {
#define R(symbol, text) SIM_RULE_##symbol,
    SIM_RULES(R)
#undef R
        SIM_RULE_COUNT
};

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

/* ---- the world and its clients ----------------------------------------------------------------
 */

/* O(field, "word", TYPE, "meaning"): COUNT, TIME in ns, or FLAG. */
#define SIM_OPTIONS(O)                                                                             \
    O(workers, "workers", COUNT, "worker_processes at the start")                                  \
    O(connections, "connections", COUNT, "worker_connections")                                     \
    O(fd_limit, "fd-limit", COUNT,                                                                 \
      "RLIMIT_NOFILE of workers: a story's from the start, a theme's later")                       \
    O(backlog, "backlog", COUNT, "of the listener")                                                \
    O(pid_max, "pid-max", COUNT, "process numbers come around after this one")                     \
    O(backends, "backends", COUNT, "behind the server, for proxied loads")                         \
    O(multi_accept, "multi-accept", FLAG, "a wake may accept many")                                \
    O(daemon, "daemon", FLAG, "0: as with `daemon off`, where WINCH is recorded and not obeyed")   \
    O(drain_ns, "drain", TIME, "worker_shutdown_timeout")                                          \
    O(watchdog_ns, "watchdog", TIME, "longest silence of a worker, 0 any")                         \
    O(backoff_min_ns, "backoff-min", TIME, "first delay of a slot that crashes again")             \
    O(backoff_max_ns, "backoff-max", TIME, "longest delay")                                        \
    O(reload_timeout_ns, "reload-timeout", TIME, "start to ready of new workers")                  \
    O(keepalive_ns, "keepalive", TIME, "keepalive_timeout")                                        \
    O(service_ns, "service", TIME, "mean time of a handler")                                       \
    O(proxy_timeout_ns, "proxy-timeout", TIME, "proxy_connect_timeout and proxy_read_timeout")     \
    O(fail_timeout_ns, "fail-timeout", TIME, "a backend that failed is left out for so long")      \
    O(latency_ns, "latency", TIME, "of the network, one way")                                      \
    O(delay_ns, "delay", TIME, "until a process gets its turn, at least")                          \
    O(jitter_ns, "jitter", TIME, "and at most so much more")                                       \
    O(baseline_ns, "baseline", TIME, "the phase before anything is done")                          \
    O(act_ns, "act", TIME, "the phase in which it is done")                                        \
    O(quiet_ns, "quiet", TIME, "a phase without requests after it, 0 none")                        \
    O(converge_ns, "converge", TIME, "the tree must be whole again in this")

struct sim_load {
    char name[SIM_NAME_MAX];
    uint8_t kind;                 /* enum hist_population */
    bool paused;                  /* not started with the others */
    bool proxied;                 /* for a backend to answer */
    uint32_t rate_milli, clients; /* without a rate each client begins again when it is done */
    uint32_t body_bytes;
    uint32_t service_us, spread_ms, timeout_ms; /* 0: as usual */
};

struct sim_plan {
    uint64_t seed;
    bool story; /* the acts make the phases; otherwise the options do */
    enum sim_theme theme;
    enum sim_stop stop;
#define COUNT uint32_t
#define TIME uint64_t
#define FLAG bool
#define O(field, word, type, meaning) type field;
    SIM_OPTIONS(O)
#undef O
#undef COUNT
#undef TIME
#undef FLAG
    char name[SIM_NAME_MAX * 2];       /* of the story */
    char rules[SIM_RULES_ROOM];        /* fault rules armed for the whole run */
    uint64_t params[HIST_PARAM_COUNT]; /* a story's; UINT64_MAX not stated */
    size_t load_count, text_count;
    struct sim_load loads[SIM_LOADS_MAX];
    char texts[SIM_TEXTS_MAX][SIM_TEXT_MAX];
    size_t act_count;
    struct sim_act acts[SIM_ACTS_MAX];
};

/* No clients, no acts, every option as in a world that is not out to make trouble. */
void sim_plan_clear(struct sim_plan *plan, uint64_t seed);
void sim_plan_draw(struct sim_plan *plan, uint64_t seed);
/* The same run, with backends behind the server and what befalls them. */
void sim_plan_draw_backends(struct sim_plan *plan);
struct sim_load *sim_plan_load(struct sim_plan *plan, enum hist_population kind);
/* Copies what is used of it. */
void sim_plan_copy(struct sim_plan *to, const struct sim_plan *from);
/* As fault_plan_parse(), and refuses a point that the simulation never asks (sim_fault.c). */
struct fault_plan;
struct fault_plan_error;
bool sim_fault_plan(struct fault_plan *plan, const char *text, struct fault_plan_error *error);
/* Adds rules that are armed for the whole run; false: there is no room. */
bool sim_plan_add_rules(struct sim_plan *plan, const char *rules);
/* The number of a text, which is added unless it is there; -1: no room. */
int sim_plan_text(struct sim_plan *plan, const char *text);
size_t sim_plan_acts_left(const struct sim_plan *plan);

#endif
