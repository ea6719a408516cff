/* Variables: TLS and the PROXY protocol. */
#include <stdlib.h>

#include "engine/http/variables_impl.h"
#include "engine/tls/tls_peer.h"

GETTER(https)
{
    return x->client->tls != NULL ? STR("on") : STR("");
}

/* ---- the PROXY protocol ---------------------------------------------------------------------- */

static const struct http_proxied *proxied(const struct exchange *x)
{
    const struct http_proxied *said = x->client->proxied;
    return said != NULL && said->known ? said : NULL;
}

GETTER(proxy_protocol_addr)
{
    const struct http_proxied *said = proxied(x);
    return said != NULL ? variable_address(x, &said->source) : variable_none;
}

GETTER(proxy_protocol_port)
{
    const struct http_proxied *said = proxied(x);
    return said != NULL ? variable_port(x, &said->source) : variable_none;
}

GETTER(proxy_protocol_server_addr)
{
    const struct http_proxied *said = proxied(x);
    return said != NULL ? variable_address(x, &said->destination) : variable_none;
}

GETTER(proxy_protocol_server_port)
{
    const struct http_proxied *said = proxied(x);
    return said != NULL ? variable_port(x, &said->destination) : variable_none;
}

/* ---- TLS ------------------------------------------------------------------------------------- */

static struct conf_str variable_fact(struct exchange *x, enum tls_fact fact)
{
    char *text = x->client->tls != NULL ? tls_fact(x->client->tls, fact) : NULL;
    size_t len = text != NULL ? strlen(text) : 0;
    char *copy = len > 0 ? pool_take(&x->pool, len) : NULL;
    if (copy != NULL)
        memcpy(copy, text, len);
    free(text);
    return copy != NULL ? str_make(copy, len) : variable_none;
}

#define FACT_GETTER(symbol)                                                                        \
    GETTER(ssl_##symbol)                                                                           \
    {                                                                                              \
        return variable_fact(x, TLS_FACT_##symbol);                                                \
    }
#define F(symbol, meaning) FACT_GETTER(symbol)
TLS_FACTS(F)
#undef F
