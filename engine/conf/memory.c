/* Memory, strings, paths and the one error of a load. */
#include "engine/conf/load.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool load_fail(struct load *load, const struct place *place, const char *format, ...)
{
    if (load->failed)
        return false; /* what failed first is the cause */
    load->failed = true;
    struct conf_error *error = load->error;
    *error = (struct conf_error){0};
    va_list args;
    va_start(args, format);
    vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    for (char *c = error->message; *c != '\0'; c++)
        if (*c > '\0' && *c < ' ')
            *c = '?'; /* a word may hold a line's end; a message is one line */
    if (place != NULL && place->file != NULL) {
        snprintf(error->file, sizeof error->file, "%s", place->file);
        error->line = place->line;
        error->column = place->column;
    }
    return false;
}

static void *load_checked(struct load *load, void *piece)
{
    if (piece == NULL)
        load_fail(load, NULL, "no memory for the configuration");
    return piece;
}

void *load_alloc(struct load *load, size_t size_bytes)
{
    return load_checked(load, arena_alloc(load->conf->arena, size_bytes));
}

void *load_scratch(struct load *load, size_t size_bytes)
{
    return load_checked(load, arena_alloc(load->scratch, size_bytes));
}

void *load_add(struct load *load, struct list *list, size_t item_bytes)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 4 : list->capacity * 2;
        void *bigger = load_alloc(load, capacity * item_bytes);
        if (bigger == NULL)
            return NULL;
        if (list->count > 0)
            memcpy(bigger, list->items, list->count * item_bytes);
        list->items = bigger;
        list->capacity = capacity;
    }
    return (char *)list->items + list->count++ * item_bytes;
}

bool load_copy(struct load *load, const char *at, size_t len, struct conf_str *out)
{
    char *copy = load_alloc(load, len + 1);
    if (copy == NULL)
        return false;
    memcpy(copy, at, len);
    *out = (struct conf_str){copy, len};
    return true;
}

bool load_copy_lower(struct load *load, struct conf_str text, struct conf_str *out)
{
    char *copy = load_alloc(load, text.len + 1);
    if (copy == NULL)
        return false;
    for (size_t i = 0; i < text.len; i++)
        copy[i] = (char)tolower((unsigned char)text.at[i]);
    *out = (struct conf_str){copy, text.len};
    return true;
}

bool load_path(struct load *load, struct conf_str folder, struct conf_str name,
               struct conf_str *out)
{
    if (name.len > 0 && name.at[0] == '/')
        return load_copy(load, name.at, name.len, out);
    char *path = load_alloc(load, folder.len + name.len + 1);
    if (path == NULL)
        return false;
    memcpy(path, folder.at, folder.len);
    memcpy(path + folder.len, name.at, name.len);
    *out = (struct conf_str){path, folder.len + name.len};
    return true;
}

bool load_refuse_variables(struct load *load, const struct word *word, const char *directive)
{
    if (memchr(word->text.at, '$', word->text.len) == NULL)
        return true;
    return load_fail(load, &word->place,
                     "variables in \"%s\" are not supported by this build: \"%s\"", directive,
                     word->text.at);
}

const struct conf_log_file *load_log_file(struct load *load, struct conf_str path)
{
    struct conf_log_file *files = load->log_files.items;
    for (size_t i = 0; i < load->log_files.count; i++) {
        if (str_equal(files[i].path, path))
            return &files[i];
    }
    CHECK(load->log_files.count < load->log_file_max);
    size_t index = load->log_files.count++;
    files[index] = (struct conf_log_file){.path = path, .index = index};
    return &files[index];
}
