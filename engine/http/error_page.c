/* Errors that are answered by another path, location or server. */
#include "engine/http/error_page.h"

#include "engine/http/answer.h"
#include "engine/http/variables.h"

static const struct conf_error_page *error_page_find(const struct exchange *x, int status)
{
    const struct conf_location *location = x->location;
    for (size_t i = 0; i < location->error_page_count; i++)
        if (location->error_pages[i].status == status)
            return &location->error_pages[i];
    /* nginx has a number of its own for heads that are too large. */
    return status == 431 ? error_page_find(x, 494) : NULL;
}

bool error_page_exists(const struct exchange *x, int status)
{
    return error_page_find(x, status) != NULL;
}

/* Another server answers. */
static void error_page_away(struct exchange *x, const struct conf_error_page *page,
                            struct conf_str url)
{
    int status = answer_is_redirect(page->answer) ? page->answer : 302;
    x->sent_status = status;
    answer_standard_page(x, status);
    answer_header(x, STR("Location"), url);
}

bool error_page_divert(struct exchange *x, int status)
{
    x->sent_status = status;
    if (x->location->error_page_count == 0 || x->redirects > INTERNAL_REDIRECTS_MAX ||
        x->on_error_page)
        return false;
    x->on_error_page = !x->location->recursive_error_pages;
    const struct conf_error_page *page = error_page_find(x, status);
    if (page == NULL)
        return false;
    if (page->answer >= 0)
        x->sent_status = page->answer;
    struct conf_str target = variable_expand(x, &page->target);
    if (target.at == NULL)
        return false;
    if (target.len > 0 && target.at[0] == '/') {
        struct conf_str args = target;
        struct conf_str path = str_cut(&args, '?');
        if (x->head.method_id != HTTP1_HEAD)
            x->head.method_id = HTTP1_GET;
        exchange_redirect(x, path, args.len > 0 ? args : STR(""));
    } else if (target.len > 0 && target.at[0] == '@') {
        exchange_redirect_named(x, target);
    } else {
        error_page_away(x, page, target);
    }
    return true;
}
