/* Threads that take one seed after the other; each has a world of its own, so what a seed does
 * depends on nothing else. */
#include "engine/sim/sim_swarm.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/sim/sim_random.h"
#include "engine/sim/sim_show.h"

typedef unsigned long long ull;

enum { JOBS_MAX = 64, PROGRESS_MS = 250 };

struct shared {
    const struct sim_command *command;
    FILE *failures;
    struct sim_swarm *out;
    struct sim_coverage *coverage;
    pthread_mutex_t lock;
    pthread_cond_t left; /* a thread is done */
    uint64_t next;
    unsigned running;
    bool stop;
    double begun_s;
};

static _Thread_local char crash_text[4096];

void sim_expect_crash(const char *repeat)
{
    snprintf(crash_text, sizeof(crash_text), "crash: the core or the simulator aborted\n%s\n",
             repeat);
}

const char *sim_crash_text(void)
{
    return crash_text;
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- adding up --------------------------------------------------------------------------------
 */

static void add_guarantees(struct sim_swarm *t, const struct judge *judge, uint64_t seed)
{
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++) {
        enum verdict v = judge_result(judge, (enum guarantee)g)->verdict;
        t->holds[g] += v == VERDICT_HOLDS;
        if (v != VERDICT_VIOLATED)
            continue;
        t->violated[g]++;
        if (t->first_seed[g] == 0 || seed < t->first_seed[g])
            t->first_seed[g] = seed;
    }
}

static void add_result(struct sim_swarm *t, const struct sim *s, const struct sim_result *r,
                       uint64_t seed, bool differs)
{
    int code = sim_exit_code(r);
    t->seeds++;
    t->differ += differs;
    t->violations += r->violated > 0;
    t->stalled += code == SIM_NO_PROGRESS;
    t->broken += code == SIM_BROKEN;
    t->events += r->events;
    t->records += r->records;
    t->simulated_ns += r->simulated_ns;
    t->hash += sim_random_mix(r->hash ^ sim_random_mix(seed));
    t->worst = sim_worse(t->worst, differs ? SIM_BROKEN : code);
    add_guarantees(t, sim_judge(s), seed);
}

static void print_failure(struct shared *all, const struct sim *s, const struct sim_result *r,
                          uint64_t seed)
{
    char command[2048];
    fprintf(all->failures, "seed %llu\n", (ull)seed);
    if (r->broken != NULL)
        fprintf(all->failures, "broken: %s\n", r->broken);
    sim_show_violations(sim_judge(s), all->failures);
    sim_command_repeat(all->command, NULL, seed, command, sizeof(command));
    fprintf(all->failures, "%s\n", command);
    fflush(all->failures);
}

static void take_result(struct shared *all, const struct sim *s, const struct sim_result *r,
                        uint64_t seed, bool differs)
{
    bool failed = sim_failed(s, r, all->command->only) || differs;
    pthread_mutex_lock(&all->lock);
    add_result(all->out, s, r, seed, differs);
    if (failed && all->failures != NULL)
        print_failure(all, s, r, seed);
    if (failed && !all->command->keep_going)
        all->stop = true;
    pthread_mutex_unlock(&all->lock);
}

/* ---- threads ----------------------------------------------------------------------------------
 */

/* 0: there is none left. */
static uint64_t next_seed(struct shared *all)
{
    pthread_mutex_lock(&all->lock);
    bool none = all->stop || all->next > all->command->last;
    uint64_t seed = none ? 0 : all->next++;
    pthread_mutex_unlock(&all->lock);
    return seed;
}

static void run_seed(struct shared *all, struct sim *s, struct sim_plan *plan,
                     const struct sim_outputs *outputs, uint64_t seed)
{
    struct sim_result r, again;
    char command[2048];
    bool differs = false;
    if (!sim_command_plan(all->command, NULL, seed, plan))
        abort(); /* the rules were looked at before */
    sim_command_repeat(all->command, NULL, seed, command, sizeof(command));
    sim_expect_crash(command);
    if (all->command->twice) {
        static const struct sim_outputs nothing = {.history_path = NULL};
        struct sim *fresh = sim_new(); /* which knows nothing of the seeds before */
        sim_run(fresh, plan, &nothing, &again);
        sim_free(fresh);
    }
    sim_run(s, plan, outputs, &r);
    if (all->command->twice)
        differs = again.hash != r.hash || again.events != r.events;
    take_result(all, s, &r, seed, differs);
}

static void *work(void *argument)
{
    struct shared *all = argument;
    struct sim *s = sim_new();
    struct sim_plan *plan = malloc(sizeof(*plan));
    struct sim_coverage *coverage = calloc(1, sizeof(*coverage));
    if (plan == NULL || coverage == NULL)
        abort();
    struct sim_outputs outputs = {.status = all->command->verbose ? stdout : NULL,
                                  .coverage = all->coverage != NULL ? coverage : NULL};
    for (uint64_t seed = next_seed(all); seed != 0; seed = next_seed(all))
        run_seed(all, s, plan, &outputs, seed);
    pthread_mutex_lock(&all->lock);
    if (all->coverage != NULL)
        sim_coverage_add(all->coverage, coverage);
    all->running--;
    pthread_cond_signal(&all->left);
    pthread_mutex_unlock(&all->lock);
    sim_free(s);
    free(plan);
    free(coverage);
    return NULL;
}

static void print_progress(const struct shared *all)
{
    const struct sim_swarm *t = all->out;
    fprintf(stderr,
            "{\"seeds\": %llu, \"of\": %llu, \"violations\": %llu, \"no_progress\": %llu, "
            "\"broken\": %llu, \"events\": %llu, \"simulated_s\": %.0f, \"wall_s\": %.3f}\n",
            (ull)t->seeds, (ull)(all->command->last - all->command->first + 1), (ull)t->violations,
            (ull)t->stalled, (ull)(t->broken + t->differ), (ull)t->events,
            (double)t->simulated_ns / 1e9, now_s() - all->begun_s);
}

/* Until all threads are done. The lock is held, but for waiting. */
static void wait_for_all(struct shared *all)
{
    while (all->running > 0) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += PROGRESS_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&all->left, &all->lock, &until);
        if (all->command->progress)
            print_progress(all);
    }
}

void sim_swarm_run(const struct sim_command *c, FILE *failures, struct sim_coverage *coverage,
                   struct sim_swarm *out)
{
    pthread_t threads[JOBS_MAX];
    struct shared all = {.command = c,
                         .failures = failures,
                         .out = out,
                         .coverage = coverage,
                         .lock = PTHREAD_MUTEX_INITIALIZER,
                         .left = PTHREAD_COND_INITIALIZER,
                         .next = c->first,
                         .begun_s = now_s()};
    *out = (struct sim_swarm){.worst = SIM_HOLDS};
    pthread_mutex_lock(&all.lock);
    while (all.running < c->jobs && all.running < JOBS_MAX)
        if (pthread_create(&threads[all.running++], NULL, work, &all) != 0)
            abort();
    unsigned count = all.running;
    wait_for_all(&all);
    pthread_mutex_unlock(&all.lock);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    out->wall_s = now_s() - all.begun_s;
}

/* ---- the sum ----------------------------------------------------------------------------------
 */

static void print_lines(const struct sim_command *c, const struct sim_swarm *t, FILE *out)
{
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++) {
        fprintf(out, "%-30s held in %llu seeds", guarantee_name((enum guarantee)g),
                (ull)t->holds[g]);
        if (t->violated[g] > 0)
            fprintf(out, ", VIOLATED in %llu, first %llu", (ull)t->violated[g],
                    (ull)t->first_seed[g]);
        fputc('\n', out);
    }
    fprintf(out,
            "%llu seeds: %llu violations, %llu without progress, %llu broken, %llu not repeatable\n"
            "%.1f s for %.0f s simulated: %.0f seeds, %.0f events a second; history %016llx\n"
            "repeat: mw-sim swarm --seeds %llu..%llu%s%s%s%s\n",
            (ull)t->seeds, (ull)t->violations, (ull)t->stalled, (ull)t->broken, (ull)t->differ,
            t->wall_s, (double)t->simulated_ns / 1e9, (double)t->seeds / t->wall_s,
            (double)t->events / t->wall_s, (ull)t->hash, (ull)c->first, (ull)c->last,
            c->backends ? " --backends" : "", c->rules[0] != '\0' ? " --plan '" : "", c->rules,
            c->rules[0] != '\0' ? "'" : "");
}

static void print_object(const struct sim_swarm *t, FILE *out)
{
    char hash[17];
    json_t *guarantees = json_object();
    snprintf(hash, sizeof(hash), "%016llx", (ull)t->hash);
    for (unsigned g = 0; g < GUARANTEE_COUNT; g++)
        json_object_set_new(guarantees, guarantee_name((enum guarantee)g),
                            json_pack("{s:I, s:I, s:I}", "holds", (json_int_t)t->holds[g],
                                      "violated", (json_int_t)t->violated[g], "first_seed",
                                      (json_int_t)t->first_seed[g]));
    json_t *all = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:s, s:o}", "seeds",
        (json_int_t)t->seeds, "violations", (json_int_t)t->violations, "no_progress",
        (json_int_t)t->stalled, "broken", (json_int_t)t->broken, "not_repeatable",
        (json_int_t)t->differ, "events", (json_int_t)t->events, "records", (json_int_t)t->records,
        "wall_s", t->wall_s, "events_per_s", (double)t->events / t->wall_s, "simulated_s",
        (double)t->simulated_ns / 1e9, "times_real", (double)t->simulated_ns / 1e9 / t->wall_s,
        "history_hash", hash, "guarantees", guarantees);
    json_dumpf(all, out, JSON_REAL_PRECISION(9));
    fputc('\n', out);
    json_decref(all);
}

void sim_swarm_print(const struct sim_command *c, const struct sim_swarm *swarm, FILE *out)
{
    if (c->json)
        print_object(swarm, out);
    else
        print_lines(c, swarm, out);
}
