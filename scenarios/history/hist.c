/* The history's writer: appends records to a shared mapping of its file.
 *
 * The file grows by whole windows whose blocks are allocated before they are mapped: a full disk
 * is an error of posix_fallocate here, never a SIGBUS in whoever happened to write a record. */
#include "scenarios/history/hist.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "scenarios/history/hist_file.h"

enum {
    WINDOW_RECORDS = 4096,       /* 256 KiB: a multiple of every page size in use */
    DROPPED_BEFORE_RETRY = 1024, /* a power of two: how often a full disk is looked at again */
    TAKEN_NAMES_MAX = 1000
};
#define WINDOW_BYTES ((size_t)WINDOW_RECORDS * sizeof(struct hist_record))
_Static_assert(sizeof(struct hist_header) == sizeof(struct hist_record), "the header is record 0");

struct hist_writer hist_self;

uint64_t hist_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Allocates and maps the window at `offset`. The old window stays if that fails. */
static int window_map(struct hist_writer *w, uint64_t offset)
{
    int err;
    do
        err = posix_fallocate(w->fd, (off_t)offset, (off_t)WINDOW_BYTES);
    while (err == EINTR);
    if (err != 0)
        return -err;
    void *map = mmap(NULL, WINDOW_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, (off_t)offset);
    if (map == MAP_FAILED)
        return -errno;
    if (w->window != NULL)
        munmap(w->window, WINDOW_BYTES);
    w->window = map;
    w->window_count = WINDOW_RECORDS;
    w->window_offset = offset;
    w->next = 0;
    return 0;
}

/* Makes room for one record, or counts it as dropped. A full disk is asked again only now and
 * then, so that a server that goes on without its history does so at full speed. */
static __attribute__((noinline)) bool window_advance(struct hist_writer *w)
{
    if ((w->dropped & (DROPPED_BEFORE_RETRY - 1)) == 0 &&
        window_map(w, w->window_offset + WINDOW_BYTES) == 0)
        return true;
    w->dropped++;
    return false;
}

void hist_put(struct hist_writer *w, const struct hist_record *r)
{
    if (w->window == NULL)
        return;
    if (w->next == w->window_count && !window_advance(w))
        return;
    struct hist_record *to = &w->window[w->next++];
    struct hist_record copy = *r;
    uint16_t kind = copy.kind;
    copy.kind = HIST_NONE;
    copy.role = w->role;
    if (copy.t_ns == 0)
        copy.t_ns = hist_now_ns();
    /* The kind is stored last: a process that is killed in here leaves no half record. */
    *to = copy;
    __atomic_store_n(&to->kind, kind, __ATOMIC_RELEASE);
}

static void writer_reset(struct hist_writer *w)
{
    memset(w, 0, sizeof(*w));
    w->fd = -1;
}

int hist_open(struct hist_writer *w, const char *path, enum hist_role role)
{
    writer_reset(w);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    w->fd = fd;
    w->role = (uint16_t)role;
    int err = window_map(w, 0);
    if (err != 0) {
        close(fd);
        unlink(path);
        writer_reset(w);
        return err;
    }
    struct hist_header header;
    hist_header_fill(&header, role);
    memcpy(&w->window[0], &header, sizeof(header));
    w->next = 1;
    return 0;
}

int hist_open_env(struct hist_writer *w, const char *name, enum hist_role role)
{
    writer_reset(w);
    const char *dir = getenv("MW_HISTORY");
    if (dir == NULL || dir[0] == '\0')
        return 0;
    int err = -EEXIST;
    for (int i = 0; err == -EEXIST && i < TAKEN_NAMES_MAX; i++) {
        char path[4096], number[16] = "";
        if (i > 0)
            snprintf(number, sizeof(number), "-%d", i);
        int len =
            snprintf(path, sizeof(path), "%s/%s-%ld%s.mwh", dir, name, (long)getpid(), number);
        err = len < (int)sizeof(path) ? hist_open(w, path, role) : -ENAMETOOLONG;
    }
    return err == 0 ? 1 : err;
}

void hist_close(struct hist_writer *w)
{
    if (w->window == NULL)
        return;
    uint64_t end = w->window_offset + w->next * sizeof(struct hist_record);
    munmap(w->window, WINDOW_BYTES);
    /* If the tail cannot be trimmed it stays zero, which readers take as the end. */
    int trimmed = ftruncate(w->fd, (off_t)end);
    (void)trimmed;
    close(w->fd);
    uint64_t dropped = w->dropped;
    writer_reset(w);
    w->dropped = dropped;
}

void hist_forget(struct hist_writer *w)
{
    if (w->window != NULL) {
        munmap(w->window, WINDOW_BYTES);
        close(w->fd);
    }
    writer_reset(w);
}
