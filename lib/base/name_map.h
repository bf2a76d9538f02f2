// SPDX-License-Identifier: Apache-2.0
// A hash map from names to numbers. The names are the caller's and must outlive the map.
#ifndef TSL_BASE_NAME_MAP_H
#define TSL_BASE_NAME_MAP_H

#include "base/context.h"

typedef struct tsl_name_slot {
    const char *name;
    uint32_t value;
} tsl_name_slot;

typedef struct tsl_name_map {
    tslim_context *ctx;
    tsl_name_slot *slots;
    size_t capacity; // a power of two, or 0
    size_t count;
} tsl_name_map;

#define TSL_NAME_ABSENT UINT32_MAX

void tsl_name_map_init(tsl_name_map *map, tslim_context *ctx);
void tsl_name_map_clear(tsl_name_map *map);
// Sets or replaces. False when memory is short.
bool tsl_name_map_set(tsl_name_map *map, const char *name, uint32_t value);
// TSL_NAME_ABSENT when there is none.
uint32_t tsl_name_map_get(const tsl_name_map *map, const char *name);

#endif
