// SPDX-License-Identifier: Apache-2.0
// The inside of the ONNX reader: what its parts share while a file is read.
#ifndef TSL_FORMAT_ONNX_READER_H
#define TSL_FORMAT_ONNX_READER_H

#include "format/proto_reader.h"
#include "ir/graph.h"
#include "onnx.pb.h"

// An external data file that has been mapped.
typedef struct tsl_external_file {
    const char *path;
    tsl_buffer *buffer;
} tsl_external_file;

typedef struct tsl_external_files {
    tsl_arena *arena; // for paths
    tsl_external_file *files;
    size_t count, capacity;
    uint64_t bytes;
} tsl_external_files;

// Of the model's graph, or of a body within it.
typedef struct tsl_onnx_reader {
    tsl_proto proto;
    tslim_context *ctx;
    tslim_graph *graph;
    tsl_buffer *file;
    const char *folder; // of the model; NULL: no external data
    tsl_external_files *external; // of the whole model
    uint32_t depth; // 0: the model's graph
    // In order of appearance; values of graph inputs and outputs.
    uint32_t *inputs, *outputs;
    size_t n_inputs, n_outputs, inputs_capacity, outputs_capacity;
} tsl_onnx_reader;

// ---- Parts ----

// The value of that name, made if it is new. "" is TSL_NONE.
tslim_status tsl_onnx_value(tsl_onnx_reader *reader, tsl_view name, uint32_t *id);
tslim_status tsl_onnx_value_of_name(tsl_onnx_reader *reader, const char *name, uint32_t *id);

// A GraphProto into reader->graph, its interface and order included. What nobody makes is not looked for.
tslim_status tsl_onnx_read_graph(tsl_onnx_reader *reader, tsl_view message);
// Frees the reader's lists.
void tsl_onnx_reader_clear(tsl_onnx_reader *reader);

// A GraphProto within a node becomes body `index` of the graph; its last *n_captured inputs are names that it
// reads from around it.
tslim_status tsl_onnx_read_body(
    tsl_onnx_reader *reader, tsl_view message, uint32_t *index, size_t *n_captured);
// Gives a node, and each of its bodies, what any of them captures; `count` of each body's attribute is how
// many it captures itself.
tslim_status tsl_onnx_capture(tsl_onnx_reader *reader, uint32_t node);

// A TensorProto as the data of a constant: that of its own name, or of a new value called `name`.
tslim_status tsl_onnx_read_tensor(tsl_onnx_reader *reader, tsl_view message, const char *name, uint32_t *id);

// Where external data lies; adds to the reader's mapped files.
tslim_status tsl_onnx_external_data(
    tsl_onnx_reader *reader, const tsl_view *entries, size_t n_entries, tsl_buffer **buffer, tsl_view *data);

// A NodeProto as a node, or as a constant when it is a Constant.
tslim_status tsl_onnx_read_node(tsl_onnx_reader *reader, tsl_view message);

#endif
