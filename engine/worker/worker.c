/* The life of a worker process: it becomes what the configuration says, watches its signals and its
 * channel to the master, says that it is poised, serves from the master's go on, and leaves when
 * admission says so. */
#include "engine/worker/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/http/documents.h"
#include "engine/os/clock.h"
#include "engine/os/log.h"
#include "engine/os/sys.h"
#include "engine/worker/worker_impl.h"
#include "faultinject/fault.h"

enum { EXIT_BOOT_FAILED = 2 };

/* Half the longest silence that the scoreboard allows (engine/shm/scoreboard.h): a loop that turns
 * late once is not yet silent. */
static const double worker_heartbeat_s = 0.05;

/* What signal handlers leave for the loop: one bit for each kind. The loop is woken through an
 * ev_async, the one thing of libev's that a handler may touch. ev_signal will not do: its table is
 * shared with the loop that the master made before the fork. */
static volatile sig_atomic_t worker_quit, worker_stop, worker_reopen;
static struct worker *worker_self;

static int worker_open(struct worker *w);
static void worker_close(struct worker *w);
static void worker_watch_signals(struct worker *w);
static void worker_accept(struct worker *w);
static void worker_say(struct worker *w, enum channel_kind kind);

int worker_run(const struct worker_args *args)
{
    struct worker *w = sys_calloc(1, sizeof *w);
    fault_allow(args->conf->fault_points);
    fault_identify(FAULT_ROLE_WORKER, args->slot, args->generation);
    hist_forget(&hist_self);
    if (hist_open_env(&hist_self, "worker", HIST_WORKER) < 0)
        log_line(LEVEL_WARN, "the history of worker %d cannot be written", args->slot);
    if (w == NULL)
        return EXIT_BOOT_FAILED;
    w->args = args;
    w->exit_code = EXIT_BOOT_FAILED;
    fault_step(FAULT_worker_boot);
    if (worker_boot(args) == 0 && worker_open(w) == 0) {
        w->exit_code = 0;
        worker_watch_signals(w);
        fault_step(FAULT_worker_ready);
        worker_record(w, HIST_ENGINE_WORKER_POISED, &(struct hist_record){.a = 0});
        if (fault_sabotage(FAULT_sabotage_accept_on_trial))
            admission_happen(w, ADM_EV_START, 0);
        worker_say(w, CHANNEL_POISED);
        if (!w->leaving)
            ev_run(w->loop, 0);
    }
    fault_step(FAULT_worker_exit);
    worker_record(w, HIST_ENGINE_EXIT, &(struct hist_record){.a = (uint64_t)w->exit_code});
    int code = w->exit_code;
    worker_close(w);
    hist_close(&hist_self);
    return code;
}

void worker_record(struct worker *w, enum hist_kind kind, const struct hist_record *fields)
{
    if (!hist_on())
        return;
    struct hist_record record = *fields;
    record.kind = (uint16_t)kind;
    record.slot = (int16_t)w->args->slot;
    record.gen = w->args->generation;
    record.pid = (uint32_t)w->site.pid;
    hist_put(&hist_self, &record);
}

void worker_leave(struct worker *w, int code)
{
    w->leaving = true;
    w->exit_code = code;
    ev_break(w->loop, EVBREAK_ALL);
}

/* libev 4.33 watches a descriptor whose epoll_ctl failed (no memory) never again, nor whatever gets
 * its number later. A loop that has lost one finishes what it has and leaves; the master starts
 * another. */
void worker_give_up(struct worker *w)
{
    if (w->given_up)
        return;
    w->given_up = true;
    log_line(LEVEL_CRIT, "worker %d could not watch a descriptor: it drains and leaves",
             w->args->slot);
    admission_happen(w, ADM_EV_ORPHAN, 0);
}

/* ---- orders: signals and the channel --------------------------------------------------------- */

static void worker_on_signal(int number)
{
    int saved = errno;
    if (number == SIGQUIT)
        worker_quit = 1;
    else if (number == SIGUSR1)
        worker_reopen = 1;
    else
        worker_stop = number;
    if (worker_self != NULL)
        ev_async_send(worker_self->loop, &worker_self->signalled);
    errno = saved;
}

static void worker_reopen_logs(struct worker *w)
{
    access_logs_reopen(&w->logs);
    int err = log_reopen();
    if (err < 0)
        log_line(LEVEL_EMERG,
                 "the error log cannot be reopened (%d: %s); it goes on in the old file", -err,
                 strerror(-err));
    worker_record(w, HIST_ENGINE_REOPEN, &(struct hist_record){.a = 0});
}

static void worker_record_signal(struct worker *w, int number)
{
    worker_record(w, HIST_ENGINE_SIGNAL, &(struct hist_record){.a = (uint64_t)number});
}

static void worker_on_signalled(struct ev_loop *loop, ev_async *async, int revents)
{
    struct worker *w = async->data;
    (void)loop;
    (void)revents;
    if (worker_reopen) {
        worker_reopen = 0;
        worker_record_signal(w, SIGUSR1);
        worker_reopen_logs(w);
    }
    if (worker_quit) {
        worker_quit = 0;
        worker_record_signal(w, SIGQUIT);
        admission_order_drain(w);
    }
    if (worker_stop) {
        int number = worker_stop;
        worker_stop = 0;
        worker_record_signal(w, number);
        admission_happen(w, ADM_EV_STOP, 0);
    }
}

/* The master is gone: nobody would tell this worker to go, so it goes by itself. */
static void worker_become_orphan(struct worker *w)
{
    if (w->orphaned || fault_sabotage(FAULT_sabotage_orphans_stay))
        return; /* sabotaged: the closed channel stays readable and the loop spins */
    w->orphaned = true;
    ev_io_stop(w->loop, &w->channel);
    worker_record(w, HIST_ENGINE_ORPHAN, &(struct hist_record){.a = 0});
    log_line(LEVEL_NOTICE, "the master is gone: worker %d drains and leaves", w->args->slot);
    admission_happen(w, ADM_EV_ORPHAN, 0);
}

static void worker_on_channel(struct ev_loop *loop, ev_io *io, int revents)
{
    struct worker *w = io->data;
    struct channel_message message;
    (void)loop;
    if (revents & EV_ERROR) {
        worker_give_up(w);
        return;
    }
    ssize_t got = sys_recvmsg_fd(io->fd, &message, sizeof message, NULL);
    if (got == 0 || got == -ECONNRESET) {
        worker_become_orphan(w);
        return;
    }
    if (got != (ssize_t)sizeof message)
        return; /* EAGAIN, or no message of ours */
    switch (message.kind) {
    case CHANNEL_GO:
        worker_accept(w);
        break;
    case CHANNEL_DRAIN:
        admission_order_drain(w);
        break;
    case CHANNEL_STOP:
        admission_happen(w, ADM_EV_STOP, 0);
        break;
    case CHANNEL_REOPEN:
        worker_reopen_logs(w);
        break;
    default:
        log_line(LEVEL_ALERT, "the channel brought a message of unknown kind %u", message.kind);
    }
}

/* Tried again with each heartbeat until the channel takes it. */
static void worker_say(struct worker *w, enum channel_kind kind)
{
    const struct channel_message message = {kind, w->args->generation};
    bool sent = sys_sendmsg_fd(w->args->channel_fd, &message, sizeof message, -1) > 0;
    w->owed = sent ? 0 : kind;
}

/* Whatever was to be said before is known to whoever says go. */
static void worker_accept(struct worker *w)
{
    if (w->adm.state == ADM_NEW)
        admission_happen(w, ADM_EV_START, 0);
    worker_record(w, HIST_ENGINE_WORKER_READY, &(struct hist_record){.a = 0});
    worker_say(w, CHANNEL_READY);
}

/* ---- time ------------------------------------------------------------------------------------ */

/* First of all in each turn of the loop: what time it is. */
static void worker_on_turn(struct ev_loop *loop, ev_check *check, int revents)
{
    struct worker *w = check->data;
    (void)loop;
    (void)revents;
    fault_step(FAULT_worker_loop);
    http_site_tick(&w->site, clock_now_ns(), clock_wall_ns());
}

/* Last of all in each turn, before the loop sleeps. */
static void worker_on_rest(struct ev_loop *loop, ev_prepare *prepare, int revents)
{
    struct worker *w = prepare->data;
    (void)loop;
    (void)revents;
    connections_serve_newcomers(w);
    documents_end_turn(w->site.documents);
}

/* Descriptor limits can be changed from outside while a process runs. */
static void worker_check_fd_limit(struct worker *w)
{
    struct rlimit limit;
    if (sys_rlimit_get(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == w->fd_limit)
        return;
    w->fd_limit = limit.rlim_cur;
    admission_happen(w, ADM_EV_FD_LIMIT, limit.rlim_cur);
}

static void worker_on_heartbeat(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct worker *w = timer->data;
    (void)revents;
    fault_step(FAULT_worker_heartbeat);
    SCORE_ADD(w->args->row->heartbeat, 1);
    if (w->owed != 0)
        worker_say(w, w->owed);
    worker_check_fd_limit(w);
    admission_help(w);
    worker_on_signalled(loop, &w->signalled, 0); /* where the loop could not watch for wake-ups */
    access_logs_flush_due(&w->logs, w->site.now_ns);
    /* The channel tells it sooner, unless some process still holds a copy of the master's end. */
    if (getppid() != w->parent)
        worker_become_orphan(w);
}

/* ---- beginning and end ----------------------------------------------------------------------- */

static void worker_init_watchers(struct worker *w)
{
    ev_async_init(&w->signalled, worker_on_signalled);
    ev_io_init(&w->channel, worker_on_channel, w->args->channel_fd, EV_READ);
    ev_timer_init(&w->heartbeat, worker_on_heartbeat, worker_heartbeat_s, worker_heartbeat_s);
    ev_check_init(&w->turn, worker_on_turn);
    ev_prepare_init(&w->rest, worker_on_rest);
    ev_set_priority(&w->turn, EV_MAXPRI);
    ev_set_priority(&w->signalled, EV_MAXPRI - 1); /* orders before traffic */
    ev_set_priority(&w->channel, EV_MAXPRI - 1);
    w->signalled.data = w->channel.data = w->heartbeat.data = w->turn.data = w->rest.data = w;
    ev_async_start(w->loop, &w->signalled);
    ev_io_start(w->loop, &w->channel);
    ev_timer_start(w->loop, &w->heartbeat);
    ev_check_start(w->loop, &w->turn);
    ev_prepare_start(w->loop, &w->rest);
}

/* Where this worker's random choices begin: workers must not choose in step. */
static uint64_t worker_seed(const struct worker *w)
{
    return w->site.now_ns ^ (uint64_t)w->site.pid << 32 ^ (uint64_t)w->args->slot << 17;
}

static int worker_open(struct worker *w)
{
    const struct worker_args *args = w->args;
    w->parent = getppid();
    if (gethostname(w->hostname, sizeof w->hostname - 1) != 0)
        w->hostname[0] = '\0';
    w->site = (struct http_site){
        .conf = args->conf,
        .board = args->board,
        .zones = args->zones,
        .logs = &w->logs,
        .upstreams = &w->upstreams,
        .hostname = str_make(w->hostname, strlen(w->hostname)),
        .slot = args->slot,
        .generation = args->generation,
        .pid = getpid(),
    };
    http_site_tick(&w->site, clock_now_ns(), clock_wall_ns());
    if (args->tls != NULL)
        tls_contexts_start(args->tls, args->zones, shake_choose);
    w->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    if (w->loop == NULL) {
        log_line(LEVEL_EMERG, "a worker cannot start: no event loop");
        return -ENOMEM;
    }
    w->site.documents = documents_new();
    int err = w->site.documents == NULL ? -ENOMEM : 0;
    if (err == 0)
        err = access_logs_open(&w->logs, args->conf, args->log_fds);
    if (err == 0)
        err = connections_init(w);
    if (err == 0)
        err = upstreams_open(&w->upstreams, args->conf, args->zones, worker_seed(w),
                             (int)w->site.pid);
    if (err == 0)
        err = uplinks_init(w);
    if (err == 0)
        err = admission_init(w);
    if (err != 0) {
        log_line(LEVEL_EMERG, "a worker cannot start: no memory for %u connections",
                 args->conf->worker_connections);
        return err;
    }
    worker_init_watchers(w);
    SCORE_ADD(args->row->heartbeat, 1);
    return 0;
}

static void worker_handle(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

/* Handlers first, then the mask: a signal that arrived before is delivered to them. What only the
 * master understands must not kill a worker when it is sent to the whole group. */
static void worker_watch_signals(struct worker *w)
{
    static const int handled[] = {SIGQUIT, SIGTERM, SIGINT, SIGUSR1};
    static const int ignored[] = {SIGHUP, SIGUSR2, SIGWINCH, SIGTTIN, SIGTTOU, SIGPIPE, SIGALRM};
    static const int plain[] = {SIGCHLD, SIGIO, SIGABRT};
    worker_self = w;
    if (fault_sabotage(FAULT_sabotage_lose_early_signal)) /* ignoring drops what is pending */
        for (size_t i = 0; i < sizeof handled / sizeof handled[0]; i++)
            worker_handle(handled[i], SIG_IGN);
    for (size_t i = 0; i < sizeof handled / sizeof handled[0]; i++)
        worker_handle(handled[i], worker_on_signal);
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        worker_handle(ignored[i], SIG_IGN);
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        worker_handle(plain[i], SIG_DFL);
    if (fault_sabotage(FAULT_sabotage_hear_group))
        worker_handle(SIGHUP, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void worker_close(struct worker *w)
{
    worker_self = NULL;
    connections_free(w); /* requests that are cut short leave their log lines */
    uplinks_free(w);
    if (w->upstreams.groups != NULL)
        upstreams_close(&w->upstreams);
    admission_free(w);
    documents_free(w->site.documents);
    if (w->logs.files != NULL)
        access_logs_close(&w->logs);
    if (w->loop != NULL)
        ev_loop_destroy(w->loop);
    free(w);
}
