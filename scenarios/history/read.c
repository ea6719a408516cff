/* The history's reader: takes the files of a run and puts their records in time order. */
#include "scenarios/history/hist.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "scenarios/history/hist_file.h"

/* Records read so far, and the room for more. */
struct pile {
    struct hist_record *records;
    size_t count, room;
};

struct run {
    size_t begin, end;
};

static int pile_take_file(struct pile *pile, const char *path, char *why, size_t why_size);
static int pile_take_folder(struct pile *pile, const char *path, char *why, size_t why_size);
static int pile_sort(struct pile *pile);

int hist_read(struct hist *h, const char *path, char *why, size_t why_size)
{
    struct pile pile = {0};
    struct stat st;
    memset(h, 0, sizeof(*h));
    if (why_size > 0)
        why[0] = '\0';
    int err = 0;
    if (stat(path, &st) != 0) {
        err = -errno;
        snprintf(why, why_size, "%s: %s", path, strerror(-err));
    } else if (S_ISDIR(st.st_mode)) {
        err = pile_take_folder(&pile, path, why, why_size);
    } else {
        err = pile_take_file(&pile, path, why, why_size);
    }
    if (err == 0)
        err = pile_sort(&pile);
    if (err != 0) {
        free(pile.records);
        return err;
    }
    h->records = pile.records;
    h->count = pile.count;
    return 0;
}

void hist_free(struct hist *h)
{
    free(h->records);
    memset(h, 0, sizeof(*h));
}

uint64_t hist_begin_ns(const struct hist *h)
{
    for (size_t i = 0; i < h->count; i++)
        if (h->records[i].kind == HIST_DIRECTOR_BEGIN)
            return h->records[i].t_ns;
    return h->count > 0 ? h->records[0].t_ns : 0;
}

int hist_write(const struct hist *h, const char *path)
{
    struct hist_header header;
    hist_header_fill(&header, HIST_ROLE_NONE);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    FILE *out = fdopen(fd, "w");
    if (out == NULL) {
        close(fd);
        return -ENOMEM;
    }
    fwrite(&header, sizeof(header), 1, out);
    fwrite(h->records, sizeof(*h->records), h->count, out);
    bool failed = ferror(out) != 0;
    return fclose(out) == 0 && !failed ? 0 : -EIO;
}

/* ---- time order ----------------------------------------------------------------------------- */

static size_t run_end(const struct pile *pile, size_t begin)
{
    size_t end = begin + 1;
    while (end < pile->count && pile->records[end].t_ns >= pile->records[end - 1].t_ns)
        end++;
    return end;
}

static void merge_two(const struct hist_record *from, struct hist_record *to, struct run left,
                      struct run right)
{
    size_t at = left.begin;
    while (left.begin < left.end && right.begin < right.end) {
        if (from[right.begin].t_ns < from[left.begin].t_ns)
            to[at++] = from[right.begin++];
        else
            to[at++] = from[left.begin++];
    }
    memcpy(&to[at], &from[left.begin], (left.end - left.begin) * sizeof(*to));
    at += left.end - left.begin;
    memcpy(&to[at], &from[right.begin], (right.end - right.begin) * sizeof(*to));
}

/* Merges neighbouring runs pair by pair; returns how many are left. */
static size_t merge_round(const struct hist_record *from, struct hist_record *to, struct run *runs,
                          size_t run_count)
{
    size_t made = 0;
    for (size_t i = 0; i < run_count; i += 2) {
        struct run left = runs[i];
        struct run right = i + 1 < run_count ? runs[i + 1] : (struct run){left.end, left.end};
        merge_two(from, to, left, right);
        runs[made++] = (struct run){left.begin, right.end};
    }
    return made;
}

/* A natural merge sort: each file is nearly in order already, so there are few runs. It is stable:
 * records of equal time keep the order of their file and of the files' names. */
static int pile_sort(struct pile *pile)
{
    size_t run_count = 0;
    for (size_t i = 0; i < pile->count; i = run_end(pile, i))
        run_count++;
    if (run_count < 2)
        return 0;
    struct run *runs = malloc(run_count * sizeof(*runs));
    struct hist_record *other = malloc(pile->count * sizeof(*other));
    if (runs == NULL || other == NULL) {
        free(runs);
        free(other);
        return -ENOMEM;
    }
    size_t n = 0;
    for (size_t i = 0; i < pile->count; i = runs[n - 1].end)
        runs[n++] = (struct run){i, run_end(pile, i)};
    while (n > 1) {
        n = merge_round(pile->records, other, runs, n);
        struct hist_record *swap = pile->records;
        pile->records = other;
        other = swap;
    }
    free(runs);
    free(other);
    return 0;
}

/* ---- files ---------------------------------------------------------------------------------- */

static int pile_reserve(struct pile *pile, size_t more)
{
    if (pile->room - pile->count >= more)
        return 0;
    size_t room = pile->room * 2 > pile->count + more ? pile->room * 2 : pile->count + more;
    struct hist_record *records = realloc(pile->records, room * sizeof(*records));
    if (records == NULL)
        return -ENOMEM;
    pile->records = records;
    pile->room = room;
    return 0;
}

/* Reads until `size` bytes or the end of the file; returns the count or a negative errno. */
static ssize_t read_fully(int fd, void *to, size_t size)
{
    size_t got = 0;
    while (got < size) {
        ssize_t n = read(fd, (char *)to + got, size - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

static int take_records(struct pile *pile, int fd, uint64_t bytes)
{
    int err = pile_reserve(pile, bytes / sizeof(struct hist_record));
    if (err != 0)
        return err;
    if (bytes < sizeof(struct hist_record))
        return 0;
    struct hist_record *to = &pile->records[pile->count];
    ssize_t got = read_fully(fd, to, bytes / sizeof(*to) * sizeof(*to));
    if (got < 0)
        return (int)got;
    size_t count = (size_t)got / sizeof(*to), used = 0;
    while (used < count && to[used].kind != HIST_NONE)
        used++;
    pile->count += used;
    return 0;
}

static int pile_take_file(struct pile *pile, const char *path, char *why, size_t why_size)
{
    struct hist_header header = {0};
    struct stat st;
    int err = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe is not waited for */
    if (fd < 0 || fstat(fd, &st) != 0) {
        err = -errno;
        snprintf(why, why_size, "%s: %s", path, strerror(-err));
        goto out;
    }
    const char *fault = "it is shorter than a history's header";
    if (!S_ISREG(st.st_mode))
        fault = "it is no regular file";
    else if (read_fully(fd, &header, sizeof(header)) == (ssize_t)sizeof(header))
        fault = hist_header_fault(&header);
    if (fault != NULL) {
        err = -EINVAL;
        snprintf(why, why_size, "%s: %s", path, fault);
        goto out;
    }
    err = take_records(pile, fd, (uint64_t)st.st_size - sizeof(header));
    if (err != 0)
        snprintf(why, why_size, "%s: %s", path, strerror(-err));
    else if ((uint64_t)st.st_size % sizeof(struct hist_record) != 0)
        snprintf(why, why_size, "%s: it ends inside a record: it was cut short", path);
out:
    if (fd >= 0)
        close(fd);
    return err;
}

static int is_history(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return len > 4 && strcmp(entry->d_name + len - 4, ".mwh") == 0;
}

static int pile_take_folder(struct pile *pile, const char *path, char *why, size_t why_size)
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, is_history, alphasort);
    int err = count < 0 ? -errno : 0;
    if (count < 0)
        snprintf(why, why_size, "%s: %s", path, strerror(-err));
    for (int i = 0; i < count; i++) {
        char file[4096];
        int len = snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
        if (err == 0 && len >= (int)sizeof(file))
            err = -ENAMETOOLONG;
        if (err == 0)
            err = pile_take_file(pile, file, why, why_size);
        free(entries[i]);
    }
    free(entries);
    if (count == 0) {
        err = -ENOENT;
        snprintf(why, why_size, "%s: no *.mwh file in this folder", path);
    }
    return err;
}

/* ---- the header ----------------------------------------------------------------------------- */

void hist_header_fill(struct hist_header *header, enum hist_role role)
{
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    memset(header, 0, sizeof(*header));
    memcpy(header->magic, HIST_MAGIC, sizeof(header->magic));
    header->version = HIST_VERSION;
    header->record_bytes = sizeof(struct hist_record);
    header->vocabulary = hist_vocabulary();
    header->opened_ns = hist_now_ns();
    header->wall_ns = (uint64_t)wall.tv_sec * 1000000000u + (uint64_t)wall.tv_nsec;
    header->role = role;
    header->pid = (uint32_t)getpid();
}

const char *hist_header_fault(const struct hist_header *header)
{
    if (memcmp(header->magic, HIST_MAGIC, sizeof(header->magic)) != 0)
        return "not a history (it does not begin with " HIST_MAGIC_TEXT ")";
    if (header->version != HIST_VERSION)
        return "a history of another version; record it again with this build";
    if (header->record_bytes != sizeof(struct hist_record))
        return "its records have another size; record it again with this build";
    if (header->vocabulary != 0 && header->vocabulary != hist_vocabulary())
        return "written with another vocabulary; record it again with this build";
    return NULL;
}
