// SPDX-License-Identifier: Apache-2.0
// The graph: nodes in topological order over values. Both are referred to by their index.
#ifndef TSL_IR_GRAPH_H
#define TSL_IR_GRAPH_H

#include <tinyslim/graph.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/name_map.h"
#include "base/status.h"
#include "ir/attr.h"
#include "ir/chain.h"
#include "ir/op.h"
#include "ir/tensor.h"

#define TSL_NONE UINT32_MAX

typedef struct tsl_shape {
    bool known; // false: not even the rank
    uint32_t rank;
    int64_t dims[TSLIM_MAX_RANK]; // -1: not known
    const char *symbols[TSLIM_MAX_RANK]; // the name of a dim that is not known, or NULL
} tsl_shape;

typedef enum tsl_layout { TSL_LAYOUT_ROW_MAJOR = 0, TSL_LAYOUT_CHANNELS_LAST = 1 } tsl_layout;

typedef struct tsl_value {
    const char *name; // unique in the graph, never ""
    tslim_dtype dtype;
    tsl_shape shape;
    tsl_quant quant;
    // A constant has data, within `buffer`. data is aligned to its element's size.
    tsl_buffer *buffer;
    const void *data;
    size_t bytes;
    tsl_packing packing;
    uint32_t producer; // index of the node that makes it; TSL_NONE for inputs and constants
    tsl_layout layout; // used by the plan only
} tsl_value;

static inline bool tsl_value_is_constant(const tsl_value *value) {
    return value->buffer != NULL;
}

// What a node does to its result before storing it: y = clamp(chain(result + input[residual])), then
// table[y as an unsigned byte].
typedef struct tsl_epilogue {
    int32_t residual; // which input is added; -1: none
    bool clamp;
    float lo, hi; // in real units; -inf and +inf where open
    const tsl_chain *chain; // in the graph's arena, or NULL; used by the plan only
    const uint8_t *table; // 256 bytes in the graph's arena, or NULL; used by the plan only
    tsl_quant table_quant; // of what goes into the table; the output value has that of what comes out
} tsl_epilogue;

typedef struct tsl_node {
    const char *name; // unique, never ""; made up where the file has none
    const char *op_type;
    const char *domain;
    tsl_op op;
    tsl_attrs attrs;
    uint32_t *inputs; // values; TSL_NONE: an optional input that is absent
    uint32_t *outputs;
    uint32_t n_inputs, n_outputs;
    uint32_t n_captured; // how many inputs, the last ones, its bodies read from around them (ir/bodies.h)
    tsl_epilogue epilogue;
    uint64_t macs; // filled by tslim_graph_measure
} tsl_node;

// `value` ends with a NUL that does not count; it may hold others.
typedef struct tsl_metadata {
    const char *key, *value;
    size_t value_bytes;
} tsl_metadata;

struct tslim_graph {
    tslim_context *ctx;
    tsl_arena arena; // names, attributes, input and output lists, small arrays
    const char *name;
    const char *producer_name; // of the file
    uint32_t opset; // of ONNX's own domain
    tsl_value *values;
    uint32_t n_values;
    size_t values_capacity;
    tsl_node *nodes;
    uint32_t n_nodes;
    size_t nodes_capacity;
    tslim_graph **bodies; // graphs within nodes, owned; an attribute of the node names its own
    uint32_t n_bodies;
    size_t bodies_capacity;
    uint32_t *inputs;
    uint32_t *outputs;
    uint32_t n_inputs, n_outputs;
    tsl_name_map value_names;
    tsl_name_map node_names; // taken names, those of removed nodes too
    tslim_input_preparation preparation;
    const char **history;
    uint32_t n_history;
    tsl_metadata *metadata; // what the trainer's tool wrote into the file beside the graph, in its order
    uint32_t n_metadata;
    // Folded, fused and packed: ready to run, no longer to be pruned or quantized.
    bool optimized;
    // A buffer that borrowed weights lie in is kept by each such value; this is the file itself.
    tsl_buffer *file;
};

// ---- Building. All return NO_MEMORY, or LIMIT from the context's limits. ----

tslim_status tsl_graph_create(tslim_context *ctx, tslim_graph **graph);

// A new value; the name is copied and made unique if it is taken (or NULL).
tslim_status tsl_graph_add_value(tslim_graph *graph, const char *name, tslim_dtype dtype, uint32_t *id);

// A new constant with its own zeroed memory of the shape's size, row-major; *data may be written until the
// graph is shared by a clone.
tslim_status tsl_graph_add_constant(tslim_graph *graph, const char *name, tslim_dtype dtype, uint32_t rank,
    const int64_t *dims, uint32_t *id, void **data);

// Adds or replaces an entry of the metadata, or all those of another graph.
tslim_status tsl_graph_set_metadata_bytes(
    tslim_graph *graph, const char *key, const char *value, size_t value_bytes);
tslim_status tsl_graph_copy_metadata(const tslim_graph *from, tslim_graph *to);

// Appends a node with room for inputs (all TSL_NONE) and outputs; the caller fills inputs. outputs are set
// here and their values' producer with them. The name is copied and made unique.
tslim_status tsl_graph_add_node(tslim_graph *graph, tsl_op op, const char *name, uint32_t n_inputs,
    const uint32_t *inputs, uint32_t n_outputs, const uint32_t *outputs, uint32_t *index);

// Gives a value its type. A file may have declared 8 bits where an operator makes something else: scales and
// zero point that the type cannot have go with them.
void tsl_value_set_dtype(tsl_value *value, tslim_dtype dtype);

// Gives a constant other data (NULL, or a buffer to keep a reference to).
void tsl_value_set_data(tsl_value *value, tsl_buffer *buffer, const void *data, size_t bytes);
// Memory for `bytes` of new contents of a constant; replaces what it had. The other fields are the caller's.
tslim_status tsl_value_new_data(tslim_graph *graph, uint32_t id, size_t bytes, void **data);

// Attributes; ints and floats are copied. Setting one that is there replaces it.
tslim_status tsl_node_set_int(tslim_graph *graph, tsl_node *node, tsl_attr_id id, int64_t value);
tslim_status tsl_node_set_float(tslim_graph *graph, tsl_node *node, tsl_attr_id id, float value);
tslim_status tsl_node_set_string(tslim_graph *graph, tsl_node *node, tsl_attr_id id, const char *value);
tslim_status tsl_node_set_ints(
    tslim_graph *graph, tsl_node *node, tsl_attr_id id, const int64_t *values, size_t count);
void tsl_node_remove_attr(tsl_node *node, tsl_attr_id id);
// Appends an input (TSL_NONE is allowed).
tslim_status tsl_node_add_input(tslim_graph *graph, tsl_node *node, uint32_t value);

// What a node or value refers to (names, lists, attributes) becomes memory of `arena`; *failed when it is
// short. Bodies and values stay the indices that they are.
void tsl_node_copy_parts(tsl_arena *arena, tsl_node *node, bool *failed);
void tsl_value_copy_parts(tsl_arena *arena, tsl_value *value, bool *failed);

// ---- Looking. ----

// TSL_NONE when there is none of that name.
uint32_t tsl_graph_find_value(const tslim_graph *graph, const char *name);
uint32_t tsl_graph_find_node(const tslim_graph *graph, const char *name);
bool tsl_graph_is_output(const tslim_graph *graph, uint32_t value);

// Operand `index` of a node, or NULL when it is absent.
static inline tsl_value *tsl_node_input(const tslim_graph *graph, const tsl_node *node, uint32_t index) {
    return index < node->n_inputs && node->inputs[index] != TSL_NONE ? &graph->values[node->inputs[index]]
                                                                     : NULL;
}
static inline tsl_value *tsl_node_output(const tslim_graph *graph, const tsl_node *node, uint32_t index) {
    return index < node->n_outputs && node->outputs[index] != TSL_NONE ? &graph->values[node->outputs[index]]
                                                                       : NULL;
}

// Who reads each value: users of value v are nodes[first[v]] .. nodes[first[v+1]-1], one entry for each input
// slot. Graph outputs are not counted. Stale after any change.
typedef struct tsl_uses {
    uint32_t *first; // n_values + 1
    uint32_t *nodes;
    size_t first_bytes, nodes_bytes;
    tslim_context *ctx;
} tsl_uses;
tslim_status tsl_uses_find(const tslim_graph *graph, tsl_uses *uses);
void tsl_uses_free(tsl_uses *uses);
static inline uint32_t tsl_uses_count(const tsl_uses *uses, uint32_t value) {
    return uses->first[value + 1] - uses->first[value];
}

// ---- Changing. ----

// Every reader of `old` (graph outputs too) reads `new_value` from now on.
void tsl_graph_replace_uses(tslim_graph *graph, uint32_t old_value, uint32_t new_value);
// Marks a node for removal (op becomes UNKNOWN with n_outputs 0); tsl_graph_compact removes it.
void tsl_graph_remove_node(tslim_graph *graph, uint32_t index);
// Removes marked nodes and values that nobody reads or makes; indices change.
tslim_status tsl_graph_compact(tslim_graph *graph);
// Moves nodes into topological order (stable). BAD_FILE names a node of a cycle.
tslim_status tsl_graph_sort(tslim_graph *graph);

// Exchanges the contents of two graphs of one context, so that a change made on a clone can be taken over at
// once.
void tsl_graph_swap(tslim_graph *a, tslim_graph *b);

// Checks every rule of this header: ids in range, order, one producer, unique names, constants of the right
// size, operand counts as in ops.def. INTERNAL (or BAD_FILE, as told by `status`) names what is wrong.
tslim_status tsl_graph_verify(const tslim_graph *graph, tslim_status status);

// In debug builds verifies after a pass; nothing otherwise.
#ifdef NDEBUG
#define TSL_VERIFY(graph) ((void)(graph), TSLIM_OK)
#else
#define TSL_VERIFY(graph) tsl_graph_verify(graph, TSLIM_ERROR_INTERNAL)
#endif

// The whole size of a shape in elements; LIMIT over the context's; INVALID_ARGUMENT when a dim is not known.
tslim_status tsl_shape_elements(tslim_context *ctx, const tsl_shape *shape, uint64_t *elements);
bool tsl_shape_is_static(const tsl_shape *shape);
void tsl_shape_set(tsl_shape *shape, uint32_t rank, const int64_t *dims);
// "2x3xN" into `text`, at most `size` bytes; returns text.
const char *tsl_shape_format(const tsl_shape *shape, char *text, size_t size);
const char *tsl_dims_format(uint32_t rank, const int64_t *dims, char *text, size_t size);

#endif
