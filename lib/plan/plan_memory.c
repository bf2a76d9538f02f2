// SPDX-License-Identifier: Apache-2.0
// One block for all activations and scratch. Walks the steps in order with a list of free ranges: a value
// takes the smallest range that it fits into when it is made, and gives it back after its last reader.
#include "base/checked.h"
#include "plan/plan.h"

typedef struct range {
    size_t offset, bytes;
} range;

typedef struct planner {
    tsl_plan *plan;
    range *free; // ascending, never touching
    size_t n_free, capacity;
    size_t end; // everything from here on is free
    // Values in the order of their first and of their last step: starting[first_starting[n]] ..
    uint32_t *starting, *first_starting, *ending, *first_ending;
} planner;

static void remove_range(planner *p, size_t index) {
    for (size_t i = index + 1; i < p->n_free; i++) p->free[i - 1] = p->free[i];
    p->n_free--;
}

// UNBOUNDED growth is caught by the limit at the end; overflow here.
static tslim_status take(planner *p, size_t bytes, size_t *offset) {
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < p->n_free; i++)
        if (p->free[i].bytes >= bytes && (best == SIZE_MAX || p->free[i].bytes < p->free[best].bytes))
            best = i;
    if (best != SIZE_MAX) {
        *offset = p->free[best].offset;
        p->free[best].offset += bytes;
        p->free[best].bytes -= bytes;
        if (p->free[best].bytes == 0) remove_range(p, best);
        return TSLIM_OK;
    }
    // A free range at the very end is only too short: take it and grow.
    size_t start = p->end;
    if (p->n_free > 0 && p->free[p->n_free - 1].offset + p->free[p->n_free - 1].bytes == p->end)
        start = p->free[--p->n_free].offset;
    TSL_REQUIRE(
        tsl_add_size(start, bytes, &p->end), TSLIM_ERROR_LIMIT, "activations exceed the address space");
    *offset = start;
    return TSLIM_OK;
}

static tslim_status give(planner *p, size_t offset, size_t bytes) {
    if (bytes == 0) return TSLIM_OK;
    size_t at = 0;
    while (at < p->n_free && p->free[at].offset < offset) at++;
    bool joins_before = at > 0 && p->free[at - 1].offset + p->free[at - 1].bytes == offset;
    bool joins_after = at < p->n_free && offset + bytes == p->free[at].offset;
    if (joins_before && joins_after) {
        p->free[at - 1].bytes += bytes + p->free[at].bytes;
        remove_range(p, at);
    } else if (joins_before) {
        p->free[at - 1].bytes += bytes;
    } else if (joins_after) {
        p->free[at].offset = offset;
        p->free[at].bytes += bytes;
    } else {
        if (!tsl_grow(p->plan->ctx, (void **)&p->free, &p->capacity, p->n_free + 1, sizeof(range)))
            return tsl_no_memory((p->n_free + 1) * sizeof(range));
        for (size_t i = p->n_free; i > at; i--) p->free[i] = p->free[i - 1];
        p->free[at] = (range){offset, bytes};
        p->n_free++;
    }
    return TSLIM_OK;
}

static bool owns_memory(const tsl_plan *plan, uint32_t v) {
    return plan->values[v].place == TSL_PLACE_ARENA && plan->values[v].root == v;
}

// Buckets the values by their first or last step.
static tslim_status sort_by(planner *p, bool by_end, uint32_t **sorted, uint32_t **first) {
    const tslim_graph *graph = p->plan->graph;
    uint32_t *from = tsl_arena_array(&p->plan->arena, (size_t)graph->n_nodes + 3, sizeof(uint32_t));
    uint32_t *list = tsl_arena_array(&p->plan->arena, graph->n_values, sizeof(uint32_t));
    TSL_REQUIRE_MEMORY(from && list ? p : NULL, graph->n_values * sizeof(uint32_t));
    const tsl_plan_value *values = p->plan->values;
    for (uint32_t v = 0; v < graph->n_values; v++)
        if (owns_memory(p->plan, v)) from[(by_end ? values[v].last : values[v].first) + 2]++;
    for (uint32_t n = 2; n < graph->n_nodes + 3; n++) from[n] += from[n - 1];
    for (uint32_t v = 0; v < graph->n_values; v++)
        if (owns_memory(p->plan, v)) list[from[(by_end ? values[v].last : values[v].first) + 1]++] = v;
    *sorted = list;
    *first = from;
    return TSLIM_OK;
}

static tslim_status place_step(planner *p, tsl_plan_step *step) {
    tsl_plan *plan = p->plan;
    for (uint32_t i = p->first_starting[step->node]; i < p->first_starting[step->node + 1]; i++)
        TSL_TRY(take(p, plan->values[p->starting[i]].bytes, &plan->values[p->starting[i]].offset));
    size_t scratch;
    TSL_REQUIRE(tsl_align_size(step->kernel.scratch_bytes, 64, &scratch), TSLIM_ERROR_LIMIT,
        "scratch of %zu bytes", step->kernel.scratch_bytes);
    if (scratch > 0) {
        TSL_TRY(take(p, scratch, &step->scratch_offset));
        TSL_TRY(give(p, step->scratch_offset, scratch));
    }
    for (uint32_t i = p->first_ending[step->node]; i < p->first_ending[step->node + 1]; i++)
        TSL_TRY(give(p, plan->values[p->ending[i]].offset, plan->values[p->ending[i]].bytes));
    return TSLIM_OK;
}

tslim_status tsl_plan_memory(tsl_plan *plan) {
    planner p = {.plan = plan};
    tslim_status status = sort_by(&p, false, &p.starting, &p.first_starting);
    if (status == TSLIM_OK) status = sort_by(&p, true, &p.ending, &p.first_ending);
    for (uint32_t s = 0; s < plan->n_steps && status == TSLIM_OK; s++)
        status = place_step(&p, &plan->steps[s]);
    tsl_free(plan->ctx, p.free, p.capacity * sizeof(range));
    TSL_TRY(status);
    TSL_REQUIRE(p.end <= plan->ctx->limits.arena_bytes, TSLIM_ERROR_LIMIT,
        "activations need %zu bytes, the limit is %llu", p.end,
        (unsigned long long)plan->ctx->limits.arena_bytes);
    plan->bytes = plan->lane_bytes = p.end;
    if (plan->n_lanes == 1) return TSLIM_OK;
    // Memory of the same layout for each lane. What is not of one sample lies in the first one's alone.
    size_t lane, all;
    if (!tsl_align_size(p.end, 4096, &lane) || !tsl_mul_size(lane, plan->n_lanes, &all) ||
        all > plan->ctx->limits.arena_bytes) {
        plan->n_lanes = 1;
        return TSLIM_OK;
    }
    plan->lane_bytes = lane;
    plan->bytes = all;
    return TSLIM_OK;
}
