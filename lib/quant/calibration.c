// SPDX-License-Identifier: Apache-2.0
// A calibration's life, its questions, and the joining of shards.
#include "quant/calibration.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const char *const method_names[] = {"minmax", "moving-average", "percentile", "entropy", "mse"};
#define N_METHODS (sizeof(method_names) / sizeof(method_names[0]))

const char *tslim_calibration_method_name(tslim_calibration_method method) {
    return (size_t)method < N_METHODS ? method_names[method] : "unknown";
}

tslim_status tslim_calibration_method_from_name(const char *name, tslim_calibration_method *method) {
    TSL_REQUIRE(name && method, TSLIM_ERROR_INVALID_ARGUMENT, "name or method is NULL");
    for (size_t i = 0; i < N_METHODS; i++) {
        if (strcmp(name, method_names[i]) != 0) continue;
        *method = (tslim_calibration_method)i;
        return TSLIM_OK;
    }
    return tsl_fail(TSLIM_ERROR_INVALID_ARGUMENT,
        "'%s' is no calibration method: minmax, moving-average, percentile, entropy, mse", name);
}

tslim_status tsl_calibration_create(tslim_context *ctx, tslim_calibration **result) {
    tslim_calibration *calibration = tsl_allocate_zeroed(ctx, sizeof(*calibration));
    TSL_REQUIRE_MEMORY(calibration, sizeof(*calibration));
    calibration->ctx = tsl_context_retain(ctx);
    tsl_arena_init(&calibration->arena, ctx);
    tsl_name_map_init(&calibration->names, ctx);
    calibration->preparation.struct_size = sizeof(calibration->preparation);
    *result = calibration;
    return TSLIM_OK;
}

void tslim_calibration_destroy(tslim_calibration *calibration) {
    if (!calibration) return;
    tslim_context *ctx = calibration->ctx;
    tsl_free(ctx, calibration->values, calibration->values_capacity * sizeof(*calibration->values));
    tsl_free(ctx, calibration->costs, calibration->costs_capacity * sizeof(*calibration->costs));
    tsl_name_map_clear(&calibration->names);
    tsl_arena_clear(&calibration->arena);
    tsl_free(ctx, calibration, sizeof(*calibration));
    tsl_context_release(ctx);
}

tslim_status tsl_calibration_need_value(tslim_calibration *c, const char *name, tsl_observer **observer) {
    uint32_t index = tsl_name_map_get(&c->names, name);
    if (index != TSL_NAME_ABSENT) {
        *observer = c->values[index].observer;
        return TSLIM_OK;
    }
    tsl_calibration_value value = {.name = tsl_arena_string(&c->arena, name)};
    value.observer = tsl_arena_alloc(&c->arena, sizeof(*value.observer));
    if (!value.name || !value.observer ||
        !tsl_grow(c->ctx, (void **)&c->values, &c->values_capacity, (size_t)c->n_values + 1, sizeof(value)) ||
        !tsl_name_map_set(&c->names, value.name, c->n_values))
        return tsl_no_memory(sizeof(*value.observer));
    tsl_observer_init(value.observer);
    c->values[c->n_values++] = value;
    *observer = value.observer;
    return TSLIM_OK;
}

tslim_status tsl_calibration_need_channels(
    tslim_calibration *c, const char *name, uint32_t count, tsl_channels **channels) {
    tsl_observer *observer;
    TSL_TRY(tsl_calibration_need_value(c, name, &observer));
    tsl_calibration_value *value = &c->values[tsl_name_map_get(&c->names, name)];
    if (!value->channels) value->channels = tsl_channels_create(&c->arena, count);
    TSL_REQUIRE_MEMORY(value->channels, count * sizeof(tsl_channel));
    TSL_REQUIRE(value->channels->count == count, TSLIM_ERROR_INVALID_ARGUMENT,
        "value '%s' had %u channels before, now %u", name, value->channels->count, count);
    *channels = value->channels;
    return TSLIM_OK;
}

tslim_status tsl_calibration_add_cost(tslim_calibration *c, const char *node, double noise, uint64_t macs) {
    tsl_calibration_cost cost = {.node = tsl_arena_string(&c->arena, node), .noise = noise, .macs = macs};
    if (!cost.node ||
        !tsl_grow(c->ctx, (void **)&c->costs, &c->costs_capacity, (size_t)c->n_costs + 1, sizeof(cost)))
        return tsl_no_memory(sizeof(cost));
    c->costs[c->n_costs++] = cost;
    return TSLIM_OK;
}

const tsl_observer *tsl_calibration_find(const tslim_calibration *c, const char *name) {
    uint32_t index = tsl_name_map_get(&c->names, name);
    return index == TSL_NAME_ABSENT ? NULL : c->values[index].observer;
}

const tsl_channels *tsl_calibration_find_channels(const tslim_calibration *c, const char *name) {
    uint32_t index = tsl_name_map_get(&c->names, name);
    return index == TSL_NAME_ABSENT ? NULL : c->values[index].channels;
}

// Its range can be told.
static tslim_status check_finite(const char *name, const tsl_observer *o) {
    TSL_REQUIRE(o, TSLIM_ERROR_INVALID_ARGUMENT,
        "the calibration has no value '%s': it was made from another model; calibrate this very model", name);
    TSL_REQUIRE(o->invalid == 0, TSLIM_ERROR_INVALID_ARGUMENT,
        "value '%s' was NaN or infinite in %" PRIu64 " of %" PRIu64 " elements during calibration", name,
        o->invalid, o->invalid + o->count);
    return TSLIM_OK;
}

tslim_status tsl_calibration_choose_range(const tslim_calibration *c, const char *name, const tsl_observer *o,
    float floor, float ceiling, bool symmetric, float *minimum, float *maximum) {
    TSL_TRY(check_finite(name, o));
    tsl_span span = tsl_observer_span(o, symmetric);
    span.below = fminf(span.below, -floor);
    span.above = fminf(span.above, ceiling);
    float threshold;
    TSL_TRY(tsl_observer_threshold(c->ctx, o, span, c->method, c->percentile, &threshold));
    *minimum = -fminf(span.below, threshold);
    *maximum = fminf(span.above, threshold);
    return TSLIM_OK;
}

tslim_status tslim_calibration_range(
    const tslim_calibration *c, const char *value_name, float *minimum, float *maximum) {
    TSL_REQUIRE(c && value_name && minimum && maximum, TSLIM_ERROR_INVALID_ARGUMENT,
        "calibration, value_name, minimum or maximum is NULL");
    const tsl_observer *o = tsl_calibration_find(c, value_name);
    float threshold;
    TSL_TRY(check_finite(value_name, o));
    TSL_TRY(
        tsl_observer_threshold(c->ctx, o, tsl_observer_span(o, true), c->method, c->percentile, &threshold));
    *minimum = fminf(fmaxf(o->minimum, -threshold), threshold);
    *maximum = fmaxf(fminf(o->maximum, threshold), -threshold);
    return TSLIM_OK;
}

static tslim_status check_method(tslim_calibration_method method, double percentile) {
    TSL_REQUIRE(
        (size_t)method < N_METHODS, TSLIM_ERROR_INVALID_ARGUMENT, "calibration method %d", (int)method);
    TSL_REQUIRE(percentile > 0 && percentile <= 100, TSLIM_ERROR_INVALID_ARGUMENT,
        "a percentile of %g: it must be over 0 and at most 100", percentile);
    return TSLIM_OK;
}

tslim_status tslim_calibration_set_method(
    tslim_calibration *c, tslim_calibration_method method, double percentile) {
    TSL_REQUIRE(c, TSLIM_ERROR_INVALID_ARGUMENT, "calibration is NULL");
    TSL_TRY(check_method(method, percentile));
    TSL_REQUIRE(method != TSLIM_CALIBRATION_MOVING_AVERAGE || c->method == method,
        TSLIM_ERROR_INVALID_ARGUMENT, "a moving average must be taken during calibration");
    c->method = method;
    c->percentile = percentile;
    return TSLIM_OK;
}

uint64_t tslim_calibration_samples(const tslim_calibration *c) {
    return c ? c->samples : 0;
}

uint32_t tslim_calibration_value_count(const tslim_calibration *c) {
    return c ? c->n_values : 0;
}

const char *tslim_calibration_value_name(const tslim_calibration *c, uint32_t index) {
    return c && index < c->n_values ? c->values[index].name : NULL;
}

// ---- Shards ----

static bool same_preparation(const tslim_input_preparation *a, const tslim_input_preparation *b) {
    if (a->scale != b->scale) return false;
    if (a->scale == 0) return true;
    if (a->n_channels != b->n_channels || a->layout != b->layout || a->channels != b->channels ||
        a->height != b->height || a->width != b->width)
        return false;
    for (uint32_t i = 0; i < a->n_channels; i++)
        if (a->mean[i] != b->mean[i] || a->std[i] != b->std[i]) return false;
    return true;
}

// A shard without a sample (more shards than batches) has no values; all others must have the same.
static tslim_status check_part(
    const tslim_calibration *merged, const tslim_calibration *part, uint32_t index) {
    TSL_REQUIRE(part, TSLIM_ERROR_INVALID_ARGUMENT, "part %u is NULL", index);
    TSL_REQUIRE(part->method == merged->method && part->percentile == merged->percentile,
        TSLIM_ERROR_INVALID_ARGUMENT, "part %u was calibrated by %s %g, part 0 by %s %g", index,
        tslim_calibration_method_name(part->method), part->percentile,
        tslim_calibration_method_name(merged->method), merged->percentile);
    TSL_REQUIRE(same_preparation(&part->preparation, &merged->preparation), TSLIM_ERROR_INVALID_ARGUMENT,
        "part %u was calibrated with another input preparation than part 0", index);
    if (part->n_values == 0 || merged->n_values == 0) return TSLIM_OK;
    TSL_REQUIRE(part->n_values == merged->n_values, TSLIM_ERROR_INVALID_ARGUMENT,
        "part %u has %u values, others have %u: shards of one model are wanted", index, part->n_values,
        merged->n_values);
    for (uint32_t i = 0; i < part->n_values; i++)
        TSL_REQUIRE(tsl_calibration_find(merged, part->values[i].name), TSLIM_ERROR_INVALID_ARGUMENT,
            "part %u has a value '%s' that others have not: shards of one model are wanted", index,
            part->values[i].name);
    return TSLIM_OK;
}

static tslim_status add_part(tslim_calibration *merged, const tslim_calibration *part) {
    merged->samples += part->samples;
    for (uint32_t i = 0; i < part->n_values; i++) {
        tsl_observer *observer = NULL;
        TSL_TRY(tsl_calibration_need_value(merged, part->values[i].name, &observer));
        tsl_observer_merge(observer, part->values[i].observer);
        const tsl_channels *from = part->values[i].channels;
        tsl_channels *channels;
        if (!from) continue;
        TSL_TRY(tsl_calibration_need_channels(merged, part->values[i].name, from->count, &channels));
        tsl_channels_merge(channels, from);
    }
    return TSLIM_OK;
}

tslim_status tslim_calibration_merge(
    const tslim_calibration *const *parts, uint32_t n_parts, tslim_calibration **result) {
    TSL_REQUIRE(parts && n_parts > 0 && parts[0] && result, TSLIM_ERROR_INVALID_ARGUMENT,
        "parts or merged is NULL, or there is no part");
    *result = NULL;
    tslim_calibration *merged = NULL;
    TSL_TRY(tsl_calibration_create(parts[0]->ctx, &merged));
    merged->method = parts[0]->method;
    merged->percentile = parts[0]->percentile;
    merged->preparation = parts[0]->preparation;
    tslim_status status = TSLIM_OK;
    for (uint32_t i = 0; i < n_parts && status == TSLIM_OK; i++) {
        status = check_part(merged, parts[i], i);
        if (status == TSLIM_OK) status = add_part(merged, parts[i]);
    }
    if (status != TSLIM_OK) {
        tslim_calibration_destroy(merged);
        return status;
    }
    *result = merged;
    return TSLIM_OK;
}
