/* Where in the code a call was made. An address is found in a module by the dynamic loader, and its
 * function in the symbols of the module's file: those of a debugger if it has them, else those that
 * it exports. */
#include "faultinject/place.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MODULE_LETTERS = 16, FUNCTION_LETTERS = 24, KEPT = 64 };

static char program[MODULE_LETTERS + 1];

/* Faults fire again and again at the same few places. */
static struct known {
    const void *address;
    char function[FUNCTION_LETTERS];
} known[KEPT];
static unsigned known_next;

void place_start(void)
{
    strncpy(program, program_invocation_short_name, sizeof program - 1);
}

/* ---- the symbols of a file ---------------------------------------------------------------------
 */

struct image {
    const unsigned char *bytes;
    size_t size;
};

static const void *piece(const struct image *image, uint64_t at, uint64_t size)
{
    return at <= image->size && size <= image->size - at ? image->bytes + at : NULL;
}

static const ElfW(Shdr) * section(const struct image *image, unsigned i)
{
    const ElfW(Ehdr) *elf = piece(image, 0, sizeof *elf);
    if (!elf || memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0 || i >= elf->e_shnum)
        return NULL;
    return piece(image, elf->e_shoff + i * sizeof(ElfW(Shdr)), sizeof(ElfW(Shdr)));
}

static const ElfW(Shdr) * section_of_type(const struct image *image, ElfW(Word) type)
{
    const ElfW(Shdr) * found;
    for (unsigned i = 0; (found = section(image, i)); i++)
        if (found->sh_type == type)
            return found;
    return NULL;
}

/* The name of the function around `offset` among the symbols of a section. */
static bool find_symbol(const struct image *image, const ElfW(Shdr) * symbols, uint64_t offset,
                        char name[FUNCTION_LETTERS])
{
    const ElfW(Shdr) *strings = symbols ? section(image, symbols->sh_link) : NULL;
    const char *text = strings ? piece(image, strings->sh_offset, strings->sh_size) : NULL;
    const ElfW(Sym) *all = text ? piece(image, symbols->sh_offset, symbols->sh_size) : NULL;
    for (size_t i = 0; all && i < symbols->sh_size / sizeof *all; i++) {
        const ElfW(Sym) *symbol = &all[i];
        if (ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || symbol->st_shndx == SHN_UNDEF ||
            offset < symbol->st_value || offset - symbol->st_value >= symbol->st_size ||
            symbol->st_name >= strings->sh_size)
            continue;
        size_t room = strings->sh_size - symbol->st_name;
        strncpy(name, text + symbol->st_name, room < FUNCTION_LETTERS ? room : FUNCTION_LETTERS);
        return name[0] != '\0';
    }
    return false;
}

static bool map(const char *path, struct image *image)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    void *bytes = MAP_FAILED;
    if (fstat(fd, &st) == 0 && st.st_size > 0)
        bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    *image = (struct image){bytes, bytes == MAP_FAILED ? 0 : (size_t)st.st_size};
    return bytes != MAP_FAILED;
}

/* Leaves "" where the file cannot be read, as after a chroot, or has no name for it. */
static void find_function(const char *path, uint64_t offset, char name[FUNCTION_LETTERS])
{
    struct image image;
    if (!map(path, &image))
        return;
    if (!find_symbol(&image, section_of_type(&image, SHT_SYMTAB), offset, name))
        find_symbol(&image, section_of_type(&image, SHT_DYNSYM), offset, name);
    munmap((void *)(uintptr_t)image.bytes, image.size);
}

static const char *function_of(const void *address, const char *path, uint64_t offset)
{
    for (unsigned i = 0; i < KEPT; i++)
        if (known[i].address == address)
            return known[i].function;
    struct known *place = &known[known_next++ % KEPT];
    *place = (struct known){.address = address};
    /* The address is behind the call, which may be a function's last instruction. */
    find_function(*path ? path : "/proc/self/exe", offset - 1, place->function);
    return place->function;
}

/* ---- records ----------------------------------------------------------------------------------
 */

static struct hist_record record_like(const struct hist_record *firing, enum hist_kind kind)
{
    return (struct hist_record){.t_ns = firing->t_ns,
                                .kind = (uint16_t)kind,
                                .slot = firing->slot,
                                .pid = firing->pid,
                                .gen = firing->gen};
}

/* _dl_find_object takes no lock and may be called anywhere, also in signal handlers. */
unsigned place_records(const struct hist_record *firing, const void *address,
                       struct hist_record records[PLACE_RECORDS_MAX])
{
    struct dl_find_object found;
    if (!address || _dl_find_object((void *)(uintptr_t)address, &found) != 0)
        return 0;
    const char *path = found.dlfo_link_map->l_name, *slash = strrchr(path, '/');
    const char *module = *path == '\0' ? program : slash ? slash + 1 : path;
    char letters[MODULE_LETTERS] = "";
    memcpy(letters, module, strnlen(module, sizeof letters));
    records[0] = record_like(firing, HIST_FAULT_PLACE);
    records[0].a = (uint64_t)((uintptr_t)address - found.dlfo_link_map->l_addr);
    memcpy(&records[0].b, letters, sizeof records[0].b);
    memcpy(&records[0].c, letters + sizeof records[0].b, sizeof records[0].c);
    const char *function = function_of(address, path, records[0].a);
    if (function[0] == '\0')
        return 1;
    records[1] = record_like(firing, HIST_FAULT_FUNCTION);
    memcpy(&records[1].a, function, sizeof records[1].a);
    memcpy(&records[1].b, function + 8, sizeof records[1].b);
    memcpy(&records[1].c, function + 16, sizeof records[1].c);
    return 2;
}
