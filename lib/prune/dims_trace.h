// SPDX-License-Identifier: Apache-2.0
// Where the numbers of a small integer vector come from: a literal, a dim of some value, or a computation. A
// model that builds a Reshape's target from Shape, Gather and Concat follows pruning by itself; this tells
// when.
#ifndef TSL_PRUNE_DIMS_TRACE_H
#define TSL_PRUNE_DIMS_TRACE_H

#include "ir/graph.h"

typedef enum tsl_origin_kind { TSL_ORIGIN_OTHER, TSL_ORIGIN_LITERAL, TSL_ORIGIN_DIM } tsl_origin_kind;

typedef struct tsl_origin {
    tsl_origin_kind kind;
    int64_t number; // LITERAL
    uint32_t value, axis; // DIM: of a value of the same graph
} tsl_origin;

// `known` false: not a vector that is followed.
typedef struct tsl_dims_trace {
    const tsl_origin *items;
    uint32_t count;
    bool known;
} tsl_dims_trace;

// Of every value; `ranks[v]` is the rank of value v where it is known (else UINT32_MAX). In the arena.
tslim_status tsl_dims_trace_find(
    const tslim_graph *graph, const uint32_t *ranks, tsl_arena *arena, tsl_dims_trace **traces);

// True for an operator that only moves such numbers around, when its result was followed.
bool tsl_dims_trace_passes(const tsl_node *node, const tsl_dims_trace *traces);

#endif
