// SPDX-License-Identifier: Apache-2.0
// Random tensors. A node's numbers follow from its seed and are the same in each run and on every machine; a
// node without a seed gets one that follows from its name, so that no two nodes of a graph make the same
// numbers.
#include "base/rng.h"
#include "cpu/operator.h"

typedef struct random_state {
    tsl_op op;
    uint64_t seed;
    double shift, scale; // of normal numbers; or where uniform ones begin, and how far they go
} random_state;

static double draw(const random_state *s, tsl_rng *rng) {
    bool normal = s->op == TSL_OP_RANDOM_NORMAL || s->op == TSL_OP_RANDOM_NORMAL_LIKE;
    return s->shift + s->scale * (normal ? tsl_rng_normal(rng) : tsl_rng_uniform(rng));
}

static tslim_status run_random(const tsl_run *run) {
    const random_state *s = run->kernel->state;
    const tsl_tensor *y = &run->outputs[0], *x = s->op == TSL_OP_BERNOULLI ? &run->inputs[0] : NULL;
    const size_t size = tslim_dtype_size(y->dtype), x_size = x ? tslim_dtype_size(x->dtype) : 0;
    const int64_t elements = tsl_tensor_elements(y);
    tsl_rng rng;
    tsl_rng_seed(&rng, s->seed);
    for (int64_t i = 0; i < elements; i++) {
        double value = draw(s, &rng);
        if (x) value = value < tsl_load_double(x->dtype, (const uint8_t *)x->data + (size_t)i * x_size);
        tsl_store_doubles(y->dtype, (uint8_t *)y->data + (size_t)i * size, 0, 1, &value);
    }
    return TSLIM_OK;
}

// The first class whose part of the probabilities, laid end to end, reaches beyond `point`.
static int64_t find_class(const tsl_tensor *x, int64_t row, double largest, double point) {
    const int64_t classes = x->dims[1];
    const size_t size = tslim_dtype_size(x->dtype);
    const uint8_t *from = (const uint8_t *)x->data + (size_t)(row * classes) * size;
    double sum = 0;
    for (int64_t i = 0; i + 1 < classes; i++) {
        sum += exp(tsl_load_double(x->dtype, from + (size_t)i * size) - largest);
        if (point < sum) return i;
    }
    return classes - 1;
}

// Operand 0 holds unnormalized log-probabilities.
static tslim_status run_multinomial(const tsl_run *run) {
    const random_state *s = run->kernel->state;
    const tsl_tensor *x = &run->inputs[0], *y = &run->outputs[0];
    const size_t x_size = tslim_dtype_size(x->dtype), y_size = tslim_dtype_size(y->dtype);
    tsl_rng rng;
    tsl_rng_seed(&rng, s->seed);
    for (int64_t row = 0; row < x->dims[0]; row++) {
        const uint8_t *from = (const uint8_t *)x->data + (size_t)(row * x->dims[1]) * x_size;
        double largest = -INFINITY, sum = 0;
        for (int64_t i = 0; i < x->dims[1]; i++)
            largest = fmax(largest, tsl_load_double(x->dtype, from + (size_t)i * x_size));
        for (int64_t i = 0; i < x->dims[1]; i++)
            sum += exp(tsl_load_double(x->dtype, from + (size_t)i * x_size) - largest);
        for (int64_t i = 0; i < y->dims[1]; i++) {
            int64_t found = find_class(x, row, largest, tsl_rng_uniform(&rng) * sum);
            tsl_store_ints(
                y->dtype, (uint8_t *)y->data + (size_t)(row * y->dims[1] + i) * y_size, 0, 1, &found);
        }
    }
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_random(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = tsl_step_input(step, 0), *y = &step->outputs[0];
    TSL_NEW_STATE(random_state, s);
    bool uniform = step->op == TSL_OP_RANDOM_UNIFORM || step->op == TSL_OP_RANDOM_UNIFORM_LIKE;
    s->op = step->op;
    s->seed = tsl_step_seed(step);
    s->shift = (double)tsl_attrs_float(step->attrs, uniform ? TSL_ATTR_low : TSL_ATTR_mean, 0.0f);
    s->scale = uniform ? (double)tsl_attrs_float(step->attrs, TSL_ATTR_high, 1.0f) - s->shift
                       : (double)tsl_attrs_float(step->attrs, TSL_ATTR_scale, 1.0f);
    kernel->run = s->op == TSL_OP_MULTINOMIAL ? run_multinomial : run_random;
    kernel->name = "random";
    if (tslim_dtype_size(y->dtype) == 0) return tsl_cpu_unsupported(p);
    if (s->op == TSL_OP_BERNOULLI || s->op == TSL_OP_MULTINOMIAL) {
        s->shift = 0;
        s->scale = 1;
        if (!tsl_element_is_real(x->dtype)) return tsl_cpu_unsupported(p);
    }
    bool fits = s->op == TSL_OP_BERNOULLI     ? tsl_tensor_elements(x) == tsl_tensor_elements(y)
                : s->op == TSL_OP_MULTINOMIAL ? x->rank == 2 && y->rank == 2 && x->dims[0] == y->dims[0]
                                              : true;
    TSL_REQUIRE(fits && (s->op != TSL_OP_MULTINOMIAL || x->dims[1] > 0 || tsl_tensor_elements(y) == 0),
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': a result that does not fit", step->name);
    return TSLIM_OK;
}
