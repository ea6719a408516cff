/* When another server is asked. */
#include "engine/upstream/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct retry fresh = {.tries_left = 1, .idempotent = true};

static bool may(uint32_t next, struct retry retry, enum retry_cause cause, unsigned status)
{
    const struct conf_proxy proxy = {.next = next, .next_timeout_ns = 100};
    return retry_may(&proxy, &retry, cause, status, 50);
}

static void only_what_is_named(void **state)
{
    (void)state;
    assert_true(may(PROXY_NEXT_ERROR, fresh, RETRY_ERROR, 0));
    assert_false(may(PROXY_NEXT_ERROR, fresh, RETRY_TIMEOUT, 0));
    assert_true(may(PROXY_NEXT_TIMEOUT, fresh, RETRY_TIMEOUT, 0));
    assert_false(may(PROXY_NEXT_TIMEOUT, fresh, RETRY_INVALID_HEADER, 0));
    assert_true(may(PROXY_NEXT_INVALID_HEADER, fresh, RETRY_INVALID_HEADER, 0));
    assert_true(may(PROXY_NEXT_HTTP_503, fresh, RETRY_STATUS, 503));
    assert_false(may(PROXY_NEXT_HTTP_503, fresh, RETRY_STATUS, 500));
    assert_false(may(PROXY_NEXT_ERROR | PROXY_NEXT_OFF, fresh, RETRY_ERROR, 0));
    assert_false(may(UINT32_MAX & ~(uint32_t)PROXY_NEXT_OFF, fresh, RETRY_STATUS, 200));
}

static void never_twice_what_must_not_be(void **state)
{
    struct retry post = fresh;
    (void)state;
    post.idempotent = false;
    assert_true(may(PROXY_NEXT_ERROR, post, RETRY_ERROR, 0)); /* nothing was sent */
    post.request_sent = true;
    assert_false(may(PROXY_NEXT_ERROR, post, RETRY_ERROR, 0));
    assert_true(may(PROXY_NEXT_ERROR | PROXY_NEXT_NON_IDEMPOTENT, post, RETRY_ERROR, 0));
    post.body_gone = true;
    assert_false(may(PROXY_NEXT_ERROR | PROXY_NEXT_NON_IDEMPOTENT, post, RETRY_ERROR, 0));
}

static void not_for_ever(void **state)
{
    struct retry retry = fresh;
    const struct conf_proxy proxy = {.next = PROXY_NEXT_ERROR, .next_timeout_ns = 100};
    (void)state;
    assert_true(retry_may(&proxy, &retry, RETRY_ERROR, 0, 99));
    assert_false(retry_may(&proxy, &retry, RETRY_ERROR, 0, 100));
    retry.tries_left = 0;
    assert_false(retry_may(&proxy, &retry, RETRY_ERROR, 0, 1));
    retry = fresh;
    retry.committed = true;
    assert_false(retry_may(&proxy, &retry, RETRY_ERROR, 0, 1));
}

static void failures_and_statuses(void **state)
{
    (void)state;
    assert_true(retry_is_failure(RETRY_ERROR, 0));
    assert_true(retry_is_failure(RETRY_STATUS, 500));
    assert_false(retry_is_failure(RETRY_STATUS, 404));
    assert_false(retry_is_failure(RETRY_STATUS, 403));
    assert_int_equal(retry_status(RETRY_TIMEOUT), 504);
    assert_int_equal(retry_status(RETRY_ERROR), 502);
    assert_int_equal(retry_status(RETRY_INVALID_HEADER), 502);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_named),
        cmocka_unit_test(never_twice_what_must_not_be),
        cmocka_unit_test(not_for_ever),
        cmocka_unit_test(failures_and_statuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
