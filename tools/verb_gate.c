// SPDX-License-Identifier: Apache-2.0
// tinyslim gate: does a model keep what its original can? For continuous integration.
#include <inttypes.h>
#include <stdio.h>

#include "metrics.h"

typedef struct gating {
    struct tool tool;
    const char *baseline, *metric_names;
    double max_drop;
    bool max_drop_given;
    uint64_t batch;
} gating;

// How much worse the model is; below 0 where it is better.
static double drop_of(
    const struct metric *metric, const tslim_metrics *baseline, const tslim_metrics *model) {
    double drop = metric_value(metric, baseline) - metric_value(metric, model);
    return metric->lower_is_better ? -drop : drop;
}

static tslim_status print_result(gating *g, const struct metric *metrics, size_t count,
    const tslim_metrics *baseline, const tslim_metrics *model) {
    struct tool *tool = &g->tool;
    cJSON *json = json_create(tool);
    cJSON_AddStringToObject(json, "model", tool->positional.items[0]);
    cJSON_AddStringToObject(json, "baseline", g->baseline);
    json_add_count(json, "samples", model->samples);
    json_add_real(json, "max_drop", g->max_drop);
    cJSON *list = json_add_array(json, "metrics");
    for (size_t i = 0; i < count; ++i) {
        double drop = drop_of(&metrics[i], baseline, model);
        bool holds = drop <= g->max_drop;
        tool->does_not_hold = tool->does_not_hold || !holds;
        cJSON *item = json_append_object(list);
        cJSON_AddStringToObject(item, "metric", metrics[i].name);
        json_add_real(item, "baseline", metric_value(&metrics[i], baseline));
        json_add_real(item, "model", metric_value(&metrics[i], model));
        json_add_real(item, "drop", drop);
        cJSON_AddBoolToObject(item, "pass", holds);
        if (!tool->json) {
            printf("%-10s  baseline %.6g, model %.6g, drop %.6g: %s\n", metrics[i].name,
                metric_value(&metrics[i], baseline), metric_value(&metrics[i], model), drop,
                holds ? "within the limit" : "over the limit");
        }
    }
    cJSON_AddBoolToObject(json, "pass", !tool->does_not_hold);
    if (tool->json) return json_print(tool, json);
    cJSON_Delete(json);
    return TSLIM_OK;
}

static tslim_status work(gating *g) {
    struct tool *tool = &g->tool;
    g->metric_names = "top1";
    ADD_OPTIONS(tool,
        {"--baseline", NULL, OPTION_TEXT, &g->baseline, "B", "the model to compare with", 0, 0, NULL},
        {"--metric", NULL, OPTION_TEXT, &g->metric_names, "M,M...",
            "top1, top5, precision, recall, f1, loss (default: top1)", 0, 0, NULL},
        {"--max-drop", NULL, OPTION_REAL, &g->max_drop, "D", "the largest fall allowed, 0.02 for two points",
            0, 0, &g->max_drop_given},
        {"--batch", NULL, OPTION_COUNT, &g->batch, "N", "samples a run", 1, 65536, NULL});
    add_data_options(tool, true);
    TRY(tool_start(tool, 1, 1));
    if (!g->baseline) return tool_usage(tool, "--baseline is missing");
    if (!g->max_drop_given) return tool_usage(tool, "--max-drop is missing");
    struct metric metrics[MAX_METRICS];
    size_t count;
    TRY(parse_metrics(tool, g->metric_names, metrics, &count));
    TRY(tool_load(tool, tool->positional.items[0], &tool->graph));
    TRY(tool_load(tool, g->baseline, &tool->other_graph));
    TRY(tool_open_data(tool, tool->graph, tool->other_graph, true));
    tslim_metrics model, baseline;
    TRY(evaluate(tool, tool->other_graph, g->batch, &baseline));
    TRY(evaluate(tool, tool->graph, g->batch, &model));
    return print_result(g, metrics, count, &baseline, &model);
}

static int run(const struct verb *verb, int argc, char **argv) {
    gating g = {.tool = {.verb = verb, .argc = argc, .argv = argv}};
    return tool_finish(&g.tool, work(&g));
}

const struct verb verb_gate = {"gate",
    "MODEL --baseline B --data D --labels L --max-drop D [--metric top1] [--json]",
    "exit 1 when a model is worse than its baseline by more than a limit",
    "tinyslim gate model.tslim --baseline model.onnx --data val.npy --labels val-labels.npy --max-drop 0.02",
    run};
