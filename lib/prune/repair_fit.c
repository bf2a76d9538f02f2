// SPDX-License-Identifier: Apache-2.0
// Least squares: the weights with which a layer comes nearest to the original's values.
//
// For each group of channels, with patches X (one a row, their mean taken away) and targets Y, the weights W
// solve (X'X + r I) W = X'Y + r W0: W0 are the weights as they were, r is the ridge times the mean of X'X's
// diagonal. Sums over a block of rows are made in float by the library's own products, and added up in
// double.
//
// What a Relu behind the layer cuts off need not be right, only be cut off. So the fit is repeated, and where
// the original is cut off and the fit is too, the fit's own value becomes the target: no round can make the
// error behind the Relu larger but by the ridge (majorization), and X'X stays as it is.
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "prune/repair.h"

typedef struct fit {
    tsl_repair *repair;
    const tsl_repair_site *site;
    tsl_repair_rows rows;
    float lo, hi;
    tsl_repair_weights before, after; // of the whole layer
    double *mean, *deviation; // of what the fitted layer makes
    size_t n_blocks, padded; // blocks of rows; rows with the padding
    // Of one group at a time. d = depth, m = channels of the group.
    size_t d, m;
    float *x; // [padded][d]
    double *center; // [d]: mean of x
    double *gram, *factors; // [d][d]
    double *right; // [m][d]
    float *block; // [d][BLOCK]: transposed
    float *target; // [BLOCK][m]
    float *plain; // [d][m]: weights for predictions
    double *intercept; // [m]
    tsl_repair_product squares, mixed, predict;
    tsl_arena arena;
} fit;

// ---- Memory ----

static tslim_status allocate(fit *f) {
    size_t d = f->d, m = f->m, width = f->site->width, squared;
    TSL_REQUIRE(tsl_mul_size(d, d, &squared), TSLIM_ERROR_LIMIT, "%zu weights of one channel", d);
    f->center = tsl_arena_array(&f->arena, d, sizeof(double));
    f->gram = tsl_arena_array(&f->arena, squared, sizeof(double));
    f->factors = tsl_arena_array(&f->arena, squared, sizeof(double));
    f->right = tsl_arena_array(&f->arena, d * m, sizeof(double));
    f->block = tsl_arena_alloc_aligned(&f->arena, d * TSL_REPAIR_BLOCK * sizeof(float));
    f->target = tsl_arena_alloc_aligned(&f->arena, m * TSL_REPAIR_BLOCK * sizeof(float));
    f->plain = tsl_arena_alloc_aligned(&f->arena, d * m * sizeof(float));
    f->intercept = tsl_arena_array(&f->arena, m, sizeof(double));
    f->mean = tsl_arena_array(&f->arena, width, sizeof(double));
    f->deviation = tsl_arena_array(&f->arena, width, sizeof(double));
    bool all = f->center && f->gram && f->factors && f->right && f->block && f->target && f->plain &&
               f->intercept && f->mean && f->deviation;
    if (!all) return tsl_no_memory(2 * squared * sizeof(double));
    int64_t rows = TSL_REPAIR_BLOCK, depth = (int64_t)d, channels = (int64_t)m;
    TSL_TRY(tsl_repair_product_init(&f->squares, f->repair->ctx, depth, rows, depth));
    TSL_TRY(tsl_repair_product_init(&f->mixed, f->repair->ctx, depth, rows, channels));
    return tsl_repair_product_init(&f->predict, f->repair->ctx, rows, depth, channels);
}

// ---- The equations ----

static void center_columns(fit *f) {
    size_t n = f->rows.n_rows, d = f->d;
    memset(f->center, 0, d * sizeof(double));
    if (f->site->bias_node == TSL_NONE && f->site->batch_norm == TSL_NONE) return; // nothing takes it up
    for (size_t r = 0; r < n; r++)
        for (size_t i = 0; i < d; i++) f->center[i] += (double)f->x[r * d + i];
    for (size_t i = 0; i < d; i++) f->center[i] /= (double)n;
    for (size_t r = 0; r < n; r++)
        for (size_t i = 0; i < d; i++) f->x[r * d + i] -= (float)f->center[i];
}

static void transpose_block(fit *f, size_t b) {
    const float *from = f->x + b * TSL_REPAIR_BLOCK * f->d;
    for (size_t tile = 0; tile < TSL_REPAIR_BLOCK; tile += 16)
        for (size_t i = 0; i < f->d; i++)
            for (size_t r = tile; r < tile + 16; r++) f->block[i * TSL_REPAIR_BLOCK + r] = from[r * f->d + i];
}

static tslim_status add_squares(fit *f) {
    size_t d = f->d;
    memset(f->gram, 0, d * d * sizeof(double));
    for (size_t b = 0; b < f->n_blocks; b++) {
        const float *product;
        transpose_block(f, b);
        TSL_TRY(tsl_repair_product_run(&f->squares, f->block, f->x + b * TSL_REPAIR_BLOCK * d, &product));
        for (size_t i = 0; i < d * d; i++) f->gram[i] += (double)product[i];
    }
    return TSLIM_OK;
}

tslim_status tsl_repair_covariance(tsl_repair *repair, const tsl_repair_site *site, size_t group,
    tsl_repair_rows *rows, double *covariance) {
    size_t d = site->depth;
    fit f = {.repair = repair, .site = site, .rows = *rows, .d = d, .gram = covariance};
    f.padded = tsl_round_up(rows->capacity, TSL_REPAIR_BLOCK);
    f.n_blocks = (rows->n_rows + TSL_REPAIR_BLOCK - 1) / TSL_REPAIR_BLOCK;
    f.x = rows->x + group * f.padded * d;
    tsl_arena_init(&f.arena, repair->ctx);
    f.center = tsl_arena_array(&f.arena, d, sizeof(double));
    f.block = tsl_arena_alloc_aligned(&f.arena, d * TSL_REPAIR_BLOCK * sizeof(float));
    tslim_status status =
        f.center && f.block ? TSLIM_OK : tsl_no_memory(d * TSL_REPAIR_BLOCK * sizeof(float));
    if (status == TSLIM_OK)
        status = tsl_repair_product_init(&f.squares, repair->ctx, (int64_t)d, TSL_REPAIR_BLOCK, (int64_t)d);
    if (status == TSLIM_OK) {
        center_columns(&f);
        status = add_squares(&f);
    }
    for (size_t i = 0; i < d * d && status == TSLIM_OK; i++) covariance[i] /= (double)rows->n_rows;
    tsl_repair_product_clear(&f.squares);
    tsl_arena_clear(&f.arena);
    return status;
}

static size_t first_channel(const fit *f, size_t group) {
    return group * f->m;
}

// What the layer should make at one place: the target without what is added to it, or, where bounds cut it
// off, what the fit makes there already.
static double wanted(const fit *f, size_t row, size_t channel, const double *predicted) {
    size_t at = row * f->site->width + channel;
    double z = (double)f->rows.y[at], added = f->rows.added ? (double)f->rows.added[at] : 0;
    if (predicted) {
        double sum = *predicted + added;
        if (z <= (double)f->lo) z = fmin(sum, (double)f->lo);
        if (z >= (double)f->hi) z = fmax(sum, (double)f->hi);
    }
    return z - added;
}

// The fit's values for a block, without the intercept.
static tslim_status predict_block(fit *f, size_t b, const float **predicted) {
    return tsl_repair_product_run(&f->predict, f->x + b * TSL_REPAIR_BLOCK * f->d, f->plain, predicted);
}

// X'Y and the mean of Y, which becomes the intercept. `refine`: targets follow the fit where they are cut
// off.
static tslim_status add_targets(fit *f, size_t group, bool refine, double *sums) {
    size_t d = f->d, m = f->m, n = f->rows.n_rows;
    memset(f->right, 0, d * m * sizeof(double));
    memset(sums, 0, m * sizeof(double));
    for (size_t b = 0; b < f->n_blocks; b++) {
        const float *predicted = NULL, *product;
        if (refine) TSL_TRY(predict_block(f, b, &predicted));
        size_t begin = b * TSL_REPAIR_BLOCK, count = n - begin;
        if (count > TSL_REPAIR_BLOCK) count = TSL_REPAIR_BLOCK;
        memset(f->target, 0, TSL_REPAIR_BLOCK * m * sizeof(float));
        for (size_t r = 0; r < count; r++)
            for (size_t c = 0; c < m; c++) {
                double fitted = predicted ? (double)predicted[r * m + c] + f->intercept[c] : 0;
                double y = wanted(f, begin + r, first_channel(f, group) + c, predicted ? &fitted : NULL);
                f->target[r * m + c] = (float)y;
                sums[c] += y;
            }
        transpose_block(f, b);
        TSL_TRY(tsl_repair_product_run(&f->mixed, f->block, f->target, &product));
        for (size_t i = 0; i < d; i++)
            for (size_t c = 0; c < m; c++) f->right[c * d + i] += (double)product[i * m + c];
    }
    return TSLIM_OK;
}

// ---- Solving ----

static double ridge_of(const fit *f) {
    double trace = 0;
    for (size_t i = 0; i < f->d; i++) trace += f->gram[i * f->d + i];
    return f->repair->options->ridge * trace / (double)f->d;
}

// Cholesky's factors; with a ridge ten times as large as often as the matrix is not positive definite to
// rounding.
static bool factorize(fit *f, double *ridge) {
    size_t d = f->d;
    double trace = 0;
    for (size_t i = 0; i < d; i++) trace += f->gram[i * d + i];
    if (!(trace > 0) || !isfinite(trace)) return false;
    double least = 1e-12 * trace / (double)d;
    for (int attempt = 0; attempt < 12; attempt++) {
        if (*ridge < least) *ridge = least;
        memcpy(f->factors, f->gram, d * d * sizeof(double));
        for (size_t i = 0; i < d; i++) f->factors[i * d + i] += *ridge;
        if (tsl_cholesky_factorize(&f->repair->cholesky, d, f->factors)) return true;
        *ridge *= 10;
    }
    return false;
}

// From `right` to weights and intercepts of the group.
static bool solve(fit *f, size_t group, double ridge, const double *sums) {
    size_t d = f->d, m = f->m, first = first_channel(f, group);
    bool finite = true;
    for (size_t c = 0; c < m; c++)
        for (size_t i = 0; i < d; i++) f->right[c * d + i] += ridge * f->before.weights[(first + c) * d + i];
    if (!tsl_cholesky_solve(&f->repair->cholesky, d, f->factors, m, f->right)) return false;
    for (size_t c = 0; c < m; c++) {
        f->intercept[c] = f->site->bias_node == TSL_NONE && f->site->batch_norm == TSL_NONE
                              ? 0
                              : sums[c] / (double)f->rows.n_rows;
        double shift = 0;
        for (size_t i = 0; i < d; i++) {
            double w = f->right[c * d + i];
            f->plain[i * m + c] = (float)w;
            f->after.weights[(first + c) * d + i] = w;
            shift += w * f->center[i];
            finite = finite && isfinite(w);
        }
        f->after.bias[first + c] = f->intercept[c] - shift;
    }
    return finite;
}

// Makes a map's weights those that predict.
static void use_weights(fit *f, size_t group, const tsl_repair_weights *w) {
    size_t d = f->d, m = f->m, first = first_channel(f, group);
    for (size_t c = 0; c < m; c++) {
        f->intercept[c] = w->bias[first + c];
        for (size_t i = 0; i < d; i++) {
            double weight = w->weights[(first + c) * d + i];
            f->plain[i * m + c] = (float)weight;
            f->intercept[c] += weight * f->center[i];
        }
    }
}

static double clamp(double x, double lo, double hi) {
    return x < lo ? lo : x > hi ? hi : x;
}

// Squared errors behind the bounds; also the moments of what the layer makes.
static tslim_status measure(fit *f, size_t group, double *error) {
    size_t m = f->m, first = first_channel(f, group), width = f->site->width;
    double lo = (double)f->lo, hi = (double)f->hi;
    for (size_t c = 0; c < m; c++) f->mean[first + c] = f->deviation[first + c] = 0;
    for (size_t b = 0; b < f->n_blocks; b++) {
        const float *predicted;
        TSL_TRY(predict_block(f, b, &predicted));
        size_t begin = b * TSL_REPAIR_BLOCK;
        for (size_t r = 0; r < TSL_REPAIR_BLOCK && begin + r < f->rows.n_rows; r++)
            for (size_t c = 0; c < m; c++) {
                size_t at = (begin + r) * width + first + c;
                double off = (double)predicted[r * m + c], own = off + f->intercept[c];
                double sum = own + (f->rows.added ? (double)f->rows.added[at] : 0);
                double difference = clamp(sum, lo, hi) - clamp((double)f->rows.y[at], lo, hi);
                *error += difference * difference;
                f->mean[first + c] += off;
                f->deviation[first + c] += off * off;
            }
    }
    for (size_t c = 0; c < m; c++) {
        double n = (double)f->rows.n_rows, mean = f->mean[first + c] / n;
        f->deviation[first + c] = sqrt(fmax(0, f->deviation[first + c] / n - mean * mean));
        f->mean[first + c] = mean + f->intercept[c];
    }
    return TSLIM_OK;
}

static tslim_status fit_group(fit *f, size_t group, double *before, double *after) {
    uint32_t rounds = f->lo > -INFINITY || f->hi < INFINITY ? f->repair->options->rounds : 0;
    double *sums = tsl_arena_array(&f->arena, f->m, sizeof(double)), was = 0, is = 0;
    TSL_REQUIRE_MEMORY(sums, f->m * sizeof(double));
    f->x = f->rows.x + group * f->padded * f->d;
    center_columns(f);
    use_weights(f, group, &f->before);
    TSL_TRY(measure(f, group, &was));
    TSL_TRY(add_squares(f));
    double ridge = ridge_of(f);
    bool solved = factorize(f, &ridge);
    for (uint32_t round = 0; round <= rounds && solved; round++) {
        TSL_TRY(add_targets(f, group, round > 0, sums));
        solved = solve(f, group, ridge, sums);
    }
    if (solved) TSL_TRY(measure(f, group, &is));
    if (!solved || is > was) { // never worse than before
        size_t first = first_channel(f, group);
        memcpy(
            f->after.weights + first * f->d, f->before.weights + first * f->d, f->m * f->d * sizeof(double));
        memcpy(f->after.bias + first, f->before.bias + first, f->m * sizeof(double));
        use_weights(f, group, &f->before);
        is = 0;
        TSL_TRY(measure(f, group, &is));
    }
    *before += was;
    *after += is;
    return TSLIM_OK;
}

// ---- Together ----

// The variance of the targets behind the bounds.
static double target_variance(const fit *f) {
    double total = 0;
    for (size_t c = 0; c < f->site->width; c++) {
        double sum = 0, squares = 0, n = (double)f->rows.n_rows;
        for (size_t r = 0; r < f->rows.n_rows; r++) {
            double y = clamp((double)f->rows.y[r * f->site->width + c], (double)f->lo, (double)f->hi);
            sum += y;
            squares += y * y;
        }
        total += fmax(0, squares - sum * sum / n);
    }
    return total;
}

static tslim_status fit_layer(fit *f, tslim_repair_layer *result) {
    f->d = f->site->depth;
    f->m = f->site->width / f->site->group;
    f->padded = tsl_round_up(f->rows.capacity, TSL_REPAIR_BLOCK);
    f->n_blocks = (f->rows.n_rows + TSL_REPAIR_BLOCK - 1) / TSL_REPAIR_BLOCK;
    double before = 0, after = 0, variance = target_variance(f);
    TSL_TRY(tsl_repair_read_weights(f->repair, f->site, &f->before));
    TSL_TRY(tsl_repair_read_weights(f->repair, f->site, &f->after));
    TSL_TRY(allocate(f));
    for (size_t group = 0; group < f->site->group; group++) TSL_TRY(fit_group(f, group, &before, &after));
    result->rows = f->rows.n_rows;
    result->error_before = variance > 0 ? before / variance : 0;
    result->error_after = variance > 0 ? after / variance : 0;
    return tsl_repair_write_weights(f->repair, f->site, &f->after, f->mean, f->deviation);
}

tslim_status tsl_repair_least_squares(
    tsl_repair *repair, tsl_repair_site *site, bool to_sum, tslim_repair_layer *result) {
    if (site->depth > repair->options->max_unknowns) {
        result->reason = "it has more weights in a channel than max_unknowns";
        return TSLIM_OK;
    }
    fit f = {.repair = repair,
        .site = site,
        .lo = to_sum ? site->sum_lo : site->lo,
        .hi = to_sum ? site->sum_hi : site->hi};
    TSL_TRY(tsl_repair_sample(repair, site, to_sum ? TSL_REPAIR_VIEW_SUM : TSL_REPAIR_VIEW_FIT, &f.rows));
    tsl_arena_init(&f.arena, repair->ctx);
    tslim_status status = fit_layer(&f, result);
    result->repaired = status == TSLIM_OK;
    tsl_repair_product_clear(&f.squares);
    tsl_repair_product_clear(&f.mixed);
    tsl_repair_product_clear(&f.predict);
    if (f.before.weights) tsl_free(repair->ctx, f.before.weights, f.before.bytes);
    if (f.after.weights) tsl_free(repair->ctx, f.after.weights, f.after.bytes);
    tsl_arena_clear(&f.arena);
    tsl_repair_rows_clear(&f.rows);
    return status;
}
