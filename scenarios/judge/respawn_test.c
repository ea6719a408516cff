/* respawn: what the judge says of workers that die, in hand-made histories. */
#include "scenarios/judge/judge_story.h"

/* ---- respawn/deadline ------------------------------------------------------------------------ */

static void deadline_holds_when_the_replacement_accepts_in_time(void **state)
{
    (void)state;
    story_begin(2, STORY_TRACED);
    story_bound(HIST_P_RESPAWN_DEADLINE, 500);
    story_at(1000), story_signal(101, SIGKILL), story_dies(101, STORY_KILLED);
    story_at(1020), story_born(103, 0, 1);
    story_at(1490), story_accepts(103);
    story_at(3000), story_stop(true);
    story_expect(G_respawn_deadline, VERDICT_HOLDS);
}

static void deadline_is_violated_by_a_late_replacement(void **state)
{
    (void)state;
    story_begin(2, STORY_TRACED);
    story_bound(HIST_P_RESPAWN_DEADLINE, 500);
    story_at(1000), story_signal(101, SIGKILL), story_dies(101, STORY_KILLED);
    story_at(1700), story_born(103, 0, 1), story_accepts(103);
    story_expect(G_respawn_deadline, VERDICT_VIOLATED);
    story_blames(G_respawn_deadline, HIST_WATCH_EXIT, 101, HIST_ENGINE_WORKER_READY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY_TEST(deadline_holds_when_the_replacement_accepts_in_time),
        STORY_TEST(deadline_is_violated_by_a_late_replacement),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
