// SPDX-License-Identifier: Apache-2.0
// The inside of the ONNX reader: what its parts share while a file is read.
#ifndef TSL_FORMAT_ONNX_READER_H
#define TSL_FORMAT_ONNX_READER_H

#include <pb_decode.h>

#include "ir/graph.h"
#include "onnx.pb.h"

// Bytes of the file.
typedef struct tsl_view {
    const uint8_t *data;
    size_t size;
} tsl_view;

// An external data file that has been mapped.
typedef struct tsl_external_file {
    const char *path;
    tsl_buffer *buffer;
} tsl_external_file;

typedef struct tsl_onnx_reader {
    tslim_context *ctx;
    tslim_graph *graph;
    tsl_buffer *file;
    const char *folder; // of the model; NULL: no external data
    tsl_external_file *external;
    size_t n_external, external_capacity;
    uint64_t external_bytes;
    tslim_status status; // why a callback returned false; OK when the parser itself did
    // In order of appearance; values of graph inputs and outputs.
    uint32_t *inputs, *outputs;
    size_t n_inputs, n_outputs, inputs_capacity, outputs_capacity;
} tsl_onnx_reader;

// ---- Streams: the parser's position is a pointer into the file, so that data can be borrowed ----

pb_istream_t tsl_view_stream(tsl_view *cursor);
// All that is left of a (sub)stream, which is consumed.
tsl_view tsl_view_take(pb_istream_t *stream);

// A decode callback that fills the tsl_view behind *arg.
bool tsl_decode_view(pb_istream_t *stream, const pb_field_t *field, void **arg);

// Text of the file as a string of the graph's arena. BAD_FILE for a NUL or too long a text.
tslim_status tsl_onnx_text(tsl_onnx_reader *reader, tsl_view view, const char **text);

// Remembers a failure and returns false, as callbacks must.
bool tsl_onnx_failed(tsl_onnx_reader *reader, tslim_status status);

// Parses a message at `view`; BAD_FILE with `what` when it is malformed.
tslim_status tsl_onnx_parse(
    tsl_onnx_reader *reader, tsl_view view, const pb_msgdesc_t *fields, void *message, const char *what);

// Numbers of a repeated field.
typedef struct tsl_numbers {
    tsl_onnx_reader *reader; // told when memory is short
    void *data;
    size_t count, capacity, element_size;
} tsl_numbers;
void tsl_numbers_free(tsl_numbers *numbers);
// Decode callbacks for int64 (also int32, uint64: any varint), float and double; *arg is a tsl_numbers.
bool tsl_decode_varints(pb_istream_t *stream, const pb_field_t *field, void **arg);
bool tsl_decode_floats(pb_istream_t *stream, const pb_field_t *field, void **arg);
bool tsl_decode_doubles(pb_istream_t *stream, const pb_field_t *field, void **arg);

// ---- Parts ----

// The value of that name, made if it is new. "" is TSL_NONE.
tslim_status tsl_onnx_value(tsl_onnx_reader *reader, tsl_view name, uint32_t *id);

// A TensorProto as the data of a constant: that of its own name, or of a new value called `name`.
tslim_status tsl_onnx_read_tensor(tsl_onnx_reader *reader, tsl_view message, const char *name, uint32_t *id);

// Where external data lies; adds to the reader's mapped files.
tslim_status tsl_onnx_external_data(
    tsl_onnx_reader *reader, const tsl_view *entries, size_t n_entries, tsl_buffer **buffer, tsl_view *data);

// A NodeProto as a node, or as a constant when it is a Constant.
tslim_status tsl_onnx_read_node(tsl_onnx_reader *reader, tsl_view message);

#endif
