// SPDX-License-Identifier: Apache-2.0
// Packed weights: every element at the place that cpu/pack.h gives it, zeros elsewhere, sums right, the way
// back exact.
#include "cpu/kernels.h"
#include "cpu/pack.h"
#include "kernels/kernel_test.h"

typedef struct pack_case {
    tsl_attr items[4];
    tsl_attrs attrs;
    int64_t strides[2], dilations[2];
    test_tensor weights;
    tsl_pack_request request;
    tsl_pack_geometry geometry;
    guarded packed, back;
} pack_case;

static void draw_case(pack_case *t, tslim_dtype dtype) {
    static const tsl_op ops[] = {TSL_OP_CONV, TSL_OP_CONV_TRANSPOSE, TSL_OP_GEMM, TSL_OP_MATMUL};
    *t = (pack_case){.request = {.op = ops[random_between(0, 3)], .input_index = 1}};
    bool conv = t->request.op == TSL_OP_CONV || t->request.op == TSL_OP_CONV_TRANSPOSE;
    int64_t groups = conv && one_in(2) ? random_between(2, 6) : 1;
    tsl_tensor *w = &t->weights.tensor;
    *w = (tsl_tensor){.dtype = dtype, .rank = conv ? (one_in(4) ? 3 : 4) : 2, .constant = true};
    w->dims[0] = groups * (one_in(3) ? 1 : random_between(1, 40));
    w->dims[1] = one_in(3) ? 1 : random_between(1, 40);
    w->dims[2] = random_between(1, 5);
    w->dims[3] = random_between(1, 5);
    for (int i = 0; i < 2; i++) {
        t->strides[i] = random_between(1, 4);
        t->dilations[i] = random_between(1, 3);
    }
    t->items[0] = (tsl_attr){.id = TSL_ATTR_group, .type = TSL_ATTR_TYPE_INT, .i = groups};
    t->items[1] = (tsl_attr){
        .id = TSL_ATTR_strides, .type = TSL_ATTR_TYPE_INTS, .count = w->rank - 2, .ints = t->strides};
    t->items[2] = (tsl_attr){
        .id = TSL_ATTR_dilations, .type = TSL_ATTR_TYPE_INTS, .count = w->rank - 2, .ints = t->dilations};
    t->items[3] = (tsl_attr){.id = TSL_ATTR_transB, .type = TSL_ATTR_TYPE_INT, .i = random_between(0, 1)};
    t->attrs = (tsl_attrs){t->items, 4};
    test_tensor_layout(w, false, 0);
    test_tensor_allocate(&t->weights);
    test_tensor_randomize(w, -128, 127);
    t->request.attrs = &t->attrs;
    t->request.weights = *w;
}

static void free_case(pack_case *t) {
    test_tensor_free(&t->weights);
    guarded_free(&t->packed);
    guarded_free(&t->back);
}

// The kernel positions in an order that is computed another way: sorted by (y mod period, x mod period, y,
// x).
static void sorted_taps(const tsl_taps *taps, size_t order[25][2]) {
    size_t count = 0;
    for (size_t phase = 0; phase < taps->period[0] * taps->period[1]; phase++)
        for (size_t y = 0; y < taps->kernel[0]; y++)
            for (size_t x = 0; x < taps->kernel[1]; x++) {
                if (y % taps->period[0] * taps->period[1] + x % taps->period[1] != phase) continue;
                order[count][0] = y;
                order[count++][1] = x;
            }
}

// The index in row-major weights of (group, out, in, position).
static int64_t plain_index(const pack_case *t, size_t group, size_t j, size_t i, const size_t at[2]) {
    const tsl_pack_geometry *g = &t->geometry;
    size_t tap = at[0] * g->taps.kernel[1] + at[1];
    switch (t->request.op) {
    case TSL_OP_CONV:
        return (int64_t)(((group * g->n + j) * g->k + i) * g->n_taps + tap);
    case TSL_OP_CONV_TRANSPOSE:
        return (int64_t)(((group * g->k + i) * g->n + j) * g->n_taps + tap);
    case TSL_OP_GEMM:
        return (int64_t)(t->items[3].i ? j * g->k + i : i * g->n + j);
    default:
        return (int64_t)(i * g->n + j);
    }
}

static double packed_value(const pack_case *t, size_t index) {
    return t->request.weights.dtype == TSLIM_DTYPE_FLOAT
               ? (double)((const float *)(const void *)t->packed.data)[index]
               : ((const int8_t *)t->packed.data)[index];
}

static void check_depthwise(const pack_case *t) {
    const tsl_pack_geometry *g = &t->geometry;
    size_t padded = (g->groups + 15) / 16 * 16;
    for (size_t tap = 0; tap < g->n_taps; tap++)
        for (size_t j = 0; j < padded; j++) {
            double wanted =
                j < g->groups ? test_tensor_get(&t->weights.tensor, (int64_t)(j * g->n_taps + tap)) : 0;
            assert_true(packed_value(t, tap * padded + j) == wanted);
        }
}

// Walks the packed memory in its documented order; returns how many elements it saw.
static size_t check_panels(const pack_case *t, size_t order[25][2]) {
    const tsl_pack_geometry *g = &t->geometry;
    size_t step = t->request.weights.dtype == TSLIM_DTYPE_INT8 ? 4 : 1, index = 0;
    for (size_t group = 0; group < g->groups; group++)
        for (size_t panel = 0; panel < (g->n + 15) / 16; panel++)
            for (size_t tap = 0; tap < g->n_taps; tap++)
                for (size_t i = 0; i < g->k; i += step)
                    for (size_t j = panel * 16; j < panel * 16 + 16; j++)
                        for (size_t b = 0; b < step; b++, index++) {
                            bool inside = j < g->n && i + b < g->k;
                            double wanted = inside ? test_tensor_get(&t->weights.tensor,
                                                         plain_index(t, group, j, i + b, order[tap]))
                                                   : 0;
                            assert_true(packed_value(t, index) == wanted);
                        }
    return index;
}

static void check_sums(const pack_case *t) {
    const tsl_pack_geometry *g = &t->geometry;
    const int32_t *sums = (const int32_t *)(const void *)(t->packed.data + g->sums_offset);
    size_t padded = g->panels * 16;
    for (size_t channel = 0; channel < g->groups * padded; channel++) {
        size_t group = channel / padded, j = channel % padded;
        double sum = 0;
        for (size_t i = 0; j < g->n && i < g->k; i++)
            for (size_t tap = 0; tap < g->n_taps; tap++) {
                size_t at[2] = {tap / g->taps.kernel[1], tap % g->taps.kernel[1]};
                sum += test_tensor_get(&t->weights.tensor, plain_index(t, group, j, i, at));
            }
        assert_true((double)sums[channel] == sum);
    }
}

static void run_cases(tslim_dtype dtype) {
    for (int i = 0; i < 400; i++) {
        pack_case t;
        draw_case(&t, dtype);
        tsl_packing packing;
        size_t bytes,
            weights_bytes = (size_t)tsl_tensor_elements(&t.weights.tensor) * tslim_dtype_size(dtype);
        assert_int_equal(tsl_cpu_packed_size(&t.request, &packing, &bytes), TSLIM_OK);
        assert_int_equal(tsl_pack_geometry_get(&t.request, &t.geometry), TSLIM_OK);
        assert_int_equal(packing, t.geometry.packing);
        assert_int_equal(bytes, t.geometry.bytes);
        // Both end where touching faults; poison shows what was not written.
        t.packed = guarded_create(bytes);
        memset(guarded_resize(&t.packed, bytes), POISON, bytes);
        tsl_cpu_pack(&t.request, t.packed.data);
        if (packing == TSL_PACKING_DEPTHWISE) {
            check_depthwise(&t);
        } else {
            size_t order[25][2] = {{0, 0}};
            sorted_taps(&t.geometry.taps, order);
            size_t end = check_panels(&t, order) * tslim_dtype_size(dtype);
            if (dtype == TSLIM_DTYPE_INT8)
                check_sums(&t);
            else
                assert_int_equal(end, bytes);
        }
        t.back = guarded_create(weights_bytes);
        memset(guarded_resize(&t.back, weights_bytes), POISON, weights_bytes);
        tsl_cpu_unpack(&t.request, t.packed.data, t.back.data);
        assert_memory_equal(t.back.data, t.weights.tensor.data, weights_bytes);
        free_case(&t);
    }
}

static void test_float(void **unused) {
    (void)unused;
    run_cases(TSLIM_DTYPE_FLOAT);
}
static void test_int8(void **unused) {
    (void)unused;
    run_cases(TSLIM_DTYPE_INT8);
}

// What cannot be packed is left alone, and sizes that overflow are told.
static void test_refusals(void **unused) {
    (void)unused;
    tsl_attrs none = {0};
    tsl_pack_request request = {.op = TSL_OP_MATMUL, .attrs = &none, .input_index = 1};
    request.weights = (tsl_tensor){.dtype = TSLIM_DTYPE_FLOAT, .rank = 2, .dims = {4, 5}};
    tsl_packing packing;
    size_t bytes;
    assert_int_equal(tsl_cpu_packed_size(&request, &packing, &bytes), TSLIM_OK);
    assert_int_equal(packing, TSL_PACKING_PANELS);
    request.weights.dims[1] = INT64_MAX / 4;
    assert_int_equal(tsl_cpu_packed_size(&request, &packing, &bytes), TSLIM_ERROR_LIMIT);
    request.weights.dims[1] = 5;
    request.input_index = 0;
    assert_int_equal(tsl_cpu_packed_size(&request, &packing, &bytes), TSLIM_OK);
    assert_int_equal(packing, TSL_PACKING_NONE);
    request.input_index = 1;
    request.weights.dtype = TSLIM_DTYPE_INT64;
    assert_int_equal(tsl_cpu_packed_size(&request, &packing, &bytes), TSLIM_OK);
    assert_int_equal(packing, TSL_PACKING_NONE);
    request.weights.dtype = TSLIM_DTYPE_FLOAT;
    request.op = TSL_OP_ADD;
    assert_int_equal(tsl_cpu_packed_size(&request, &packing, &bytes), TSLIM_OK);
    assert_int_equal(packing, TSL_PACKING_NONE);
}

int main(void) {
    tsl_rng_seed(&test_rng, 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_float), cmocka_unit_test(test_int8), cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
