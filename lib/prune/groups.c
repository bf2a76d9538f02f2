// SPDX-License-Identifier: Apache-2.0
// Groups from atoms, and what the public interface tells of them.
#include "prune/groups.h"

#include <stdlib.h>

#include "base/name_map.h"

// A unit, before the groups are known. Units with the same signature are in the same places of the same
// values.
typedef struct unit {
    uint64_t signature;
    uint32_t order; // of its first appearance in a layer
    uint32_t root;
    uint32_t layer; // the first that makes it
} unit;

// The finalizer of splitmix64 (Steele, Lea and Flood, 2014).
static uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static tslim_status find_signatures(tslim_channel_groups *groups, uint64_t **signatures) {
    const tsl_atoms *atoms = groups->atoms;
    *signatures = tsl_arena_array(&groups->arena, (size_t)atoms->n_atoms + 1, sizeof(**signatures));
    TSL_REQUIRE_MEMORY(*signatures, atoms->n_atoms * sizeof(**signatures));
    for (uint32_t v = 0; v < atoms->graph->n_values; v++) {
        const tsl_shape *shape = &atoms->graph->values[v].shape;
        for (uint32_t axis = 0; shape->known && axis < shape->rank; axis++) {
            const uint32_t *array = atoms->axes[v].atoms[axis];
            for (int64_t i = 0; array && i < shape->dims[axis]; i++) {
                if (array[i] == TSL_ATOM_FIXED) continue;
                uint64_t *signature = &(*signatures)[atoms->parent[array[i]]];
                *signature = mix(*signature + ((uint64_t)v << 8) + axis + 1);
            }
        }
    }
    for (uint32_t a = 0; a < atoms->n_atoms; a++)
        if (atoms->parent[a] == a && atoms->reason[a]) (*signatures)[a] = mix((*signatures)[a] + 1);
    return TSLIM_OK;
}

static int by_signature(const void *a, const void *b) {
    const unit *x = a, *y = b;
    if (x->signature != y->signature) return x->signature < y->signature ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static int by_order(const void *a, const void *b) {
    uint32_t x = ((const unit *)a)->order, y = ((const unit *)b)->order;
    return x < y ? -1 : x > y;
}

// Every class of atoms that some layer makes.
static tslim_status collect_units(tslim_channel_groups *groups, unit **units, uint32_t *n_units) {
    const tsl_atoms *atoms = groups->atoms;
    uint64_t *signatures;
    TSL_TRY(find_signatures(groups, &signatures));
    *units = tsl_arena_array(&groups->arena, (size_t)atoms->n_atoms + 1, sizeof(**units));
    bool *seen = tsl_arena_array(&groups->arena, (size_t)atoms->n_atoms + 1, sizeof(*seen));
    TSL_REQUIRE_MEMORY(*units && seen ? seen : NULL, atoms->n_atoms * sizeof(**units));
    *n_units = 0;
    for (uint32_t l = 0; l < atoms->n_layers; l++) {
        for (uint32_t i = 0; i < atoms->layers[l].n_out; i++) {
            uint32_t root = atoms->parent[atoms->layers[l].out[i]];
            if (seen[root]) continue;
            seen[root] = true;
            (*units)[*n_units] = (unit){signatures[root], *n_units, root, l};
            ++*n_units;
        }
    }
    return TSLIM_OK;
}

// The layer's name; the second group of the same layer is "name#2".
static tslim_status name_group(
    tslim_channel_groups *groups, tsl_name_map *taken, tsl_group *group, uint32_t layer) {
    const char *name = groups->atoms->graph->nodes[groups->atoms->layers[layer].node].name;
    group->name = tsl_arena_string(&groups->arena, name);
    for (uint32_t n = 2; group->name && tsl_name_map_get(taken, group->name) != TSL_NAME_ABSENT; n++)
        group->name = tsl_arena_format(&groups->arena, "%s#%u", name, n);
    if (!group->name || !tsl_name_map_set(taken, group->name, 0)) return tsl_no_memory(64);
    return TSLIM_OK;
}

static tslim_status make_group(
    tslim_channel_groups *groups, tsl_name_map *taken, const unit *units, uint32_t count) {
    tsl_group *group = &groups->groups[groups->n_groups];
    const tsl_atoms *atoms = groups->atoms;
    uint32_t *roots = tsl_arena_array(&groups->arena, count, sizeof(*roots));
    TSL_REQUIRE_MEMORY(roots, count * sizeof(*roots));
    for (uint32_t i = 0; i < count; i++) {
        roots[i] = units[i].root;
        groups->group_of[roots[i]] = groups->n_groups;
        if (!group->reason) group->reason = atoms->reason[roots[i]];
    }
    group->units = roots;
    group->n_units = count;
    if (!group->reason && count == 1) group->reason = "all its channels would have to go together";
    const tsl_layer *layer = &atoms->layers[units[0].layer];
    for (uint32_t i = 0; i < layer->n_out; i++) group->width += atoms->parent[layer->out[i]] == roots[0];
    TSL_TRY(name_group(groups, taken, group, units[0].layer));
    groups->n_groups++;
    return TSLIM_OK;
}

// Runs of units with one signature become groups, in the order of their first units.
static tslim_status make_groups(tslim_channel_groups *groups) {
    tsl_arena *arena = &groups->arena;
    unit *units, *firsts;
    uint32_t n_units = 0, n_groups = 0;
    tsl_name_map taken;
    TSL_TRY(collect_units(groups, &units, &n_units));
    qsort(units, n_units, sizeof(*units), by_signature);
    firsts = tsl_arena_array(arena, (size_t)n_units + 1, sizeof(*firsts));
    TSL_REQUIRE_MEMORY(firsts, n_units * sizeof(*firsts));
    for (uint32_t i = 0; i < n_units; i++) {
        if (i > 0 && units[i].signature == units[i - 1].signature) continue;
        firsts[n_groups++] = (unit){.order = units[i].order, .root = i}; // `root` holds where the run begins
    }
    qsort(firsts, n_groups, sizeof(*firsts), by_order);
    groups->groups = tsl_arena_array(arena, (size_t)n_groups + 1, sizeof(*groups->groups));
    groups->group_of = tsl_arena_array(arena, (size_t)groups->atoms->n_atoms + 1, sizeof(uint32_t));
    TSL_REQUIRE_MEMORY(
        groups->groups && groups->group_of ? groups : NULL, n_groups * sizeof(*groups->groups));
    for (uint32_t a = 0; a < groups->atoms->n_atoms; a++) groups->group_of[a] = TSL_NONE;
    tsl_name_map_init(&taken, groups->ctx);
    tslim_status status = TSLIM_OK;
    for (uint32_t g = 0; status == TSLIM_OK && g < n_groups; g++) {
        uint32_t begin = firsts[g].root, end = begin + 1;
        while (end < n_units && units[end].signature == units[begin].signature) end++;
        status = make_group(groups, &taken, units + begin, end - begin);
    }
    tsl_name_map_clear(&taken);
    return status;
}

// ---- Who makes and who reads a group's channels ----

static uint64_t weight_elements(const tsl_atoms *atoms, const tsl_layer *layer) {
    uint64_t elements = 1;
    if (layer->weight == TSL_NONE) return 0;
    const tsl_shape *shape = &atoms->graph->values[layer->weight].shape;
    for (uint32_t axis = 0; axis < shape->rank; axis++) elements *= (uint64_t)shape->dims[axis];
    return elements;
}

// One pass counts, the next one stores. `last` remembers the layer that each group has seen last.
static void link_layers(tslim_channel_groups *groups, uint32_t *last, bool store) {
    const tsl_atoms *atoms = groups->atoms;
    for (uint32_t i = 0; i < 2 * groups->n_groups; i++) last[i] = TSL_NONE;
    for (uint32_t l = 0; l < atoms->n_layers; l++) {
        const tsl_layer *layer = &atoms->layers[l];
        uint32_t n_in = layer->in && !layer->depthwise ? layer->n_in : 0;
        for (uint32_t i = 0; i < layer->n_out + n_in; i++) {
            bool makes = i < layer->n_out;
            uint32_t atom = makes ? layer->out[i] : layer->in[i - layer->n_out];
            uint32_t g = atom == TSL_ATOM_FIXED ? TSL_NONE : groups->group_of[atoms->parent[atom]];
            if (g == TSL_NONE || last[2 * g + makes] == l) continue;
            tsl_group *group = &groups->groups[g];
            bool first = last[2 * g] != l && last[2 * g + 1] != l;
            last[2 * g + makes] = l;
            if (store && makes) group->producers[group->n_producers] = l;
            if (store && !makes) group->consumers[group->n_consumers] = l;
            if (makes)
                group->n_producers++;
            else
                group->n_consumers++;
            if (!store) continue;
            group->shallow |= makes && layer->shallow;
            group->macs += first ? layer->macs : 0;
            group->parameters += first ? weight_elements(atoms, layer) : 0;
        }
    }
}

static tslim_status find_layers(tslim_channel_groups *groups) {
    uint32_t *last = tsl_arena_array(&groups->arena, 2 * (size_t)groups->n_groups + 1, sizeof(*last));
    TSL_REQUIRE_MEMORY(last, groups->n_groups * sizeof(*last));
    link_layers(groups, last, false);
    for (uint32_t g = 0; g < groups->n_groups; g++) {
        tsl_group *group = &groups->groups[g];
        group->producers = tsl_arena_array(&groups->arena, (size_t)group->n_producers + 1, sizeof(uint32_t));
        group->consumers = tsl_arena_array(&groups->arena, (size_t)group->n_consumers + 1, sizeof(uint32_t));
        TSL_REQUIRE_MEMORY(group->producers && group->consumers ? group : NULL, sizeof(uint32_t));
        group->n_producers = group->n_consumers = 0;
    }
    link_layers(groups, last, true);
    return TSLIM_OK;
}

// ---- What would be left ----

uint64_t tsl_groups_macs(const tslim_channel_groups *groups, const uint8_t *removed) {
    const tsl_atoms *atoms = groups->atoms;
    uint64_t total = 0;
    for (uint32_t l = 0; l < atoms->n_layers; l++) {
        const tsl_layer *layer = &atoms->layers[l];
        uint64_t macs = layer->macs;
        for (uint32_t i = 0; i < layer->n_factors && macs; i++)
            macs = macs / layer->factor_dims[i] *
                   tsl_atoms_kept(atoms, layer->factors[i], layer->factor_dims[i], removed);
        total += macs;
    }
    return total;
}

uint64_t tsl_groups_removed_parameters(const tslim_channel_groups *groups, const uint8_t *removed) {
    const tsl_atoms *atoms = groups->atoms;
    uint64_t total = 0;
    for (uint32_t v = 0; v < atoms->graph->n_values; v++) {
        const tsl_value *value = &atoms->graph->values[v];
        uint64_t before = 1, after = 1;
        if (!tsl_value_is_constant(value)) continue;
        for (uint32_t axis = 0; axis < value->shape.rank; axis++) {
            uint32_t dim = (uint32_t)value->shape.dims[axis];
            before *= dim;
            after *= tsl_atoms_kept(atoms, atoms->axes[v].atoms[axis], dim, removed);
        }
        total += before - after;
    }
    return total;
}

// ---- Public ----

tslim_status tslim_channel_groups_find(const tslim_graph *graph, const tslim_input_shape *shapes,
    uint32_t n_shapes, tslim_channel_groups **result) {
    TSL_REQUIRE(graph && result && (shapes || n_shapes == 0), TSLIM_ERROR_INVALID_ARGUMENT,
        "graph, shapes or groups is NULL");
    *result = NULL;
    tslim_channel_groups *groups = tsl_allocate_zeroed(graph->ctx, sizeof(*groups));
    TSL_REQUIRE_MEMORY(groups, sizeof(*groups));
    groups->ctx = tsl_context_retain(graph->ctx);
    tsl_arena_init(&groups->arena, graph->ctx);
    tslim_status status = tsl_atoms_find(graph, shapes, n_shapes, &groups->atoms);
    if (status == TSLIM_OK) status = make_groups(groups);
    if (status == TSLIM_OK) status = find_layers(groups);
    if (status != TSLIM_OK) {
        tslim_channel_groups_destroy(groups);
        return status;
    }
    *result = groups;
    return TSLIM_OK;
}

void tslim_channel_groups_destroy(tslim_channel_groups *groups) {
    if (!groups) return;
    tslim_context *ctx = groups->ctx;
    tsl_atoms_destroy(groups->atoms);
    tsl_arena_clear(&groups->arena);
    tsl_free(ctx, groups, sizeof(*groups));
    tsl_context_release(ctx);
}

uint32_t tslim_channel_groups_count(const tslim_channel_groups *groups) {
    return groups ? groups->n_groups : 0;
}

tslim_status tslim_channel_groups_info(
    const tslim_channel_groups *groups, uint32_t index, tslim_channel_group_info *info) {
    TSL_REQUIRE(groups && info, TSLIM_ERROR_INVALID_ARGUMENT, "groups or info is NULL");
    TSL_REQUIRE(
        index < groups->n_groups, TSLIM_ERROR_INVALID_ARGUMENT, "group %u of %u", index, groups->n_groups);
    TSL_REQUIRE(info->struct_size == sizeof(*info), TSLIM_ERROR_INVALID_ARGUMENT,
        "group info: struct_size %u, not %zu", info->struct_size, sizeof(*info));
    const tsl_group *group = &groups->groups[index];
    *info = (tslim_channel_group_info){.struct_size = sizeof(*info),
        .name = group->name,
        .channels = group->n_units,
        .prunable = group->reason == NULL,
        .reason = group->reason ? group->reason : "",
        .shallow = group->shallow,
        .n_producers = group->n_producers,
        .n_consumers = group->n_consumers,
        .macs = group->macs,
        .parameters = group->parameters};
    return TSLIM_OK;
}

static const char *layer_name(
    const tslim_channel_groups *groups, const uint32_t *layers, uint32_t count, uint32_t index) {
    if (index >= count) return NULL;
    return groups->atoms->graph->nodes[groups->atoms->layers[layers[index]].node].name;
}

const char *tslim_channel_groups_producer(
    const tslim_channel_groups *groups, uint32_t group, uint32_t index) {
    if (!groups || group >= groups->n_groups) return NULL;
    return layer_name(groups, groups->groups[group].producers, groups->groups[group].n_producers, index);
}

const char *tslim_channel_groups_consumer(
    const tslim_channel_groups *groups, uint32_t group, uint32_t index) {
    if (!groups || group >= groups->n_groups) return NULL;
    return layer_name(groups, groups->groups[group].consumers, groups->groups[group].n_consumers, index);
}
