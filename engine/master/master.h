/* The master process: carries out what the supervisor (engine/core/sup.h) decides. */
#ifndef ENGINE_MASTER_MASTER_H
#define ENGINE_MASTER_MASTER_H

/* How it was started; the texts must stay. */
struct master_options {
    const char *program;   /* absolute path of this program, for an upgrade */
    char *const *argv;     /* as the program got them, for an upgrade */
    const char *conf_path; /* absolute */
    const char *prefix;    /* absolute, ends in '/' */
    const char *globals;   /* -g, or NULL */
    const char *error_log; /* -e, absolute, or NULL */
};

/* Reads the configuration, starts everything, serves until told to stop. Returns the process's
 * exit code; what went wrong at start has been said on stderr and in the error log. */
int master_run(const struct master_options *options);

#endif
