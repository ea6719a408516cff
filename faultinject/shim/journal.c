/* The history of the process the shim is in.
 *
 * The file's descriptor is the server's too: servers close descriptors that they do not know, and
 * get the number for something else. So the number is used only after a look at what it is now. */
#include "faultinject/shim/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "faultinject/place.h"

/* High enough to leave the numbers that servers expect for themselves. */
enum { DESCRIPTOR_WANTED = 200, FILES_MAX = 1000 };

static char folder[PATH_MAX / 2], path[PATH_MAX];
static struct hist_writer writer = {.fd = -1};
static struct stat file;

void journal_set_folder(const char *name)
{
    place_start();
    if (!name || snprintf(folder, sizeof folder, "%s", name) >= (int)sizeof folder)
        folder[0] = '\0';
}

static void keep_out_of_the_way(void)
{
    int fd = fcntl(writer.fd, F_DUPFD_CLOEXEC, DESCRIPTOR_WANTED);
    if (fd < 0)
        return; /* few descriptors are allowed: it stays where it is */
    close(writer.fd);
    writer.fd = fd;
}

void journal_open(void)
{
    int error = folder[0] ? -EEXIST : 0;
    for (int i = 0; error == -EEXIST && i < FILES_MAX; i++) {
        char number[16] = "";
        if (i > 0)
            snprintf(number, sizeof number, "-%d", i);
        snprintf(path, sizeof path, "%s/shim-%ld%s.mwh", folder, (long)getpid(), number);
        error = hist_open(&writer, path, HIST_FAULT);
    }
    if (!writer.window)
        return; /* the counters on the board still count */
    keep_out_of_the_way();
    fstat(writer.fd, &file);
}

/* Is the descriptor still the history's? */
static bool is_own(void)
{
    struct stat now;
    return writer.fd >= 0 && fstat(writer.fd, &now) == 0 && now.st_ino == file.st_ino &&
           now.st_dev == file.st_dev;
}

/* Before the writer uses its descriptor. */
static void mend_descriptor(void)
{
    if (writer.window && !is_own())
        writer.fd = open(path, O_RDWR | O_CLOEXEC);
}

void journal_put(struct hist_record *firing, const void *place)
{
    if (!writer.window)
        return;
    struct hist_record places[PLACE_RECORDS_MAX];
    firing->t_ns = hist_now_ns();
    if (writer.next + 1 + PLACE_RECORDS_MAX > writer.window_count)
        mend_descriptor();
    hist_put(&writer, firing);
    unsigned count = place_records(firing, place, places);
    for (unsigned i = 0; i < count; i++)
        hist_put(&writer, &places[i]);
}

/* ---- endings ----------------------------------------------------------------------------------
 */

void journal_forget(void)
{
    if (writer.window && !is_own()) {
        munmap(writer.window, writer.window_count * sizeof *writer.window);
        writer = (struct hist_writer){.fd = -1};
    }
    hist_forget(&writer);
}

void journal_close(void)
{
    if (!writer.window)
        return;
    bool empty = writer.window_offset == 0 && writer.next == 1;
    mend_descriptor();
    hist_close(&writer);
    if (empty)
        unlink(path);
}
