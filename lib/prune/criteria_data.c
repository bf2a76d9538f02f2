// SPDX-License-Identifier: Apache-2.0
// Criteria that look at data.
//
// Reconstruction: what a channel's removal costs the layers that read it, when these fit their weights anew.
// With H the inputs' covariance and W a layer's weights, taking away the inputs S costs
// w_S' (H^-1)_SS^-1 w_S, summed over output channels, and leaves H^-1 and W downdated: the optimal brain
// surgeon (Hassibi and Stork, 1993), for whole channels. The cheapest channel goes, costs are found anew, and
// so on, so that of two channels that tell the same one stays. A cost is relative to the layer's own
// variance; a channel that several layers read costs the sum.
//
// Measured deviation: where BatchNormalization has been folded away, |gamma| is the standard deviation of
// the channel before the activation, since what was normalized had 1.
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "prune/repair.h"

// One product whose inputs are eliminated: a layer, or one group of a grouped convolution.
typedef struct problem {
    double *inverse; // [d][d]
    double *weights; // [m][d]
    uint32_t *unit; // [d]: the unit of each input; TSL_NONE: cannot go
    bool *gone;
    size_t d, m;
    double total; // what the layer makes, squared, on average
    uint32_t *columns; // scratch: of one unit
    double *block, *solved; // scratch: [s][s], [s][d + m]
} problem;

typedef struct scorer {
    tsl_repair repair;
    const tslim_channel_groups *groups;
    tsl_arena arena; // of one group's problems
    problem *problems;
    uint32_t n_problems;
} scorer;

// ---- Setting up ----

static tslim_status open_scorer(
    scorer *s, const tslim_channel_groups *groups, tslim_dataset *data, const tslim_repair_options *options) {
    const tslim_graph *graph = groups->atoms->original;
    TSL_REQUIRE(tslim_dataset_count(data) > 0, TSLIM_ERROR_INVALID_ARGUMENT, "the criterion needs samples");
    *s = (scorer){.groups = groups,
        .repair = {.ctx = groups->ctx, .teacher = graph, .dataset = data, .options = options}};
    tsl_arena_init(&s->repair.arena, groups->ctx);
    tsl_arena_init(&s->arena, groups->ctx);
    s->repair.atoms = groups->atoms;
    uint8_t *removed = tsl_arena_array(&s->repair.arena, (size_t)groups->atoms->n_atoms + 1, 1);
    TSL_REQUIRE_MEMORY(removed, groups->atoms->n_atoms);
    s->repair.removed = removed;
    TSL_TRY(tslim_graph_clone(graph, &s->repair.graph));
    return tsl_repair_find_sites(&s->repair);
}

static void close_scorer(scorer *s) {
    tslim_graph_destroy(s->repair.graph);
    tsl_cholesky_close(&s->repair.cholesky);
    tsl_arena_clear(&s->repair.arena);
    tsl_arena_clear(&s->arena);
}

static const tsl_repair_site *site_of_layer(const scorer *s, const tsl_layer *layer) {
    uint32_t node = s->groups->atoms->original_node[layer->node];
    uint32_t site = node == TSL_NONE ? TSL_NONE : s->repair.site_of[node];
    return site == TSL_NONE || s->repair.sites[site].skip ? NULL : &s->repair.sites[site];
}

// ---- Reconstruction ----

static double total_output(const problem *p, const double *covariance) {
    double total = 0;
    for (size_t c = 0; c < p->m; c++)
        for (size_t i = 0; i < p->d; i++) {
            double sum = 0;
            for (size_t j = 0; j < p->d; j++) sum += covariance[i * p->d + j] * p->weights[c * p->d + j];
            total += sum * p->weights[c * p->d + i];
        }
    return total;
}

static tslim_status invert(const scorer *s, problem *p, double *covariance) {
    double trace = 0;
    for (size_t i = 0; i < p->d; i++) trace += covariance[i * p->d + i];
    double ridge = trace > 0 && isfinite(trace) ? 1e-4 * trace / (double)p->d : 1;
    for (size_t i = 0; i < p->d; i++) {
        covariance[i * p->d + i] += ridge;
        p->inverse[i * p->d + i] = 1;
    }
    TSL_REQUIRE(tsl_cholesky_factorize(&s->repair.cholesky, p->d, covariance) &&
                    tsl_cholesky_solve(&s->repair.cholesky, p->d, covariance, p->d, p->inverse),
        TSLIM_ERROR_INVALID_ARGUMENT, "the inputs' covariance has no inverse: are there infinite values?");
    return TSLIM_OK;
}

// Which unit of the group each input of the patch belongs to.
static void name_units(const scorer *s, const tsl_layer *layer, const tsl_repair_site *site, size_t part,
    uint32_t group, problem *p) {
    const tsl_atoms *atoms = s->groups->atoms;
    size_t channels = layer->n_in / site->group, taps = site->depth / channels;
    for (size_t i = 0; i < p->d; i++) {
        uint32_t atom = layer->in[part * channels + i / taps], root;
        p->unit[i] = TSL_NONE;
        if (atom == TSL_ATOM_FIXED) continue;
        root = atoms->parent[atom];
        if (!atoms->reason[root] && s->groups->group_of[root] == group) p->unit[i] = root;
    }
}

static tslim_status add_problem(scorer *s, const tsl_layer *layer, const tsl_repair_site *site, size_t part,
    uint32_t group, tsl_repair_rows *rows, const double *weights) {
    problem *p = &s->problems[s->n_problems++];
    size_t d = site->depth, m = site->width / site->group, squared = d * d;
    *p = (problem){.d = d, .m = m};
    p->inverse = tsl_arena_array(&s->arena, squared, sizeof(double));
    p->weights = tsl_arena_copy(&s->arena, weights + part * m * d, m * d * sizeof(double));
    p->unit = tsl_arena_array(&s->arena, d, sizeof(uint32_t));
    p->columns = tsl_arena_array(&s->arena, d, sizeof(uint32_t));
    p->gone = tsl_arena_array(&s->arena, d, sizeof(bool));
    double *covariance = tsl_arena_array(&s->arena, squared, sizeof(double));
    if (!p->inverse || !p->weights || !p->unit || !p->columns || !p->gone || !covariance)
        return tsl_no_memory(2 * squared * sizeof(double));
    name_units(s, layer, site, part, group, p);
    size_t most = 0;
    for (size_t i = 0; i < d; i++) {
        size_t same = 0;
        for (size_t j = 0; j < d && p->unit[i] != TSL_NONE; j++) same += p->unit[j] == p->unit[i];
        if (same > most) most = same;
    }
    p->block = tsl_arena_array(&s->arena, most * most + 1, sizeof(double));
    p->solved = tsl_arena_array(&s->arena, most * (d + m) + 1, sizeof(double));
    TSL_REQUIRE_MEMORY(p->block && p->solved ? p->block : NULL, most * (d + m) * sizeof(double));
    TSL_TRY(tsl_repair_covariance(&s->repair, site, part, rows, covariance));
    p->total = total_output(p, covariance);
    return invert(s, p, covariance);
}

// The equations of every layer that reads the group.
static tslim_status set_up_group(scorer *s, uint32_t g) {
    const tsl_group *group = &s->groups->groups[g];
    size_t most = 0;
    s->n_problems = 0;
    for (uint32_t i = 0; i < group->n_consumers; i++) {
        const tsl_repair_site *site = site_of_layer(s, &s->groups->atoms->layers[group->consumers[i]]);
        most += site ? site->group : 0;
    }
    s->problems = tsl_arena_array(&s->arena, most + 1, sizeof(*s->problems));
    TSL_REQUIRE_MEMORY(s->problems, most * sizeof(*s->problems));
    for (uint32_t i = 0; i < group->n_consumers; i++) {
        const tsl_layer *layer = &s->groups->atoms->layers[group->consumers[i]];
        const tsl_repair_site *site = site_of_layer(s, layer);
        if (!site || !layer->in || site->depth > s->repair.options->max_unknowns ||
            layer->n_in % site->group != 0 || site->depth % (layer->n_in / site->group) != 0)
            continue;
        tsl_repair_rows rows;
        tsl_repair_weights w;
        TSL_TRY(tsl_repair_sample(&s->repair, site, TSL_REPAIR_VIEW_FIT, &rows));
        tslim_status status = tsl_repair_read_weights(&s->repair, site, &w);
        for (size_t part = 0; part < site->group && status == TSLIM_OK; part++)
            status = add_problem(s, layer, site, part, g, &rows, w.weights);
        if (w.weights) tsl_free(s->repair.ctx, w.weights, w.bytes);
        tsl_repair_rows_clear(&rows);
        TSL_TRY(status);
    }
    return TSLIM_OK;
}

// Solves block * solved = solved in place by elimination; block is symmetric and positive definite.
static void solve_block(double *block, size_t s, double *solved, size_t n) {
    for (size_t k = 0; k < s; k++) {
        double pivot = block[k * s + k] > 1e-300 ? block[k * s + k] : 1e-300;
        for (size_t i = 0; i < s; i++) {
            double factor = block[i * s + k] / pivot;
            if (i == k) continue;
            for (size_t j = k; j < s; j++) block[i * s + j] -= factor * block[k * s + j];
            for (size_t j = 0; j < n; j++) solved[i * n + j] -= factor * solved[k * n + j];
        }
        for (size_t j = 0; j < n; j++) solved[k * n + j] /= pivot;
        for (size_t j = k; j < s; j++) block[k * s + j] /= pivot;
    }
}

static size_t read_block(problem *p, uint32_t unit) {
    size_t s = 0;
    for (size_t i = 0; i < p->d; i++)
        if (p->unit[i] == unit && !p->gone[i]) p->columns[s++] = (uint32_t)i;
    for (size_t i = 0; i < s; i++)
        for (size_t j = 0; j < s; j++) p->block[i * s + j] = p->inverse[p->columns[i] * p->d + p->columns[j]];
    return s;
}

static double removal_cost(problem *p, uint32_t unit) {
    size_t s = read_block(p, unit);
    double cost = 0;
    for (size_t i = 0; i < s; i++)
        for (size_t c = 0; c < p->m; c++) p->solved[i * p->m + c] = p->weights[c * p->d + p->columns[i]];
    solve_block(p->block, s, p->solved, p->m);
    for (size_t i = 0; i < s; i++)
        for (size_t c = 0; c < p->m; c++)
            cost += p->solved[i * p->m + c] * p->weights[c * p->d + p->columns[i]];
    return p->total > 0 && isfinite(cost) ? fmax(0, cost) / p->total : 0;
}

typedef struct downdate {
    problem *p;
    size_t s;
} downdate;

static void downdate_rows(void *data, size_t begin, size_t end, uint32_t worker) {
    const downdate *u = data;
    problem *p = u->p;
    size_t d = p->d, n = d + p->m;
    (void)worker;
    for (size_t r = begin; r < end; r++) {
        if (p->gone[r]) continue;
        for (size_t i = 0; i < u->s; i++) {
            // Of the row itself nothing has been taken yet: what is gone is only read, by columns.
            double factor = p->inverse[p->columns[i] * d + r];
            for (size_t j = 0; j < d; j++) p->inverse[r * d + j] -= factor * p->solved[i * n + j];
        }
    }
}

// What the other weights become when the unit's are gone.
static void remove_unit(const scorer *s, problem *p, uint32_t unit) {
    size_t count = read_block(p, unit), d = p->d, n = d + p->m;
    if (count == 0) return;
    for (size_t i = 0; i < count; i++) {
        memcpy(p->solved + i * n, p->inverse + p->columns[i] * d, d * sizeof(double));
        for (size_t c = 0; c < p->m; c++) p->solved[i * n + d + c] = p->weights[c * d + p->columns[i]];
    }
    solve_block(p->block, count, p->solved, n);
    for (size_t c = 0; c < p->m; c++)
        for (size_t i = 0; i < count; i++) {
            double factor = p->solved[i * n + d + c];
            const double *row = p->inverse + p->columns[i] * d; // symmetric: a column
            for (size_t j = 0; j < d; j++) p->weights[c * d + j] -= factor * row[j];
        }
    for (size_t i = 0; i < count; i++) p->gone[p->columns[i]] = true;
    downdate u = {p, count};
    tsl_parallel_for(s->repair.ctx, d, 16, downdate_rows, &u);
}

// Units in the order in which they go. A score is the cost of a step, raised to 0.8 (measured to be better
// than 1 and 0.5 on the example network), for each multiply-add saved; scores never fall along the order.
static void eliminate(scorer *s, const tsl_group *group, double *scores) {
    double macs = (double)group->macs / group->n_units, least = 0;
    for (uint32_t step = 0; step < group->n_units; step++) {
        uint32_t cheapest = TSL_NONE;
        double lowest = INFINITY;
        for (uint32_t i = 0; i < group->n_units; i++) {
            double cost = 0;
            if (scores[group->units[i]] >= 0) continue;
            for (uint32_t q = 0; q < s->n_problems; q++)
                cost += removal_cost(&s->problems[q], group->units[i]);
            if (cost < lowest || cheapest == TSL_NONE) {
                lowest = cost;
                cheapest = group->units[i];
            }
        }
        double score = pow(lowest, 0.8) / (macs > 1 ? macs : 1);
        least = score > least * (1 + 1e-9) ? score : least > 0 ? least * (1 + 1e-9) : 1e-300;
        scores[cheapest] = least;
        for (uint32_t q = 0; q < s->n_problems; q++) remove_unit(s, &s->problems[q], cheapest);
    }
}

tslim_status tsl_score_reconstruction(
    const tslim_channel_groups *groups, tslim_dataset *data, double *scores, bool *scored) {
    tslim_repair_options options;
    tslim_repair_options_init(&options);
    options.max_unknowns = 4608;
    scorer s;
    tslim_status status = open_scorer(&s, groups, data, &options);
    if (status == TSLIM_OK) status = tsl_cholesky_open(&s.repair.cholesky);
    for (uint32_t g = 0; g < groups->n_groups && status == TSLIM_OK; g++) {
        const tsl_group *group = &groups->groups[g];
        scored[g] = false;
        if (group->reason) continue;
        status = set_up_group(&s, g);
        scored[g] = s.n_problems > 0;
        for (uint32_t i = 0; i < group->n_units && scored[g]; i++) scores[group->units[i]] = -1;
        if (status == TSLIM_OK && scored[g]) eliminate(&s, group, scores);
        tsl_arena_clear(&s.arena);
    }
    close_scorer(&s);
    return status;
}

// ---- Measured deviation ----

tslim_status tsl_measure_deviations(const tslim_channel_groups *groups, tslim_dataset *data,
    const bool *wanted, tsl_deviation_callback callback, void *user) {
    tslim_repair_options options;
    tslim_repair_options_init(&options);
    scorer s;
    tslim_status status = open_scorer(&s, groups, data, &options);
    const tsl_atoms *atoms = groups->atoms;
    for (uint32_t l = 0; l < atoms->n_layers && status == TSLIM_OK; l++) {
        const tsl_layer *layer = &atoms->layers[l];
        const tsl_repair_site *site = layer->weight == TSL_NONE ? NULL : site_of_layer(&s, layer);
        bool any = false;
        for (uint32_t i = 0; i < layer->n_out && site; i++) {
            uint32_t root = atoms->parent[layer->out[i]];
            any |= !atoms->reason[root] && wanted[groups->group_of[root]];
        }
        if (!any || site->width != layer->n_out) continue;
        tsl_repair_rows rows;
        tsl_repair_moments moments = {0};
        status = tsl_repair_sample(&s.repair, site, TSL_REPAIR_VIEW_OWN, &rows);
        if (status != TSLIM_OK) break;
        status = tsl_repair_measure(groups->ctx, rows.y, rows.n_rows, site->width, &moments);
        if (status == TSLIM_OK) callback(user, layer, moments.deviation);
        tsl_free(groups->ctx, moments.mean, moments.bytes);
        tsl_repair_rows_clear(&rows);
    }
    close_scorer(&s);
    return status;
}
