/* conf_load: the command line's directives, then the file, then the checks that need the whole. */
#include "engine/conf/load.h"

#include <stdio.h>
#include <string.h>

#include "engine/conf/setters.h"

#define LOAD_CHUNK_BYTES 8192
#define LOAD_ALL_CONTEXTS (MAIN | EVENTS | HTTP | SERVER | LOCATION)

static const char combined[] =
    "log_format combined '$remote_addr - $remote_user [$time_local] \"$request\" $status "
    "$body_bytes_sent \"$http_referer\" \"$http_user_agent\"';";
static const char default_types[] = "types { text/html html; image/gif gif; image/jpeg jpg; }";

static bool load_constant(struct load *load, const char *text)
{
    struct conf_str str = {text, strlen(text)};
    return parse_text(load, &load->defaults, parse_directive, "the defaults", str);
}

/* Defaults go through the same setters as what people write, on a level above main. */
static bool load_defaults(struct load *load)
{
    load->defaults.context = LOAD_ALL_CONTEXTS;
    if (!load_constant(load, combined) || !load_constant(load, default_types))
        return false;
    for (size_t i = 0; i < DIRECTIVE_COUNT; i++) {
        char text[128];
        const struct directive *directive = &conf_directives[i];
        if (directive->fallback == NULL)
            continue;
        snprintf(text, sizeof text, "%s %s;", directive->name, directive->fallback);
        if (!load_constant(load, text))
            return false;
    }
    return true;
}

static bool load_start(struct load *load, const char *path, const char *prefix)
{
    const char *slash = strrchr(path, '/');
    load->main.parent = &load->defaults;
    load->main.context = MAIN;
    return load_copy(load, prefix, strlen(prefix), &load->conf->prefix) &&
           load_copy(load, path, slash == NULL ? 0 : (size_t)(slash - path) + 1, &load->folder);
}

static bool load_globals(struct load *load, const char *globals)
{
    struct conf_str text;
    return globals == NULL ||
           (load_copy(load, globals, strlen(globals), &text) &&
            parse_text(load, &load->main, parse_directive, "command line", text));
}

static bool load_all(struct load *load, const char *path, const char *prefix, const char *globals)
{
    if (!load_start(load, path, prefix) || !load_defaults(load) || !load_globals(load, globals) ||
        !parse_file(load, &load->main, parse_directive, path, NULL))
        return false;
    if (!load->has_events)
        return load_fail(load, NULL, "no \"events\" section in configuration");
    return listen_check_conflicts(load) && build_conf(load);
}

static struct conf *load_new_conf(size_t chunk_bytes)
{
    struct arena *arena = arena_new(chunk_bytes);
    if (arena == NULL)
        return NULL;
    struct conf *conf = arena_alloc(arena, sizeof *conf);
    if (conf == NULL)
        arena_free(arena);
    else
        conf->arena = arena;
    return conf;
}

struct conf *conf_load_chunked(const char *path, const char *prefix, const char *globals,
                               struct conf_error *error, size_t chunk_bytes)
{
    struct conf *result = NULL;
    struct load first = {.error = error}, *load = NULL;
    *error = (struct conf_error){0};
    first.conf = load_new_conf(chunk_bytes);
    first.scratch = arena_new(chunk_bytes);
    if (first.conf != NULL && first.scratch != NULL)
        load = arena_alloc(first.scratch, sizeof *load);
    if (load == NULL) {
        load_fail(&first, NULL, "no memory for the configuration");
    } else {
        *load = first;
        if (load_all(load, path, prefix, globals))
            result = load->conf;
    }
    arena_free(first.scratch);
    if (result == NULL)
        conf_free(first.conf);
    return result;
}

struct conf *conf_load(const char *path, const char *prefix, const char *globals,
                       struct conf_error *error)
{
    return conf_load_chunked(path, prefix, globals, error, LOAD_CHUNK_BYTES);
}

void conf_free(struct conf *conf)
{
    if (conf == NULL)
        return;
    regex_free_all(conf->regexes);
    arena_free(conf->arena); /* *conf lies in it */
}

void conf_error_print(const struct conf_error *error, char *out, size_t size)
{
    if (error->line == 0)
        snprintf(out, size, "[emerg] %s", error->message);
    else
        snprintf(out, size, "[emerg] %s in %s:%u:%u", error->message, error->file, error->line,
                 error->column);
}
