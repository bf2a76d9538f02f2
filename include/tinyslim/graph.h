// SPDX-License-Identifier: Apache-2.0
// A model as a graph: loaded from an ONNX or .tslim file, looked at, changed by pruning and quantization,
// saved.
#ifndef TINYSLIM_GRAPH_H
#define TINYSLIM_GRAPH_H

#include <tinyslim/context.h>
#include <tinyslim/tensor.h>

TSLIM_BEGIN_DECLS

typedef struct tslim_graph tslim_graph;

/**
 * Loads an ONNX (opset 1 to 21) or .tslim file; the content decides which. The file is mapped and must not be
 * changed while the graph, a clone or a session of it lives. A model with operators that cannot run loads all
 * the same: tslim_graph_check names them.
 * IO: it cannot be opened or read. BAD_FILE: malformed. LIMIT: over a limit of the context.
 */
TSLIM_API tslim_status tslim_graph_load_file(tslim_context *context, const char *path, tslim_graph **graph);

/** The same from memory, which must outlive the graph, its clones and its sessions. No external data. */
TSLIM_API tslim_status tslim_graph_load_memory(
    tslim_context *context, const void *data, size_t bytes, tslim_graph **graph);

/** NULL is allowed. A graph may go once a session has been made from it. */
TSLIM_API void tslim_graph_destroy(tslim_graph *graph);

/** An independent copy; weights are shared until one of the two changes them. */
TSLIM_API tslim_status tslim_graph_clone(const tslim_graph *graph, tslim_graph **clone);

typedef enum tslim_file_format {
    TSLIM_FORMAT_FROM_NAME = 0, /**< .onnx or .tslim by the path's ending */
    TSLIM_FORMAT_ONNX = 1, /**< quantized graphs become QuantizeLinear/DequantizeLinear form */
    TSLIM_FORMAT_TSLIM = 2
} tslim_file_format;

/** Writes beside `path` and renames: a failed call leaves the old file, or none. */
TSLIM_API tslim_status tslim_graph_save_file(
    const tslim_graph *graph, const char *path, tslim_file_format format);

TSLIM_API uint32_t tslim_graph_input_count(const tslim_graph *graph);
TSLIM_API uint32_t tslim_graph_output_count(const tslim_graph *graph);
TSLIM_API tslim_status tslim_graph_input_info(
    const tslim_graph *graph, uint32_t index, tslim_tensor_info *info);
TSLIM_API tslim_status tslim_graph_output_info(
    const tslim_graph *graph, uint32_t index, tslim_tensor_info *info);

/**
 * Folds BatchNormalization and constants, fuses activations and residual adds: the form in which a model
 * runs. A file saved after this holds packed weights that are used where they lie. The graph can no longer be
 * pruned or quantized. On failure it is as before.
 */
TSLIM_API tslim_status tslim_graph_optimize(tslim_graph *graph);

/** One node, as the file has it. */
typedef struct tslim_node_info {
    uint32_t struct_size; /**< set by the caller */
    const char *name; /**< valid until the graph changes */
    const char *op_type;
    const char *domain; /**< "" is ONNX's own */
    const char *output; /**< the name of the first output */
    tslim_dtype precision; /**< of the arithmetic: FLOAT, INT8, ... */
    uint64_t parameters; /**< elements of its constant inputs (weights, bias, scale, ...) */
    uint64_t macs; /**< at the shapes given to tslim_graph_measure; 0 before */
    uint32_t rank; /**< of the first output, when known */
    int64_t dims[TSLIM_MAX_RANK];
} tslim_node_info;

TSLIM_API uint32_t tslim_graph_node_count(const tslim_graph *graph);
TSLIM_API tslim_status tslim_graph_node_info(const tslim_graph *graph, uint32_t index, tslim_node_info *info);

/** Sums over the graph. A multiply and its add count as one MAC; only Conv, ConvTranspose, Gemm and MatMul
 * count. */
typedef struct tslim_graph_totals {
    uint32_t struct_size; /**< set by the caller */
    uint64_t parameters; /**< elements of all constants of floating or integer weights */
    uint64_t parameter_bytes;
    uint64_t macs;
} tslim_graph_totals;

/**
 * Infers every shape with these inputs (symbolic dims without a shape count as 1) and adds up. Node infos
 * then hold MACs and dims. INVALID_ARGUMENT when a shape does not fit.
 */
TSLIM_API tslim_status tslim_graph_measure(
    tslim_graph *graph, const tslim_input_shape *shapes, uint32_t n_shapes, tslim_graph_totals *totals);

/** One reason why a node cannot run. */
typedef struct tslim_graph_issue {
    const char *node;
    const char *op_type;
    const char *reason;
    const char *hint; /**< what a user can do about it; may be "" */
    uint32_t opset; /**< of ONNX's own domain, that the model asks for */
} tslim_graph_issue;

/** Called once for each issue; the strings are valid during the call. */
typedef void (*tslim_issue_callback)(void *user, const tslim_graph_issue *issue);

/** Finds every node that cannot run, all at once. TSLIM_OK when there is none, else UNSUPPORTED. */
TSLIM_API tslim_status tslim_graph_check(const tslim_graph *graph, tslim_issue_callback callback, void *user);

/**
 * How raw 8-bit images become the model's input, kept in .tslim files: (pixel * scale - mean[c]) / std[c].
 */
typedef struct tslim_input_preparation {
    uint32_t struct_size; /**< set by the caller */
    float scale; /**< 0: nothing is known */
    uint32_t n_channels; /**< 1 to 4: how many of mean and std count */
    float mean[4];
    float std[4];
    uint32_t layout; /**< 0: NCHW, 1: NHWC */
    uint32_t channels; /**< 0: RGB, 1: BGR, 2: gray */
    uint32_t height; /**< images are resized to this; 0: not resized */
    uint32_t width;
} tslim_input_preparation;

TSLIM_API tslim_status tslim_graph_set_preparation(
    tslim_graph *graph, const tslim_input_preparation *preparation);
/** `scale` is 0 where the graph has none. */
TSLIM_API tslim_status tslim_graph_get_preparation(
    const tslim_graph *graph, tslim_input_preparation *preparation);

/** What was done to the model: one line a step ("prune --criterion l1 ...", ...), oldest first. */
TSLIM_API uint32_t tslim_graph_history_count(const tslim_graph *graph);
/** NULL when out of range. Valid as long as the graph. */
TSLIM_API const char *tslim_graph_history(const tslim_graph *graph, uint32_t index);
TSLIM_API tslim_status tslim_graph_history_add(tslim_graph *graph, const char *line);

/**
 * Texts that a file holds beside its graph (ONNX's metadata_props): a text recognizer's characters, names of
 * classes. They are kept through every step, in ONNX and .tslim files. NULL when there is no such key, or the
 * index is out of range. Valid until the entry is set anew, or the graph is destroyed.
 */
TSLIM_API const char *tslim_graph_metadata(const tslim_graph *graph, const char *key);
TSLIM_API uint32_t tslim_graph_metadata_count(const tslim_graph *graph);
TSLIM_API const char *tslim_graph_metadata_key(const tslim_graph *graph, uint32_t index);
/** Adds an entry, or replaces the one of that key; both texts are copied. LIMIT over 4,096 entries. */
TSLIM_API tslim_status tslim_graph_set_metadata(tslim_graph *graph, const char *key, const char *value);

TSLIM_END_DECLS

#endif
