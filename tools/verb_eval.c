// SPDX-License-Identifier: Apache-2.0
// tinyslim eval: metrics on labelled data.
#include <inttypes.h>
#include <stdio.h>

#include "metrics.h"

typedef struct evaluating {
    struct tool tool;
    const char *metric_names;
    double minimum;
    bool minimum_given;
    uint64_t batch;
} evaluating;

static tslim_status print_as_json(
    evaluating *e, const struct metric *metrics, size_t count, const tslim_metrics *values) {
    cJSON *json = json_create(&e->tool);
    cJSON_AddStringToObject(json, "model", e->tool.positional.items[0]);
    json_add_count(json, "samples", values->samples);
    for (size_t i = 0; i < count; ++i)
        json_add_real(json, metrics[i].name, metric_value(&metrics[i], values));
    if (e->minimum_given) cJSON_AddBoolToObject(json, "pass", !e->tool.does_not_hold);
    return json_print(&e->tool, json);
}

static tslim_status work(evaluating *e) {
    struct tool *tool = &e->tool;
    e->metric_names = "top1";
    ADD_OPTIONS(tool,
        {"--metric", NULL, OPTION_TEXT, &e->metric_names, "M,M...",
            "top1, top5, precision, recall, f1, loss (default: top1)", 0, 0, NULL},
        {"--min", NULL, OPTION_REAL, &e->minimum, "V", "exit 1 when the first metric is below", 0, 0,
            &e->minimum_given},
        {"--batch", NULL, OPTION_COUNT, &e->batch, "N", "samples a run", 1, 65536, NULL});
    add_data_options(tool, true);
    TRY(tool_start(tool, 1, 1));
    struct metric metrics[MAX_METRICS];
    size_t count;
    TRY(parse_metrics(tool, e->metric_names, metrics, &count));
    TRY(tool_load(tool, tool->positional.items[0], &tool->graph));
    TRY(tool_open_data(tool, tool->graph, NULL, true));
    tslim_metrics values;
    TRY(evaluate(tool, tool->graph, e->batch, &values));
    tool->does_not_hold = e->minimum_given && !(metric_value(&metrics[0], &values) >= e->minimum);
    if (tool->json) return print_as_json(e, metrics, count, &values);
    printf("%-10s  %" PRIu64 "\n", "samples", values.samples);
    for (size_t i = 0; i < count; ++i)
        printf("%-10s  %.6g\n", metrics[i].name, metric_value(&metrics[i], &values));
    return TSLIM_OK;
}

static int run(const struct verb *verb, int argc, char **argv) {
    evaluating e = {.tool = {.verb = verb, .argc = argc, .argv = argv}};
    return tool_finish(&e.tool, work(&e));
}

const struct verb verb_eval = {"eval", "MODEL --data D --labels L [--metric top1,f1] [--min V] [--json]",
    "metrics on labelled data",
    "tinyslim eval model.tslim --data val.npy --labels val-labels.npy --metric top1,top5", run};
