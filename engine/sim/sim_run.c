/* One run: the world is set up, time passes until everybody is gone, the judge decides. */
#include "engine/sim/sim_run.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "engine/sim/sim.h"

/* ---- the history ------------------------------------------------------------------------------
 */

__extension__ typedef unsigned __int128 wide;

/* Both halves of the product: neither word is lost when the other has many zeroes. */
static inline uint64_t fold(uint64_t a, uint64_t b)
{
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Words in pairs, each pair's product folded: the products need not wait for each other. The words
 * are those of the record in memory, put together from its fields: they were written a moment ago,
 * and a load that is wider than the store before it waits until that is done. */
static uint64_t hash_record(uint64_t hash, uint64_t t_ns, const struct hist_record *r)
{
    uint64_t kinds = (uint64_t)r->kind | (uint64_t)r->role << 16 |
                     (uint64_t)(uint16_t)r->slot << 32 | (uint64_t)r->flags << 48;
    uint64_t who = (uint64_t)r->pid | (uint64_t)r->gen << 32;
    uint64_t sum =
        fold(t_ns ^ UINT64_C(0x9e3779b97f4a7c15), kinds ^ UINT64_C(0xbf58476d1ce4e5b9)) +
        fold(who ^ UINT64_C(0x94d049bb133111eb), r->conn ^ UINT64_C(0xa0761d6478bd642f)) +
        fold(r->req ^ UINT64_C(0xe7037ed1a0b428db), r->a ^ UINT64_C(0x8ebc6af09c88c6e3)) +
        fold(r->b ^ UINT64_C(0x589965cc75374cc3), r->c ^ UINT64_C(0x1d8e4e27c47d124f));
    return (hash ^ sum) * UINT64_C(0x9e3779b97f4a7c15) + (hash >> 29);
}

void sim_record(struct sim *s, struct hist_record *r)
{
    r->t_ns = s->kernel.now_ns;
    s->hash = hash_record(s->hash, r->t_ns, r);
    s->records++;
    judge_observe(s->judge, r);
    if (__builtin_expect(s->history.window != NULL, 0)) {
        s->history.role = r->role;
        hist_put(&s->history, r);
    }
}

/* ---- the kernel's hooks -----------------------------------------------------------------------
 */

static void on_run(struct kernel *k, unsigned process)
{
    struct sim *s = sim_of(k);
    struct sim_master *m = sim_master_of(s, process);
    if (m == NULL && sim_is_backend(s, process)) {
        sim_backend_turn(s, process);
        return;
    }
    if (m == NULL) {
        sim_worker_turn(s, process);
        return;
    }
    s->master = m;
    sim_master_turn(s);
    s->master = &s->masters[0];
}

static void on_signalled(struct kernel *k, unsigned process, int number)
{
    struct sim *s = sim_of(k);
    struct sim_master *m = sim_master_of(s, process);
    if (m == NULL) {
        sim_worker_signalled(s, process, number);
        return;
    }
    s->master = m;
    sim_master_signalled(s, number);
    s->master = &s->masters[0];
}

static void put_watch(struct sim *s, enum hist_kind kind, uint32_t pid, uint64_t a, uint64_t b)
{
    sim_record(
        s, &(struct hist_record){
               .kind = (uint16_t)kind, .role = HIST_WATCH, .slot = -1, .pid = pid, .a = a, .b = b});
}

static void on_ended(struct kernel *k, unsigned process)
{
    struct sim *s = sim_of(k);
    const struct kernel_process *p = &k->processes[process];
    if (sim_is_backend(s, process))
        return;
    put_watch(s, HIST_WATCH_EXIT, p->pid, (uint64_t)(unsigned)p->status,
              k->processes[p->parent].pid);
    struct sim_master *m = sim_master_of(s, process);
    if (m != NULL)
        m->gone = true;
    if (m == &s->masters[0] && sim_upgrade_succeeds(s))
        kernel_outside(k, k->now_ns, SIM_OUT_ADOPT, 0); /* it is in the middle of something */
    else if (m == &s->masters[0])
        sim_director_master_gone(s, p->status);
}

static void on_reaped(struct kernel *k, unsigned process)
{
    const struct kernel_process *p = &k->processes[process];
    if (sim_is_backend(sim_of(k), process))
        return;
    put_watch(sim_of(k), HIST_WATCH_REAPED, p->pid, k->now_ns - p->ended_ns, 0);
}

static void on_client(struct kernel *k, uint32_t client, enum kernel_client_event event,
                      const struct kernel_segment *segment)
{
    sim_client_event(sim_of(k), client, event, segment);
}

static void on_outside(struct kernel *k, uint16_t what, uint32_t a)
{
    sim_director_outside(sim_of(k), (enum sim_outside)what, a);
}

/* ---- a run ------------------------------------------------------------------------------------
 */

struct sim *sim_new(void)
{
    struct sim *s = calloc(1, sizeof(*s));
    if (s == NULL)
        abort();
    return s;
}

void sim_free(struct sim *s)
{
    judge_free(s->judge);
    free(s);
}

const struct judge *sim_judge(const struct sim *s)
{
    return s->judge;
}

const char *sim_trouble(const struct sim *s, unsigned number)
{
    return number < s->story.trouble_count ? s->story.trouble[number] : NULL;
}

static void reset(struct sim *s, const struct sim_plan *plan, const struct sim_outputs *outputs)
{
    static const struct kernel_hooks hooks = {.run = on_run,
                                              .signalled = on_signalled,
                                              .ended = on_ended,
                                              .reaped = on_reaped,
                                              .client = on_client,
                                              .outside = on_outside};
    kernel_init(&s->kernel, &hooks, s, plan->seed);
    s->kernel.latency_ns = plan->latency_ns;
    s->kernel.pid_max = plan->pid_max;
    s->kernel.now_ns = SIM_SECOND; /* 0 means `never` in places */
    sim_plan_copy(&s->plan, plan);
    judge_free(s->judge);
    s->judge = judge_new();
    s->status = outputs->status;
    s->trace = outputs->trace;
    s->coverage = outputs->coverage;
    s->hash = plan->seed;
    s->records = 0;
    s->broken = NULL;
    memset(&s->board, 0, sizeof(s->board));
    fault_board_init(&s->board, plan->seed);
    memset(s->selves, 0, sizeof(s->selves));
    memset(s->stalls, 0, sizeof(s->stalls));
    s->board_file = (struct fault_board_file){.board = &s->board, .fd = -1};
    memset(s->masters, 0, sizeof(s->masters));
    memset(s->backends.of_process, 0, sizeof(s->backends.of_process));
    s->backends.trouble = false;
    s->master = &s->masters[0];
    s->clients.used = s->clients.free = s->clients.number = 0;
    memset(s->clients.loads, 0, sizeof(s->clients.loads));
    s->clients.timer_ns = s->clients.req = s->clients.requests = s->clients.failed = 0;
    s->clients.stopped = s->clients.paused = false;
    memset(&s->director, 0, sizeof(s->director));
    memset(&s->story, 0, sizeof(s->story));
}

static bool anybody_left(const struct sim *s)
{
    for (unsigned i = 1; i < s->kernel.processes_used; i++)
        if (kernel_alive(&s->kernel, i) && !sim_is_backend(s, i))
            return true;
    return false;
}

/* Until the whole tree is gone, or has had more than enough time for it. */
static void pass_time(struct sim *s)
{
    uint64_t limit_ns = s->kernel.now_ns + 400 * SIM_SECOND;
    while (s->broken == NULL || s->director.stopping) {
        if (s->director.stopping && !anybody_left(s))
            break;
        uint64_t until_ns = limit_ns;
        if (s->director.stopping)
            until_ns = s->director.stop_ns + s->plan.drain_ns + 8 * SIM_SECOND;
        if (!kernel_next(&s->kernel, until_ns)) {
            if (s->broken == NULL)
                s->broken = "progress: not all processes are gone after the stop";
            break;
        }
    }
}

static void check_leftovers(struct sim *s)
{
    uint64_t processes = 0;
    for (unsigned i = 1; i < s->kernel.processes_used; i++)
        processes += kernel_alive(&s->kernel, i) && !sim_is_backend(s, i);
    const uint64_t found[] = {processes, kernel_listener(&s->kernel, SIM_PORT) != NULL};
    const enum hist_leftover kinds[] = {HIST_LEFT_PROCESS, HIST_LEFT_LISTENER};
    for (int i = 0; i < 2; i++)
        sim_record(s, &(struct hist_record){.kind = HIST_DIRECTOR_CHECKED,
                                            .role = HIST_DIRECTOR,
                                            .slot = -1,
                                            .a = kinds[i],
                                            .b = found[i]});
}

/* In a folder, which is made, as witnesses of real runs do. 0, or errno. */
static int open_history(struct sim *s, const char *folder)
{
    char path[4096];
    if (mkdir(folder, 0777) < 0 && errno != EEXIST)
        return errno;
    if (snprintf(path, sizeof(path), "%s/sim.mwh", folder) >= (int)sizeof(path))
        return ENAMETOOLONG;
    return -hist_open(&s->history, path, HIST_SIM);
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * SIM_SECOND + (uint64_t)t.tv_nsec;
}

void sim_run(struct sim *s, const struct sim_plan *plan, const struct sim_outputs *outputs,
             struct sim_result *result)
{
    *result = (struct sim_result){.error = 0};
    uint64_t cpu_ns = thread_cpu_ns();
    reset(s, plan, outputs);
    if (outputs->history_path != NULL)
        result->error = open_history(s, outputs->history_path);
    uint64_t begun_ns = s->kernel.now_ns;
    sim_director_start(s);
    pass_time(s);
    uint64_t ended_ns = s->kernel.now_ns;
    while (kernel_next(&s->kernel, ended_ns + 100 * SIM_MS))
        ; /* what is under way between clients and those who are gone */
    if (s->director.ready)
        sim_clients_stop(s);
    check_leftovers(s);
    sim_record(s,
               &(struct hist_record){.kind = HIST_DIRECTOR_END, .role = HIST_DIRECTOR, .slot = -1});
    hist_close(&s->history);
    judge_finish(s->judge);
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++)
        result->violated += judge_result(s->judge, (enum guarantee)g)->verdict == VERDICT_VIOLATED;
    result->events = s->kernel.events;
    result->records = s->records;
    result->hash = s->hash;
    result->simulated_ns = s->kernel.now_ns - begun_ns;
    result->requests = s->clients.requests;
    result->failed = s->clients.failed;
    result->broken = s->broken;
    result->cpu_ns = thread_cpu_ns() - cpu_ns;
}

bool sim_failed(const struct sim *s, const struct sim_result *result, enum guarantee g)
{
    if (g == GUARANTEE_COUNT)
        return result->violated > 0 || result->broken != NULL;
    return judge_result(s->judge, g)->verdict == VERDICT_VIOLATED;
}
