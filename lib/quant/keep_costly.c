// SPDX-License-Identifier: Apache-2.0
// Mixed precision: products that lose much for little work stay in float, those first that lose most for each
// multiply-add. Errors of different products are about independent, so their powers add up.
#include <math.h>
#include <stdlib.h>

#include "quant/quantizer.h"

// Noise to signal at the output that INT8 may come to: 30 dB.
#define ALLOWED_NOISE 1e-3
// The share of the multiply-adds, and of the weights, that may stay in float for that: a fully connected layer has little
// work and most of the file.
#define MACS_BUDGET 0.01
#define WEIGHTS_BUDGET 0.1

typedef struct candidate {
    uint32_t node;
    double noise, macs, weights;
} candidate;

static double loss_for_work(const candidate *c) {
    return c->noise / (c->macs > 1 ? c->macs : 1);
}

// The greatest loss first; of equals the first node.
static int by_loss(const void *a, const void *b) {
    const candidate *x = a, *y = b;
    double difference = loss_for_work(y) - loss_for_work(x);
    if (difference != 0) return difference > 0 ? 1 : -1;
    return x->node < y->node ? -1 : 1;
}

static double count_weights(const tslim_graph *graph, const tsl_node *node) {
    const tsl_value *weights = tsl_node_input(graph, node, 1);
    return weights && tsl_value_is_constant(weights) ? (double)weights->bytes : 0;
}

static uint32_t find_candidates(const tsl_quantizer *q, const char *const *reasons, candidate *candidates) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < q->calibration->n_costs; i++) {
        const tsl_calibration_cost *cost = &q->calibration->costs[i];
        uint32_t node = tsl_graph_find_node(q->graph, cost->node);
        if (node == TSL_NONE || reasons[node] || !tsl_is_product(q->graph->nodes[node].op)) continue;
        candidates[count++] = (candidate){.node = node,
            .noise = cost->noise,
            .macs = (double)cost->macs,
            .weights = count_weights(q->graph, &q->graph->nodes[node])};
    }
    return count;
}

tslim_status tsl_keep_costly(tsl_quantizer *q, const char **reasons) {
    if (q->calibration->n_costs == 0) return TSLIM_OK;
    candidate *candidates = tsl_arena_array(&q->arena, q->calibration->n_costs, sizeof(*candidates));
    TSL_REQUIRE_MEMORY(candidates, q->calibration->n_costs * sizeof(*candidates));
    uint32_t count = find_candidates(q, reasons, candidates);
    qsort(candidates, count, sizeof(*candidates), by_loss);
    double noise = 0, macs = 0, weights = 0, spent_macs = 0, spent_weights = 0;
    for (uint32_t i = 0; i < count; i++) {
        noise += candidates[i].noise;
        macs += candidates[i].macs;
        weights += candidates[i].weights;
    }
    for (uint32_t i = 0; i < count && noise > ALLOWED_NOISE; i++) {
        const candidate *c = &candidates[i];
        if (c->noise < TSL_NEGLIGIBLE_NOISE || spent_macs + c->macs > MACS_BUDGET * macs ||
            spent_weights + c->weights > WEIGHTS_BUDGET * weights)
            continue;
        spent_macs += c->macs;
        spent_weights += c->weights;
        noise -= c->noise;
        reasons[c->node] = tsl_arena_format(&q->arena,
            "in INT8 it alone leaves %.1f dB at the output, for %.2g %% of the multiply-adds",
            -10 * log10(c->noise), 100 * c->macs / macs);
        TSL_REQUIRE_MEMORY(reasons[c->node], 96);
    }
    return TSLIM_OK;
}
