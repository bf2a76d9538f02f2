// SPDX-License-Identifier: Apache-2.0
// A model ready to be planned for any shape: optimized, its weights packed. Immutable, shared by sessions.
#ifndef TSL_PLAN_MODEL_H
#define TSL_PLAN_MODEL_H

#include "backend.h"
#include "ir/graph.h"

typedef struct tsl_model {
    atomic_uint references;
    tslim_context *ctx;
    const tsl_backend *backend;
    tslim_isa isa;
    bool optimize; // plans fuse what only they can
    tsl_winograd_choice winograd;
    tslim_graph *graph;
} tsl_model;

// UNSUPPORTED names every node that cannot run.
tslim_status tsl_model_create(const tslim_graph *graph, const tsl_backend *backend, tslim_isa isa,
    tsl_winograd_choice winograd, bool optimize, tsl_model **model);
tsl_model *tsl_model_retain(tsl_model *model);
void tsl_model_release(tsl_model *model); // NULL is allowed

// Every constant operand that the CPU backend wants packed is packed; one that two nodes want differently
// becomes two.
tslim_status tsl_graph_pack_weights(tslim_graph *graph, const tsl_backend *backend);
// The way back, for files in other formats and for changing the weights.
tslim_status tsl_graph_unpack_weights(tslim_graph *graph, const tsl_backend *backend);
// BAD_FILE when packed weights hold other padding or sums than packing makes: kernels trust them, and would
// compute something else, though nothing worse.
tslim_status tsl_graph_check_packed(const tslim_graph *graph, const tsl_backend *backend);

// Reasons why nodes cannot run that need no shapes: unknown operators, opsets, attributes of another kind.
tslim_status tsl_check_operators(const tslim_graph *graph, tslim_issue_callback callback, void *user);

#endif
