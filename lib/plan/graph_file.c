// SPDX-License-Identifier: Apache-2.0
// Saving, and preparing a graph for being saved: what a file holds depends on what the graph has become.
#include <string.h>

#include "format/onnx.h"
#include "format/tslim.h"
#include "ir/bodies.h"
#include "pass/pass.h"
#include "plan/evaluate_node.h"
#include "plan/model.h"

tslim_status tslim_graph_optimize(tslim_graph *graph) {
    TSL_REQUIRE(graph, TSLIM_ERROR_INVALID_ARGUMENT, "graph is NULL");
    if (graph->optimized) return TSLIM_OK;
    tslim_graph *copy;
    TSL_TRY(tslim_graph_clone(graph, &copy));
    tslim_status status = tsl_optimize(copy, tsl_evaluate_on_cpu, NULL);
    if (status == TSLIM_OK) {
        tsl_graph_set_optimized(copy);
        tsl_graph_swap(graph, copy);
    }
    tslim_graph_destroy(copy);
    return status;
}

static bool ends_with(const char *text, const char *ending) {
    size_t length = strlen(text), wanted = strlen(ending);
    return length >= wanted && strcmp(text + length - wanted, ending) == 0;
}

static tslim_status save(tslim_graph *copy, const char *path, tslim_file_format format) {
    if (format == TSLIM_FORMAT_ONNX) {
        TSL_TRY(tsl_graph_unpack_weights(copy, &tsl_cpu_backend));
        return tsl_onnx_write(copy, path);
    }
    // A graph that is still to be changed keeps its weights in plain order.
    if (copy->optimized) TSL_TRY(tsl_graph_pack_weights(copy, &tsl_cpu_backend));
    return tsl_tslim_write(copy, path);
}

tslim_status tslim_graph_save_file(const tslim_graph *graph, const char *path, tslim_file_format format) {
    TSL_REQUIRE(graph && path, TSLIM_ERROR_INVALID_ARGUMENT, "graph or path is NULL");
    if (format == TSLIM_FORMAT_FROM_NAME) {
        if (ends_with(path, ".onnx"))
            format = TSLIM_FORMAT_ONNX;
        else if (ends_with(path, ".tslim"))
            format = TSLIM_FORMAT_TSLIM;
    }
    TSL_REQUIRE(format == TSLIM_FORMAT_ONNX || format == TSLIM_FORMAT_TSLIM, TSLIM_ERROR_INVALID_ARGUMENT,
        "'%s' ends neither in .onnx nor in .tslim", path);
    tslim_graph *copy;
    TSL_TRY(tslim_graph_clone(graph, &copy));
    tslim_status status = save(copy, path, format);
    tslim_graph_destroy(copy);
    return status;
}
