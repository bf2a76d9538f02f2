// SPDX-License-Identifier: Apache-2.0
// The functions of one value, by their definitions in ONNX: see function.h.
#include "cpu/function.h"

#include <math.h>
#include <string.h>

void tsl_function_init(tsl_function *f, const tsl_step *step) {
    const tsl_attrs *attrs = step->attrs;
    double alpha = 0, beta = 0;
    switch (step->op) {
    case TSL_OP_HARD_SIGMOID:
        alpha = (double)0.2f, beta = 0.5;
        break;
    case TSL_OP_LEAKY_RELU:
        alpha = (double)0.01f;
        break;
    case TSL_OP_SELU:
        alpha = (double)1.67326319217681884765625f;
        break;
    case TSL_OP_ELU:
    case TSL_OP_CELU:
    case TSL_OP_THRESHOLDED_RELU:
        alpha = 1;
        break;
    default:
        break;
    }
    *f = (tsl_function){.op = step->op, .lo = -INFINITY, .hi = INFINITY};
    f->alpha = (double)tsl_attrs_float(attrs, TSL_ATTR_alpha, (float)alpha);
    f->beta = (double)tsl_attrs_float(attrs, TSL_ATTR_beta, (float)beta);
    if (step->op == TSL_OP_SELU)
        f->beta = (double)tsl_attrs_float(attrs, TSL_ATTR_gamma, 1.05070102214813232421875f);
    if (step->op == TSL_OP_SHRINK) {
        f->alpha = (double)tsl_attrs_float(attrs, TSL_ATTR_lambd, 0.5f);
        f->beta = (double)tsl_attrs_float(attrs, TSL_ATTR_bias, 0.0f);
    }
    if (step->op == TSL_OP_GELU)
        f->alpha = strcmp(tsl_attrs_string(attrs, TSL_ATTR_approximate, "none"), "tanh") == 0;
    if (step->op == TSL_OP_CLIP) {
        f->lo = (double)tsl_attrs_float(attrs, TSL_ATTR_min, -INFINITY);
        f->hi = (double)tsl_attrs_float(attrs, TSL_ATTR_max, INFINITY);
    }
    if (step->epilogue.clamp) {
        f->lo = fmax(f->lo, (double)step->epilogue.lo);
        f->hi = fmin(f->hi, (double)step->epilogue.hi);
    }
}

static double sigmoid(double x) {
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}
static double softplus(double x) {
    return fmax(x, 0) + log1p(exp(-fabs(x)));
}
static double clamp(double x, double lo, double hi) {
    return x < lo ? lo : x > hi ? hi : x;
}
static double elu(double x, double alpha, double divisor) {
    return x < 0 ? alpha * expm1(x / divisor) : x;
}

static double gelu_tanh(double x) {
    return x * sigmoid(2 * 0.79788456080286535588 * (x + 0.044715 * x * x * x)); // sqrt(2 / pi)
}

static double value(const tsl_function *f, double x) {
    switch (f->op) {
    case TSL_OP_RELU:
        return x < 0 ? 0 : x;
    case TSL_OP_LEAKY_RELU:
        return x < 0 ? f->alpha * x : x;
    case TSL_OP_SIGMOID:
        return sigmoid(x);
    case TSL_OP_HARD_SIGMOID:
        return clamp(f->alpha * x + f->beta, 0, 1);
    case TSL_OP_HARD_SWISH:
        return x * clamp(x / 6 + 0.5, 0, 1);
    case TSL_OP_SILU:
        return x * sigmoid(x);
    case TSL_OP_TANH:
        return tanh(x);
    case TSL_OP_ELU:
        return elu(x, f->alpha, 1);
    case TSL_OP_SELU:
        return f->beta * elu(x, f->alpha, 1);
    case TSL_OP_CELU:
        return elu(x, f->alpha, f->alpha);
    case TSL_OP_GELU:
        return f->alpha == 1 ? gelu_tanh(x) : 0.5 * x * erfc(-x * 0.70710678118654752440);
    case TSL_OP_MISH:
        return x * tanh(softplus(x));
    case TSL_OP_SOFTPLUS:
        return isnan(x) ? x : softplus(x);
    case TSL_OP_SOFTSIGN:
        return x / (1 + fabs(x));
    case TSL_OP_THRESHOLDED_RELU:
        return x > f->alpha || isnan(x) ? x : 0;
    case TSL_OP_SQRT:
        return sqrt(x);
    case TSL_OP_NEG:
        return -x;
    case TSL_OP_ABS:
        return fabs(x);
    case TSL_OP_EXP:
        return exp(x);
    case TSL_OP_LOG:
        return log(x);
    case TSL_OP_ERF:
        return erf(x);
    case TSL_OP_FLOOR:
        return floor(x);
    case TSL_OP_CEIL:
        return ceil(x);
    case TSL_OP_ROUND:
        return nearbyint(x);
    case TSL_OP_SIGN:
        return isnan(x) ? x : (double)((x > 0) - (x < 0));
    case TSL_OP_RECIPROCAL:
        return 1 / x;
    case TSL_OP_SIN:
        return sin(x);
    case TSL_OP_COS:
        return cos(x);
    case TSL_OP_TAN:
        return tan(x);
    case TSL_OP_ASIN:
        return asin(x);
    case TSL_OP_ACOS:
        return acos(x);
    case TSL_OP_ATAN:
        return atan(x);
    case TSL_OP_SINH:
        return sinh(x);
    case TSL_OP_COSH:
        return cosh(x);
    case TSL_OP_ASINH:
        return asinh(x);
    case TSL_OP_ACOSH:
        return acosh(x);
    case TSL_OP_ATANH:
        return atanh(x);
    case TSL_OP_SHRINK:
        return x < -f->alpha ? x + f->beta : x > f->alpha ? x - f->beta : isnan(x) ? x : 0;
    case TSL_OP_NOT:
        return x == 0;
    default:
        return x; // Clip: only the bounds
    }
}

double tsl_function_value(const tsl_function *f, double x) {
    return clamp(value(f, x), f->lo, f->hi);
}

bool tsl_function_is_vector(tsl_op op) {
    return op != TSL_OP_SOFTPLUS && op != TSL_OP_LOG && op != TSL_OP_SIN && op != TSL_OP_COS &&
           !(op >= TSL_OP_TAN && op <= TSL_OP_NOT);
}
