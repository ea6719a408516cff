/* Whether a program can be run below the shim. The dynamic loader ignores LD_PRELOAD without a word
 * where a program is linked statically or runs with other rights, so this is found out before. */
#include "faultinject/program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { SCRIPTS_MAX = 4, LINE_MAX_BYTES = 256 };

#if __SIZEOF_POINTER__ == 8
enum { OWN_CLASS = ELFCLASS64 };
#else
enum { OWN_CLASS = ELFCLASS32 };
#endif

/* A file, mapped. */
struct image {
    const unsigned char *bytes;
    size_t size;
};

/* Says why not; always false, so that it can be returned. */
__attribute__((format(printf, 2, 3))) static bool refuse(struct program *program,
                                                         const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(program->why, sizeof program->why, format, args);
    va_end(args);
    return false;
}

/* ---- finding it -------------------------------------------------------------------------------
 */

static bool is_executable(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static bool find(struct program *program, const char *name)
{
    if (strchr(name, '/')) {
        snprintf(program->path, sizeof program->path, "%s", name);
        if (is_executable(name))
            return true;
        return refuse(program, "%s is no program that can be executed: %s", name,
                      access(name, X_OK) == 0 ? "it is not a file" : strerror(errno));
    }
    const char *at = getenv("PATH");
    for (at = at ? at : "/usr/bin:/bin"; *at; at += *at == ':') {
        int len = (int)strcspn(at, ":");
        snprintf(program->path, sizeof program->path, "%.*s/%s", len, at, name);
        if (len > 0 && is_executable(program->path))
            return true;
        at += len;
    }
    return refuse(program, "there is no program \"%s\" in PATH; give its path", name);
}

/* The program that a script names in its first line: for `#!/usr/bin/env NAME` that is NAME. */
static bool interpreter_of(const struct image *image, char name[LINE_MAX_BYTES])
{
    char line[LINE_MAX_BYTES] = "";
    if (image->size < 2 || memcmp(image->bytes, "#!", 2) != 0)
        return false;
    size_t len = image->size - 2 < sizeof line - 1 ? image->size - 2 : sizeof line - 1;
    memcpy(line, image->bytes + 2, len);
    line[strcspn(line, "\r\n")] = '\0';
    char *rest = line, *word = strtok_r(rest, " \t", &rest);
    const char *slash = word ? strrchr(word, '/') : NULL;
    if (slash && strcmp(slash, "/env") == 0)
        do
            word = strtok_r(NULL, " \t", &rest);
        while (word && (*word == '-' || strchr(word, '=')));
    snprintf(name, LINE_MAX_BYTES, "%s", word ? word : "");
    return word != NULL;
}

/* ---- looking at it ----------------------------------------------------------------------------
 */

static bool has_own_rights(struct program *program, const struct stat *st)
{
    const char *path = program->path;
    if (st->st_mode & S_ISUID || ((st->st_mode & S_ISGID) && (st->st_mode & S_IXGRP)))
        return refuse(program,
                      "%s is a set%cid program: the loader keeps preloaded libraries out of it\n"
                      "run a copy of it without that bit (cp makes one), as the user it would be",
                      path, st->st_mode & S_ISUID ? 'u' : 'g');
    if (getxattr(path, "security.capability", NULL, 0) > 0)
        return refuse(program,
                      "%s has file capabilities: the loader keeps preloaded libraries out of it\n"
                      "run a copy of it (cp leaves capabilities behind), with rights of your own",
                      path);
    return true;
}

static const void *piece(const struct image *image, uint64_t at, uint64_t size)
{
    return at <= image->size && size <= image->size - at ? image->bytes + at : NULL;
}

static const ElfW(Phdr) * header(const struct image *image, unsigned i)
{
    const ElfW(Ehdr) *elf = (const void *)image->bytes;
    if (i >= elf->e_phnum || elf->e_phentsize != sizeof(ElfW(Phdr)))
        return NULL;
    return piece(image, elf->e_phoff + i * sizeof(ElfW(Phdr)), sizeof(ElfW(Phdr)));
}

static const ElfW(Phdr) * header_of_type(const struct image *image, ElfW(Word) type)
{
    const ElfW(Phdr) * found;
    for (unsigned i = 0; (found = header(image, i)); i++)
        if (found->p_type == type)
            return found;
    return NULL;
}

/* What lies at an address when the program runs. NULL: nothing of the file, or no text. */
static const char *text_at(const struct image *image, ElfW(Addr) address)
{
    const ElfW(Phdr) * part;
    for (unsigned i = 0; (part = header(image, i)); i++) {
        if (part->p_type != PT_LOAD || address < part->p_vaddr ||
            address - part->p_vaddr >= part->p_filesz)
            continue;
        size_t at = part->p_offset + (address - part->p_vaddr);
        bool ends = at < image->size && memchr(image->bytes + at, '\0', image->size - at);
        return ends ? (const char *)image->bytes + at : NULL;
    }
    return NULL;
}

/* A sanitizer's library refuses to be loaded behind another one. */
static void find_sanitizer(struct program *program, const struct image *image)
{
    const ElfW(Phdr) *part = header_of_type(image, PT_DYNAMIC);
    const ElfW(Dyn) *dynamic = part ? piece(image, part->p_offset, part->p_filesz) : NULL;
    size_t count = dynamic ? part->p_filesz / sizeof *dynamic : 0;
    ElfW(Addr) names = 0;
    for (size_t i = 0; i < count; i++)
        if (dynamic[i].d_tag == DT_STRTAB)
            names = dynamic[i].d_un.d_ptr;
    for (size_t i = 0; i < count; i++) {
        const char *name =
            dynamic[i].d_tag == DT_NEEDED ? text_at(image, names + dynamic[i].d_un.d_val) : NULL;
        if (name &&
            (strncmp(name, "libasan.so", 10) == 0 || strncmp(name, "libclang_rt.asan", 16) == 0))
            snprintf(program->sanitizer, sizeof program->sanitizer, "%s", name);
    }
}

static bool is_fit(struct program *program, const struct image *image)
{
    const char *path = program->path;
    const ElfW(Ehdr) *elf = piece(image, 0, sizeof *elf), *own = NULL;
    if (!elf || memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0)
        return refuse(program, "%s is neither a program nor a script that starts with #!", path);
    own = (const void *)getauxval(AT_SYSINFO_EHDR);
    if (elf->e_ident[EI_CLASS] != OWN_CLASS || (own && elf->e_machine != own->e_machine))
        return refuse(program, "%s is a program for another machine than this shim", path);
    if (!header_of_type(image, PT_INTERP))
        return refuse(program,
                      "%s is statically linked: no library can be preloaded into it\n"
                      "use a dynamically linked build of it",
                      path);
    find_sanitizer(program, image);
    return true;
}

/* Maps the file at program->path. */
static bool map(struct program *program, struct image *image)
{
    struct stat st;
    int fd = open(program->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        refuse(program, "%s cannot be read: %s", program->path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return false;
    }
    image->size = (size_t)st.st_size;
    void *bytes = mmap(NULL, image->size ? image->size : 1, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (bytes == MAP_FAILED)
        return refuse(program, "%s cannot be read: %s", program->path, strerror(errno));
    image->bytes = bytes;
    return has_own_rights(program, &st);
}

bool program_check(struct program *program, const char *name)
{
    char next[LINE_MAX_BYTES];
    *program = (struct program){.path = ""};
    for (int i = 0; i < SCRIPTS_MAX; i++) {
        struct image image = {.bytes = NULL};
        if (!find(program, name))
            return false;
        bool fit = map(program, &image), script = fit && interpreter_of(&image, next);
        if (fit && !script)
            fit = is_fit(program, &image);
        if (image.bytes)
            munmap((void *)(uintptr_t)image.bytes, image.size ? image.size : 1);
        if (!fit || !script)
            return fit;
        name = next;
    }
    return refuse(program, "%s: scripts that are run by scripts, more than %d deep", name,
                  SCRIPTS_MAX);
}
