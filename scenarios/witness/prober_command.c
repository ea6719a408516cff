/* Commands, one per line. */
#include "scenarios/witness/prober_command.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "scenarios/witness/prober_loop.h"
#include "scenarios/witness/prober_pool.h"

enum { COMMAND_BYTES_MAX = 4096 };

static void on_stdin(struct ev_loop *loop, struct ev_io *w, int revents);
static void on_signal(struct ev_loop *loop, struct ev_signal *w, int revents);

static struct {
    struct ev_io input;
    struct ev_signal terminate, interrupt;
    char text[COMMAND_BYTES_MAX];
    size_t len;
} command;

void prober_command_open(struct prober *p)
{
    signal(SIGPIPE, SIG_IGN);
    ev_io_init(&command.input, on_stdin, STDIN_FILENO, EV_READ);
    ev_io_start(p->loop, &command.input);
    ev_signal_init(&command.terminate, on_signal, SIGTERM);
    ev_signal_start(p->loop, &command.terminate);
    ev_signal_init(&command.interrupt, on_signal, SIGINT);
    ev_signal_start(p->loop, &command.interrupt);
}

const char *prober_command_run(struct prober *p, const char *line)
{
    char verb[16] = "", name[PROBER_NAME_MAX] = "", rate[32] = "", rest[2] = "";
    int words = sscanf(line, "%15s %31s %31s %1s", verb, name, rate, rest);
    if (words <= 0)
        return NULL;
    if (strcmp(verb, "quit") == 0 && words == 1) {
        prober_loop_quit(p);
        return NULL;
    }
    struct prober_population *pop = words >= 2 ? prober_pool_find(p, name) : NULL;
    uint64_t rate_milli;
    if (words >= 2 && pop == NULL)
        return "no population has this name";
    if (strcmp(verb, "start") == 0 && words == 2 && !p->quitting)
        prober_pool_start(pop);
    else if (strcmp(verb, "stop") == 0 && words == 2)
        prober_pool_stop(pop);
    else if (strcmp(verb, "release") == 0 && words == 2)
        prober_pool_release(pop);
    else if (strcmp(verb, "rate") == 0 && words == 3 &&
             prober_rate_parse(rate, strlen(rate), &rate_milli))
        prober_pool_set_rate(pop, rate_milli);
    else
        return "expected: start NAME, stop NAME, release NAME, rate NAME REQUESTS_PER_SECOND, quit";
    return NULL;
}

static void run_lines(struct prober *p)
{
    char *begin = command.text, *end;
    while ((end = memchr(begin, '\n', command.len)) != NULL) {
        *end = '\0';
        const char *fault = prober_command_run(p, begin);
        if (fault != NULL)
            fprintf(stderr, "mw-prober: command '%s': %s\n", begin, fault);
        command.len -= (size_t)(end + 1 - begin);
        begin = end + 1;
    }
    memmove(command.text, begin, command.len);
    if (command.len == sizeof(command.text)) {
        fprintf(stderr, "mw-prober: a command longer than %d bytes is ignored\n",
                COMMAND_BYTES_MAX - 1);
        command.len = 0;
    }
}

static void on_stdin(struct ev_loop *loop, struct ev_io *w, int revents)
{
    struct prober *p = (struct prober *)ev_userdata(loop);
    ssize_t n = read(w->fd, command.text + command.len, sizeof(command.text) - command.len);
    (void)revents;
    if (n > 0) {
        command.len += (size_t)n;
        run_lines(p);
    } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
        ev_io_stop(loop, w);
        if (!p->quitting)
            prober_loop_quit(p);
    }
}

static void on_signal(struct ev_loop *loop, struct ev_signal *w, int revents)
{
    (void)w;
    (void)revents;
    prober_loop_quit((struct prober *)ev_userdata(loop));
}
