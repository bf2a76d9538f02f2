// SPDX-License-Identifier: Apache-2.0
// tinyslim convert and tinyslim export: the same model in another kind of file.
#include <inttypes.h>
#include <stdio.h>

#include "tool.h"

typedef struct converting {
    struct tool tool;
    const char *output;
    bool qdq;
} converting;

static bool is_quantized(const tslim_graph *graph) {
    for (uint32_t n = 0; n < tslim_graph_node_count(graph); ++n) {
        tslim_node_info info = {.struct_size = sizeof info};
        if (tslim_graph_node_info(graph, n, &info) == TSLIM_OK && info.precision == TSLIM_DTYPE_INT8)
            return true;
    }
    return false;
}

static tslim_status print_result(converting *c) {
    struct tool *tool = &c->tool;
    uint64_t bytes = file_bytes(c->output);
    if (!tool->json) {
        printf("%s  %" PRIu64 " bytes\n", c->output, bytes);
        return TSLIM_OK;
    }
    cJSON *json = json_create(tool);
    cJSON_AddStringToObject(json, "model", tool->positional.items[0]);
    cJSON_AddStringToObject(json, "output", c->output);
    json_add_count(json, "file_bytes", bytes);
    return json_print(tool, json);
}

static tslim_status start(converting *c) {
    struct tool *tool = &c->tool;
    TRY(tool_start(tool, 1, 1));
    if (!c->output) return tool_usage(tool, "-o is missing");
    return tool_load(tool, tool->positional.items[0], &tool->graph);
}

static tslim_status export_work(converting *c) {
    struct tool *tool = &c->tool;
    ADD_OPTIONS(tool, {"--output", "-o", OPTION_TEXT, &c->output, "OUT.onnx", "the ONNX file", 0, 0, NULL},
        {"--qdq", NULL, OPTION_SWITCH, &c->qdq, NULL,
            "a quantized model, with QuantizeLinear and DequantizeLinear", 0, 0, NULL});
    TRY(start(c));
    bool quantized = is_quantized(tool->graph);
    if (quantized && !c->qdq) return tool_usage(tool, "the model is quantized: export it with --qdq");
    if (!quantized && c->qdq)
        return tool_usage(tool, "the model is not quantized: --qdq has nothing to write");
    TRY(tslim_graph_save_file(tool->graph, c->output, TSLIM_FORMAT_ONNX));
    return print_result(c);
}

static tslim_status convert_work(converting *c) {
    struct tool *tool = &c->tool;
    tslim_input_preparation preparation;
    ADD_OPTIONS(tool, {"--output", "-o", OPTION_TEXT, &c->output, "OUT.tslim",
                          "the file, with packed weights", 0, 0, NULL});
    add_preparation_options(tool);
    TRY(start(c));
    TRY(tool_preparation(tool, tool->graph, NULL, &preparation));
    TRY(tslim_graph_set_preparation(tool->graph, &preparation));
    TRY(tslim_graph_optimize(tool->graph));
    TRY(tool_add_history(tool, tool->graph));
    TRY(tslim_graph_save_file(tool->graph, c->output, TSLIM_FORMAT_TSLIM));
    return print_result(c);
}

static int run_export(const struct verb *verb, int argc, char **argv) {
    converting c = {.tool = {.verb = verb, .argc = argc, .argv = argv}};
    return tool_finish(&c.tool, export_work(&c));
}

static int run_convert(const struct verb *verb, int argc, char **argv) {
    converting c = {.tool = {.verb = verb, .argc = argc, .argv = argv}};
    return tool_finish(&c.tool, convert_work(&c));
}

const struct verb verb_export = {"export", "MODEL -o OUT.onnx [--qdq]", "an ONNX file, for other runtimes",
    "tinyslim export model.tslim --qdq -o model-int8.onnx", run_export};

const struct verb verb_convert = {"convert", "MODEL -o OUT.tslim", "a float .tslim file with packed weights",
    "tinyslim convert model.onnx -o model.tslim", run_convert};
