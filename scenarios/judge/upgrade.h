/* A binary upgrade as the director drives it: which masters there are, and what they were told. */
#ifndef SCENARIOS_JUDGE_UPGRADE_H
#define SCENARIOS_JUDGE_UPGRADE_H

#include <stdbool.h>
#include <stdint.h>

#include "scenarios/judge/judge.h"
#include "scenarios/judge/world.h"

/* The kinds upgrade_take() needs. */
#define UPGRADE_KINDS                                                                              \
    HIST_DIRECTOR_UPGRADE, HIST_DIRECTOR_UPGRADED, HIST_DIRECTOR_ADOPTED, HIST_DIRECTOR_SIGNAL,    \
        HIST_WATCH_PIDFILE, HIST_WATCH_EXIT

enum upgrade_stage {
    UPGRADE_NONE,
    UPGRADE_STARTING,
    UPGRADE_TWO,    /* two masters, and neither was told to go */
    UPGRADE_PARTING /* one of them was told something */
};

struct upgrade {
    enum upgrade_stage stage;
    struct hist_record asked, seen; /* director.upgrade, director.upgraded */
    struct hist_record told;        /* the last signal to one of two masters but CONT */
    uint32_t old_pid, new_pid;
    bool old_rested;            /* WINCH to the old one */
    bool parts_early;           /* the old one was told to go before the new one was ready */
    uint32_t pid_file, old_bin; /* what the files name; 0 nothing */
    uint64_t count, ready, failed;
};

/* Returns the stage it was in before. */
enum upgrade_stage upgrade_take(struct upgrade *u, const struct hist_record *r);
/* Live workers of this master that were not told to go. O(processes). */
uint64_t upgrade_workers_of(const struct world *w, uint32_t master);
/* For a checker's finish: nobody upgraded, or there is no evidence because of this. */
void upgrade_unknown(struct judge_context *c, const struct upgrade *u, const char *why);

#endif
