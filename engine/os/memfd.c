/* Named shared memory: made by one process, found by another through /proc. */
#include "engine/os/memfd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/os/sys_ask.h"

void *memfd_map(const char *name, size_t size, int *fd, int *err)
{
    void *at = MAP_FAILED;
    *err = refusal(FAULT_mem_create);
    if (*err == 0)
        *err = *fd = (int)result_of(memfd_create(name, MFD_CLOEXEC));
    if (*err < 0)
        return NULL;
    *err = refusal(FAULT_fs_truncate);
    if (*err == 0)
        *err = (int)RETRY(ftruncate(*fd, (off_t)size));
    if (*err == 0)
        *err = refusal(FAULT_mem_map);
    if (*err == 0) {
        at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
        *err = at == MAP_FAILED ? -errno : 0;
    }
    if (*err == 0)
        return at;
    close(*fd);
    return NULL;
}

static const void *map_file(const char *path, size_t size, int *err)
{
    struct stat st;
    void *at = MAP_FAILED;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        *err = -errno;
        return NULL;
    }
    if (fstat(fd, &st) != 0)
        *err = -errno;
    else if ((size_t)st.st_size < size)
        *err = -ENOENT; /* of another version */
    else if ((at = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0)) == MAP_FAILED)
        *err = -errno;
    close(fd);
    return at == MAP_FAILED ? NULL : at;
}

const void *memfd_find(pid_t pid, const char *name, size_t size, int *err)
{
    char folder[64], path[400], target[256], wanted[256];
    const void *at = NULL;

    snprintf(folder, sizeof(folder), "/proc/%d/fd", (int)pid);
    snprintf(wanted, sizeof(wanted), "/memfd:%s", name);
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        *err = errno == ENOENT ? -ESRCH : -errno;
        return NULL;
    }
    *err = -ENOENT;
    for (struct dirent *entry; at == NULL && (entry = readdir(dir)) != NULL;) {
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        ssize_t len = readlink(path, target, sizeof(target) - 1);
        if (len <= 0)
            continue;
        target[len] = '\0';
        if (strncmp(target, wanted, strlen(wanted)) == 0)
            at = map_file(path, size, err);
    }
    closedir(dir);
    return at;
}

void memfd_unmap(const void *at, size_t size)
{
    munmap((void *)at, size);
}
