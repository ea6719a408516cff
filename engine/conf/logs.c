/* Setters of error_log, log_format and access_log. */
#include "engine/conf/load.h"

#include <string.h>

#include "engine/conf/setters.h"
#include "engine/conf/value.h"
#include "engine/os/log.h"
#include "engine/os/syslog.h"

/* A file, below the prefix, or a syslog server as it is written. */
static bool log_target(struct load *load, const struct word *word, struct conf_str *out)
{
    struct syslog syslog;
    if (str_begins(word->text, "memory:"))
        return load_fail(load, &word->place,
                         "\"%s\" is not supported by this build, name a file or a syslog server",
                         word->text.at);
    if (!syslog_is(word->text.at))
        return load_path(load, load->conf->prefix, word->text, out);
    const char *wrong = syslog_parse(word->text.at, &syslog);
    if (wrong != NULL)
        return load_fail(load, &word->place, "invalid log \"%s\": %s", word->text.at, wrong);
    return load_copy(load, word->text.at, word->text.len, out);
}

/* value.text is the path or "stderr", value.number the level. */
bool set_error_log(struct load *load, struct scope *scope, const struct directive *directive,
                   const struct statement *statement)
{
    (void)directive;
    const struct word *file = &statement->args[0];
    enum log_level level = LEVEL_ERR;
    struct conf_str path = {"stderr", 6};
    if (statement->count == 2 && !log_level_parse(statement->args[1].text.at, &level))
        return load_fail(load, &statement->args[1].place,
                         "invalid log level \"%s\", it must be debug, info, notice, warn, error, "
                         "crit, alert or emerg",
                         statement->args[1].text.at);
    if (file->text.len == 0)
        return load_fail(load, &file->place, "\"error_log\" has no file name");
    bool standard = str_is(file->text, "stderr");
    if (standard && scope->context != MAIN && scope->parent != NULL)
        return load_fail(load, &file->place,
                         "\"error_log stderr\" is supported by this build at the main level only");
    if (!standard && !log_target(load, file, &path))
        return false;
    load->log_file_max++;
    if (!scope->values[D_error_log].set) {
        scope_set(scope, D_error_log, level, path);
        return true;
    }
    struct conf_error_log *more = load_add(load, &scope->more_error_logs, sizeof *more);
    if (more == NULL)
        return false;
    *more = (struct conf_error_log){.path = path, .level = (int)level};
    return scope->context != MAIN || scope->more_error_logs.count <= LOG_MORE_MAX ||
           load_fail(load, &file->place, "more than %d error logs at the main level",
                     LOG_MORE_MAX + 1);
}

/* ---- log_format ------------------------------------------------------------------------------ */

static const struct conf_log_format *format_find(const struct load *load, struct conf_str name)
{
    struct conf_log_format *const *formats = load->formats.items;
    for (size_t i = 0; i < load->formats.count; i++) {
        if (str_equal(formats[i]->name, name))
            return formats[i];
    }
    return NULL;
}

static bool format_escape(struct load *load, const struct word *word, enum conf_escape *escape)
{
    if (str_is(word->text, "escape=default"))
        *escape = ESCAPE_DEFAULT;
    else if (str_is(word->text, "escape=json"))
        *escape = ESCAPE_JSON;
    else if (str_is(word->text, "escape=none"))
        *escape = ESCAPE_NONE;
    else
        return load_fail(load, &word->place, "unknown log format escaping \"%s\"",
                         word->text.at + strlen("escape="));
    return true;
}

/* The text's words follow each other without a gap, as in nginx. */
static bool format_text(struct load *load, const struct statement *statement, size_t first,
                        struct conf_text *out)
{
    struct list segments = {0};
    for (size_t i = first; i < statement->count; i++) {
        struct conf_text part;
        if (!text_compile(load, &statement->args[i], &part))
            return false;
        for (size_t j = 0; j < part.count; j++) {
            struct conf_segment *segment = load_add(load, &segments, sizeof *segment);
            if (segment == NULL)
                return false;
            *segment = part.segments[j];
        }
    }
    *out = (struct conf_text){segments.items, segments.count};
    return true;
}

bool set_log_format(struct load *load, struct scope *scope, const struct directive *directive,
                    const struct statement *statement)
{
    (void)scope;
    const struct word *name = &statement->args[0];
    if (format_find(load, name->text) != NULL)
        return load_fail(load, &name->place, "duplicate \"log_format\" name \"%s\"", name->text.at);
    struct conf_log_format *format = load_alloc(load, sizeof *format);
    struct conf_log_format **slot = load_add(load, &load->formats, sizeof *slot);
    if (format == NULL || slot == NULL)
        return false;
    *slot = format;
    bool escapes = str_begins(statement->args[1].text, "escape=");
    if (escapes && statement->count == 2)
        return load_fail(load, &statement->name.place,
                         "invalid number of arguments in \"%s\" directive", directive->name);
    return load_copy(load, name->text.at, name->text.len, &format->name) &&
           (!escapes || format_escape(load, &statement->args[1], &format->escape)) &&
           format_text(load, statement, escapes ? 2 : 1, &format->text);
}

/* ---- access_log ------------------------------------------------------------------------------ */

static bool access_unsupported(struct load *load, const struct word *word)
{
    return load_fail(load, &word->place, "\"%s\" of \"access_log\" is not supported by this build",
                     word->text.at);
}

static bool access_option(struct load *load, const struct word *word, struct conf_access_log *log)
{
    struct conf_str text = word->text;
    uint64_t size;
    if (str_begins(text, "buffer=")) {
        if (!value_size((struct conf_str){text.at + 7, text.len - 7}, &size) || size == 0 ||
            size > 1u << 30)
            return load_fail(load, &word->place, "invalid buffer size \"%s\"", text.at + 7);
        log->buffer_size = size;
        return true;
    }
    if (str_begins(text, "flush=")) {
        if (!value_time((struct conf_str){text.at + 6, text.len - 6}, &log->flush_ns) ||
            log->flush_ns == 0)
            return load_fail(load, &word->place, "invalid flush time \"%s\"", text.at + 6);
        return true;
    }
    if (str_begins(text, "if=")) {
        const struct word condition = {{text.at + 3, text.len - 3}, word->place};
        return text_compile(load, &condition, &log->condition);
    }
    if (str_begins(text, "gzip"))
        return access_unsupported(load, word);
    return load_fail(load, &word->place, "invalid parameter \"%s\"", text.at);
}

static bool access_options(struct load *load, const struct statement *statement,
                           struct conf_access_log *log)
{
    const struct word *format = &statement->args[1];
    if (statement->count == 1)
        log->format = format_find(load, (struct conf_str){"combined", 8});
    else
        log->format = format_find(load, format->text);
    if (log->format == NULL)
        return load_fail(load, &format->place, "unknown log format \"%s\"", format->text.at);
    for (size_t i = 2; i < statement->count; i++) {
        if (!access_option(load, &statement->args[i], log))
            return false;
    }
    if (log->flush_ns != 0 && log->buffer_size == 0)
        return load_fail(load, &statement->args[0].place,
                         "no buffer is defined for access_log \"%s\"", statement->args[0].text.at);
    return true;
}

/* A file whose name holds variables is opened for each line. */
static bool access_by_request(struct load *load, struct scope *scope, const struct word *file,
                              struct conf_str path, struct conf_access_log log)
{
    const struct word whole = {path, file->place};
    if (log.buffer_size > 0)
        return load_fail(load, &file->place, "buffered logs cannot have variables in their name");
    struct access_wish *slot = load_add(load, &scope->access_logs, sizeof *slot);
    if (slot == NULL || !text_compile(load, &whole, &log.path))
        return false;
    *slot = (struct access_wish){log, path, file->place};
    return true;
}

/* value.number counts `off`; the logs themselves are a list. */
bool set_access_log(struct load *load, struct scope *scope, const struct directive *directive,
                    const struct statement *statement)
{
    (void)directive;
    const struct word *file = &statement->args[0];
    if (str_is(file->text, "off")) {
        if (statement->count > 1)
            return load_fail(load, &statement->args[1].place, "invalid parameter \"%s\"",
                             statement->args[1].text.at);
        scope_set(scope, D_access_log, 1, (struct conf_str){"", 0});
        return true;
    }
    struct conf_access_log log = {0};
    struct conf_str path;
    if (!log_target(load, file, &path) || !access_options(load, statement, &log))
        return false;
    if (memchr(file->text.at, '$', file->text.len) != NULL)
        return access_by_request(load, scope, file, path, log);
    if (log.buffer_size > 0 && syslog_is(path.at))
        return load_fail(load, &file->place, "logs to syslog cannot be buffered");
    struct access_wish *slot = load_add(load, &scope->access_logs, sizeof *slot);
    if (slot == NULL)
        return false;
    load->log_file_max++;
    *slot = (struct access_wish){log, path, file->place};
    return true;
}
