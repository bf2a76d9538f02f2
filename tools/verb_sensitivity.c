// SPDX-License-Identifier: Apache-2.0
// tinyslim sensitivity: what pruning each channel group costs, at each ratio.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

typedef struct analysis {
    struct tool tool;
    number_list ratios;
    const char *metric, *criterion, *shard, *output, *plot;
    text_list merge;
    uint64_t batch;
    tslim_sensitivity *result;
} analysis;

static tslim_status choose_metric(analysis *a, tslim_sensitivity_metric *metric) {
    static const char *const names[] = {"top1", "top5", "loss", "distance"};
    if (!a->metric) {
        *metric = a->tool.data.labels ? TSLIM_SENSITIVITY_TOP1 : TSLIM_SENSITIVITY_DISTANCE;
        return TSLIM_OK;
    }
    for (int i = 0; i < 4; ++i) {
        if (strcmp(a->metric, names[i]) != 0) continue;
        *metric = (tslim_sensitivity_metric)i;
        if (*metric != TSLIM_SENSITIVITY_DISTANCE && !a->tool.data.labels) {
            return tool_usage(&a->tool, "--metric %s needs --labels", a->metric);
        }
        return TSLIM_OK;
    }
    return tool_usage(&a->tool, "--metric takes top1, top5, loss or distance, not '%s'", a->metric);
}

static tslim_status analyze(analysis *a) {
    struct tool *tool = &a->tool;
    tslim_sensitivity_options options;
    tslim_sensitivity_options_init(&options);
    TRY(choose_metric(a, &options.metric));
    if (a->criterion && tslim_criterion_from_name(a->criterion, &options.criterion) != TSLIM_OK) {
        return tool_usage(tool, "no criterion is called '%s'", a->criterion);
    }
    if (a->ratios.count > 0) {
        options.ratios = a->ratios.items;
        options.n_ratios = (uint32_t)a->ratios.count;
    }
    if (a->shard && !parse_part(a->shard, &options.shard, &options.n_shards)) {
        return tool_usage(tool, "--shard takes I/N with I from 1 to N, not '%s'", a->shard);
    }
    options.batch = (uint32_t)a->batch;
    options.seed = tool->seed;
    options.file = a->output;
    options.shapes = tool->shapes;
    options.n_shapes = tool->n_shapes;
    options.progress = tool_progress;
    options.progress_user = tool;
    TRY(tool_load(tool, tool->positional.items[0], &tool->graph));
    TRY(tool_open_data(tool, tool->graph, NULL, false));
    TRY(tslim_sensitivity_analyze(tool->graph, tool->dataset, &options, &a->result));
    tool_end_progress(tool);
    return TSLIM_OK;
}

static tslim_status merge(analysis *a) {
    struct tool *tool = &a->tool;
    size_t count = a->merge.count;
    tslim_sensitivity **parts = calloc(count, sizeof *parts);
    tslim_status status = parts ? TSLIM_OK : tool_error(tool, TSLIM_ERROR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < count && status == TSLIM_OK; ++i) {
        status = tslim_sensitivity_load_file(tool->context, a->merge.items[i], &parts[i]);
    }
    if (status == TSLIM_OK) {
        status =
            tslim_sensitivity_merge((const tslim_sensitivity *const *)parts, (uint32_t)count, &a->result);
    }
    for (size_t i = 0; i < count && parts; ++i) tslim_sensitivity_destroy(parts[i]);
    free(parts);
    TRY(status);
    return tslim_sensitivity_save_file(a->result, a->output);
}

static tslim_status print_as_json(analysis *a) {
    const tslim_sensitivity *s = a->result;
    cJSON *json = json_create(&a->tool);
    cJSON_AddStringToObject(json, "file", a->output);
    json_add_real(json, "baseline", tslim_sensitivity_baseline(s));
    cJSON *ratios = json_add_array(json, "ratios"), *groups = json_add_array(json, "groups");
    for (uint32_t r = 0; r < tslim_sensitivity_ratio_count(s); ++r) {
        cJSON_AddItemToArray(ratios, cJSON_CreateNumber(tslim_sensitivity_ratio(s, r)));
    }
    for (uint32_t g = 0; g < tslim_sensitivity_group_count(s); ++g) {
        cJSON *item = json_append_object(groups);
        cJSON_AddStringToObject(item, "name", tslim_sensitivity_group_name(s, g));
        cJSON *values = json_add_array(item, "values");
        for (uint32_t r = 0; r < tslim_sensitivity_ratio_count(s); ++r) {
            double value = tslim_sensitivity_value(s, g, r);
            cJSON_AddItemToArray(values, isfinite(value) ? cJSON_CreateNumber(value) : cJSON_CreateNull());
        }
    }
    return json_print(&a->tool, json);
}

static tslim_status print_result(analysis *a) {
    const tslim_sensitivity *s = a->result;
    if (a->tool.json) return print_as_json(a);
    printf("%-40s  ", "channel group");
    for (uint32_t r = 0; r < tslim_sensitivity_ratio_count(s); ++r)
        printf("  %7g", tslim_sensitivity_ratio(s, r));
    printf("\n%-40s  %9.4f\n", "(whole)", tslim_sensitivity_baseline(s));
    for (uint32_t g = 0; g < tslim_sensitivity_group_count(s); ++g) {
        printf("%-40s  ", tslim_sensitivity_group_name(s, g));
        for (uint32_t r = 0; r < tslim_sensitivity_ratio_count(s); ++r) {
            double value = tslim_sensitivity_value(s, g, r);
            isnan(value) ? printf("  %7s", "-") : printf("  %7.4f", value);
        }
        putchar('\n');
    }
    return TSLIM_OK;
}

static tslim_status work(analysis *a) {
    struct tool *tool = &a->tool;
    ADD_OPTIONS(tool,
        {"--output", "-o", OPTION_TEXT, &a->output, "SENS.json", "the result; resumed from if it exists", 0,
            0, NULL},
        {"--ratios", NULL, OPTION_NUMBERS, &a->ratios, "R,R...",
            "ascending, in (0, 1) (default: 0.1,0.3,0.5,0.7,0.9)", 0, 0, NULL},
        {"--metric", NULL, OPTION_TEXT, &a->metric, "M",
            "top1, top5, loss, or distance of the outputs (default without labels)", 0, 0, NULL},
        {"--criterion", NULL, OPTION_TEXT, &a->criterion, "C",
            "l1, l2, bn-scale, fpgm, random or reconstruction (default: l1)", 0, 0, NULL},
        {"--batch", NULL, OPTION_COUNT, &a->batch, "N", "samples a run", 1, 65536, NULL},
        {"--shard", NULL, OPTION_TEXT, &a->shard, "I/N", "only each N-th point, from the I-th", 0, 0, NULL},
        {"--merge", NULL, OPTION_TEXTS, &a->merge, "A B...", "join the files of shards; no MODEL then", 0, 0,
            NULL},
        {"--plot", NULL, OPTION_TEXT, &a->plot, "OUT.svg", "the curves", 0, 0, NULL});
    add_data_options(tool, true);
    TRY(tool_start(tool, 0, 1));
    if (!a->output) return tool_usage(tool, "-o is missing");
    bool merging = a->merge.count > 0;
    if (merging && tool->positional.count) return tool_usage(tool, "--merge takes no MODEL");
    if (!merging && !tool->positional.count) return tool_usage(tool, "MODEL is missing");
    TRY(merging ? merge(a) : analyze(a));
    if (a->plot) TRY(tslim_sensitivity_save_plot(a->result, a->plot));
    return print_result(a);
}

static int run(const struct verb *verb, int argc, char **argv) {
    analysis a = {.tool = {.verb = verb, .argc = argc, .argv = argv}};
    tslim_status status = work(&a);
    tslim_sensitivity_destroy(a.result);
    return tool_finish(&a.tool, status);
}

const struct verb verb_sensitivity = {"sensitivity",
    "MODEL --data D [--labels L] -o SENS.json [--ratios R,R...] | --merge A B... -o SENS.json",
    "what pruning each channel group costs",
    "tinyslim sensitivity model.onnx --data val.npy --labels val-labels.npy -o sens.json --plot sens.svg",
    run};
