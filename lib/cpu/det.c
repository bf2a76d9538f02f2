// SPDX-License-Identifier: Apache-2.0
// Det: determinants of square matrices, by Gaussian elimination in double with the largest pivot of each
// column.
#include "cpu/operator.h"
#include "cpu/product.h"

typedef struct det_state {
    size_t n, scratch;
} det_state;

static void swap_rows(double *a, double *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        double x = a[i];
        a[i] = b[i];
        b[i] = x;
    }
}

static double determinant(double *m, size_t n) {
    double result = 1;
    for (size_t i = 0; i < n; i++) {
        size_t pivot = i;
        for (size_t row = i + 1; row < n; row++)
            if (fabs(m[row * n + i]) > fabs(m[pivot * n + i])) pivot = row;
        if (pivot != i) {
            swap_rows(m + pivot * n, m + i * n, n);
            result = -result;
        }
        result *= m[i * n + i];
        if (m[i * n + i] == 0) return 0;
        for (size_t row = i + 1; row < n; row++) {
            double factor = m[row * n + i] / m[i * n + i];
            for (size_t k = i; k < n; k++) m[row * n + k] -= factor * m[i * n + k];
        }
    }
    return result;
}

static tslim_status run_det(const tsl_run *run) {
    const det_state *s = run->kernel->state;
    const tsl_tensor *x = &run->inputs[0], *y = &run->outputs[0];
    const size_t size = tslim_dtype_size(x->dtype), elements = s->n * s->n;
    double *matrix = (double *)(void *)(run->scratch + s->scratch);
    for (int64_t i = 0; i < tsl_tensor_elements(y); i++) {
        tsl_load_doubles(x->dtype, (const uint8_t *)x->data + (size_t)i * elements * size, (ptrdiff_t)size,
            elements, matrix);
        double value = determinant(matrix, s->n);
        tsl_store_doubles(y->dtype, (uint8_t *)y->data + (size_t)i * size, 0, 1, &value);
    }
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_det(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_tensor *x = &p->step->inputs[0], *y = &p->step->outputs[0];
    TSL_NEW_STATE(det_state, s);
    kernel->run = run_det;
    kernel->name = "determinant";
    TSL_REQUIRE(x->rank >= 2 && x->dims[x->rank - 1] == x->dims[x->rank - 2], TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': not square matrices", p->step->name);
    if (!tsl_element_is_real(x->dtype) || y->dtype != x->dtype) return tsl_cpu_unsupported(p);
    s->n = (size_t)x->dims[x->rank - 1];
    kernel->macs = (uint64_t)tsl_tensor_elements(x) * s->n / 3;
    return tsl_scratch_reserve(kernel, s->n * s->n * sizeof(double), &s->scratch);
}
