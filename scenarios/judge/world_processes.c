/* The process tree, and the causes of trouble, as the world knows them. */
#include "scenarios/judge/world_tables.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { NO_EFFECT = 0 };

static unsigned fault_effect(const struct hist_record *r);

static struct world_member *member_find(const struct world *w, uint32_t pid)
{
    const uint32_t *index = table_find(&w->tables->pids, pid);
    return index == NULL ? NULL : &w->tables->processes[*index];
}

static struct world_member *member_new(struct world *w, uint32_t pid)
{
    struct world_tables *t = w->tables;
    uint32_t *index = table_add(&t->pids, pid);
    if (index == NULL)
        return NULL;
    if (t->process_count == t->process_room) {
        t->process_room = t->process_room == 0 ? 64 : t->process_room * 2;
        t->processes = realloc(t->processes, t->process_room * sizeof(*t->processes));
        if (t->processes == NULL)
            abort();
    }
    *index = (uint32_t)t->process_count;
    struct world_member *m = &t->processes[t->process_count++];
    *m = (struct world_member){.process = {.pid = pid, .slot = -1}};
    return m;
}

/* The process a record is about. NULL: pid 0. */
static struct world_member *member_get(struct world *w, uint32_t pid)
{
    struct world_member *m = member_find(w, pid);
    return m != NULL ? m : member_new(w, pid);
}

static void set_worker(struct world *w, struct world_process *p, bool is_worker)
{
    if (p->is_worker != is_worker && p->exit_ns == 0)
        w->live_workers += is_worker ? 1 : (uint64_t)-1;
    p->is_worker = is_worker;
}

static void set_master(struct world *w, struct world_process *p)
{
    set_worker(w, p, false);
    p->is_master = true;
}

static bool is_master(const struct world *w, uint32_t pid)
{
    const struct world_member *m = member_find(w, pid);
    return pid != 0 && (pid == w->master_pid || (m != NULL && m->process.is_master));
}

/* ---- births --------------------------------------------------------------------------------- */

/* Both mw-watch and the master tell of a birth, in either order, and a worker that dies at once may
 * be dead before its master has told. A number that one witness tells twice is used again. */
static struct world_member *member_born(struct world *w, const struct hist_record *r, bool spawned)
{
    struct world_member *m = member_find(w, r->pid);
    bool told = m != NULL && (spawned ? m->spawned : m->forked);
    if (m == NULL || (m->process.exit_ns != 0 && told))
        m = member_new(w, r->pid);
    if (m == NULL)
        return NULL;
    if (spawned)
        m->spawned = true;
    else
        m->forked = true;
    if (m->process.born_ns == 0)
        m->process.born_ns = r->t_ns;
    return m;
}

static void take_fork(struct world *w, const struct hist_record *r)
{
    struct world_member *m = member_born(w, r, false);
    if (m == NULL)
        return;
    m->process.parent = (uint32_t)r->a;
    bool new_binary = r->pid == w->new_binary_pid && m->process.slot < 0;
    if (!m->process.is_master && !new_binary && is_master(w, (uint32_t)r->a))
        set_worker(w, &m->process, true);
}

static void take_spawn(struct world *w, const struct hist_record *r)
{
    struct world_member *m = member_born(w, r, true);
    if (m == NULL)
        return;
    m->process.slot = r->slot;
    m->process.gen = m->process.generation = r->gen;
    if (m->process.parent == 0)
        m->process.parent = w->master_pid;
    set_worker(w, &m->process, true);
}

static void take_root(struct world *w, const struct hist_record *r)
{
    struct world_member *m = member_get(w, r->pid);
    w->watched = true;
    w->watch_period_ns = r->b;
    w->master_pid = r->pid;
    if (m != NULL)
        set_master(w, &m->process);
}

static void take_master(struct world *w, const struct hist_record *r)
{
    struct world_member *m = member_find(w, r->pid);
    if (m == NULL || (m->process.exit_ns != 0 && m->spawned))
        m = member_new(w, r->pid);
    if (m == NULL)
        return;
    m->spawned = true;
    m->process.parent = (uint32_t)r->a;
    m->process.gen = r->gen;
    if (m->process.born_ns == 0)
        m->process.born_ns = r->t_ns;
    set_master(w, &m->process);
    if (w->master_pid == 0)
        w->master_pid = r->pid;
}

/* A server that is neither watched nor traced shows its processes by their answers. */
void world_answered(struct world *w, const struct hist_record *r)
{
    struct world_member *m = member_get(w, r->pid);
    if (m == NULL)
        return;
    struct world_process *p = &m->process;
    if (!p->is_master && !p->is_worker && p->exit_ns == 0)
        set_worker(w, p, true);
    if (p->ready_ns == 0)
        p->ready_ns = r->t_ns;
    if (r->gen != 0)
        p->gen = r->gen;
    if (p->slot < 0 && r->c != 0)
        p->slot = (int16_t)(r->c - 1);
}

/* ---- exits and states ----------------------------------------------------------------------- */

static void take_exit(struct world *w, const struct hist_record *r)
{
    struct world_member *m = member_get(w, r->pid);
    if (m == NULL)
        return;
    struct world_process *p = &m->process;
    if (r->kind == HIST_ENGINE_WORKER_EXIT && p->exit_ns == 0)
        set_worker(w, p, true);
    if (p->exit_ns != 0) {
        if (p->exit_status == UINT64_MAX)
            p->exit_status = r->a;
        return;
    }
    if (p->is_worker) {
        w->live_workers--;
        w->last_exit = *r;
        w->disturbed_ns = r->t_ns;
    }
    if (r->pid == w->new_master_pid && r->pid != 0) {
        w->upgrading = false;
        w->new_master_pid = 0;
    }
    p->exit_ns = r->t_ns;
    p->exit_status = r->a;
}

static void set_stopped(struct world *w, uint32_t pid, bool stopped, uint64_t t_ns)
{
    struct world_member *m = member_find(w, pid);
    if (m == NULL || (m->process.stopped_ns != 0) == stopped)
        return;
    m->process.stopped_ns = stopped ? t_ns : 0;
}

static bool asks_reload_or_reopen(const struct hist_record *r)
{
    return r->b == HIST_TO_MASTER && (r->a == SIGHUP || r->a == SIGUSR1);
}

static bool is_order_to_go(uint64_t number)
{
    return number == SIGQUIT || number == SIGTERM || number == SIGINT;
}

static void take_signal(struct world *w, const struct hist_record *r)
{
    if (r->kind == HIST_STORM_SIGNAL && r->c != 0)
        return; /* kill() failed: nobody was signalled */
    w->disturbed_ns = r->t_ns;
    if (!asks_reload_or_reopen(r))
        w->last_signal = *r;
    if (r->a == SIGKILL && (r->b == HIST_TO_MASTER || is_master(w, r->pid)))
        w->master_killed = true;
    if (r->b == HIST_TO_MASTER && r->pid == w->master_pid && r->pid != 0 && is_order_to_go(r->a))
        w->parting_pid = r->pid;
    if (r->a == SIGSTOP || r->a == SIGCONT)
        set_stopped(w, r->pid, r->a == SIGSTOP, r->t_ns);
}

/* A child of the master's that is no worker, whether or not it will ever be a master. */
static void take_new_binary(struct world *w, const struct hist_record *r)
{
    struct world_member *m = member_find(w, (uint32_t)r->b);
    if (r->a != HIST_UPGRADE_STARTED || r->b == 0)
        return;
    w->new_binary_pid = (uint32_t)r->b;
    if (m != NULL && m->process.slot < 0)
        set_worker(w, &m->process, false);
}

/* One that is not ready, or was refused beside another, changes nothing of who is there. */
static void take_upgrade(struct world *w, const struct hist_record *r)
{
    if (r->kind == HIST_DIRECTOR_UPGRADED && r->a == HIST_UPGRADE_READY)
        w->new_master_pid = (uint32_t)r->c;
    if (r->kind == HIST_DIRECTOR_ADOPTED) {
        w->master_pid = r->pid;
        w->new_master_pid = 0;
    }
    w->upgrading = r->kind == HIST_DIRECTOR_UPGRADE || w->new_master_pid != 0;
    w->disturbed_ns = r->t_ns;
}

void world_take_process(struct world *w, const struct hist_record *r)
{
    struct world_member *m;
    switch (r->kind) {
    case HIST_WATCH_ROOT:
        take_root(w, r);
        break;
    case HIST_ENGINE_MASTER:
        take_master(w, r);
        break;
    case HIST_ENGINE_UPGRADE:
        take_new_binary(w, r);
        break;
    case HIST_WATCH_FORK:
        take_fork(w, r);
        break;
    case HIST_ENGINE_SPAWN:
        take_spawn(w, r);
        break;
    case HIST_ENGINE_WORKER_READY:
        if ((m = member_get(w, r->pid)) != NULL && m->process.ready_ns == 0)
            m->process.ready_ns = r->t_ns;
        break;
    case HIST_ENGINE_TELL:
        m = r->a == SIGQUIT && r->b == 0 ? member_get(w, r->pid) : NULL;
        if (m != NULL && m->process.told_ns == 0)
            m->process.told_ns = r->t_ns;
        break;
    case HIST_ENGINE_ACCEPT_PAUSE:
        if (r->b != HIST_PAUSE_DRAIN && (m = member_get(w, r->pid)) != NULL)
            m->process.full = r->a == 1;
        break;
    case HIST_ENGINE_DRAIN:
        if ((m = member_get(w, r->pid)) != NULL && m->process.drain_ns == 0)
            m->process.drain_ns = r->t_ns;
        break;
    case HIST_WATCH_EXIT:
    case HIST_ENGINE_WORKER_EXIT:
        take_exit(w, r);
        break;
    case HIST_WATCH_STATE:
        set_stopped(w, r->pid, r->a == 'T', r->t_ns);
        break;
    case HIST_DIRECTOR_SIGNAL:
    case HIST_STORM_SIGNAL:
        take_signal(w, r);
        break;
    case HIST_WATCH_EXEC:
        if ((m = member_find(w, r->pid)) != NULL)
            set_master(w, &m->process);
        break;
    case HIST_DIRECTOR_UPGRADE:
    case HIST_DIRECTOR_UPGRADED:
    case HIST_DIRECTOR_ADOPTED:
        take_upgrade(w, r);
        break;
    case HIST_FAULT_FIRED:
        w->last_fault = *r;
        if (fault_effect(r) != NO_EFFECT)
            w->disturbed_ns = r->t_ns;
        break;
    default:
        break;
    }
}

/* ---- causes --------------------------------------------------------------------------------- */

bool signal_ends(uint64_t number)
{
    switch (number) {
    case 0:
    case SIGHUP:
    case SIGQUIT:
    case SIGUSR1:
    case SIGUSR2:
    case SIGWINCH:
    case SIGTTIN:
    case SIGTTOU:
    case SIGCHLD:
    case SIGCONT:
        return false;
    default:
        return true; /* also STOP: a watchdog ends who is stopped */
    }
}

static unsigned signal_effect(const struct hist_record *r)
{
    if (r->a == SIGSTOP || r->a == SIGTSTP || r->a == SIGCONT)
        return WORLD_SLOWS;
    return signal_ends(r->a) ? WORLD_BREAKS : NO_EFFECT;
}

static unsigned fault_effect(const struct hist_record *r)
{
    switch (r->b >> 32) {
    case HIST_FAULT_ERRNO:
    case HIST_FAULT_CRASH:
    case HIST_FAULT_EXIT:
    case HIST_FAULT_CORRUPT:
        return WORLD_BREAKS;
    case HIST_FAULT_DELAY:
    case HIST_FAULT_STALL:
    case HIST_FAULT_SPIN:
        return WORLD_SLOWS;
    default:
        return NO_EFFECT; /* a sabotage is what the judge is there to catch */
    }
}

/* Unknown statuses come from a watcher that polls: a worker that nobody told to go and that ends
 * while no reload or stop has begun since its birth has crashed. */
static unsigned exit_effect(const struct world *w, const struct hist_record *r)
{
    const struct world_process *p = world_process(w, r->pid);
    if (r->a != UINT64_MAX)
        return WIFSIGNALED((int)r->a) || WEXITSTATUS((int)r->a) != 0 ? WORLD_EXITS : NO_EFFECT;
    bool told_to_go = p == NULL || world_told_to_go(p) || w->stop_ns != 0 ||
                      (w->reload_begun_ns != 0 && w->reload_begun_ns >= p->born_ns);
    return told_to_go ? NO_EFFECT : WORLD_EXITS;
}

static unsigned effect_of(const struct world *w, const struct hist_record *r)
{
    switch (r->kind) {
    case HIST_WATCH_EXIT:
    case HIST_ENGINE_WORKER_EXIT:
        return exit_effect(w, r);
    case HIST_DIRECTOR_SIGNAL:
        return signal_effect(r);
    case HIST_STORM_SIGNAL:
        return r->c == 0 ? signal_effect(r) : NO_EFFECT;
    case HIST_FAULT_FIRED:
        return fault_effect(r);
    case HIST_ENGINE_WATCHDOG:
        return WORLD_EXITS;
    default:
        return NO_EFFECT;
    }
}

void world_take_cause(struct world *w, const struct hist_record *r)
{
    struct world_tables *t = w->tables;
    if (r->kind == HIST_CLIENT_LAG) {
        t->lags[t->lag_count % WORLD_LAGS].t_ns = r->t_ns;
        t->lags[t->lag_count++ % WORLD_LAGS].lag_ns = r->a;
        return;
    }
    unsigned effect = r->kind >= HIST_WATCH_ROOT ? effect_of(w, r) : NO_EFFECT;
    if (effect == NO_EFFECT)
        return;
    t->causes[t->cause_count % WORLD_CAUSES].record = *r;
    t->causes[t->cause_count++ % WORLD_CAUSES].effect = (enum world_cause)effect;
}

/* A signal to the tree or the group is for everyone in it. */
static bool concerns(const struct hist_record *cause, uint32_t pid)
{
    bool signal = cause->kind == HIST_DIRECTOR_SIGNAL || cause->kind == HIST_STORM_SIGNAL;
    return pid == 0 || cause->pid == pid ||
           (signal && (cause->b == HIST_TO_ALL || cause->b == HIST_TO_GROUP));
}

const struct hist_record *world_cause(const struct world *w, uint32_t pid, uint64_t from_ns,
                                      uint64_t to_ns, unsigned which)
{
    const struct world_tables *t = w->tables;
    for (size_t i = 0; i < WORLD_CAUSES && i < t->cause_count; i++) {
        size_t at = (t->cause_count - 1 - i) % WORLD_CAUSES;
        const struct hist_record *cause = &t->causes[at].record;
        if (cause->t_ns < from_ns)
            return NULL;
        if (cause->t_ns <= to_ns && (t->causes[at].effect & which) != 0 && concerns(cause, pid))
            return cause;
    }
    return NULL;
}

bool world_lagged(const struct world *w, uint64_t from_ns, uint64_t to_ns, uint64_t limit_ns)
{
    const struct world_tables *t = w->tables;
    for (size_t i = 0; i < WORLD_LAGS && i < t->lag_count; i++) {
        size_t at = (t->lag_count - 1 - i) % WORLD_LAGS;
        uint64_t lag_ns = t->lags[at].lag_ns, end_ns = t->lags[at].t_ns;
        if (lag_ns > limit_ns && end_ns >= from_ns &&
            (lag_ns > end_ns ? 0 : end_ns - lag_ns) <= to_ns)
            return true;
    }
    return false;
}

bool world_mismeasured(const struct world *w, const struct hist_record *r, uint64_t took_ns)
{
    uint64_t from_ns = took_ns < r->t_ns ? r->t_ns - took_ns : 0;
    return (r->flags & HIST_BIT(HIST_F_LAGGING)) != 0 &&
           world_lagged(w, from_ns, r->t_ns, took_ns / 2);
}

/* ---- questions ------------------------------------------------------------------------------ */

const struct world_process *world_process(const struct world *w, uint32_t pid)
{
    const struct world_member *m = member_find(w, pid);
    return m == NULL ? NULL : &m->process;
}

void world_processes(const struct world *w, bool (*visit)(const struct world_process *p, void *arg),
                     void *arg)
{
    for (size_t i = 0; i < w->tables->process_count; i++)
        if (!visit(&w->tables->processes[i].process, arg))
            return;
}

struct room {
    uint64_t since_ns, full, others;
};

static bool room_one(const struct world_process *p, void *arg)
{
    struct room *room = arg;
    bool lived = p->is_worker && !p->is_master && (p->exit_ns == 0 || p->exit_ns >= room->since_ns);
    room->full += lived && p->full;
    room->others += lived && !p->full;
    return true;
}

bool world_was_full(const struct world *w, uint64_t since_ns)
{
    struct room room = {.since_ns = since_ns};
    world_processes(w, room_one, &room);
    return room.full > 0 && room.others == 0;
}
