/* The watcher. */
#include "scenarios/witness/watch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The tree is told at most this often. */
static const uint64_t tell_pause_ns = 20000000;

static void take(void *arg, const struct connector_event *event)
{
    watch_tree_take(arg, event);
}

/* A look takes a while, and a busy machine may interrupt it for long, so that one time for all it
 * sees would be wrong. A change (a file, a socket, an end, a reaping) is recorded with the time
 * right after it was seen: whatever brought it about was earlier, and nothing may seem to come
 * before its cause. What will not last (what a process is doing and uses) has the time right before
 * it was read: so it is never said of a process that has ended since. */
void watch_look(struct watch *watch)
{
    if (watch->connector_fd >= 0)
        connector_read(watch->connector_fd, take, &watch->tree);
    watch_tree_look(&watch->tree);
    watch_listen_look(&watch->listen);
    watch_pidfile_look(&watch->pidfile, &watch->tree);
}

static void put_root(struct watch *watch)
{
    struct hist_record record = {.kind = HIST_WATCH_ROOT,
                                 .slot = -1,
                                 .pid = (uint32_t)watch->options.root,
                                 .a = watch->connector_fd >= 0,
                                 .b = watch->options.period_ns};
    hist_put(watch->history, &record);
}

int watch_open(struct watch *watch, const struct watch_options *options,
               struct hist_writer *history, char *why, size_t why_size)
{
    *watch = (struct watch){.options = *options, .history = history, .connector_fd = -1};
    watch->listen.fd = -1;
    if (options->poll)
        snprintf(watch->reason, sizeof watch->reason, "asked to poll");
    else
        watch->connector_fd = connector_open(watch->reason, sizeof watch->reason);
    put_root(watch);
    int error = watch_tree_open(&watch->tree, options->root, watch->connector_fd >= 0, history);
    if (error) {
        snprintf(why, why_size, "process %ld: %s", (long)options->root, strerror(-error));
        goto fail;
    }
    error = watch_listen_open(&watch->listen, options->ports, options->port_count, history);
    if (error) {
        snprintf(why, why_size, "socket diagnosis: %s", strerror(-error));
        goto fail;
    }
    error = watch_pidfile_open(&watch->pidfile, options->pidfile);
    if (error) {
        snprintf(why, why_size, "pid file %s: %s", options->pidfile, strerror(-error));
        goto fail;
    }
    watch_look(watch);
    return 0;
fail:
    watch_close(watch);
    return error;
}

void watch_close(struct watch *watch)
{
    struct hist_record record = {
        .kind = HIST_WATCH_DONE, .slot = -1, .a = watch->tree.samples, .b = watch->tree.lost};
    hist_put(watch->history, &record);
    if (watch->connector_fd >= 0)
        connector_close(watch->connector_fd);
    watch->connector_fd = -1;
    watch_tree_close(&watch->tree);
    watch_listen_close(&watch->listen);
}

/* ---- telling ----------------------------------------------------------------------------------
 */

static uint64_t changes_of(const struct watch *watch)
{
    return watch->tree.changes + watch->listen.changes + watch->pidfile.changes;
}

bool watch_has_news(const struct watch *watch, uint64_t now_ns)
{
    return changes_of(watch) != watch->told_changes && now_ns - watch->told_ns >= tell_pause_ns;
}

static bool is_worker(const struct watch *watch, const struct watch_process *p)
{
    return p->parent == watch->options.root;
}

static int by_age(const void *left, const void *right)
{
    const struct watch_process *a = *(const struct watch_process *const *)left;
    const struct watch_process *b = *(const struct watch_process *const *)right;
    if (a->start_ticks != b->start_ticks)
        return a->start_ticks < b->start_ticks ? -1 : 1;
    return a->pid < b->pid ? -1 : a->pid > b->pid;
}

static void tell_processes(const struct watch *watch, bool workers, FILE *out)
{
    const struct watch_process *list[WATCH_CHILDREN_MAX];
    size_t count = 0;
    for (const struct watch_process *p = watch->tree.first; p; p = p->next)
        if (!p->exited && p->pid != watch->options.root && is_worker(watch, p) == workers &&
            count < WATCH_CHILDREN_MAX)
            list[count++] = p;
    qsort(list, count, sizeof list[0], by_age);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "%s{\"pid\":%ld,\"ppid\":%ld,\"state\":\"%c\",\"fds\":%" PRIu32 "}",
                i ? "," : "", (long)list[i]->pid, (long)list[i]->parent, list[i]->state,
                list[i]->fds);
}

static void tell_queues(const struct watch *watch, FILE *out)
{
    const char *separator = "";
    for (size_t i = 0; i < watch->listen.port_count; i++) {
        const struct watch_port *p = &watch->listen.ports[i];
        if (p->sockets == 0)
            continue;
        fprintf(out, "%s\"%u\":[%" PRIu32 ",%" PRIu32 "]", separator, p->port, p->waiting,
                p->limit);
        separator = ",";
    }
}

void watch_tell(struct watch *watch, const char *event, FILE *out)
{
    const struct watch_process *root = watch_tree_find(&watch->tree, watch->options.root);
    uint64_t now_ns = hist_now_ns();
    fprintf(out, "{\"event\":\"%s\",\"t_ns\":%" PRIu64 ",\"master\":%ld,\"alive\":%s,\"workers\":[",
            event, now_ns, (long)watch->options.root, root && !root->exited ? "true" : "false");
    tell_processes(watch, true, out);
    fprintf(out, "],\"others\":[");
    tell_processes(watch, false, out);
    fprintf(out, "],\"zombies\":%" PRIu64 ",\"pidfile\":%ld,\"oldbin\":%ld,\"queues\":{",
            watch->tree.zombies, (long)watch->pidfile.pids[0], (long)watch->pidfile.pids[1]);
    tell_queues(watch, out);
    fprintf(out, "},\"samples\":%" PRIu64 ",\"lost\":%" PRIu64 "}\n", watch->tree.samples,
            watch->tree.lost);
    fflush(out);
    watch->told_changes = changes_of(watch);
    watch->told_ns = now_ns;
}

void watch_tell_ready(const struct watch *watch, FILE *out)
{
    fprintf(out, "{\"event\":\"ready\",\"exact\":%s,\"reason\":\"%s\"}\n",
            watch->connector_fd >= 0 ? "true" : "false", watch->reason);
    fflush(out);
}
