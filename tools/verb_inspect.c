// SPDX-License-Identifier: Apache-2.0
// tinyslim inspect: what a model is made of, and which channels can be pruned.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "describe.h"

typedef struct inspection {
    struct tool tool;
    bool groups_wanted;
    bool measured;
    tslim_graph_totals totals;
    tslim_channel_groups *groups;
    const char *path;
} inspection;

static tslim_status node_at(const inspection *i, uint32_t index, tslim_node_info *info) {
    *info = (tslim_node_info){.struct_size = sizeof *info};
    return tslim_graph_node_info(i->tool.graph, index, info);
}

// "float32", "int8", or "mixed" where nodes of both are there.
static const char *overall_precision(const inspection *i) {
    uint32_t count = tslim_graph_node_count(i->tool.graph), int8 = 0, floats = 0;
    for (uint32_t n = 0; n < count; ++n) {
        tslim_node_info info;
        if (node_at(i, n, &info) != TSLIM_OK || info.macs + info.parameters == 0) continue;
        int8 += info.precision == TSLIM_DTYPE_INT8;
        floats += info.precision != TSLIM_DTYPE_INT8;
    }
    return int8 == 0 ? "float32" : floats == 0 ? "int8" : "mixed";
}

// ---- JSON ----

static tslim_status add_signature(cJSON *json, const tslim_graph *graph, bool outputs) {
    cJSON *list = json_add_array(json, outputs ? "outputs" : "inputs");
    uint32_t count = outputs ? tslim_graph_output_count(graph) : tslim_graph_input_count(graph);
    for (uint32_t n = 0; n < count; ++n) {
        tslim_tensor_info info;
        TRY(outputs ? tslim_graph_output_info(graph, n, &info) : tslim_graph_input_info(graph, n, &info));
        cJSON *item = json_append_object(list);
        cJSON_AddStringToObject(item, "name", info.name);
        cJSON_AddStringToObject(item, "dtype", tslim_dtype_name(info.dtype));
        json_add_shape(item, "shape", &info);
    }
    return TSLIM_OK;
}

static tslim_status add_nodes(cJSON *json, const inspection *i) {
    cJSON *operators = cJSON_AddObjectToObject(json, "operators"), *nodes = json_add_array(json, "nodes");
    for (uint32_t n = 0; n < tslim_graph_node_count(i->tool.graph); ++n) {
        tslim_node_info info;
        TRY(node_at(i, n, &info));
        cJSON *count = cJSON_GetObjectItemCaseSensitive(operators, info.op_type);
        if (count) {
            cJSON_SetNumberValue(count, count->valuedouble + 1);
        } else {
            json_add_count(operators, info.op_type, 1);
        }
        cJSON *item = json_append_object(nodes);
        cJSON_AddStringToObject(item, "name", info.name);
        cJSON_AddStringToObject(item, "op", info.op_type);
        cJSON_AddStringToObject(item, "domain", info.domain);
        cJSON_AddStringToObject(item, "output", info.output);
        cJSON_AddStringToObject(item, "precision", tslim_dtype_name(info.precision));
        json_add_count(item, "parameters", info.parameters);
        json_add_count(item, "macs", info.macs);
        json_add_dims(item, "shape", info.rank, info.dims);
    }
    return TSLIM_OK;
}

static void add_layers(cJSON *item, const char *key, const tslim_channel_groups *groups, uint32_t group,
    uint32_t count, const char *(*name)(const tslim_channel_groups *, uint32_t, uint32_t)) {
    cJSON *list = json_add_array(item, key);
    for (uint32_t n = 0; n < count; ++n)
        cJSON_AddItemToArray(list, cJSON_CreateString(name(groups, group, n)));
}

static tslim_status add_groups(cJSON *json, const inspection *i) {
    cJSON *list = json_add_array(json, "groups");
    for (uint32_t g = 0; g < tslim_channel_groups_count(i->groups); ++g) {
        tslim_channel_group_info info = {.struct_size = sizeof info};
        TRY(tslim_channel_groups_info(i->groups, g, &info));
        cJSON *item = json_append_object(list);
        cJSON_AddStringToObject(item, "name", info.name);
        json_add_count(item, "channels", info.channels);
        cJSON_AddBoolToObject(item, "prunable", info.prunable);
        cJSON_AddStringToObject(item, "reason", info.reason);
        cJSON_AddBoolToObject(item, "shallow", info.shallow);
        json_add_count(item, "macs", info.macs);
        json_add_count(item, "parameters", info.parameters);
        add_layers(item, "producers", i->groups, g, info.n_producers, tslim_channel_groups_producer);
        add_layers(item, "consumers", i->groups, g, info.n_consumers, tslim_channel_groups_consumer);
    }
    return TSLIM_OK;
}

static tslim_status add_preparation(cJSON *json, const tslim_graph *graph) {
    tslim_input_preparation p = {.struct_size = sizeof p};
    TRY(tslim_graph_get_preparation(graph, &p));
    if (p.scale == 0) return TSLIM_OK;
    cJSON *item = cJSON_AddObjectToObject(json, "preparation");
    static const char *const channels[] = {"rgb", "bgr", "gray"};
    json_add_real(item, "scale", p.scale);
    cJSON *mean = json_add_array(item, "mean"), *std = json_add_array(item, "std");
    for (uint32_t c = 0; c < p.n_channels; ++c) {
        cJSON_AddItemToArray(mean, cJSON_CreateNumber(p.mean[c]));
        cJSON_AddItemToArray(std, cJSON_CreateNumber(p.std[c]));
    }
    cJSON_AddStringToObject(item, "layout", p.layout ? "nhwc" : "nchw");
    cJSON_AddStringToObject(item, "channels", channels[p.channels < 3 ? p.channels : 0]);
    json_add_count(item, "height", p.height);
    json_add_count(item, "width", p.width);
    return TSLIM_OK;
}

static tslim_status fill_json(cJSON *json, const inspection *i) {
    const tslim_graph *graph = i->tool.graph;
    cJSON_AddStringToObject(json, "model", i->path);
    json_add_count(json, "file_bytes", file_bytes(i->path));
    cJSON_AddStringToObject(json, "precision", overall_precision(i));
    if (i->measured) {
        json_add_count(json, "parameters", i->totals.parameters);
        json_add_count(json, "parameter_bytes", i->totals.parameter_bytes);
        json_add_count(json, "macs", i->totals.macs);
    }
    TRY(add_signature(json, graph, false));
    TRY(add_signature(json, graph, true));
    TRY(add_preparation(json, graph));
    cJSON *history = json_add_array(json, "history");
    for (uint32_t n = 0; n < tslim_graph_history_count(graph); ++n) {
        cJSON_AddItemToArray(history, cJSON_CreateString(tslim_graph_history(graph, n)));
    }
    cJSON *metadata = cJSON_AddObjectToObject(json, "metadata");
    for (uint32_t n = 0; n < tslim_graph_metadata_count(graph); ++n) {
        const char *key = tslim_graph_metadata_key(graph, n);
        cJSON_AddStringToObject(metadata, key, tslim_graph_metadata(graph, key));
    }
    TRY(add_nodes(json, i));
    return i->groups ? add_groups(json, i) : TSLIM_OK;
}

static tslim_status print_as_json(inspection *i) {
    cJSON *json = json_create(&i->tool);
    tslim_status status = fill_json(json, i);
    if (status == TSLIM_OK) return json_print(&i->tool, json);
    cJSON_Delete(json);
    return status;
}

// ---- Text ----

static tslim_status print_signature(const tslim_graph *graph, bool outputs) {
    uint32_t count = outputs ? tslim_graph_output_count(graph) : tslim_graph_input_count(graph);
    for (uint32_t n = 0; n < count; ++n) {
        tslim_tensor_info info;
        char shape[256];
        TRY(outputs ? tslim_graph_output_info(graph, n, &info) : tslim_graph_input_info(graph, n, &info));
        printf("%-12s  %s  %s  %s\n", outputs ? "output" : "input", info.name, tslim_dtype_name(info.dtype),
            format_shape(&info, shape, sizeof shape));
    }
    return TSLIM_OK;
}

static tslim_status print_nodes(const inspection *i) {
    printf("\n%-40s  %-20s  %-8s  %10s  %10s  %s\n", "node", "operator", "precision", "parameters", "MACs",
        "shape");
    for (uint32_t n = 0; n < tslim_graph_node_count(i->tool.graph); ++n) {
        tslim_node_info info;
        char parameters[32], macs[32], shape[128];
        TRY(node_at(i, n, &info));
        tslim_tensor_info output = {.rank = info.rank};
        memcpy(output.dims, info.dims, sizeof output.dims);
        printf("%-40s  %-20s  %-9s  %10s  %10s  %s\n", info.name, info.op_type,
            tslim_dtype_name(info.precision), format_large(info.parameters, parameters, sizeof parameters),
            format_large(info.macs, macs, sizeof macs),
            info.rank ? format_shape(&output, shape, sizeof shape) : "");
    }
    return TSLIM_OK;
}

static tslim_status print_groups(const inspection *i) {
    printf("\n%-40s  %8s  %6s  %6s  %10s  %s\n", "channel group", "channels", "makers", "users", "MACs", "");
    for (uint32_t g = 0; g < tslim_channel_groups_count(i->groups); ++g) {
        tslim_channel_group_info info = {.struct_size = sizeof info};
        char macs[32];
        TRY(tslim_channel_groups_info(i->groups, g, &info));
        printf("%-40s  %8" PRIu32 "  %6" PRIu32 "  %6" PRIu32 "  %10s  %s%s\n", info.name, info.channels,
            info.n_producers, info.n_consumers, format_large(info.macs, macs, sizeof macs),
            info.prunable ? (info.shallow ? "shallow: protected by default" : "") : "not prunable: ",
            info.prunable ? "" : info.reason);
    }
    return TSLIM_OK;
}

static tslim_status print_as_text(inspection *i) {
    const tslim_graph *graph = i->tool.graph;
    char text[32];
    printf("%-12s  %s\n%-12s  %" PRIu64 "\n%-12s  %s\n", "model", i->path, "file bytes", file_bytes(i->path),
        "precision", overall_precision(i));
    if (i->measured) {
        printf("%-12s  %s\n", "parameters", format_large(i->totals.parameters, text, sizeof text));
        printf("%-12s  %s\n", "MACs", format_large(i->totals.macs, text, sizeof text));
    }
    TRY(print_signature(graph, false));
    TRY(print_signature(graph, true));
    for (uint32_t n = 0; n < tslim_graph_history_count(graph); ++n) {
        printf("%-12s  %s\n", "history", tslim_graph_history(graph, n));
    }
    for (uint32_t n = 0; n < tslim_graph_metadata_count(graph); ++n) {
        const char *key = tslim_graph_metadata_key(graph, n);
        printf("%-12s  %s, %zu bytes\n", "metadata", key, strlen(tslim_graph_metadata(graph, key)));
    }
    TRY(print_nodes(i));
    return i->groups ? print_groups(i) : TSLIM_OK;
}

static tslim_status work(inspection *i) {
    struct tool *tool = &i->tool;
    ADD_OPTIONS(tool, {"--groups", NULL, OPTION_SWITCH, &i->groups_wanted, NULL,
                          "channel groups that can be pruned, and why the others cannot", 0, 0, NULL});
    TRY(tool_start(tool, 1, 1));
    i->path = tool->positional.items[0];
    TRY(tool_load(tool, i->path, &tool->graph));
    i->totals.struct_size = sizeof i->totals;
    tslim_status status = tslim_graph_measure(tool->graph, tool->shapes, tool->n_shapes, &i->totals);
    i->measured = status == TSLIM_OK;
    // Symbolic dims of 1 need not fit a model that wants a picture.
    bool wants_shape = status == TSLIM_ERROR_INVALID_ARGUMENT && tool->n_shapes == 0;
    if (status == TSLIM_ERROR_UNSUPPORTED || wants_shape) {
        tool_note(tool, "no sizes and MACs%s: %s", wants_shape ? " without --shape" : "",
            tslim_context_message(tool->context));
    } else {
        TRY(status);
    }
    if (i->groups_wanted)
        TRY(tslim_channel_groups_find(tool->graph, tool->shapes, tool->n_shapes, &i->groups));
    return tool->json ? print_as_json(i) : print_as_text(i);
}

static int run(const struct verb *verb, int argc, char **argv) {
    inspection i = {.tool = {.verb = verb, .argc = argc, .argv = argv}};
    tslim_status status = work(&i);
    tslim_channel_groups_destroy(i.groups);
    return tool_finish(&i.tool, status);
}

const struct verb verb_inspect = {"inspect", "MODEL [--groups] [--json]",
    "what a model is made of, and what can be pruned", "tinyslim inspect resnet18.onnx --groups", run};
