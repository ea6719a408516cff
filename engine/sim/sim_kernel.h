/* The simulated kernel: virtual time, processes, signals, descriptors, listeners and connections,
 * with the rules of Linux that master/worker servers depend on.
 *
 * Nothing here waits or allocates. Time moves from one event to the next (kernel_next). A process
 * is a number in a table; what it executes is the business of whoever set the hooks: its turn comes
 * (hooks.run) some time after there was something for it in its inbox, or a signal to handle, and
 * lasts no virtual time but what kernel_busy() adds. Clients live outside, on another machine.
 *
 * What it claims about Linux stands in facts.def; sim_facts_test.c asks both. */
#ifndef ENGINE_SIM_SIM_KERNEL_H
#define ENGINE_SIM_SIM_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/sim/sim_heap.h"
#include "engine/sim/sim_random.h"

enum {
    KERNEL_PROCS_MAX = 320,
    KERNEL_FDS_MAX = 384,
    KERNEL_FILES_MAX = 4096,
    KERNEL_LISTENERS_MAX = 16,
    KERNEL_QUEUE_MAX = 512, /* connections in one accept queue */
    KERNEL_INBOX_MAX = 512, /* a power of two */
    KERNEL_SEGMENTS_MAX = 4,
    KERNEL_MESSAGES_MAX = 8,
    KERNEL_SIGNALS = 32,
    KERNEL_INIT = 0, /* the process that adopts orphans when there is no subreaper; reaps at once */
};
#define KERNEL_NEVER_NS UINT64_MAX
#define KERNEL_BIT(number) (UINT32_C(1) << (number))

/* ---- processes --------------------------------------------------------------------------------
 */

enum kernel_state { KERNEL_FREE, KERNEL_RUNS, KERNEL_STOPPED, KERNEL_ZOMBIE };

/* Something a process finds when its turn comes. */
enum kernel_item { KERNEL_READABLE, KERNEL_TIMER };
struct kernel_note {
    uint16_t item;
    uint16_t tag; /* of kernel_watch() or kernel_timer() */
};

struct kernel_process {
    uint32_t pid, epoch;
    uint32_t group;  /* pid of its leader */
    uint16_t parent; /* index */
    uint8_t state;   /* enum kernel_state */
    bool subreaper;
    bool turn_due; /* its turn is in the heap */
    bool stalled;  /* hangs in a call; only what kills helps */
    bool restless; /* it had more to do as its turn ended: it did not sleep until the next */
    bool spinning; /* burns CPU all the time */
    int status;    /* ZOMBIE: as wait(2) */
    uint32_t pending, blocked, ignored, handled; /* sets of KERNEL_BIT(signal) */
    uint64_t born_ns, ended_ns, stuck_ns;        /* stuck: stopped or stalled since; 0 not */
    uint64_t busy_until_ns, cpu_ns, spin_since_ns, turn_ns;
    uint64_t delay_ns, jitter_ns; /* from having something to do to its turn */
    struct sim_random random;
    uint64_t memory_bytes, memory_limit;    /* limit: 0 none */
    uint32_t fd_limit, fd_count, fd_lowest; /* lowest: none below is free */
    uint32_t inbox_first, inbox_count;
    struct kernel_note inbox[KERNEL_INBOX_MAX];
    uint16_t fds[KERNEL_FDS_MAX]; /* index of a file + 1; 0 free */
    uint32_t close_on_exec[KERNEL_FDS_MAX / 32];
};

/* ---- files ------------------------------------------------------------------------------------
 */

enum kernel_file_kind {
    FILE_FREE,
    FILE_PLAIN,
    FILE_LISTENER,
    FILE_CHANNEL,
    FILE_SOCKET,
    FILE_UPLINK /* a socket that a process here has connected: the client's end of another one */
};

/* What a client and a server send each other: not bytes but what they mean. */
enum kernel_segment_kind {
    SEGMENT_NONE,
    SEGMENT_PART,
    SEGMENT_HEAD,
    SEGMENT_BODY,
    SEGMENT_ANSWER,
    SEGMENT_FIN,
    SEGMENT_RST,
    SEGMENT_CONNECTED /* an uplink's first one */
};
enum kernel_segment_flag {
    SEGMENT_CLOSES = 1,    /* HEAD: the client wants no keep-alive; ANSWER: Connection: close */
    SEGMENT_UNSAFE = 2,    /* HEAD: POST */
    SEGMENT_FIRST = 4,     /* ANSWER: its first bytes */
    SEGMENT_LAST = 8,      /* ANSWER: its last bytes */
    SEGMENT_LONG = 16,     /* HEAD: wants an answer that takes long to send */
    SEGMENT_MIXED = 32,    /* ANSWER: header and body name two configurations */
    SEGMENT_JOINED = 64,   /* the kernel's own: the next one was sent at once and comes with it */
    SEGMENT_PROXIED = 128, /* HEAD: for a backend to answer */
};
struct kernel_segment {
    uint8_t kind, flags;
    int16_t slot;
    uint32_t bytes; /* HEAD: of the body that follows; BODY: of this part; ANSWER: its status */
    union {
        struct { /* ANSWER */
            uint32_t gen, pid;
        };
        struct { /* HEAD: how long the handler works, how long its answer takes; 0: as usual */
            uint32_t service_us, spread_ms;
        };
    };
    uint64_t req;
};

struct kernel_segments {
    uint8_t first, count;
    struct kernel_segment at[KERNEL_SEGMENTS_MAX];
};

struct kernel_file {
    uint8_t kind;                                                 /* enum kernel_file_kind */
    bool fin_sent, reset_sent, reset_came, accepted, client_gone; /* SOCKET */
    bool client_reset; /* SOCKET: the client that is gone has answered data with a reset */
    uint8_t syn_tries; /* SYNs that were dropped */
    bool told;         /* in its watcher's inbox */
    uint16_t refs;     /* descriptors of all processes */
    uint16_t holds;    /* events under way, and the client */
    uint16_t watcher;  /* index of a process + 1; 0 nobody */
    uint16_t tag;
    uint16_t peer;            /* CHANNEL: the other end; SOCKET: its listener; UPLINK: its socket */
    uint16_t listener;        /* LISTENER: index in listeners[] */
    uint16_t uplink;          /* SOCKET: its client's file + 1; 0: that is no process of ours */
    uint32_t client;          /* SOCKET: the client's own number */
    uint64_t wire_ns, out_ns; /* when the last one was sent */
    struct kernel_segments in, out,
        wire; /* at the server; on the way to the client, to the server */
    uint8_t message_first, message_count; /* CHANNEL */
    struct {
        uint32_t word;
        uint16_t passed; /* a file that travels with it + 1; 0 none */
    } messages[KERNEL_MESSAGES_MAX];
};

struct kernel_listener {
    uint32_t backlog, waiting, first;
    bool stopped;   /* bound, but not listening */
    bool reuseport; /* one of a group, each with a queue of its own */
    uint64_t dropped;
    uint16_t file; /* + 1; 0 free */
    uint16_t port;
    uint16_t queue[KERNEL_QUEUE_MAX];
    uint16_t watcher_count;
    struct {
        uint16_t process, tag;
        bool told;
    } watchers[KERNEL_PROCS_MAX];
};

/* ---- the kernel -------------------------------------------------------------------------------
 */

enum kernel_client_event {
    CLIENT_CONNECTED,
    CLIENT_REFUSED,
    CLIENT_DATA,
    CLIENT_EOF,
    CLIENT_RESET
};

struct kernel;
struct kernel_hooks {
    void (*run)(struct kernel *k, unsigned process); /* its turn: read the inbox */
    void (*signalled)(struct kernel *k, unsigned process, int number); /* a handler's turn */
    void (*ended)(struct kernel *k, unsigned process);                 /* it became a zombie */
    void (*reaped)(struct kernel *k, unsigned process);
    void (*client)(struct kernel *k, uint32_t client, enum kernel_client_event event,
                   const struct kernel_segment *segment);         /* segment: CLIENT_DATA */
    void (*outside)(struct kernel *k, uint16_t what, uint32_t a); /* kernel_outside()'s time */
};

struct kernel {
    uint64_t now_ns, events;
    uint64_t latency_ns; /* one way, between clients and us */
    unsigned turn_of;    /* whose turn it is; KERNEL_INIT nobody's */
    uint32_t pid_last, pid_max;
    uint32_t process_limit;       /* that are alive or not reaped yet; 0 none */
    bool migrate_req;             /* net.ipv4.tcp_migrate_req */
    uint32_t syn_linear_timeouts; /* net.ipv4.tcp_syn_linear_timeouts; of Linux since 6.5 */
    uint32_t processes_used, files_used, listeners_used; /* higher ones were never used */
    uint16_t file_free;                                  /* a list through peer; index + 1 */
    void *owner;                                         /* the hooks' */
    struct kernel_hooks hooks;
    struct sim_heap heap;
    struct kernel_listener listeners[KERNEL_LISTENERS_MAX];
    struct kernel_process processes[KERNEL_PROCS_MAX];
    struct kernel_file files[KERNEL_FILES_MAX];
};

/* The memory may hold an earlier world, or be zero. */
void kernel_init(struct kernel *k, const struct kernel_hooks *hooks, void *owner, uint64_t seed);
/* Lets the next event happen, if it is not after until_ns. False: there is none. */
bool kernel_next(struct kernel *k, uint64_t until_ns);
/* hooks.outside(what, a) at that time. */
void kernel_outside(struct kernel *k, uint64_t at_ns, uint16_t what, uint32_t a);

/* Processes: index, or a negative errno. */
int kernel_fork(struct kernel *k, unsigned parent);
void kernel_exec(struct kernel *k, unsigned process);
void kernel_exit(struct kernel *k, unsigned process, int status);
/* The pid, 0 it runs, -ECHILD no such child. */
int kernel_waitpid(struct kernel *k, unsigned parent, uint32_t pid, int *status);
int kernel_find(const struct kernel *k, uint32_t pid); /* index of a live one or a zombie, or -1 */
/* 0, -ESRCH. */
int kernel_kill(struct kernel *k, uint32_t pid, int number);
int kernel_kill_group(struct kernel *k, uint32_t group, int number);
void kernel_lead_group(struct kernel *k, unsigned process); /* as setpgid(0, 0) */
/* More memory of its own: 0 or -ENOMEM. A negative number gives some back. */
int kernel_map(struct kernel *k, unsigned process, int64_t bytes);
void kernel_handle(struct kernel *k, unsigned process, uint32_t handled, uint32_t ignored);
void kernel_mask(struct kernel *k, unsigned process, uint32_t blocked);
/* The process does something for this long before it looks at anything else. */
void kernel_busy(struct kernel *k, unsigned process, uint64_t ns);
void kernel_stall(struct kernel *k, unsigned process, bool spin);
void kernel_unstall(struct kernel *k, unsigned process);
static inline bool kernel_alive(const struct kernel *k, unsigned process)
{
    uint8_t state = k->processes[process].state;
    return state == KERNEL_RUNS || state == KERNEL_STOPPED;
}
uint64_t kernel_cpu_ns(const struct kernel *k, unsigned process);
/* A note (TIMER, tag) in its inbox at that time. */
void kernel_timer(struct kernel *k, unsigned process, uint64_t at_ns, uint16_t tag);
/* The oldest note; false: the inbox is empty. */
bool kernel_inbox(struct kernel *k, unsigned process, struct kernel_note *out);
/* Makes a process's turn come; for what it has left to do. */
void kernel_wake(struct kernel *k, unsigned process);
void kernel_note(struct kernel *k, unsigned process, enum kernel_item item, uint16_t tag);

/* Descriptors: the lowest free number, or a negative errno. */
int kernel_open(struct kernel *k, unsigned process);
int kernel_listen(struct kernel *k, unsigned process, uint16_t port, uint32_t backlog);
/* With SO_REUSEPORT: connections are spread over all that listen so. */
int kernel_listen_reuseport(struct kernel *k, unsigned process, uint16_t port, uint32_t backlog);
/* Stops listening without closing (those who wait are reset), or listens again. */
void kernel_listener_stop(struct kernel *k, unsigned process, int fd, bool stopped);
int kernel_socketpair(struct kernel *k, unsigned process, int fds[2]);
int kernel_accept(struct kernel *k, unsigned process, int fd); /* -EAGAIN, -EMFILE */
int kernel_close(struct kernel *k, unsigned process, int fd);
/* As SO_LINGER 0: resets whatever is unread or unsent. */
void kernel_close_reset(struct kernel *k, unsigned process, int fd);
void kernel_close_on_exec(struct kernel *k, unsigned process, int fd);
struct kernel_file *kernel_file(struct kernel *k, unsigned process, int fd); /* NULL: EBADF */
/* Its readability becomes a note (READABLE, tag) of this process, once until it looked. */
void kernel_watch(struct kernel *k, unsigned process, int fd, uint16_t tag);
void kernel_unwatch(struct kernel *k, unsigned process, int fd);

/* Connections, from the server's side. */
enum kernel_recv { RECV_DATA, RECV_EMPTY, RECV_END, RECV_RESET };
enum kernel_recv kernel_recv(struct kernel *k, unsigned process, int fd,
                             struct kernel_segment *out);
/* Is the client's end, or its reset, what would be received next? As a recv() that only peeks. */
bool kernel_has_ended(const struct kernel *k, unsigned process, int fd);
/* False: EPIPE or ECONNRESET. */
bool kernel_send(struct kernel *k, unsigned process, int fd, const struct kernel_segment *segment);
void kernel_shutdown_write(struct kernel *k, unsigned process, int fd);
/* A connection to a listener here, from this process: a descriptor, or -EMFILE. It reads CONNECTED
 * first, or a reset where nobody listens; kernel_recv() and kernel_close() as for others. */
int kernel_connect_from(struct kernel *k, unsigned process, uint16_t port);
void kernel_uplink_send(struct kernel *k, unsigned process, int fd,
                        const struct kernel_segment *segment);
/* Channels carry words. recv: 1 a word, 0 the other end is closed, -EAGAIN. */
int kernel_channel_send(struct kernel *k, unsigned process, int fd, uint32_t word);
int kernel_channel_recv(struct kernel *k, unsigned process, int fd, uint32_t *word);
/* The same with a descriptor, as SCM_RIGHTS. *taken: -1 none came, -EMFILE no room for it. */
int kernel_channel_pass(struct kernel *k, unsigned process, int fd, uint32_t word, int passed);
int kernel_channel_take(struct kernel *k, unsigned process, int fd, uint32_t *word, int *taken);

/* Connections, from the client's. Returns the connection's name, which stays until client_close. */
unsigned kernel_connect(struct kernel *k, uint16_t port, uint32_t client);
void kernel_client_send(struct kernel *k, unsigned connection,
                        const struct kernel_segment *segment);
void kernel_client_close(struct kernel *k, unsigned connection, bool reset);
const struct kernel_listener *kernel_listener(const struct kernel *k, uint16_t port); /* NULL */

#endif
