/* proxy_next_upstream. */
#include "engine/upstream/retry.h"

static uint32_t status_bit(unsigned status)
{
    static const struct {
        unsigned status;
        uint32_t bit;
    } bits[] = {
        {500, PROXY_NEXT_HTTP_500}, {502, PROXY_NEXT_HTTP_502}, {503, PROXY_NEXT_HTTP_503},
        {504, PROXY_NEXT_HTTP_504}, {403, PROXY_NEXT_HTTP_403}, {404, PROXY_NEXT_HTTP_404},
        {429, PROXY_NEXT_HTTP_429},
    };
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++)
        if (bits[i].status == status)
            return bits[i].bit;
    return 0;
}

static uint32_t cause_bit(enum retry_cause cause, unsigned status)
{
    switch (cause) {
    case RETRY_ERROR:
        return PROXY_NEXT_ERROR;
    case RETRY_TIMEOUT:
        return PROXY_NEXT_TIMEOUT;
    case RETRY_INVALID_HEADER:
        return PROXY_NEXT_INVALID_HEADER;
    case RETRY_STATUS:
        break;
    }
    return status_bit(status);
}

bool retry_wants_status(const struct conf_proxy *proxy, unsigned status)
{
    return (proxy->next & status_bit(status)) != 0;
}

bool retry_may(const struct conf_proxy *proxy, const struct retry *retry, enum retry_cause cause,
               unsigned status, uint64_t now_ns)
{
    if (retry->committed || retry->tries_left == 0 || (proxy->next & PROXY_NEXT_OFF))
        return false;
    if ((proxy->next & cause_bit(cause, status)) == 0)
        return false;
    if (retry->request_sent && retry->body_gone)
        return false;
    if (retry->request_sent && !retry->idempotent && !(proxy->next & PROXY_NEXT_NON_IDEMPOTENT))
        return false;
    return proxy->next_timeout_ns == 0 || now_ns - retry->began_ns < proxy->next_timeout_ns;
}

bool retry_is_failure(enum retry_cause cause, unsigned status)
{
    return cause != RETRY_STATUS || (status != 403 && status != 404);
}

int retry_status(enum retry_cause cause)
{
    return cause == RETRY_TIMEOUT ? 504 : 502;
}
