// SPDX-License-Identifier: Apache-2.0
// tinyslim restore-batchnorm: BatchNormalization back behind the convolutions that it was folded into.
#include <inttypes.h>
#include <stdio.h>

#include "tool.h"

typedef struct restoring {
    struct tool tool;
    const char *output;
} restoring;

static tslim_status print_result(restoring *r, uint32_t restored) {
    struct tool *tool = &r->tool;
    if (!tool->json) {
        printf("%" PRIu32 " BatchNormalization nodes from %" PRIu64 " samples: %s\n", restored,
            tslim_dataset_count(tool->dataset), r->output);
        return TSLIM_OK;
    }
    cJSON *json = json_create(tool);
    cJSON_AddStringToObject(json, "model", tool->positional.items[0]);
    cJSON_AddStringToObject(json, "output", r->output);
    json_add_count(json, "samples", tslim_dataset_count(tool->dataset));
    json_add_count(json, "restored", restored);
    return json_print(tool, json);
}

static tslim_status work(restoring *r) {
    struct tool *tool = &r->tool;
    tslim_input_preparation preparation;
    uint32_t restored = 0;
    ADD_OPTIONS(
        tool, {"--output", "-o", OPTION_TEXT, &r->output, "OUT", "an .onnx or .tslim file", 0, 0, NULL});
    add_data_options(tool, false);
    TRY(tool_start(tool, 1, 1));
    if (!r->output) return tool_usage(tool, "-o is missing");
    TRY(tool_load(tool, tool->positional.items[0], &tool->graph));
    TRY(tool_open_data(tool, tool->graph, NULL, false));
    TRY(tslim_graph_restore_batchnorm(tool->graph, tool->dataset, &restored));
    TRY(tool_preparation(tool, tool->graph, NULL, &preparation));
    TRY(tslim_graph_set_preparation(tool->graph, &preparation));
    TRY(tool_add_history(tool, tool->graph));
    TRY(tslim_graph_save_file(tool->graph, r->output, TSLIM_FORMAT_FROM_NAME));
    return print_result(r, restored);
}

static int run(const struct verb *verb, int argc, char **argv) {
    restoring r = {.tool = {.verb = verb, .argc = argc, .argv = argv}};
    tslim_status status = work(&r);
    return tool_finish(&r.tool, status);
}

const struct verb verb_restore_batchnorm = {"restore-batchnorm", "MODEL --data D -o OUT [--limit N]",
    "BatchNormalization back where it was folded away",
    "tinyslim restore-batchnorm model.onnx --data images.npy --limit 200 -o restored.onnx", run};
