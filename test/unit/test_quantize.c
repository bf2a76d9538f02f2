// SPDX-License-Identifier: Apache-2.0
// Quantization: each operator between two convolutions runs in INT8, close to float and the same at every
// instruction set; borders between float and INT8; what stays float and why; failures that leave the graph as
// it was.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include <tinyslim/tinyslim.h>

#include "quant/quantizer.h"
#include "support/graph_builder.h"
#include "support/samples.h"
#include "support/small_network.h"

#define CHANNELS 8
#define SIZE 10
static const int64_t sample_dims[3] = {CHANNELS, SIZE, SIZE};

// ---- One operator in a graph ----

typedef struct notes {
    uint32_t n_int8, n_float;
    tsl_op watched; // what became of the nodes of this operator
    bool watched_int8, watched_float;
    char reason[128];
} notes;

static void take_note(void *user, const tslim_quantize_note *note) {
    notes *n = user;
    bool int8 = note->precision == TSLIM_DTYPE_INT8;
    if (int8)
        n->n_int8++;
    else
        n->n_float++;
    assert_int_equal(int8, note->reason[0] == 0);
    if (strcmp(note->op_type, tsl_op_get_info(n->watched)->name) != 0) return;
    n->watched_int8 |= int8;
    n->watched_float |= !int8;
    if (!int8) strncpy(n->reason, note->reason, sizeof(n->reason) - 1);
}

static uint32_t unary_pads(builder *b, uint32_t x) {
    const int64_t pads[8] = {0, 0, 1, 2, 0, 0, 1, 0};
    uint32_t inputs[2] = {x, build_ints(b, 8, pads)};
    uint32_t y = build_node(b, TSL_OP_PAD, "pad", 2, inputs);
    builder_infer(b);
    return y;
}

static uint32_t average_pool(builder *b, uint32_t x) {
    const int64_t kernel[2] = {3, 3}, strides[2] = {2, 2}, pads[4] = {1, 1, 1, 1};
    uint32_t y = build_node(b, TSL_OP_AVERAGE_POOL, "pool", 1, &x);
    tsl_node_set_ints(b->graph, built_node(b), TSL_ATTR_kernel_shape, kernel, 2);
    tsl_node_set_ints(b->graph, built_node(b), TSL_ATTR_strides, strides, 2);
    tsl_node_set_ints(b->graph, built_node(b), TSL_ATTR_pads, pads, 4);
    builder_infer(b);
    return y;
}

static uint32_t with_constant(builder *b, tsl_op op, uint32_t x) {
    const int64_t dims[3] = {built_dim(b, x, 1), 1, 1};
    // A Mul by a constant right behind a convolution would be folded into it.
    return build_binary(b, op, build_unary(b, TSL_OP_SIGMOID, x), build_weights(b, 3, dims, 0));
}

static uint32_t apply(builder *b, tsl_op op, uint32_t x) {
    uint32_t other = build_conv(b, "other", x, built_dim(b, x, 1), 1, 1, 1, true), parts[2];
    const int64_t perm[4] = {0, 1, 3, 2}, flat[4] = {-1, built_dim(b, x, 1), 4, 25};
    switch (op) {
    case TSL_OP_CONV:
        return build_conv(b, "depthwise", x, built_dim(b, x, 1), 3, 1, built_dim(b, x, 1), true);
    case TSL_OP_CONV_TRANSPOSE:
        return build_conv_transpose(b, "up", x, 12, 2, 1);
    case TSL_OP_ADD: // not fused: both operands have other readers
        return build_binary(b, op, build_unary(b, TSL_OP_SIGMOID, x), build_unary(b, TSL_OP_TANH, other));
    case TSL_OP_SUB:
        return build_binary(b, op, x, other);
    case TSL_OP_MUL:
        return build_binary(b, op, x, build_unary(b, TSL_OP_HARD_SIGMOID, other));
    case TSL_OP_CONCAT:
        parts[0] = x;
        parts[1] = other;
        return build_concat(b, 2, parts, 1);
    case TSL_OP_SPLIT:
        build_split(b, x, 1, 2, NULL, parts);
        return build_binary(b, TSL_OP_SUB, parts[0], parts[1]);
    case TSL_OP_SLICE:
        return build_slice(b, x, 2, 1, 9, 2);
    case TSL_OP_PAD:
        return unary_pads(b, x);
    case TSL_OP_TRANSPOSE:
        return build_transpose(b, x, 4, perm);
    case TSL_OP_RESHAPE:
        return build_reshape(b, x, 4, flat);
    case TSL_OP_RESIZE:
        return build_resize(b, x, 2);
    case TSL_OP_MAX_POOL:
        return build_max_pool(b, x);
    case TSL_OP_AVERAGE_POOL:
        return average_pool(b, x);
    case TSL_OP_PRELU:
        return with_constant(b, TSL_OP_MUL, x);
    default:
        return build_unary(b, op, x);
    }
}

// conv -> op -> conv, saved by no name but its own.
static tslim_graph *build_around(tslim_context *ctx, tsl_op op) {
    builder b;
    builder_start(&b, ctx, 100 + (uint64_t)op);
    if (op == TSL_OP_MISH) b.graph->opset = 18; // younger than the others
    const int64_t dims[4] = {-1, CHANNELS, SIZE, SIZE};
    uint32_t x = build_input(&b, "input", 4, dims);
    x = build_conv(&b, "first", x, 16, 3, 1, 1, true);
    x = apply(&b, op, x);
    build_output(&b, build_conv(&b, "last", x, 6, 1, 1, 1, true));
    return b.graph;
}

static tslim_calibration *calibrate(tslim_graph *graph, tslim_dataset *dataset) {
    tslim_calibration *calibration = NULL;
    if (tslim_calibrate(graph, dataset, NULL, &calibration) != TSLIM_OK) fail_msg("%s", tsl_message());
    return calibration;
}

typedef struct distance {
    double output_sqnr;
    uint32_t values;
} distance;

static void take_distance(void *user, const tslim_difference *difference) {
    distance *d = user;
    d->output_sqnr = difference->sqnr_db; // the output comes last
    d->values++;
}

static distance compare(const tslim_graph *a, const tslim_graph *b, tslim_dataset *dataset, tslim_isa isa_a,
    tslim_isa isa_b, bool per_value) {
    tslim_compare_options options;
    tslim_compare_options_init(&options);
    options.isa_a = isa_a;
    options.isa_b = isa_b;
    options.per_value = per_value;
    distance d = {0};
    if (tslim_compare(a, b, dataset, &options, take_distance, &d) != TSLIM_OK) fail_msg("%s", tsl_message());
    return d;
}

// Bit-equal results at every level that this machine has.
static void assert_same_everywhere(const tslim_graph *graph, tslim_dataset *dataset) {
    for (int isa = TSLIM_ISA_AVX2; isa <= TSLIM_ISA_NEONDOT; isa++) {
        if (!tslim_isa_available((tslim_isa)isa)) continue;
        distance d = compare(graph, graph, dataset, TSLIM_ISA_PORTABLE, (tslim_isa)isa, false);
        if (d.output_sqnr != INFINITY)
            fail_msg("%s differs from portable C by %g dB", tslim_isa_name((tslim_isa)isa), d.output_sqnr);
    }
}

// A product of INT8 whose result goes on in float.
static bool has_product_chain(const tslim_graph *graph) {
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tsl_node *node = &graph->nodes[n];
        const tsl_value *weights = tsl_node_input(graph, node, 1), *y = tsl_node_output(graph, node, 0);
        if ((node->op == TSL_OP_CONV || node->op == TSL_OP_CONV_TRANSPOSE) && weights &&
            weights->quant.scales && y->dtype == TSLIM_DTYPE_FLOAT &&
            !tsl_graph_is_output(graph, node->outputs[0]))
            return true;
    }
    return false;
}

static void check_operator(tslim_context *ctx, tsl_op op, double least_sqnr) {
    tslim_graph *graph = build_around(ctx, op), *quantized;
    tslim_dataset *dataset = samples_create(ctx, "input", 6, 3, sample_dims);
    tslim_calibration *calibration = calibrate(graph, dataset);
    assert_int_equal(tslim_graph_clone(graph, &quantized), TSLIM_OK);
    notes n = {.watched = op == TSL_OP_PRELU ? TSL_OP_MUL : op};
    if (tslim_quantize(quantized, calibration, NULL, take_note, &n) != TSLIM_OK)
        fail_msg("%s: %s", tsl_op_get_info(op)->name, tsl_message());
    if (!n.watched_int8 || n.watched_float || n.n_float != 0)
        fail_msg("%s stays in float: %s", tsl_op_get_info(op)->name, n.reason);
    distance d = compare(graph, quantized, dataset, TSLIM_ISA_DEFAULT, TSLIM_ISA_DEFAULT, false);
    if (!(d.output_sqnr >= least_sqnr && d.output_sqnr < 80)) // INT8 does differ
        fail_msg("%s: %g dB", tsl_op_get_info(op)->name, d.output_sqnr);
    // Node by node the result is the same to the bit, but for chains, which are rounded at their end alone.
    d = compare(quantized, quantized, dataset, TSLIM_ISA_DEFAULT, TSLIM_ISA_DEFAULT, true);
    if (!(d.output_sqnr >= (has_product_chain(quantized) ? 45 : INFINITY)))
        fail_msg("%s: fusing changes it: %g dB", tsl_op_get_info(op)->name, d.output_sqnr);
    assert_same_everywhere(quantized, dataset);
    tslim_calibration_destroy(calibration);
    tslim_dataset_destroy(dataset);
    tslim_graph_destroy(quantized);
    tslim_graph_destroy(graph);
}

static tslim_context *make_context(void) {
    tslim_context *ctx;
    assert_int_equal(tslim_context_create(NULL, &ctx), TSLIM_OK);
    return ctx;
}

static void test_operators(void **state) {
    (void)state;
    tslim_context *ctx = make_context();
    const tsl_op operators[] = {TSL_OP_CONV, TSL_OP_CONV_TRANSPOSE, TSL_OP_ADD, TSL_OP_SUB, TSL_OP_MUL,
        TSL_OP_CONCAT, TSL_OP_SPLIT, TSL_OP_SLICE, TSL_OP_PAD, TSL_OP_TRANSPOSE, TSL_OP_RESHAPE,
        TSL_OP_RESIZE, TSL_OP_MAX_POOL, TSL_OP_AVERAGE_POOL, TSL_OP_GLOBAL_AVERAGE_POOL,
        TSL_OP_GLOBAL_MAX_POOL, TSL_OP_LEAKY_RELU, TSL_OP_SIGMOID, TSL_OP_HARD_SIGMOID, TSL_OP_HARD_SWISH,
        TSL_OP_SILU, TSL_OP_TANH, TSL_OP_ELU, TSL_OP_SELU, TSL_OP_MISH, TSL_OP_SOFTPLUS, TSL_OP_NEG,
        TSL_OP_ABS, TSL_OP_PRELU /* Mul by a constant */};
    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++)
        check_operator(ctx, operators[i], 25);
    tslim_context_destroy(ctx);
}

// A chain of functions of one value: behind a product, which takes it over, and behind a function that has
// two readers and a node that carries no table.
static void test_tables(void **state) {
    (void)state;
    tslim_context *ctx = make_context();
    const tsl_op heads[] = {TSL_OP_CONV, TSL_OP_CONV_TRANSPOSE, TSL_OP_MAX_POOL, TSL_OP_CONCAT};
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        builder b;
        builder_start(&b, ctx, 9 + i);
        const int64_t dims[4] = {-1, CHANNELS, SIZE, SIZE};
        const float numbers[2] = {0.7f, -0.3f};
        uint32_t x = build_conv(&b, "first", build_input(&b, "input", 4, dims), 16, 3, 1, 1, true);
        x = build_unary(&b, TSL_OP_HARD_SWISH, apply(&b, heads[i], x));
        x = build_binary(&b, TSL_OP_MUL, build_floats(&b, 1, &numbers[0]), x);
        x = build_binary(&b, TSL_OP_ADD, x, build_floats(&b, 1, &numbers[1]));
        x = build_binary(&b, TSL_OP_ADD, build_unary(&b, TSL_OP_TANH, x), x);
        build_output(&b, build_conv(&b, "last", x, 6, 3, 1, 1, true));
        tslim_dataset *dataset = samples_create(ctx, "input", 6, 3, sample_dims);
        tslim_calibration *calibration = calibrate(b.graph, dataset);
        notes n = {.watched = TSL_OP_HARD_SWISH};
        assert_int_equal(tslim_quantize(b.graph, calibration, NULL, take_note, &n), TSLIM_OK);
        assert_true(n.watched_int8 && n.n_float == 0);
        distance d = compare(b.graph, b.graph, dataset, TSLIM_ISA_DEFAULT, TSLIM_ISA_DEFAULT, true);
        assert_true(d.output_sqnr >= (has_product_chain(b.graph) ? 45 : INFINITY));
        assert_same_everywhere(b.graph, dataset);
        // The chain is no steps of its own.
        tslim_session_options options;
        tslim_session *plain, *fused;
        tslim_session_options_init(&options);
        assert_int_equal(tslim_session_create(b.graph, &options, &fused), TSLIM_OK);
        options.no_fusion = true;
        assert_int_equal(tslim_session_create(b.graph, &options, &plain), TSLIM_OK);
        assert_int_equal(tslim_session_step_count(fused) + 4, tslim_session_step_count(plain));
        tslim_session_destroy(fused);
        tslim_session_destroy(plain);
        tslim_calibration_destroy(calibration);
        tslim_dataset_destroy(dataset);
        tslim_graph_destroy(b.graph);
    }
    tslim_context_destroy(ctx);
}

// conv -> HardSwish, times, plus -> padded conv.
static tslim_graph *build_chain(tslim_context *ctx) {
    builder b;
    builder_start(&b, ctx, 77);
    const int64_t dims[4] = {-1, CHANNELS, SIZE, SIZE};
    const float numbers[2] = {0.7f, -0.05f};
    uint32_t x = build_conv(&b, "first", build_input(&b, "input", 4, dims), 16, 3, 1, 1, true);
    x = build_unary(&b, TSL_OP_HARD_SWISH, x);
    x = build_binary(&b, TSL_OP_MUL, x, build_floats(&b, 1, &numbers[0]));
    x = build_binary(&b, TSL_OP_ADD, x, build_floats(&b, 1, &numbers[1]));
    build_output(&b, build_conv(&b, "last", x, 6, 3, 1, 1, true));
    return b.graph;
}

static uint32_t count_zero_points(const tslim_graph *graph) {
    uint32_t count = 0;
    for (uint32_t v = 0; v < graph->n_values; v++) count += graph->values[v].quant.zero_point != 0;
    return count;
}

// Lopsided ranges get zero points, which make steps finer; the padding of a value that went through a table
// is its own zero, with the table and without.
static void test_zero_points(void **state) {
    (void)state;
    tslim_context *ctx = make_context();
    tslim_graph *graph = build_chain(ctx), *symmetric, *asymmetric;
    tslim_dataset *dataset = samples_create(ctx, "input", 6, 3, sample_dims);
    tslim_calibration *calibration = calibrate(graph, dataset);
    assert_int_equal(tslim_graph_clone(graph, &symmetric), TSLIM_OK);
    assert_int_equal(tslim_graph_clone(graph, &asymmetric), TSLIM_OK);
    tslim_quantize_options options;
    tslim_quantize_options_init(&options);
    assert_int_equal(tslim_quantize(asymmetric, calibration, &options, NULL, NULL), TSLIM_OK);
    options.symmetric = 1;
    assert_int_equal(tslim_quantize(symmetric, calibration, &options, NULL, NULL), TSLIM_OK);
    assert_int_equal(count_zero_points(symmetric), 0);
    assert_true(count_zero_points(asymmetric) > 0);
    distance fused = compare(asymmetric, asymmetric, dataset, TSLIM_ISA_DEFAULT, TSLIM_ISA_DEFAULT, true);
    assert_true(has_product_chain(asymmetric));
    assert_true(fused.output_sqnr >= 45);
    assert_same_everywhere(asymmetric, dataset);
    distance a = compare(graph, asymmetric, dataset, TSLIM_ISA_DEFAULT, TSLIM_ISA_DEFAULT, false);
    distance s = compare(graph, symmetric, dataset, TSLIM_ISA_DEFAULT, TSLIM_ISA_DEFAULT, false);
    assert_true(a.output_sqnr > s.output_sqnr + 1);
    assert_true(a.output_sqnr > 35);
    tslim_calibration_destroy(calibration);
    tslim_dataset_destroy(dataset);
    tslim_graph_destroy(asymmetric);
    tslim_graph_destroy(symmetric);
    tslim_graph_destroy(graph);
    tslim_context_destroy(ctx);
}

// The first channel times `factor`.
static uint32_t scale_first(builder *b, uint32_t x, float factor) {
    const int64_t dims[4] = {1, CHANNELS, 1, 1};
    uint32_t factors = build_weights(b, 4, dims, 0);
    float *data = (float *)(uintptr_t)b->graph->values[factors].data;
    for (int i = 0; i < CHANNELS; i++) data[i] = i == 0 ? factor : 1;
    return build_binary(b, TSL_OP_MUL, x, factors);
}

// A depthwise convolution whose channels differ a thousandfold, where a Concat keeps them from being
// equalized, read by one that brings them back to one size: in INT8 it loses all but the greatest channels.
// Once that is measured it stays in float, with a reason, and the output is close.
static void test_costs(void **state) {
    (void)state;
    tslim_context *ctx = make_context();
    builder b;
    builder_start(&b, ctx, 78);
    const int64_t dims[4] = {-1, CHANNELS, SIZE, SIZE};
    uint32_t x = build_input(&b, "input", 4, dims), parts[2];
    parts[0] = scale_first(&b, build_conv(&b, "first", x, CHANNELS, 3, 1, 1, true), 1000);
    parts[1] = build_conv(&b, "second", x, CHANNELS, 3, 1, 1, true);
    x = build_slice(&b, build_concat(&b, 2, parts, 1), 1, 0, CHANNELS, 1);
    x = build_conv(&b, "fragile", x, CHANNELS, 3, 1, CHANNELS, false);
    x = scale_first(&b, x, 0.001f);
    x = build_conv(&b, "middle", x, 256, 3, 1, 1, true);
    x = build_conv(&b, "last", x, 16, 3, 1, 1, true);
    build_output(&b, x);
    tslim_dataset *dataset = samples_create(ctx, "input", 6, 3, sample_dims);
    tslim_calibration *calibration = calibrate(b.graph, dataset);
    tslim_graph *plain, *mixed;
    assert_int_equal(tslim_graph_clone(b.graph, &plain), TSLIM_OK);
    assert_int_equal(tslim_graph_clone(b.graph, &mixed), TSLIM_OK);
    notes n = {.watched = TSL_OP_CONV};
    assert_int_equal(tslim_quantize(plain, calibration, NULL, take_note, &n), TSLIM_OK);
    assert_false(n.watched_float);
    assert_int_equal(tslim_calibration_measure_costs(calibration, b.graph, dataset, 3, NULL, NULL), TSLIM_OK);
    assert_int_equal(tslim_quantize(mixed, calibration, NULL, take_note, &n), TSLIM_OK);
    assert_true(n.watched_int8 && n.watched_float);
    assert_non_null(strstr(n.reason, "dB at the output"));
    distance p = compare(b.graph, plain, dataset, TSLIM_ISA_DEFAULT, TSLIM_ISA_DEFAULT, false);
    distance m = compare(b.graph, mixed, dataset, TSLIM_ISA_DEFAULT, TSLIM_ISA_DEFAULT, false);
    assert_true(p.output_sqnr < 20);
    assert_true(m.output_sqnr > 30);
    tslim_calibration_destroy(calibration);
    tslim_dataset_destroy(dataset);
    tslim_graph_destroy(mixed);
    tslim_graph_destroy(plain);
    tslim_graph_destroy(b.graph);
    tslim_context_destroy(ctx);
}

// ---- Borders ----

// conv -> Softmax -> conv; the first conv's result is an output as well.
static void test_borders(void **state) {
    (void)state;
    tslim_context *ctx = make_context();
    builder b;
    builder_start(&b, ctx, 7);
    const int64_t dims[4] = {-1, CHANNELS, SIZE, SIZE};
    uint32_t x = build_input(&b, "input", 4, dims);
    uint32_t early =
        build_unary(&b, TSL_OP_SIGMOID, build_unary(&b, TSL_OP_NEG, x)); // float before the first product
    uint32_t first = build_conv(&b, "first", early, 16, 3, 1, 1, true);
    uint32_t both = build_unary(&b, TSL_OP_SIGMOID, first); // read in INT8 and in float, and an output
    uint32_t middle = build_conv(&b, "middle", both, 16, 1, 1, 1, true);
    uint32_t soft = build_unary(&b, TSL_OP_SOFTMAX, both);
    uint32_t last = build_conv(&b, "last", build_unary(&b, TSL_OP_ERF, soft), 16, 1, 1, 1, true);
    uint32_t sum = build_binary(&b, TSL_OP_SUB, middle, last); // its result is needed in float
    build_output(&b, both);
    build_output(&b, sum);
    tslim_graph *quantized;
    assert_int_equal(tslim_graph_clone(b.graph, &quantized), TSLIM_OK);
    tslim_dataset *dataset = samples_create(ctx, "input", 6, 3, sample_dims);
    tslim_calibration *calibration = calibrate(b.graph, dataset);
    notes n = {.watched = TSL_OP_SUB};
    assert_int_equal(tslim_quantize(quantized, calibration, NULL, take_note, &n), TSLIM_OK);
    assert_string_equal(n.reason, "its result is needed in float");
    assert_int_equal(n.n_int8, 4); // three convolutions and the Sigmoid between two of them
    // The interface is as it was.
    for (uint32_t i = 0; i < 2; i++) {
        tslim_tensor_info before, after;
        assert_int_equal(tslim_graph_output_info(b.graph, i, &before), TSLIM_OK);
        assert_int_equal(tslim_graph_output_info(quantized, i, &after), TSLIM_OK);
        assert_string_equal(before.name, after.name);
        assert_int_equal(after.dtype, TSLIM_DTYPE_FLOAT);
    }
    // Each border once: one Quantize before each of the first and the last convolution, one Dequantize for
    // two readers.
    uint32_t quantize = 0, dequantize = 0;
    for (uint32_t i = 0; i < quantized->n_nodes; i++) {
        quantize += quantized->nodes[i].op == TSL_OP_QUANTIZE;
        dequantize += quantized->nodes[i].op == TSL_OP_DEQUANTIZE;
    }
    assert_int_equal(quantize, 2);
    assert_int_equal(dequantize, 1);
    assert_true(compare(b.graph, quantized, dataset, 0, 0, false).output_sqnr > 25);
    assert_same_everywhere(quantized, dataset);
    tslim_calibration_destroy(calibration);
    tslim_dataset_destroy(dataset);
    tslim_graph_destroy(quantized);
    tslim_graph_destroy(b.graph);
    tslim_context_destroy(ctx);
}

// ---- A whole network ----

typedef struct network {
    tslim_context *ctx;
    tslim_graph *graph, *quantized;
    tslim_dataset *dataset;
    tslim_calibration *calibration;
} network;

static int open_network(void **state) {
    static network w;
    w = (network){.ctx = make_context()};
    assert_int_equal(small_network_create(w.ctx, 3, &w.graph), TSLIM_OK);
    assert_int_equal(tslim_graph_clone(w.graph, &w.quantized), TSLIM_OK);
    const int64_t dims[3] = {3, SMALL_NETWORK_SIZE, SMALL_NETWORK_SIZE};
    w.dataset = samples_create(w.ctx, "input", 40, 3, dims);
    w.calibration = calibrate(w.graph, w.dataset);
    *state = &w;
    return 0;
}

static int close_network(void **state) {
    network *w = *state;
    tslim_calibration_destroy(w->calibration);
    tslim_dataset_destroy(w->dataset);
    tslim_graph_destroy(w->quantized);
    tslim_graph_destroy(w->graph);
    tslim_context_destroy(w->ctx);
    return 0;
}

static void test_network(void **state) {
    network *w = *state;
    w->calibration->preparation.scale = 0.5f;
    notes n = {.watched = TSL_OP_CONV};
    assert_int_equal(tslim_quantize(w->quantized, w->calibration, NULL, take_note, &n), TSLIM_OK);
    assert_int_equal(n.n_float, 0);
    assert_true(w->quantized->optimized);
    assert_true(w->quantized->preparation.scale == 0.5f);
    assert_int_equal(tslim_graph_history_count(w->quantized), tslim_graph_history_count(w->graph) + 1);
    assert_non_null(
        strstr(tslim_graph_history(w->quantized, tslim_graph_history_count(w->quantized) - 1), "mse"));
    // Scores leave the last product in float; weights have a scale for each channel, none is -128.
    for (uint32_t i = 0; i < w->quantized->n_nodes; i++) {
        const tsl_node *node = &w->quantized->nodes[i];
        assert_int_not_equal(node->op, TSL_OP_DEQUANTIZE);
        if (!tsl_is_product(node->op)) continue;
        const tsl_value *weights = &w->quantized->values[node->inputs[1]];
        assert_int_equal(weights->dtype, TSLIM_DTYPE_INT8);
        assert_int_equal(weights->quant.n_scales, weights->shape.dims[weights->quant.axis]);
        assert_null(memchr(weights->data, 0x80, weights->bytes));
    }
    // Every value that both have can be compared by name; those that are equalized have names of their own.
    distance d = compare(w->graph, w->quantized, w->dataset, 0, 0, true);
    assert_true(d.values >= 4);
    assert_true(d.output_sqnr > 25);
    assert_same_everywhere(w->quantized, w->dataset);
}

static void test_scale_sharing(void **state) {
    network *w = *state;
    tslim_quantize_options options;
    tslim_quantize_options_init(&options);
    options.keep_channels = 1;
    assert_int_equal(tslim_quantize(w->quantized, w->calibration, &options, NULL, NULL), TSLIM_OK);
    const tslim_graph *g = w->quantized;
    const tsl_value *in = &g->values[tsl_graph_find_value(g, "depthwise_relu")];
    const tsl_value *out = &g->values[tsl_graph_find_value(g, "pooled")];
    assert_true(in->quant.scales[0] == out->quant.scales[0]);
    float minimum, maximum;
    assert_int_equal(tslim_calibration_range(w->calibration, "stem_relu", &minimum, &maximum), TSLIM_OK);
    assert_true(g->values[tsl_graph_find_value(g, "stem_relu")].quant.scales[0] == maximum / 127);
}

static void test_exclude(void **state) {
    network *w = *state;
    // "residual_relu" is fused into the convolution that makes its output.
    const char *exclude[] = {"residual_relu", "scores"};
    tslim_quantize_options options;
    tslim_quantize_options_init(&options);
    options.exclude = exclude;
    options.n_exclude = 2;
    notes n = {.watched = TSL_OP_GEMM};
    assert_int_equal(tslim_quantize(w->quantized, w->calibration, &options, take_note, &n), TSLIM_OK);
    assert_true(n.watched_float);
    assert_string_equal(n.reason, "excluded");
    uint32_t value = tsl_graph_find_value(w->quantized, "residual_relu");
    if (value == TSL_NONE) value = tsl_graph_find_value(w->quantized, "residual_relu_equalized");
    assert_true(value != TSL_NONE);
    assert_int_equal(w->quantized->values[value].dtype, TSLIM_DTYPE_FLOAT);
    assert_true(compare(w->graph, w->quantized, w->dataset, 0, 0, false).output_sqnr > 25);
}

static void test_failures(void **state) {
    network *w = *state;
    const char *exclude[] = {"no such node"};
    tslim_quantize_options options;
    tslim_quantize_options_init(&options);
    options.exclude = exclude;
    options.n_exclude = 1;
    uint32_t n_nodes = w->quantized->n_nodes;
    assert_int_equal(
        tslim_quantize(w->quantized, w->calibration, &options, NULL, NULL), TSLIM_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(tsl_message(), "no such node"));

    // A calibration of another model, and one with a value that was not finite.
    builder b;
    builder_start(&b, w->ctx, 1);
    const int64_t dims[4] = {-1, 3, SMALL_NETWORK_SIZE, SMALL_NETWORK_SIZE};
    build_output(&b, build_conv(&b, "c", build_input(&b, "input", 4, dims), 4, 3, 1, 1, true));
    tslim_calibration *other = calibrate(b.graph, w->dataset);
    assert_int_equal(tslim_quantize(w->quantized, other, NULL, NULL, NULL), TSLIM_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(tsl_message(), "stem_relu"));
    tsl_observer *observer;
    assert_int_equal(tsl_calibration_need_value(w->calibration, "inner_relu", &observer), TSLIM_OK);
    const float nan = NAN;
    tsl_observer_add(observer, &nan, 1);
    assert_int_equal(
        tslim_quantize(w->quantized, w->calibration, NULL, NULL, NULL), TSLIM_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(tsl_message(), "inner_relu"));
    observer->invalid = 0;
    assert_int_equal(w->quantized->n_nodes, n_nodes);
    assert_false(w->quantized->optimized);

    // All went wrong with the graph unharmed; now it goes well, and only once.
    assert_int_equal(tslim_quantize(w->quantized, w->calibration, NULL, NULL, NULL), TSLIM_OK);
    assert_int_equal(
        tslim_quantize(w->quantized, w->calibration, NULL, NULL, NULL), TSLIM_ERROR_INVALID_ARGUMENT);
    tslim_calibration *again = NULL;
    assert_int_equal(tslim_calibrate(w->quantized, w->dataset, NULL, &again), TSLIM_ERROR_INVALID_ARGUMENT);
    tslim_calibration_destroy(other);
    tslim_graph_destroy(b.graph);
}

// Weights of zero, and a value that never was anything else, have scale 1 and stay zero.
static void test_zeros(void **state) {
    (void)state;
    tslim_context *ctx = make_context();
    builder b;
    builder_start(&b, ctx, 2);
    const int64_t dims[4] = {-1, CHANNELS, SIZE, SIZE};
    uint32_t x = build_input(&b, "input", 4, dims);
    uint32_t zero = build_conv(&b, "zero", x, 8, 3, 1, 1, false);
    tsl_node *node = built_node(&b);
    void *data;
    size_t bytes = b.graph->values[node->inputs[1]].bytes;
    assert_int_equal(tsl_value_new_data(b.graph, node->inputs[1], bytes, &data), TSLIM_OK);
    memset(data, 0, bytes);
    build_output(&b, build_conv(&b, "last", zero, 8, 1, 1, 1, true));
    tslim_dataset *dataset = samples_create(ctx, "input", 2, 3, sample_dims);
    tslim_calibration *calibration = calibrate(b.graph, dataset);
    tslim_graph *quantized;
    assert_int_equal(tslim_graph_clone(b.graph, &quantized), TSLIM_OK);
    assert_int_equal(tslim_quantize(quantized, calibration, NULL, NULL, NULL), TSLIM_OK);
    const tsl_value *value = &quantized->values[tsl_graph_find_value(quantized, b.graph->values[zero].name)];
    assert_int_equal(value->dtype, TSLIM_DTYPE_INT8);
    assert_true(value->quant.scales[0] == 1);
    assert_true(compare(b.graph, quantized, dataset, 0, 0, false).output_sqnr == INFINITY); // the bias alone
    tslim_calibration_destroy(calibration);
    tslim_dataset_destroy(dataset);
    tslim_graph_destroy(quantized);
    tslim_graph_destroy(b.graph);
    tslim_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operators),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_zero_points),
        cmocka_unit_test(test_costs),
        cmocka_unit_test(test_borders),
        cmocka_unit_test_setup_teardown(test_network, open_network, close_network),
        cmocka_unit_test_setup_teardown(test_scale_sharing, open_network, close_network),
        cmocka_unit_test_setup_teardown(test_exclude, open_network, close_network),
        cmocka_unit_test_setup_teardown(test_failures, open_network, close_network),
        cmocka_unit_test(test_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
