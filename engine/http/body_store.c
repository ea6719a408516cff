/* Bodies in memory and in files. */
#include "engine/http/body_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "engine/os/sys.h"

enum { FIRST_BYTES = 1024 };

void body_store_start(struct body_store *store)
{
    *store = (struct body_store){.fd = -1};
}

int temp_file_open(const char *folder)
{
    return sys_open(folder, O_TMPFILE | O_RDWR, 0600);
}

int temp_file_append(int fd, const char *at, size_t len)
{
    while (len > 0) {
        ssize_t written = sys_write(fd, at, len);
        if (written <= 0)
            return written < 0 ? (int)written : -EIO;
        at += written;
        len -= (size_t)written;
    }
    return 0;
}

int body_store_push(struct body_store *store, struct conf_str piece)
{
    size_t need = store->len + piece.len;
    if (need > store->room) {
        size_t room = store->room > 0 ? store->room : FIRST_BYTES;
        while (room < need)
            room *= 2;
        char *larger = sys_alloc(room);
        if (larger == NULL)
            return -ENOMEM;
        if (store->len > 0)
            memcpy(larger, store->memory, store->len);
        free(store->memory);
        store->memory = larger;
        store->room = room;
    }
    memcpy(store->memory + store->len, piece.at, piece.len);
    store->len = need;
    store->length += piece.len;
    return 0;
}

/* What is in memory goes to a file. */
static int move_to_file(struct body_store *store, const char *folder)
{
    store->fd = temp_file_open(folder);
    if (store->fd < 0) {
        int err = store->fd;
        store->fd = -1;
        return err;
    }
    int err = temp_file_append(store->fd, store->memory, store->len);
    free(store->memory);
    store->memory = NULL;
    store->len = store->room = 0;
    return err;
}

int body_store_add(struct body_store *store, struct conf_str piece, size_t memory_max,
                   const char *folder)
{
    if (store->fd < 0 && store->len + piece.len <= memory_max)
        return body_store_push(store, piece);
    int err = store->fd < 0 ? move_to_file(store, folder) : 0;
    if (err == 0)
        err = temp_file_append(store->fd, piece.at, piece.len);
    if (err == 0)
        store->length += piece.len;
    return err;
}

void body_store_drop(struct body_store *store, size_t count)
{
    store->len -= count;
    memmove(store->memory, store->memory + count, store->len);
}

void body_store_end(struct body_store *store)
{
    if (store->fd >= 0)
        sys_close(store->fd);
    free(store->memory);
    body_store_start(store);
}
