/* mw-watch: watches the processes, descriptors, accept queues and pid file of a server and writes
 * what it sees to a history. */
#include <errno.h>
#include <ev.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "scenarios/witness/watch.h"

enum { EXIT_USAGE = 2, EXIT_ERROR = 3 };

static const char help[] =
    "mw-watch: watches a server's process tree, accept queues and pid file.\n"
    "\n"
    "  mw-watch --root PID --history FILE [--period-ms 10] [--port P ...]\n"
    "           [--pidfile PATH] [--poll]\n"
    "\n"
    "  --root PID       the master; it and all its descendants are watched\n"
    "  --history FILE   where to write; must not exist\n"
    "  --period-ms N    between two looks, 1 to 1000; default 10\n"
    "  --port P         a port whose listeners' queues are watched\n"
    "  --pidfile PATH   the pid file; PATH.oldbin is watched as well\n"
    "  --poll           do without the process connector (which needs root):\n"
    "                   what lives shorter than a period may be missed\n"
    "\n"
    "Tells the tree in JSON lines. Ends at end of input, `quit` or SIGTERM.\n"
    "Exit: 0 ended as asked, 2 usage, 3 it could not watch.\n";

struct program {
    struct watch watch;
    ev_timer period;
    ev_io input, ended;
    ev_signal term, interrupt;
    char line[16];
    size_t line_len;
};

/* ---- the loop ---------------------------------------------------------------------------------
 */

/* Who reads us may be slow; the watching must not wait for it. */
static bool reader_has_room(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&out, 1, 0) == 1 && (out.revents & POLLOUT);
}

static void tell_news(struct program *program)
{
    if (watch_has_news(&program->watch, hist_now_ns()) && reader_has_room())
        watch_tell(&program->watch, "tree", stdout);
}

static void on_period(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct program *program = timer->data;
    (void)loop;
    (void)events;
    watch_look(&program->watch);
    tell_news(program);
}

static void on_ended(struct ev_loop *loop, ev_io *io, int events)
{
    struct program *program = io->data;
    (void)loop;
    (void)events;
    watch_tree_take_ends(&program->watch.tree);
    tell_news(program);
}

static void on_signal(struct ev_loop *loop, ev_signal *signal, int events)
{
    (void)signal;
    (void)events;
    ev_break(loop, EVBREAK_ALL);
}

/* The only command is `quit`; what is not understood is passed over. */
static bool says_quit(struct program *program, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n') {
            if (program->line_len == 4 && memcmp(program->line, "quit", 4) == 0)
                return true;
            program->line_len = 0;
        } else if (program->line_len < sizeof program->line) {
            program->line[program->line_len++] = text[i];
        }
    }
    return false;
}

static void on_input(struct ev_loop *loop, ev_io *io, int events)
{
    char text[256];
    (void)events;
    ssize_t len = read(STDIN_FILENO, text, sizeof text);
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (len <= 0 || says_quit(io->data, text, (size_t)len))
        ev_break(loop, EVBREAK_ALL);
}

static void run(struct program *program)
{
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    double period = (double)program->watch.options.period_ns / 1e9;
    ev_timer_init(&program->period, on_period, period, period);
    ev_io_init(&program->input, on_input, STDIN_FILENO, EV_READ);
    ev_io_init(&program->ended, on_ended, program->watch.tree.ended_fd, EV_READ);
    ev_signal_init(&program->term, on_signal, SIGTERM);
    ev_signal_init(&program->interrupt, on_signal, SIGINT);
    program->period.data = program->input.data = program->ended.data = program;
    ev_timer_start(loop, &program->period);
    ev_io_start(loop, &program->input);
    ev_io_start(loop, &program->ended);
    ev_signal_start(loop, &program->term);
    ev_signal_start(loop, &program->interrupt);
    watch_tell_ready(&program->watch, stdout);
    watch_tell(&program->watch, "tree", stdout);
    ev_run(loop, 0);
    watch_look(&program->watch);
    watch_tell(&program->watch, "done", stdout);
    ev_loop_destroy(loop);
}

/* ---- the command line -------------------------------------------------------------------------
 */

static bool number(const char *text, const char *name, long least, long most, long *out)
{
    char *end;
    errno = 0;
    *out = strtol(text, &end, 10);
    if (errno == 0 && *text && !*end && *out >= least && *out <= most)
        return true;
    fprintf(stderr, "mw-watch: --%s %s: expected a whole number from %ld to %ld\n", name, text,
            least, most);
    return false;
}

static bool take_option(int which, const char *text, struct watch_options *options,
                        const char **history)
{
    long value;
    switch (which) {
    case 'r':
        if (!number(text, "root", 1, INT_MAX, &value))
            return false;
        options->root = (pid_t)value;
        return true;
    case 'm':
        if (!number(text, "period-ms", 1, 1000, &value))
            return false;
        options->period_ns = (uint64_t)value * 1000000u;
        return true;
    case 'p':
        if (!number(text, "port", 1, 65535, &value))
            return false;
        if (options->port_count < WATCH_PORTS_MAX)
            options->ports[options->port_count++] = (uint16_t)value;
        return true;
    case 'f':
        options->pidfile = text;
        return true;
    case 'h':
        *history = text;
        return true;
    default:
        options->poll = true;
        return true;
    }
}

static bool read_options(int argc, char **argv, struct watch_options *options, const char **history)
{
    static const struct option known[] = {{"root", required_argument, NULL, 'r'},
                                          {"history", required_argument, NULL, 'h'},
                                          {"period-ms", required_argument, NULL, 'm'},
                                          {"port", required_argument, NULL, 'p'},
                                          {"pidfile", required_argument, NULL, 'f'},
                                          {"poll", no_argument, NULL, 'l'},
                                          {"help", no_argument, NULL, '?'},
                                          {NULL, 0, NULL, 0}};
    for (int found; (found = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (found == '?')
            return false;
        if (!take_option(found, optarg, options, history))
            return false;
    }
    if (options->root && *history && optind == argc)
        return true;
    fprintf(stderr,
            "mw-watch: expected --root PID and --history FILE; mw-watch --help says more\n");
    return false;
}

/* Three descriptors for each process: the soft limit of a login shell is soon used up. */
static void raise_fd_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static int watch_all(const struct watch_options *options, struct hist_writer *history)
{
    static struct program program;
    char why[256];
    if (watch_open(&program.watch, options, history, why, sizeof why) != 0) {
        fprintf(stderr, "mw-watch: %s\n", why);
        return EXIT_ERROR;
    }
    run(&program);
    watch_close(&program.watch);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct watch_options options = {.period_ns = 10000000};
    struct hist_writer history;
    const char *path = NULL;
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(help, stdout);
        return EXIT_SUCCESS;
    }
    if (!read_options(argc, argv, &options, &path))
        return EXIT_USAGE;
    struct sigaction ignored = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignored, NULL); /* a reader that left does not end the watching */
    raise_fd_limit();
    int error = hist_open(&history, path, HIST_WATCH);
    if (error) {
        fprintf(stderr, "mw-watch: history %s: %s\n", path, strerror(-error));
        return EXIT_ERROR;
    }
    int status = watch_all(&options, &history);
    hist_close(&history);
    return status;
}
