/* What the master does and why, for people (the error log, in nginx's words where it has some), for
 * witnesses (the history) and for the status page (the scoreboard). */
#include <string.h>
#include <sys/wait.h>

#include "engine/master/master_impl.h"
#include "engine/master/notify.h"
#include "engine/os/clock.h"
#include "engine/os/log.h"

#define NS_TO_MS(ns) ((unsigned long long)((ns) / NS_PER_MS))

static void report_reload(struct master *m, const struct sup_effect *e);
static void report_upgrade(struct master *m, const struct sup_effect *e);
static void report_respawn(struct master *m, const struct sup_effect *e);
static void report_retry(struct master *m, const struct sup_effect *e);
static void report_silence(struct master *m, const struct sup_effect *e, int number);
static void report_ready(struct master *m, const struct sup_effect *e);
static void report_stopping(struct master *m, const struct sup_effect *e);

void report_effect(struct master *m, const struct sup_effect *e)
{
    switch ((enum sup_effect_kind)e->kind) {
    case SUP_DO_RESPAWN:
        report_respawn(m, e);
        break;
    case SUP_DO_RETRY:
        report_retry(m, e);
        break;
    case SUP_DO_ABORT:
        SCORE_ADD(m->board->watchdog_aborts, 1);
        report_silence(m, e, SIGABRT);
        break;
    case SUP_DO_KILL:
        report_silence(m, e, SIGKILL);
        break;
    case SUP_DO_LOAD_CONF:
        log_line(LEVEL_NOTICE, "reconfiguring");
        master_record(m, HIST_ENGINE_RELOAD, OWN_RECORD(.gen = e->generation));
        break;
    case SUP_DO_REPORT:
        report_reload(m, e);
        break;
    case SUP_DO_READY:
        report_ready(m, e);
        break;
    case SUP_DO_RESIZED:
        SCORE_SET(m->board->workers, (uint32_t)e->a);
        master_record(m, HIST_ENGINE_RESIZED, OWN_RECORD(.a = e->a));
        log_line(LEVEL_NOTICE, "worker processes wanted: %llu", (unsigned long long)e->a);
        break;
    case SUP_DO_REOPEN_LOGS:
        master_record(m, HIST_ENGINE_REOPEN, OWN_RECORD(.a = 0));
        break;
    case SUP_DO_UPGRADE_REPORT:
        report_upgrade(m, e);
        break;
    case SUP_DO_NOTE:
        log_line(LEVEL_NOTICE, "%s: %s", sup_event_word((unsigned)e->a),
                 sup_reason_text(e->reason));
        break;
    case SUP_DO_STOPPING:
        report_stopping(m, e);
        break;
    default:
        break; /* nothing that anybody needs to be told */
    }
}

static struct hist_record about(const struct sup_effect *e, uint64_t a, uint64_t b)
{
    return (struct hist_record){.slot = e->slot, .gen = e->generation, .a = a, .b = b};
}

/* ---- signals and workers --------------------------------------------------------------- */

void report_signal(struct master *m, int number, bool obeyed)
{
    static const struct {
        int number;
        const char *name, *text;
    } signals[] = {
#define SIGNAL(name, event, word, text) {SIG##name, "SIG" #name, text},
#include "engine/master/signals.def"
#undef SIGNAL
    };
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        if (signals[i].number == number)
            log_line(LEVEL_NOTICE, "signal %d (%s) received, %s", number, signals[i].name,
                     obeyed ? signals[i].text : "ignored in the foreground");
    master_record(m, HIST_ENGINE_SIGNAL, OWN_RECORD(.a = (uint64_t)number));
}

void report_spawn(struct master *m, const struct process *p)
{
    struct hist_record r = {
        .pid = (uint32_t)p->pid, .slot = (int16_t)p->slot, .gen = p->generation};
    master_record(m, HIST_ENGINE_SPAWN, &r);
    log_line(LEVEL_NOTICE, "start worker process %d", (int)p->pid);
}

void report_told(struct master *m, const struct process *p, int number, int err)
{
    struct hist_record r = {.pid = (uint32_t)p->pid,
                            .slot = (int16_t)p->slot,
                            .gen = p->generation,
                            .a = (uint64_t)number,
                            .b = err < 0 ? (uint64_t)-err : 0};
    master_record(m, HIST_ENGINE_TELL, &r);
}

void report_exit(struct master *m, const struct process *p, int status)
{
    struct hist_record r = {.pid = (uint32_t)p->pid,
                            .slot = (int16_t)p->slot,
                            .gen = p->generation,
                            .a = (uint64_t)(unsigned)status};
    master_record(m, HIST_ENGINE_WORKER_EXIT, &r);
    if (WIFSIGNALED(status))
        log_line(LEVEL_WARN, "worker process %d exited on signal %d%s", (int)p->pid,
                 WTERMSIG(status), WCOREDUMP(status) ? " (core dumped)" : "");
    else
        log_line(WEXITSTATUS(status) == 0 ? LEVEL_NOTICE : LEVEL_WARN,
                 "worker process %d exited with code %d", (int)p->pid, WEXITSTATUS(status));
}

static void report_respawn(struct master *m, const struct sup_effect *e)
{
    SCORE_ADD(m->board->crashes, 1);
    SCORE_ADD(m->board->respawns, 1);
    if (e->a == 0)
        return;
    struct hist_record r = about(e, e->a, e->b);
    SCORE_SET(m->board->breaker_until_ns, clock_now_ns() + e->a);
    master_record(m, HIST_ENGINE_BREAKER, &r);
    log_line(LEVEL_WARN,
             "worker %d crashed %llu times in a row soon after its start, the next is "
             "started in %llu ms",
             e->slot, (unsigned long long)e->b, NS_TO_MS(e->a));
}

static void report_retry(struct master *m, const struct sup_effect *e)
{
    struct hist_record r = about(e, e->a, e->b);
    SCORE_ADD(m->board->spawn_failures, 1);
    master_record(m, HIST_ENGINE_SPAWN_FAILED, &r);
    log_line(LEVEL_ERR, "worker %d could not be started (%d: %s), it is tried again in %llu ms",
             e->slot, (int)e->a, strerror((int)e->a), NS_TO_MS(e->b));
}

static void report_silence(struct master *m, const struct sup_effect *e, int number)
{
    struct hist_record r = about(e, (uint64_t)number, e->a);
    for (size_t i = 0; i < SCORE_SLOTS_MAX; i++)
        if (m->processes[i].pid != 0 && m->processes[i].slot == e->slot &&
            m->processes[i].generation == e->generation)
            r.pid = (uint32_t)m->processes[i].pid;
    if (e->a == 0) { /* not the watchdog's: a stop or a drain has taken too long */
        log_line(LEVEL_WARN, "worker process %u did not go in time, it is killed", r.pid);
        return;
    }
    master_record(m, HIST_ENGINE_WATCHDOG, &r);
    log_line(LEVEL_ERR, "worker process %u has been silent for %llu ms, it is %s", r.pid,
             NS_TO_MS(e->a), number == SIGABRT ? "aborted" : "killed");
}

/* ---- the whole ------------------------------------------------------------------------- */

static void report_ready(struct master *m, const struct sup_effect *e)
{
    struct hist_record r = about(e, e->a, 0);
    master_record(m, HIST_ENGINE_READY, &r);
    log_line(LEVEL_NOTICE, "all %llu worker processes are ready", (unsigned long long)e->a);
}

static void report_stopping(struct master *m, const struct sup_effect *e)
{
    struct hist_record r = about(e, e->a, 0);
    master_record(m, HIST_ENGINE_STOP, &r);
    log_line(LEVEL_NOTICE, e->a ? "gracefully shutting down" : "exiting");
}

static void reload_text(const struct master *m, const struct sup_effect *e, char *out, size_t size)
{
    int status = (int)e->b;

    if (e->a == SUP_RELOAD_OK)
        snprintf(out, size, "generation %u serves", e->generation);
    else if (e->reason == SUP_BECAUSE_CONF)
        snprintf(out, size, "%s", m->refusal);
    else if (e->reason == SUP_BECAUSE_EXITED && WIFSIGNALED(status))
        snprintf(out, size, "new worker %d exited on signal %d before all were ready", e->slot,
                 WTERMSIG(status));
    else if (e->reason == SUP_BECAUSE_EXITED)
        snprintf(out, size, "new worker %d exited with code %d before all were ready", e->slot,
                 WEXITSTATUS(status));
    else
        snprintf(out, size, "%s", sup_reason_text(e->reason));
}

static void report_reload(struct master *m, const struct sup_effect *e)
{
    static const enum hist_report words[] = {
        [SUP_RELOAD_OK] = HIST_REPORT_OK,
        [SUP_RELOAD_REFUSED] = HIST_REPORT_REFUSED,
        [SUP_RELOAD_UNDONE] = HIST_REPORT_UNDONE,
    };
    uint64_t *counts[] = {&m->board->reloads_ok, &m->board->reloads_refused,
                          &m->board->reloads_undone};
    char text[sizeof(m->refusal)];

    reload_text(m, e, text, sizeof(text));
    SCORE_ADD(*counts[e->a], 1);
    struct hist_record r = {.slot = -1, .a = words[e->a], .b = e->generation};
    master_record(m, HIST_ENGINE_RELOADED, &r);
    log_line(e->a == SUP_RELOAD_OK ? LEVEL_NOTICE : LEVEL_ERR, "reload %s: %s",
             hist_report_name(words[e->a]), text);
    scoreboard_report(m->board, e->generation, words[e->a], text);
    notify_ready(m->pid);
}

static void report_upgrade(struct master *m, const struct sup_effect *e)
{
    static const struct {
        enum hist_upgrade word;
        enum log_level level;
        const char *text;
    } steps[] = {
        [SUP_UPGRADE_STARTED] = {HIST_UPGRADE_STARTED, LEVEL_NOTICE, "the new binary is started"},
        [SUP_UPGRADE_REFUSED] = {HIST_UPGRADE_REFUSED, LEVEL_ERR, "an upgrade is refused"},
        [SUP_UPGRADE_READY] = {HIST_UPGRADE_READY, LEVEL_NOTICE, "the new binary is ready"},
        [SUP_UPGRADE_FAILED] = {HIST_UPGRADE_FAILED, LEVEL_ERR,
                                "the upgrade failed, nothing has changed"},
        [SUP_UPGRADE_OVER] = {HIST_UPGRADE_OVER, LEVEL_NOTICE, "the other master is gone"},
    };
    const char *reason = sup_reason_text(e->reason);
    struct hist_record r = {.slot = -1,
                            .a = steps[e->a].word,
                            .b = (uint64_t)(m->new_pid != 0 ? m->new_pid : m->old_pid)};

    SCORE_SET(m->board->upgrade_state, (uint32_t)steps[e->a].word + 1);
    master_record(m, HIST_ENGINE_UPGRADE, &r);
    log_line(steps[e->a].level, "%s%s%s", steps[e->a].text, *reason != '\0' ? ": " : "", reason);
}
