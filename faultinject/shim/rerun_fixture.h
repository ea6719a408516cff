/* For the tests of the shim: a test program runs itself again below the shim, with a board and a
 * history of its own, and removes both at its end. */
#ifndef FAULTINJECT_SHIM_RERUN_FIXTURE_H
#define FAULTINJECT_SHIM_RERUN_FIXTURE_H

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "faultinject/board.h"

static struct fault_board_file rerun_board;
static char rerun_folder[64];

/* BUILD/test/faultinject/shim/x_test -> BUILD/lib/libmw-fault.so */
static void rerun_find_shim(char path[PATH_MAX])
{
    char self[PATH_MAX] = "";
    if (readlink("/proc/self/exe", self, sizeof self - 1) <= 0)
        abort();
    for (int up = 0; up < 4; up++)
        *strrchr(self, '/') = '\0';
    if (snprintf(path, PATH_MAX, "%s/lib/libmw-fault.so", self) >= PATH_MAX)
        abort();
}

static void rerun_die(const char *what)
{
    fprintf(stderr, "the test cannot run below the shim: %s\n", what);
    exit(1);
}

static void rerun_below_shim(char **argv)
{
    char shim[PATH_MAX], board[80];
    const char *folder = getenv("MW_HISTORY");
    if (!getenv("LD_PRELOAD")) {
        snprintf(rerun_folder, sizeof rerun_folder, "/tmp/shim-run-XXXXXX");
        rerun_find_shim(shim);
        if (access(shim, R_OK) != 0 || !mkdtemp(rerun_folder))
            rerun_die(shim);
        snprintf(board, sizeof board, "%s/board", rerun_folder);
        if (fault_board_open(&rerun_board, board, true, 1) != 0)
            rerun_die(board);
        setenv("MW_FAULT_BOARD", board, 1);
        setenv("MW_HISTORY", rerun_folder, 1);
        setenv("LD_PRELOAD", shim, 1);
        execv("/proc/self/exe", argv);
        rerun_die("execv failed");
    }
    if (!folder || snprintf(rerun_folder, sizeof rerun_folder, "%s", folder) < 1 ||
        fault_board_open(&rerun_board, getenv("MW_FAULT_BOARD"), false, 1) != 0)
        rerun_die("no board");
}

/* Removes the folder; returns `failed`, to be returned. */
static int rerun_over(int failed)
{
    DIR *dir = opendir(rerun_folder);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.')
            unlinkat(dirfd(dir), e->d_name, 0);
    if (dir)
        closedir(dir);
    rmdir(rerun_folder);
    return failed;
}

#endif
