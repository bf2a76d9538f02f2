// SPDX-License-Identifier: Apache-2.0
// The rewrites of models that were quantized elsewhere, each by itself and all together: what they make, and
// that it computes what the nodes of the file do one by one.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <tinyslim/session.h>

#include "ir/shape_infer.h"
#include "pass/fold_quantized.h"
#include "plan/evaluate_node.h"
#include "support/graph_builder.h"
#include "support/quantized_network.h"

static tslim_context *ctx;

static void check(tslim_status status) {
    if (status != TSLIM_OK) fail_msg("%s", tslim_context_message(ctx));
}

static uint32_t count(const tslim_graph *graph, tsl_op op) {
    uint32_t found = 0;
    for (uint32_t n = 0; n < graph->n_nodes; n++) found += graph->nodes[n].op == op;
    return found;
}

// ---- All together ----

static size_t run(const tslim_graph *graph, bool plain, float *y) {
    tslim_session_options options;
    tslim_session_options_init(&options);
    options.no_fusion = plain;
    tslim_session *session;
    check(tslim_session_create(graph, &options, &session));
    static float x[2 * 8 * 6 * 6];
    const size_t elements = sizeof(x) / sizeof(*x);
    for (size_t i = 0; i < elements; i++) x[i] = (float)((i * 37 + 11) % 101) / 40 - 1.2f;
    tslim_tensor input = {TSLIM_DTYPE_FLOAT, 4, {2, 8, 6, 6}, x, sizeof(x)}, output = {0};
    check(tslim_session_run(session, &input, 1, &output, 1));
    assert_true(output.bytes <= 64 * sizeof(float));
    memcpy(y, output.data, output.bytes);
    tslim_session_destroy(session);
    return output.bytes / sizeof(float);
}

static void test_network(void **state) {
    (void)state;
    tslim_graph *graph = quantized_network_create(ctx), *fast;
    check(tslim_graph_clone(graph, &fast));
    check(tsl_optimize(fast, tsl_evaluate_on_cpu, NULL));
    check(tsl_graph_verify(fast, TSLIM_ERROR_INTERNAL));
    assert_int_equal(count(fast, TSL_OP_BATCH_NORMALIZATION), 0);
    assert_int_equal(count(fast, TSL_OP_QUANTIZE_LINEAR) + count(fast, TSL_OP_DEQUANTIZE_LINEAR), 0);
    uint32_t products = 0;
    for (uint32_t n = 0; n < fast->n_nodes; n++) {
        const tsl_node *node = &fast->nodes[n];
        if (node->op != TSL_OP_CONV && node->op != TSL_OP_MATMUL) continue;
        products++;
        for (uint32_t i = 0; i < 2; i++)
            assert_int_equal(tsl_node_input(fast, node, i)->dtype, TSLIM_DTYPE_INT8);
    }
    assert_int_equal(products, 6);
    float y[64], plain[64];
    size_t n = run(graph, false, y);
    assert_int_equal(n, 10);
    assert_int_equal(run(graph, true, plain), n);
    double signal = 0, noise = 0;
    for (size_t i = 0; i < n; i++) {
        signal += (double)plain[i] * (double)plain[i];
        noise += ((double)plain[i] - (double)y[i]) * ((double)plain[i] - (double)y[i]);
    }
    if (!(signal > 0 && noise < signal * 1e-4)) fail_msg("noise %g of %g", noise, signal);
    tslim_graph_destroy(fast);
    tslim_graph_destroy(graph);
}

// ---- Weights that are scaled ----

static uint32_t parameter(builder *b, tslim_dtype dtype, uint32_t rank, const int64_t *dims, void **data) {
    uint32_t id;
    check(tsl_graph_add_constant(b->graph, "parameter", dtype, rank, dims, &id, data));
    return id;
}

// Reals of the weights that the product reads.
static double real_at(const tslim_graph *graph, const tsl_node *product, size_t row, size_t column) {
    const tsl_node *dequantizer = tsl_weights_dequantizer(graph, product->inputs[1]);
    assert_non_null(dequantizer);
    const tsl_value *q = tsl_node_input(graph, dequantizer, 0), *s = tsl_node_input(graph, dequantizer, 1),
                    *z = tsl_node_input(graph, dequantizer, 2);
    const size_t columns = (size_t)q->shape.dims[1], at = row * columns + column;
    const size_t c = s->bytes > sizeof(float) ? column : 0;
    const bool is_signed = q->dtype == TSLIM_DTYPE_INT8;
    int number = is_signed ? ((const int8_t *)q->data)[at] : ((const uint8_t *)q->data)[at];
    int zero = is_signed ? ((const int8_t *)z->data)[c] : ((const uint8_t *)z->data)[c];
    return (number - zero) * (double)((const float *)s->data)[c];
}

static void scale_weights(tslim_dtype dtype, int zero_point) {
    enum { K = 5, N = 4 };
    static const double factor[N] = {1.5, -2, 0, -0.25};
    builder b;
    builder_start(&b, ctx, 3);
    void *q, *s, *z;
    uint32_t x = build_input(&b, "x", 2, (const int64_t[]){3, K});
    uint32_t ids[3] = {parameter(&b, dtype, 2, (const int64_t[]){K, N}, &q),
        parameter(&b, TSLIM_DTYPE_FLOAT, 0, NULL, &s), parameter(&b, dtype, 0, NULL, &z)};
    for (size_t i = 0; i < K * N; i++) ((uint8_t *)q)[i] = (uint8_t)(i * 51 + 128);
    *(float *)s = 0.01f;
    *(uint8_t *)z = (uint8_t)zero_point;
    uint32_t w = build_node(&b, TSL_OP_DEQUANTIZE_LINEAR, NULL, 3, ids);
    builder_infer(&b);
    build_output(&b, build_binary(&b, TSL_OP_MATMUL, x, w));
    const uint32_t product = b.graph->n_nodes - 1;
    double before[K][N];
    for (size_t i = 0; i < K; i++)
        for (size_t j = 0; j < N; j++) before[i][j] = real_at(b.graph, &b.graph->nodes[product], i, j);
    assert_int_equal(tsl_dequantized_channels(b.graph, &b.graph->nodes[product]), N);
    assert_true(tsl_dequantized_can_scale(b.graph, &b.graph->nodes[product], factor));
    check(tsl_scale_dequantized(b.graph, product, factor));
    for (size_t i = 0; i < K; i++)
        for (size_t j = 0; j < N; j++) {
            double wanted = before[i][j] * factor[j],
                   given = real_at(b.graph, &b.graph->nodes[product], i, j);
            if (!(fabs(given - wanted) <= 1e-6 * fabs(wanted)))
                fail_msg("%zu, %zu: %g, not %g", i, j, given, wanted);
        }
    check(tsl_graph_sort(b.graph));
    check(tsl_graph_verify(b.graph, TSLIM_ERROR_INTERNAL));
    tslim_graph_destroy(b.graph);
}

static void test_scale_weights(void **state) {
    (void)state;
    scale_weights(TSLIM_DTYPE_INT8, 0); // one of them is -128
    scale_weights(TSLIM_DTYPE_INT8, -128);
    scale_weights(TSLIM_DTYPE_UINT8, 3);
    scale_weights(TSLIM_DTYPE_UINT8, 255);
}

// ---- Sums and means ----

static void split(int64_t heads, bool wanted) {
    builder b;
    builder_start(&b, ctx, 3);
    uint32_t x = build_input(&b, "x", 4, (const int64_t[]){2, 4, 5, 6});
    uint32_t z = build_input(&b, "z", 4, (const int64_t[]){2, heads, 5, 5});
    uint32_t t = build_transpose(&b, x, 4, (const int64_t[]){0, 1, 3, 2});
    uint32_t y = build_binary(&b, TSL_OP_MATMUL, x, t);
    const uint32_t n = b.graph->n_nodes - 1;
    check(tsl_node_add_input(b.graph, &b.graph->nodes[n], TSL_NONE));
    check(tsl_node_add_input(b.graph, &b.graph->nodes[n], z));
    b.graph->nodes[n].epilogue.residual = 3;
    build_output(&b, y);
    bool done;
    check(tsl_pass_split_residual(b.graph, n, &done));
    assert_int_equal(done, wanted);
    assert_int_equal(count(b.graph, TSL_OP_ADD), wanted);
    assert_int_equal(b.graph->nodes[n].epilogue.residual, wanted ? -1 : 3);
    if (wanted) check(tsl_infer_node(b.graph, b.graph->n_nodes - 1));
    check(tsl_graph_verify(b.graph, TSLIM_ERROR_INTERNAL));
    tslim_graph_destroy(b.graph);
}

static void test_split_residual(void **state) {
    (void)state;
    split(4, false);
    split(1, true);
}

static void pool(const int64_t axes[2], int64_t keeps, bool wanted) {
    builder b;
    builder_start(&b, ctx, 3);
    uint32_t x = build_input(&b, "x", 4, (const int64_t[]){2, 3, 5, 6});
    uint32_t y = build_node(&b, TSL_OP_REDUCE_MEAN, NULL, 1, &x);
    check(tsl_node_set_ints(b.graph, built_node(&b), TSL_ATTR_axes, axes, 2));
    check(tsl_node_set_int(b.graph, built_node(&b), TSL_ATTR_keepdims, keeps));
    builder_infer(&b);
    build_output(&b, y);
    check(tsl_pass_pool_means(b.graph));
    assert_int_equal(count(b.graph, TSL_OP_GLOBAL_AVERAGE_POOL), wanted);
    assert_int_equal(count(b.graph, TSL_OP_FLATTEN), wanted && !keeps);
    for (uint32_t n = 0; n < b.graph->n_nodes; n++) check(tsl_infer_node(b.graph, n));
    assert_int_equal(built_rank(&b, b.graph->outputs[0]), keeps ? 4 : 2);
    check(tsl_graph_verify(b.graph, TSLIM_ERROR_INTERNAL));
    tslim_graph_destroy(b.graph);
}

static void test_pool_means(void **state) {
    (void)state;
    pool((const int64_t[]){2, 3}, 1, true);
    pool((const int64_t[]){-1, -2}, 0, true);
    pool((const int64_t[]){1, 2}, 1, false);
}

// ---- Declared types ----

static void test_declared_type(void **state) {
    (void)state;
    static const float scale = 0.5f;
    builder b;
    builder_start(&b, ctx, 3);
    uint32_t x = build_input(&b, "x", 2, (const int64_t[]){3, 4});
    uint32_t y = build_unary(&b, TSL_OP_ARG_MAX, x);
    b.graph->values[y].dtype = TSLIM_DTYPE_INT8; // as a file may say
    b.graph->values[y].quant = (tsl_quant){.scales = &scale, .n_scales = 1, .zero_point = -88};
    build_output(&b, y);
    builder_infer(&b);
    assert_int_equal(b.graph->values[y].dtype, TSLIM_DTYPE_INT64);
    check(tsl_graph_verify(b.graph, TSLIM_ERROR_INTERNAL));
    tslim_graph_destroy(b.graph);
}

// Measuring learns the type on a copy.
static void test_declared_type_when_measured(void **state) {
    (void)state;
    static const float scale = 0.5f;
    builder b;
    builder_start(&b, ctx, 3);
    uint32_t x = build_input(&b, "x", 2, (const int64_t[]){3, 4});
    uint32_t y = build_unary(&b, TSL_OP_NON_ZERO, x);
    b.graph->values[y].dtype = TSLIM_DTYPE_INT8;
    b.graph->values[y].quant = (tsl_quant){.scales = &scale, .n_scales = 1, .zero_point = 32};
    build_output(&b, y);
    tslim_graph_totals totals = {.struct_size = sizeof(totals)};
    check(tslim_graph_measure(b.graph, NULL, 0, &totals));
    assert_int_equal(b.graph->values[y].dtype, TSLIM_DTYPE_INT64);
    check(tsl_graph_verify(b.graph, TSLIM_ERROR_INTERNAL));
    tslim_graph_destroy(b.graph);
}

static int set_up(void **state) {
    (void)state;
    return tslim_context_create(NULL, &ctx) == TSLIM_OK ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    tslim_context_destroy(ctx);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_network), cmocka_unit_test(test_scale_weights),
        cmocka_unit_test(test_split_residual), cmocka_unit_test(test_pool_means),
        cmocka_unit_test(test_declared_type), cmocka_unit_test(test_declared_type_when_measured)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
