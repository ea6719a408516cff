/* A worker's connections to backends: what engine/worker/worker_upstream.c does for a proxied
 * request and engine/http/talk.c remembers of it, with the same decisions: which server is asked
 * (engine/core/balance.h), and whether another one may be (engine/upstream/retry.h). */
#include <errno.h>
#include <string.h>

#include "engine/sim/sim.h"

enum { KEPT_MAX = 8 }; /* `keepalive` of the upstream */
static const uint64_t kept_ns = 60 * SIM_SECOND;
/* proxy_next_upstream as it is without the directive. */
static const struct conf_proxy conf = {.next = PROXY_NEXT_ERROR | PROXY_NEXT_TIMEOUT};

static int ask(struct sim *s, struct sim_worker *w, uint32_t number);

static struct sim_proxy *proxy_of(struct sim *s, const struct sim_worker *w)
{
    return &s->proxies[w->process];
}

static uint16_t tag_of(const struct sim_proxy *p, const struct sim_uplink *u)
{
    return (uint16_t)(SIM_TAG_UPLINK + (u - p->uplinks));
}

void sim_proxy_start(struct sim *s, unsigned process)
{
    struct sim_proxy *p = &s->proxies[process];
    memset(p, 0, sizeof(*p));
    for (uint32_t i = 0; i < s->plan.backends; i++)
        p->servers[i] = (struct balance_server){
            .fail_timeout_ns = s->plan.fail_timeout_ns, .weight = 1, .max_fails = 1};
    p->random = sim_random_next(&s->kernel.processes[process].random) | 1;
    p->group = (struct balance_group){.servers = p->servers,
                                      .states = p->states,
                                      .count = s->plan.backends,
                                      .primaries = s->plan.backends,
                                      .random = &p->random,
                                      .method = BALANCE_ROUND_ROBIN};
    balance_init(&p->group);
}

/* ---- uplinks ----------------------------------------------------------------------------------
 */

/* One timer serves all of a worker; one that comes too early looks again. */
static void arm(struct sim *s, const struct sim_worker *w, uint64_t due_ns)
{
    struct sim_proxy *p = proxy_of(s, w);
    if (p->timer_ns != 0 && p->timer_ns <= due_ns)
        return;
    p->timer_ns = due_ns;
    kernel_timer(&s->kernel, w->process, due_ns, SIM_TAG_UPLINKS_DUE);
}

static void wait_for(struct sim *s, const struct sim_worker *w, struct sim_uplink *u, uint64_t ns)
{
    u->due_ns = s->kernel.now_ns + ns;
    arm(s, w, u->due_ns);
}

/* They take a part of worker_connections. */
static void count(struct sim *s, struct sim_worker *w, int change)
{
    struct sim_proxy *p = proxy_of(s, w);
    p->count += (uint32_t)change;
    sim_worker_happen(s, w, ADM_EV_OTHERS, p->count);
}

static void close_uplink(struct sim *s, struct sim_worker *w, struct sim_uplink *u)
{
    proxy_of(s, w)->kept -= u->state == UPLINK_IDLE;
    u->state = UPLINK_NONE;
    kernel_close(&s->kernel, w->process, u->fd);
    count(s, w, -1);
}

/* Of those that are idle, of one server or of all (-1): the youngest, which its server is least
 * likely to close just now, or the one that has been idle longest. */
static struct sim_uplink *find_idle(struct sim_proxy *p, int server, bool youngest)
{
    struct sim_uplink *found = NULL;
    for (uint32_t i = 0; p->kept > 0 && i < p->high; i++) {
        struct sim_uplink *u = &p->uplinks[i];
        if (u->state != UPLINK_IDLE || (server >= 0 && u->server != server))
            continue;
        if (found == NULL || (youngest ? u->due_ns > found->due_ns : u->due_ns < found->due_ns))
            found = u;
    }
    return found;
}

uint32_t sim_uplinks_relieve(struct sim *s, struct sim_worker *w, uint32_t most)
{
    uint32_t closed = 0;
    while (s->plan.backends > 0 && closed < most && proxy_of(s, w)->kept > 0) {
        close_uplink(s, w, find_idle(proxy_of(s, w), -1, false));
        closed++;
    }
    return closed;
}

static void keep(struct sim *s, struct sim_worker *w, struct sim_uplink *u)
{
    struct sim_proxy *p = proxy_of(s, w);
    if (w->adm.state == ADM_DRAINING) {
        close_uplink(s, w, u);
        return;
    }
    u->state = UPLINK_IDLE;
    wait_for(s, w, u, kept_ns);
    if (++p->kept > KEPT_MAX)
        close_uplink(s, w, find_idle(p, -1, false));
}

/* A descriptor, or what socket() or connect() said. */
static int connect_to(struct sim *s, const struct sim_worker *w, int server)
{
    int err = sim_fault_step(s, w->process, FAULT_net_socket);
    if (err == 0)
        err = sim_fault_step(s, w->process, FAULT_net_connect);
    if (err < 0)
        sim_backends_troubled(s);
    if (err < 0)
        return err;
    if (!kernel_alive(&s->kernel, w->process))
        return -EINTR; /* who only hangs goes on from here */
    return kernel_connect_from(&s->kernel, w->process, (uint16_t)(SIM_BACKEND_PORT + server));
}

/* 0, or why there is none. */
static int open_uplink(struct sim *s, struct sim_worker *w, int server, struct sim_uplink **out)
{
    struct sim_proxy *p = proxy_of(s, w);
    uint32_t i = 0;
    int fd = connect_to(s, w, server);
    if ((fd == -EMFILE || fd == -ENFILE) && sim_uplinks_relieve(s, w, 1) > 0)
        fd = connect_to(s, w, server);
    if (fd < 0)
        return fd;
    while (i < p->high && p->uplinks[i].state != UPLINK_NONE)
        i++;
    p->high += i == p->high;
    p->uplinks[i] = (struct sim_uplink){.fd = fd, .state = UPLINK_CONNECTING};
    *out = &p->uplinks[i];
    kernel_watch(&s->kernel, w->process, fd, tag_of(p, *out));
    count(s, w, 1);
    return 0;
}

/* ---- tries ------------------------------------------------------------------------------------
 */

static void release(struct sim *s, const struct sim_worker *w, struct sim_talk *talk,
                    enum balance_outcome outcome)
{
    if (talk->server == BALANCE_NONE)
        return;
    balance_release(&proxy_of(s, w)->group, talk->server, outcome, s->kernel.now_ns);
    talk->server = BALANCE_NONE;
    talk->retry.tries_left -= talk->retry.tries_left > 0;
}

static void drop(struct sim *s, struct sim_worker *w, struct sim_talk *talk)
{
    if (talk->uplink == 0)
        return;
    struct sim_uplink *u = &proxy_of(s, w)->uplinks[talk->uplink - 1];
    talk->uplink = 0;
    close_uplink(s, w, u);
}

static void send_request(struct sim *s, struct sim_worker *w, struct sim_uplink *u)
{
    struct sim_talk *talk = &proxy_of(s, w)->talks[u->connection];
    struct kernel_segment head = w->connections[u->connection].head;
    head.flags &= SEGMENT_LONG;
    head.bytes = 0; /* the body was kept, and goes with the head */
    u->state = UPLINK_ASKING;
    talk->retry.request_sent = true;
    kernel_uplink_send(&s->kernel, w->process, u->fd, &head);
    wait_for(s, w, u, s->plan.proxy_timeout_ns);
}

/* After a failed try: may another one be made? */
static bool may_go_on(struct sim *s, const struct sim_worker *w, struct sim_talk *talk,
                      enum retry_cause cause, bool reused)
{
    bool stale = reused && cause == RETRY_ERROR;
    if (stale) { /* a try that was none */
        talk->retry.tries_left++;
        talk->choice.tried[talk->server / 64] &= ~(UINT64_C(1) << (talk->server % 64));
    }
    release(s, w, talk, stale ? BALANCE_SERVED : BALANCE_FAILED);
    return retry_may(&conf, &talk->retry, cause, 0, s->kernel.now_ns);
}

/* Is it this machine that has no room for another connection? */
static bool is_shortage(int err)
{
    return err == -EMFILE || err == -ENFILE || err == -ENOMEM || err == -ENOBUFS;
}

/* One server after the other, until one may answer: 0. Otherwise the status that the client gets.
 */
static int ask(struct sim *s, struct sim_worker *w, uint32_t number)
{
    struct sim_proxy *p = proxy_of(s, w);
    struct sim_talk *talk = &p->talks[number];
    for (;;) {
        talk->server = (int16_t)balance_pick(&p->group, &talk->choice, s->kernel.now_ns);
        talk->retry.request_sent = false;
        if (talk->server == BALANCE_NONE)
            return 502;
        struct sim_uplink *u = find_idle(p, talk->server, true);
        bool reused = u != NULL;
        int err = reused ? 0 : open_uplink(s, w, talk->server, &u);
        if (is_shortage(err)) {
            release(s, w, talk, BALANCE_SERVED);
            return 500;
        }
        if (!kernel_alive(&s->kernel, w->process))
            return 0;
        if (err < 0) {
            if (!may_go_on(s, w, talk, RETRY_ERROR, false))
                return retry_status(RETRY_ERROR);
            continue;
        }
        p->kept -= reused;
        u->reused = reused;
        u->received = false;
        u->connection = (uint16_t)number;
        u->server = (uint8_t)talk->server;
        talk->uplink = (uint16_t)(u - p->uplinks + 1);
        if (reused)
            send_request(s, w, u);
        else
            wait_for(s, w, u, s->plan.proxy_timeout_ns);
        return 0;
    }
}

int sim_proxy_ask(struct sim *s, struct sim_worker *w, uint32_t number)
{
    struct sim_talk *talk = &proxy_of(s, w)->talks[number];
    *talk = (struct sim_talk){
        .server = BALANCE_NONE,
        .retry = {.began_ns = s->kernel.now_ns,
                  .tries_left = s->plan.backends,
                  .idempotent = !(w->connections[number].head.flags & SEGMENT_UNSAFE)}};
    balance_begin(&talk->choice, "", 0);
    return ask(s, w, number);
}

void sim_proxy_end(struct sim *s, struct sim_worker *w, uint32_t number)
{
    struct sim_talk *talk = &proxy_of(s, w)->talks[number];
    if (talk->uplink == 0)
        return;
    release(s, w, talk, BALANCE_SERVED);
    drop(s, w, talk);
}

bool sim_proxy_asks(const struct sim *s, const struct sim_worker *w, uint32_t number)
{
    return s->proxies[w->process].talks[number].uplink != 0;
}

/* Who serves nobody asks nobody: each try was given back, and only idle connections are left. */
void sim_proxy_check(struct sim *s, const struct sim_worker *w)
{
    const struct sim_proxy *p = proxy_of(s, w);
    uint32_t conns = 0;
    for (uint32_t i = 0; i < s->plan.backends; i++)
        conns += p->states[i].conns;
    if (s->broken == NULL && w->adm.active == 0 && (conns != 0 || p->count != p->kept))
        s->broken = "proxy: a worker that serves nobody has not given back all its tries";
}

uint64_t sim_proxy_answered(struct sim *s, const struct sim_worker *w, uint32_t number)
{
    return proxy_of(s, w)->talks[number].answered;
}

/* ---- what comes of a try ----------------------------------------------------------------------
 */

/* Before anything of an answer went to the client another server may be asked; later the client's
 * connection ends with the backend's. */
static void fail(struct sim *s, struct sim_worker *w, struct sim_uplink *u, enum retry_cause cause)
{
    struct sim_talk *talk = &proxy_of(s, w)->talks[u->connection];
    uint32_t number = u->connection;
    bool reused = u->reused && !u->received;
    drop(s, w, talk);
    if (talk->retry.committed) {
        release(s, w, talk, BALANCE_FAILED);
        sim_connection_broken(s, w, &w->connections[number]);
        return;
    }
    int status = retry_status(cause);
    if (may_go_on(s, w, talk, cause, reused))
        status = ask(s, w, number);
    if (status != 0)
        sim_connection_refused(s, w, &w->connections[number], (uint16_t)status);
}

static void take_answer(struct sim *s, struct sim_worker *w, struct sim_uplink *u,
                        const struct kernel_segment *segment)
{
    struct sim_talk *talk = &proxy_of(s, w)->talks[u->connection];
    struct sim_connection *c = &w->connections[u->connection];
    bool first = segment->flags & SEGMENT_FIRST, last = segment->flags & SEGMENT_LAST;
    u->received = true;
    wait_for(s, w, u, s->plan.proxy_timeout_ns);
    if (!first && !talk->retry.committed)
        return; /* a part of the head */
    talk->retry.committed = true;
    talk->answered = segment->req;
    if (last) {
        release(s, w, talk, BALANCE_SERVED);
        talk->uplink = 0;
        keep(s, w, u);
    }
    sim_connection_relay(s, w, c, first, last);
}

void sim_uplink_noted(struct sim *s, struct sim_worker *w, const struct kernel_note *note)
{
    struct sim_uplink *u = &proxy_of(s, w)->uplinks[note->tag - SIM_TAG_UPLINK];
    struct kernel_segment segment;
    while (u->state != UPLINK_NONE && kernel_alive(&s->kernel, w->process)) {
        int err = u->state == UPLINK_CONNECTING ? 0 : sim_fault_step(s, w->process, FAULT_net_recv);
        if (err > 0)
            return;
        enum kernel_recv got = RECV_RESET;
        if (err < 0)
            sim_backends_troubled(s);
        else
            got = kernel_recv(&s->kernel, w->process, u->fd, &segment);
        if (got == RECV_EMPTY)
            return;
        if (u->state == UPLINK_IDLE) { /* closed, or it says what nobody asked for */
            close_uplink(s, w, u);
            return;
        }
        if (got != RECV_DATA) {
            fail(s, w, u, RETRY_ERROR);
            return;
        }
        if (segment.kind == SEGMENT_CONNECTED)
            send_request(s, w, u);
        else
            take_answer(s, w, u, &segment);
    }
}

void sim_uplinks_due(struct sim *s, struct sim_worker *w)
{
    struct sim_proxy *p = proxy_of(s, w);
    uint64_t next_ns = KERNEL_NEVER_NS;
    if (p->timer_ns == 0 || p->timer_ns > s->kernel.now_ns)
        return;
    p->timer_ns = 0;
    for (uint32_t i = 0; i < p->high && kernel_alive(&s->kernel, w->process); i++) {
        struct sim_uplink *u = &p->uplinks[i];
        if (u->state != UPLINK_NONE && u->due_ns <= s->kernel.now_ns) {
            if (u->state == UPLINK_IDLE)
                close_uplink(s, w, u);
            else
                fail(s, w, u, RETRY_TIMEOUT);
        }
        if (u->state != UPLINK_NONE && u->due_ns < next_ns)
            next_ns = u->due_ns;
    }
    if (next_ns != KERNEL_NEVER_NS && kernel_alive(&s->kernel, w->process))
        arm(s, w, next_ns);
}
