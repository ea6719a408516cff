/* Changing the binary in the simulation, as engine/master/upgrade.c does: the old master forks and
 * the child executes the new program, with the listener and one end of a line between the two. Then
 * there are two masters, until the director tells one of them to go. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "engine/sim/sim.h"

static const uint64_t boot_ns = 20 * SIM_MS;
static const uint64_t together_ns = 500 * SIM_MS;
enum { EXEC_FAILED = 127 };

static void tell_gone(struct sim *s, int status)
{
    sim_master_tell(s, &(struct sup_event){.kind = SUP_OTHER_GONE, .a = (uint64_t)status});
}

static void record_birth(struct sim *s, uint32_t pid)
{
    sim_record(s, &(struct hist_record){.kind = HIST_WATCH_FORK,
                                        .role = HIST_WATCH,
                                        .slot = -1,
                                        .pid = pid,
                                        .a = s->master->pid});
    sim_record(s, &(struct hist_record){.kind = HIST_WATCH_PIDFILE,
                                        .role = HIST_WATCH,
                                        .slot = -1,
                                        .pid = s->master->pid,
                                        .a = 1,
                                        .b = 1});
}

/* The child's process, or a negative errno with nothing left behind; 1 is never one. */
static int fork_program(struct sim *s, int line[2])
{
    struct kernel *k = &s->kernel;
    unsigned old = s->master->process;
    int err = kernel_socketpair(k, old, line);
    if (err != 0)
        return err;
    kernel_close_on_exec(k, old, line[0]);
    int child = sim_fault_step(s, old, FAULT_proc_fork);
    if (child == 0) {
        kernel_mask(k, old, UINT32_MAX); /* it lets signals in when it has handlers */
        child = kernel_fork(k, old);
        kernel_mask(k, old, 0);
    }
    if (child < 0)
        kernel_close(k, old, line[0]);
    kernel_close(k, old, line[1]);
    if (child > 0)
        kernel_exec(k, (unsigned)child);
    return child;
}

void sim_upgrade_start(struct sim *s)
{
    struct sim_master *old = s->master, *next = &s->masters[1];
    int line[2];
    int child = old == &s->masters[0] && next->pid == 0 ? fork_program(s, line) : -EBUSY;
    if (child < 0) {
        tell_gone(s, EXEC_FAILED << 8);
        return;
    }
    *next = (struct sim_master){.process = (unsigned)child,
                                .pid = s->kernel.processes[child].pid,
                                .listen_fd = old->listen_fd,
                                .line_fd = line[1],
                                .booting = true,
                                .upgraded = true,
                                .has_old = true};
    old->line_fd = line[0];
    kernel_watch(&s->kernel, old->process, line[0], SIM_TAG_LINE);
    kernel_busy(&s->kernel, next->process, boot_ns);
    sim_fault_identify(s, next->process, FAULT_ROLE_MASTER, -1, 0);
    record_birth(s, next->pid);
}

/* The new program's first turn. */
void sim_upgrade_boot(struct sim *s)
{
    struct sim_master *m = s->master;
    uint32_t fate = s->director.upgrade;
    m->booting = false;
    bool starts = fate == SIM_FATE_RETURNS || fate == SIM_FATE_STAYS;
    if (fate == SIM_FATE_ENDS || (starts && !s->director.config_valid)) {
        kernel_exit(&s->kernel, m->process, 1 << 8);
    } else if (!starts) {
        kernel_stall(&s->kernel, m->process, false);
    } else {
        kernel_watch(&s->kernel, m->process, m->line_fd, SIM_TAG_LINE);
        sim_master_begin(s, &s->masters[0]);
    }
}

/* All of its workers accept. */
void sim_upgrade_ready(struct sim *s)
{
    struct sim_master *m = s->master;
    if (!m->has_old)
        return;
    kernel_channel_send(&s->kernel, m->process, m->line_fd, WORD_READY);
    kernel_outside(&s->kernel, s->kernel.now_ns + together_ns, SIM_OUT_OTHER, m->pid);
}

/* The old one hears that the new is ready; that the line ends tells the new one that the old is
 * gone. (The new one is the old one's child: its end is reaped.) */
void sim_upgrade_line(struct sim *s)
{
    struct sim_master *m = s->master;
    uint32_t word;
    if (m->line_fd < 0) /* word of one that is reaped */
        return;
    int got = kernel_channel_recv(&s->kernel, m->process, m->line_fd, &word);
    if (got > 0)
        sim_master_tell(s, &(struct sup_event){.kind = SUP_OTHER_READY});
    if (got != 0)
        return;
    kernel_unwatch(&s->kernel, m->process, m->line_fd);
    if (!m->has_old)
        return;
    kernel_close(&s->kernel, m->process, m->line_fd);
    m->line_fd = -1;
    m->has_old = false;
    tell_gone(s, 0);
}

/* While the first master ends: is the second to take its place? */
bool sim_upgrade_succeeds(const struct sim *s)
{
    const struct sim_master *next = &s->masters[1];
    return s->director.upgrade == SIM_FATE_STAYS && !s->director.stopping && next->pid != 0 &&
           kernel_alive(&s->kernel, next->process);
}

/* From here on the director speaks to it. */
void sim_upgrade_adopt(struct sim *s)
{
    uint32_t old_pid = s->masters[0].pid;
    if (!sim_upgrade_succeeds(s))
        return;
    s->masters[0] = s->masters[1];
    memset(&s->masters[1], 0, sizeof(s->masters[1]));
    sim_record(s, &(struct hist_record){.kind = HIST_DIRECTOR_ADOPTED,
                                        .role = HIST_DIRECTOR,
                                        .slot = -1,
                                        .pid = s->master->pid,
                                        .a = old_pid,
                                        .b = 1});
    sim_director_resized(s, s->master->sup.settings.workers);
}

void sim_upgrade_signal(struct sim *s, int number)
{
    if (s->masters[1].pid != 0)
        kernel_kill(&s->kernel, s->masters[1].pid, number);
}

bool sim_upgrade_reap(struct sim *s)
{
    struct sim_master *m = s->master, *next = &s->masters[1];
    int status = 0;
    if (m == next || next->pid == 0)
        return false;
    int got = sim_fault_step(s, m->process, FAULT_proc_waitpid);
    if (got == 0)
        got = kernel_waitpid(&s->kernel, m->process, next->pid, &status);
    if (got != (int)next->pid)
        return got < 0;
    next->pid = 0;
    kernel_close(&s->kernel, m->process, m->line_fd);
    m->line_fd = -1;
    tell_gone(s, status);
    return false;
}
