/* Talking to a running master: a signal to the process that the pid file names, and the reload's
 * outcome from its scoreboard. */
#include "engine/master/control.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/conf/conf.h"
#include "engine/master/find_pid.h"
#include "engine/master/listeners.h"
#include "engine/master/pidfile.h"
#include "engine/os/clock.h"
#include "engine/os/sys.h"
#include "engine/shm/scoreboard.h"
#include "faultinject/fault.h"
#include "scenarios/history/hist.h"

enum { LOOK_AGAIN_MS = 5 };

static int signal_of(const char *word)
{
    static const struct {
        const char *word;
        int number;
    } words[] = {
#define SIGNAL(name, event, word, text) {word, SIG##name},
#include "engine/master/signals.def"
#undef SIGNAL
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (*word != '\0' && strcmp(words[i].word, word) == 0)
            return words[i].number;
    return 0;
}

bool control_knows(const char *word)
{
    return signal_of(word) != 0;
}

static int fail(const char *what, const char *where, int err)
{
    fprintf(stderr, "mw-engine: [error] %s \"%s\" failed (%d: %s); is the server running?\n", what,
            where, -err, strerror(-err));
    return 1;
}

/* ---- waiting for a reload -------------------------------------------------------------- */

static int print_outcome(const struct score_report *report)
{
    bool ok = report->outcome == HIST_REPORT_OK;
    fprintf(ok ? stdout : stderr, "mw-engine: reload %s: %s\n", hist_report_name(report->outcome),
            report->text);
    return ok ? 0 : 1;
}

/* The first reload that begins after `before` has read the configuration after we were asked, so
 * its outcome is ours, whoever else asked for it. The master's end wakes us at once. */
static int await_outcome(const struct scoreboard *board, uint32_t before, int master_fd,
                         uint64_t patience_ns)
{
    uint64_t until_ns = clock_now_ns() + patience_ns;
    struct pollfd end = {.fd = master_fd, .events = POLLIN};
    struct score_report report;
    bool gone = false;

    while (!scoreboard_find_report(board, before, &report)) {
        if (gone) {
            fprintf(stderr, "mw-engine: [error] reload unknown: the master has ended\n");
            return 1;
        }
        if (clock_now_ns() > until_ns) {
            fprintf(stderr,
                    "mw-engine: [error] reload unknown: the master reported nothing within "
                    "%llu s\n",
                    (unsigned long long)(patience_ns / NS_PER_S));
            return 1;
        }
        gone = poll(&end, 1, LOOK_AGAIN_MS) > 0;
    }
    return print_outcome(&report);
}

static int reload_and_wait(pid_t pid, uint64_t reload_timeout_ns)
{
    int err, code = 1;
    int master_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    const struct scoreboard *board = scoreboard_attach(pid, &err);

    if (board == NULL || master_fd < 0) {
        fprintf(stderr,
                "mw-engine: [error] process %d is no master whose reloads can be watched "
                "(%s); was the pid file left behind?\n",
                (int)pid, strerror(board == NULL ? -err : errno));
    } else {
        /* A reload that is under way may have to end, or to fail late, before ours begins. */
        uint64_t patience_ns = 2 * reload_timeout_ns + 10 * NS_PER_S;
        uint32_t before = SCORE_GET(board->generation_tried);
        err = sys_kill(pid, SIGHUP);
        code = err < 0 ? fail("kill()", "HUP", err)
                       : await_outcome(board, before, master_fd, patience_ns);
    }
    if (board != NULL)
        scoreboard_detach(board);
    if (master_fd >= 0)
        sys_close(master_fd);
    return code;
}

/* ---- sending --------------------------------------------------------------------------- */

int control_send(const struct master_options *options, const char *word, bool wait)
{
    struct conf_error error;
    char path[4096], text[1024];
    uint64_t reload_timeout_ns = 30 * NS_PER_S;
    struct conf *conf = conf_load(options->conf_path, options->prefix, options->globals, &error);

    if (conf != NULL) {
        snprintf(path, sizeof(path), "%s", conf->pid_path.at);
        reload_timeout_ns = conf->reload_timeout_ns;
        conf_free(conf);
    } else {
        conf_error_print(&error, text, sizeof(text));
        /* Whoever waits for the outcome gets the master's own word; nobody else is told that
         * a reload was asked for that cannot succeed. Stopping must always be possible. */
        if ((!wait && signal_of(word) == SIGHUP) || !find_pid_path(options, path, sizeof(path))) {
            fprintf(stderr, "mw-engine: %s\n", text);
            return 1;
        }
    }
    pid_t pid = pidfile_read(path);
    if (pid == -EINVAL)
        fprintf(stderr, "mw-engine: [error] the pid file \"%s\" holds no process id\n", path);
    else if (pid < 0)
        fail("reading the pid file", path, (int)pid);
    if (pid < 0)
        return 1;
    if (wait)
        return reload_and_wait(pid, reload_timeout_ns);
    int err = sys_kill(pid, signal_of(word));
    return err < 0 ? fail("kill() of the process in", path, err) : 0;
}

/* ---- sabotage test_listens --------------------------------------------------------------- */

/* Opens the listeners as well, and closes them on whoever has come. */
void control_sabotage_test(const struct conf *conf)
{
    struct listeners set = {.count = 0};
    struct listeners_error error;
    if (fault_attach() < 0 || !fault_sabotage(FAULT_sabotage_test_listens))
        return;
    int *fds = sys_calloc(conf->listen_count + 1, sizeof(*fds));
    if (fds != NULL && listeners_open(&set, conf, fds, &error) == 0)
        poll(NULL, 0, 150);
    listeners_keep(&set, NULL);
    free(set.at);
    free(fds);
}
