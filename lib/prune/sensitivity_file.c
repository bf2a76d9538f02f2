// SPDX-License-Identifier: Apache-2.0
// Analyses as JSON files, and the joining of shards.
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"
#include "prune/json.h"
#include "prune/sensitivity_data.h"

#define SCHEMA "tinyslim.sensitivity/1"

static const char *const metric_names[] = {"top1", "top5", "loss", "distance"};

tslim_status tsl_sensitivity_new(
    tslim_context *ctx, uint32_t n_groups, uint32_t n_ratios, tslim_sensitivity **result) {
    tslim_sensitivity *s = tsl_allocate_zeroed(ctx, sizeof(*s));
    TSL_REQUIRE_MEMORY(s, sizeof(*s));
    s->ctx = tsl_context_retain(ctx);
    tsl_arena_init(&s->arena, ctx);
    s->n_groups = n_groups;
    s->n_ratios = n_ratios;
    s->baseline = NAN;
    s->model = "";
    size_t n_values;
    bool fits = tsl_mul_size(n_groups, n_ratios, &n_values);
    s->groups = tsl_arena_array(&s->arena, (size_t)n_groups + 1, sizeof(*s->groups));
    s->channels = tsl_arena_array(&s->arena, (size_t)n_groups + 1, sizeof(*s->channels));
    s->ratios = tsl_arena_array(&s->arena, (size_t)n_ratios + 1, sizeof(*s->ratios));
    s->values = fits ? tsl_arena_array(&s->arena, n_values + 1, sizeof(*s->values)) : NULL;
    if (!s->groups || !s->channels || !s->ratios || !s->values) {
        tslim_sensitivity_destroy(s);
        return tsl_no_memory(n_groups * sizeof(double));
    }
    for (size_t i = 0; i < n_values; i++) s->values[i] = NAN;
    *result = s;
    return TSLIM_OK;
}

void tslim_sensitivity_destroy(tslim_sensitivity *s) {
    if (!s) return;
    tslim_context *ctx = s->ctx;
    tsl_arena_clear(&s->arena);
    tsl_free(ctx, s, sizeof(*s));
    tsl_context_release(ctx);
}

// ---- Writing ----

static void add_numbers(tsl_text *text, const double *numbers, uint32_t count) {
    tsl_text_add(text, "[");
    for (uint32_t i = 0; i < count; i++) {
        if (i) tsl_text_add(text, ", ");
        tsl_json_add_number(text, numbers[i]);
    }
    tsl_text_add(text, "]");
}

tslim_status tsl_sensitivity_write(const tslim_sensitivity *s, const char *path) {
    tsl_text text;
    tsl_text_init(&text, s->ctx);
    tsl_text_add(&text,
        "{\n  \"schema\": \"" SCHEMA
        "\",\n  \"model\": \"%s\",\n  \"metric\": \"%s\",\n  \"criterion\": \"%s\",\n"
        "  \"seed\": \"%" PRIu64 "\",\n  \"samples\": %" PRIu64 ",\n  \"baseline\": ",
        s->model, metric_names[s->metric], tslim_criterion_name(s->criterion), s->seed, s->samples);
    tsl_json_add_number(&text, s->baseline);
    tsl_text_add(&text, ",\n  \"ratios\": ");
    add_numbers(&text, s->ratios, s->n_ratios);
    tsl_text_add(&text, ",\n  \"groups\": [");
    for (uint32_t g = 0; g < s->n_groups; g++) {
        tsl_text_add(&text, "%s\n    {\"name\": ", g ? "," : "");
        tsl_json_add_string(&text, s->groups[g]);
        tsl_text_add(&text, ", \"channels\": %u, \"values\": ", s->channels[g]);
        add_numbers(&text, s->values + (size_t)g * s->n_ratios, s->n_ratios);
        tsl_text_add(&text, "}");
    }
    tsl_text_add(&text, "\n  ]\n}\n");
    tslim_status status = tsl_text_status(&text);
    if (status == TSLIM_OK) status = tsl_file_write(s->ctx, path, text.data, text.length);
    tsl_text_clear(&text);
    return status;
}

tslim_status tslim_sensitivity_save_file(const tslim_sensitivity *sensitivity, const char *path) {
    TSL_REQUIRE(sensitivity && path, TSLIM_ERROR_INVALID_ARGUMENT, "sensitivity or path is NULL");
    return tsl_sensitivity_write(sensitivity, path);
}

// ---- Reading ----

static tslim_status read_numbers(const cJSON *list, bool null_allowed, double *numbers) {
    const cJSON *item;
    cJSON_ArrayForEach(item, list) {
        TSL_REQUIRE(cJSON_IsNumber(item) || (null_allowed && cJSON_IsNull(item)), TSLIM_ERROR_BAD_FILE,
            "a list holds something that is not a number");
        *numbers++ = cJSON_IsNumber(item) ? item->valuedouble : NAN;
    }
    return TSLIM_OK;
}

static tslim_status read_settings(const cJSON *root, tslim_sensitivity *s) {
    const char *model, *metric, *criterion, *seed;
    char *end;
    TSL_TRY(tsl_json_string(root, "model", &model));
    TSL_TRY(tsl_json_string(root, "metric", &metric));
    TSL_TRY(tsl_json_string(root, "criterion", &criterion));
    TSL_TRY(tsl_json_string(root, "seed", &seed));
    TSL_TRY(tsl_json_count(root, "samples", UINT64_C(1) << 53, &s->samples));
    unsigned m = 0;
    while (m < 4 && strcmp(metric, metric_names[m]) != 0) m++;
    TSL_REQUIRE(m < 4, TSLIM_ERROR_BAD_FILE, "no metric '%s'", metric);
    s->metric = (tslim_sensitivity_metric)m;
    if (tslim_criterion_from_name(criterion, &s->criterion) != TSLIM_OK)
        return tsl_fail(TSLIM_ERROR_BAD_FILE, "no criterion '%s'", criterion);
    s->seed = strtoull(seed, &end, 10);
    TSL_REQUIRE(*seed && !*end, TSLIM_ERROR_BAD_FILE, "seed '%s'", seed);
    for (const char *c = model; *c; c++)
        TSL_REQUIRE(strchr("0123456789abcdef", *c), TSLIM_ERROR_BAD_FILE, "\"model\" is not a digest");
    s->model = tsl_arena_string(&s->arena, model);
    TSL_REQUIRE_MEMORY(s->model, strlen(model));
    const cJSON *baseline = cJSON_GetObjectItemCaseSensitive(root, "baseline");
    s->baseline = cJSON_IsNumber(baseline) ? baseline->valuedouble : NAN;
    return TSLIM_OK;
}

static tslim_status read_analysis(tslim_context *ctx, const cJSON *root, tslim_sensitivity **result) {
    const cJSON *ratios, *groups, *item, *values;
    uint32_t n_ratios, n_groups, n_values, g = 0;
    TSL_TRY(tsl_json_array(root, "ratios", &ratios, &n_ratios));
    TSL_TRY(tsl_json_array(root, "groups", &groups, &n_groups));
    TSL_REQUIRE(n_ratios > 0, TSLIM_ERROR_BAD_FILE, "there are no ratios");
    TSL_TRY(tsl_sensitivity_new(ctx, n_groups, n_ratios, result));
    tslim_sensitivity *s = *result;
    TSL_TRY(read_settings(root, s));
    TSL_TRY(read_numbers(ratios, false, s->ratios));
    for (uint32_t r = 0; r < n_ratios; r++)
        TSL_REQUIRE(s->ratios[r] > (r ? s->ratios[r - 1] : 0) && s->ratios[r] < 1, TSLIM_ERROR_BAD_FILE,
            "the ratios do not rise between 0 and 1");
    cJSON_ArrayForEach(item, groups) {
        const char *name;
        uint64_t channels;
        TSL_TRY(tsl_json_string(item, "name", &name));
        TSL_TRY(tsl_json_count(item, "channels", UINT32_MAX, &channels));
        TSL_TRY(tsl_json_array(item, "values", &values, &n_values));
        TSL_REQUIRE(n_values == n_ratios, TSLIM_ERROR_BAD_FILE, "group '%s' has %u values for %u ratios",
            name, n_values, n_ratios);
        s->channels[g] = (uint32_t)channels;
        s->groups[g] = tsl_arena_string(&s->arena, name);
        TSL_REQUIRE_MEMORY(s->groups[g], strlen(name));
        TSL_TRY(read_numbers(values, true, s->values + (size_t)g++ * n_ratios));
    }
    return TSLIM_OK;
}

tslim_status tslim_sensitivity_load_file(
    tslim_context *context, const char *path, tslim_sensitivity **sensitivity) {
    TSL_REQUIRE(
        context && path && sensitivity, TSLIM_ERROR_INVALID_ARGUMENT, "context, path or sensitivity is NULL");
    *sensitivity = NULL;
    cJSON *root;
    tslim_sensitivity *result = NULL;
    TSL_TRY(tsl_json_read_file(context, path, SCHEMA, &root));
    tslim_status status = read_analysis(context, root, &result);
    cJSON_Delete(root);
    if (status != TSLIM_OK) {
        tslim_sensitivity_destroy(result);
        return tsl_fail_prefix(status, "'%s'", path);
    }
    *sensitivity = result;
    return TSLIM_OK;
}

// ---- Joining ----

static tslim_status check_same(const tslim_sensitivity *a, const tslim_sensitivity *b) {
    TSL_REQUIRE(strcmp(a->model, b->model) == 0, TSLIM_ERROR_INVALID_ARGUMENT,
        "the analyses are of models %s and %s", a->model, b->model);
    TSL_REQUIRE(a->metric == b->metric && a->criterion == b->criterion && a->seed == b->seed,
        TSLIM_ERROR_INVALID_ARGUMENT, "the analyses differ in metric (%s, %s), criterion (%s, %s) or seed",
        metric_names[a->metric], metric_names[b->metric], tslim_criterion_name(a->criterion),
        tslim_criterion_name(b->criterion));
    TSL_REQUIRE(a->samples == b->samples, TSLIM_ERROR_INVALID_ARGUMENT,
        "the analyses have %" PRIu64 " and %" PRIu64 " samples", a->samples, b->samples);
    TSL_REQUIRE(a->n_groups == b->n_groups && a->n_ratios == b->n_ratios &&
                    memcmp(a->ratios, b->ratios, a->n_ratios * sizeof(double)) == 0,
        TSLIM_ERROR_INVALID_ARGUMENT, "the analyses differ in groups (%u, %u) or ratios (%u, %u)",
        a->n_groups, b->n_groups, a->n_ratios, b->n_ratios);
    for (uint32_t g = 0; g < a->n_groups; g++)
        TSL_REQUIRE(strcmp(a->groups[g], b->groups[g]) == 0 && a->channels[g] == b->channels[g],
            TSLIM_ERROR_INVALID_ARGUMENT, "group %u is '%s' and '%s'", g, a->groups[g], b->groups[g]);
    return TSLIM_OK;
}

// A number that both have must be the same in both.
static tslim_status join(double *into, double from, const char *what) {
    if (isnan(from)) return TSLIM_OK;
    TSL_REQUIRE(isnan(*into) || *into == from, TSLIM_ERROR_INVALID_ARGUMENT,
        "the analyses disagree on %s: %.9g and %.9g", what, *into, from);
    *into = from;
    return TSLIM_OK;
}

static tslim_status join_parts(
    const tslim_sensitivity *const *parts, uint32_t n_parts, tslim_sensitivity *merged) {
    const tslim_sensitivity *first = parts[0];
    merged->metric = first->metric;
    merged->criterion = first->criterion;
    merged->seed = first->seed;
    merged->samples = first->samples;
    merged->model = tsl_arena_string(&merged->arena, first->model);
    TSL_REQUIRE_MEMORY(merged->model, 16);
    memcpy(merged->ratios, first->ratios, first->n_ratios * sizeof(double));
    for (uint32_t g = 0; g < first->n_groups; g++) {
        merged->channels[g] = first->channels[g];
        merged->groups[g] = tsl_arena_string(&merged->arena, first->groups[g]);
        TSL_REQUIRE_MEMORY(merged->groups[g], strlen(first->groups[g]));
    }
    for (uint32_t p = 0; p < n_parts; p++) {
        TSL_TRY(check_same(first, parts[p]));
        TSL_TRY(join(&merged->baseline, parts[p]->baseline, "the baseline"));
        for (size_t i = 0; i < (size_t)first->n_groups * first->n_ratios; i++)
            TSL_TRY(join(&merged->values[i], parts[p]->values[i], first->groups[i / first->n_ratios]));
    }
    return TSLIM_OK;
}

tslim_status tslim_sensitivity_merge(
    const tslim_sensitivity *const *parts, uint32_t n_parts, tslim_sensitivity **merged) {
    TSL_REQUIRE(
        parts && merged && n_parts > 0, TSLIM_ERROR_INVALID_ARGUMENT, "parts or merged is NULL, or no parts");
    *merged = NULL;
    for (uint32_t p = 0; p < n_parts; p++)
        TSL_REQUIRE(parts[p], TSLIM_ERROR_INVALID_ARGUMENT, "part %u is NULL", p);
    tslim_sensitivity *result;
    TSL_TRY(tsl_sensitivity_new(parts[0]->ctx, parts[0]->n_groups, parts[0]->n_ratios, &result));
    tslim_status status = join_parts(parts, n_parts, result);
    if (status != TSLIM_OK) {
        tslim_sensitivity_destroy(result);
        return status;
    }
    *merged = result;
    return TSLIM_OK;
}
