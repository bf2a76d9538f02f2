// SPDX-License-Identifier: Apache-2.0
// What INT8 costs: the float network runs with some products in INT8 and all others as they are, and its
// outputs are compared with those of the float network. Ranges tell how finely a value is rounded; this tells
// how much that matters.
#include <string.h>

#include "base/checked.h"
#include "evaluate/difference.h"
#include "evaluate/runner.h"
#include "ir/bodies.h"
#include "ir/graph.h"
#include "pass/pass.h"
#include "plan/evaluate_node.h"
#include "quant/quantizer.h"

typedef struct meter {
    tslim_context *ctx;
    tslim_calibration *calibration;
    tslim_dataset *dataset;
    tslim_graph *graph; // optimized and equalized
    tsl_seen *seen; // its values
    tsl_arena arena;
    tsl_runner reference; // float
    uint64_t runs, stride; // samples that are looked at are spread over the dataset
    float *outputs; // of the reference, run after run
    size_t output_bytes, run_bytes; // of all runs, and of one
} meter;

// ---- The reference ----

static bool is_compared(const tslim_tensor *output) {
    return output->dtype == TSLIM_DTYPE_FLOAT;
}

static tslim_status read_samples(meter *m, uint64_t run) {
    uint64_t first = run * m->stride, left = tslim_dataset_count(m->dataset) - first;
    if (left < m->reference.batch) first = left + first - m->reference.batch;
    return tsl_runner_read(&m->reference, first, m->reference.batch, NULL);
}

static tslim_status allocate_outputs(meter *m) {
    for (uint32_t i = 0; i < m->reference.n_outputs; i++)
        if (is_compared(&m->reference.outputs[i])) m->run_bytes += m->reference.outputs[i].bytes;
    TSL_REQUIRE(tsl_mul_size(m->run_bytes, (size_t)m->runs, &m->output_bytes), TSLIM_ERROR_LIMIT,
        "the outputs of %llu runs do not fit the address space", (unsigned long long)m->runs);
    m->outputs = m->output_bytes ? tsl_allocate(m->ctx, m->output_bytes) : NULL;
    TSL_REQUIRE(
        m->outputs || !m->output_bytes, TSLIM_ERROR_NO_MEMORY, "%zu bytes for outputs", m->output_bytes);
    return TSLIM_OK;
}

static tslim_status run_reference(meter *m) {
    for (uint64_t run = 0; run < m->runs; run++) {
        TSL_TRY(read_samples(m, run));
        TSL_TRY(tsl_runner_run(&m->reference, m->reference.inputs));
        if (run == 0) TSL_TRY(allocate_outputs(m));
        char *to = (char *)m->outputs + run * m->run_bytes, *end = to + m->run_bytes;
        for (uint32_t i = 0; i < m->reference.n_outputs; i++) {
            const tslim_tensor *output = &m->reference.outputs[i];
            if (!is_compared(output)) continue;
            TSL_REQUIRE(output->bytes <= (size_t)(end - to), TSLIM_ERROR_UNSUPPORTED,
                "output %u has another size in each run", i);
            memcpy(to, output->data, output->bytes);
            to += output->bytes;
        }
    }
    return TSLIM_OK;
}

// ---- A network of both ----

static tslim_status add_differences(
    const meter *m, const tsl_runner *runner, uint64_t run, tsl_difference_sums *sums) {
    const char *from = (const char *)m->outputs + run * m->run_bytes, *end = from + m->run_bytes;
    for (uint32_t i = 0; i < runner->n_outputs; i++) {
        const tslim_tensor *output = &runner->outputs[i];
        if (!is_compared(output)) continue;
        TSL_REQUIRE(output->bytes <= (size_t)(end - from), TSLIM_ERROR_UNSUPPORTED,
            "output %u has another size in each run", i);
        tsl_difference_add(
            &sums[i], (const float *)(const void *)from, output->data, output->bytes / sizeof(float));
        from += output->bytes;
    }
    return TSLIM_OK;
}

// Of noise to signal, of the output that suffers most. NaN counts as noise.
static double worst_ratio(const tsl_difference_sums *sums, uint32_t n_outputs) {
    double worst = 0;
    for (uint32_t i = 0; i < n_outputs; i++) {
        if (sums[i].elements == 0 || sums[i].square_difference == 0) continue;
        double ratio = sums[i].square_a > 0 ? sums[i].square_difference / sums[i].square_a : TSL_WORST_NOISE;
        if (!(ratio <= TSL_WORST_NOISE)) ratio = TSL_WORST_NOISE;
        if (ratio > worst) worst = ratio;
    }
    return worst;
}

static tslim_status compare_runs(meter *m, tsl_runner *runner, double *noise) {
    tsl_difference_sums sums[TSL_RUNNER_MAX_INPUTS] = {{0}};
    for (uint64_t run = 0; run < m->runs; run++) {
        TSL_TRY(read_samples(m, run));
        TSL_TRY(tsl_runner_run(runner, m->reference.inputs));
        TSL_TRY(add_differences(m, runner, run, sums));
    }
    *noise = worst_ratio(sums, runner->n_outputs);
    return TSLIM_OK;
}

// With the products of `in_int8` alone in INT8.
static tslim_status measure_graph(meter *m, const bool *in_int8, double *noise) {
    tslim_graph *quantized;
    TSL_TRY(tsl_quantize_only(m->graph, m->calibration, m->seen, in_int8, &quantized));
    tsl_runner runner = {0};
    tsl_runner_options options = {.batch = m->reference.batch};
    tslim_status status = tsl_runner_init(&runner, quantized, m->dataset, &options);
    if (status == TSLIM_OK) status = compare_runs(m, &runner, noise);
    tsl_runner_clear(&runner);
    tslim_graph_destroy(quantized);
    return status;
}

// Multiply-adds of each product at the samples' size.
static tslim_status count_macs(const meter *m, tslim_graph **measured) {
    tslim_input_shape shapes[TSL_RUNNER_MAX_INPUTS];
    for (uint32_t i = 0; i < m->reference.n_inputs; i++) {
        const tslim_tensor *input = &m->reference.inputs[i];
        shapes[i] =
            (tslim_input_shape){.name = m->graph->values[m->graph->inputs[i]].name, .rank = input->rank};
        memcpy(shapes[i].dims, input->dims, sizeof(shapes[i].dims));
    }
    TSL_TRY(tslim_graph_clone(m->graph, measured));
    tslim_graph_totals totals = {.struct_size = sizeof(totals)};
    return tslim_graph_measure(*measured, shapes, m->reference.n_inputs, &totals);
}

// ---- Groups ----

// Products side by side. Powers of errors add up: where a group loses next to nothing none of its products
// does, and it is not looked at more closely.
typedef struct search {
    meter *m;
    const tslim_graph *measured; // knows the multiply-adds
    uint32_t *products;
    uint32_t count, done;
    bool *in_int8; // of each node
    tslim_progress progress;
    void *user;
} search;

static tslim_status add_costs(search *s, uint32_t first, uint32_t count, double noise) {
    const tslim_graph *graph = s->m->graph;
    for (uint32_t i = first; i < first + count; i++)
        TSL_TRY(tsl_calibration_add_cost(s->m->calibration, graph->nodes[s->products[i]].name, noise / count,
            s->measured->nodes[s->products[i]].macs));
    s->done += count;
    if (s->progress && !s->progress(s->user, "products", s->done, s->count))
        return tsl_fail(TSLIM_ERROR_CANCELLED, "measuring was cancelled");
    return TSLIM_OK;
}

// Halves a group until it is negligible or one product: as deep as the logarithm of their number.
static tslim_status measure_group(search *s, uint32_t first, uint32_t count) {
    double noise;
    for (uint32_t i = first; i < first + count; i++) s->in_int8[s->products[i]] = true;
    tslim_status status = measure_graph(s->m, s->in_int8, &noise);
    for (uint32_t i = first; i < first + count; i++) s->in_int8[s->products[i]] = false;
    TSL_TRY(status);
    if (count == 1 || noise <= TSL_NEGLIGIBLE_NOISE) return add_costs(s, first, count, noise);
    TSL_TRY(measure_group(s, first, count / 2));
    return measure_group(s, first + count / 2, count - count / 2);
}

static tslim_status measure_all(meter *m, tslim_progress progress, void *user) {
    uint32_t n_nodes = m->graph->n_nodes;
    bool *is_product = tsl_arena_array(&m->arena, n_nodes, sizeof(bool));
    search s = {.m = m,
        .products = tsl_arena_array(&m->arena, n_nodes, sizeof(uint32_t)),
        .in_int8 = tsl_arena_array(&m->arena, n_nodes, sizeof(bool)),
        .progress = progress,
        .user = user};
    TSL_REQUIRE_MEMORY(is_product && s.products && s.in_int8 ? m : NULL, n_nodes * sizeof(uint32_t));
    TSL_TRY(tsl_find_int8_products(m->graph, m->calibration, m->seen, is_product));
    for (uint32_t n = 0; n < n_nodes; n++)
        if (is_product[n]) s.products[s.count++] = n;
    tslim_graph *measured = NULL;
    tslim_status status = count_macs(m, &measured);
    s.measured = measured;
    if (status == TSLIM_OK && s.count > 0) status = measure_group(&s, 0, s.count);
    tslim_graph_destroy(measured);
    return status;
}

static tslim_status measure(
    meter *m, const tslim_graph *graph, uint64_t samples, tslim_progress progress, void *user) {
    TSL_TRY(tslim_graph_clone(graph, &m->graph));
    TSL_TRY(tsl_optimize(m->graph, tsl_evaluate_on_cpu, NULL));
    TSL_TRY(tsl_equalize(m->graph, m->calibration, &m->arena, &m->seen));
    tsl_graph_set_optimized(m->graph);
    tsl_runner_options options = {.batch = 1};
    TSL_TRY(tsl_runner_init(&m->reference, m->graph, m->dataset, &options));
    uint64_t available = tslim_dataset_count(m->dataset), batch = m->reference.batch;
    TSL_REQUIRE(available >= batch, TSLIM_ERROR_INVALID_ARGUMENT,
        "the dataset has %llu samples: too few for a batch of %llu", (unsigned long long)available,
        (unsigned long long)batch);
    if (samples > available) samples = available;
    m->runs = samples > batch ? samples / batch : 1;
    m->stride = available / m->runs;
    TSL_TRY(run_reference(m));
    return measure_all(m, progress, user);
}

tslim_status tslim_calibration_measure_costs(tslim_calibration *calibration, const tslim_graph *graph,
    tslim_dataset *dataset, uint64_t samples, tslim_progress progress, void *user) {
    TSL_REQUIRE(calibration && graph && dataset && samples > 0, TSLIM_ERROR_INVALID_ARGUMENT,
        "calibration, graph or dataset is NULL, or samples is 0");
    TSL_REQUIRE(!graph->optimized, TSLIM_ERROR_INVALID_ARGUMENT,
        "the graph is optimized or quantized already: measure the model that was calibrated");
    meter m = {.ctx = graph->ctx, .calibration = calibration, .dataset = dataset};
    tsl_arena_init(&m.arena, graph->ctx);
    calibration->n_costs = 0;
    tslim_status status = measure(&m, graph, samples, progress, user);
    if (status != TSLIM_OK) calibration->n_costs = 0;
    tsl_runner_clear(&m.reference);
    tsl_arena_clear(&m.arena);
    tslim_graph_destroy(m.graph);
    tsl_free(m.ctx, m.outputs, m.output_bytes);
    return status;
}
