/* Answers made from the scoreboard: the status pages. */
#include <stdio.h>

#include "engine/http/answer.h"
#include "engine/http/handler.h"
#include "engine/os/log.h"

/* A page that snprintf-like `print` makes of the scoreboard; tried again with the size it wants. */
static void status_page(struct exchange *x, struct conf_str type,
                        int (*print)(const struct scoreboard *board, uint64_t now_ns, char *out,
                                     size_t size))
{
    size_t size = 8192;
    for (;;) {
        char *page = pool_take(&x->pool, size);
        if (page == NULL) {
            answer_page(x, 500);
            return;
        }
        int len = print(x->site->board, x->site->now_ns, page, size);
        CHECK(len >= 0);
        if ((size_t)len < size) {
            answer_text(x, 200, type, str_make(page, (size_t)len));
            return;
        }
        size = (size_t)len + 4096; /* other workers may come in between */
    }
}

static void status_json_start(struct exchange *x)
{
    status_page(x, STR("application/json"), scoreboard_json);
}

static void status_prometheus_start(struct exchange *x)
{
    status_page(x, STR("text/plain; version=0.0.4"), scoreboard_prometheus);
}

/* nginx's stub_status, which many tools read. */
static int stub_status_print(const struct scoreboard *board, uint64_t now_ns, char *out,
                             size_t size)
{
    struct score_counters total;
    (void)now_ns;
    scoreboard_total(board, &total);
    return snprintf(out, size,
                    "Active connections: %llu \nserver accepts handled requests\n"
                    " %llu %llu %llu \nReading: %llu Writing: %llu Waiting: %llu \n",
                    (unsigned long long)total.active, (unsigned long long)total.accepted,
                    (unsigned long long)(total.accepted - total.shed),
                    (unsigned long long)total.requests, (unsigned long long)total.reading,
                    (unsigned long long)total.writing, (unsigned long long)total.waiting);
}

static void stub_status_start(struct exchange *x)
{
    status_page(x, STR("text/plain"), stub_status_print);
}

const struct handler handler_status_json = {.start = status_json_start};
const struct handler handler_status_prometheus = {.start = status_prometheus_start};
const struct handler handler_stub_status = {.start = stub_status_start};
