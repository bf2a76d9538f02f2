// SPDX-License-Identifier: Apache-2.0
// The life of a plan, and carrying it out.
#include "prune/plan.h"

#include <inttypes.h>
#include <string.h>

#include "plan/specialize.h"

void tslim_prune_options_init(tslim_prune_options *options) {
    if (!options) return;
    *options = (tslim_prune_options){.struct_size = sizeof(*options),
        .criterion = TSLIM_CRITERION_L1,
        .round_to = 8,
        .min_channels = 1,
        .shallow_ratio = 0.5};
}

// ---- Making ----

static tslim_status copy_shapes(tslim_prune_plan *plan, const tslim_input_shape *shapes, uint32_t n_shapes) {
    plan->shapes = tsl_arena_array(&plan->arena, (size_t)n_shapes + 1, sizeof(*shapes));
    TSL_REQUIRE_MEMORY(plan->shapes, n_shapes * sizeof(*shapes));
    for (uint32_t i = 0; i < n_shapes; i++) {
        TSL_REQUIRE(shapes[i].rank <= TSLIM_MAX_RANK, TSLIM_ERROR_INVALID_ARGUMENT, "shape %u has rank %u", i,
            shapes[i].rank);
        plan->shapes[i] = shapes[i];
        if (!shapes[i].name) continue;
        plan->shapes[i].name = tsl_arena_string(&plan->arena, shapes[i].name);
        TSL_REQUIRE_MEMORY(plan->shapes[i].name, strlen(shapes[i].name));
    }
    plan->n_shapes = n_shapes;
    return TSLIM_OK;
}

static tslim_status measure_before(tslim_prune_plan *plan, const tslim_graph *graph) {
    tslim_graph *copy;
    TSL_TRY(tslim_graph_clone(graph, &copy));
    plan->before.struct_size = sizeof(plan->before);
    tslim_status status = tslim_graph_measure(copy, plan->shapes, plan->n_shapes, &plan->before);
    tslim_graph_destroy(copy);
    return status;
}

static tslim_status fill_plan(
    tslim_prune_plan *plan, const tslim_graph *graph, const tslim_input_shape *shapes, uint32_t n_shapes) {
    TSL_TRY(copy_shapes(plan, shapes, n_shapes));
    TSL_TRY(tslim_channel_groups_find(graph, shapes, n_shapes, &plan->groups));
    uint32_t n_groups = plan->groups->n_groups;
    plan->removed = tsl_arena_array(&plan->arena, (size_t)plan->groups->atoms->n_atoms + 1, 1);
    plan->pruned = tsl_arena_array(&plan->arena, (size_t)n_groups + 1, sizeof(*plan->pruned));
    plan->n_pruned = tsl_arena_array(&plan->arena, (size_t)n_groups + 1, sizeof(*plan->n_pruned));
    plan->notes = tsl_arena_array(&plan->arena, (size_t)n_groups + 1, sizeof(*plan->notes));
    if (!plan->removed || !plan->pruned || !plan->n_pruned || !plan->notes)
        return tsl_no_memory(n_groups * 64);
    plan->description = "prune";
    TSL_TRY(measure_before(plan, graph));
    for (uint32_t g = 0; g < n_groups; g++) {
        const char *reason = plan->groups->groups[g].reason;
        plan->notes[g] = reason ? tsl_arena_format(&plan->arena, "not prunable: %s", reason) : "";
        TSL_REQUIRE_MEMORY(plan->notes[g], 64);
    }
    return TSLIM_OK;
}

tslim_status tsl_plan_new(
    const tslim_graph *graph, const tslim_input_shape *shapes, uint32_t n_shapes, tslim_prune_plan **result) {
    tslim_prune_plan *plan = tsl_allocate_zeroed(graph->ctx, sizeof(*plan));
    TSL_REQUIRE_MEMORY(plan, sizeof(*plan));
    plan->ctx = tsl_context_retain(graph->ctx);
    tsl_arena_init(&plan->arena, graph->ctx);
    tslim_status status = fill_plan(plan, graph, shapes, n_shapes);
    if (status != TSLIM_OK) {
        tslim_prune_plan_destroy(plan);
        return status;
    }
    *result = plan;
    return TSLIM_OK;
}

void tslim_prune_plan_destroy(tslim_prune_plan *plan) {
    if (!plan) return;
    tslim_context *ctx = plan->ctx;
    tslim_channel_groups_destroy(plan->groups);
    tsl_arena_clear(&plan->arena);
    tsl_free(ctx, plan, sizeof(*plan));
    tsl_context_release(ctx);
}

tslim_status tsl_plan_note(tslim_prune_plan *plan, uint32_t group, const char *text) {
    const char *old = plan->notes[group];
    plan->notes[group] = tsl_arena_format(&plan->arena, "%s%s%s", old, *old ? "; " : "", text);
    TSL_REQUIRE_MEMORY(plan->notes[group], strlen(text));
    return TSLIM_OK;
}

static tslim_status list_pruned(tslim_prune_plan *plan) {
    for (uint32_t g = 0; g < plan->groups->n_groups; g++) {
        const tsl_group *group = &plan->groups->groups[g];
        uint32_t count = 0;
        for (uint32_t i = 0; i < group->n_units; i++) count += plan->removed[group->units[i]];
        TSL_REQUIRE(count < group->n_units, TSLIM_ERROR_INVALID_ARGUMENT,
            "group '%s' would lose all its %u channels", group->name, group->n_units);
        plan->pruned[g] = tsl_arena_array(&plan->arena, (size_t)count + 1, sizeof(uint32_t));
        TSL_REQUIRE_MEMORY(plan->pruned[g], count * sizeof(uint32_t));
        plan->n_pruned[g] = 0;
        for (uint32_t i = 0; i < group->n_units; i++)
            if (plan->removed[group->units[i]]) plan->pruned[g][plan->n_pruned[g]++] = i;
    }
    return TSLIM_OK;
}

tslim_status tsl_plan_finish(tslim_prune_plan *plan, const tslim_graph *graph) {
    TSL_TRY(list_pruned(plan));
    tslim_graph *copy;
    TSL_TRY(tslim_graph_clone(graph, &copy));
    plan->after.struct_size = sizeof(plan->after);
    tslim_status status = tsl_surgery(plan->groups->atoms, plan->removed, copy);
    if (status == TSLIM_OK) status = tslim_graph_measure(copy, plan->shapes, plan->n_shapes, &plan->after);
    tslim_graph_destroy(copy);
    return status;
}

tslim_status tslim_prune_plan_create(
    const tslim_graph *graph, const tslim_prune_options *options, tslim_prune_plan **result) {
    TSL_REQUIRE(graph && options && result, TSLIM_ERROR_INVALID_ARGUMENT, "graph, options or plan is NULL");
    *result = NULL;
    TSL_REQUIRE(options->struct_size == sizeof(*options), TSLIM_ERROR_INVALID_ARGUMENT,
        "prune options: struct_size %u, not %zu", options->struct_size, sizeof(*options));
    TSL_REQUIRE(options->shapes || options->n_shapes == 0, TSLIM_ERROR_INVALID_ARGUMENT, "shapes is NULL");
    tslim_prune_plan *plan;
    TSL_TRY(tsl_plan_new(graph, options->shapes, options->n_shapes, &plan));
    tslim_status status = tsl_plan_choose(plan, options);
    if (status == TSLIM_OK) status = tsl_plan_finish(plan, graph);
    if (status != TSLIM_OK) {
        tslim_prune_plan_destroy(plan);
        return status;
    }
    *result = plan;
    return TSLIM_OK;
}

// ---- Asking ----

uint32_t tslim_prune_plan_group_count(const tslim_prune_plan *plan) {
    return plan ? plan->groups->n_groups : 0;
}

tslim_status tslim_prune_plan_group_info(
    const tslim_prune_plan *plan, uint32_t index, tslim_prune_plan_group *info) {
    TSL_REQUIRE(plan && info, TSLIM_ERROR_INVALID_ARGUMENT, "plan or info is NULL");
    TSL_REQUIRE(index < plan->groups->n_groups, TSLIM_ERROR_INVALID_ARGUMENT, "group %u of %u", index,
        plan->groups->n_groups);
    TSL_REQUIRE(info->struct_size == sizeof(*info), TSLIM_ERROR_INVALID_ARGUMENT,
        "plan group: struct_size %u, not %zu", info->struct_size, sizeof(*info));
    const tsl_group *group = &plan->groups->groups[index];
    *info = (tslim_prune_plan_group){.struct_size = sizeof(*info),
        .name = group->name,
        .channels = group->n_units,
        .pruned = plan->n_pruned[index],
        .pruned_channels = plan->pruned[index],
        .note = plan->notes[index]};
    return TSLIM_OK;
}

tslim_status tslim_prune_plan_totals(
    const tslim_prune_plan *plan, tslim_graph_totals *before, tslim_graph_totals *after) {
    TSL_REQUIRE(plan && before && after, TSLIM_ERROR_INVALID_ARGUMENT, "plan, before or after is NULL");
    TSL_REQUIRE(before->struct_size == sizeof(*before) && after->struct_size == sizeof(*after),
        TSLIM_ERROR_INVALID_ARGUMENT, "totals: struct_size %u and %u, not %zu", before->struct_size,
        after->struct_size, sizeof(*before));
    *before = plan->before;
    *after = plan->after;
    return TSLIM_OK;
}

// ---- Carrying out ----

tslim_status tsl_prune_removed(
    tslim_graph *graph, const tslim_channel_groups *groups, const uint8_t *removed) {
    tslim_graph *copy;
    TSL_TRY(tslim_graph_clone(graph, &copy));
    tslim_status status = tsl_surgery(groups->atoms, removed, copy);
    if (status != TSLIM_OK) {
        tslim_graph_destroy(copy);
        return status;
    }
    tsl_graph_swap(graph, copy);
    tslim_graph_destroy(copy);
    return TSLIM_OK;
}

tslim_status tsl_plan_match(
    const tslim_prune_plan *plan, const tslim_channel_groups *groups, uint8_t *removed) {
    TSL_REQUIRE(
        groups->n_groups == plan->groups->n_groups && groups->atoms->n_atoms == plan->groups->atoms->n_atoms,
        TSLIM_ERROR_INVALID_ARGUMENT, "the plan was made for another model: %u groups, not %u",
        plan->groups->n_groups, groups->n_groups);
    for (uint32_t g = 0; g < groups->n_groups; g++) {
        const tsl_group *group = &groups->groups[g], *planned = &plan->groups->groups[g];
        TSL_REQUIRE(strcmp(group->name, planned->name) == 0 && group->n_units == planned->n_units,
            TSLIM_ERROR_INVALID_ARGUMENT,
            "the plan was made for another model: group %u is '%s' of %u, not '%s' of %u", g, planned->name,
            planned->n_units, group->name, group->n_units);
        for (uint32_t i = 0; i < plan->n_pruned[g]; i++) removed[group->units[plan->pruned[g][i]]] = 1;
    }
    return TSLIM_OK;
}

static tslim_status check_pruned(tslim_graph *graph, const tslim_prune_plan *plan) {
    tslim_graph_totals totals = {.struct_size = sizeof(totals)};
    TSL_TRY(tslim_graph_measure(graph, plan->shapes, plan->n_shapes, &totals));
    TSL_REQUIRE(totals.macs == plan->after.macs && totals.parameters == plan->after.parameters,
        TSLIM_ERROR_INTERNAL,
        "pruning left %" PRIu64 " MACs and %" PRIu64 " parameters, not %" PRIu64 " and %" PRIu64, totals.macs,
        totals.parameters, plan->after.macs, plan->after.parameters);
    return TSLIM_OK;
}

tslim_status tslim_prune(tslim_graph *graph, const tslim_prune_plan *plan) {
    TSL_REQUIRE(graph && plan, TSLIM_ERROR_INVALID_ARGUMENT, "graph or plan is NULL");
    tslim_channel_groups *groups;
    tslim_graph *copy = NULL;
    TSL_TRY(tslim_channel_groups_find(graph, plan->shapes, plan->n_shapes, &groups));
    size_t bytes = (size_t)groups->atoms->n_atoms + 1;
    uint8_t *removed = tsl_allocate_zeroed(graph->ctx, bytes);
    tslim_status status = removed ? tsl_plan_match(plan, groups, removed) : tsl_no_memory(bytes);
    if (status == TSLIM_OK) status = tslim_graph_clone(graph, &copy);
    if (status == TSLIM_OK) status = tsl_prune_removed(copy, groups, removed);
    if (status == TSLIM_OK) status = check_pruned(copy, plan);
    if (status == TSLIM_OK) status = tslim_graph_history_add(copy, plan->description);
    if (status == TSLIM_OK) tsl_graph_swap(graph, copy);
    tslim_graph_destroy(copy);
    tsl_free(groups->ctx, removed, bytes);
    tslim_channel_groups_destroy(groups);
    return status;
}
