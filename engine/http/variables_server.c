/* Variables: the configuration, the process and the time. */
#include <limits.h>
#include <stdlib.h>

#include "engine/http/static.h"
#include "engine/http/status.h"
#include "engine/http/variables_impl.h"

GETTER(config_generation)
{
    return variable_number(x, x->site->generation);
}

GETTER(document_root)
{
    return static_root(x);
}

GETTER(hostname)
{
    return x->site->hostname;
}

GETTER(msec)
{
    return variable_seconds(x, x->site->wall_ns);
}

GETTER(pid)
{
    return variable_number(x, (uint64_t)x->site->pid);
}

GETTER(request_filename)
{
    return static_filename(x, x->path);
}

GETTER(server_name)
{
    return x->server->name_count > 0 ? x->server->names[0] : STR("");
}

GETTER(time_iso8601)
{
    date_update(&x->site->date, x->site->wall_ns);
    return str_make(x->site->date.iso8601, DATE_ISO_LEN);
}

GETTER(time_local)
{
    date_update(&x->site->date, x->site->wall_ns);
    return str_make(x->site->date.log, DATE_LOG_LEN);
}

GETTER(worker_slot)
{
    return variable_number(x, (uint64_t)x->site->slot);
}

GETTER(nginx_version)
{
    return STR(SERVER_VERSION);
}

GETTER(realpath_root)
{
    char real[PATH_MAX];
    struct conf_str root = static_root(x);
    if (root.at == NULL || realpath(root.at, real) == NULL)
        return variable_none;
    struct builder path;
    builder_start(&path, &x->pool, PATH_MAX);
    builder_add(&path, str_make(real, strlen(real)));
    return builder_end(&path);
}
