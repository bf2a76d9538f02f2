// SPDX-License-Identifier: Apache-2.0
// Where values lie: random graphs give the same bytes whether their Concats and Splits copy or not, and no
// two values that are needed at the same time share memory but as slices or as one.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tinyslim/tinyslim.h>

#include "pass/pass.h"
#include "plan/plan.h"
#include "plan/session.h"
#include "plan/specialize.h"
#include "support/random_graph.h"
#include "support/samples.h"

static tslim_context *ctx;

static void assert_ok(tslim_status status) {
    if (status != TSLIM_OK) fail_msg("%s", tsl_message());
}

typedef struct planned {
    tsl_environment env;
    tsl_plan *plan;
    uint8_t *memory;
} planned;

static void plan_graph(tsl_model *model, int64_t batch, bool apart, planned *p) {
    const tsl_value *input = &model->graph->values[model->graph->inputs[0]];
    tslim_input_shape shape = {.name = NULL, .rank = input->shape.rank};
    tslim_graph *specialized;
    memcpy(shape.dims, input->shape.dims, sizeof(shape.dims));
    shape.dims[0] = batch;
    tsl_environment_init(&p->env, model);
    p->env.apart = apart;
    p->env.batches = apart ? TSL_BATCHES_WHOLE : TSL_BATCHES_BY_SAMPLE;
    assert_ok(tsl_graph_specialize(model->graph, &shape, 1, &specialized));
    assert_ok(tsl_plan_create(&p->env, specialized, NULL, NULL, &p->plan));
    p->memory = aligned_alloc(64, p->plan->bytes + 64);
    assert_non_null(p->memory);
    memset(p->memory, 0xff, p->plan->bytes + 64); // no number
    tsl_plan_bind(p->plan, p->memory);
}

static void run_planned(planned *p, void *input) {
    tsl_plan *plan = p->plan;
    for (uint32_t i = 0; i < plan->n_patches; i++) plan->patches[i].tensor->data = input;
    plan->values[plan->graph->inputs[0]].tensor.data = input;
    assert_ok(tsl_plan_run(plan, false, NULL, NULL));
}

static void release(planned *p) {
    tsl_plan_destroy(p->plan);
    free(p->memory);
}

// ---- Sound places ----

typedef struct extent {
    size_t begin, end;
} extent;

static extent memory_of(const tsl_plan_value *v) {
    return (extent){v->offset, v->offset + v->bytes};
}

// Returns how many values are slices.
static uint32_t check_places(const tsl_plan *plan) {
    uint32_t slices = 0;
    for (uint32_t a = 0; a < plan->graph->n_values; a++) {
        const tsl_plan_value *v = &plan->values[a];
        if (v->place != TSL_PLACE_ARENA) continue;
        assert_int_equal(plan->values[v->root].root, v->root);
        assert_int_equal(plan->values[v->whole].whole, v->whole);
        const tsl_plan_value *root = &plan->values[v->root], *whole = &plan->values[v->whole];
        assert_true(root->first <= v->first && v->last <= root->last);
        // From the first to the last element, within the root's memory, with room behind.
        size_t last = 0;
        for (uint32_t d = 0; d < v->tensor.rank; d++)
            last += (size_t)((v->tensor.dims[d] - 1) * v->tensor.strides[d]);
        last = (last + 1) * tslim_dtype_size(v->tensor.dtype);
        assert_true(v->origin + last + 64 <= root->bytes);
        if (v->whole != a) {
            slices++;
            assert_true(v->begin >= 0);
            assert_true(v->begin + v->tensor.dims[whole->axis] <= whole->tensor.dims[whole->axis]);
            assert_memory_equal(v->tensor.border, whole->tensor.border, sizeof(v->tensor.border));
            assert_true(whole->first <= v->first && v->last <= whole->last);
        }
        for (uint32_t b = 0; b < a; b++) {
            const tsl_plan_value *other = &plan->values[b];
            if (v->root != a || other->root != b || other->place != TSL_PLACE_ARENA) continue;
            if (other->last < v->first || v->last < other->first) continue;
            extent x = memory_of(v), y = memory_of(other);
            assert_true(x.end <= y.begin || y.end <= x.begin);
        }
    }
    return slices;
}

// ---- The same results ----

static uint64_t n_loops; // in all that was compared

// `nearly`: float products of fewer rows may add in another order.
static bool is_same(const tsl_tensor *a, const tsl_tensor *b, bool nearly) {
    size_t count = (size_t)tsl_tensor_elements(b);
    const float *x = a->data, *y = b->data;
    assert_int_equal(b->dtype, TSLIM_DTYPE_FLOAT);
    for (size_t i = 0; nearly && i < count; i++)
        if (!(fabsf(x[i] - y[i]) <= 1e-5f * (1 + fabsf(y[i])))) return false;
    return nearly || memcmp(x, y, count * sizeof(float)) == 0;
}

static uint32_t compare_results(tslim_graph *graph, int64_t batch, uint64_t seed, bool quantized) {
    tsl_model *model;
    planned with, without;
    float *input = malloc((size_t)batch * 3 * 8 * 8 * sizeof(float));
    assert_non_null(input);
    for (int64_t i = 0; i < batch * 3 * 8 * 8; i++)
        input[i] = (float)((i * 2654435761 + (int64_t)seed * 40503) % 2001) / 1000.0f - 1.0f;
    assert_ok(tsl_model_create(graph, &tsl_cpu_backend, ctx->isa, TSL_WINOGRAD_BY_SHAPE, true, &model));
    plan_graph(model, batch, false, &with);
    plan_graph(model, batch, true, &without);
    assert_int_equal(check_places(without.plan), 0);
    assert_int_equal(without.plan->n_loops, 1);
    uint32_t slices = check_places(with.plan);
    n_loops += with.plan->n_loops - 1;
    run_planned(&without, input);
    for (int again = 0; again < 2; again++) { // the second time memory holds what the first has left
        run_planned(&with, input);
        for (uint32_t i = 0; i < with.plan->graph->n_outputs; i++) {
            const tsl_tensor *a = &with.plan->results[i], *b = &without.plan->results[i];
            assert_true(tsl_tensor_is_row_major(a) && tsl_tensor_is_row_major(b));
            if (!is_same(a, b, batch > 1 && !quantized))
                fail_msg("seed %llu, batch %d, run %d: output %u differs", (unsigned long long)seed,
                    (int)batch, again, i);
        }
    }
    release(&with);
    release(&without);
    tsl_model_release(model);
    free(input);
    return slices;
}

// Reshapes of random graphs are for one image.
static bool has_reshape(const tslim_graph *graph) {
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        if (graph->nodes[n].op == TSL_OP_RESHAPE) return true;
    return false;
}

static uint64_t seeds(uint64_t standard) {
    const char *asked = getenv("TINYSLIM_RANDOM_GRAPHS");
    return asked ? strtoull(asked, NULL, 10) : standard;
}

static void open_batch(tslim_graph *graph) {
    tsl_value *input = &graph->values[graph->inputs[0]];
    input->shape.dims[0] = -1;
    input->shape.symbols[0] = "N";
}

static void test_float(void **state) {
    (void)state;
    uint64_t count = seeds(500), slices = 0;
    n_loops = 0;
    for (uint64_t seed = 1; seed <= count; seed++) {
        tslim_graph *graph = random_graph(ctx, seed);
        slices += compare_results(graph, 1, seed, false);
        if (!has_reshape(graph)) {
            open_batch(graph);
            slices += compare_results(graph, 3, seed, false);
        }
        tslim_graph_destroy(graph);
    }
    assert_true(slices > count);
    assert_true(n_loops > count / 4);
}

static void test_int8(void **state) {
    (void)state;
    uint64_t count = seeds(500) / 5, slices = 0;
    for (uint64_t seed = 1; seed <= count; seed++) {
        tslim_graph *graph = random_graph(ctx, seed);
        tslim_calibration *calibration;
        assert_ok(tsl_pass_remove_dead(graph)); // nothing calibrates it
        tslim_dataset *dataset = samples_create(ctx, "input", 4, 3, (const int64_t[]){3, 8, 8});
        assert_non_null(dataset);
        assert_ok(tslim_calibrate(graph, dataset, NULL, &calibration));
        assert_ok(tslim_quantize(graph, calibration, NULL, NULL, NULL));
        slices += compare_results(graph, 1, seed, true);
        if (!has_reshape(graph)) {
            open_batch(graph);
            slices += compare_results(graph, 3, seed, true);
        }
        tslim_calibration_destroy(calibration);
        tslim_dataset_destroy(dataset);
        tslim_graph_destroy(graph);
    }
    assert_true(4 * slices > count); // of many the scales differ
}

// ---- A session ----

enum { BATCH = 4, SIDE = 64 };

static bool see_batch(void *user, const char *name, const tslim_tensor *value) {
    (void)name;
    assert_int_equal(value->dims[0], BATCH);
    ++*(int *)user;
    return true;
}

// Layers whose results are large run sample by sample, unless somebody looks at values.
static void test_session(void **state) {
    (void)state;
    builder b;
    builder_start(&b, ctx, 1);
    uint32_t x = build_input(&b, "input", 4, (const int64_t[]){BATCH, 3, SIDE, SIDE});
    x = build_conv(&b, "first", x, 16, 3, 1, 1, true);
    x = build_conv(&b, "second", x, 16, 3, 1, 1, true);
    build_output(&b, build_unary(&b, TSL_OP_GLOBAL_AVERAGE_POOL, x));
    tslim_session *session;
    assert_ok(tslim_session_create(b.graph, NULL, &session));
    assert_int_equal(session->plan->n_loops, 2); // the first stands for none
    const size_t bytes = tslim_session_arena_bytes(session);
    static float pixels[BATCH * 3 * SIDE * SIDE], means[2][BATCH * 16];
    for (size_t i = 0; i < sizeof(pixels) / sizeof(*pixels); i++) pixels[i] = (float)(i % 1013) / 1013.0f;
    tslim_tensor in = {.dtype = TSLIM_DTYPE_FLOAT,
        .rank = 4,
        .dims = {BATCH, 3, SIDE, SIDE},
        .data = pixels,
        .bytes = sizeof(pixels)};
    int seen = 0;
    for (int watched = 0; watched < 2; watched++) {
        tslim_tensor out = {.data = means[watched], .bytes = sizeof(means[watched])};
        if (watched) assert_ok(tslim_session_set_tap(session, see_batch, &seen));
        assert_ok(tslim_session_run(session, &in, 1, &out, 1));
        assert_int_equal(out.dims[0], BATCH);
    }
    assert_int_equal(session->plan->n_loops, 1);
    assert_true(seen >= 4); // the input, and what each node makes
    assert_true(tslim_session_arena_bytes(session) > bytes);
    for (size_t i = 0; i < BATCH * 16; i++) assert_true(fabsf(means[0][i] - means[1][i]) < 1e-5f);
    assert_true(fabsf(means[0][0] - means[0][16]) > 0); // samples differ
    tslim_session_destroy(session);
    tslim_graph_destroy(b.graph);
}

static int set_up_threads(uint32_t n_threads) {
    tslim_context_options options;
    tslim_context_options_init(&options);
    options.n_threads = n_threads;
    return tslim_context_create(&options, &ctx) == TSLIM_OK ? 0 : -1;
}

static int set_up(void **state) {
    (void)state;
    return set_up_threads(1);
}

// As many as there are samples in a batch: each takes some.
static int set_up_many(void **state) {
    (void)state;
    return set_up_threads(3);
}

static int tear_down(void **state) {
    (void)state;
    tslim_context_destroy(ctx);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_float),
        cmocka_unit_test(test_int8),
        cmocka_unit_test(test_session),
    };
    const struct CMUnitTest threaded[] = {
        cmocka_unit_test(test_float),
        cmocka_unit_test(test_int8),
    };
    int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    return failed + cmocka_run_group_tests(threaded, set_up_many, tear_down);
}
