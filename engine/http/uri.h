/* The path of a request, decoded and normalised before any decision is taken on it, so that no
 * location or root can be walked around. */
#ifndef ENGINE_HTTP_URI_H
#define ENGINE_HTTP_URI_H

#include "engine/http/str.h"

enum uri_verdict {
    URI_OK,
    URI_BAD, /* not a path, a broken %-code, a NUL byte, or a way above the root */
};

/* Decodes %-codes of `raw`, then resolves "/./", "/../" and, where asked, "//". `out` holds raw.len
 * bytes: a path only becomes shorter. The result starts with '/'. */
enum uri_verdict uri_normalise(struct conf_str raw, bool merge_slashes, char *out, size_t *out_len);
/* Does no ".." segment stand in this path? */
bool uri_stays_inside(struct conf_str path);
/* Decodes what may stand in a redirect without a %-code, up to a "?". `out` holds raw.len bytes;
 * the length of the result. */
size_t uri_decode_redirect(struct conf_str raw, char *out);
/* The value of argument `name` of a query string, not decoded; false if there is none. */
bool uri_argument(struct conf_str args, struct conf_str name, struct conf_str *value);

#endif
