// SPDX-License-Identifier: Apache-2.0
// dx = dy * f'(t), where t is the function's result for those whose derivative follows from it: Relu, Clip,
// Sigmoid, HardSigmoid, Tanh, Exp, Sqrt and Reciprocal; and its operand for all others.
#include <math.h>
#include <string.h>

#include "cpu/function.h"
#include "cpu/operator.h"

typedef struct function_gradient {
    tsl_function function;
    tslim_dtype dtype;
    uint32_t n_inputs; // bounds of Clip are operands 2 and 3
    const tsl_cpu_functions *functions;
} function_gradient;

static double sigmoid(double x) {
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static double gelu_slope(const tsl_function *f, double x) {
    if (f->alpha != 1) { // exact: the normal distribution's function, and x times its density
        return 0.5 * erfc(-x * 0.70710678118654752440) + x * 0.39894228040143267794 * exp(-0.5 * x * x);
    }
    const double c = 2 * 0.79788456080286535588, s = sigmoid(c * (x + 0.044715 * x * x * x));
    return s + x * s * (1 - s) * c * (1 + 3 * 0.044715 * x * x);
}

static double mish_slope(double x) {
    const double t = tanh(fmax(x, 0) + log1p(exp(-fabs(x))));
    return t + x * (1 - t * t) * sigmoid(x);
}

static double hard_swish_slope(double x) {
    return x <= -3 ? 0 : x >= 3 ? 1 : x / 3 + 0.5;
}

static double slope(const tsl_function *f, double t) {
    switch (f->op) {
    case TSL_OP_RELU:
        return t > 0;
    case TSL_OP_CLIP:
        return t > f->lo && t < f->hi;
    case TSL_OP_SIGMOID:
        return t * (1 - t);
    case TSL_OP_HARD_SIGMOID:
        return t > 0 && t < 1 ? f->alpha : 0;
    case TSL_OP_TANH:
        return 1 - t * t;
    case TSL_OP_EXP:
        return t;
    case TSL_OP_SQRT:
        return 0.5 / t;
    case TSL_OP_RECIPROCAL:
        return -t * t;
    case TSL_OP_LEAKY_RELU:
        return t < 0 ? f->alpha : 1;
    case TSL_OP_HARD_SWISH:
        return hard_swish_slope(t);
    case TSL_OP_SILU:
        return sigmoid(t) * (1 + t * (1 - sigmoid(t)));
    case TSL_OP_ELU:
        return t < 0 ? f->alpha * exp(t) : 1;
    case TSL_OP_SELU:
        return f->beta * (t < 0 ? f->alpha * exp(t) : 1);
    case TSL_OP_CELU:
        return t < 0 ? exp(t / f->alpha) : 1;
    case TSL_OP_GELU:
        return gelu_slope(f, t);
    case TSL_OP_MISH:
        return mish_slope(t);
    case TSL_OP_SOFTPLUS:
        return sigmoid(t);
    case TSL_OP_SOFTSIGN:
        return 1 / ((1 + fabs(t)) * (1 + fabs(t)));
    case TSL_OP_THRESHOLDED_RELU:
        return t > f->alpha;
    case TSL_OP_NEG:
        return -1;
    case TSL_OP_ABS:
        return (t > 0) - (t < 0);
    case TSL_OP_LOG:
        return 1 / t;
    case TSL_OP_ERF:
        return 1.12837916709551257390 * exp(-t * t); // 2 / sqrt(pi)
    case TSL_OP_SIN:
        return cos(t);
    case TSL_OP_COS:
        return -sin(t);
    case TSL_OP_TAN:
        return 1 + tan(t) * tan(t);
    case TSL_OP_ASIN:
        return 1 / sqrt(1 - t * t);
    case TSL_OP_ACOS:
        return -1 / sqrt(1 - t * t);
    case TSL_OP_ATAN:
        return 1 / (1 + t * t);
    case TSL_OP_SINH:
        return cosh(t);
    case TSL_OP_COSH:
        return sinh(t);
    case TSL_OP_ASINH:
        return 1 / sqrt(t * t + 1);
    case TSL_OP_ACOSH:
        return 1 / sqrt(t * t - 1);
    case TSL_OP_ATANH:
        return 1 / (1 - t * t);
    case TSL_OP_SHRINK:
        return t < -f->alpha || t > f->alpha;
    default:
        return NAN; // refused by prepare
    }
}

static bool has_slope(tsl_op op) {
    const tsl_function f = {.op = op, .alpha = 1, .beta = 1, .lo = 0, .hi = 1};
    return !isnan(slope(&f, op == TSL_OP_ACOSH ? 2 : 0.5));
}

static void run_loop(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    const function_gradient *s = user;
    double dy[TSL_BLOCK], t[TSL_BLOCK];
    for (size_t first = 0; first < count; first += TSL_BLOCK) {
        const size_t n = count - first < TSL_BLOCK ? count - first : TSL_BLOCK;
        const ptrdiff_t at = (ptrdiff_t)first;
        tsl_load_doubles(s->dtype, data[1] + at * strides[1], strides[1], n, dy);
        tsl_load_doubles(s->dtype, data[2] + at * strides[2], strides[2], n, t);
        // A slope of 0 is that of a value that does not matter, whatever its gradient.
        for (size_t i = 0; i < n; i++) {
            const double here = slope(&s->function, t[i]);
            dy[i] = here == 0 ? 0 : dy[i] * here;
        }
        tsl_store_doubles(s->dtype, data[0] + at * strides[0], strides[0], n, dy);
    }
}

static bool is_vector(const tsl_function *f) {
    switch (f->op) {
    case TSL_OP_RELU:
    case TSL_OP_CLIP:
    case TSL_OP_LEAKY_RELU:
    case TSL_OP_SIGMOID:
    case TSL_OP_HARD_SIGMOID:
    case TSL_OP_HARD_SWISH:
    case TSL_OP_SILU:
    case TSL_OP_TANH:
    case TSL_OP_EXP:
    case TSL_OP_SQRT:
    case TSL_OP_RECIPROCAL:
        return true;
    case TSL_OP_GELU:
        return f->alpha != 1; // not its approximation
    default:
        return false;
    }
}

static void run_floats(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    const function_gradient *s = user;
    if (strides[0] != sizeof(float) || strides[1] != sizeof(float) || strides[2] != sizeof(float)) {
        run_loop(user, data, strides, count);
        return;
    }
    tsl_function_gradient_f32_args args = {.op = s->function.op,
        .dx = (float *)(void *)data[0],
        .dy = (const float *)(const void *)data[1],
        .t = (const float *)(const void *)data[2],
        .n = count,
        .alpha = (float)s->function.alpha,
        .lo = (float)s->function.lo,
        .hi = (float)s->function.hi};
    s->functions->function_gradient_f32(&args);
}

static tslim_status run_function_gradient(const tsl_run *run) {
    function_gradient s = *(const function_gradient *)run->kernel->state;
    for (uint32_t i = 2; i < s.n_inputs; i++) {
        const tsl_tensor *bound = &run->inputs[i];
        if (bound->dtype == TSLIM_DTYPE_NONE) continue;
        const double value = tsl_load_double(bound->dtype, bound->data);
        if (i == 2)
            s.function.lo = fmax(s.function.lo, value);
        else
            s.function.hi = fmin(s.function.hi, value);
    }
    tsl_iteration it;
    const tsl_tensor *operands[] = {&run->outputs[0], &run->inputs[0], &run->inputs[1]};
    tsl_iteration_init(&it, operands, 3);
    const bool vector = s.dtype == TSLIM_DTYPE_FLOAT && is_vector(&s.function);
    tsl_iterate(run->ctx, &it, vector ? run_floats : run_loop, &s);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_function_gradient(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *dy = &step->inputs[0], *t = &step->inputs[1], *dx = &step->outputs[0];
    TSL_NEW_STATE(function_gradient, s);
    const char *mode = tsl_attrs_string(step->attrs, TSL_ATTR_mode, "");
    tsl_step forward = *step;
    forward.op = tsl_op_find("", mode);
    if (forward.op == TSL_OP_UNKNOWN) forward.op = tsl_op_find("tinyslim", mode);
    TSL_REQUIRE(has_slope(forward.op), TSLIM_ERROR_UNSUPPORTED, "node '%s': no derivative of '%.40s'",
        step->name, mode);
    tsl_function_init(&s->function, &forward);
    s->dtype = dy->dtype;
    s->n_inputs = step->n_inputs;
    s->functions = p->functions;
    kernel->run = run_function_gradient;
    kernel->name = "function gradient";
    bool same = dy->rank == t->rank && dy->rank == dx->rank;
    for (uint32_t i = 0; same && i < dy->rank; i++)
        same = dy->dims[i] == t->dims[i] && dy->dims[i] == dx->dims[i];
    TSL_REQUIRE(same, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': operands of several shapes", step->name);
    for (uint32_t i = 2; i < step->n_inputs; i++)
        TSL_REQUIRE(!tsl_step_input(step, i) || tsl_tensor_elements(&step->inputs[i]) == 1,
            TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': its bounds are not single numbers", step->name);
    bool reals = dy->dtype == TSLIM_DTYPE_FLOAT || dy->dtype == TSLIM_DTYPE_DOUBLE;
    return reals && t->dtype == dy->dtype && dx->dtype == dy->dtype ? TSLIM_OK : tsl_cpu_unsupported(p);
}
