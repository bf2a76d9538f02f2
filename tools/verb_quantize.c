// SPDX-License-Identifier: Apache-2.0
// tinyslim quantize: from float to INT8, with a note for each node that stays in float.
#include <inttypes.h>
#include <stdio.h>

#include "tool.h"

typedef struct quantizing {
    struct tool tool;
    const char *calibration_file, *output, *method;
    double percentile;
    text_list exclude;
    tslim_calibration *calibration;
    cJSON *json, *nodes;
    uint32_t n_int8, n_float;
    bool symmetric, equalize, keep_channels, correct_biases, keep_biases;
} quantizing;

static void on_note(void *user, const tslim_quantize_note *note) {
    quantizing *q = user;
    bool int8 = note->precision == TSLIM_DTYPE_INT8;
    q->n_int8 += int8;
    q->n_float += !int8;
    cJSON *item = json_append_object(q->nodes);
    cJSON_AddStringToObject(item, "node", note->node);
    cJSON_AddStringToObject(item, "op", note->op_type);
    cJSON_AddStringToObject(item, "precision", tslim_dtype_name(note->precision));
    cJSON_AddStringToObject(item, "reason", note->reason);
    if (!int8 && !q->tool.json && !q->tool.quiet) {
        printf("%s  %s  stays in float: %s\n", note->node, note->op_type, note->reason);
    }
}

static tslim_status quantize(quantizing *q) {
    struct tool *tool = &q->tool;
    tslim_quantize_options options;
    tslim_quantize_options_init(&options);
    options.exclude = q->exclude.items;
    options.n_exclude = (uint32_t)q->exclude.count;
    options.symmetric = q->symmetric;
    options.keep_channels = q->keep_channels;
    options.keep_biases = q->keep_biases;
    // Flags go over what the model's file or the calibration says; without any the calibration's own is
    // taken.
    tslim_input_preparation preparation;
    TRY(tool_preparation(tool, tool->graph, NULL, &preparation));
    if (preparation.scale != 0) TRY(tslim_graph_set_preparation(tool->graph, &preparation));
    TRY(tslim_quantize(tool->graph, q->calibration, &options, on_note, q));
    TRY(tool_add_history(tool, tool->graph));
    return tslim_graph_save_file(tool->graph, q->output, TSLIM_FORMAT_FROM_NAME);
}

static tslim_status print_result(quantizing *q) {
    struct tool *tool = &q->tool;
    uint64_t before = file_bytes(tool->positional.items[0]), after = file_bytes(q->output);
    if (!tool->json) {
        printf("%" PRIu32 " nodes in INT8, %" PRIu32 " in float; %" PRIu64 " bytes of %" PRIu64 ": %s\n",
            q->n_int8, q->n_float, after, before, q->output);
        return TSLIM_OK;
    }
    cJSON *json = q->json;
    q->json = NULL;
    return json_print(tool, json);
}

static tslim_status work(quantizing *q) {
    struct tool *tool = &q->tool;
    q->percentile = 99.99;
    ADD_OPTIONS(tool, {"--output", "-o", OPTION_TEXT, &q->output, "OUT.tslim", "the INT8 model", 0, 0, NULL},
        {"--calibration", NULL, OPTION_TEXT, &q->calibration_file, "CALIB.json",
            "what 'tinyslim calibrate' found", 0, 0, NULL},
        {"--method", NULL, OPTION_TEXT, &q->method, "M", "another method than it was calibrated with", 0, 0,
            NULL},
        {"--percentile", NULL, OPTION_REAL, &q->percentile, "P", "for that method (default: 99.99)", 50, 100,
            NULL},
        {"--exclude", NULL, OPTION_TEXTS, &q->exclude, "NAME...", "nodes that stay in float", 0, 0, NULL},
        {"--symmetric", NULL, OPTION_SWITCH, &q->symmetric, NULL, "no zero points", 0, 0, NULL},
        {"--equalize", NULL, OPTION_SWITCH, &q->equalize, NULL,
            "bring the channels of a value to one range, where that helps (the default)", 0, 0, NULL},
        {"--no-equalize", NULL, OPTION_SWITCH, &q->keep_channels, NULL, "leave channels as they are", 0, 0,
            NULL},
        {"--bias-correction", NULL, OPTION_SWITCH, &q->correct_biases, NULL,
            "biases take back what rounded weights add on average (the default)", 0, 0, NULL},
        {"--no-bias-correction", NULL, OPTION_SWITCH, &q->keep_biases, NULL, "leave biases as they are", 0, 0,
            NULL});
    add_preparation_options(tool);
    TRY(tool_start(tool, 1, 1));
    if (!q->calibration_file) return tool_usage(tool, "--calibration is missing");
    if (!q->output) return tool_usage(tool, "-o is missing");
    if (q->equalize && q->keep_channels) {
        return tool_usage(tool, "--equalize and --no-equalize exclude each other");
    }
    if (q->correct_biases && q->keep_biases) {
        return tool_usage(tool, "--bias-correction and --no-bias-correction exclude each other");
    }
    tslim_calibration_method method;
    if (q->method && tslim_calibration_method_from_name(q->method, &method) != TSLIM_OK) {
        return tool_usage(tool, "no method is called '%s'", q->method);
    }
    TRY(tool_load(tool, tool->positional.items[0], &tool->graph));
    TRY(tslim_calibration_load_file(tool->context, q->calibration_file, &q->calibration));
    if (q->method) TRY(tslim_calibration_set_method(q->calibration, method, q->percentile));
    q->json = json_create(tool);
    cJSON_AddStringToObject(q->json, "model", tool->positional.items[0]);
    cJSON_AddStringToObject(q->json, "output", q->output);
    cJSON *counts = cJSON_AddObjectToObject(q->json, "nodes_by_precision");
    q->nodes = json_add_array(q->json, "nodes");
    TRY(quantize(q));
    json_add_count(counts, "int8", q->n_int8);
    json_add_count(counts, "float32", q->n_float);
    json_add_count(q->json, "file_bytes_before", file_bytes(tool->positional.items[0]));
    json_add_count(q->json, "file_bytes", file_bytes(q->output));
    return print_result(q);
}

static int run(const struct verb *verb, int argc, char **argv) {
    quantizing q = {.tool = {.verb = verb, .argc = argc, .argv = argv}};
    tslim_status status = work(&q);
    tslim_calibration_destroy(q.calibration);
    cJSON_Delete(q.json);
    return tool_finish(&q.tool, status);
}

const struct verb verb_quantize = {"quantize",
    "MODEL --calibration CALIB.json -o OUT.tslim [--exclude NAME...]", "an INT8 model",
    "tinyslim quantize model.onnx --calibration calib.json -o model.tslim", run};
