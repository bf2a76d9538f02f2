// SPDX-License-Identifier: Apache-2.0
// LSTM, GRU and RNN. The products of the input with W are made for many time steps at once; each step then
// adds the product of the state with R to them and applies the gates. Gates lie one after the other, each
// padded to panels:
//     gates[step][batch item][gate][hidden, padded]
// with the gates in ONNX's order: LSTM i o f c, GRU z r h.
#ifndef TSL_CPU_RECURRENT_H
#define TSL_CPU_RECURRENT_H

#include "cpu/function.h"
#include "cpu/operator.h"
#include "cpu/product.h"

#define TSL_MOST_GATES 4

// One entry of the attribute `activations`. Affine is alpha * x + beta, ScaledTanh alpha * tanh(beta * x).
typedef struct tsl_gate_function {
    enum { TSL_GATE_VECTOR, TSL_GATE_SCALAR, TSL_GATE_AFFINE, TSL_GATE_SCALED_TANH } kind;
    tsl_op op;
    float alpha, beta;
} tsl_gate_function;

// The operands of one direction that lie in scratch memory, as offsets from the direction's part.
typedef struct tsl_recurrent_scratch {
    size_t bias, zeros, products, hidden, cell, reset, candidate, bytes;
} tsl_recurrent_scratch;

typedef struct tsl_recurrent {
    const tsl_cpu_functions *functions;
    tsl_op op;
    int64_t steps, batch, input, hidden, directions, gates, padded;
    int64_t chunk; // steps whose input products are made at once
    bool batch_first, first_is_reverse, linear_before_reset, input_forget;
    bool present[8]; // operands
    uint32_t n_outputs;
    float clip; // infinite when there is none
    tsl_gate_function activations[2][3];
    bool usual[2]; // of a direction: Sigmoid and Tanh, for which there are kernels of whole cells
    tsl_weights w, r;
    // All gates of one direction as one matrix; of R for GRU the first two, and the last.
    tsl_pack_geometry input_panels, state_panels, last_panels;
    size_t w_direction, r_direction; // floats from one direction's panels to the next's
    tsl_coefficients open; // no clamp
    tsl_recurrent_scratch scratch;
    size_t scratch_offset;
} tsl_recurrent;

// One direction of a run.
typedef struct tsl_recurrent_run {
    const tsl_recurrent *s;
    const tsl_run *run;
    tslim_context *ctx; // for the loops within a step, or NULL
    int64_t direction;
    const float *w, *r; // packed, of this direction
    const float *peepholes; // 3 x hidden (i o f), or NULL
    const int32_t *lengths; // of each batch item, or NULL
    // hidden and cell: [batch item][padded]. bias: [gate][padded], for GRU followed by R's bias of the last
    // gate.
    float *bias, *zeros, *products, *hidden, *cell, *reset, *candidate;
} tsl_recurrent_run;

// Time step `step` of all batch items: from the input's products to the state. Items whose sequence is over
// keep theirs.
void tsl_recurrent_step(const tsl_recurrent_run *t, float *gates, int64_t step);

tslim_status tsl_recurrent_run_all(const tsl_run *run);

// Fills `activations`. INVALID_ARGUMENT, or UNSUPPORTED for a name that is not known.
tslim_status tsl_gate_functions_read(tsl_prepare *p, tsl_recurrent *s);

// [batch item][columns] = rows of `a` times panels (from `w` on) plus bias plus `z`. Steps are in floats.
typedef struct tsl_recurrent_product {
    const tsl_pack_geometry *panels;
    const float *a, *w, *bias, *z;
    float *c;
    size_t steps; // rows are steps x batch
    int64_t a_step, a_item, c_item, z_item;
} tsl_recurrent_product;
void tsl_recurrent_multiply(const tsl_recurrent_run *t, const tsl_recurrent_product *product);

#endif
