/* try_files: the request goes to the first of some files that exists. */
#include <errno.h>

#include "engine/http/answer.h"
#include "engine/http/phases.h"
#include "engine/http/static.h"
#include "engine/http/variables.h"
#include "engine/os/sys.h"

/* The part of a path that is looked up below root or alias. */
static struct conf_str try_name(struct exchange *x, struct conf_str name)
{
    const struct conf_location *location = x->location;
    size_t skip = location->aliased && location->alias_skip != SIZE_MAX ? location->alias_skip : 0;
    bool below = name.len >= skip && x->path.len >= skip && memcmp(name.at, x->path.at, skip) == 0;
    return below ? str_make(name.at + skip, name.len - skip) : name;
}

/* The file exists: from here on the request means it. */
static bool try_take(struct exchange *x, struct conf_str name, bool folder)
{
    const struct conf_location *location = x->location;
    if (location->aliased && location->alias_skip == SIZE_MAX && folder)
        return true;
    if (location->aliased && location->alias_skip == SIZE_MAX)
        x->adds_to_alias = true;
    if (!location->aliased || location->alias_skip == SIZE_MAX)
        return exchange_set_path(x, name, x->args);
    struct builder path;
    builder_start(&path, &x->pool, location->alias_skip + name.len + 1);
    builder_add(&path, str_make(x->path.at, location->alias_skip));
    builder_add(&path, name);
    struct conf_str whole = builder_end(&path);
    return whole.at != NULL && exchange_set_path(x, whole, x->args);
}

/* 1 taken, 0 it does not exist, -1 answered. */
static int try_one(struct exchange *x, const struct conf_try *try)
{
    struct stat file;
    struct conf_str name = variable_expand(x, &try->name), root = static_root(x);
    struct builder path;
    if (name.at == NULL || root.at == NULL) {
        answer_page(x, 500);
        return -1;
    }
    name = try_name(x, name);
    builder_start(&path, &x->pool, root.len + name.len + 1);
    builder_add(&path, root);
    builder_add(&path, name);
    struct conf_str whole = builder_end(&path);
    int err = whole.at == NULL ? -ENOMEM : sys_stat(whole.at, &file);
    if (err != 0) {
        if (err != -ENOENT && err != -ENOTDIR && err != -ENAMETOOLONG)
            exchange_log(x, LEVEL_CRIT, "stat() \"%s\" failed (%d: %s)",
                         whole.at != NULL ? whole.at : "", -err, strerror(-err));
        return 0;
    }
    if (S_ISDIR(file.st_mode) != try->folder)
        return 0;
    if (try_take(x, name, try->folder))
        return 1;
    answer_page(x, 500);
    return -1;
}

enum phase_result phase_try_files(struct exchange *x)
{
    const struct conf_tries *tries = x->location->tries;
    for (size_t i = 0; i < tries->count; i++) {
        int taken = try_one(x, &tries->tries[i]);
        if (taken != 0)
            return taken > 0 ? PHASE_NEXT : PHASE_DONE;
    }
    if (tries->status != 0) {
        answer_page(x, tries->status);
        return PHASE_DONE;
    }
    struct conf_str target = variable_expand(x, &tries->target);
    if (target.at == NULL) {
        answer_page(x, 500);
    } else if (target.len > 0 && target.at[0] == '@') {
        exchange_redirect_named(x, target);
    } else {
        struct conf_str args = target;
        struct conf_str path = str_cut(&args, '?');
        exchange_redirect(x, path, args.len > 0 ? args : STR(""));
    }
    return PHASE_DONE;
}
