// SPDX-License-Identifier: Apache-2.0
// How important each unit of channels is, by its weights.
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "prune/groups.h"

static const char *const criterion_names[] = {"l1", "l2", "bn-scale", "fpgm", "random", "reconstruction"};

const char *tslim_criterion_name(tslim_criterion criterion) {
    return (unsigned)criterion < sizeof(criterion_names) / sizeof(criterion_names[0])
               ? criterion_names[criterion]
               : "unknown";
}

tslim_status tslim_criterion_from_name(const char *name, tslim_criterion *criterion) {
    TSL_REQUIRE(name && criterion, TSLIM_ERROR_INVALID_ARGUMENT, "name or criterion is NULL");
    for (unsigned i = 0; i < sizeof(criterion_names) / sizeof(criterion_names[0]); i++) {
        if (strcmp(name, criterion_names[i]) != 0) continue;
        *criterion = (tslim_criterion)i;
        return TSLIM_OK;
    }
    return tsl_fail(TSLIM_ERROR_INVALID_ARGUMENT,
        "no criterion '%s': l1, l2, bn-scale, fpgm, random or reconstruction", name);
}

// ---- Filters: the slices of the weights along their output axis ----

typedef struct filters {
    float *data; // n_filters rows
    size_t n_filters, length;
    size_t bytes;
} filters;

static float element(const tsl_value *value, size_t index) {
    double wide;
    float single = 0;
    if (value->dtype == TSLIM_DTYPE_DOUBLE) {
        memcpy(&wide, (const uint8_t *)value->data + index * sizeof(wide), sizeof(wide));
        return (float)wide;
    }
    if (value->dtype == TSLIM_DTYPE_FLOAT)
        memcpy(&single, (const uint8_t *)value->data + index * sizeof(single), sizeof(single));
    return single;
}

static tslim_status read_filters(tslim_context *ctx, const tsl_value *weight, uint32_t axis, filters *f) {
    TSL_REQUIRE(weight->dtype == TSLIM_DTYPE_FLOAT || weight->dtype == TSLIM_DTYPE_DOUBLE,
        TSLIM_ERROR_UNSUPPORTED, "weights '%s' are %s: only float32 and float64 are scored", weight->name,
        tslim_dtype_name(weight->dtype));
    size_t outer = 1, inner = 1;
    for (uint32_t i = 0; i < axis; i++) outer *= (size_t)weight->shape.dims[i];
    for (uint32_t i = axis + 1; i < weight->shape.rank; i++) inner *= (size_t)weight->shape.dims[i];
    f->n_filters = (size_t)weight->shape.dims[axis];
    f->length = outer * inner;
    f->bytes = f->n_filters * f->length * sizeof(float);
    f->data = tsl_allocate(ctx, f->bytes);
    TSL_REQUIRE_MEMORY(f->data, f->bytes);
    for (size_t o = 0; o < outer; o++)
        for (size_t n = 0; n < f->n_filters; n++)
            for (size_t i = 0; i < inner; i++)
                f->data[n * f->length + o * inner + i] = element(weight, (o * f->n_filters + n) * inner + i);
    return TSLIM_OK;
}

static double norm(const float *filter, size_t length, bool squared) {
    double sum = 0;
    for (size_t i = 0; i < length; i++)
        sum += squared ? (double)filter[i] * filter[i] : fabs((double)filter[i]);
    return squared ? sqrt(sum) : sum;
}

// Eight sums side by side, so that the compiler makes vectors of them.
static double distance(const float *a, const float *b, size_t length) {
    float sums[8] = {0};
    size_t i = 0;
    for (; i + 8 <= length; i += 8)
        for (size_t j = 0; j < 8; j++) sums[j] += (a[i + j] - b[i + j]) * (a[i + j] - b[i + j]);
    double sum = 0;
    for (; i < length; i++) sum += (double)(a[i] - b[i]) * (a[i] - b[i]);
    for (size_t j = 0; j < 8; j++) sum += (double)sums[j];
    return sqrt(sum);
}

// Each filter's sum of distances to all filters of the layer: the ones nearest to the geometric median can be
// expressed by the others.
typedef struct distances {
    const filters *f;
    double *scores;
} distances;

static void sum_distances(void *data, size_t begin, size_t end, uint32_t worker) {
    const distances *d = data;
    (void)worker;
    for (size_t n = begin; n < end; n++) {
        double sum = 0;
        for (size_t other = 0; other < d->f->n_filters; other++)
            sum += distance(d->f->data + n * d->f->length, d->f->data + other * d->f->length, d->f->length);
        d->scores[n] = sum;
    }
}

static tslim_status score_filters(
    const tslim_channel_groups *groups, const tsl_layer *layer, tslim_criterion criterion, double *scores) {
    filters f = {0};
    TSL_TRY(read_filters(groups->ctx, &groups->atoms->graph->values[layer->weight], layer->weight_axis, &f));
    distances d = {&f, scores};
    if (criterion == TSLIM_CRITERION_FPGM) tsl_parallel_for(groups->ctx, f.n_filters, 4, sum_distances, &d);
    for (size_t n = 0; n < f.n_filters && criterion != TSLIM_CRITERION_FPGM; n++)
        scores[n] = norm(f.data + n * f.length, f.length, criterion == TSLIM_CRITERION_L2);
    tsl_free(groups->ctx, f.data, f.bytes);
    return TSLIM_OK;
}

// ---- From layers to units ----

typedef struct sums {
    double *score; // by root
    uint32_t *count;
    size_t score_bytes, count_bytes;
} sums;

// Adds scores of an axis, divided by their mean: a layer with large weights has no louder voice.
static void add_normalized(
    const tsl_atoms *atoms, const uint32_t *array, size_t count, const double *scores, sums *s) {
    double mean = 0;
    for (size_t i = 0; i < count; i++) mean += scores[i] / (double)count;
    for (size_t i = 0; i < count; i++) {
        if (array[i] == TSL_ATOM_FIXED) continue;
        uint32_t root = atoms->parent[array[i]];
        s->score[root] += mean > 0 ? scores[i] / mean : 1;
        s->count[root]++;
    }
}

static size_t longest_axis(const tsl_atoms *atoms) {
    size_t longest = 1;
    for (uint32_t l = 0; l < atoms->n_layers; l++)
        if (atoms->layers[l].n_out > longest) longest = atoms->layers[l].n_out;
    for (uint32_t v = 0; v < atoms->graph->n_values; v++) {
        const tsl_value *value = &atoms->graph->values[v];
        if (tsl_value_is_constant(value) && value->shape.rank == 1 && (size_t)value->shape.dims[0] > longest)
            longest = (size_t)value->shape.dims[0];
    }
    return longest;
}

static tslim_status add_layers(const tslim_channel_groups *groups, tslim_criterion criterion,
    const bool *wanted, double *scores, sums *s) {
    const tsl_atoms *atoms = groups->atoms;
    for (uint32_t l = 0; l < atoms->n_layers; l++) {
        const tsl_layer *layer = &atoms->layers[l];
        bool any = false;
        for (uint32_t i = 0; i < layer->n_out; i++) {
            uint32_t root = atoms->parent[layer->out[i]];
            any |= !atoms->reason[root] && wanted[groups->group_of[root]];
        }
        if (!any) continue;
        TSL_TRY(score_filters(groups, layer, criterion, scores));
        add_normalized(atoms, layer->out, layer->n_out, scores, s);
    }
    return TSLIM_OK;
}

// |gamma| of every BatchNormalization that the channels go through.
static void add_batch_normalizations(const tsl_atoms *atoms, double *scores, sums *s) {
    for (uint32_t n = 0; n < atoms->graph->n_nodes; n++) {
        const tsl_node *node = &atoms->graph->nodes[n];
        if (node->op != TSL_OP_BATCH_NORMALIZATION || node->n_inputs < 2) continue;
        const tsl_value *gamma = tsl_node_input(atoms->graph, node, 1);
        const uint32_t *array = gamma ? atoms->axes[node->inputs[1]].atoms[0] : NULL;
        if (!array || !tsl_value_is_constant(gamma)) continue;
        size_t count = (size_t)gamma->shape.dims[0];
        for (size_t i = 0; i < count; i++) scores[i] = fabs((double)element(gamma, i));
        add_normalized(atoms, array, count, scores, s);
    }
}

static void add_random(const tslim_channel_groups *groups, uint64_t seed, sums *s) {
    tsl_rng rng;
    tsl_rng_seed(&rng, seed);
    for (uint32_t g = 0; g < groups->n_groups; g++) {
        for (uint32_t i = 0; i < groups->groups[g].n_units; i++) {
            s->score[groups->groups[g].units[i]] = 2 * tsl_rng_uniform(&rng);
            s->count[groups->groups[g].units[i]] = 1;
        }
    }
}

// Groups that have no scores yet.
static bool find_unscored(const tslim_channel_groups *groups, const sums *s, bool *wanted) {
    bool any = false;
    for (uint32_t g = 0; g < groups->n_groups; g++) {
        wanted[g] = groups->groups[g].reason == NULL && s->count[groups->groups[g].units[0]] == 0;
        any |= wanted[g];
    }
    return any;
}

typedef struct deviation_sums {
    const tsl_atoms *atoms;
    sums *s;
} deviation_sums;

static void add_deviations(void *user, const tsl_layer *layer, const double *deviations) {
    deviation_sums *d = user;
    add_normalized(d->atoms, layer->out, layer->n_out, deviations, d->s);
}

static tslim_status add_reconstruction(
    const tslim_channel_groups *groups, tslim_dataset *data, bool *scored, sums *s) {
    TSL_TRY(tsl_score_reconstruction(groups, data, s->score, scored));
    for (uint32_t g = 0; g < groups->n_groups; g++)
        for (uint32_t i = 0; i < groups->groups[g].n_units && scored[g]; i++)
            s->count[groups->groups[g].units[i]] = 1;
    return TSLIM_OK;
}

static tslim_status add_scores(const tslim_channel_groups *groups, tslim_criterion criterion, uint64_t seed,
    tslim_dataset *data, double *scores, bool *fallback, sums *s) {
    bool *wanted = fallback; // at first: the groups that the layers' weights score
    bool falls_back = criterion == TSLIM_CRITERION_BN_SCALE || criterion == TSLIM_CRITERION_RECONSTRUCTION;
    if (criterion == TSLIM_CRITERION_RANDOM) add_random(groups, seed, s);
    if (criterion == TSLIM_CRITERION_RECONSTRUCTION) TSL_TRY(add_reconstruction(groups, data, wanted, s));
    if (criterion == TSLIM_CRITERION_BN_SCALE) add_batch_normalizations(groups->atoms, scores, s);
    bool any = find_unscored(groups, s, wanted);
    if (any && data && criterion == TSLIM_CRITERION_BN_SCALE) {
        deviation_sums d = {groups->atoms, s};
        TSL_TRY(tsl_measure_deviations(groups, data, wanted, add_deviations, &d));
        any = find_unscored(groups, s, wanted);
    }
    tslim_criterion by_weights = falls_back ? TSLIM_CRITERION_L1 : criterion;
    // Units that have scores keep them apart: only groups without any are touched.
    sums extra = {.score = tsl_allocate_zeroed(groups->ctx, s->score_bytes),
        .score_bytes = s->score_bytes,
        .count = tsl_allocate_zeroed(groups->ctx, s->count_bytes),
        .count_bytes = s->count_bytes};
    tslim_status status = extra.score && extra.count ? TSLIM_OK : tsl_no_memory(s->score_bytes);
    if (status == TSLIM_OK && any) status = add_layers(groups, by_weights, wanted, scores, &extra);
    for (uint32_t g = 0; status == TSLIM_OK && g < groups->n_groups; g++) {
        for (uint32_t i = 0; wanted[g] && i < groups->groups[g].n_units; i++) {
            uint32_t root = groups->groups[g].units[i];
            s->score[root] = extra.score[root];
            s->count[root] = extra.count[root];
        }
        fallback[g] = wanted[g] && falls_back;
    }
    tsl_free(groups->ctx, extra.score, extra.score_bytes);
    tsl_free(groups->ctx, extra.count, extra.count_bytes);
    return status;
}

tslim_status tsl_score_units(const tslim_channel_groups *groups, tslim_criterion criterion, uint64_t seed,
    tslim_dataset *data, double *scores, bool *fallback) {
    TSL_REQUIRE(criterion != TSLIM_CRITERION_RECONSTRUCTION || data, TSLIM_ERROR_INVALID_ARGUMENT,
        "criterion reconstruction needs data");
    const tsl_atoms *atoms = groups->atoms;
    size_t axis_bytes = longest_axis(atoms) * sizeof(double);
    sums s = {.score = scores,
        .score_bytes = atoms->n_atoms * sizeof(double),
        .count_bytes = atoms->n_atoms * sizeof(uint32_t)};
    s.count = tsl_allocate_zeroed(groups->ctx, s.count_bytes);
    double *axis = tsl_allocate(groups->ctx, axis_bytes);
    tslim_status status = s.count && axis ? TSLIM_OK : tsl_no_memory(axis_bytes);
    if (s.score_bytes) memset(scores, 0, s.score_bytes);
    if (status == TSLIM_OK) status = add_scores(groups, criterion, seed, data, axis, fallback, &s);
    for (uint32_t a = 0; status == TSLIM_OK && a < atoms->n_atoms; a++)
        if (s.count[a]) scores[a] /= s.count[a];
    tsl_free(groups->ctx, axis, axis_bytes);
    tsl_free(groups->ctx, s.count, s.count_bytes);
    return status;
}
