// SPDX-License-Identifier: Apache-2.0
// Classification metrics over a dataset. Sums run in the order of the samples, so that a result can be
// repeated.
#include <tinyslim/evaluate.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "data/convert.h"
#include "evaluate/runner.h"
#include "ir/graph.h"

#define DEFAULT_BATCH 16

void tslim_evaluate_options_init(tslim_evaluate_options *options) {
    if (!options) return;
    memset(options, 0, sizeof *options);
    options->struct_size = sizeof *options;
}

// How often a class was right, answered, and asked for.
typedef struct class_counts {
    uint64_t hits, predicted, actual;
} class_counts;

typedef struct evaluation {
    tslim_context *ctx;
    tsl_runner runner;
    int64_t *labels; // of one batch
    float *scores; // of one batch, where the output is not float
    size_t scores_bytes;
    class_counts *classes;
    size_t n_classes;
    uint64_t samples, top1, top5;
    double loss;
} evaluation;

static void clear(evaluation *e) {
    if (e->labels) tsl_free(e->ctx, e->labels, e->runner.batch * sizeof *e->labels);
    if (e->scores) tsl_free(e->ctx, e->scores, e->scores_bytes);
    if (e->classes) tsl_free(e->ctx, e->classes, e->n_classes * sizeof *e->classes);
    tsl_runner_clear(&e->runner);
}

// The largest; the first of equal ones. What is not a number is no answer.
static size_t find_largest(const float *scores, size_t count) {
    size_t best = 0;
    for (size_t i = 1; i < count; ++i) {
        if (scores[i] > scores[best] || (isnan(scores[best]) && !isnan(scores[i]))) best = i;
    }
    return best;
}

// How many classes come before `label`.
static size_t rank_of(const float *scores, size_t count, size_t label) {
    size_t before = 0;
    if (isnan(scores[label])) return count;
    for (size_t i = 0; i < count; ++i) {
        before += scores[i] > scores[label] || (scores[i] == scores[label] && i < label);
    }
    return before;
}

static bool are_probabilities(const float *scores, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; ++i) {
        if (!(scores[i] >= 0)) return false;
        sum += scores[i];
    }
    return fabs(sum - 1) < 1e-3;
}

// -ln of the probability of `label`; of a probability of 0, that of the smallest float.
static double cross_entropy(const float *scores, size_t count, size_t label) {
    if (are_probabilities(scores, count)) return -log(fmax(scores[label], 1.17549435e-38));
    double largest = scores[find_largest(scores, count)], sum = 0;
    for (size_t i = 0; i < count; ++i) sum += exp(scores[i] - largest);
    return log(sum) + largest - scores[label];
}

// The first output as rows of scores, in float.
static tslim_status find_scores(evaluation *e, const float **scores, size_t *rows) {
    const tslim_tensor *output = &e->runner.outputs[0];
    size_t elements = 1;
    for (uint32_t d = 0; d < output->rank; ++d)
        elements *= (size_t)output->dims[d]; // the session has checked it
    *rows = (size_t)e->runner.inputs[0].dims[0];
    char text[128];
    TSL_REQUIRE(output->rank >= 2 && (size_t)output->dims[0] == *rows && elements > 0,
        TSLIM_ERROR_INVALID_ARGUMENT, "the first output is %s, not samples x classes",
        tsl_dims_format(output->rank, output->dims, text, sizeof text));
    if (!e->classes) {
        e->n_classes = elements / *rows;
        e->classes = tsl_allocate_zeroed(e->ctx, e->n_classes * sizeof *e->classes);
        TSL_REQUIRE_MEMORY(e->classes, e->n_classes * sizeof *e->classes);
    }
    TSL_REQUIRE(elements == *rows * e->n_classes, TSLIM_ERROR_INVALID_ARGUMENT,
        "the first output has %zu classes for one batch and %zu for another", e->n_classes, elements / *rows);
    *scores = output->data;
    if (output->dtype == TSLIM_DTYPE_FLOAT) return TSLIM_OK;
    if (!e->scores) {
        e->scores_bytes = elements * sizeof *e->scores;
        e->scores = tsl_allocate(e->ctx, e->scores_bytes);
        TSL_REQUIRE_MEMORY(e->scores, e->scores_bytes);
    }
    tsl_elements_to_float(output->dtype, output->data, elements, e->scores);
    *scores = e->scores;
    return TSLIM_OK;
}

static tslim_status count_sample(evaluation *e, const float *scores, int64_t label) {
    size_t n = e->n_classes;
    TSL_REQUIRE(label >= 0 && (uint64_t)label < n, TSLIM_ERROR_INVALID_ARGUMENT,
        "sample %" PRIu64 " has label %" PRId64 ", the model %zu classes", e->samples, label, n);
    size_t actual = (size_t)label, predicted = find_largest(scores, n);
    e->classes[predicted].predicted++;
    e->classes[actual].actual++;
    e->classes[actual].hits += predicted == actual;
    e->top1 += predicted == actual;
    e->top5 += rank_of(scores, n, actual) < 5;
    e->loss += cross_entropy(scores, n, actual);
    e->samples++;
    return TSLIM_OK;
}

static tslim_status count_batch(evaluation *e, uint64_t first, uint32_t count) {
    const float *scores = NULL;
    size_t rows;
    TSL_TRY(tsl_runner_read(&e->runner, first, count, e->labels));
    TSL_TRY(tsl_runner_run(&e->runner, e->runner.inputs));
    TSL_TRY(find_scores(e, &scores, &rows));
    for (uint32_t i = 0; i < count; ++i) TSL_TRY(count_sample(e, scores + i * e->n_classes, e->labels[i]));
    return TSLIM_OK;
}

// Means over the classes that were asked for or answered; a class without one of the two counts as 0.
static void add_macro_averages(const evaluation *e, tslim_metrics *metrics) {
    double classes = 0;
    for (size_t c = 0; c < e->n_classes; ++c) {
        const class_counts *counts = &e->classes[c];
        double hits = (double)counts->hits, predicted = (double)counts->predicted,
               actual = (double)counts->actual;
        if (predicted + actual == 0) continue;
        classes += 1;
        metrics->precision += predicted > 0 ? hits / predicted : 0;
        metrics->recall += actual > 0 ? hits / actual : 0;
        metrics->f1 += 2 * hits / (predicted + actual);
    }
    metrics->precision /= classes;
    metrics->recall /= classes;
    metrics->f1 /= classes;
}

static void fill_metrics(const evaluation *e, tslim_metrics *metrics) {
    double samples = (double)e->samples;
    metrics->samples = e->samples;
    metrics->correct_top1 = e->top1;
    metrics->correct_top5 = e->top5;
    metrics->top1 = (double)e->top1 / samples;
    metrics->top5 = (double)e->top5 / samples;
    metrics->loss = e->loss / samples;
    add_macro_averages(e, metrics);
}

static tslim_status run_all(evaluation *e, tslim_dataset *dataset, const tslim_evaluate_options *options) {
    uint64_t total = tslim_dataset_count(dataset);
    e->labels = tsl_allocate(e->ctx, e->runner.batch * sizeof *e->labels);
    TSL_REQUIRE_MEMORY(e->labels, e->runner.batch * sizeof *e->labels);
    for (uint64_t first = 0; first < total; first += e->runner.batch) {
        uint64_t left = total - first;
        uint32_t count = left < e->runner.batch ? (uint32_t)left : e->runner.batch;
        TSL_TRY(count_batch(e, first, count));
        bool go_on =
            !options->progress || options->progress(options->progress_user, "samples", first + count, total);
        TSL_REQUIRE(go_on, TSLIM_ERROR_CANCELLED, "cancelled after %" PRIu64 " of %" PRIu64 " samples",
            first + count, total);
    }
    return TSLIM_OK;
}

tslim_status tslim_evaluate(const tslim_graph *graph, tslim_dataset *dataset,
    const tslim_evaluate_options *given, tslim_metrics *metrics) {
    tslim_evaluate_options options;
    tslim_evaluate_options_init(&options);
    TSL_REQUIRE(
        graph && dataset && metrics, TSLIM_ERROR_INVALID_ARGUMENT, "tslim_evaluate: an argument is NULL");
    TSL_REQUIRE(
        metrics->struct_size >= sizeof metrics->struct_size && metrics->struct_size <= sizeof *metrics,
        TSLIM_ERROR_INVALID_ARGUMENT, "tslim_evaluate: metrics.struct_size is %" PRIu32,
        metrics->struct_size);
    if (given) {
        TSL_REQUIRE(given->struct_size > 0 && given->struct_size <= sizeof options,
            TSLIM_ERROR_INVALID_ARGUMENT, "tslim_evaluate: options.struct_size is %" PRIu32,
            given->struct_size);
        memcpy(&options, given, given->struct_size);
    }
    TSL_REQUIRE(tslim_dataset_has_labels(dataset), TSLIM_ERROR_INVALID_ARGUMENT, "the data has no labels");
    TSL_REQUIRE(tslim_dataset_count(dataset) > 0, TSLIM_ERROR_INVALID_ARGUMENT, "the data has no samples");
    tsl_runner_options runner_options = {.batch = options.batch ? options.batch : DEFAULT_BATCH,
        .backend = options.backend,
        .isa = options.isa};
    evaluation e = {.ctx = graph->ctx};
    TSL_TRY(tsl_runner_init(&e.runner, graph, dataset, &runner_options));
    TSL_REQUIRE(e.runner.n_outputs > 0, TSLIM_ERROR_INVALID_ARGUMENT, "the model has no output");
    tslim_status status = run_all(&e, dataset, &options);
    if (status == TSLIM_OK) {
        tslim_metrics all = {.struct_size = metrics->struct_size};
        fill_metrics(&e, &all);
        memcpy(metrics, &all, metrics->struct_size);
    }
    clear(&e);
    return status;
}
