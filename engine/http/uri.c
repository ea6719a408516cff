/* Decoding and normalising paths. */
#include "engine/http/uri.h"

static enum uri_verdict uri_decode(struct conf_str raw, char *out, size_t *out_len);
static enum uri_verdict uri_resolve(char *path, size_t *len, bool merge_slashes);

enum uri_verdict uri_normalise(struct conf_str raw, bool merge_slashes, char *out, size_t *out_len)
{
    if (raw.len == 0 || raw.at[0] != '/' || uri_decode(raw, out, out_len) != URI_OK)
        return URI_BAD;
    return uri_resolve(out, out_len, merge_slashes);
}

static int uri_hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = str_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum uri_verdict uri_decode(struct conf_str raw, char *out, size_t *out_len)
{
    size_t len = 0;
    for (size_t i = 0; i < raw.len; i++) {
        char c = raw.at[i];
        if (c == '%') {
            int high = i + 2 < raw.len ? uri_hex(raw.at[i + 1]) : -1;
            int low = i + 2 < raw.len ? uri_hex(raw.at[i + 2]) : -1;
            if (high < 0 || low < 0)
                return URI_BAD;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0') /* a path that ends earlier for the kernel than for us */
            return URI_BAD;
        out[len++] = c;
    }
    *out_len = len;
    return URI_OK;
}

/* Drops the last segment of path[0..*len), which ends in '/'. */
static bool uri_pop_segment(const char *path, size_t *len)
{
    if (*len <= 1)
        return false;
    size_t i = *len - 1;
    while (path[i - 1] != '/')
        i--;
    *len = i;
    return true;
}

/* Resolves "//", "/./" and "/../" in place; path starts with '/'. */
static enum uri_verdict uri_resolve(char *path, size_t *len, bool merge_slashes)
{
    size_t out = 1, i = 1;
    while (i < *len) {
        size_t end = i;
        while (end < *len && path[end] != '/')
            end++;
        size_t segment = end - i;
        bool slash = end < *len;
        if (segment == 2 && path[i] == '.' && path[i + 1] == '.') {
            if (!uri_pop_segment(path, &out))
                return URI_BAD;
        } else if (segment > 1 || (segment == 1 && path[i] != '.')) {
            memmove(path + out, path + i, segment);
            out += segment;
            if (slash)
                path[out++] = '/';
        } else if (segment == 0 && !merge_slashes) {
            path[out++] = '/';
        }
        i = end + 1;
    }
    *len = out;
    return URI_OK;
}

bool uri_stays_inside(struct conf_str path)
{
    if (path.len >= 3 && memcmp(path.at + path.len - 3, "/..", 3) == 0)
        return false;
    return memmem(path.at, path.len, "/../", 4) == NULL;
}

size_t uri_decode_redirect(struct conf_str raw, char *out)
{
    size_t len = 0, i = 0;
    while (i < raw.len && raw.at[i] != '?') {
        int high = raw.at[i] == '%' && i + 2 < raw.len ? uri_hex(raw.at[i + 1]) : -1;
        int low = high >= 0 ? uri_hex(raw.at[i + 2]) : -1;
        int c = low >= 0 ? high << 4 | low : 0;
        if (c > '%' && c < 0x7f) {
            out[len++] = (char)c;
            i += 3;
        } else {
            out[len++] = raw.at[i++];
        }
    }
    memcpy(out + len, raw.at + i, raw.len - i);
    return len + raw.len - i;
}

bool uri_argument(struct conf_str args, struct conf_str name, struct conf_str *value)
{
    while (args.len > 0) {
        struct conf_str rest = str_cut(&args, '&');
        if (str_equal_nocase(str_cut(&rest, '='), name)) {
            *value = rest;
            return true;
        }
    }
    return false;
}
