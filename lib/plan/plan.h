// SPDX-License-Identifier: Apache-2.0
// A plan: the steps of a graph at given input shapes, and where each value lies in one block of memory. Where
// shapes depend on data it ends before they are needed: what follows is planned when this has run.
#ifndef TSL_PLAN_PLAN_H
#define TSL_PLAN_PLAN_H

#include "plan/environment.h"
#include "plan/issues.h"

typedef struct tsl_program tsl_program;
typedef struct tsl_control tsl_control;

typedef struct tsl_plan_step {
    tsl_step step;
    tsl_kernel kernel; // run is NULL for a view, and for a node with bodies:
    tsl_control *control; // what runs those
    bool finds_shape; // the outputs' dims are known when it has run
    tsl_tensor *inputs, *outputs; // the step's, written when memory is known
    uint8_t *scratch;
    size_t scratch_offset;
    uint32_t node; // of plan->graph
    ptrdiff_t *strides; // in a loop: bytes from one sample to the next of the inputs, then of the outputs
    bool clear_border; // of some output: it is the first step that writes into the memory that has it
    uint64_t nanoseconds, least_nanoseconds, runs; // while profiling
    uint64_t of_this_run;
} tsl_plan_step;

// Where a value lies. Values that share memory (a reshape's input and output) have the same root. A slice
// lies within the memory of its whole, which takes part in such sharing for it.
typedef struct tsl_plan_value {
    // STEP: in memory of the step that makes it, which sets dims and address as it runs.
    enum { TSL_PLACE_NOWHERE, TSL_PLACE_ARENA, TSL_PLACE_CALLER, TSL_PLACE_CONSTANT, TSL_PLACE_STEP } place;
    tsl_tensor tensor;
    uint32_t root;
    uint32_t whole; // itself, where it is no slice
    int64_t begin; // index in the whole, along the axis
    int32_t axis; // of a whole: along which it is divided; -1: it has no slices
    size_t bytes, origin; // of the root's memory; of the first element within it
    size_t offset; // of the root's memory within the arena
    uint32_t first, last; // steps between which the root's memory, or the whole's, is in use
    uint32_t maker; // the first step that writes it, or one of its slices
    bool one_sample; // made and read within one loop over samples: there is room for one
} tsl_plan_value;

// Nodes that run for one sample after the other.
typedef struct tsl_plan_loop {
    uint32_t begin, end;
    int64_t samples;
} tsl_plan_loop;

// An operand that is a graph input: its address is the caller's, new each run.
typedef struct tsl_plan_patch {
    tsl_tensor *tensor;
    uint32_t input;
} tsl_plan_patch;

typedef struct tsl_plan tsl_plan;
struct tsl_plan {
    tslim_context *ctx;
    tsl_environment *env;
    tsl_arena arena; // everything of the plan but the graph
    tslim_graph *graph; // specialized
    tsl_plan_value *values; // of graph->values
    tsl_plan_step *steps;
    uint32_t n_steps;
    tsl_plan_loop *loops; // from 1 on
    uint32_t *loop_of; // of each node; 0: none
    uint32_t n_loops;
    uint32_t n_lanes; // threads that take samples, each with memory of its own for values of one sample
    size_t lane_bytes;
    tsl_tensor *operands; // of the step that a lane runs: most_operands for each
    uint32_t most_operands;
    tsl_plan_patch *patches;
    uint32_t n_patches;
    size_t bytes; // of activations and scratch
    tsl_tensor *results; // of the graph's outputs, once it has run
    tsl_shape *output_shapes; // the same before: dims that a run finds are not known
    tsl_program
        *rest; // of the graph that this was made from, its inputs are the results; NULL: nothing is left
    uint64_t counted_nodes; // in env->nodes

    // As one of a program's plans.
    tsl_plan *next;
    tsl_tensor *made_for; // inputs of the program; those that decide on shapes with their data
    uint32_t *sources; // of each of graph->inputs: which of the program's it is
};

// Takes the specialized graph over, whether it succeeds or not. UNSUPPORTED names every node of the stage
// that has no kernel, after calling back for each.
tslim_status tsl_plan_create(tsl_environment *env, tslim_graph *specialized, tslim_issue_callback callback,
    void *user, tsl_plan **plan);
void tsl_plan_destroy(tsl_plan *plan); // NULL is allowed

// Tells every tensor its address in `memory` (64-byte aligned, plan->bytes of it).
void tsl_plan_bind(tsl_plan *plan, uint8_t *memory);

// Runs all steps of this stage but the taking of inputs and the giving of outputs, and sets the results;
// calls `after` behind each, if not NULL.
typedef tslim_status (*tsl_after_step)(void *user, const tsl_plan *plan, const tsl_plan_step *step);
tslim_status tsl_plan_run(tsl_plan *plan, bool profile, tsl_after_step after, void *user);

// ---- Parts of tsl_plan_create, in this order ----

// Which nodes run sample by sample (plan/by_sample.c).
tslim_status tsl_plan_find_loops(tsl_plan *plan);
// Kinds, tensors, borders, and views of each value (plan/place_values.c).
tslim_status tsl_plan_place_values(tsl_plan *plan);
// True when the node's output is its input's memory seen with other dims, or in slices.
bool tsl_plan_is_view(const tsl_plan *plan, const tsl_node *node);
// Which values are slices of which; their wholes get their borders (plan/place_slices.c).
tslim_status tsl_plan_place_slices(tsl_plan *plan, uint16_t (*borders)[4]);
bool tsl_plan_is_slicing(const tsl_plan *plan, const tsl_node *node);
// True when this node is the first that writes into memory with a border, which `value` is part of.
bool tsl_plan_makes_border(const tsl_plan *plan, uint32_t n, uint32_t value);
// Steps with prepared kernels (plan/lower.c). Nodes without one become issues.
tslim_status tsl_plan_lower(tsl_plan *plan, tsl_issues *issues);
// Offsets of values and scratch (plan/plan_memory.c).
tslim_status tsl_plan_memory(tsl_plan *plan);

#endif
