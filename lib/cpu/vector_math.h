// SPDX-License-Identifier: Apache-2.0
// exp, tanh, the logistic function, erf and their relatives, on sixteen floats. Ranges are reduced as in any
// textbook (Muller, Elementary Functions, 2016); exp's polynomial is Taylor's, the others were fitted by
// iteratively reweighted least squares (Lawson) to double precision values. Errors: exp under 2 ulp, the
// others under 1e-6 relative.
#ifndef TSL_CPU_VECTOR_MATH_H
#define TSL_CPU_VECTOR_MATH_H

#include "cpu/simd.h"

// exp(x) = 2^n * (1 + q): returns q and, through `biased`, 1.5 * 2^23 + n, whose low bits are those of n.
// x within -104..89 or NaN.
V_FUNCTION vf v_exp_reduced(vf x, vf *biased) {
    const vf magic = v_set(12582912.0f); // 1.5 * 2^23
    *biased = v_fma(x, v_set(1.44269504f), magic);
    vf n = v_sub(*biased, magic);
    vf r = v_fma(n, v_set(-0.693145752f), x); // ln 2 in two parts, the first of 16 bits: n times it is exact
    r = v_fma(n, v_set(-1.42860677e-6f), r);
    vf p = v_set(1.0f / 5040.0f);
    p = v_fma(p, r, v_set(1.0f / 720.0f));
    p = v_fma(p, r, v_set(1.0f / 120.0f));
    p = v_fma(p, r, v_set(1.0f / 24.0f));
    p = v_fma(p, r, v_set(1.0f / 6.0f));
    p = v_fma(p, r, v_set(0.5f));
    return v_fma(v_mul(r, r), p, r);
}

#define V_EXP_BIAS 0x4b400000u // the bits of 1.5 * 2^23

// 2^n in two factors, since n may be 128 or down to -150 where the result is subnormal.
V_FUNCTION vf v_scale(vf p, vf biased) {
    vf y = v_mul(p, v_power_of_2(biased, V_EXP_BIAS, 2, 0));
    return v_mul(y, v_power_of_2(biased, V_EXP_BIAS, 2, 1));
}

V_FUNCTION vf v_exp(vf x) {
    vf biased;
    x = v_clamp(x, v_set(-104.0f), v_set(89.0f));
    vf q = v_exp_reduced(x, &biased);
    return v_scale(v_add(q, v_set(1.0f)), biased);
}

// exp(x) - 1, without cancellation near 0.
V_FUNCTION vf v_expm1(vf x) {
    vf biased;
    vf inside = v_clamp(x, v_set(-104.0f), v_set(89.0f));
    vf q = v_exp_reduced(inside, &biased);
    vf whole = v_sub(v_scale(v_add(q, v_set(1.0f)), biased), v_set(1.0f));
    return v_select(v_equal(biased, v_set(12582912.0f)), q, whole);
}

V_FUNCTION vf v_sigmoid(vf x) {
    vf e = v_exp(v_neg(v_abs(x)));
    vf s = v_div(v_set(1.0f), v_add(e, v_set(1.0f)));
    return v_select(v_less(x, v_set(0.0f)), v_mul(e, s), s);
}

V_FUNCTION vf v_tanh(vf x) {
    vf magnitude = v_abs(x), square = v_mul(x, x);
    vf p = v_set(-5.717036561e-03f);
    p = v_fma(p, square, v_set(2.065057900e-02f));
    p = v_fma(p, square, v_set(-5.374349526e-02f));
    p = v_fma(p, square, v_set(1.333149125e-01f));
    p = v_fma(p, square, v_set(-3.333328392e-01f));
    vf near = v_fma(v_mul(square, magnitude), p, magnitude);
    vf e = v_exp(v_mul(magnitude, v_set(-2.0f)));
    vf far = v_div(v_sub(v_set(1.0f), e), v_add(v_set(1.0f), e));
    return v_copy_sign(v_select(v_less(magnitude, v_set(0.625f)), near, far), x);
}

// erf for 0 <= x < 1.
V_FUNCTION vf v_erf_near(vf x) {
    vf square = v_mul(x, x);
    vf p = v_set(7.889119520e-05f);
    p = v_fma(p, square, v_set(-8.020841277e-04f));
    p = v_fma(p, square, v_set(5.189535339e-03f));
    p = v_fma(p, square, v_set(-2.685444459e-02f));
    p = v_fma(p, square, v_set(1.128360018e-01f));
    p = v_fma(p, square, v_set(-3.761262714e-01f));
    p = v_fma(p, square, v_set(1.128379166f));
    return v_mul(x, p);
}

// 1 - erf for x >= 1: exp of a polynomial fitted to log(erfc) on 1..4, which falls on until 9.
V_FUNCTION vf v_erfc_far(vf x) {
    x = v_min(v_set(9.0f), x);
    vf p = v_set(1.855748932e-04f);
    p = v_fma(p, x, v_set(-2.939615735e-03f));
    p = v_fma(p, x, v_set(2.180535115e-02f));
    p = v_fma(p, x, v_set(-1.030374355e-01f));
    p = v_fma(p, x, v_set(-6.382256024e-01f));
    p = v_fma(p, x, v_set(-1.127040080f));
    p = v_fma(p, x, v_set(-3.537089288e-04f));
    return v_exp(p);
}

V_FUNCTION vf v_erf(vf x) {
    vf magnitude = v_abs(x);
    vf far = v_sub(v_set(1.0f), v_erfc_far(magnitude));
    vf y = v_select(v_less(magnitude, v_set(1.0f)), v_erf_near(magnitude), far);
    return v_copy_sign(y, x);
}

// x * (1 + erf(x / sqrt(2))) / 2
V_FUNCTION vf v_gelu(vf x) {
    const vf one = v_set(1.0f);
    vf t = v_mul(v_abs(x), v_set(0.707106781f));
    vf erf = v_erf_near(t), erfc = v_erfc_far(t);
    vm near = v_less(t, one);
    vf below = v_select(near, v_sub(one, erf), erfc);
    vf above = v_add(one, v_select(near, erf, v_sub(one, erfc)));
    vf twice = v_select(v_less(x, v_set(0.0f)), below, above);
    // Below -20 the result is under 1e-28, and must not grow with x.
    return v_mul(v_mul(v_set(0.5f), v_max(v_set(-20.0f), x)), twice);
}

// The approximation of gelu: x * (1 + tanh(u)) / 2 = x * sigmoid(2u), u = sqrt(2/pi) * (x + 0.044715 x^3)
V_FUNCTION vf v_gelu_tanh(vf x) {
    vf cubic = v_fma(v_mul(v_mul(x, x), v_set(0.044715f)), x, x);
    return v_mul(x, v_sigmoid(v_mul(cubic, v_set(1.595769122f))));
}

// x * tanh(log(1 + exp(x))), where the tanh is a ratio of polynomials in exp(-|x|).
V_FUNCTION vf v_mish(vf x) {
    vf e = v_exp(v_neg(v_abs(x)));
    vf square = v_mul(e, e);
    const vf one = v_set(1.0f), two = v_set(2.0f);
    vf above = v_fma(two, e, one); // (1 + 2e) / (1 + 2e + 2e^2)
    vf above_all = v_fma(two, square, above);
    vf below = v_fma(two, e, square); // (e^2 + 2e) / (e^2 + 2e + 2)
    vf below_all = v_add(below, two);
    vm negative = v_less(x, v_set(0.0f));
    return v_mul(x, v_div(v_select(negative, below, above), v_select(negative, below_all, above_all)));
}

#endif
