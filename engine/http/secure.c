/* What TLS has to do with a request. */
#include "engine/http/secure.h"

#include "engine/http/route.h"
#include "engine/tls/tls_peer.h"

/* A client was verified (or not) for the server it named to TLS; another one that verifies clients
 * cannot know whether it would have been content. */
static bool secure_is_misdirected(const struct exchange *x)
{
    const char *name = tls_server_name(x->client->tls);
    struct conf_str asked = str_make(name, name != NULL ? strlen(name) : 0);
    if (asked.len > 0 && asked.at[asked.len - 1] == '.')
        asked.len--;
    return asked.len > 0 && !str_equal_nocase(asked, x->host);
}

static int secure_client_refusal(struct exchange *x)
{
    struct tls *tls = x->client->tls;
    enum conf_tls_verify verify = x->server->tls->verify;
    enum tls_client client = tls_client(tls);
    bool unknown_will_do = verify == CONF_TLS_VERIFY_OPTIONAL_NO_CA;
    if (client == TLS_CLIENT_BAD || (client == TLS_CLIENT_UNKNOWN && !unknown_will_do)) {
        exchange_log(x, LEVEL_INFO, "client SSL certificate verify error: %s",
                     tls_client_reason(tls));
        tls_forget_session(tls);
        return 495;
    }
    if (client == TLS_CLIENT_NONE && verify == CONF_TLS_VERIFY_ON) {
        exchange_log(x, LEVEL_INFO, "client sent no required SSL certificate");
        tls_forget_session(tls);
        return 496;
    }
    return 0;
}

int secure_refusal(struct exchange *x)
{
    if (!x->client->listen->ssl)
        return 0;
    if (x->client->tls == NULL) {
        exchange_log(x, LEVEL_INFO, "client sent plain HTTP request to HTTPS port");
        return 497;
    }
    if (x->server->tls->verify == CONF_TLS_VERIFY_OFF)
        return 0;
    if (secure_is_misdirected(x)) {
        exchange_log(x, LEVEL_INFO,
                     "client attempted to request the server name different from the one that was "
                     "negotiated");
        return 421;
    }
    return secure_client_refusal(x);
}
