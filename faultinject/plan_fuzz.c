/* Fuzzes the plan language: any text is a plan or one error that lies within it, and a plan that
 * was read, printed and read again is the same plan. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "faultinject/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition) ((condition) ? (void)0 : abort())

static void check_again(const struct fault_rule *rule)
{
    static struct fault_plan again;
    struct fault_plan_error error;
    char first[1024], second[1024];
    MUST(fault_rule_print(first, sizeof first, rule) < (int)sizeof first);
    MUST(fault_plan_parse(&again, first, &error) && again.count == 1);
    fault_rule_print(second, sizeof second, &again.rules[0]);
    MUST(strcmp(first, second) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fault_plan plan;
    struct fault_plan_error error;
    char *text = malloc(size + 1);
    MUST(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    if (fault_plan_parse(&plan, text, &error)) {
        for (size_t i = 0; i < plan.count; i++)
            check_again(&plan.rules[i]);
    } else {
        MUST(error.at + error.len <= strlen(text) && error.line > 0 && error.column > 0);
        MUST(error.what[0] != '\0');
    }
    free(text);
    return 0;
}
