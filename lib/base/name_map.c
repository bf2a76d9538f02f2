// SPDX-License-Identifier: Apache-2.0
// Open addressing with linear probing in a table that is at most half full; FNV-1a over a name (Fowler, Noll
// and Vo), finished with a multiply so that near names spread. Names come from hostile files: the hash starts
// from the context's address, which the system draws by lot, so that no file can hold a hundred thousand
// names of one place.
#include "base/name_map.h"

#include <string.h>

static size_t hash(const tslim_context *ctx, const char *name) {
    uint64_t h = UINT64_C(14695981039346656037) ^ (uintptr_t)ctx * UINT64_C(0x9e3779b97f4a7c15);
    for (; *name; name++) h = (h ^ (unsigned char)*name) * UINT64_C(1099511628211);
    h ^= h >> 32;
    return (size_t)(h * UINT64_C(0x9e3779b97f4a7c15) >> 16);
}

void tsl_name_map_init(tsl_name_map *map, tslim_context *ctx) {
    *map = (tsl_name_map){.ctx = ctx};
}

void tsl_name_map_clear(tsl_name_map *map) {
    tsl_free(map->ctx, map->slots, map->capacity * sizeof(*map->slots));
    tsl_name_map_init(map, map->ctx);
}

static tsl_name_slot *find(
    const tslim_context *ctx, tsl_name_slot *slots, size_t capacity, const char *name) {
    size_t i = hash(ctx, name) & (capacity - 1);
    while (slots[i].name && strcmp(slots[i].name, name) != 0) i = (i + 1) & (capacity - 1);
    return &slots[i];
}

static bool enlarge(tsl_name_map *map) {
    size_t capacity = map->capacity ? map->capacity * 2 : 64;
    tsl_name_slot *slots = tsl_allocate_zeroed(map->ctx, capacity * sizeof(*slots));
    if (!slots) return false;
    for (size_t i = 0; i < map->capacity; i++)
        if (map->slots[i].name) *find(map->ctx, slots, capacity, map->slots[i].name) = map->slots[i];
    tsl_free(map->ctx, map->slots, map->capacity * sizeof(*map->slots));
    map->slots = slots;
    map->capacity = capacity;
    return true;
}

bool tsl_name_map_set(tsl_name_map *map, const char *name, uint32_t value) {
    if ((map->count + 1) * 2 > map->capacity && !enlarge(map)) return false;
    tsl_name_slot *slot = find(map->ctx, map->slots, map->capacity, name);
    if (!slot->name) map->count++;
    *slot = (tsl_name_slot){name, value};
    return true;
}

uint32_t tsl_name_map_get(const tsl_name_map *map, const char *name) {
    if (map->capacity == 0) return TSL_NAME_ABSENT;
    const tsl_name_slot *slot = find(map->ctx, map->slots, map->capacity, name);
    return slot->name ? slot->value : TSL_NAME_ABSENT;
}
