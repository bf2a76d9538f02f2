// SPDX-License-Identifier: Apache-2.0
// Loading a model of either format: the content decides.
#include <string.h>

#include "base/file.h"
#include "format/onnx.h"
#include "format/tslim.h"

static tslim_status read_buffer(
    tslim_context *ctx, tsl_buffer *buffer, const char *folder, tslim_graph **graph) {
    TSL_REQUIRE(buffer->size > 0, TSLIM_ERROR_BAD_FILE, "it is empty");
    if (tsl_tslim_recognize(buffer)) return tsl_tslim_read(ctx, buffer, graph);
    return tsl_onnx_read(ctx, buffer, folder, graph);
}

tslim_status tslim_graph_load_file(tslim_context *context, const char *path, tslim_graph **graph) {
    TSL_REQUIRE(context && path && graph, TSLIM_ERROR_INVALID_ARGUMENT, "context, path or graph is NULL");
    *graph = NULL;
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) + 1 : 0;
    char *folder = tsl_allocate(context, length + 1);
    TSL_REQUIRE_MEMORY(folder, length + 1);
    memcpy(folder, path, length);
    folder[length] = '\0';
    tsl_buffer *buffer = NULL;
    tslim_status status = tsl_file_map(context, path, &buffer);
    if (status == TSLIM_OK) {
        status = read_buffer(context, buffer, folder, graph);
        if (status != TSLIM_OK) status = tsl_fail_prefix(status, "'%s'", path);
    }
    tsl_buffer_release(buffer);
    tsl_free(context, folder, length + 1);
    return status;
}

tslim_status tslim_graph_load_memory(
    tslim_context *context, const void *data, size_t bytes, tslim_graph **graph) {
    TSL_REQUIRE(context && (data || bytes == 0) && graph, TSLIM_ERROR_INVALID_ARGUMENT,
        "context, data or graph is NULL");
    *graph = NULL;
    TSL_REQUIRE(bytes <= context->limits.file_bytes, TSLIM_ERROR_LIMIT,
        "a model of %zu bytes, the limit is %llu", bytes, (unsigned long long)context->limits.file_bytes);
    tsl_buffer *buffer = tsl_buffer_borrow(context, data, bytes);
    TSL_REQUIRE_MEMORY(buffer, sizeof(*buffer));
    tslim_status status = read_buffer(context, buffer, NULL, graph);
    tsl_buffer_release(buffer);
    return status;
}
