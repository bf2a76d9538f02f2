// SPDX-License-Identifier: Apache-2.0
// Metrics against a plain computation by hand, batches of every kind, and the distance between models.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>
#include <tinyslim/evaluate.h>

#include "base/rng.h"
#include "support/small_network.h"

#define SAMPLES 37
#define CLASSES SMALL_NETWORK_CLASSES
#define ELEMENTS (3 * SMALL_NETWORK_SIZE * SMALL_NETWORK_SIZE)

static tslim_context *ctx;
static float images[SAMPLES][ELEMENTS];
static int64_t labels[SAMPLES];

static tslim_status give_sample(
    void *user, uint64_t index, tslim_tensor *inputs, uint32_t n_inputs, int64_t *label) {
    (void)user;
    (void)n_inputs;
    memcpy(inputs[0].data, images[index], sizeof images[index]);
    *label = labels[index];
    return TSLIM_OK;
}

static int set_up(void **state) {
    (void)state;
    tsl_rng rng;
    tsl_rng_seed(&rng, 5);
    for (size_t i = 0; i < SAMPLES * ELEMENTS; ++i) (&images[0][0])[i] = (float)tsl_rng_normal(&rng);
    for (size_t i = 0; i < SAMPLES; ++i)
        labels[i] = (int64_t)tsl_rng_below(&rng, CLASSES - 1); // one class is never asked for
    return tslim_context_create(NULL, &ctx) == TSLIM_OK ? 0 : 1;
}

static int tear_down(void **state) {
    (void)state;
    tslim_context_destroy(ctx);
    return 0;
}

static tslim_dataset *make_dataset(uint64_t count) {
    tslim_tensor_info shape = {
        .dtype = TSLIM_DTYPE_FLOAT, .rank = 3, .dims = {3, SMALL_NETWORK_SIZE, SMALL_NETWORK_SIZE}};
    tslim_dataset *dataset;
    assert_int_equal(
        tslim_dataset_from_callback(ctx, count, &shape, 1, true, give_sample, NULL, &dataset), TSLIM_OK);
    return dataset;
}

static tslim_graph *make_graph(uint64_t seed) {
    tslim_graph *graph;
    assert_int_equal(small_network_create(ctx, seed, &graph), TSLIM_OK);
    return graph;
}

// The model on each sample alone.
static void run_alone(const tslim_graph *graph, float scores[SAMPLES][CLASSES]) {
    tslim_input_shape shape = {.rank = 4, .dims = {1, 3, SMALL_NETWORK_SIZE, SMALL_NETWORK_SIZE}};
    tslim_session_options options;
    tslim_session *session;
    tslim_session_options_init(&options);
    options.shapes = &shape;
    options.n_shapes = 1;
    assert_int_equal(tslim_session_create(graph, &options, &session), TSLIM_OK);
    for (size_t i = 0; i < SAMPLES; ++i) {
        tslim_tensor input = {TSLIM_DTYPE_FLOAT, 4, {1, 3, SMALL_NETWORK_SIZE, SMALL_NETWORK_SIZE}, images[i],
            sizeof images[i]};
        tslim_tensor output = {.data = scores[i], .bytes = sizeof scores[i]};
        assert_int_equal(tslim_session_run(session, &input, 1, &output, 1), TSLIM_OK);
    }
    tslim_session_destroy(session);
}

// The definitions, written down once more in the plainest way.
static tslim_metrics by_hand(float scores[SAMPLES][CLASSES]) {
    tslim_metrics m = {0};
    int predicted[SAMPLES];
    m.samples = SAMPLES;
    for (size_t i = 0; i < SAMPLES; ++i) {
        int order[CLASSES]; // best first
        for (int c = 0; c < CLASSES; ++c) order[c] = c;
        for (int a = 0; a < CLASSES; ++a) {
            for (int b = CLASSES - 1; b > 0; --b) {
                if (scores[i][order[b]] <= scores[i][order[b - 1]]) continue;
                int other = order[b];
                order[b] = order[b - 1];
                order[b - 1] = other;
            }
        }
        predicted[i] = order[0];
        m.correct_top1 += order[0] == labels[i];
        for (int k = 0; k < 5; ++k) m.correct_top5 += order[k] == labels[i];
        double sum = 0;
        for (int c = 0; c < CLASSES; ++c) sum += exp(scores[i][c]);
        m.loss -= log(exp(scores[i][labels[i]]) / sum) / SAMPLES;
    }
    int classes = 0;
    for (int c = 0; c < CLASSES; ++c) {
        double hit = 0, wrong = 0, missed = 0;
        for (size_t i = 0; i < SAMPLES; ++i) {
            hit += predicted[i] == c && labels[i] == c;
            wrong += predicted[i] == c && labels[i] != c;
            missed += predicted[i] != c && labels[i] == c;
        }
        if (hit + wrong + missed == 0) continue;
        double precision = hit + wrong > 0 ? hit / (hit + wrong) : 0,
               recall = hit + missed > 0 ? hit / (hit + missed) : 0;
        ++classes;
        m.precision += precision;
        m.recall += recall;
        m.f1 += precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0;
    }
    m.precision /= classes;
    m.recall /= classes;
    m.f1 /= classes;
    return m;
}

static void test_metrics(void **state) {
    (void)state;
    tslim_graph *graph = make_graph(3);
    tslim_dataset *dataset = make_dataset(SAMPLES);
    float scores[SAMPLES][CLASSES];
    run_alone(graph, scores);
    tslim_metrics expected = by_hand(scores);
    // Batches that divide the samples, leave a rest, and hold more than all.
    const uint32_t batches[] = {0, 1, 5, 36, 37, 100};
    for (size_t b = 0; b < sizeof batches / sizeof *batches; ++b) {
        tslim_evaluate_options options;
        tslim_evaluate_options_init(&options);
        options.batch = batches[b];
        tslim_metrics metrics = {.struct_size = sizeof metrics};
        assert_int_equal(tslim_evaluate(graph, dataset, &options, &metrics), TSLIM_OK);
        assert_int_equal(metrics.samples, SAMPLES);
        assert_int_equal(metrics.correct_top1, expected.correct_top1);
        assert_int_equal(metrics.correct_top5, SAMPLES);
        assert_int_equal(expected.correct_top5, SAMPLES);
        assert_true(fabs(metrics.top1 - (double)expected.correct_top1 / SAMPLES) < 1e-12);
        assert_true(fabs(metrics.precision - expected.precision) < 1e-12);
        assert_true(fabs(metrics.recall - expected.recall) < 1e-12);
        assert_true(fabs(metrics.f1 - expected.f1) < 1e-12);
        assert_true(fabs(metrics.loss - expected.loss) < 1e-5);
    }
    tslim_dataset_destroy(dataset);
    tslim_graph_destroy(graph);
}

// A model whose batch is fixed: the last batch is padded, and the padding is not counted.
static void test_fixed_batch(void **state) {
    (void)state;
    tslim_graph *graph = make_graph(3);
    tslim_dataset *dataset = make_dataset(SAMPLES);
    tslim_metrics open = {.struct_size = sizeof open}, fixed = {.struct_size = sizeof fixed};
    assert_int_equal(tslim_evaluate(graph, dataset, NULL, &open), TSLIM_OK);
    graph->values[graph->inputs[0]].shape.dims[0] = 8;
    assert_int_equal(tslim_evaluate(graph, dataset, NULL, &fixed), TSLIM_OK);
    assert_int_equal(open.correct_top1, fixed.correct_top1);
    assert_true(open.f1 == fixed.f1 && fixed.samples == SAMPLES);
    tslim_dataset_destroy(dataset);
    tslim_graph_destroy(graph);
}

static void expect_failure(const tslim_graph *graph, tslim_dataset *dataset, const char *part_of_message) {
    tslim_metrics metrics = {.struct_size = sizeof metrics};
    assert_int_equal(tslim_evaluate(graph, dataset, NULL, &metrics), TSLIM_ERROR_INVALID_ARGUMENT);
    if (!strstr(tslim_context_message(ctx), part_of_message)) fail_msg("%s", tslim_context_message(ctx));
}

static void test_mistakes(void **state) {
    (void)state;
    tslim_graph *graph = make_graph(3);
    tslim_dataset *dataset = make_dataset(SAMPLES);
    int64_t label = labels[20];
    labels[20] = CLASSES;
    expect_failure(graph, dataset, "sample 20 has label 5");
    labels[20] = -1;
    expect_failure(graph, dataset, "sample 20 has label -1");
    labels[20] = label;
    tslim_dataset_destroy(dataset);
    dataset = make_dataset(0);
    expect_failure(graph, dataset, "no samples");
    tslim_dataset_destroy(dataset);
    tslim_tensor_info shape = {.dtype = TSLIM_DTYPE_FLOAT, .rank = 3, .dims = {3, SMALL_NETWORK_SIZE, 99}};
    assert_int_equal(
        tslim_dataset_from_callback(ctx, 1, &shape, 1, true, give_sample, NULL, &dataset), TSLIM_OK);
    expect_failure(graph, dataset, "a batch of the samples 1x3x12x99");
    tslim_dataset_destroy(dataset);
    tslim_graph_destroy(graph);
}

static bool stop_soon(void *user, const char *what, uint64_t done, uint64_t total) {
    (void)what;
    assert_int_equal(total, SAMPLES);
    *(uint64_t *)user = done;
    return done < 20;
}

static void test_cancel(void **state) {
    (void)state;
    tslim_graph *graph = make_graph(3);
    tslim_dataset *dataset = make_dataset(SAMPLES);
    tslim_evaluate_options options;
    uint64_t done = 0;
    tslim_evaluate_options_init(&options);
    options.batch = 10;
    options.progress = stop_soon;
    options.progress_user = &done;
    tslim_metrics metrics = {.struct_size = sizeof metrics};
    assert_int_equal(tslim_evaluate(graph, dataset, &options, &metrics), TSLIM_ERROR_CANCELLED);
    assert_int_equal(done, 20);
    assert_int_equal(metrics.samples, 0);
    tslim_dataset_destroy(dataset);
    tslim_graph_destroy(graph);
}

// ---- Comparing ----

typedef struct seen {
    uint32_t count;
    tslim_difference output;
    double largest;
} seen;

static void on_difference(void *user, const tslim_difference *difference) {
    seen *s = user;
    ++s->count;
    if (difference->max_abs > s->largest) s->largest = difference->max_abs;
    if (difference->rows > 0) s->output = *difference;
}

static void test_compare(void **state) {
    (void)state;
    tslim_graph *a = make_graph(3), *b = make_graph(4);
    tslim_dataset *dataset = make_dataset(SAMPLES);
    float a_scores[SAMPLES][CLASSES], b_scores[SAMPLES][CLASSES];
    run_alone(a, a_scores);
    run_alone(b, b_scores);
    double signal = 0, noise = 0, largest = 0;
    for (size_t i = 0; i < SAMPLES * CLASSES; ++i) {
        double x = (&a_scores[0][0])[i], y = (&b_scores[0][0])[i];
        signal += x * x;
        noise += (x - y) * (x - y);
        if (fabs(x - y) > largest) largest = fabs(x - y);
    }
    tslim_compare_options options;
    tslim_compare_options_init(&options);
    options.batch = 8;
    seen s = {0};
    assert_int_equal(tslim_compare(a, b, dataset, &options, on_difference, &s), TSLIM_OK);
    assert_int_equal(s.count, 1);
    assert_int_equal(s.output.elements, SAMPLES * CLASSES);
    assert_int_equal(s.output.rows, SAMPLES);
    assert_true(fabs(s.output.max_abs - largest) < 1e-4 * largest);
    assert_true(fabs(s.output.sqnr_db - 10 * log10(signal / noise)) < 1e-3);
    assert_true(s.output.cosine < 1);

    // A model is as good as itself, at every value; the padding of a fixed batch is not counted.
    options.per_value = true;
    s = (seen){0};
    b->values[b->inputs[0]].shape.dims[0] = 8;
    assert_int_equal(tslim_compare(a, a, dataset, &options, on_difference, &s), TSLIM_OK);
    assert_true(s.count > 5);
    assert_true(s.largest < 1e-4);
    s = (seen){0};
    assert_int_equal(tslim_compare(a, b, dataset, &options, on_difference, &s), TSLIM_OK);
    assert_int_equal(s.output.elements, SAMPLES * CLASSES);
    assert_true(fabs(s.output.max_abs - largest) < 1e-4 * largest);
    s = (seen){0};
    assert_int_equal(tslim_compare(b, a, dataset, &options, on_difference, &s), TSLIM_OK);
    assert_int_equal(s.output.elements, SAMPLES * CLASSES);
    tslim_dataset_destroy(dataset);
    tslim_graph_destroy(a);
    tslim_graph_destroy(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_fixed_batch),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_compare),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
