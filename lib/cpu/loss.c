// SPDX-License-Identifier: Apache-2.0
// NegativeLogLikelihoodLoss: minus the score of the class that is the target, weighted by class; and
// SoftmaxCrossEntropyLoss, which makes scores log-probabilities first. Classes are axis 1. Sums are in
// double.
#include <inttypes.h>
#include <string.h>

#include "cpu/operator.h"

typedef enum reduction { NONE, SUM, MEAN } reduction;

typedef struct loss_state {
    tsl_rows_along rows; // along the classes
    reduction reduction;
    bool softmax, has_weights, has_scores; // has_scores: log-probabilities are output 1
    bool ignores;
    int64_t ignored; // target
} loss_state;

static ptrdiff_t size_of(const tsl_tensor *t) {
    return (ptrdiff_t)tslim_dtype_size(t->dtype);
}

// log(sum(exp(x))) of a row.
static double log_sum_exp(const tsl_tensor *x, const uint8_t *from, ptrdiff_t stride, int64_t length) {
    double block[TSL_BLOCK], largest = -INFINITY, sum = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t first = 0; first < length; first += TSL_BLOCK) {
            size_t n = length - first < TSL_BLOCK ? (size_t)(length - first) : TSL_BLOCK;
            tsl_load_doubles(x->dtype, from + (ptrdiff_t)first * stride, stride, n, block);
            for (size_t i = 0; i < n; i++) {
                if (pass == 0)
                    largest = block[i] > largest || isnan(block[i]) ? block[i] : largest;
                else
                    sum += exp(block[i] - largest);
            }
        }
        if (isinf(largest)) largest = 0;
    }
    return largest + log(sum);
}

static void store_scores(const tsl_tensor *x, const tsl_tensor *y, ptrdiff_t offset, ptrdiff_t stride,
    int64_t length, double shift) {
    for (int64_t i = 0; i < length; i++) {
        ptrdiff_t at = offset + (ptrdiff_t)i * stride;
        double value = tsl_load_double(x->dtype, (const uint8_t *)x->data + at) - shift;
        tsl_store_doubles(y->dtype, (uint8_t *)y->data + at, 0, 1, &value);
    }
}

static tslim_status check_targets(const loss_state *s, const tsl_tensor *targets) {
    for (int64_t i = 0; i < tsl_tensor_elements(targets); i++) {
        int64_t target =
            tsl_load_int(targets->dtype, (const uint8_t *)targets->data + (ptrdiff_t)i * size_of(targets));
        TSL_REQUIRE((target >= 0 && target < s->rows.length) || (s->ignores && target == s->ignored),
            TSLIM_ERROR_INVALID_ARGUMENT,
            "target %" PRId64 " at position %" PRId64 " is out of range: there are %" PRId64 " classes",
            target, i, s->rows.length);
    }
    return TSLIM_OK;
}

static tslim_status run_loss(const tsl_run *run) {
    const loss_state *s = run->kernel->state;
    const tsl_tensor *x = &run->inputs[0], *targets = &run->inputs[1], *y = &run->outputs[0];
    const tsl_tensor *weights = s->has_weights ? &run->inputs[2] : NULL;
    const ptrdiff_t stride = (ptrdiff_t)s->rows.inner * size_of(x);
    double total = 0, total_weight = 0;
    TSL_TRY(check_targets(s, targets));
    for (int64_t row = 0; row < s->rows.outer * s->rows.inner; row++) {
        int64_t first = row / s->rows.inner * s->rows.inner * s->rows.length + row % s->rows.inner;
        ptrdiff_t offset = (ptrdiff_t)first * size_of(x);
        const uint8_t *from = (const uint8_t *)x->data + offset;
        double shift = s->softmax ? log_sum_exp(x, from, stride, s->rows.length) : 0;
        if (s->has_scores) store_scores(x, &run->outputs[1], offset, stride, s->rows.length, shift);
        int64_t target =
            tsl_load_int(targets->dtype, (const uint8_t *)targets->data + (ptrdiff_t)row * size_of(targets));
        double loss = 0;
        if (!s->ignores || target != s->ignored) {
            double weight = 1;
            if (weights)
                weight = tsl_load_double(
                    weights->dtype, (const uint8_t *)weights->data + (ptrdiff_t)target * size_of(weights));
            loss = weight * (shift - tsl_load_double(x->dtype, from + (ptrdiff_t)target * stride));
            total_weight += weight;
        }
        total += loss;
        if (s->reduction == NONE)
            tsl_store_doubles(y->dtype, (uint8_t *)y->data + (ptrdiff_t)row * size_of(y), 0, 1, &loss);
    }
    if (s->reduction == MEAN) total /= total_weight;
    if (s->reduction != NONE) tsl_store_doubles(y->dtype, y->data, 0, 1, &total);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_loss(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0], *targets = &step->inputs[1], *weights = tsl_step_input(step, 2);
    TSL_NEW_STATE(loss_state, s);
    kernel->run = run_loss;
    kernel->name = "loss";
    const char *how = tsl_attrs_string(step->attrs, TSL_ATTR_reduction, "mean");
    s->reduction = strcmp(how, "none") == 0 ? NONE : strcmp(how, "sum") == 0 ? SUM : MEAN;
    s->softmax = step->op == TSL_OP_SOFTMAX_CROSS_ENTROPY_LOSS;
    s->has_weights = weights != NULL;
    s->has_scores = s->softmax && step->n_outputs > 1 && step->outputs[1].dtype != TSLIM_DTYPE_NONE;
    s->ignores = tsl_attrs_find(step->attrs, TSL_ATTR_ignore_index) != NULL;
    s->ignored = tsl_attrs_int(step->attrs, TSL_ATTR_ignore_index, 0);
    bool fits = x->rank >= 2 && targets->rank == x->rank - 1;
    for (uint32_t i = 0; fits && i < targets->rank; i++)
        fits = targets->dims[i] == x->dims[i == 0 ? 0 : i + 1];
    TSL_REQUIRE(fits && (!weights || tsl_tensor_elements(weights) == x->dims[1]),
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': targets or weights that do not fit", step->name);
    s->rows = tsl_along_axis(x, 1);
    bool types = tsl_element_is_real(x->dtype) && step->outputs[0].dtype == x->dtype &&
                 tsl_element_is_integer(targets->dtype) && (!weights || weights->dtype == x->dtype) &&
                 (!s->has_scores || step->outputs[1].dtype == x->dtype);
    return types ? TSLIM_OK : tsl_cpu_unsupported(p);
}
