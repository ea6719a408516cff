/* Open documents in a table by path, each in one of two lists, the longest unused first: those that
 * pass with the turns that use them, and those that a location's open_file_cache keeps. */
#include "engine/http/documents.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/http/exchange.h"
#include "engine/os/sys.h"

enum { BUCKETS = 512, OPEN_PER_TURN_MAX = 64, AGED_PER_TURN = 2 };

struct list {
    struct document *oldest, *newest;
    size_t count;
};
struct documents {
    uint64_t turn;
    struct list passing, kept;
    struct document *buckets[BUCKETS];
};

struct documents *documents_new(void)
{
    struct documents *all = sys_calloc(1, sizeof *all);
    if (all != NULL)
        all->turn = 1;
    return all;
}

static void document_close(struct document *document)
{
    if (document->fd >= 0)
        sys_close(document->fd);
    free(document->bytes);
    free(document);
}

/* ---- the table --------------------------------------------------------------------------------
 */

/* Eight bytes at a time: a path is long, and is looked up with each request. */
static uint32_t document_hash(struct conf_str path)
{
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t hash = path.len, word;
    size_t i = 0;
    for (; i + sizeof word <= path.len; i += sizeof word) {
        memcpy(&word, path.at + i, sizeof word);
        hash = (hash ^ word) * odd;
        hash ^= hash >> 32; /* a product's low bits know nothing of the high ones */
    }
    for (; i < path.len; i++)
        hash = (hash ^ (unsigned char)path.at[i]) * odd;
    return (uint32_t)(hash >> 32);
}

static struct list *documents_list_of(struct documents *all, const struct document *document)
{
    return document->until_ns == 0 ? &all->passing : &all->kept;
}

static void list_append(struct list *list, struct document *document)
{
    document->older = list->newest;
    document->newer = NULL;
    *(list->newest != NULL ? &list->newest->newer : &list->oldest) = document;
    list->newest = document;
    list->count++;
}

static void list_remove(struct list *list, struct document *document)
{
    *(document->older != NULL ? &document->older->newer : &list->oldest) = document->newer;
    *(document->newer != NULL ? &document->newer->older : &list->newest) = document->older;
    list->count--;
}

static void documents_add(struct documents *all, struct document *document)
{
    struct document **bucket = &all->buckets[document->hash % BUCKETS];
    document->next = *bucket;
    *bucket = document;
    list_append(documents_list_of(all, document), document);
    document->listed = true;
}

/* Out of the table; it is closed when its last user has given it back. */
static void documents_drop(struct documents *all, struct document *document)
{
    struct document **link = &all->buckets[document->hash % BUCKETS];
    while (*link != document)
        link = &(*link)->next;
    *link = document->next;
    list_remove(documents_list_of(all, document), document);
    document->listed = false;
    if (document->users == 0)
        document_close(document);
}

static struct document *documents_find(const struct documents *all, struct conf_str path,
                                       uint32_t hash)
{
    struct document *document = all->buckets[hash % BUCKETS];
    while (document != NULL && (document->hash != hash || !str_equal(document->path, path)))
        document = document->next;
    return document;
}

void documents_free(struct documents *all)
{
    if (all == NULL)
        return;
    while (all->passing.oldest != NULL)
        documents_drop(all, all->passing.oldest);
    while (all->kept.oldest != NULL)
        documents_drop(all, all->kept.oldest);
    free(all);
}

/* ---- what is kept, and for how long -----------------------------------------------------------
 */

/* A period of `inactive` is over: who was used too little in it goes. */
static void documents_age(struct documents *all, uint64_t now_ns)
{
    for (int i = 0; i < AGED_PER_TURN && all->kept.oldest != NULL; i++) {
        struct document *oldest = all->kept.oldest;
        if (now_ns < oldest->until_ns)
            return;
        if (oldest->uses < oldest->min_uses) {
            documents_drop(all, oldest);
            continue;
        }
        oldest->uses = 0;
        oldest->until_ns = now_ns + oldest->inactive_ns;
        list_remove(&all->kept, oldest);
        list_append(&all->kept, oldest);
    }
}

/* Lets go of what this turn has not used; false: there was nothing. */
static bool documents_pass(struct documents *all)
{
    size_t before = all->passing.count;
    for (struct document *document = all->passing.oldest, *newer; document != NULL;
         document = newer) {
        newer = document->newer;
        if (document->turn != all->turn)
            documents_drop(all, document);
    }
    return all->passing.count < before;
}

void documents_end_turn(struct documents *all)
{
    documents_pass(all);
    all->turn++;
}

/* A location with a cache has used it: the least recently used make room. */
static void documents_keep(struct documents *all, struct document *document,
                           const struct conf_file_cache *cache, uint64_t now_ns)
{
    list_remove(documents_list_of(all, document), document);
    if (now_ns >= document->until_ns) {
        document->until_ns = now_ns + cache->inactive_ns;
        document->inactive_ns = cache->inactive_ns;
        document->uses = 0;
        document->min_uses = cache->min_uses;
    }
    document->uses++;
    list_append(&all->kept, document);
    while (all->kept.count > cache->max && all->kept.oldest != document)
        documents_drop(all, all->kept.oldest);
}

/* ---- opening ----------------------------------------------------------------------------------
 */

static void document_describe(struct document *document)
{
    uint64_t modified_s = (uint64_t)document->file.st_mtim.tv_sec;
    date_format_http(modified_s, document->modified);
    document->etag_len = (size_t)snprintf(document->etag, sizeof document->etag, "\"%llx-%llx\"",
                                          (unsigned long long)modified_s,
                                          (unsigned long long)document->file.st_size);
}

/* O_NONBLOCK: a fifo must not hold the worker. */
static void document_open(struct documents *all, struct document *document)
{
    int err = sys_open(document->path.at, O_RDONLY | O_NONBLOCK, 0);
    /* What the turn before has left is in nobody's way. */
    if ((err == -EMFILE || err == -ENFILE) && all != NULL && documents_pass(all))
        err = sys_open(document->path.at, O_RDONLY | O_NONBLOCK, 0);
    document->fd = err < 0 ? -1 : err;
    if (err >= 0)
        err = sys_fstat(document->fd, &document->file);
    document->err = err < 0 ? -err : 0;
    if (document->err == 0 && S_ISREG(document->file.st_mode)) {
        document_describe(document);
    } else if (document->fd >= 0) {
        sys_close(document->fd);
        document->fd = -1;
    }
}

static struct document *document_new(struct documents *all, struct conf_str path, uint32_t hash)
{
    struct document *document = sys_alloc(sizeof *document + path.len + 1);
    if (document == NULL)
        return NULL;
    memset(document, 0, sizeof *document);
    memcpy(document->path_bytes, path.at, path.len);
    document->path_bytes[path.len] = '\0';
    document->path = str_make(document->path_bytes, path.len);
    document->hash = hash;
    document_open(all, document);
    return document;
}

static bool is_same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* Is what was opened in another turn still what stands at its path? A change of who may read it
 * shows in st_ctim only. */
static bool document_is_right(const struct document *document)
{
    struct stat now;
    const struct stat *then = &document->file;
    if (document->err != 0 || sys_stat(document->path.at, &now) != 0)
        return false;
    return now.st_dev == then->st_dev && now.st_ino == then->st_ino &&
           now.st_size == then->st_size && is_same_time(now.st_mtim, then->st_mtim) &&
           is_same_time(now.st_ctim, then->st_ctim);
}

static struct document *documents_look(struct documents *all, struct conf_str path, uint32_t hash,
                                       const struct conf_file_cache *cache, uint64_t now_ns)
{
    struct document *document = documents_find(all, path, hash);
    if (document == NULL || document->turn == all->turn)
        return document;
    if (cache == NULL || document->uses < document->min_uses || /* it is not trusted yet */
        now_ns - document->checked_ns >= cache->valid_ns) {
        if (!document_is_right(document)) {
            documents_drop(all, document);
            return NULL;
        }
        document->checked_ns = now_ns;
    }
    document->turn = all->turn;
    return document;
}

/* Is it worth a place in the table? */
static bool documents_want(const struct documents *all, const struct document *document,
                           const struct conf_file_cache *cache)
{
    if (document->err != 0)
        return cache != NULL && cache->errors;
    return cache != NULL || all->passing.count < OPEN_PER_TURN_MAX;
}

struct document *document_take(struct exchange *x, struct conf_str path)
{
    struct documents *all = x->site->documents;
    const struct conf_file_cache *own = &x->location->file_cache;
    const struct conf_file_cache *cache = own->max > 0 ? own : NULL;
    uint64_t now_ns = x->site->now_ns;
    uint32_t hash = document_hash(path);
    struct document *document = NULL;
    if (all != NULL)
        document = documents_look(all, path, hash, cache, now_ns);
    if (document == NULL) {
        document = document_new(all, path, hash);
        if (document == NULL)
            return NULL;
        document->checked_ns = now_ns;
        if (all != NULL) {
            document->turn = all->turn;
            documents_age(all, now_ns);
            if (documents_want(all, document, cache))
                documents_add(all, document);
        }
    }
    document->users++;
    if (document->listed && cache != NULL && (document->err == 0 || cache->errors))
        documents_keep(all, document, cache, now_ns);
    return document;
}

void document_give(struct document *document)
{
    if (document != NULL && --document->users == 0 && !document->listed)
        document_close(document);
}

const char *document_bytes(struct exchange *x, struct document *document, uint64_t offset,
                           size_t len)
{
    const struct documents *all = x->site->documents;
    size_t size = (size_t)document->file.st_size;
    if (all == NULL || document->file.st_size > DOCUMENT_SMALL_BYTES || offset + len > size)
        return NULL;
    if (document->bytes == NULL && (document->bytes = sys_alloc(DOCUMENT_SMALL_BYTES)) == NULL)
        return NULL;
    if (document->bytes_turn != all->turn) {
        if (sys_pread(document->fd, document->bytes, size, 0) != (ssize_t)size)
            return NULL;
        document->bytes_turn = all->turn;
    }
    return document->bytes + offset;
}
