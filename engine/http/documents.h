/* Open documents, shared between requests.
 *
 * A file that is opened for one request serves all requests of the same turn of the loop: they came
 * before the turn began, so none of them can tell. In the next turn it serves if the same file is
 * still at its path, unchanged: a look (one stat) costs a third of opening it anew, and what is
 * sent is read in the turn that sends it. A turn without a request for it ends with closing it: an
 * idle worker's heartbeat is such a turn, so that no descriptor is held for long. Where a
 * location's open_file_cache keeps it, it serves without a look until open_file_cache_valid has
 * passed. One table for each worker. */
#ifndef ENGINE_HTTP_DOCUMENTS_H
#define ENGINE_HTTP_DOCUMENTS_H

#include <sys/stat.h>

#include "engine/http/date.h"
#include "engine/http/str.h"

struct documents;
struct exchange;

enum {
    DOCUMENT_SMALL_BYTES = 8192, /* a file up to this size is read once for all of a turn */
    DOCUMENT_ETAG_MAX = 40,
};

struct document {
    int fd;  /* of a regular file; -1 for others, and for errors */
    int err; /* errno with which it could not be opened; 0 */
    struct stat file;
    char modified[DATE_HTTP_LEN + 1]; /* Last-Modified */
    char etag[DOCUMENT_ETAG_MAX];     /* with its quotes */
    size_t etag_len;
    /* the rest is private */
    struct document *next; /* of its bucket */
    struct document *older, *newer;
    char *bytes;               /* of a small file, as read in turn `bytes_turn`; NULL: not read */
    uint64_t turn, bytes_turn; /* the last turns in which it was known to be right */
    uint64_t checked_ns, inactive_ns;
    uint64_t until_ns; /* when its uses are looked at next; 0: it is not kept */
    uint32_t hash, users, uses, min_uses;
    bool listed; /* in the table */
    struct conf_str path;
    char path_bytes[];
};

/* NULL: no memory. */
struct documents *documents_new(void);
void documents_free(struct documents *documents);
/* The loop is about to sleep: closes what this turn did not use. */
void documents_end_turn(struct documents *documents);

/* The document at `path` as x's location may see it, to be given back with document_give(). NULL:
 * no memory. A failure to open is a document with err. */
struct document *document_take(struct exchange *x, struct conf_str path);
void document_give(struct document *document); /* NULL is allowed */
/* Once more: it will be given back as often. */
static inline struct document *document_hold(struct document *document)
{
    document->users++;
    return document;
}
/* `len` bytes of a small file from `offset` on, in place until the turn ends; NULL: it is not
 * small, or could not be read. */
const char *document_bytes(struct exchange *x, struct document *document, uint64_t offset,
                           size_t len);

#endif
