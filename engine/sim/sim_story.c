/* A story's acts: each begins when the one before it is over. Those that wait are looked at every
 * few milliseconds, as the director of a real run looks at its witnesses. */
#include "engine/sim/sim.h"
#include "engine/sim/sim_seen.h"

static const uint64_t look_ns = 2 * SIM_MS;

static bool is_over(struct sim *s, const struct sim_act *act, bool entered);
static void complain(struct sim *s, const struct sim_act *act);

/* How long it may take; 0: it takes no time. */
static uint64_t patience_of(const struct sim_act *act)
{
    switch ((enum sim_act_kind)act->kind) {
    case SIM_ACT_WAIT:
    case SIM_ACT_OBSERVE:
    case SIM_ACT_UNTIL:
        return act->a * SIM_MS;
    case SIM_ACT_REPORTED:
    case SIM_ACT_BASELINE:
    case SIM_ACT_STOP:
        return act->b * SIM_MS;
    case SIM_ACT_ANSWERED:
        return UINT64_MAX / 2; /* an ask has a patience of its own */
    default:
        return 0;
    }
}

void sim_story_turn(struct sim *s)
{
    struct sim_story *story = &s->story;
    while (story->next < s->plan.act_count) {
        const struct sim_act *act = &s->plan.acts[story->next];
        bool entered = !story->entered;
        if (entered) {
            story->entered = true;
            story->entered_ns = s->kernel.now_ns;
            if (!act->skipped)
                sim_act_perform(s, (uint32_t)story->next);
        }
        bool over = act->skipped || is_over(s, act, entered);
        if (!over && s->kernel.now_ns < story->entered_ns + patience_of(act)) {
            kernel_outside(&s->kernel, s->kernel.now_ns + look_ns, SIM_OUT_STORY, 0);
            return;
        }
        if (!over)
            complain(s, act);
        story->next++;
        story->entered = false;
    }
}

/* ---- the master around a failed reload ---------------------------------------------------------
 */

static uint32_t children_of_master(const struct sim *s)
{
    uint32_t count = 0;
    for (unsigned i = 1; i < s->kernel.processes_used; i++)
        count += i != s->master->process && s->kernel.processes[i].parent == s->master->process &&
                 s->kernel.processes[i].state != KERNEL_FREE;
    return count;
}

/* Before: what there is. After: as soon as it is the same again, or with the patience's end. */
static bool baseline(struct sim *s, const struct sim_act *act, bool last)
{
    const struct kernel_process *p = &s->kernel.processes[s->master->process];
    uint32_t fds = p->fd_count, children = children_of_master(s);
    bool same = fds == s->story.baseline_fds && children == s->story.baseline_children;
    if (act->a == 0) {
        s->story.baseline_fds = fds;
        s->story.baseline_children = children;
    } else if (!same && !last) {
        return false;
    }
    sim_record(s, &(struct hist_record){.kind = HIST_DIRECTOR_BASELINE,
                                        .role = HIST_DIRECTOR,
                                        .slot = -1,
                                        .pid = s->master->pid,
                                        .a = act->a,
                                        .b = (uint64_t)fds << 32 | children,
                                        .c = p->handled});
    return true;
}

/* ---- waiting ----------------------------------------------------------------------------------
 */

static bool is_over(struct sim *s, const struct sim_act *act, bool entered)
{
    struct sim_story *story = &s->story;
    uint64_t passed_ns = s->kernel.now_ns - story->entered_ns;
    bool last = passed_ns >= patience_of(act);
    switch ((enum sim_act_kind)act->kind) {
    case SIM_ACT_WAIT:
        return sim_seen_holds(s, s->plan.texts[act->b], entered);
    case SIM_ACT_OBSERVE:
        return last;
    case SIM_ACT_CLOCK:
        story->clock_ns = s->kernel.now_ns;
        return true;
    case SIM_ACT_UNTIL:
        return s->kernel.now_ns >= story->clock_ns + act->a * SIM_MS;
    case SIM_ACT_REPORTED:
        if (last)
            sim_director_unreported(s);
        if (s->director.reload_count > 0)
            return false;
        if (s->director.last_report != act->a)
            complain(s, act);
        return true;
    case SIM_ACT_ANSWERED:
        return s->director.ask_count == 0;
    case SIM_ACT_BASELINE:
        return baseline(s, act, last);
    case SIM_ACT_STOP:
        return s->director.master_gone;
    default:
        return true;
    }
}

static void complain(struct sim *s, const struct sim_act *act)
{
    static const char *const reports[] = {
#define W(symbol, word, meaning) word,
        HIST_REPORT_LIST(W)
#undef W
    };
    char *out = s->story.trouble[s->story.trouble_count];
    char now[SIM_TROUBLE_ROOM / 2] = "";
    if (s->story.trouble_count == SIM_TROUBLE_MAX)
        return;
    if (act->kind == SIM_ACT_WAIT)
        sim_seen_values(s, s->plan.texts[act->b], now, sizeof(now));
    else if (act->kind == SIM_ACT_REPORTED)
        snprintf(now, sizeof(now), "the report was %s", reports[s->director.last_report]);
    else
        snprintf(now, sizeof(now), "the master is there");
    snprintf(out, SIM_TROUBLE_ROOM, "act %zu: not within %llu ms: %s", s->story.next + 1,
             (unsigned long long)(patience_of(act) / SIM_MS), now);
    s->story.trouble_count++;
}
