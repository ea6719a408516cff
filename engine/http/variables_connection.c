/* Variables: the connection and both its ends. */
#include "engine/http/variables_impl.h"
#include "engine/os/sys.h"

/* The address the client connected to, which a listener on all addresses does not know. */
static union http_address variable_local(const struct exchange *x)
{
    struct sockaddr_storage storage;
    socklen_t len = sizeof storage;
    union http_address local = {.plain.sa_family = AF_UNIX};
    if (sys_getsockname(x->client->fd, &storage, &len) == 0)
        memcpy(&local, &storage, sizeof local);
    return local;
}

GETTER(connection)
{
    return variable_number(x, x->client->number);
}

GETTER(connection_requests)
{
    return variable_number(x, x->client->requests);
}

GETTER(pipe)
{
    return x->client->pipelined ? STR("p") : STR(".");
}

GETTER(remote_addr)
{
    return variable_address(x, x->peer);
}

GETTER(remote_port)
{
    return variable_port(x, x->peer);
}

GETTER(scheme)
{
    return x->client->tls != NULL ? STR("https") : STR("http");
}

GETTER(server_addr)
{
    union http_address local = variable_local(x);
    return variable_address(x, &local);
}

GETTER(server_port)
{
    union http_address local = variable_local(x);
    return variable_port(x, &local);
}

GETTER(realip_remote_addr)
{
    return variable_address(x, &x->client->peer);
}

GETTER(realip_remote_port)
{
    return variable_port(x, &x->client->peer);
}

GETTER(binary_remote_addr)
{
    const union http_address *peer = x->peer;
    if (peer->plain.sa_family == AF_INET)
        return str_make((const char *)&peer->in.sin_addr, sizeof peer->in.sin_addr);
    if (peer->plain.sa_family == AF_INET6)
        return str_make((const char *)&peer->in6.sin6_addr, sizeof peer->in6.sin6_addr);
    return STR("unix:");
}

GETTER(connection_time)
{
    return variable_seconds(x, x->site->now_ns - x->client->opened_ns);
}

static struct score_counters variable_counters(const struct exchange *x)
{
    struct score_counters total;
    scoreboard_total(x->site->board, &total);
    return total;
}

GETTER(connections_active)
{
    return variable_number(x, variable_counters(x).active);
}

GETTER(connections_reading)
{
    return variable_number(x, variable_counters(x).reading);
}

GETTER(connections_waiting)
{
    return variable_number(x, variable_counters(x).waiting);
}

GETTER(connections_writing)
{
    return variable_number(x, variable_counters(x).writing);
}
