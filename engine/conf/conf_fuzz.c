/* Fuzzes the configuration's reader: any text gives a configuration or one error with a place in
 * it, and gives back all its memory. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/conf/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition) ((condition) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    int fd = memfd_create("conf", MFD_CLOEXEC);
    MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct conf_error error;
    struct conf *conf = conf_load(path, "/nowhere/", NULL, &error);
    if (conf == NULL) {
        char line[1200];
        conf_error_print(&error, line, sizeof line);
        MUST(error.message[0] != '\0' && strchr(line, '\n') == NULL);
    }
    conf_free(conf);
    close(fd);
    return 0;
}
