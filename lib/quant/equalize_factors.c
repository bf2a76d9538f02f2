// SPDX-License-Identifier: Apache-2.0
// Factors of a channel set, by the noise that they leave. An activation in INT8 adds step^2 / 12 to each
// channel, in the scaled channel's units; its readers multiply that by their weights. Weights in INT8 add
// their step^2 / 12 times the channel's mean square. Large factors make the first small and the second large:
// where each output channel has a scale of its own and reads one channel (depthwise), the second does not
// change, and all channels get the same range; elsewhere the best of a family of compromises is taken.
#include <math.h>

#include "quant/equalize.h"
#include "quant/product.h"

// Between the largest and the smallest factor of a set: what a channel hardly ever was says little about it.
#define LARGEST_RATIO 1000.0
#define LEVELS 127.0
#define STEPS 255.0

typedef struct sink {
    tsl_product product;
    const tsl_channels *channels; // of its input
    const double *square; // mean of squares of each input channel
    double signal; // power of its output, about
} sink;

typedef struct member {
    const tsl_channels *channels;
    double *below, *above; // what is worth keeping of each channel
    double largest;
    uint32_t value;
} member;

typedef struct chooser {
    const tslim_graph *graph;
    const tslim_calibration *calibration;
    tsl_arena *arena;
    uint32_t n; // channels
    float ceiling;
    sink *sinks;
    uint32_t n_sinks;
    member *members;
    uint32_t n_members;
    double *below, *above; // of the members together, each in parts of its largest
    double *balance; // factors at which both kinds of noise are equal
    double *candidate, *best;
    double least;
    bool complete; // every value of the set was watched
} chooser;

// ---- What is known ----

static tslim_status add_member(chooser *c, uint32_t value) {
    const tsl_channels *channels =
        tsl_calibration_find_channels(c->calibration, c->graph->values[value].name);
    if (!channels || channels->count != c->n) {
        c->complete = false;
        return TSLIM_OK;
    }
    member *m = &c->members[c->n_members];
    m->channels = channels;
    m->value = value;
    m->below = tsl_arena_array(c->arena, c->n, sizeof(double));
    m->above = tsl_arena_array(c->arena, c->n, sizeof(double));
    TSL_REQUIRE_MEMORY(m->below && m->above ? m : NULL, c->n * sizeof(double));
    for (uint32_t i = 0; i < c->n; i++) {
        const tsl_channel *channel = &channels->channels[i];
        // A ceiling is kept as it is.
        double threshold = isfinite(c->ceiling) ? INFINITY : (double)tsl_channel_threshold(channel);
        m->below[i] = fmin(fmax(-(double)channel->minimum, 0), threshold);
        m->above[i] = fmin(fmax((double)channel->maximum, 0), threshold);
        m->largest = fmax(m->largest, fmax(m->below[i], m->above[i]));
    }
    if (m->largest > 0 && isfinite(m->largest)) c->n_members++;
    return TSLIM_OK;
}

static member *find_member(const chooser *c, uint32_t value) {
    for (uint32_t i = 0; i < c->n_members; i++)
        if (c->members[i].value == value) return &c->members[i];
    return NULL;
}

static tslim_status add_sink(chooser *c, const tsl_node *node) {
    sink *s = &c->sinks[c->n_sinks];
    member *m = find_member(c, node->inputs[0]);
    if (!m || !tsl_product_read(c->graph, node, &s->product)) return TSLIM_OK;
    s->channels = m->channels;
    double *square = tsl_arena_array(c->arena, c->n, sizeof(double)), mean;
    TSL_REQUIRE_MEMORY(square, c->n * sizeof(double));
    for (uint32_t i = 0; i < c->n; i++) tsl_channel_moments(&m->channels->channels[i], &mean, &square[i]);
    s->square = square;
    c->n_sinks++;
    return TSLIM_OK;
}

static tslim_status collect(chooser *c, const tsl_channel_set *sets, uint32_t root) {
    uint32_t n_values = 0, n_nodes = 0;
    for (uint32_t v = 0; v < c->graph->n_values; v++) n_values += tsl_channel_set_root(sets, v) == root;
    for (uint32_t n = 0; n < c->graph->n_nodes; n++)
        n_nodes += c->graph->nodes[n].n_inputs > 0 && c->graph->nodes[n].inputs[0] != TSL_NONE &&
                   tsl_channel_set_root(sets, c->graph->nodes[n].inputs[0]) == root;
    c->members = tsl_arena_array(c->arena, n_values, sizeof(*c->members));
    c->sinks = tsl_arena_array(c->arena, n_nodes, sizeof(*c->sinks));
    TSL_REQUIRE_MEMORY(c->members && c->sinks ? c : NULL, n_values * sizeof(member));
    for (uint32_t v = 0; v < c->graph->n_values; v++)
        if (tsl_channel_set_root(sets, v) == root) TSL_TRY(add_member(c, v));
    for (uint32_t n = 0; n < c->graph->n_nodes; n++) {
        const tsl_node *node = &c->graph->nodes[n];
        if (node->n_inputs > 0 && node->inputs[0] != TSL_NONE &&
            tsl_channel_set_root(sets, node->inputs[0]) == root)
            TSL_TRY(add_sink(c, node));
    }
    return TSLIM_OK;
}

// ---- Noise ----

// Of a member's INT8 step, as the scales will be chosen.
static double step_of(const member *m, const double *factors, uint32_t n) {
    double below = 0, above = 0;
    for (uint32_t i = 0; i < n; i++) {
        below = fmax(below, m->below[i] * factors[i]);
        above = fmax(above, m->above[i] * factors[i]);
    }
    double step = fmax(below, above) / LEVELS;
    return below > 0 ? fmin(step, (below + above) / STEPS) : step;
}

// Of the sums of one output channel.
static double row_noise(const sink *s, const double *factors, size_t g, size_t o, double step) {
    const tsl_product *p = &s->product;
    double largest = 0, from_activations = 0, from_weights = 0;
    for (size_t i = 0; i < p->n_in; i++) {
        double factor = factors[g * p->n_in + i], sum = 0;
        for (size_t t = 0; t < p->taps; t++) {
            double w = (double)p->weights[tsl_product_index(p, g, o, i, t)];
            sum += w * w;
            largest = fmax(largest, fabs(w) / factor);
        }
        from_activations += sum / (factor * factor);
        from_weights += factor * factor * s->square[g * p->n_in + i] * (double)p->taps;
    }
    double weight_step = largest / LEVELS;
    return (from_activations * step * step + from_weights * weight_step * weight_step) / 12;
}

static double sink_noise(const chooser *c, const sink *s, const double *factors) {
    double step = 0, noise = 0;
    for (uint32_t i = 0; i < c->n_members; i++)
        if (c->members[i].channels == s->channels) step = step_of(&c->members[i], factors, c->n);
    for (size_t g = 0; g < s->product.groups; g++)
        for (size_t o = 0; o < s->product.n_out; o++) noise += row_noise(s, factors, g, o, step);
    return noise;
}

static double total_noise(const chooser *c, const double *factors) {
    double noise = 0;
    for (uint32_t i = 0; i < c->n_sinks; i++)
        if (c->sinks[i].signal > 0) noise += sink_noise(c, &c->sinks[i], factors) / c->sinks[i].signal;
    return noise;
}

// Power of a sink's output, its input channels taken as independent; and the part of each input channel in
// the sum over its weights.
static tslim_status weigh_sinks(chooser *c) {
    double *gain = tsl_arena_array(c->arena, c->n, sizeof(double));
    double *square = tsl_arena_array(c->arena, c->n, sizeof(double));
    TSL_REQUIRE_MEMORY(gain && square ? gain : NULL, c->n * sizeof(double));
    for (uint32_t k = 0; k < c->n_sinks; k++) {
        sink *s = &c->sinks[k];
        const tsl_product *p = &s->product;
        for (uint32_t i = 0; i < c->n; i++) {
            double sum = 0;
            for (size_t o = 0; o < p->n_out; o++)
                for (size_t t = 0; t < p->taps; t++) {
                    double w = (double)p->weights[tsl_product_index(p, i / p->n_in, o, i % p->n_in, t)];
                    sum += w * w;
                }
            s->signal += sum * s->square[i];
            gain[i] += sum;
            square[i] += s->square[i];
        }
    }
    for (uint32_t i = 0; i < c->n; i++)
        c->balance[i] = gain[i] > 0 && square[i] > 0 ? pow(gain[i] / square[i], 0.25) : 0;
    return TSLIM_OK;
}

// ---- Candidates ----

static void join_members(chooser *c) {
    for (uint32_t k = 0; k < c->n_members; k++) {
        const member *m = &c->members[k];
        for (uint32_t i = 0; i < c->n; i++) {
            c->below[i] = fmax(c->below[i], m->below[i] / m->largest);
            c->above[i] = fmax(c->above[i], m->above[i] / m->largest);
        }
    }
}

// The largest factor with which a channel stays within -(1 - top) to top.
static double limit(const chooser *c, uint32_t i, double top) {
    double most = INFINITY;
    if (c->above[i] > 0) most = fmin(most, top / c->above[i]);
    if (c->below[i] > 0) most = fmin(most, (1 - top) / c->below[i]);
    return most;
}

// Within a bearable ratio of the smallest; and between 1 and what the ceiling allows, where there is one.
static void bound(const chooser *c, double *factors) {
    double least = INFINITY;
    for (uint32_t i = 0; i < c->n; i++)
        if (isfinite(factors[i]) && factors[i] > 0) least = fmin(least, factors[i]);
    if (!isfinite(least)) least = 1;
    for (uint32_t i = 0; i < c->n; i++) {
        double f = factors[i];
        if (!(f >= least)) f = least;
        if (!isfinite(f)) f = least; // a channel that was always 0
        factors[i] = fmin(f, least * LARGEST_RATIO);
    }
    if (!isfinite(c->ceiling)) return;
    for (uint32_t i = 0; i < c->n; i++) {
        double most = factors[i] / least;
        for (uint32_t k = 0; k < c->n_members; k++)
            if (c->members[k].above[i] > 0) most = fmin(most, (double)c->ceiling / c->members[k].above[i]);
        factors[i] = fmax(most, 1);
    }
}

static void try_candidate(chooser *c) {
    bound(c, c->candidate);
    double noise = total_noise(c, c->candidate);
    if (!(noise < c->least)) return;
    c->least = noise;
    for (uint32_t i = 0; i < c->n; i++) c->best[i] = c->candidate[i];
}

// Factors up to the limit, and no larger than the balance times lambda.
static void try_lambda(chooser *c, double top, double lambda) {
    for (uint32_t i = 0; i < c->n; i++) {
        c->candidate[i] = limit(c, i, top);
        if (c->balance[i] > 0) c->candidate[i] = fmin(c->candidate[i], lambda * c->balance[i]);
    }
    try_candidate(c);
}

static bool reads_channels_together(const chooser *c) {
    for (uint32_t i = 0; i < c->n_sinks; i++)
        if (c->sinks[i].product.n_in > 1) return true;
    return false;
}

static void search(chooser *c) {
    double below = 0, above = 0, best_top = 1;
    for (uint32_t i = 0; i < c->n; i++) {
        below = fmax(below, c->below[i]);
        above = fmax(above, c->above[i]);
    }
    double natural = above / (above + below);
    for (int k = 0; k <= 8; k++) { // how much of the range lies above zero
        double top = k == 0 ? natural : below > 0 && above > 0 ? k / 9.0 : natural, before = c->least;
        try_lambda(c, top, INFINITY);
        if (c->least < before) best_top = top;
        if (top == natural && k > 0) break;
    }
    if (!reads_channels_together(c)) return;
    double least = INFINITY, most = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        double ratio = c->balance[i] > 0 ? limit(c, i, best_top) / c->balance[i] : INFINITY;
        if (!isfinite(ratio)) continue;
        least = fmin(least, ratio);
        most = fmax(most, ratio);
    }
    for (int k = 0; k < 12 && least < most; k++) try_lambda(c, best_top, least * pow(most / least, k / 12.0));
}

static tslim_status choose(chooser *c, const tsl_channel_set *sets, uint32_t root, double *gain) {
    TSL_TRY(collect(c, sets, root));
    if (!c->complete || c->n_sinks < sets[root].n_sinks) return TSLIM_OK;
    TSL_TRY(weigh_sinks(c));
    join_members(c);
    for (uint32_t i = 0; i < c->n; i++) c->best[i] = 1;
    double before = c->least = total_noise(c, c->best);
    search(c);
    *gain = c->least > 0 && isfinite(before) ? before / c->least : 1;
    return TSLIM_OK;
}

tslim_status tsl_choose_factors(const tslim_graph *graph, const tslim_calibration *calibration,
    tsl_arena *arena, const tsl_channel_set *sets, uint32_t root, float *factors, double *gain) {
    chooser c = {.graph = graph,
        .calibration = calibration,
        .arena = arena,
        .complete = true,
        .n = sets[root].channels,
        .ceiling = sets[root].ceiling};
    c.below = tsl_arena_array(arena, c.n, sizeof(double));
    c.above = tsl_arena_array(arena, c.n, sizeof(double));
    c.balance = tsl_arena_array(arena, c.n, sizeof(double));
    c.candidate = tsl_arena_array(arena, c.n, sizeof(double));
    c.best = tsl_arena_array(arena, c.n, sizeof(double));
    TSL_REQUIRE_MEMORY(
        c.below && c.above && c.balance && c.candidate && c.best ? arena : NULL, c.n * sizeof(double));
    *gain = 1;
    TSL_TRY(choose(&c, sets, root, gain));
    // The largest channel keeps its range.
    double scale = 1;
    if (*gain > 1 && !isfinite(c.ceiling)) {
        double most = 0;
        for (uint32_t i = 0; i < c.n; i++) most = fmax(most, c.best[i] * fmax(c.below[i], c.above[i]));
        scale = most > 0 ? 1 / most : 1;
    }
    for (uint32_t i = 0; i < c.n; i++) factors[i] = *gain > 1 ? (float)(c.best[i] * scale) : 1;
    return TSLIM_OK;
}
