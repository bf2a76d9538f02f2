// SPDX-License-Identifier: Apache-2.0
// Groups into bundles: first fit, largest first. A bundle has a bound for each of 64 sums (32 lanes by two
// signs), so this is packing of vectors into bins, which no quick method solves best; this one leaves
// Gaussian weights of full range within a tenth of what trying every bin gives.
#include "cpu/bundle.h"

#include <string.h>

// Lanes of 16 bits that a panel fills.
#define LANES (TSL_PANEL * TSL_K_GROUP / 2)
// Bundles that are tried for a group: more gain little and make sessions slow to create.
#define OPEN ((size_t)32)
// Of fewer groups the end of a tile takes the most time, which sums in memory only add to.
#define MIN_GROUPS ((size_t)12)
// Fewer rows wait for their weights anyway.
#define MIN_ROWS ((size_t)4)
// Groups are sorted by the sum of their magnitudes, to within this.
#define STEP 16
#define MAX_STEPS (TSL_PANEL * TSL_K_GROUP * 128 / STEP)
#define NONE UINT32_MAX

// Sums of positive weights, then of negative ones with their sign turned, or of magnitudes and nothing. Of
// one group none is more than 254.
typedef struct lane_sums {
    uint8_t sum[2 * LANES];
} lane_sums;

static lane_sums sums_of_group(const int8_t *w, bool by_sign) {
    lane_sums s;
    uint8_t positive[2 * LANES], negative[2 * LANES];
    for (size_t i = 0; i < 2 * LANES; i++) {
        positive[i] = (uint8_t)(w[i] > 0 ? w[i] : 0);
        negative[i] = (uint8_t)(w[i] < 0 ? -w[i] : 0);
    }
    for (size_t i = 0; i < LANES; i++) {
        s.sum[i] = (uint8_t)(positive[2 * i] + positive[2 * i + 1]);
        s.sum[LANES + i] = (uint8_t)(negative[2 * i] + negative[2 * i + 1]);
    }
    for (size_t i = 0; i < LANES && !by_sign; i++) {
        s.sum[i] = (uint8_t)(s.sum[i] + s.sum[LANES + i]);
        s.sum[LANES + i] = 0;
    }
    return s;
}

static size_t magnitude_of_group(const int8_t *w) {
    unsigned magnitude = 0;
    for (size_t i = 0; i < 2 * LANES; i++) magnitude += (unsigned)(w[i] < 0 ? -w[i] : w[i]);
    return magnitude;
}

// `room` is what the sums of a bundle have left to the bound.
static bool fits(const lane_sums *s, const lane_sums *room) {
    uint8_t over = 0;
    for (size_t i = 0; i < 2 * LANES; i++) over |= (uint8_t)(s->sum[i] > room->sum[i]);
    return over == 0;
}

static void take(lane_sums *room, const lane_sums *s) {
    for (size_t i = 0; i < 2 * LANES; i++) room->sum[i] = (uint8_t)(room->sum[i] - s->sum[i]);
}

tslim_status tsl_bundler_create(
    tsl_arena *arena, const ptrdiff_t *tap, size_t n_taps, size_t k4, tsl_bundler *b) {
    size_t groups = n_taps * k4;
    *b = (tsl_bundler){.tap = tap, .k4 = k4, .groups = groups};
    b->next = tsl_arena_array(arena, groups, sizeof(*b->next));
    b->first = tsl_arena_array(arena, groups, sizeof(*b->first));
    b->size = tsl_arena_array(arena, groups, sizeof(*b->size));
    b->by_magnitude = tsl_arena_array(arena, MAX_STEPS + 1, sizeof(*b->by_magnitude));
    TSL_REQUIRE_MEMORY(b->next && b->first && b->size && b->by_magnitude ? b : NULL, groups);
    return TSLIM_OK;
}

// Lists of groups, each in ascending order; returns the last that is not empty.
static size_t sort_by_magnitude(const tsl_bundler *b, const int8_t *w) {
    size_t largest = 0;
    for (size_t i = 0; i <= MAX_STEPS; i++) b->by_magnitude[i] = NONE;
    for (size_t g = b->groups; g-- > 0;) {
        const size_t steps = magnitude_of_group(w + g * TSL_PANEL * TSL_K_GROUP) / STEP;
        b->next[g] = b->by_magnitude[steps];
        b->by_magnitude[steps] = (uint32_t)g;
        if (steps > largest) largest = steps;
    }
    return largest;
}

typedef struct open_bundles {
    size_t count; // bundles so far; the last OPEN of them are open
    lane_sums room[OPEN]; // of bundle i at i % OPEN
} open_bundles;

static void place(const tsl_bundler *b, uint32_t group, const lane_sums *s, open_bundles *o) {
    size_t i = o->count > OPEN ? o->count - OPEN : 0;
    while (i < o->count && (b->size[i] == TSL_BUNDLE_GROUPS || !fits(s, &o->room[i % OPEN]))) i++;
    if (i == o->count) {
        o->count++;
        b->size[i] = 0;
        b->first[i] = NONE;
        memset(&o->room[i % OPEN], TSL_BUNDLE_BOUND, sizeof(*s));
    }
    take(&o->room[i % OPEN], s);
    b->size[i]++;
    b->next[group] = b->first[i];
    b->first[i] = group;
}

static tsl_group_place place_of(const tsl_bundler *b, size_t group) {
    ptrdiff_t a = b->tap[group / b->k4] + (ptrdiff_t)(group % b->k4 * TSL_K_GROUP);
    return (tsl_group_place){(int32_t)a, (int32_t)(group * TSL_PANEL * TSL_K_GROUP)};
}

tslim_status tsl_bundler_run(
    const tsl_bundler *b, tsl_arena *arena, const int8_t *w, tsl_activation_kind kind, tsl_bundles *bundles) {
    tsl_group_place *places = tsl_arena_array(arena, b->groups + TSL_BUNDLE_AHEAD, sizeof(*places));
    TSL_REQUIRE_MEMORY(places, b->groups * sizeof(*places));
    bundles->places = places;
    bool by_sign = kind == TSL_ACTIVATION_NON_NEGATIVE;
    open_bundles open = {.count = 0};
    for (size_t steps = sort_by_magnitude(b, w) + 1; steps-- > 0;) {
        for (uint32_t g = b->by_magnitude[steps], next; g != NONE; g = next) {
            next = b->next[g]; // before the group enters a bundle's list
            lane_sums s = sums_of_group(w + g * (size_t)(TSL_PANEL * TSL_K_GROUP), by_sign);
            place(b, g, &s, &open);
        }
    }
    for (size_t size = TSL_BUNDLE_GROUPS; size > 0; size--) {
        bundles->count[size - 1] = 0;
        for (size_t i = 0; i < open.count; i++) {
            if (b->size[i] != size) continue;
            bundles->count[size - 1]++;
            for (uint32_t g = b->first[i]; g != NONE; g = b->next[g]) *places++ = place_of(b, g);
        }
    }
    return TSLIM_OK;
}

// ---- For a product ----

// Offsets of 32 bits must do.
static bool offsets_fit(const tsl_product *product, size_t groups) {
    const tsl_pack_geometry *g = product->geometry;
    if (groups == 0 || groups > INT32_MAX / (TSL_PANEL * TSL_K_GROUP)) return false;
    for (size_t t = 0; t < product->n_taps; t++)
        if (product->taps[t] < INT32_MIN || product->taps[t] > INT32_MAX - (ptrdiff_t)g->k_padded)
            return false;
    return true;
}

static tslim_status bundle_panels(const tsl_prepare *p, tsl_arena *temporary, const int8_t *packed,
    const tsl_product *product, tsl_bundles *bundles) {
    const tsl_pack_geometry *g = product->geometry;
    tsl_bundler bundler;
    TSL_TRY(
        tsl_bundler_create(temporary, product->taps, product->n_taps, g->k_padded / TSL_K_GROUP, &bundler));
    for (size_t i = 0; i < g->groups * g->panels; i++) {
        const int8_t *w = packed + i * g->panel_stride + product->first_tap * g->k_padded * TSL_PANEL;
        TSL_TRY(tsl_bundler_run(&bundler, p->arena, w, product->coefficients->a_kind, &bundles[i]));
    }
    return TSLIM_OK;
}

tslim_status tsl_product_bundle(const tsl_prepare *p, const int8_t *packed, tsl_product *product) {
    const tsl_pack_geometry *g = product->geometry;
    const tsl_rows *rows = &product->rows;
    size_t groups = product->n_taps * (g->k_padded / TSL_K_GROUP);
    if (groups < MIN_GROUPS || !product->functions->bundles || !product->coefficients->is_int8 ||
        product->coefficients->w_zero || !packed ||
        rows->count[0] * rows->count[1] * rows->count[2] < MIN_ROWS || !offsets_fit(product, groups))
        return TSLIM_OK;
    tsl_bundles *bundles = tsl_arena_array(p->arena, g->groups * g->panels, sizeof(*bundles));
    TSL_REQUIRE_MEMORY(bundles, g->groups * g->panels * sizeof(*bundles));
    tsl_arena temporary;
    tsl_arena_init(&temporary, p->ctx);
    tslim_status status = bundle_panels(p, &temporary, packed, product, bundles);
    tsl_arena_clear(&temporary);
    product->bundles = bundles;
    return status;
}
