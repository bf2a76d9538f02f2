// SPDX-License-Identifier: Apache-2.0
// tinyslim calibrate: the range of every value, from data.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tool.h"

typedef struct calibrating {
    struct tool tool;
    const char *output, *method, *shard;
    double percentile;
    uint64_t batch, costs;
    text_list merge;
    tslim_calibration *result;
} calibrating;

static tslim_status calibrate(calibrating *c, tslim_calibration_options *options) {
    struct tool *tool = &c->tool;
    if (c->shard && !parse_part(c->shard, &options->shard, &options->n_shards)) {
        return tool_usage(tool, "--shard takes I/N with I from 1 to N, not '%s'", c->shard);
    }
    options->batch = (uint32_t)c->batch;
    options->shapes = tool->shapes;
    options->n_shapes = tool->n_shapes;
    options->progress = tool_progress;
    options->progress_user = tool;
    TRY(tool_load(tool, tool->positional.items[0], &tool->graph));
    TRY(tool_open_data(tool, tool->graph, NULL, false));
    // The calibration takes the preparation along, so that quantize can put it into its file.
    tslim_input_preparation preparation;
    TRY(tool_preparation(tool, tool->graph, NULL, &preparation));
    TRY(tslim_graph_set_preparation(tool->graph, &preparation));
    TRY(tslim_calibrate(tool->graph, tool->dataset, options, &c->result));
    tool_end_progress(tool);
    // A shard has seen too little of the data to say what matters.
    if (c->shard || c->costs == 0) return TSLIM_OK;
    TRY(tslim_calibration_measure_costs(
        c->result, tool->graph, tool->dataset, c->costs, tool_progress, tool));
    tool_end_progress(tool);
    return TSLIM_OK;
}

static tslim_status merge(calibrating *c) {
    struct tool *tool = &c->tool;
    size_t count = c->merge.count;
    tslim_calibration **parts = calloc(count, sizeof *parts);
    tslim_status status = parts ? TSLIM_OK : tool_error(tool, TSLIM_ERROR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < count && status == TSLIM_OK; ++i) {
        status = tslim_calibration_load_file(tool->context, c->merge.items[i], &parts[i]);
    }
    if (status == TSLIM_OK) {
        status =
            tslim_calibration_merge((const tslim_calibration *const *)parts, (uint32_t)count, &c->result);
    }
    for (size_t i = 0; i < count && parts; ++i) tslim_calibration_destroy(parts[i]);
    free(parts);
    return status;
}

static tslim_status print_result(calibrating *c) {
    struct tool *tool = &c->tool;
    uint64_t samples = tslim_calibration_samples(c->result);
    uint32_t values = tslim_calibration_value_count(c->result);
    if (!tool->json) {
        printf("%" PRIu32 " values over %" PRIu64 " samples: %s\n", values, samples, c->output);
        return TSLIM_OK;
    }
    cJSON *json = json_create(tool);
    cJSON_AddStringToObject(json, "file", c->output);
    json_add_count(json, "samples", samples);
    cJSON *list = json_add_array(json, "values");
    for (uint32_t i = 0; i < values; ++i) {
        float minimum, maximum;
        const char *name = tslim_calibration_value_name(c->result, i);
        cJSON *item = json_append_object(list);
        cJSON_AddStringToObject(item, "name", name);
        tslim_status status = tslim_calibration_range(c->result, name, &minimum, &maximum);
        if (status != TSLIM_OK) {
            cJSON_Delete(json);
            return status;
        }
        json_add_real(item, "min", minimum);
        json_add_real(item, "max", maximum);
    }
    return json_print(tool, json);
}

static tslim_status work(calibrating *c) {
    struct tool *tool = &c->tool;
    tslim_calibration_options options;
    tslim_calibration_options_init(&options);
    c->costs = 8;
    ADD_OPTIONS(tool, {"--output", "-o", OPTION_TEXT, &c->output, "CALIB.json", "the result", 0, 0, NULL},
        {"--method", NULL, OPTION_TEXT, &c->method, "M",
            "minmax, moving-average, percentile, entropy or mse (default: mse)", 0, 0, NULL},
        {"--percentile", NULL, OPTION_REAL, &options.percentile, "P", "for that method (default: 99.99)", 50,
            100, NULL},
        {"--batch", NULL, OPTION_COUNT, &c->batch, "N", "samples a run", 1, 65536, NULL},
        {"--costs", NULL, OPTION_COUNT, &c->costs, "N",
            "samples over which each product's loss in INT8 is measured; 0: none (default: 8)", 0, 65536,
            NULL},
        {"--shard", NULL, OPTION_TEXT, &c->shard, "I/N", "only each N-th batch, from the I-th", 0, 0, NULL},
        {"--merge", NULL, OPTION_TEXTS, &c->merge, "A B...", "join the files of shards; no MODEL then", 0, 0,
            NULL});
    add_data_options(tool, false);
    TRY(tool_start(tool, 0, 1));
    if (!c->output) return tool_usage(tool, "-o is missing");
    bool merging = c->merge.count > 0;
    if (merging && tool->positional.count) return tool_usage(tool, "--merge takes no MODEL");
    if (!merging && !tool->positional.count) return tool_usage(tool, "MODEL is missing");
    if (c->method && tslim_calibration_method_from_name(c->method, &options.method) != TSLIM_OK) {
        return tool_usage(tool, "no method is called '%s'", c->method);
    }
    TRY(merging ? merge(c) : calibrate(c, &options));
    TRY(tslim_calibration_save_file(c->result, c->output));
    return print_result(c);
}

static int run(const struct verb *verb, int argc, char **argv) {
    calibrating c = {.tool = {.verb = verb, .argc = argc, .argv = argv}};
    tslim_status status = work(&c);
    tslim_calibration_destroy(c.result);
    return tool_finish(&c.tool, status);
}

const struct verb verb_calibrate = {"calibrate",
    "MODEL --data D -o CALIB.json [--limit N] [--method M] | --merge A B... -o CALIB.json",
    "ranges of every value, from data",
    "tinyslim calibrate model.onnx --data images/ --size 224x224 --scale 0.00392 --limit 1000 -o calib.json",
    run};
