/* The vocabulary as text, JSON and documentation. */
#include "scenarios/history/vocabulary.h"

#include <jansson.h>
#include <stddef.h>
#include <string.h>

#include "scenarios/history/hist_file.h"
#include "scenarios/history/words.h"

/* A field of a struct in a file; `type` as numpy spells it. */
struct layout {
    const char *name, *type, *meaning;
    size_t offset;
};

#define RECORD(field, type, meaning)                                                               \
    {                                                                                              \
#field, type, meaning, offsetof(struct hist_record, field)                                 \
    }
#define HEADER(field, type, meaning)                                                               \
    {                                                                                              \
#field, type, meaning, offsetof(struct hist_header, field)                                 \
    }
static const struct layout record_layout[] = {
    RECORD(t_ns, "<u8", "CLOCK_MONOTONIC, or virtual time in the simulator"),
    RECORD(kind, "<u2", "what happened; 0 ends a file"),
    RECORD(role, "<u2", "who wrote it"),
    RECORD(slot, "<i2", "worker slot or population index, -1 none"),
    RECORD(flags, "<u2", "a set of 1 << flag"),
    RECORD(pid, "<u4", "a process"),
    RECORD(gen, "<u4", "a generation or configuration number"),
    RECORD(conn, "<u8", "client IPv4 address << 16 | client port"),
    RECORD(req, "<u8", "the request's nonce"),
    RECORD(a, "<u8", "by kind"),
    RECORD(b, "<u8", "by kind"),
    RECORD(c, "<u8", "by kind"),
};
static const struct layout header_layout[] = {
    HEADER(magic, "S8", "\"MWHIST\" CR LF"),
    HEADER(version, "<u4", "1"),
    HEADER(record_bytes, "<u4", "64"),
    HEADER(vocabulary, "<u8", "a number made from all names; 0 not stated"),
    HEADER(opened_ns, "<u8", "CLOCK_MONOTONIC when the file was made"),
    HEADER(wall_ns, "<u8", "CLOCK_REALTIME at the same moment"),
    HEADER(role, "<u4", "who writes it"),
    HEADER(pid, "<u4", "the process that writes it"),
    HEADER(unused, "V16", "zero"),
};
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- JSON ----------------------------------------------------------------------------------- */

static json_t *json_layout(const struct layout *layout, size_t count)
{
    json_t *fields = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(fields,
                              json_pack("{s:s, s:s, s:I, s:s}", "name", layout[i].name, "type",
                                        layout[i].type, "offset", (json_int_t)layout[i].offset,
                                        "meaning", layout[i].meaning));
    return fields;
}

static json_t *json_kind(unsigned number)
{
    const struct hist_kind_info *kind = &hist_kinds[number];
    json_t *fields = json_object();
    for (unsigned i = 0; i < HIST_FIELD_COUNT; i++)
        if (kind->fields[i][0] != '\0')
            json_object_set_new(fields, hist_field_names[i], json_string(kind->fields[i]));
    return json_pack("{s:i, s:s, s:s, s:o}", "number", (int)number, "name", kind->name, "meaning",
                     kind->meaning, "fields", fields);
}

static json_t *json_words(const struct hist_list *list)
{
    json_t *words = json_array();
    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(words,
                              json_pack("{s:i, s:s, s:s}", "number", (int)i, "word",
                                        list->words[i].word, "meaning", list->words[i].meaning));
    return words;
}

void vocabulary_print_json(FILE *out)
{
    json_t *kinds = json_array(), *lists = json_object();
    for (unsigned i = 1; i < HIST_KIND_COUNT; i++)
        json_array_append_new(kinds, json_kind(i));
    for (size_t i = 0; i < hist_list_count; i++)
        json_object_set_new(lists, hist_lists[i].name, json_words(&hist_lists[i]));
    json_t *all = json_pack("{s:i, s:I, s:s, s:i, s:o, s:o, s:o, s:o}", "version", HIST_VERSION,
                            "vocabulary", (json_int_t)hist_vocabulary(), "magic", HIST_MAGIC,
                            "record_bytes", (int)sizeof(struct hist_record), "header",
                            json_layout(header_layout, COUNT_OF(header_layout)), "record",
                            json_layout(record_layout, COUNT_OF(record_layout)), "kinds", kinds,
                            "words", lists);
    json_dumpf(all, out, JSON_INDENT(1));
    fputc('\n', out);
    json_decref(all);
}

/* ---- text ----------------------------------------------------------------------------------- */

void vocabulary_print_text(FILE *out)
{
    for (unsigned i = 1; i < HIST_KIND_COUNT; i++) {
        fprintf(out, "%-22s %s\n", hist_kinds[i].name, hist_kinds[i].meaning);
        for (unsigned f = 0; f < HIST_FIELD_COUNT; f++)
            if (hist_kinds[i].fields[f][0] != '\0')
                fprintf(out, "    %-6s %s\n", hist_field_names[f], hist_kinds[i].fields[f]);
    }
    for (size_t i = 0; i < hist_list_count; i++) {
        fprintf(out, "\n%s\n", hist_lists[i].name);
        for (size_t w = 0; w < hist_lists[i].count; w++)
            fprintf(out, "    %-22s %s\n", hist_lists[i].words[w].word,
                    hist_lists[i].words[w].meaning);
    }
}

/* ---- docs/history.md ------------------------------------------------------------------------ */

static const char head[] =
    "# The history\n"
    "\n"
    "<!-- Made by `mw-history docs`; `make tidy` checks that it is fresh. -->\n"
    "\n"
    "Every witness of a run writes one file: a header of 64 bytes, then records of 64 bytes, in\n"
    "the machine's byte order (little-endian below). A file is written through a shared mapping,\n"
    "so that the records of a process that is killed survive it; its unused tail is zero, and a\n"
    "record of kind 0 is the end. The files of one run lie in one folder as `*.mwh`; readers "
    "merge\n"
    "them by time, and records of equal time keep the order of their file.\n"
    "\n"
    "    mw-history cat RUN --req 17          what happened to a request\n"
    "    mw-history cat RUN --kind engine     the engine's own trace\n"
    "    mw-history merge RUN -o run.mwh      one file\n"
    "    mw-history vocabulary --json         this page for programs\n"
    "\n"
    "Meanings that hold for all kinds:\n"
    "\n"
    "- `conn` is the connection as both ends see it, client IPv4 address << 16 | client port; 0\n"
    "  where unknown. Numbers are used again once a port is.\n"
    "- `req` is the nonce that the client put into the request; never 0, unique within a run.\n"
    "- `gen` is the configuration number that the answer named for `client.*`, the engine's own\n"
    "  generation counter for `engine.*`, and the configuration number for `director.*`.\n"
    "- `slot` is -1 where unused; other unused fields are 0.\n";

/* A bar ends a table's cell. */
static void markdown_cell(FILE *out, const char *text)
{
    for (; *text != '\0'; text++)
        fputs(*text == '|' ? "\\|" : (char[]){*text, '\0'}, out);
}

static void markdown_layout(FILE *out, const char *title, const struct layout *layout, size_t count)
{
    fprintf(out, "\n## %s\n\n| offset | field | type | meaning |\n| --- | --- | --- | --- |\n",
            title);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "| %zu | %s | %s | ", layout[i].offset, layout[i].name, layout[i].type);
        markdown_cell(out, layout[i].meaning);
        fputs(" |\n", out);
    }
}

static void markdown_kind(FILE *out, const struct hist_kind_info *kind)
{
    fprintf(out, "| `%s` | %s |", kind->name, kind->meaning);
    const char *separator = " ";
    for (unsigned f = 0; f < HIST_FIELD_COUNT; f++) {
        if (kind->fields[f][0] == '\0')
            continue;
        fprintf(out, "%s`%s` ", separator, hist_field_names[f]);
        markdown_cell(out, kind->fields[f]);
        separator = "; ";
    }
    fprintf(out, " |\n");
}

void vocabulary_print_markdown(FILE *out)
{
    fputs(head, out);
    markdown_layout(out, "Header", header_layout, COUNT_OF(header_layout));
    markdown_layout(out, "Record", record_layout, COUNT_OF(record_layout));
    fprintf(out, "\n## Kinds\n\n| kind | meaning | fields |\n| --- | --- | --- |\n");
    for (unsigned i = 1; i < HIST_KIND_COUNT; i++)
        markdown_kind(out, &hist_kinds[i]);
    fprintf(out, "\n## Words\n");
    for (size_t i = 0; i < hist_list_count; i++) {
        /* The fault points have a page of their own. */
        if (strcmp(hist_lists[i].name, "fault_point") == 0)
            continue;
        fprintf(out, "\n### %s\n\n| number | word | meaning |\n| --- | --- | --- |\n",
                hist_lists[i].name);
        for (size_t w = 0; w < hist_lists[i].count; w++)
            fprintf(out, "| %zu | %s | %s |\n", w, hist_lists[i].words[w].word,
                    hist_lists[i].words[w].meaning);
    }
}
