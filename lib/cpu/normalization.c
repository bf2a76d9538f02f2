// SPDX-License-Identifier: Apache-2.0
// InstanceNormalization and LayerNormalization on row-major floats: each row is brought to mean 0 and
// variance 1, then scaled and shifted. Sums are in double.
#include "cpu/operator.h"

typedef struct normalization_state {
    bool layer; // scale and shift go with the position in the row, else with the channel
    int64_t rows, length, channels;
    double epsilon;
    bool has_shift, has_mean, has_inverse; // operand 2; outputs 1 and 2
} normalization_state;

typedef struct normalization_task {
    const normalization_state *s;
    const float *x, *scale, *shift;
    float *y, *mean, *inverse; // the last two may be NULL
} normalization_task;

static void run_rows(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const normalization_task *t = task_data;
    const normalization_state *s = t->s;
    for (size_t row = begin; row < end; row++) {
        const float *x = t->x + row * (size_t)s->length;
        float *y = t->y + row * (size_t)s->length;
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < s->length; i++) sum += (double)x[i];
        double mean = sum / (double)s->length;
        for (int64_t i = 0; i < s->length; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
        double inverse = 1 / sqrt(squares / (double)s->length + s->epsilon);
        if (t->mean) t->mean[row] = (float)mean;
        if (t->inverse) t->inverse[row] = (float)inverse;
        for (int64_t i = 0; i < s->length; i++) {
            size_t k = s->layer ? (size_t)i : row % (size_t)s->channels;
            double shift = t->shift ? (double)t->shift[k] : 0;
            y[i] = (float)(((double)x[i] - mean) * inverse * (double)t->scale[k] + shift);
        }
    }
}

static tslim_status run_normalization(const tsl_run *run) {
    const normalization_state *s = run->kernel->state;
    if (s->rows == 0 || s->length == 0) return TSLIM_OK;
    normalization_task t = {.s = s,
        .x = run->inputs[0].data,
        .scale = run->inputs[1].data,
        .shift = s->has_shift ? run->inputs[2].data : NULL,
        .y = run->outputs[0].data};
    if (s->has_mean) t.mean = run->outputs[1].data;
    if (s->has_inverse) t.inverse = run->outputs[2].data;
    tsl_parallel_for(run->ctx, (size_t)s->rows, 16384 / (size_t)s->length + 1, run_rows, &t);
    return TSLIM_OK;
}

static bool is_float_output(const tsl_step *step, uint32_t index) {
    return index < step->n_outputs && step->outputs[index].dtype == TSLIM_DTYPE_FLOAT;
}

tslim_status tsl_cpu_prepare_normalization(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0], *shift = tsl_step_input(step, 2);
    TSL_NEW_STATE(normalization_state, s);
    kernel->run = run_normalization;
    s->layer = step->op == TSL_OP_LAYER_NORMALIZATION;
    kernel->name = s->layer ? "layer normalization" : "instance normalization";
    s->epsilon = (double)tsl_attrs_float(step->attrs, TSL_ATTR_epsilon, 1e-5f);
    bool floats = x->dtype == TSLIM_DTYPE_FLOAT && step->inputs[1].dtype == TSLIM_DTYPE_FLOAT &&
                  (!shift || shift->dtype == TSLIM_DTYPE_FLOAT) && is_float_output(step, 0);
    if (!floats || x->rank < (s->layer ? 1u : 2u) || step->epilogue.clamp) return tsl_cpu_unsupported(p);
    uint32_t axis = 2;
    if (s->layer) TSL_TRY(tsl_step_axis(p, -1, x->rank, &axis));
    s->rows = s->length = 1;
    for (uint32_t i = 0; i < x->rank; i++) *(i < axis ? &s->rows : &s->length) *= x->dims[i];
    s->channels = s->layer ? s->length : x->dims[1];
    s->has_shift = shift != NULL;
    s->has_mean = s->layer && is_float_output(step, 1);
    s->has_inverse = s->layer && is_float_output(step, 2);
    bool fits = tsl_tensor_elements(&step->inputs[1]) == s->channels &&
                (!shift || tsl_tensor_elements(shift) == s->channels);
    TSL_REQUIRE(fits, TSLIM_ERROR_UNSUPPORTED, "node '%s': scale or bias that is broadcast", step->name);
    return TSLIM_OK;
}
