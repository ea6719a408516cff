/* The shim: start, children, and asking the board. */
#include "faultinject/shim/shim.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <linux/kcmp.h>

#include "faultinject/act.h"
#include "faultinject/decide.h"
#include "faultinject/points.h"
#include "faultinject/shim/journal.h"
#include "faultinject/tree.h"

enum { EXIT_UNUSABLE = 125 };

static uint32_t nothing_armed;
static struct fault_board *board;
static struct tree *tree;
static struct fault_self self = {.slot = -1};
static int place_in_tree = TREE_PLACE_NONE;
/* What executed programs need, as it was at the start: servers change their environment. */
enum { KEPT_COUNT = 3 };
static const char *const kept_names[KEPT_COUNT] = {"LD_PRELOAD=", "MW_FAULT_BOARD=", "MW_HISTORY="};
static char kept[KEPT_COUNT][PATH_MAX];

const volatile uint32_t *shim_armed = &nothing_armed;

/* ---- being alone ------------------------------------------------------------------------------
 */

/* In a thread that is inside, wrapped calls go through unseen. */
static __thread int inside;
static __thread int resolving;
/* The place in the tree of the child that this thread is about to fork. */
static __thread int place_of_child = TREE_PLACE_NONE;
static uint32_t lock;

struct stay {
    uint64_t mask;
    int caller_errno;
};

static struct stay go_inside(void)
{
    struct stay stay = {.caller_errno = errno};
    uint64_t all = UINT64_MAX;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &stay.mask, sizeof all);
    inside++;
    while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
        sched_yield();
    return stay;
}

static void come_out(const struct stay *stay)
{
    __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
    inside--;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &stay->mask, NULL, sizeof stay->mask);
    errno = stay->caller_errno;
}

/* ---- asking the board -------------------------------------------------------------------------
 */

/* A child that shares its parent's memory is not asked about: it would write over who the parent
 * is. True: this process has memory of its own, and is known by now. */
static void become_child(void);

static bool is_at_home(void)
{
    uint32_t pid = (uint32_t)getpid();
    if (pid == self.pid)
        return true;
    if (syscall(SYS_kcmp, pid, self.pid, KCMP_VM, 0, 0) == 0)
        return false;
    place_of_child = TREE_PLACE_NONE;
    become_child();
    return true;
}

/* What a descriptor is decides which point a transfer asks. */
static unsigned point_of_fd(unsigned point, int fd)
{
    struct stat st;
    if (SHIM_REAL(fstat)(fd, &st) != 0)
        return FAULT_POINT_COUNT;
    bool in = point == SHIM_FD_IN;
    if (S_ISSOCK(st.st_mode))
        return in ? FAULT_net_recv : FAULT_net_send;
    if (S_ISFIFO(st.st_mode) || (st.st_mode & S_IFMT) == 0) /* a pipe, or an eventfd and the like */
        return in ? FAULT_ipc_read : FAULT_ipc_write;
    return in ? FAULT_fs_read : FAULT_fs_write;
}

unsigned shim_point(unsigned point, int fd)
{
    if (point <= FAULT_POINT_COUNT)
        return point;
    static const enum fault_point in[] = {FAULT_net_recv, FAULT_ipc_read, FAULT_fs_read};
    static const enum fault_point out[] = {FAULT_net_send, FAULT_ipc_write, FAULT_fs_write};
    const enum fault_point *any = point == SHIM_FD_IN ? in : out;
    if (!board || !(fault_board_asks(board, any[0]) || fault_board_asks(board, any[1]) ||
                    fault_board_asks(board, any[2])))
        return FAULT_POINT_COUNT;
    int caller_errno = errno;
    unsigned exact = point_of_fd(point, fd);
    errno = caller_errno;
    return exact;
}

static bool decide(enum fault_point point, const void *place, unsigned *next,
                   struct fault_decision *decision)
{
    struct stay stay = go_inside();
    bool fires = is_at_home() && fault_decide(board, &self, point, hist_now_ns(), next, decision);
    if (fires) {
        struct hist_record record = fault_record(&self, point, decision);
        journal_put(&record, place);
    }
    come_out(&stay);
    return fires;
}

/* A program with fault points of its own asks those itself: here they would be counted twice. */
static bool program_has_points;

static bool is_asked_by_program(enum fault_point point)
{
    return program_has_points && (fault_point_info(point)->where & FAULT_ENGINE);
}

bool shim_consult(enum fault_point point, struct fault_hit *hit, const void *place)
{
    if (inside || resolving || point >= FAULT_POINT_COUNT || !fault_board_asks(board, point) ||
        is_asked_by_program(point))
        return false;
    struct fault_decision decision = {.hit = {.kind = FAULT_NONE}};
    unsigned next = 0;
    int caller_errno = errno;
    bool for_caller = false;
    while (!for_caller && decide(point, place, &next, &decision)) {
        for_caller = fault_act(board, &decision);
        if (decision.hit.kind != FAULT_DELAY)
            break;
    }
    errno = caller_errno;
    *hit = decision.hit;
    return for_caller;
}

/* ---- the life of the process ------------------------------------------------------------------
 */

static void be(uint32_t pid)
{
    const struct tree_process *own =
        tree && place_in_tree != TREE_PLACE_NONE ? &tree->processes[place_in_tree] : NULL;
    fault_self_start(&self, board, own ? (enum fault_role)own->role : FAULT_ROLE_ANY,
                     own ? own->slot : -1, 0, pid);
}

void shim_fork_begin(void)
{
    if (!tree)
        return;
    struct stay stay = go_inside();
    if (is_at_home()) {
        if (tree_promote(tree, place_in_tree, self.pid, TREE_FORKS))
            be(self.pid);
        place_of_child = tree_reserve(tree, place_in_tree, self.pid);
    }
    come_out(&stay);
}

void shim_fork_end(long child)
{
    if (child == 0)
        become_child();
    else if (tree && child < 0)
        tree_give_back(tree, place_of_child);
    else if (tree)
        tree_move_in(tree, place_of_child, (uint32_t)child);
    place_of_child = TREE_PLACE_NONE;
}

void shim_booting(const void *place)
{
    struct fault_hit hit;
    const struct tree_process *own =
        tree && place_in_tree != TREE_PLACE_NONE ? &tree->processes[place_in_tree] : NULL;
    if (*shim_armed != 0 && own && own->role == FAULT_ROLE_WORKER && !own->inherited)
        shim_consult(FAULT_worker_boot, &hit, place);
}

/* Called with the lock of a thread that may not exist any more. */
static void become_child(void)
{
    uint32_t pid = (uint32_t)getpid();
    if (!board || pid == self.pid)
        return; /* told already, by another of the ways in which a child comes to know */
    inside++;
    lock = 0;
    if (tree) {
        if (place_of_child == TREE_PLACE_NONE)
            place_of_child = tree_reserve(tree, place_in_tree, pid);
        tree_move_in(tree, place_of_child, pid);
        place_in_tree = place_of_child;
    }
    journal_forget();
    be(pid);
    journal_open();
    inside--;
}

static void alone(void (*what)(void))
{
    if (!board || inside)
        return;
    struct stay stay = go_inside();
    if (is_at_home())
        what();
    come_out(&stay);
}

void shim_before_exec(void)
{
    alone(journal_close);
}

void shim_after_failed_exec(void)
{
    alone(journal_open);
}

void shim_before_exit(void)
{
    alone(journal_close);
}

static void step(enum tree_step step)
{
    if (!tree)
        return;
    struct stay stay = go_inside();
    if (is_at_home() && tree_promote(tree, place_in_tree, self.pid, step))
        be(self.pid);
    come_out(&stay);
}

void shim_listening(void)
{
    step(TREE_LISTENS);
}

void shim_session_left(void)
{
    step(TREE_LEAVES_SESSION);
}

void shim_reaped(long pid)
{
    if (tree && pid > 0)
        tree_reaped(tree, (uint32_t)pid);
}

/* ---- start and end ----------------------------------------------------------------------------
 */

/* False: no library has it; the entry stays what it is. */
static bool find(void *entry, const char *name)
{
    resolving++;
    void *function = dlsym(RTLD_NEXT, name);
    resolving--;
    if (function)
        *(void **)entry = function;
    return function != NULL;
}

bool shim_resolving(void)
{
    return resolving > 0;
}

static void say(const char *what, const char *about, const char *hint)
{
    const char *const parts[] = {"libmw-fault: ", what, ": ", about, "\n", hint, "\n"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        syscall(SYS_write, STDERR_FILENO, parts[i], strlen(parts[i]));
}

void shim_resolve(void *entry, const char *name)
{
    if (find(entry, name))
        return;
    say("a call was made that no library has", name, "the program and the C library do not fit");
    abort();
}

static void find_all(void)
{
#define HOOK_CALL(ret, name, params, args, failure, point, errnos) find(&shim_real.name, #name);
#define HOOK_CODE HOOK_CALL
#define HOOK_IN HOOK_CALL
#define HOOK_OUT HOOK_CALL
#define HOOK_VIN HOOK_CALL
#define HOOK_VOUT HOOK_CALL
#define HOOK_OWN HOOK_CALL
#define HOOK_OWN_CODE HOOK_CALL
#define HOOK_SEEN(ret, name, params, args) find(&shim_real.name, #name);
#include "faultinject/shim/hooks.def"
}

static void keep_environment(void)
{
    for (size_t i = 0; i < KEPT_COUNT; i++) {
        char name[32] = "";
        memcpy(name, kept_names[i], strlen(kept_names[i]) - 1);
        const char *value = getenv(name);
        int len = value ? snprintf(kept[i], sizeof kept[i], "%s%s", kept_names[i], value) : 0;
        if (len >= (int)sizeof kept[i])
            kept[i][0] = '\0';
    }
}

char *const *shim_environment(char *const *envp, char **room, unsigned room_count)
{
    unsigned count = 0, missing = 0;
    bool has[KEPT_COUNT] = {false};
    for (; envp && envp[count]; count++)
        for (size_t i = 0; i < KEPT_COUNT; i++)
            has[i] |= strncmp(envp[count], kept_names[i], strlen(kept_names[i])) == 0;
    for (size_t i = 0; i < KEPT_COUNT; i++)
        missing += kept[i][0] && !has[i];
    if (!board || missing == 0 || count + missing >= room_count)
        return envp;
    memcpy(room, envp, count * sizeof *room);
    for (size_t i = 0; i < KEPT_COUNT; i++)
        if (kept[i][0] && !has[i])
            room[count++] = kept[i];
    room[count] = NULL;
    return room;
}

/* A number for the name of the program that this process executes. */
static uint32_t program_number(void)
{
    char path[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);
    if (len <= 0)
        return 0;
    path[len] = '\0';
    const char *slash = strrchr(path, '/');
    uint32_t number = UINT32_C(2166136261);
    for (const char *c = slash ? slash + 1 : path; *c; c++)
        number = (number ^ (unsigned char)*c) * UINT32_C(16777619);
    return number ? number : 1;
}

/* A board that is named but cannot be used ends the program, unless the program may not see it: it
 * has given up its rights, and runs on without faults. */
static bool attach(const char *path)
{
    struct fault_board_file opened;
    int error = fault_board_open(&opened, path, false, 0);
    if (error == -EACCES)
        return false;
    if (error) {
        say("the fault board cannot be used", path, fault_board_strerror(error));
        syscall(SYS_exit_group, EXIT_UNUSABLE);
    }
    close(opened.fd); /* the mapping is enough; the process's descriptors stay its own */
    board = opened.board;
    return true;
}

__attribute__((constructor(101))) static void start(void)
{
    const char *path = getenv("MW_FAULT_BOARD");
    inside++;
    find_all();
    if (path && attach(path)) {
        uint32_t pid = (uint32_t)getpid();
        keep_environment();
        tree = tree_open(path, false);
        if (tree)
            place_in_tree = tree_enter(tree, pid, (uint32_t)getppid(), program_number());
        be(pid);
        journal_set_folder(getenv("MW_HISTORY"));
        journal_open();
        pthread_atfork(NULL, NULL, become_child);
        shim_armed = &board->armed;
    }
    inside--;
}

__attribute__((destructor)) static void end(void)
{
    shim_before_exit();
}

/* Called by a program that has fault points of its own (fault_attach). */
SHIM_EXPORT void mw_fault_shim_yield(void);
void mw_fault_shim_yield(void)
{
    program_has_points = true;
}
