/* Setters of what concerns the master, its workers and their limits. */
#include "engine/conf/load.h"

#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "engine/conf/setters.h"
#include "engine/conf/value.h"

bool set_user(struct load *load, struct scope *scope, const struct directive *directive,
              const struct statement *statement)
{
    (void)scope;
    (void)directive;
    struct conf *conf = load->conf;
    const struct word *user = &statement->args[0], *group = &statement->args[statement->count - 1];
    if (geteuid() != 0) {
        log_line(LEVEL_WARN, "the \"user\" directive makes sense only if the master process runs "
                             "with super-user privileges, ignored");
        return true;
    }
    if (getpwnam(user->text.at) == NULL)
        return load_fail(load, &user->place, "there is no user \"%s\"", user->text.at);
    if (getgrnam(group->text.at) == NULL)
        return load_fail(load, &group->place, "there is no group \"%s\"", group->text.at);
    return load_copy(load, user->text.at, user->text.len, &conf->user) &&
           load_copy(load, group->text.at, group->text.len, &conf->group);
}

bool set_path(struct load *load, struct scope *scope, const struct directive *directive,
              const struct statement *statement)
{
    const struct word *word = &statement->args[0];
    struct conf_str path;
    if (word->text.len == 0)
        return load_fail(load, &word->place, "invalid value \"\" in \"%s\" directive",
                         directive->name);
    if (!load_path(load, load->conf->prefix, word->text, &path))
        return false;
    scope_set(scope, directive_id(directive), 0, path);
    return true;
}

bool set_env(struct load *load, struct scope *scope, const struct directive *directive,
             const struct statement *statement)
{
    (void)scope;
    (void)directive;
    const struct word *word = &statement->args[0];
    if (word->text.len == 0 || word->text.at[0] == '=')
        return load_fail(load, &word->place,
                         "invalid value \"%s\" in \"env\" directive, it must be NAME or NAME=VALUE",
                         word->text.at);
    struct conf_str *env = load_add(load, &load->env, sizeof *env);
    return env != NULL && load_copy(load, word->text.at, word->text.len, env);
}

/* ---- how many workers, and where they run ---------------------------------------------------- */

/* The CPUs this process may use; every CPU where the kernel does not say. */
static unsigned cpus_allowed(cpu_set_t *set)
{
    CPU_ZERO(set);
    if (sched_getaffinity(0, sizeof *set, set) != 0) {
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        for (long cpu = 0; cpu < online && cpu < CPU_SETSIZE; cpu++)
            CPU_SET((size_t)cpu, set);
    }
    return (unsigned)CPU_COUNT(set);
}

bool set_worker_processes(struct load *load, struct scope *scope, const struct directive *directive,
                          const struct statement *statement)
{
    const struct word *word = &statement->args[0];
    uint64_t workers;
    cpu_set_t cpus;
    if (str_is(word->text, "auto")) {
        workers = cpus_allowed(&cpus);
        workers = workers == 0 ? 1 : workers > CONF_WORKERS_MAX ? CONF_WORKERS_MAX : workers;
    } else if (!value_number(word->text, &workers) || workers < 1 || workers > CONF_WORKERS_MAX) {
        return load_fail(load, &word->place,
                         "invalid value \"%s\" in \"%s\" directive, it must be 1 to %d or \"auto\"",
                         word->text.at, directive->name, CONF_WORKERS_MAX);
    }
    scope_set(scope, directive_id(directive), workers, (struct conf_str){"", 0});
    return true;
}

#define AFFINITY_CPUS 64 /* bits of a mask */

static bool affinity_mask(struct load *load, const struct word *word, uint64_t *mask)
{
    *mask = 0;
    if (word->text.len == 0 || word->text.len > AFFINITY_CPUS)
        return load_fail(load, &word->place,
                         "\"worker_cpu_affinity\" takes masks of 1 to %d binary digits: \"%s\"",
                         AFFINITY_CPUS, word->text.at);
    for (size_t i = 0; i < word->text.len; i++) {
        char digit = word->text.at[i];
        if (digit != '0' && digit != '1')
            return load_fail(load, &word->place,
                             "invalid character \"%c\" in \"worker_cpu_affinity\"", digit);
        *mask = *mask << 1 | (uint64_t)(digit == '1');
    }
    if (*mask == 0)
        return load_fail(load, &word->place, "\"worker_cpu_affinity\" mask \"%s\" names no CPU",
                         word->text.at);
    return true;
}

static bool affinity_add(struct load *load, uint64_t mask)
{
    uint64_t *slot = load_add(load, &load->affinity, sizeof *slot);
    if (slot != NULL)
        *slot = mask;
    return slot != NULL;
}

/* One mask for each CPU that may be used, so that workers take them in turn. */
static bool affinity_auto(struct load *load, uint64_t wanted)
{
    cpu_set_t cpus;
    cpus_allowed(&cpus);
    for (size_t cpu = 0; cpu < AFFINITY_CPUS; cpu++) {
        uint64_t mask = UINT64_C(1) << cpu;
        if (CPU_ISSET(cpu, &cpus) && (wanted & mask) != 0 && !affinity_add(load, mask))
            return false;
    }
    return true;
}

bool set_affinity(struct load *load, struct scope *scope, const struct directive *directive,
                  const struct statement *statement)
{
    (void)scope;
    (void)directive;
    uint64_t mask = UINT64_MAX;
    if (str_is(statement->args[0].text, "auto")) {
        if (statement->count > 2)
            return load_fail(load, &statement->args[2].place,
                             "invalid number of arguments in \"worker_cpu_affinity\" directive");
        if (statement->count == 2 && !affinity_mask(load, &statement->args[1], &mask))
            return false;
        load->conf->affinity_auto = true;
        return affinity_auto(load, mask);
    }
    for (size_t i = 0; i < statement->count; i++) {
        if (!affinity_mask(load, &statement->args[i], &mask) || !affinity_add(load, mask))
            return false;
    }
    return true;
}

bool set_priority(struct load *load, struct scope *scope, const struct directive *directive,
                  const struct statement *statement)
{
    const struct word *word = &statement->args[0];
    bool minus = str_begins(word->text, "-");
    struct conf_str digits = {word->text.at + minus, word->text.len - minus};
    uint64_t nice;
    if (!value_number(digits, &nice) || nice > 20)
        return load_fail(load, &word->place,
                         "invalid value \"%s\" in \"%s\" directive, it must be -20 to 20",
                         word->text.at, directive->name);
    scope_set(scope, directive_id(directive), 0, (struct conf_str){"", 0});
    load->conf->priority = minus ? -(int)nice : (int)nice;
    return true;
}

/* ---- our own ----------------------------------------------------------------------------------
 */

bool set_backoff(struct load *load, struct scope *scope, const struct directive *directive,
                 const struct statement *statement)
{
    (void)scope;
    uint64_t bounds[2];
    for (size_t i = 0; i < 2; i++) {
        const struct word *word = &statement->args[i];
        if (!value_time(word->text, &bounds[i]) || bounds[i] == 0)
            return load_fail(load, &word->place,
                             "invalid value \"%s\" in \"%s\" directive, it must be a time above 0",
                             word->text.at, directive->name);
    }
    if (bounds[0] > bounds[1])
        return load_fail(load, &statement->args[0].place,
                         "\"%s\" %s %s: the shortest wait is longer than the longest",
                         directive->name, statement->args[0].text.at, statement->args[1].text.at);
    load->conf->backoff_min_ns = bounds[0];
    load->conf->backoff_max_ns = bounds[1];
    return true;
}

bool set_handover(struct load *load, struct scope *scope, const struct directive *directive,
                  const struct statement *statement)
{
    (void)scope;
    const struct word *word = &statement->args[0];
    return str_is(word->text, "off") ||
           load_fail(load, &word->place,
                     "invalid value \"%s\" in \"%s\" directive, this build knows only \"off\"",
                     word->text.at, directive->name);
}

bool set_master_process(struct load *load, struct scope *scope, const struct directive *directive,
                        const struct statement *statement)
{
    (void)scope;
    const struct word *word = &statement->args[0];
    return str_is(word->text, "on") ||
           load_fail(load, &word->place,
                     "invalid value \"%s\" in \"%s\" directive, this build knows only \"on\": a "
                     "server is its master; use \"daemon off\" to stay in the foreground",
                     word->text.at, directive->name);
}

bool set_use(struct load *load, struct scope *scope, const struct directive *directive,
             const struct statement *statement)
{
    (void)scope;
    (void)directive;
    const struct word *word = &statement->args[0];
    return str_is(word->text, "epoll") ||
           load_fail(load, &word->place, "invalid event type \"%s\", there is only \"epoll\"",
                     word->text.at);
}
