/* Reading what a process was given when it was born. */
#include "scenarios/witness/watch_trait.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_MAX = 65536, PATH_TEXT_MAX = 512 };
#define HASH_START UINT64_C(0xcbf29ce484222325)

static uint64_t hash(uint64_t h, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
    return h;
}

/* How much of /proc/PID/NAME was read; 0: nothing, or it is not to be had. */
static size_t read_all(pid_t pid, const char *name, char *text)
{
    char path[64];
    size_t len = 0;
    snprintf(path, sizeof path, "/proc/%ld/%s", (long)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    for (ssize_t got; len < TEXT_MAX - 1 && (got = read(fd, text + len, TEXT_MAX - 1 - len)) > 0;)
        len += (size_t)got;
    close(fd);
    text[len] = '\0';
    return len;
}

static uint64_t hash_lines(const char *text, const char *const *names)
{
    uint64_t h = HASH_START;
    for (size_t i = 0; names[i] != NULL; i++) {
        const char *line = strstr(text, names[i]);
        if (line != NULL)
            h = hash(h, line + 1, strcspn(line + 1, "\n"));
    }
    return h;
}

static uint64_t hash_link(uint64_t h, pid_t pid, const char *name)
{
    char path[64], to[PATH_TEXT_MAX];
    snprintf(path, sizeof path, "/proc/%ld/%s", (long)pid, name);
    ssize_t len = readlink(path, to, sizeof to);
    return len > 0 ? hash(h, to, (size_t)len) : h;
}

/* "Max open files            1024                 4096                 files" */
static uint64_t open_files(const char *limits)
{
    static const char name[] = "Max open files";
    const char *line = strstr(limits, name);
    return line != NULL ? strtoull(line + sizeof name - 1, NULL, 10) : 0;
}

/* ---- descriptors ------------------------------------------------------------------------------
 */

static bool is_append_only(pid_t pid, const char *fd)
{
    char name[64], text[1024], path[320];
    snprintf(path, sizeof path, "/proc/%ld/fdinfo/%s", (long)pid, fd);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = file >= 0 ? read(file, text, sizeof text - 1) : -1;
    unsigned flags = 0;
    if (file >= 0)
        close(file);
    if (len <= 0)
        return false;
    text[len] = '\0';
    const char *line = strstr(text, "flags:");
    return line != NULL && sscanf(line, "%63s %o", name, &flags) == 2 &&
           (flags & O_ACCMODE) == O_WRONLY && (flags & O_APPEND) != 0;
}

/* Numbers tell instances apart, not kinds: "pipe:[4711]" is a pipe, "worker-93.mwh" a history. */
static size_t without_numbers(char *text, size_t len)
{
    size_t out = 0;
    for (size_t i = 0; i < len; i++) {
        bool digit = text[i] >= '0' && text[i] <= '9';
        if (!digit || out == 0 || text[out - 1] != '#')
            text[out++] = digit ? '#' : text[i];
    }
    return out;
}

/* Sockets are clients, peers and channels; files that are only read or written in the middle are
 * what is being served. What is left a worker has from its birth. Order does not matter. */
static uint64_t hash_descriptor(pid_t pid, const char *fd)
{
    char name[320], to[PATH_TEXT_MAX];
    snprintf(name, sizeof name, "/proc/%ld/fd/%s", (long)pid, fd);
    ssize_t len = readlink(name, to, sizeof to);
    if (len <= 0 || strncmp(to, "socket:", 7) == 0)
        return 0;
    if (to[0] == '/' && strncmp(to, "/dev/", 5) != 0 && !is_append_only(pid, fd))
        return 0;
    return hash(HASH_START, to, without_numbers(to, (size_t)len));
}

static uint64_t hash_descriptors(pid_t pid)
{
    char path[64];
    uint64_t sum = 0;
    snprintf(path, sizeof path, "/proc/%ld/fd", (long)pid);
    DIR *folder = opendir(path);
    if (folder == NULL)
        return 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        if (entry->d_name[0] != '.')
            sum += hash_descriptor(pid, entry->d_name);
    closedir(folder);
    return sum;
}

/* ---- all of them ------------------------------------------------------------------------------
 */

bool watch_traits_read(pid_t pid, struct watch_traits *out)
{
    static const char *const signals[] = {"\nSigBlk:", "\nSigIgn:", "\nSigCgt:", NULL};
    static const char *const user[] = {"\nUid:", "\nGid:", "\nGroups:", "\nUmask:", NULL};
    static const char *const affinity[] = {"\nCpus_allowed:", NULL};
    static char text[TEXT_MAX];
    size_t len = read_all(pid, "limits", text);
    if (len == 0)
        return false;
    out->values[HIST_TRAIT_LIMITS] = hash(HASH_START, text, len);
    out->values[HIST_TRAIT_OPEN_FILES] = open_files(text);
    len = read_all(pid, "environ", text);
    out->values[HIST_TRAIT_ENVIRONMENT] = hash(HASH_START, text, len);
    out->values[HIST_TRAIT_FDS] = hash_descriptors(pid);
    out->values[HIST_TRAIT_PLACE] = hash_link(hash_link(HASH_START, pid, "cwd"), pid, "root");
    if (read_all(pid, "status", text) == 0 || strstr(text, "\nState:\tZ") != NULL ||
        strstr(text, "\nState:\tX") != NULL || out->values[HIST_TRAIT_FDS] == 0)
        return false;
    out->values[HIST_TRAIT_SIGNALS] = hash_lines(text, signals);
    out->values[HIST_TRAIT_USER] = hash_lines(text, user);
    out->values[HIST_TRAIT_AFFINITY] = hash_lines(text, affinity);
    return true;
}
