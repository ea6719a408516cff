/* The history of the process the shim is in.
 *
 * The file's descriptor is the server's too: servers close descriptors that they do not know, and
 * get the number for something else. So the number is used only after a look at what it is now. */
#include "faultinject/shim/journal.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* High enough to leave the numbers that servers expect for themselves. */
enum { DESCRIPTOR_WANTED = 200, FILES_MAX = 1000, NAME_LETTERS = 16 };

static char folder[PATH_MAX / 2], path[PATH_MAX];
static struct hist_writer writer = {.fd = -1};
static struct stat file;
static char program[NAME_LETTERS + 1]; /* as it was at the start: servers write over their names */

void journal_set_folder(const char *name)
{
    snprintf(program, sizeof program, "%s", program_invocation_short_name);
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

/* ---- places -----------------------------------------------------------------------------------
 */

/* The file name of the module that `place` is in, and where in it. _dl_find_object takes no lock
 * and may be called anywhere, also in signal handlers. */
static const char *module_of(const void *place, uint64_t *offset)
{
    struct dl_find_object found;
    if (_dl_find_object((void *)(uintptr_t)place, &found) != 0)
        return NULL;
    const char *name = found.dlfo_link_map->l_name;
    const char *slash = strrchr(name, '/');
    *offset = (uint64_t)((uintptr_t)place - found.dlfo_link_map->l_addr);
    if (*name == '\0')
        return program;
    return slash ? slash + 1 : name;
}

static void put_place(const struct hist_record *firing, const void *place)
{
    struct hist_record record = {.t_ns = firing->t_ns,
                                 .kind = HIST_FAULT_PLACE,
                                 .slot = firing->slot,
                                 .pid = firing->pid,
                                 .gen = firing->gen};
    char letters[NAME_LETTERS] = "";
    const char *name = module_of(place, &record.a);
    if (!name)
        return;
    memcpy(letters, name, strnlen(name, sizeof letters));
    memcpy(&record.b, letters, sizeof record.b);
    memcpy(&record.c, letters + sizeof record.b, sizeof record.c);
    hist_put(&writer, &record);
}

void journal_put(struct hist_record *firing, const void *place)
{
    if (!writer.window)
        return;
    firing->t_ns = hist_now_ns();
    if (writer.next + 2 > writer.window_count)
        mend_descriptor();
    hist_put(&writer, firing);
    put_place(firing, place);
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
