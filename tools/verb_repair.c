// SPDX-License-Identifier: Apache-2.0
// tinyslim repair: a pruned model made to do again what the original did, from unlabelled samples.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tool.h"

typedef struct repairing {
    struct tool tool;
    const char *output, *teacher, *method, *plan_file;
    tslim_repair_options options;
    uint64_t rounds, max_rows, memory_mb, batch;
    bool rounds_given;
    tslim_prune_plan *plan;
    cJSON *json, *layers;
    uint32_t repaired;
} repairing;

static void declare_options(repairing *r) {
    ADD_OPTIONS(&r->tool,
        {"--output", "-o", OPTION_TEXT, &r->output, "OUT", "an .onnx or .tslim file", 0, 0, NULL},
        {"--teacher", NULL, OPTION_TEXT, &r->teacher, "ORIGINAL", "the model before it was pruned", 0, 0,
            NULL},
        {"--method", NULL, OPTION_TEXT, &r->method, "M",
            "statistics, least-squares or both, with a comma (default: both)", 0, 0, NULL},
        {"--ridge", NULL, OPTION_REAL, &r->options.ridge, "R",
            "how strongly weights are held where they were (default: 0.001)", 0, 1e6, NULL},
        {"--rounds", NULL, OPTION_COUNT, &r->rounds, "N",
            "fits that let go of what a Relu cuts off (default: 5)", 0, 1000, &r->rounds_given},
        {"--rows", NULL, OPTION_COUNT, &r->max_rows, "N", "output pixels of each layer (default: 65536)", 1,
            1u << 30, NULL},
        {"--memory", NULL, OPTION_COUNT, &r->memory_mb, "MB", "for rows and equations (default: 1024)", 1,
            1u << 30, NULL},
        {"--batch", NULL, OPTION_COUNT, &r->batch, "N", "samples a run (default: 20)", 1, 65536, NULL},
        {"--plan", NULL, OPTION_TEXT, &r->plan_file, "PLAN.json",
            "of the pruning; needed where the model was changed since", 0, 0, NULL});
    add_data_options(&r->tool, false);
}

static tslim_status choose_methods(repairing *r) {
    if (!r->method) return TSLIM_OK;
    r->options.methods = 0;
    for (const char *word = r->method; *word;) {
        size_t length = strcspn(word, ",");
        if (length == 10 && strncmp(word, "statistics", length) == 0)
            r->options.methods |= TSLIM_REPAIR_STATISTICS;
        else if (length == 13 && strncmp(word, "least-squares", length) == 0)
            r->options.methods |= TSLIM_REPAIR_LEAST_SQUARES;
        else
            return tool_usage(&r->tool, "no method is called '%.*s'", (int)length, word);
        word += length + (word[length] == ',');
    }
    return r->options.methods ? TSLIM_OK : tool_usage(&r->tool, "--method names none");
}

static void on_layer(void *user, const tslim_repair_layer *layer) {
    repairing *r = user;
    const char *method = layer->method == TSLIM_REPAIR_STATISTICS ? "statistics" : "least-squares";
    r->repaired += layer->repaired;
    if (r->tool.json) {
        cJSON *item = json_append_object(r->layers);
        cJSON_AddStringToObject(item, "name", layer->name);
        cJSON_AddStringToObject(item, "operator", layer->op_type);
        cJSON_AddStringToObject(item, "method", method);
        cJSON_AddBoolToObject(item, "repaired", layer->repaired);
        cJSON_AddStringToObject(item, "reason", layer->reason);
        cJSON_AddStringToObject(item, "target", layer->target);
        json_add_count(item, "rows", layer->rows);
        json_add_real(item, "error_before", layer->error_before);
        json_add_real(item, "error_after", layer->error_after);
        return;
    }
    if (layer->repaired)
        printf("%-40s  %-13s  %8" PRIu64 "  %9.5f  %9.5f\n", layer->name, method, layer->rows,
            layer->error_before, layer->error_after);
    else
        printf("%-40s  %-13s  left as it is: %s\n", layer->name, method, layer->reason);
}

static tslim_status repair(repairing *r) {
    struct tool *tool = &r->tool;
    tslim_repair_options *o = &r->options;
    tslim_input_preparation preparation;
    if (r->rounds_given) o->rounds = (uint32_t)r->rounds;
    if (r->max_rows) o->max_rows = (uint32_t)r->max_rows;
    if (r->memory_mb) o->memory_bytes = r->memory_mb << 20;
    if (r->batch) o->batch = (uint32_t)r->batch;
    o->layer = on_layer;
    o->layer_user = r;
    o->progress = tool_progress;
    o->progress_user = tool;
    TRY(tool_load(tool, tool->positional.items[0], &tool->graph));
    TRY(tool_load(tool, r->teacher, &tool->other_graph));
    TRY(tool_open_data(tool, tool->graph, tool->other_graph, false));
    if (r->plan_file) TRY(tslim_prune_plan_load_file(tool->other_graph, r->plan_file, &r->plan));
    o->plan = r->plan;
    if (!tool->json) printf("%-40s  %-13s  %8s  %9s  %9s\n", "layer", "method", "rows", "error", "after");
    double start = seconds_now();
    TRY(tslim_repair(tool->graph, tool->other_graph, tool->dataset, o));
    tool_end_progress(tool);
    double seconds = seconds_now() - start;
    TRY(tool_preparation(tool, tool->graph, tool->other_graph, &preparation));
    TRY(tslim_graph_set_preparation(tool->graph, &preparation));
    TRY(tool_add_history(tool, tool->graph));
    TRY(tslim_graph_save_file(tool->graph, r->output, TSLIM_FORMAT_FROM_NAME));
    json_add_count(r->json, "samples", tslim_dataset_count(tool->dataset));
    json_add_real(r->json, "seconds", seconds);
    if (!tool->json)
        printf("%" PRIu32 " repairs from %" PRIu64 " samples in %.1f s: %s\n", r->repaired,
            tslim_dataset_count(tool->dataset), seconds, r->output);
    return TSLIM_OK;
}

static tslim_status work(repairing *r) {
    struct tool *tool = &r->tool;
    tslim_repair_options_init(&r->options);
    declare_options(r);
    TRY(tool_start(tool, 1, 1));
    if (!r->output) return tool_usage(tool, "-o is missing");
    if (!r->teacher) return tool_usage(tool, "--teacher is missing");
    TRY(choose_methods(r));
    r->json = json_create(tool);
    cJSON_AddStringToObject(r->json, "model", tool->positional.items[0]);
    cJSON_AddStringToObject(r->json, "teacher", r->teacher);
    cJSON_AddStringToObject(r->json, "output", r->output);
    r->layers = json_add_array(r->json, "layers");
    TRY(repair(r));
    if (!tool->json) return TSLIM_OK;
    cJSON *json = r->json;
    r->json = NULL;
    return json_print(tool, json);
}

static int run(const struct verb *verb, int argc, char **argv) {
    repairing r = {.tool = {.verb = verb, .argc = argc, .argv = argv}};
    tslim_status status = work(&r);
    tslim_prune_plan_destroy(r.plan);
    cJSON_Delete(r.json);
    return tool_finish(&r.tool, status);
}

const struct verb verb_repair = {"repair",
    "MODEL --teacher ORIGINAL --data D -o OUT [--method M] [--limit N]",
    "recovery of a pruned model without labels",
    "tinyslim repair pruned.onnx --teacher model.onnx --data images.npy --limit 500 -o repaired.onnx", run};
