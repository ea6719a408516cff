/* Access logs: lines from formats, written whole. */
#include "engine/http/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "engine/http/uri.h"
#include "engine/http/variables.h"
#include "engine/os/clock.h"
#include "engine/os/log.h"
#include "engine/os/sys.h"
#include "faultinject/fault.h"

static void access_log_put(struct access_log_file *file, const struct conf_access_log *rule,
                           struct conf_str line, uint64_t now_ns);
static void access_log_flush(struct access_log_file *file);

/* if=: is there nothing to say? */
static bool access_log_skips(struct exchange *x, const struct conf_access_log *rule)
{
    if (rule->condition.count == 0)
        return false;
    struct conf_str value = variable_expand(x, &rule->condition);
    return value.len == 0 || str_equal(value, STR("0"));
}

/* A file with variables in its name, for one line. */
static void access_log_write_once(struct exchange *x, const struct conf_access_log *rule,
                                  struct conf_str line)
{
    struct conf_str path = variable_expand(x, &rule->path);
    if (path.at == NULL || !uri_stays_inside(path))
        return;
    int fd = sys_open(path.at, O_WRONLY | O_APPEND | O_CREAT, 0644);
    ssize_t put = fd < 0 ? fd : sys_write(fd, line.at, line.len);
    if (put < 0)
        log_line(LEVEL_CRIT, "write to access log \"%s\" failed (%d: %s)", path.at, (int)-put,
                 strerror((int)-put));
    if (fd >= 0)
        sys_close(fd);
}

void access_log_write(struct exchange *x)
{
    const struct conf_location *location = x->location;
    for (size_t i = 0; i < location->access_log_count; i++) {
        const struct conf_access_log *rule = &location->access_logs[i];
        if (access_log_skips(x, rule))
            continue;
        struct builder line;
        builder_start(&line, &x->pool, 512);
        for (size_t j = 0; j < rule->format->text.count; j++) {
            const struct conf_segment *segment = &rule->format->text.segments[j];
            if (segment->variable == VAR_LITERAL)
                builder_add(&line, segment->text);
            else
                access_log_escape(&line, variable_segment(x, segment), rule->format->escape);
        }
        builder_add_char(&line, '\n');
        struct conf_str text = builder_end(&line);
        if (text.at == NULL)
            log_line(LEVEL_CRIT, "no memory for a line of an access log");
        else if (rule->file == NULL)
            access_log_write_once(x, rule, text);
        else
            access_log_put(&x->site->logs->files[rule->file->index], rule, text, x->site->now_ns);
    }
}

static void escape_hex(struct builder *line, const char *prefix, unsigned char c,
                       const char *digits)
{
    builder_add(line, str_make(prefix, strlen(prefix)));
    builder_add_char(line, digits[c >> 4]);
    builder_add_char(line, digits[c & 15]);
}

/* nginx's default: quotes, backslashes and all that is not printable ASCII as \xXX. */
static void escape_default(struct builder *line, unsigned char c)
{
    if (c == '"' || c == '\\' || c < 32 || c > 126)
        escape_hex(line, "\\x", c, "0123456789ABCDEF");
    else
        builder_add_char(line, (char)c);
}

static void escape_json(struct builder *line, unsigned char c)
{
    static const char named[] = "\nn\rr\tt\bb\ff\"\"\\\\"; /* pairs: the byte, its letter */
    for (size_t i = 0; i + 1 < sizeof named; i += 2) {
        if (c == (unsigned char)named[i]) {
            builder_add_char(line, '\\');
            builder_add_char(line, named[i + 1]);
            return;
        }
    }
    if (c < 32)
        escape_hex(line, "\\u00", c, "0123456789abcdef");
    else
        builder_add_char(line, (char)c);
}

void access_log_escape(struct builder *line, struct conf_str value, enum conf_escape escape)
{
    if (value.at == NULL) {
        builder_add(line, escape == ESCAPE_DEFAULT ? STR("-") : STR(""));
        return;
    }
    if (escape == ESCAPE_NONE) {
        builder_add(line, value);
        return;
    }
    for (size_t i = 0; i < value.len; i++) {
        if (escape == ESCAPE_JSON)
            escape_json(line, (unsigned char)value.at[i]);
        else
            escape_default(line, (unsigned char)value.at[i]);
    }
}

/* ---- files
 * --------------------------------------------------------------------------------------- */

/* The largest buffer any directive asks for this file. */
static size_t access_log_buffer_size(const struct conf *conf, size_t index)
{
    size_t size = 0;
    for (size_t i = 0; i < conf->location_count; i++) {
        const struct conf_location *location = conf->locations[i];
        for (size_t j = 0; j < location->access_log_count; j++) {
            const struct conf_access_log *rule = &location->access_logs[j];
            if (rule->file != NULL && rule->file->index == index && rule->buffer_size > size)
                size = rule->buffer_size;
        }
    }
    return size;
}

int access_logs_open(struct access_logs *logs, const struct conf *conf, const int *fds)
{
    *logs = (struct access_logs){.count = conf->log_file_count};
    logs->files = sys_alloc((logs->count + 1) * sizeof *logs->files);
    if (logs->files == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < logs->count; i++) {
        struct access_log_file *file = &logs->files[i];
        memset(file, 0, sizeof *file);
        file->path = conf->log_files[i].path.at;
        file->fd = fds[i];
        file->to_syslog = syslog_is(file->path) && syslog_parse(file->path, &file->syslog) == NULL;
        file->size = access_log_buffer_size(conf, i);
        file->buffer = file->size > 0 ? sys_alloc(file->size) : NULL;
        if (file->size > 0 && file->buffer == NULL)
            return -ENOMEM;
    }
    return 0;
}

void access_logs_close(struct access_logs *logs)
{
    access_logs_flush(logs);
    for (size_t i = 0; i < logs->count; i++) {
        sys_close(logs->files[i].fd);
        free(logs->files[i].buffer);
    }
    free(logs->files);
    *logs = (struct access_logs){.files = NULL};
}

/* At most one complaint a second: a full disk must not fill the error log as well. */
static void access_log_complain(struct access_log_file *file, const char *what, int err)
{
    uint64_t now_ns = clock_now_ns();
    if (file->complained_ns != 0 && now_ns - file->complained_ns < NS_PER_S)
        return;
    file->complained_ns = now_ns;
    if (fault_sabotage(FAULT_sabotage_die_without_log))
        abort();
    log_line(LEVEL_CRIT, "%s access log \"%s\" failed (%d: %s); its lines are lost until it works",
             what, file->path, err, strerror(err));
}

/* Writes whole lines at once. What a short write leaves is written after it: a torn line is better
 * than a lost one, and only a full disk leads here. */
static void access_log_out(struct access_log_file *file, const char *at, size_t len)
{
    int refused = fault_step(FAULT_log_write);
    if (refused != 0) {
        access_log_complain(file, "write to", refused);
        return;
    }
    while (len > 0) {
        ssize_t put = sys_write(file->fd, at, len);
        if (put < 0) {
            access_log_complain(file, "write to", (int)-put);
            return;
        }
        at += put;
        len -= (size_t)put;
    }
}

static void access_log_flush(struct access_log_file *file)
{
    if (file->used > 0)
        access_log_out(file, file->buffer, file->used);
    file->used = 0;
    file->flush_at_ns = 0;
}

/* sabotage.tear_log_line: the line's second half waits for the reopen. */
static bool access_log_tear(struct access_log_file *file, struct conf_str line)
{
    size_t half = line.len / 2;
    if (file->torn_len != 0 || line.len - half > sizeof file->torn ||
        !fault_sabotage(FAULT_sabotage_tear_log_line))
        return false;
    access_log_out(file, line.at, half);
    file->torn_len = line.len - half;
    memcpy(file->torn, line.at + half, file->torn_len);
    return true;
}

/* One datagram for each line; without its line feed, as syslog has none. */
static void access_log_send(struct access_log_file *file, struct conf_str line)
{
    enum { DATAGRAM_MAX = 8192 };
    char text[DATAGRAM_MAX];
    size_t head = syslog_head(&file->syslog, file->syslog.severity, text, sizeof text);
    size_t len = line.len - 1 < sizeof text - head ? line.len - 1 : sizeof text - head;
    memcpy(text + head, line.at, len);
    ssize_t put = sys_write(file->fd, text, head + len);
    if (put < 0)
        access_log_complain(file, "send to", (int)-put);
}

static void access_log_put(struct access_log_file *file, const struct conf_access_log *rule,
                           struct conf_str line, uint64_t now_ns)
{
    if (file->to_syslog) {
        access_log_send(file, line);
        return;
    }
    if (access_log_tear(file, line))
        return;
    size_t limit = rule->buffer_size < file->size ? rule->buffer_size : file->size;
    if (file->used + line.len > limit)
        access_log_flush(file);
    if (line.len > limit) {
        access_log_out(file, line.at, line.len);
        return;
    }
    memcpy(file->buffer + file->used, line.at, line.len);
    file->used += line.len;
    if (file->flush_at_ns == 0 && rule->flush_ns > 0)
        file->flush_at_ns = now_ns + rule->flush_ns;
}

uint64_t access_logs_flush_due(struct access_logs *logs, uint64_t now_ns)
{
    uint64_t next_ns = UINT64_MAX;
    for (size_t i = 0; i < logs->count; i++) {
        struct access_log_file *file = &logs->files[i];
        if (file->flush_at_ns != 0 && file->flush_at_ns <= now_ns)
            access_log_flush(file);
        if (file->flush_at_ns != 0 && file->flush_at_ns < next_ns)
            next_ns = file->flush_at_ns;
    }
    return next_ns;
}

static void access_log_mend(struct access_log_file *file)
{
    if (file->torn_len > 0)
        access_log_out(file, file->torn, file->torn_len);
    file->torn_len = 0;
}

void access_logs_flush(struct access_logs *logs)
{
    for (size_t i = 0; i < logs->count; i++) {
        access_log_flush(&logs->files[i]);
        access_log_mend(&logs->files[i]);
    }
}

/* Lines written so far belong to the old file, the ones that follow to the new. */
static int access_log_reopen(struct access_log_file *file)
{
    if (fault_sabotage(FAULT_sabotage_keep_old_log))
        return 0;
    access_log_flush(file);
    int fd = -fault_step(FAULT_log_reopen);
    if (fd == 0)
        fd = log_target_open(file->path);
    if (fd < 0)
        return fd;
    sys_close(file->fd);
    file->fd = fd;
    access_log_mend(file);
    return 0;
}

size_t access_logs_reopen(struct access_logs *logs)
{
    size_t failed = 0;
    for (size_t i = 0; i < logs->count; i++) {
        int err = access_log_reopen(&logs->files[i]);
        if (err == 0)
            continue;
        failed++;
        log_line(LEVEL_EMERG, "open() \"%s\" failed (%d: %s); logging goes on in the old file",
                 logs->files[i].path, -err, strerror(-err));
    }
    return failed;
}
