// SPDX-License-Identifier: Apache-2.0
// Graphs within nodes and sizes that a run finds: what hostile files may try, the limits that end a run, and
// what a session promises (no allocation where shapes repeat, taps, profile). check_control.py compares
// results.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tinyslim/tinyslim.h>

#include "ir/bodies.h"
#include "support/control_models.h"
#include "support/failing_allocator.h"

static tslim_context *ctx;
static tslim_graph *graph;
static tslim_session *session;

static tslim_status load(const proto *g) {
    static proto model; // weights stay where they are
    memset(&model, 0, sizeof(model));
    onnx_model(&model, 17, g);
    return tslim_graph_load_memory(ctx, model.data, model.size, &graph);
}

static void expect(tslim_status status, tslim_status wanted, const char *part) {
    if (status != wanted) fail_msg("%s: %s", tslim_status_name(status), tslim_context_message(ctx));
    if (!strstr(tslim_context_message(ctx), part))
        fail_msg("'%s' is not in '%s'", part, tslim_context_message(ctx));
}

static tslim_status open_session(int64_t size) {
    tslim_session_options options;
    tslim_input_shape shape = {.name = "x", .rank = 1, .dims = {size}};
    tslim_session_options_init(&options);
    options.shapes = &shape;
    options.n_shapes = 1;
    return tslim_session_create(graph, &options, &session);
}

static tslim_status run(const float *x, int64_t size, tslim_tensor *outputs, uint32_t n_outputs) {
    tslim_tensor input = {.dtype = TSLIM_DTYPE_FLOAT,
        .rank = 1,
        .dims = {size},
        .data = (void *)(uintptr_t)x,
        .bytes = (size_t)size * sizeof(float)};
    memset(outputs, 0, n_outputs * sizeof(*outputs));
    return tslim_session_run(session, &input, 1, outputs, n_outputs);
}

static void close_all(void) {
    tslim_session_destroy(session);
    tslim_graph_destroy(graph);
    session = NULL;
    graph = NULL;
}

static void start(proto *g, int64_t size) {
    const int64_t dims[1] = {size};
    memset(g, 0, sizeof(*g));
    onnx_value(g, ONNX_GRAPH_INPUT, "x", 1, dims);
}

// ---- Files ----

// If within If within If, `depth` times.
static void nest(proto *g, int depth) {
    proto inner = {0};
    control_value(&inner, ONNX_GRAPH_OUTPUT, "y");
    control_node(&inner, "Relu", "", "x", "y");
    for (int i = 0; i < depth; i++) {
        proto outer = {0}, node = {0}, other = {0};
        control_value(&other, ONNX_GRAPH_OUTPUT, "y");
        control_node(&other, "Neg", "", "x", "y");
        onnx_node(&node, "If", "", "c", "y");
        control_body(&node, "then_branch", &inner);
        control_body(&node, "else_branch", &other);
        if (i + 1 == depth) { // the outermost graph
            start(&outer, 2);
            control_bool(&outer, "c", true);
        }
        control_value(&outer, ONNX_GRAPH_OUTPUT, "y");
        proto_message(&outer, ONNX_GRAPH_NODE, &node);
        inner = outer;
    }
    *g = inner;
}

static void nesting_has_a_limit(void **state) {
    (void)state;
    static proto g;
    nest(&g, 24);
    assert_int_equal(load(&g), TSLIM_OK);
    tslim_tensor y;
    assert_int_equal(open_session(2), TSLIM_OK);
    assert_int_equal(run((float[]){-1, 2}, 2, &y, 1), TSLIM_OK);
    assert_memory_equal(y.data, ((float[]){0, 2}), 8); // every condition holds
    close_all();

    tslim_context *own = ctx;
    tslim_context_options options;
    tslim_context_options_init(&options);
    options.limits.nesting = 5;
    assert_int_equal(tslim_context_create(&options, &ctx), TSLIM_OK);
    expect(load(&g), TSLIM_ERROR_LIMIT, "more than 5 deep");
    nest(&g, 5);
    assert_int_equal(load(&g), TSLIM_OK);
    close_all();
    tslim_context_destroy(ctx);
    ctx = own;
}

static void names_must_exist(void **state) {
    (void)state;
    proto g, body = {0}, node = {0};
    start(&g, 2);
    control_bool(&g, "c", true);
    control_value(&g, ONNX_GRAPH_OUTPUT, "y");
    control_value(&body, ONNX_GRAPH_OUTPUT, "y");
    control_node(&body, "Add", "", "x,nobody", "y");
    onnx_node(&node, "If", "branch", "c", "y");
    control_body(&node, "then_branch", &body);
    control_body(&node, "else_branch", &body);
    proto_message(&g, ONNX_GRAPH_NODE, &node);
    expect(load(&g), TSLIM_ERROR_BAD_FILE, "node 'branch' (If) reads 'nobody', which nothing makes");
}

static void bodies_do_not_read_their_own_results(void **state) {
    (void)state;
    proto g, body = {0}, node = {0};
    start(&g, 2);
    control_bool(&g, "c", true);
    control_value(&g, ONNX_GRAPH_OUTPUT, "y");
    control_value(&body, ONNX_GRAPH_OUTPUT, "r");
    control_node(&body, "Add", "", "x,y", "r");
    onnx_node(&node, "If", "branch", "c", "y");
    control_body(&node, "then_branch", &body);
    control_body(&node, "else_branch", &body);
    proto_message(&g, ONNX_GRAPH_NODE, &node);
    expect(load(&g), TSLIM_ERROR_BAD_FILE, "cycle");
}

static void bodies_have_the_nodes_results(void **state) {
    (void)state;
    proto g, body = {0}, node = {0}, two = {0};
    start(&g, 2);
    control_int(&g, "n", 3);
    control_value(&g, ONNX_GRAPH_OUTPUT, "y");
    control_value(&body, ONNX_GRAPH_INPUT, "i");
    control_value(&body, ONNX_GRAPH_INPUT, "go");
    control_value(&body, ONNX_GRAPH_INPUT, "s");
    control_value(&body, ONNX_GRAPH_OUTPUT, "go"); // but nothing that it carries
    onnx_node(&node, "Loop", "loop", "n,,x", "y");
    control_body(&node, "body", &body);
    proto_message(&g, ONNX_GRAPH_NODE, &node);
    expect(load(&g), TSLIM_ERROR_BAD_FILE,
        "its 'body' has 3 inputs (0 of them captured) and 1 outputs, not 3 and 2");

    start(&g, 2);
    control_bool(&g, "c", true);
    control_value(&g, ONNX_GRAPH_OUTPUT, "y");
    control_value(&two, ONNX_GRAPH_OUTPUT, "r");
    control_node(&two, "Relu", "", "x", "r");
    memset(&node, 0, sizeof(node));
    onnx_node(&node, "If", "branch", "c", "y");
    control_body(&node, "then_branch", &two);
    proto_message(&g, ONNX_GRAPH_NODE, &node);
    expect(load(&g), TSLIM_ERROR_BAD_FILE, "has no graph 'else_branch'");
}

static void sequences_are_refused_by_name(void **state) {
    (void)state;
    proto g, info = {0}, type = {0}, sequence = {0};
    start(&g, 2);
    control_node(&g, "SequenceConstruct", "list", "x", "s");
    control_node(&g, "ConcatFromSequence", "join", "s", "y");
    control_value(&g, ONNX_GRAPH_OUTPUT, "y");
    assert_int_equal(load(&g), TSLIM_OK); // it can be looked at
    expect(open_session(2), TSLIM_ERROR_UNSUPPORTED, "node 'list' (SequenceConstruct)");
    expect(open_session(2), TSLIM_ERROR_UNSUPPORTED, "sequences and optionals are not tensors");
    close_all();
    proto_message(&type, 4, &sequence);
    proto_text(&info, 1, "s");
    proto_message(&info, 2, &type);
    proto_message(&g, ONNX_GRAPH_INPUT, &info);
    expect(load(&g), TSLIM_ERROR_UNSUPPORTED, "input 's': its type is a sequence, not a tensor");
}

// ---- Limits of a run ----

static tslim_status run_loop(int64_t trips, bool gathers, uint64_t arena_bytes) {
    proto g;
    tslim_tensor outputs[2];
    tslim_context *own = ctx;
    tslim_context_options options;
    tslim_context_options_init(&options);
    options.limits.arena_bytes = arena_bytes;
    options.n_threads = 1;
    assert_int_equal(tslim_context_create(&options, &ctx), TSLIM_OK);
    start(&g, 64);
    control_int(&g, "n", trips);
    control_node(&g, "Identity", "", "n", "trips");
    control_value(&g, ONNX_GRAPH_OUTPUT, "state");
    if (gathers) control_value(&g, ONNX_GRAPH_OUTPUT, "all");
    control_add_loop(&g, "trips", "", gathers);
    assert_int_equal(load(&g), TSLIM_OK);
    float x[64] = {0};
    tslim_status status = open_session(64);
    if (status == TSLIM_OK) status = run(x, 64, outputs, gathers ? 2 : 1);
    if (status == TSLIM_OK) assert_true(tslim_session_memory_bytes(session) <= arena_bytes);
    close_all();
    tslim_context_destroy(ctx);
    ctx = own;
    return status;
}

static void loops_end(void **state) {
    (void)state;
    assert_int_equal(run_loop(10, true, 1 << 20), TSLIM_OK);
    expect(run_loop(INT64_C(1) << 62, false, 1 << 20), TSLIM_ERROR_LIMIT, "the loops of one run went round");
    expect(run_loop(INT64_C(1) << 62, true, 1 << 20), TSLIM_ERROR_LIMIT, "");
    expect(run_loop(100000, true, 1 << 20), TSLIM_ERROR_LIMIT, "");
    assert_int_equal(run_loop(-5, true, 1 << 20), TSLIM_OK);
    assert_int_equal(run_loop(INT64_MIN, false, 1 << 20), TSLIM_OK);
}

// ---- What a session promises ----

static void open_mixed(void) {
    static proto model;
    memset(&model, 0, sizeof(model));
    control_mixed_model(&model);
    if (tslim_graph_load_memory(ctx, model.data, model.size, &graph) != TSLIM_OK)
        fail_msg("%s", tslim_context_message(ctx));
    if (open_session(3) != TSLIM_OK) fail_msg("%s", tslim_context_message(ctx));
}

static void check_mixed(const float x[3], uint32_t positive) {
    tslim_tensor outputs[2];
    if (run(x, 3, outputs, 2) != TSLIM_OK) fail_msg("%s", tslim_context_message(ctx));
    for (int i = 0; i < 3; i++) assert_true(((const float *)outputs[0].data)[i] == 4 * x[i]); // w is 0
    assert_int_equal(outputs[1].rank, 2);
    assert_int_equal(outputs[1].dims[0], 1);
    assert_int_equal(outputs[1].dims[1], positive);
    const float *found = outputs[1].data;
    for (uint32_t i = 0, k = 0; i < 3; i++)
        if (x[i] > 0) assert_true(found[k++] == (float)i);
}

static const float some[3][3] = {{1, -1, 2}, {-1, -1, -2}, {1, 1, 1}};
static const uint32_t positive[3] = {2, 0, 3};

static void repeated_shapes_are_not_planned_again(void **state) {
    (void)state;
    tslim_context *own = ctx;
    failing_allocator allocator = {0};
    tslim_context_options options;
    tslim_context_options_init(&options);
    options.n_threads = 1;
    options.allocator = failing_allocator_interface(&allocator);
    assert_int_equal(tslim_context_create(&options, &ctx), TSLIM_OK);
    open_mixed();
    for (int i = 0; i < 3; i++) check_mixed(some[i], positive[i]);
    uint64_t calls = allocator.calls;
    for (int i = 0; i < 9; i++) check_mixed(some[i % 3], positive[i % 3]);
    assert_int_equal(allocator.calls, calls);
    close_all();
    tslim_context_destroy(ctx);
    assert_int_equal(allocator.live, 0);
    ctx = own;
}

// With static shapes a body's plan and memory are there before the first run.
static void static_bodies_allocate_nothing_in_run(void **state) {
    (void)state;
    tslim_context *own = ctx;
    failing_allocator allocator = {0};
    tslim_context_options options;
    tslim_context_options_init(&options);
    options.n_threads = 1;
    options.allocator = failing_allocator_interface(&allocator);
    assert_int_equal(tslim_context_create(&options, &ctx), TSLIM_OK);
    proto g;
    tslim_tensor outputs[2];
    start(&g, 3);
    control_int(&g, "n", 4);
    control_value(&g, ONNX_GRAPH_OUTPUT, "state");
    control_value(&g, ONNX_GRAPH_OUTPUT, "all");
    control_add_loop(&g, "n", "", true);
    assert_int_equal(load(&g), TSLIM_OK);
    assert_int_equal(open_session(3), TSLIM_OK);
    tslim_tensor_info info;
    assert_int_equal(tslim_session_output_info(session, 1, &info), TSLIM_OK);
    assert_int_equal(info.rank, 2);
    assert_int_equal(info.dims[0], 4); // the trip count is a constant
    uint64_t calls = allocator.calls;
    size_t bytes = tslim_session_memory_bytes(session);
    assert_int_equal(run((float[]){1, 2, 3}, 3, outputs, 2), TSLIM_OK);
    assert_int_equal(allocator.calls, calls);
    assert_int_equal(tslim_session_memory_bytes(session), bytes);
    assert_memory_equal(outputs[0].data, ((float[]){5, 10, 15}), 12);
    assert_memory_equal((float *)outputs[1].data + 9, ((float[]){5, 10, 15}), 12);
    close_all();
    tslim_context_destroy(ctx);
    ctx = own;
}

static void what_only_a_run_tells_is_not_known_before(void **state) {
    (void)state;
    open_mixed();
    tslim_tensor_info info;
    assert_int_equal(tslim_session_output_count(session), 2);
    assert_int_equal(tslim_session_output_info(session, 1, &info), TSLIM_OK);
    assert_string_equal(info.name, "z");
    assert_int_equal(info.rank, 2);
    assert_int_equal(info.dims[0], 1);
    assert_int_equal(info.dims[1], -1);
    tslim_session *clone;
    assert_int_equal(tslim_session_clone(session, &clone), TSLIM_OK);
    tslim_session_destroy(session);
    session = clone;
    check_mixed(some[0], positive[0]);
    close_all();
}

static bool note(void *user, const char *name, const tslim_tensor *values) {
    char *seen = user;
    (void)values;
    if (strlen(seen) + strlen(name) + 2 < 256) strcat(strcat(seen, name), " ");
    return true;
}

static void taps_and_profile_see_each_stage(void **state) {
    (void)state;
    open_mixed();
    char seen[256] = "";
    assert_int_equal(tslim_session_set_tap(session, note, seen), TSLIM_OK);
    assert_int_equal(tslim_session_profile(session, true), TSLIM_OK);
    check_mixed(some[0], positive[0]);
    const char *names[] = {"x ", "y ", "positive ", "found ", "z "};
    for (size_t i = 0; i < 5; i++)
        if (!strstr(seen, names[i])) fail_msg("'%s' is not among '%s'", names[i], seen);
    bool cast = false;
    for (uint32_t i = 0; i < tslim_session_step_count(session); i++) {
        tslim_step_profile profile;
        assert_int_equal(tslim_session_step_profile(session, i, &profile), TSLIM_OK);
        cast |= strcmp(profile.node, "cast") == 0 && profile.runs == 1;
    }
    assert_true(cast);
    close_all();
}

// ---- Files of the library's own ----

static void tslim_files_hold_bodies(void **state) {
    (void)state;
    char path[] = "/tmp/test_control_XXXXXX.tslim";
    int file = mkstemps(path, 6);
    assert_true(file >= 0);
    close(file);
    open_mixed();
    tslim_session_destroy(session);
    assert_int_equal(tslim_graph_save_file(graph, path, TSLIM_FORMAT_TSLIM), TSLIM_OK);
    tslim_graph_destroy(graph);
    assert_int_equal(tslim_graph_load_file(ctx, path, &graph), TSLIM_OK);
    assert_int_equal(open_session(3), TSLIM_OK);
    check_mixed(some[0], positive[0]);
    tslim_session_destroy(session);
    session = NULL;

    // An attribute that names a graph of another node, itself, or none.
    tsl_node *loop = &graph->nodes[tsl_graph_find_node(graph, "loop")];
    tslim_graph *body = graph->bodies[loop->attrs.items[0].i];
    static const int64_t wrong[] = {-1, 1, 7, INT64_MIN, INT64_MAX / 2};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        tslim_graph *loaded = NULL;
        loop->attrs.items[0].i = wrong[i];
        assert_int_not_equal(tsl_graph_verify(graph, TSLIM_ERROR_BAD_FILE), TSLIM_OK);
        loop->attrs.items[0].i = 0;
        tsl_attr *inner = NULL;
        for (uint32_t n = 0; n < body->n_nodes && !inner; n++)
            if (body->nodes[n].op == TSL_OP_IF) inner = &body->nodes[n].attrs.items[0];
        assert_non_null(inner);
        int64_t right = inner->i;
        inner->i = wrong[i];
        tslim_status status = tslim_graph_save_file(graph, path, TSLIM_FORMAT_TSLIM);
        if (status == TSLIM_OK) {
            assert_int_equal(tslim_graph_load_file(ctx, path, &loaded), TSLIM_ERROR_BAD_FILE);
            assert_null(loaded);
        }
        inner->i = right;
    }
    unlink(path);
    close_all();
}

// ---- Pruning, calibrating, quantizing, comparing around bodies ----

static void add_conv(proto *g, const char *x, const char *w, const char *y, int64_t pad) {
    proto node = {0};
    char inputs[32];
    snprintf(inputs, sizeof(inputs), "%s,%s", x, w);
    onnx_node(&node, "Conv", y, inputs, y);
    onnx_attr_ints(&node, "pads", 4, (const int64_t[]){pad, pad, pad, pad});
    proto_message(g, ONNX_GRAPH_NODE, &node);
}

// x[1,2,4,4] -> p = Conv -> a = Conv -> b = a with a convolution by weights that are captured, in a Loop, or
// in an If that is decided -> y = Conv, i = NonZero(Relu(y)).
static void open_convolutions(bool loop) {
    static proto g, body, other, node;
    memset(&g, 0, sizeof(g));
    memset(&body, 0, sizeof(body));
    memset(&other, 0, sizeof(other));
    memset(&node, 0, sizeof(node));
    onnx_value(&g, ONNX_GRAPH_INPUT, "x", 4, (const int64_t[]){1, 2, 4, 4});
    onnx_value(&g, ONNX_GRAPH_OUTPUT, "y", 4, (const int64_t[]){1, 3, 4, 4});
    control_value(&g, ONNX_GRAPH_OUTPUT, "i");
    onnx_weights(&g, "w0", 4, (const int64_t[]){4, 2, 3, 3});
    onnx_weights(&g, "w1", 4, (const int64_t[]){4, 4, 1, 1});
    onnx_weights(&g, "w2", 4, (const int64_t[]){4, 4, 1, 1});
    onnx_weights(&g, "w3", 4, (const int64_t[]){3, 4, 1, 1});
    control_int(&g, "n", 2);
    control_bool(&g, "c", true);
    add_conv(&g, "x", "w0", "p", 1);
    add_conv(&g, "p", "w1", "a", 0);
    if (loop) {
        control_value(&body, ONNX_GRAPH_INPUT, "k");
        control_value(&body, ONNX_GRAPH_INPUT, "go");
        control_value(&body, ONNX_GRAPH_INPUT, "s");
        control_value(&body, ONNX_GRAPH_OUTPUT, "go");
        control_value(&body, ONNX_GRAPH_OUTPUT, "t");
        add_conv(&body, "s", "w2", "t", 0);
        onnx_node(&node, "Loop", "within", "n,,a", "b");
        control_body(&node, "body", &body);
    } else {
        control_value(&body, ONNX_GRAPH_OUTPUT, "t");
        add_conv(&body, "a", "w2", "t", 0);
        control_value(&other, ONNX_GRAPH_OUTPUT, "t");
        control_node(&other, "Neg", "", "a", "t");
        onnx_node(&node, "If", "within", "c", "b");
        control_body(&node, "then_branch", &body);
        control_body(&node, "else_branch", &other);
    }
    proto_message(&g, ONNX_GRAPH_NODE, &node);
    add_conv(&g, "b", "w3", "y", 0);
    control_node(&g, "Relu", "", "y", "r");
    control_node(&g, "NonZero", "", "r", "i");
    if (load(&g) != TSLIM_OK) fail_msg("%s", tslim_context_message(ctx));
}

static void run_convolutions(float y[48]) {
    float x[32];
    tslim_tensor outputs[2] = {{0}};
    for (int i = 0; i < 32; i++) x[i] = (float)(i % 5) - 2;
    tslim_tensor input = {
        .dtype = TSLIM_DTYPE_FLOAT, .rank = 4, .dims = {1, 2, 4, 4}, .data = x, .bytes = sizeof(x)};
    if (tslim_session_create(graph, NULL, &session) != TSLIM_OK ||
        tslim_session_run(session, &input, 1, outputs, 2) != TSLIM_OK)
        fail_msg("%s", tslim_context_message(ctx));
    assert_int_equal(outputs[0].dims[1], 3);
    memcpy(y, outputs[0].data, 48 * sizeof(float));
    tslim_session_destroy(session);
    session = NULL;
}

static int64_t channels_of(const char *weights) {
    return graph->values[tsl_graph_find_value(graph, weights)].shape.dims[0];
}

static void pruning_keeps_what_bodies_read(void **state) {
    (void)state;
    for (int loop = 0; loop < 2; loop++) {
        float y[48];
        tslim_prune_plan *plan;
        tslim_prune_options options;
        tslim_prune_options_init(&options);
        options.ratio = 0.5;
        options.round_to = 1;
        open_convolutions(loop);
        if (tslim_prune_plan_create(graph, &options, &plan) != TSLIM_OK ||
            tslim_prune(graph, plan) != TSLIM_OK)
            fail_msg("%s", tslim_context_message(ctx));
        assert_true(channels_of("w0") < 4);
        assert_int_equal(channels_of("w1"), 4);
        assert_int_equal(channels_of("w2"), 4);
        run_convolutions(y);
        tslim_prune_plan_destroy(plan);
        close_all();
    }
}

static tslim_status sample(
    void *user, uint64_t index, tslim_tensor *inputs, uint32_t n_inputs, int64_t *label) {
    (void)user;
    (void)n_inputs;
    (void)label;
    for (size_t i = 0; i < 32; i++) ((float *)inputs[0].data)[i] = (float)((i + index) % 5) - 2;
    return TSLIM_OK;
}

static void look_for_loop(void *user, const tslim_quantize_note *note) {
    if (strcmp(note->node, "within") != 0) return;
    assert_int_equal(note->precision, TSLIM_DTYPE_FLOAT);
    assert_string_equal(note->reason, "what is within it stays in float");
    ++*(int *)user;
}

static void count_values(void *user, const tslim_difference *difference) {
    assert_true(difference->sqnr_db > 20);
    ++*(int *)user;
}

static void quantizing_leaves_bodies_in_float(void **state) {
    (void)state;
    float in_float[48], in_int8[48], largest = 0;
    tslim_dataset *dataset;
    tslim_calibration *calibration;
    tslim_graph *original;
    int loops = 0, values = 0;
    tslim_tensor_info shape = {.name = "x", .dtype = TSLIM_DTYPE_FLOAT, .rank = 3, .dims = {2, 4, 4}};
    open_convolutions(true);
    run_convolutions(in_float);
    assert_int_equal(tslim_graph_clone(graph, &original), TSLIM_OK);
    assert_int_equal(tslim_dataset_from_callback(ctx, 4, &shape, 1, false, sample, NULL, &dataset), TSLIM_OK);
    if (tslim_calibrate(graph, dataset, NULL, &calibration) != TSLIM_OK ||
        tslim_quantize(graph, calibration, NULL, look_for_loop, &loops) != TSLIM_OK)
        fail_msg("%s", tslim_context_message(ctx));
    assert_int_equal(loops, 1);
    run_convolutions(in_int8);
    for (int i = 0; i < 48; i++) largest = in_float[i] > largest ? in_float[i] : largest;
    for (int i = 0; i < 48; i++)
        assert_true(in_int8[i] - in_float[i] < largest / 16 && in_float[i] - in_int8[i] < largest / 16);
    tslim_compare_options options;
    tslim_compare_options_init(&options);
    options.per_value = true;
    if (tslim_compare(original, graph, dataset, &options, count_values, &values) != TSLIM_OK)
        fail_msg("%s", tslim_context_message(ctx));
    assert_true(values >= 3);
    tslim_graph_destroy(original);
    tslim_calibration_destroy(calibration);
    tslim_dataset_destroy(dataset);
    close_all();
}

static int set_up(void **state) {
    (void)state;
    tslim_context_options options;
    tslim_context_options_init(&options);
    options.n_threads = 1;
    return tslim_context_create(&options, &ctx) == TSLIM_OK ? 0 : 1;
}

static int tear_down(void **state) {
    (void)state;
    tslim_context_destroy(ctx);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(names_must_exist),
        cmocka_unit_test(bodies_do_not_read_their_own_results),
        cmocka_unit_test(bodies_have_the_nodes_results),
        cmocka_unit_test(sequences_are_refused_by_name),
        cmocka_unit_test(loops_end),
        cmocka_unit_test(repeated_shapes_are_not_planned_again),
        cmocka_unit_test(static_bodies_allocate_nothing_in_run),
        cmocka_unit_test(what_only_a_run_tells_is_not_known_before),
        cmocka_unit_test(taps_and_profile_see_each_stage),
        cmocka_unit_test(tslim_files_hold_bodies),
        cmocka_unit_test(pruning_keeps_what_bodies_read),
        cmocka_unit_test(quantizing_leaves_bodies_in_float),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
