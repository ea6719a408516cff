/* An answer on its way from a server to the client: what came and is not sent yet. In memory up to
 * a bound, then, if it may, in a file; what is in the file is younger than what is in memory, and
 * while there is something in the file all that comes goes there too. */
#ifndef ENGINE_WORKER_WORKER_RELAY_H
#define ENGINE_WORKER_WORKER_RELAY_H

#include "engine/core/http1.h"
#include "engine/http/exchange.h"

struct buffer;
struct worker;

struct relay {
    struct buffer *first;        /* holds the answer's head; kept to the end */
    struct buffer *front, *back; /* the oldest, the youngest; `first` may be among them */
    size_t memory;               /* bytes of all buffers */
    struct http1_body body;      /* the decoder */
    uint64_t file_len, file_at;  /* written to, read from the file */
    int file;                    /* where has_file */
    bool has_file;
    bool ended;  /* nothing more comes */
    bool broken; /* ... although it should */
    bool full;   /* the server waits until there is room */
};

/* Where the next bytes may go: a place in memory, or scratch memory whose bytes are then to be
 * given to relay_spill. len 0: nowhere. */
struct relay_room {
    char *at;
    size_t len;
    bool spill;
};
struct relay_limits {
    size_t memory;   /* bytes of buffers */
    uint64_t file;   /* bytes in the file */
    bool one_buffer; /* nothing is buffered: only what the client takes at once */
    const char *folder;
};
struct relay_room relay_room(struct worker *w, struct relay *relay,
                             const struct relay_limits *limits);
/* So many bytes of the memory given were filled with data. */
void relay_fill(struct relay *relay, size_t len);
/* 0, or a negative errno. *opened: the file is new. */
int relay_spill(struct relay *relay, const char *at, size_t len, const char *folder, bool *opened);
/* The next bytes for the client; what was given before is sent. `out` is room for bytes of the
 * file.
 */
enum pull relay_pull(struct worker *w, struct relay *relay, struct buffer *out,
                     struct conf_str *piece);
/* Is there nothing to send? */
bool relay_is_empty(const struct relay *relay);
void relay_free(struct worker *w, struct relay *relay);

#endif
