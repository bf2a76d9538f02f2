// SPDX-License-Identifier: Apache-2.0
// Dropout: nothing is dropped at inference. In training mode elements are, with the given probability, and
// the rest grows by what is lost; which ones follows from the seed and is the same in each run.
#include <inttypes.h>
#include <string.h>

#include "base/rng.h"
#include "cpu/operator.h"

typedef struct dropout_state {
    const uint8_t *table;
    uint64_t seed;
    bool has_ratio, has_training, has_mask; // operands 1 and 2, output 1
} dropout_state;

// The byte offset of each element in turn, in row-major order whatever the layout.
typedef struct walk {
    const tsl_tensor *t;
    int64_t index[TSLIM_MAX_RANK];
    ptrdiff_t offset;
} walk;

static void advance(walk *w) {
    const ptrdiff_t size = (ptrdiff_t)tslim_dtype_size(w->t->dtype);
    for (uint32_t d = w->t->rank; d-- > 0;) {
        w->offset += (ptrdiff_t)w->t->strides[d] * size;
        if (++w->index[d] < w->t->dims[d]) return;
        w->offset -= (ptrdiff_t)(w->t->strides[d] * w->t->dims[d]) * size;
        w->index[d] = 0;
    }
}

static void drop(const dropout_state *s, const tsl_run *run, double ratio) {
    const tsl_tensor *y = &run->outputs[0], *mask = s->has_mask ? &run->outputs[1] : y;
    walk from = {.t = &run->inputs[0]}, to = {.t = y}, masked = {.t = mask};
    tsl_rng rng;
    tsl_rng_seed(&rng, s->seed);
    for (int64_t i = tsl_tensor_elements(y); i-- > 0;) {
        double keeps = tsl_rng_uniform(&rng) >= ratio;
        double x = tsl_load_double(from.t->dtype, (const uint8_t *)from.t->data + from.offset);
        double value = keeps != 0 ? x / (1 - ratio) : 0;
        tsl_store_doubles(y->dtype, (uint8_t *)y->data + to.offset, 0, 1, &value);
        if (s->has_mask) tsl_store_doubles(mask->dtype, (uint8_t *)mask->data + masked.offset, 0, 1, &keeps);
        advance(&from);
        advance(&to);
        advance(&masked);
    }
}

static tslim_status run_dropout(const tsl_run *run) {
    const dropout_state *s = run->kernel->state;
    const tsl_tensor *in = run->inputs;
    bool training = s->has_training && tsl_load_int(in[2].dtype, in[2].data) != 0;
    double ratio = s->has_ratio ? tsl_load_double(in[1].dtype, in[1].data) : 0.5;
    if (training && ratio != 0) {
        TSL_REQUIRE(
            ratio > 0 && ratio < 1, TSLIM_ERROR_INVALID_ARGUMENT, "a ratio of %g, not of 0 to 1", ratio);
        drop(s, run, ratio);
        return TSLIM_OK;
    }
    tsl_move(run->ctx, s->table, &in[0], &run->outputs[0]);
    if (!s->has_mask) return TSLIM_OK;
    const double one = 1;
    double yes[1] = {0};
    tsl_tensor truth = {.dtype = run->outputs[1].dtype, .data = yes};
    tsl_store_doubles(truth.dtype, (uint8_t *)yes, 0, 1, &one);
    tsl_copy(run->ctx, &truth, &run->outputs[1]);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_dropout(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0], *y = &step->outputs[0];
    const tsl_tensor *ratio = tsl_step_input(step, 1), *training = tsl_step_input(step, 2);
    TSL_NEW_STATE(dropout_state, s);
    kernel->run = run_dropout;
    kernel->name = "dropout";
    s->has_ratio = ratio != NULL;
    s->has_training = training != NULL;
    s->has_mask = step->n_outputs > 1 && step->outputs[1].dtype != TSLIM_DTYPE_NONE;
    s->seed = tsl_step_seed(step);
    TSL_REQUIRE(
        (!ratio || tsl_tensor_elements(ratio) == 1) && (!training || tsl_tensor_elements(training) == 1),
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': ratio or training_mode is not one number", step->name);
    if (training && (!tsl_element_is_real(x->dtype) || !tsl_element_is_real(y->dtype)))
        return tsl_cpu_unsupported(p);
    return tsl_move_prepare(p, x, y, &s->table);
}
