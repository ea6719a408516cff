/* What the commands of mw-fault share. */
#include "faultinject/cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "faultinject/names.h"

int cli_usage_error(const char *what, const char *detail, const char *hint)
{
    fprintf(stderr, "mw-fault: %s%s%s\n%s\n", what, *detail ? ": " : "", detail, hint);
    return EXIT_USAGE;
}

bool cli_number(const struct options *options, enum flag which, uint64_t least, uint64_t most,
                uint64_t *out)
{
    const char *text = options->value[which];
    if (names_integer_parse(text, strlen(text), most, out) && *out >= least)
        return true;
    fprintf(stderr,
            "mw-fault: \"%s\" is not a number that can stand here\n"
            "expected a whole number from %" PRIu64 " to %" PRIu64 "\n",
            text, least, most);
    return false;
}
