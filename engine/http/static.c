/* Documents below root or alias: files, index files of directories, conditions, one range. */
#include <errno.h>

#include "engine/http/answer.h"
#include "engine/http/byteranges.h"
#include "engine/http/conditions.h"
#include "engine/http/documents.h"
#include "engine/http/handler.h"
#include "engine/http/range.h"
#include "engine/http/static.h"
#include "engine/http/variables.h"
#include "engine/os/log.h"
#include "engine/os/sys.h"

enum { RANGES_MAX = 64 };

static void static_index(struct exchange *x);
static void static_file(struct exchange *x, struct document *document);

struct conf_str static_root(struct exchange *x)
{
    struct conf_str root = variable_expand(x, &x->location->root);
    if (root.at == NULL || (root.len > 0 && root.at[0] == '/'))
        return root;
    struct builder whole; /* it began with a variable */
    builder_start(&whole, &x->pool, x->site->conf->prefix.len + root.len + 1);
    builder_add(&whole, x->site->conf->prefix);
    builder_add(&whole, root);
    return builder_end(&whole);
}

struct conf_str static_filename(struct exchange *x, struct conf_str path)
{
    const struct conf_location *location = x->location;
    struct conf_str root = static_root(x);
    size_t skip = location->aliased ? location->alias_skip : 0;
    bool whole = skip == SIZE_MAX; /* the alias of a regular expression names the file itself */
    if (root.at == NULL)
        return root;
    if (whole)
        skip = x->adds_to_alias ? 0 : x->path.len;
    if (skip > path.len)
        skip = path.len;
    struct builder name;
    builder_start(&name, &x->pool, root.len + path.len + 1);
    builder_add(&name, root);
    builder_add(&name, str_make(path.at + skip, path.len - skip));
    return builder_end(&name);
}

/* Answers for a file that cannot be opened. */
static void static_refuse(struct exchange *x, struct conf_str name, int err)
{
    bool missing = err == ENOENT || err == ENOTDIR || err == ENAMETOOLONG;
    int status = missing ? 404 : err == EACCES || err == EPERM || err == ELOOP ? 403 : 500;
    enum log_level level = status == 500 ? LEVEL_CRIT : LEVEL_ERR;
    if (!missing || x->location->log_not_found)
        exchange_log(x, level, "open() \"%s\" failed (%d: %s)", name.at, err, strerror(err));
    answer_page(x, status);
}

/* A path that names a directory belongs with a slash at its end. */
void static_add_slash(struct exchange *x)
{
    static const char hex[] = "0123456789ABCDEF";
    struct builder target;
    builder_start(&target, &x->pool, x->path.len + x->args.len + 8);
    for (size_t i = 0; i < x->path.len; i++) {
        unsigned char c = (unsigned char)x->path.at[i];
        if (c > ' ' && c < 0x7f && c != '%' && c != '?' && c != '#' && c != '"') {
            builder_add_char(&target, (char)c);
            continue;
        }
        builder_add_char(&target, '%');
        builder_add_char(&target, hex[c >> 4]);
        builder_add_char(&target, hex[c & 15]);
    }
    builder_add_char(&target, '/');
    if (x->args.len > 0) {
        builder_add_char(&target, '?');
        builder_add(&target, x->args);
    }
    struct conf_str text = builder_end(&target);
    if (text.at == NULL)
        answer_page(x, 500);
    else
        answer_redirect(x, 301, text);
}

static void static_start(struct exchange *x)
{
    uint8_t method = x->head.method_id;
    if (method != HTTP1_GET && method != HTTP1_HEAD && method != HTTP1_POST) {
        answer_page(x, 405);
        return;
    }
    if (x->location->aliased && !x->fits_location) {
        exchange_log(x, LEVEL_ERR,
                     "\"alias\" cannot be used in location \"%s\" where URI was rewritten",
                     x->location->path.at);
        answer_page(x, 500);
        return;
    }
    if (x->path.at[x->path.len - 1] == '/') {
        static_index(x);
        return;
    }
    struct conf_str name = static_filename(x, x->path);
    if (name.at == NULL) {
        answer_page(x, 500);
        return;
    }
    struct document *document = document_take(x, name);
    if (document == NULL)
        answer_page(x, 500);
    else if (document->err != 0)
        static_refuse(x, name, document->err);
    else if (S_ISDIR(document->file.st_mode))
        static_add_slash(x);
    else if (!S_ISREG(document->file.st_mode))
        answer_page(x, 404);
    else if (method == HTTP1_POST)
        answer_page(x, 405);
    else
        static_file(x, document);
    /* What is sent from the file holds it by then. */
    document_give(document);
}

/* The first index file that exists answers, through the location its own path leads to. One that
 * begins with a slash is not looked for: the request goes there. */
static void static_index(struct exchange *x)
{
    struct stat file;
    for (size_t i = 0; i < x->location->index_count; i++) {
        struct conf_str index = variable_expand(x, &x->location->index[i]);
        if (index.len == 0)
            continue; /* of variables without values */
        if (index.at[0] == '/') {
            exchange_redirect(x, index, x->args);
            return;
        }
        struct builder path;
        builder_start(&path, &x->pool, x->path.len + index.len + 1);
        builder_add(&path, x->path);
        builder_add(&path, index);
        struct conf_str to = builder_end(&path);
        struct conf_str name = to.at != NULL ? static_filename(x, to) : to;
        if (name.at == NULL) {
            answer_page(x, 500);
            return;
        }
        int err = sys_stat(name.at, &file);
        if (err == 0) {
            exchange_redirect(x, to, x->args);
            return;
        }
        if (err != -ENOENT) {
            static_refuse(x, name, -err);
            return;
        }
    }
    struct conf_str name = static_filename(x, x->path);
    if (name.at == NULL || sys_stat(name.at, &file) != 0) {
        static_refuse(x, name.at != NULL ? name : x->path, name.at != NULL ? ENOENT : ENOMEM);
        return;
    }
    exchange_log(x, LEVEL_ERR, "directory index of \"%s\" is forbidden", name.at);
    answer_page(x, 403);
}

/* ---- sending a file
 * ------------------------------------------------------------------------------ */

static enum pull static_pull(struct exchange *x, char *room, size_t size, size_t *len)
{
    uint64_t left = x->answer.length - x->state.bytes.sent;
    if (left == 0)
        return PULL_END;
    ssize_t got = sys_pread(x->answer.file_fd, room, left < size ? left : size,
                            (off_t)(x->answer.file_offset + x->state.bytes.sent));
    if (got <= 0)
        return PULL_BROKEN; /* the file became shorter than the length we announced */
    x->state.bytes.sent += (uint64_t)got;
    *len = (size_t)got;
    return PULL_DATA;
}

/* Chooses how the bytes will travel. */
static void static_choose_body(struct exchange *x, struct document *document)
{
    struct answer *answer = &x->answer;
    if (answer->length == 0 || x->head.method_id == HTTP1_HEAD)
        return;
    const char *bytes = document_bytes(x, document, answer->file_offset, (size_t)answer->length);
    char *copy = bytes != NULL ? pool_take(&x->pool, (size_t)answer->length) : NULL;
    if (copy != NULL) {
        memcpy(copy, bytes, (size_t)answer->length);
        answer->body = BODY_MEMORY;
        answer->memory = str_make(copy, (size_t)answer->length);
        return;
    }
    answer->document = document_hold(document);
    answer->file_fd = document->fd;
    answer->body = x->location->sendfile ? BODY_FILE : BODY_PULL;
}

/* Last-Modified and ETag; their texts are conditions' measure as well. False: no memory. */
static bool static_describe(struct exchange *x, const struct document *document, bool error,
                            struct conditions *is)
{
    size_t etag_len = x->location->etag ? document->etag_len : 0;
    char *texts = pool_take(&x->pool, DATE_HTTP_LEN + etag_len);
    if (texts == NULL)
        return false;
    memcpy(texts, document->modified, DATE_HTTP_LEN);
    memcpy(texts + DATE_HTTP_LEN, document->etag, etag_len);
    is->modified_s = (uint64_t)document->file.st_mtim.tv_sec;
    is->date = str_make(texts, DATE_HTTP_LEN);
    is->etag = str_make(texts + DATE_HTTP_LEN, etag_len);
    if (!error)
        answer_header(x, STR("Last-Modified"), is->date);
    if (etag_len > 0)
        answer_header(x, STR("ETag"), is->etag);
    return true;
}

/* Content-Range: FIRST-LAST/SIZE, or without a range *\/SIZE. */
static void static_add_range(struct exchange *x, const struct range *range, uint64_t size)
{
    struct builder text;
    builder_start(&text, &x->pool, 80);
    builder_add(&text, STR("bytes "));
    if (range != NULL) {
        builder_add_u64(&text, range->offset);
        builder_add_char(&text, '-');
        builder_add_u64(&text, range->offset + range->len - 1);
    } else {
        builder_add_char(&text, '*');
    }
    builder_add_char(&text, '/');
    builder_add_u64(&text, size);
    struct conf_str value = builder_end(&text);
    if (value.at != NULL)
        answer_header(x, STR("Content-Range"), value);
}

/* Several ranges are sent from the file whatever its size. */
static void static_send_ranges(struct exchange *x, struct document *document,
                               const struct range *ranges, size_t count)
{
    x->answer.document = document_hold(document);
    x->answer.file_fd = document->fd;
    if (!byteranges_answer(x, ranges, count, (uint64_t)document->file.st_size))
        answer_page(x, 500);
}

/* Narrows the answer to what was asked for. True: there is nothing more to do. */
static bool static_apply_range(struct exchange *x, struct document *document,
                               const struct conditions *is)
{
    struct answer *answer = &x->answer;
    struct conf_str header = exchange_known_header(x, HTTP1_NAME_RANGE);
    size_t count, most = x->location->max_ranges;
    if (header.at == NULL || !conditions_allow_range(x, is))
        return false;
    struct range *ranges = pool_take(&x->pool, RANGES_MAX * sizeof *ranges);
    if (ranges == NULL)
        return false;
    uint64_t size = (uint64_t)document->file.st_size;
    enum range_verdict verdict =
        range_parse(header, size, ranges, most < RANGES_MAX ? most : RANGES_MAX, &count);
    if (verdict == RANGE_WHOLE)
        return false;
    if (verdict == RANGE_UNSATISFIABLE) {
        answer_page(x, 416);
        if (!x->restarted)
            static_add_range(x, NULL, size);
        return true;
    }
    answer->status = 206;
    if (count > 1) {
        static_send_ranges(x, document, ranges, count);
        return true;
    }
    answer->file_offset = ranges->offset;
    answer->length = ranges->len;
    static_add_range(x, ranges, size);
    return false;
}

/* Answers with a regular file. */
static void static_file(struct exchange *x, struct document *document)
{
    struct conditions is;
    uint64_t size = (uint64_t)document->file.st_size;
    /* An error's page is sent whole, and is not what the client has asked for. */
    bool error = x->sent_status != 0 && x->sent_status != 200;
    if (!static_describe(x, document, error, &is)) {
        answer_page(x, 500);
        return;
    }
    int status = error ? 200 : conditions_check(x, &is);
    x->answer.modified_s = error ? -1 : (int64_t)is.modified_s;
    if (status == 304)
        x->answer.status = 304;
    else if (status != 200)
        answer_page(x, status);
    if (status != 200)
        return;
    x->answer.status = 200;
    x->answer.content_type = answer_type_of_path(x);
    x->answer.length = size;
    x->answer.length_known = true;
    x->state.bytes.sent = 0;
    bool ranges = !error && x->location->max_ranges > 0;
    if (ranges && static_apply_range(x, document, &is))
        return;
    if (ranges && x->answer.status == 200)
        answer_header(x, STR("Accept-Ranges"), STR("bytes"));
    static_choose_body(x, document);
}

const struct handler handler_static = {.start = static_start, .pull = static_pull};
