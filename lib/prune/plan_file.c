// SPDX-License-Identifier: Apache-2.0
// Plans as JSON files: {"schema": "tinyslim.plan/1", "shapes", "before", "after", "groups": [{"name",
// "channels", "pruned": [indices], "note"}]}.
#include <inttypes.h>
#include <string.h>

#include "base/file.h"
#include "prune/json.h"
#include "prune/plan.h"

#define SCHEMA "tinyslim.plan/1"

static void add_totals(tsl_text *text, const char *name, const tslim_graph_totals *totals) {
    tsl_text_add(text,
        ",\n  \"%s\": {\"parameters\": %" PRIu64 ", \"parameter_bytes\": %" PRIu64 ", \"macs\": %" PRIu64 "}",
        name, totals->parameters, totals->parameter_bytes, totals->macs);
}

static void add_shapes(tsl_text *text, const tslim_prune_plan *plan) {
    tsl_text_add(text, ",\n  \"shapes\": [");
    for (uint32_t i = 0; i < plan->n_shapes; i++) {
        const tslim_input_shape *shape = &plan->shapes[i];
        tsl_text_add(text, "%s{\"name\": ", i ? ", " : "");
        if (shape->name)
            tsl_json_add_string(text, shape->name);
        else
            tsl_text_add(text, "null");
        tsl_text_add(text, ", \"dims\": [");
        for (uint32_t d = 0; d < shape->rank; d++)
            tsl_text_add(text, "%s%" PRId64, d ? ", " : "", shape->dims[d]);
        tsl_text_add(text, "]}");
    }
    tsl_text_add(text, "]");
}

static void add_groups(tsl_text *text, const tslim_prune_plan *plan) {
    tsl_text_add(text, ",\n  \"groups\": [");
    for (uint32_t g = 0; g < plan->groups->n_groups; g++) {
        const tsl_group *group = &plan->groups->groups[g];
        tsl_text_add(text, "%s\n    {\"name\": ", g ? "," : "");
        tsl_json_add_string(text, group->name);
        tsl_text_add(text, ", \"channels\": %u, \"pruned\": [", group->n_units);
        for (uint32_t i = 0; i < plan->n_pruned[g]; i++)
            tsl_text_add(text, "%s%u", i ? ", " : "", plan->pruned[g][i]);
        tsl_text_add(text, "], \"note\": ");
        tsl_json_add_string(text, plan->notes[g]);
        tsl_text_add(text, "}");
    }
    tsl_text_add(text, "\n  ]\n}\n");
}

tslim_status tslim_prune_plan_save_file(const tslim_prune_plan *plan, const char *path) {
    TSL_REQUIRE(plan && path, TSLIM_ERROR_INVALID_ARGUMENT, "plan or path is NULL");
    tsl_text text;
    tsl_text_init(&text, plan->ctx);
    tsl_text_add(&text, "{\n  \"schema\": \"" SCHEMA "\",\n  \"step\": ");
    tsl_json_add_string(&text, plan->description);
    add_shapes(&text, plan);
    add_totals(&text, "before", &plan->before);
    add_totals(&text, "after", &plan->after);
    add_groups(&text, plan);
    tslim_status status = tsl_text_status(&text);
    if (status == TSLIM_OK) status = tsl_file_write(plan->ctx, path, text.data, text.length);
    tsl_text_clear(&text);
    return status;
}

// ---- Loading ----

// Shapes for tsl_plan_new; names stay in the JSON tree.
static tslim_status read_shapes(
    const cJSON *root, tsl_arena *arena, tslim_input_shape **shapes, uint32_t *n_shapes) {
    const cJSON *list, *item, *dim;
    TSL_TRY(tsl_json_array(root, "shapes", &list, n_shapes));
    *shapes = tsl_arena_array(arena, (size_t)*n_shapes + 1, sizeof(**shapes));
    TSL_REQUIRE_MEMORY(*shapes, *n_shapes * sizeof(**shapes));
    tslim_input_shape *shape = *shapes;
    cJSON_ArrayForEach(item, list) {
        const cJSON *dims;
        TSL_TRY(tsl_json_array(item, "dims", &dims, &shape->rank));
        TSL_REQUIRE(shape->rank <= TSLIM_MAX_RANK, TSLIM_ERROR_BAD_FILE, "a shape of rank %u", shape->rank);
        shape->name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "name"));
        int64_t *next = shape->dims;
        cJSON_ArrayForEach(dim, dims) {
            TSL_REQUIRE(cJSON_IsNumber(dim) && dim->valuedouble >= 0 && dim->valuedouble < 1e15,
                TSLIM_ERROR_BAD_FILE, "a shape with a dim that is not a size");
            *next++ = (int64_t)dim->valuedouble;
        }
        shape++;
    }
    return TSLIM_OK;
}

static tslim_status read_group(tslim_prune_plan *plan, const cJSON *item, uint32_t g) {
    TSL_REQUIRE(g < plan->groups->n_groups, TSLIM_ERROR_INVALID_ARGUMENT,
        "the plan was made for another model: it has more than %u groups", plan->groups->n_groups);
    const tsl_group *group = &plan->groups->groups[g];
    const char *name, *note;
    uint64_t channels;
    uint32_t n_pruned;
    const cJSON *pruned, *index;
    TSL_TRY(tsl_json_string(item, "name", &name));
    TSL_TRY(tsl_json_string(item, "note", &note));
    TSL_TRY(tsl_json_count(item, "channels", UINT32_MAX, &channels));
    TSL_TRY(tsl_json_array(item, "pruned", &pruned, &n_pruned));
    TSL_REQUIRE(strcmp(name, group->name) == 0 && channels == group->n_units, TSLIM_ERROR_INVALID_ARGUMENT,
        "the plan was made for another model: group %u is '%s' of %" PRIu64 ", not '%s' of %u", g, name,
        channels, group->name, group->n_units);
    TSL_REQUIRE(n_pruned == 0 || !group->reason, TSLIM_ERROR_INVALID_ARGUMENT,
        "group '%s' cannot be pruned: %s", name, group->reason ? group->reason : "");
    cJSON_ArrayForEach(index, pruned) {
        double number = cJSON_IsNumber(index) ? index->valuedouble : -1;
        TSL_REQUIRE(number >= 0 && number < group->n_units && number == (double)(uint32_t)number,
            TSLIM_ERROR_BAD_FILE, "group '%s': a channel that is not one of its %u", name, group->n_units);
        plan->removed[group->units[(uint32_t)number]] = 1;
    }
    plan->notes[g] = tsl_arena_string(&plan->arena, note);
    TSL_REQUIRE_MEMORY(plan->notes[g], strlen(note));
    return TSLIM_OK;
}

static tslim_status read_groups(tslim_prune_plan *plan, const cJSON *root) {
    const cJSON *list, *item;
    const char *step;
    uint32_t count, g = 0;
    TSL_TRY(tsl_json_string(root, "step", &step));
    plan->description = tsl_arena_string(&plan->arena, step);
    TSL_REQUIRE_MEMORY(plan->description, strlen(step));
    TSL_TRY(tsl_json_array(root, "groups", &list, &count));
    TSL_REQUIRE(count == plan->groups->n_groups, TSLIM_ERROR_INVALID_ARGUMENT,
        "the plan was made for another model: it has %u groups, not %u", count, plan->groups->n_groups);
    cJSON_ArrayForEach(item, list) TSL_TRY(read_group(plan, item, g++));
    return TSLIM_OK;
}

tslim_status tslim_prune_plan_load_file(
    const tslim_graph *graph, const char *path, tslim_prune_plan **result) {
    TSL_REQUIRE(graph && path && result, TSLIM_ERROR_INVALID_ARGUMENT, "graph, path or plan is NULL");
    *result = NULL;
    cJSON *root = NULL;
    tslim_prune_plan *plan = NULL;
    tslim_input_shape *shapes;
    uint32_t n_shapes;
    tsl_arena arena;
    TSL_TRY(tsl_json_read_file(graph->ctx, path, SCHEMA, &root));
    tsl_arena_init(&arena, graph->ctx);
    tslim_status status = read_shapes(root, &arena, &shapes, &n_shapes);
    if (status == TSLIM_OK) status = tsl_plan_new(graph, shapes, n_shapes, &plan);
    if (status == TSLIM_OK) status = read_groups(plan, root);
    if (status == TSLIM_OK) status = tsl_plan_finish(plan, graph);
    cJSON_Delete(root);
    tsl_arena_clear(&arena);
    if (status != TSLIM_OK) {
        tslim_prune_plan_destroy(plan);
        return tsl_fail_prefix(status, "'%s'", path);
    }
    *result = plan;
    return TSLIM_OK;
}
