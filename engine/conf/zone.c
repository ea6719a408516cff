/* Zones of shared memory as directives declare and name them, in any order. */
#include <string.h>

#include "engine/conf/load.h"

/* A zone while the configuration is being read; size 0: named, not declared yet. */
struct zone_wanted {
    struct conf_zone zone;
    struct place place; /* where it was first spoken of */
};

static const char *const declared_by[] = {
#define ZONE_KIND(symbol, directive) directive,
#include "engine/conf/zones.def"
#undef ZONE_KIND
    "",
};

static struct zone_wanted *zone_find(struct load *load, struct conf_str name)
{
    struct zone_wanted *all = load->zones.items;
    for (size_t i = 0; i < load->zones.count; i++)
        if (str_equal(all[i].zone.name, name))
            return &all[i];
    return NULL;
}

static struct zone_wanted *zone_add(struct load *load, enum conf_zone_kind kind,
                                    struct conf_str name, const struct place *place)
{
    if (name.len == 0 || name.len > CONF_ZONE_NAME_MAX) {
        load_fail(load, place, "invalid zone name \"%s\": 1 to %d characters are expected", name.at,
                  CONF_ZONE_NAME_MAX);
        return NULL;
    }
    struct zone_wanted *wanted = load_add(load, &load->zones, sizeof *wanted);
    if (wanted == NULL || !load_copy(load, name.at, name.len, &wanted->zone.name))
        return NULL;
    wanted->zone.kind = kind;
    wanted->place = *place;
    return wanted;
}

bool load_zone(struct load *load, enum conf_zone_kind kind, struct conf_str name, size_t size,
               const struct place *place, size_t *index)
{
    struct zone_wanted *wanted = zone_find(load, name);
    if (wanted == NULL && (wanted = zone_add(load, kind, name, place)) == NULL)
        return false;
    struct conf_zone *zone = &wanted->zone;
    *index = (size_t)(wanted - (struct zone_wanted *)load->zones.items);
    if (zone->kind != kind)
        return load_fail(load, place, "zone \"%s\" is already used by \"%s\": give it another name",
                         zone->name.at, declared_by[zone->kind]);
    if (size == 0)
        return true;
    if (size < CONF_ZONE_BYTES_MIN)
        return load_fail(load, place, "zone \"%s\" is too small: at least 32k are expected",
                         zone->name.at);
    if (zone->size != 0 && zone->size != size)
        return load_fail(
            load, place,
            "the size %zu of zone \"%s\" conflicts with the size %zu it was given before", size,
            zone->name.at, zone->size);
    zone->size = size;
    return true;
}

bool load_zone_limit(struct load *load, size_t index, const struct conf_limit *limit,
                     const struct place *place)
{
    struct conf_zone *zone = &((struct zone_wanted *)load->zones.items)[index].zone;
    if (zone->limit != NULL)
        return load_fail(load, place, "%s \"%s\" is already bound to a key",
                         declared_by[zone->kind], zone->name.at);
    zone->limit = limit;
    return true;
}

bool load_build_zones(struct load *load)
{
    const struct zone_wanted *wanted = load->zones.items;
    struct conf_zone *zones = load_alloc(load, load->zones.count * sizeof *zones);
    if (zones == NULL)
        return false;
    for (size_t i = 0; i < load->zones.count; i++) {
        zones[i] = wanted[i].zone;
        if (zones[i].size == 0)
            return load_fail(load, &wanted[i].place,
                             "zone \"%s\" is not declared: \"%s\" gives it its size",
                             zones[i].name.at, declared_by[zones[i].kind]);
    }
    load->conf->zones = zones;
    load->conf->zone_count = load->zones.count;
    return true;
}
