// SPDX-License-Identifier: Apache-2.0
// Which units go: one number (a ratio, or a loss) turned up until the target is met.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "prune/plan.h"
#include "prune/sensitivity_data.h"

typedef struct chooser {
    tslim_prune_plan *plan;
    const tslim_prune_options *options;
    tslim_channel_groups *groups;
    double *scores; // by root
    double *position; // by root: the fraction of all channels that are no more important
    double *named; // of each group: the ratio asked for by name; NaN: none
    bool *excluded;
    uint32_t **order; // units of each group by rising score
    uint64_t layer_macs; // of the layers that are followed, before
} chooser;

// ---- Rounding ----

static uint32_t greatest_common_divisor(uint32_t a, uint32_t b) {
    while (b) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

// So many units are the fewest whose channels are a multiple of round_to.
static uint32_t rounding_step(const tsl_group *group, uint32_t round_to) {
    return round_to > 1 ? round_to / greatest_common_divisor(round_to, group->width ? group->width : 1) : 1;
}

uint32_t tsl_round_kept(const tsl_group *group, double target, uint32_t round_to, uint32_t min_channels) {
    uint32_t width = group->width ? group->width : 1, n = group->n_units;
    uint32_t step = rounding_step(group, round_to);
    uint32_t least = min_channels / width + (min_channels % width != 0);
    if (least < 1) least = 1;
    if (least > n) least = n;
    uint32_t lower = target <= 0   ? 0
                     : target >= n ? n / step * step
                                   : (uint32_t)(target / step + 1e-9) * step;
    uint32_t upper = lower > n - (step < n ? step : n) ? n : lower + step;
    uint32_t kept = target - lower < upper - target && lower > 0 ? lower : upper;
    if (kept < least) kept = (least + step - 1) / step * step;
    return kept > n ? n : kept;
}

// ---- Order ----

typedef struct ranked {
    double score;
    uint32_t index, root, width;
} ranked;

static int by_score(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

tslim_status tsl_order_units(const tslim_channel_groups *groups, uint32_t group, const double *scores,
    tsl_arena *arena, uint32_t **order) {
    const tsl_group *g = &groups->groups[group];
    ranked *units = tsl_arena_array(arena, (size_t)g->n_units + 1, sizeof(*units));
    *order = tsl_arena_array(arena, (size_t)g->n_units + 1, sizeof(**order));
    TSL_REQUIRE_MEMORY(units && *order ? units : NULL, g->n_units * sizeof(*units));
    for (uint32_t i = 0; i < g->n_units; i++) units[i] = (ranked){.score = scores[g->units[i]], .index = i};
    qsort(units, g->n_units, sizeof(*units), by_score);
    for (uint32_t i = 0; i < g->n_units; i++) (*order)[i] = units[i].index;
    return TSLIM_OK;
}

// All groups together: each score divided by its group's mean, then each unit's place in the whole.
static tslim_status rank_globally(chooser *c, const bool *fallback) {
    uint32_t n_units = 0, next = 0;
    double total = 0, passed = 0;
    for (uint32_t g = 0; g < c->groups->n_groups; g++) n_units += c->groups->groups[g].n_units;
    ranked *units = tsl_arena_array(&c->plan->arena, (size_t)n_units + 1, sizeof(*units));
    c->position =
        tsl_arena_array(&c->plan->arena, (size_t)c->groups->atoms->n_atoms + 1, sizeof(*c->position));
    TSL_REQUIRE_MEMORY(units && c->position ? units : NULL, n_units * sizeof(*units));
    for (uint32_t g = 0; g < c->groups->n_groups; g++) {
        const tsl_group *group = &c->groups->groups[g];
        double mean = 0;
        if (group->reason || c->excluded[g]) continue;
        // Costs of reconstruction are comparable as they are; the weights' scores of others are not.
        bool comparable = c->options->criterion == TSLIM_CRITERION_RECONSTRUCTION && !fallback[g];
        for (uint32_t i = 0; i < group->n_units && !comparable; i++)
            mean += c->scores[group->units[i]] / group->n_units;
        for (uint32_t i = 0; i < group->n_units; i++) {
            double score = comparable || mean <= 0 ? 1 : 1 / mean;
            score = comparable || mean > 0 ? score * c->scores[group->units[i]] : 1;
            units[next] = (ranked){score, next, group->units[i], group->width};
            next++;
        }
        total += (double)group->n_units * group->width;
    }
    qsort(units, next, sizeof(*units), by_score);
    for (uint32_t i = 0; i < next; i++) {
        passed += units[i].width;
        c->position[units[i].root] = passed / total;
    }
    return TSLIM_OK;
}

// ---- Names ----

// Calls for each group that goes by this name, its own or that of a layer that makes it; counts them.
static bool group_has_name(const chooser *c, uint32_t group, const char *name) {
    if (strcmp(c->groups->groups[group].name, name) == 0) return true;
    const char *layer;
    for (uint32_t i = 0; (layer = tslim_channel_groups_producer(c->groups, group, i)) != NULL; i++)
        if (strcmp(layer, name) == 0) return true;
    return false;
}

static tslim_status exclude_groups(chooser *c) {
    for (uint32_t i = 0; i < c->options->n_exclude; i++) {
        const char *name = c->options->exclude[i];
        TSL_REQUIRE(name, TSLIM_ERROR_INVALID_ARGUMENT, "exclude %u is NULL", i);
        bool found = false;
        for (uint32_t g = 0; g < c->groups->n_groups; g++) {
            if (!group_has_name(c, g, name)) continue;
            found = true;
            if (!c->excluded[g] && !c->groups->groups[g].reason)
                TSL_TRY(tsl_plan_note(c->plan, g, "excluded"));
            c->excluded[g] = true;
        }
        TSL_REQUIRE(found, TSLIM_ERROR_INVALID_ARGUMENT, "exclude: no layer or group is named '%s'", name);
    }
    return TSLIM_OK;
}

static tslim_status name_ratios(chooser *c) {
    for (uint32_t i = 0; i < c->options->n_ratios; i++) {
        const tslim_group_ratio *asked = &c->options->ratios[i];
        TSL_REQUIRE(asked->name && asked->ratio >= 0 && asked->ratio < 1, TSLIM_ERROR_INVALID_ARGUMENT,
            "ratio of '%s' is %g: 0 up to but not including 1", asked->name ? asked->name : "(NULL)",
            asked->ratio);
        const char *reason = NULL;
        bool found = false;
        for (uint32_t g = 0; g < c->groups->n_groups; g++) {
            if (!group_has_name(c, g, asked->name)) continue;
            c->named[g] = asked->ratio;
            found |= c->groups->groups[g].reason == NULL;
            if (c->groups->groups[g].reason) reason = c->groups->groups[g].reason;
        }
        TSL_REQUIRE(
            found || reason, TSLIM_ERROR_INVALID_ARGUMENT, "no layer or group is named '%s'", asked->name);
        TSL_REQUIRE(found || asked->ratio == 0, TSLIM_ERROR_INVALID_ARGUMENT,
            "group '%s' cannot be pruned: %s", asked->name, reason);
    }
    return TSLIM_OK;
}

// ---- The dial ----

static bool by_names(const chooser *c) {
    return c->options->n_ratios > 0;
}

static bool by_sensitivity(const chooser *c) {
    return !by_names(c) && c->options->sensitivity && c->options->max_loss > 0;
}

// The ratio of a group when the dial (a ratio; a loss with a sensitivity analysis) is at x. Never falls with
// x.
static double ratio_at(const chooser *c, uint32_t g, double x) {
    const tsl_group *group = &c->groups->groups[g];
    if (group->reason || c->excluded[g]) return 0;
    if (by_names(c)) return isnan(c->named[g]) ? 0 : c->named[g];
    double gentler = group->shallow ? c->options->shallow_ratio : 1, ratio = x;
    if (by_sensitivity(c)) {
        if (!tsl_sensitivity_ratio_at(c->options->sensitivity, group->name, x, &ratio)) ratio = 0;
        return ratio * gentler;
    }
    if (!c->options->global) return x * gentler;
    uint32_t below = 0;
    for (uint32_t i = 0; i < group->n_units; i++) below += c->position[group->units[i]] <= x + 1e-12;
    ratio = (double)below / group->n_units;
    return group->shallow && ratio > x * gentler ? x * gentler : ratio;
}

static void set_dial(const chooser *c, double x) {
    memset(c->plan->removed, 0, c->groups->atoms->n_atoms);
    for (uint32_t g = 0; g < c->groups->n_groups; g++) {
        const tsl_group *group = &c->groups->groups[g];
        double ratio = ratio_at(c, g, x);
        if (ratio <= 0) continue;
        double target = group->n_units * (1 - ratio);
        uint32_t step = rounding_step(group, c->options->round_to);
        // A loss is a promise: there rounding may only keep more.
        if (by_sensitivity(c)) target = ceil(target / step - 1e-9) * step;
        uint32_t kept = tsl_round_kept(group, target, c->options->round_to, c->options->min_channels);
        for (uint32_t i = 0; i < group->n_units - kept; i++)
            c->plan->removed[group->units[c->order[g][i]]] = 1;
    }
}

static double fraction_left(uint64_t before, uint64_t gone) {
    return before > gone ? (double)(before - gone) / (double)before : before ? 0 : 1;
}

// What is left, as fractions of what there was.
static void measure_dial(const chooser *c, double x, double *macs, double *parameters) {
    set_dial(c, x);
    const tslim_graph_totals *before = &c->plan->before;
    *macs = fraction_left(before->macs, c->layer_macs - tsl_groups_macs(c->groups, c->plan->removed));
    *parameters =
        fraction_left(before->parameters, tsl_groups_removed_parameters(c->groups, c->plan->removed));
}

static bool meets_targets(const chooser *c, double x) {
    double macs, parameters;
    measure_dial(c, x, &macs, &parameters);
    return (c->options->target_macs <= 0 || macs <= c->options->target_macs) &&
           (c->options->target_parameters <= 0 || parameters <= c->options->target_parameters);
}

// The smallest x from `low` on that meets the targets.
static tslim_status meet_targets(const chooser *c, double low, double high, double *x) {
    *x = low;
    if (meets_targets(c, low)) return TSLIM_OK;
    if (!meets_targets(c, high)) {
        double macs, parameters;
        measure_dial(c, high, &macs, &parameters);
        return tsl_fail(TSLIM_ERROR_INVALID_ARGUMENT,
            "the target cannot be reached: at the least %.4f of the MACs and %.4f of the parameters stay",
            macs, parameters);
    }
    for (int i = 0; i < 40; i++) {
        double middle = (low + high) / 2;
        if (meets_targets(c, middle))
            high = middle;
        else
            low = middle;
    }
    *x = high;
    return TSLIM_OK;
}

// ---- Together ----

static tslim_status check_options(const tslim_prune_options *o) {
    TSL_REQUIRE((unsigned)o->criterion <= TSLIM_CRITERION_RECONSTRUCTION, TSLIM_ERROR_INVALID_ARGUMENT,
        "criterion %d", (int)o->criterion);
    TSL_REQUIRE(o->ratio >= 0 && o->ratio < 1, TSLIM_ERROR_INVALID_ARGUMENT,
        "ratio %g: 0 up to but not including 1", o->ratio);
    TSL_REQUIRE(
        o->target_macs >= 0 && o->target_macs <= 1 && o->target_parameters >= 0 && o->target_parameters <= 1,
        TSLIM_ERROR_INVALID_ARGUMENT, "targets %g and %g: fractions up to 1", o->target_macs,
        o->target_parameters);
    TSL_REQUIRE(o->shallow_ratio >= 0 && o->shallow_ratio <= 1, TSLIM_ERROR_INVALID_ARGUMENT,
        "shallow ratio %g: 0 to 1", o->shallow_ratio);
    TSL_REQUIRE(o->round_to >= 1 && o->round_to <= 65536, TSLIM_ERROR_INVALID_ARGUMENT,
        "rounding to %u channels", o->round_to);
    TSL_REQUIRE(o->max_loss >= 0, TSLIM_ERROR_INVALID_ARGUMENT, "max loss %g", o->max_loss);
    TSL_REQUIRE((o->ratios || !o->n_ratios) && (o->exclude || !o->n_exclude), TSLIM_ERROR_INVALID_ARGUMENT,
        "ratios or exclude is NULL");
    bool any = o->n_ratios || (o->sensitivity && o->max_loss > 0) || o->target_macs > 0 ||
               o->target_parameters > 0 || o->ratio > 0;
    TSL_REQUIRE(any, TSLIM_ERROR_INVALID_ARGUMENT,
        "nothing says how much to prune: a ratio, ratios by name, a target, or a sensitivity analysis with a "
        "loss");
    return TSLIM_OK;
}

static tslim_status write_notes(chooser *c, const bool *fallback) {
    for (uint32_t g = 0; g < c->groups->n_groups; g++) {
        const tsl_group *group = &c->groups->groups[g];
        double ignored;
        if (group->reason || c->excluded[g]) continue;
        if (group->shallow && !by_names(c) && c->options->shallow_ratio < 1) {
            const char *text =
                c->options->shallow_ratio == 0.5
                    ? "shallow: ratio halved"
                    : tsl_arena_format(&c->plan->arena, "shallow: ratio times %g", c->options->shallow_ratio);
            TSL_REQUIRE_MEMORY(text, 64);
            TSL_TRY(tsl_plan_note(c->plan, g, text));
        }
        if (fallback[g])
            TSL_TRY(tsl_plan_note(c->plan, g,
                c->options->criterion == TSLIM_CRITERION_BN_SCALE ? "no BatchNormalization: scored by l1"
                                                                  : "no layer to reconstruct: scored by l1"));
        if (by_sensitivity(c) && !tsl_sensitivity_ratio_at(c->options->sensitivity, group->name, 0, &ignored))
            TSL_TRY(tsl_plan_note(c->plan, g, "not in the sensitivity analysis"));
    }
    return TSLIM_OK;
}

static tslim_status describe(chooser *c, double x) {
    const tslim_prune_options *o = c->options;
    tsl_arena *arena = &c->plan->arena;
    const char *how;
    if (by_names(c))
        how = "--ratios";
    else if (by_sensitivity(c))
        how = tsl_arena_format(arena, "--max-loss %g", x);
    else if (o->target_macs > 0)
        how = tsl_arena_format(arena, "--target-macs %g --ratio %.4g", o->target_macs, x);
    else if (o->target_parameters > 0)
        how = tsl_arena_format(arena, "--target-parameters %g --ratio %.4g", o->target_parameters, x);
    else
        how = tsl_arena_format(arena, "--ratio %g", o->ratio);
    const char *text =
        how ? tsl_arena_format(arena, "prune --criterion %s %s --scope %s --round %u",
                  tslim_criterion_name(o->criterion), how, o->global ? "global" : "local", o->round_to)
            : NULL;
    TSL_REQUIRE_MEMORY(text, 64);
    c->plan->description = text;
    return TSLIM_OK;
}

static tslim_status turn_dial(chooser *c) {
    const tslim_prune_options *o = c->options;
    bool targets = (o->target_macs > 0 || o->target_parameters > 0) && !by_names(c);
    double x = by_sensitivity(c) ? o->max_loss : o->ratio;
    if (targets && by_sensitivity(c)) {
        double high = tsl_sensitivity_greatest_loss(o->sensitivity);
        TSL_TRY(meet_targets(c, x, high > x ? high : x, &x));
    } else if (targets) {
        TSL_TRY(meet_targets(c, 0, 1, &x));
    }
    set_dial(c, x);
    return describe(c, x);
}

tslim_status tsl_plan_choose(tslim_prune_plan *plan, const tslim_prune_options *options) {
    TSL_TRY(check_options(options));
    tsl_arena *arena = &plan->arena;
    uint32_t n_groups = plan->groups->n_groups;
    size_t n_atoms = plan->groups->atoms->n_atoms;
    chooser c = {.plan = plan, .options = options, .groups = plan->groups};
    c.scores = tsl_arena_array(arena, n_atoms + 1, sizeof(*c.scores));
    c.named = tsl_arena_array(arena, (size_t)n_groups + 1, sizeof(*c.named));
    c.excluded = tsl_arena_array(arena, (size_t)n_groups + 1, sizeof(*c.excluded));
    c.order = tsl_arena_array(arena, (size_t)n_groups + 1, sizeof(*c.order));
    bool *fallback = tsl_arena_array(arena, (size_t)n_groups + 1, sizeof(*fallback));
    if (!c.scores || !c.named || !c.excluded || !c.order || !fallback)
        return tsl_no_memory(n_atoms * sizeof(double));
    for (uint32_t g = 0; g < n_groups; g++) c.named[g] = NAN;
    TSL_TRY(exclude_groups(&c));
    TSL_TRY(name_ratios(&c));
    TSL_TRY(
        tsl_score_units(plan->groups, options->criterion, options->seed, options->data, c.scores, fallback));
    for (uint32_t g = 0; g < n_groups; g++)
        TSL_TRY(tsl_order_units(plan->groups, g, c.scores, arena, &c.order[g]));
    if (options->global) TSL_TRY(rank_globally(&c, fallback));
    c.layer_macs = tsl_groups_macs(plan->groups, plan->removed);
    TSL_TRY(write_notes(&c, fallback));
    return turn_dial(&c);
}
