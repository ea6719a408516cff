/* The backends: processes behind the server, which answer what its workers hand on to them, each in
 * the mood that the director has put it into. They are not the server's: nobody watches them, and
 * what they do is in no history but for what it does to clients. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "engine/sim/sim.h"

enum { TAG_LISTENER = 1, TAG_CONNECTION = 16, BACKLOG = 510, LONG_PARTS = 5 };
/* As a backend of real stories trickles: byte by byte, of which some make one of these pieces. */
enum { TRICKLE_PIECES = 15, TRICKLE_HEAD = 9 };
static const uint64_t trickle_ns = 200 * SIM_MS, part_ns = 20 * SIM_MS;

static struct sim_backend *backend_of(struct sim *s, unsigned process)
{
    return &s->backends.at[s->backends.of_process[process] - 1];
}

static uint16_t port_of(const struct sim *s, const struct sim_backend *b)
{
    return (uint16_t)(SIM_BACKEND_PORT + (b - s->backends.at));
}

/* ---- listening --------------------------------------------------------------------------------
 */

static void watch_listener(struct sim *s, const struct sim_backend *b)
{
    if (b->listen_fd >= 0)
        kernel_watch(&s->kernel, b->process, b->listen_fd, TAG_LISTENER);
}

static void start(struct sim *s, struct sim_backend *b)
{
    int process = kernel_fork(&s->kernel, KERNEL_INIT);
    if (process < 0)
        return;
    b->process = (unsigned)process;
    b->alive = true;
    b->listen_fd = -1;
    memset(b->asked, 0, sizeof(b->asked));
    s->backends.of_process[process] = (uint8_t)(b - s->backends.at + 1);
    s->kernel.processes[process].delay_ns = s->plan.delay_ns;
    s->kernel.processes[process].jitter_ns = s->plan.jitter_ns;
}

static void open_or_close(struct sim *s, struct sim_backend *b, bool listens)
{
    if (listens == (b->listen_fd >= 0))
        return;
    if (listens) {
        b->listen_fd = kernel_listen(&s->kernel, b->process, port_of(s, b), BACKLOG);
        watch_listener(s, b);
    } else {
        kernel_close(&s->kernel, b->process, b->listen_fd);
        b->listen_fd = -1;
    }
}

static void end(struct sim *s, struct sim_backend *b)
{
    kernel_exit(&s->kernel, b->process, SIGKILL);
    s->backends.of_process[b->process] = 0;
    b->alive = false;
    b->listen_fd = -1;
}

/* ---- answering --------------------------------------------------------------------------------
 */

static void forget(struct sim *s, struct sim_backend *b, int fd, bool reset)
{
    b->asked[fd].left = 0;
    if (reset)
        kernel_close_reset(&s->kernel, b->process, fd);
    else
        kernel_close(&s->kernel, b->process, fd);
    watch_listener(s, b); /* it may have been left alone for want of a descriptor */
}

static void wait_until(struct sim *s, const struct sim_backend *b, int fd, uint64_t due_ns)
{
    kernel_timer(&s->kernel, b->process, due_ns, (uint16_t)(TAG_CONNECTION + fd));
}

/* What becomes of a request is decided when it has been read. */
static void take_request(struct sim *s, struct sim_backend *b, int fd,
                         const struct kernel_segment *head)
{
    struct sim_asked *a = &b->asked[fd];
    struct sim_random *random = &s->kernel.processes[b->process].random;
    uint64_t service_ns =
        head->service_us > 0 ? head->service_us * UINT64_C(1000) : s->plan.service_ns;
    uint64_t spread_ns = head->spread_ms * SIM_MS / LONG_PARTS;
    *a = (struct sim_asked){.req = head->req, .left = 1, .period_ns = part_ns};
    a->due_ns = s->kernel.now_ns + service_ns / 2 + sim_random_below(random, service_ns);
    if (head->flags & SEGMENT_LONG) {
        a->left = LONG_PARTS;
        a->period_ns = spread_ns > 0 ? spread_ns : part_ns;
    }
    switch (b->mood) {
    case SIM_MOOD_REFUSE: /* over a connection that was there already */
    case SIM_MOOD_RESET:
        forget(s, b, fd, true);
        return;
    case SIM_MOOD_STALL:
        a->left = 0;
        return;
    case SIM_MOOD_TRICKLE:
        a->left = TRICKLE_PIECES;
        a->before_head = TRICKLE_HEAD;
        a->period_ns = trickle_ns;
        a->closes = true;
        break;
    default:
        break;
    }
    wait_until(s, b, fd, a->due_ns);
}

static void answer(struct sim *s, struct sim_backend *b, int fd)
{
    struct sim_asked *a = &b->asked[fd];
    if (a->left == 0 || a->due_ns > s->kernel.now_ns)
        return; /* an earlier connection's */
    bool last = a->left == 1, head = a->before_head == 0 && !a->begun;
    const struct kernel_segment segment = {
        .kind = SEGMENT_ANSWER,
        .flags = (uint8_t)((head ? SEGMENT_FIRST : 0) | (last ? SEGMENT_LAST : 0)),
        .bytes = 200,
        .slot = -1,
        .req = a->req,
    };
    a->begun = a->begun || head;
    a->before_head -= a->before_head > 0;
    a->left--;
    bool sent = kernel_send(&s->kernel, b->process, fd, &segment);
    if (!sent || (last && a->closes)) {
        forget(s, b, fd, false);
    } else if (!last) {
        a->due_ns = s->kernel.now_ns + a->period_ns;
        wait_until(s, b, fd, a->due_ns);
    }
}

static void receive(struct sim *s, struct sim_backend *b, int fd)
{
    struct kernel_segment segment;
    const struct kernel_file *f = kernel_file(&s->kernel, b->process, fd);
    if (f == NULL || f->kind != FILE_SOCKET)
        return; /* an earlier connection's */
    enum kernel_recv got = kernel_recv(&s->kernel, b->process, fd, &segment);
    if (got == RECV_DATA)
        take_request(s, b, fd, &segment);
    else if (got != RECV_EMPTY)
        forget(s, b, fd, false);
}

static void accept_all(struct sim *s, struct sim_backend *b)
{
    int fd;
    if (b->listen_fd < 0)
        return;
    while ((fd = kernel_accept(&s->kernel, b->process, b->listen_fd)) >= 0)
        kernel_watch(&s->kernel, b->process, fd, (uint16_t)(TAG_CONNECTION + fd));
    if (fd == -EMFILE) /* until a connection has gone */
        kernel_unwatch(&s->kernel, b->process, b->listen_fd);
}

void sim_backend_turn(struct sim *s, unsigned process)
{
    struct sim_backend *b = backend_of(s, process);
    struct kernel_note note;
    uint32_t notes = s->kernel.processes[process].inbox_count;
    while (notes-- > 0 && kernel_inbox(&s->kernel, process, &note)) {
        if (note.tag == TAG_LISTENER)
            accept_all(s, b);
        else if (note.item == KERNEL_TIMER)
            answer(s, b, note.tag - TAG_CONNECTION);
        else
            receive(s, b, note.tag - TAG_CONNECTION);
    }
}

/* ---- moods ------------------------------------------------------------------------------------
 */

/* How long after the last trouble requests may still suffer from it: the workers leave a server out
 * that has failed, and who waits for several of them waits for each. */
static uint64_t aftermath_ns(const struct sim *s)
{
    return s->plan.fail_timeout_ns + 2 * (s->plan.backends + 1) * s->plan.proxy_timeout_ns;
}

static void tell_trouble(struct sim *s, bool trouble)
{
    if (trouble != s->backends.trouble)
        sim_director_param(s, HIST_P_BACKEND_TROUBLE, trouble);
    s->backends.trouble = trouble;
}

void sim_backends_calmed(struct sim *s, uint32_t turn)
{
    if (turn == s->backends.turn)
        tell_trouble(s, false);
}

static bool all_are_well(const struct sim *s)
{
    for (uint32_t i = 0; i < s->plan.backends; i++)
        if (s->backends.at[i].mood != SIM_MOOD_WELL)
            return false;
    return true;
}

void sim_backends_troubled(struct sim *s)
{
    s->backends.turn++;
    tell_trouble(s, true);
    if (all_are_well(s))
        kernel_outside(&s->kernel, s->kernel.now_ns + aftermath_ns(s), SIM_OUT_BACKENDS,
                       s->backends.turn);
}

static void set_mood(struct sim *s, struct sim_backend *b, enum sim_mood mood)
{
    if (b->alive && mood == SIM_MOOD_DEAD)
        end(s, b);
    else if (!b->alive && mood != SIM_MOOD_DEAD)
        start(s, b);
    b->mood = (uint8_t)mood;
    if (b->alive)
        open_or_close(s, b, mood != SIM_MOOD_REFUSE);
}

/* Counted around, as workers are. */
void sim_backend_mood(struct sim *s, uint32_t which, enum sim_mood mood)
{
    struct sim_backend *b = &s->backends.at[s->plan.backends > 0 ? which % s->plan.backends : 0];
    if (s->plan.backends == 0 || b->mood == mood)
        return;
    set_mood(s, b, mood);
    sim_backends_troubled(s);
}

void sim_backends_start(struct sim *s)
{
    for (uint32_t i = 0; i < s->plan.backends; i++) {
        s->backends.at[i].alive = false;
        set_mood(s, &s->backends.at[i], SIM_MOOD_WELL);
    }
}

void sim_backends_heal(struct sim *s)
{
    for (uint32_t i = 0; i < s->plan.backends; i++)
        if (s->backends.at[i].mood != SIM_MOOD_WELL)
            sim_backend_mood(s, i, SIM_MOOD_WELL);
}
