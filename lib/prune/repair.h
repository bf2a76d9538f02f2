// SPDX-License-Identifier: Apache-2.0
// The inside of repair: layers, rows of numbers that go in and should come out of them, and fits.
#ifndef TSL_PRUNE_REPAIR_H
#define TSL_PRUNE_REPAIR_H

#include <tinyslim/repair.h>

#include "evaluate/runner.h"
#include "ir/window.h"
#include "prune/plan.h"

// A layer with what follows it, up to where its result is compared with the original's.
typedef struct tsl_repair_site {
    uint32_t node;
    const char *skip; // why it cannot be repaired, or NULL
    uint32_t input, own; // values: what it reads; what it makes, bias and BatchNormalization included
    uint32_t batch_norm; // node, or TSL_NONE
    uint32_t bias_node, bias_slot; // where the bias is read; bias_node TSL_NONE: there is no place for one
    uint32_t sum, other; // of a residual Add that reads `own`: its result, and what it adds; or TSL_NONE
    float lo, hi; // bounds of a Relu or Clip behind the last of these
    float sum_lo, sum_hi;
    uint32_t group, depth, width; // groups; weights of one output channel; output channels of all groups
    bool done;
} tsl_repair_site;

// LAPACK's Cholesky factorization of a symmetric matrix, in place; its lower half by columns.
typedef struct tsl_cholesky {
    void *library;
    int32_t (*factorize)(int layout, char half, int32_t n, double *a, int32_t lda);
    int32_t (*solve)(int layout, char half, int32_t n, int32_t n_right, const double *a, int32_t lda,
        double *b, int32_t ldb);
} tsl_cholesky;
// UNAVAILABLE where LAPACK is not installed.
tslim_status tsl_cholesky_open(tsl_cholesky *cholesky);
void tsl_cholesky_close(tsl_cholesky *cholesky);
// False when the matrix is not positive definite to rounding.
bool tsl_cholesky_factorize(const tsl_cholesky *cholesky, size_t n, double *matrix);
// `right`: n_right columns of n, which become the solutions.
bool tsl_cholesky_solve(
    const tsl_cholesky *cholesky, size_t n, const double *factors, size_t n_right, double *right);

// All that a repair needs.
typedef struct tsl_repair {
    tslim_context *ctx;
    tsl_arena arena;
    tslim_graph *graph; // being repaired
    const tslim_graph *teacher;
    tslim_dataset *dataset;
    const tslim_repair_options *options;
    tsl_atoms *atoms; // of the teacher
    tslim_channel_groups *groups;
    tsl_cholesky cholesky;
    uint8_t *removed; // by root of the teacher's atoms
    tsl_repair_site *sites;
    uint32_t n_sites;
    uint32_t *site_of; // of each node; TSL_NONE
} tsl_repair;

// ---- repair_match.c ----

// Follows the teacher's channels, at the shapes of the samples; none is gone.
tslim_status tsl_repair_find_channels(tsl_repair *repair);
// Which of the teacher's atoms are gone: by the plan, or by looking for the teacher's filters.
tslim_status tsl_repair_match(tsl_repair *repair);
// The teacher's channels that are left of a value, in order. INVALID_ARGUMENT where the teacher has no value
// of this name, or where their number is not `width`.
tslim_status tsl_repair_kept(
    tsl_repair *repair, const char *node, const char *value, bool last_axis, uint32_t width, uint32_t **kept);

// ---- repair_layer.c ----

tslim_status tsl_repair_find_sites(tsl_repair *repair);
// The weights of a layer as one linear map from patches to `own`: weights[width][depth], bias[width], with
// BatchNormalization multiplied in. One allocation.
typedef struct tsl_repair_weights {
    double *weights, *bias;
    size_t bytes;
} tsl_repair_weights;
tslim_status tsl_repair_read_weights(
    const tsl_repair *repair, const tsl_repair_site *site, tsl_repair_weights *weights);
// Writes a map back. `mean` and `deviation` are those of `own` on the samples: a BatchNormalization gets
// them.
tslim_status tsl_repair_write_weights(tsl_repair *repair, const tsl_repair_site *site,
    const tsl_repair_weights *weights, const double *mean, const double *deviation);

// ---- repair_rows.c ----

// Sampled output pixels. Memory behind n_rows, up to a multiple of TSL_REPAIR_BLOCK, is zero.
#define TSL_REPAIR_BLOCK 512
typedef struct tsl_repair_rows {
    tslim_context *ctx;
    size_t n_rows, capacity;
    float *x; // [group][capacity][depth]: patches; NULL where none are wanted
    float *y; // [capacity][width]: what the original makes of them
    float *added; // [capacity][width]: the other operand of the Add, or `own` itself; NULL
    size_t x_bytes, y_bytes, added_bytes;
} tsl_repair_rows;
typedef enum tsl_repair_view {
    TSL_REPAIR_VIEW_OWN, // y: of `own`; added: the student's `own`; no x
    TSL_REPAIR_VIEW_FIT, // y: of `own`; x
    TSL_REPAIR_VIEW_SUM // y: of `sum`; added: `other`; x
} tsl_repair_view;
tslim_status tsl_repair_sample(
    tsl_repair *repair, const tsl_repair_site *site, tsl_repair_view view, tsl_repair_rows *rows);
void tsl_repair_rows_clear(tsl_repair_rows *rows);

// ---- repair_product.c ----

// Matrix products of fixed size by the library's own kernels: c[m][n] = a[m][k] b[k][n].
typedef struct tsl_repair_product {
    tslim_session *session;
    tslim_tensor inputs[2];
} tsl_repair_product;
tslim_status tsl_repair_product_init(
    tsl_repair_product *product, tslim_context *ctx, int64_t m, int64_t k, int64_t n);
tslim_status tsl_repair_product_run(
    tsl_repair_product *product, const float *a, const float *b, const float **c);
void tsl_repair_product_clear(tsl_repair_product *product);

// ---- repair_statistics.c, repair_fit.c ----

typedef struct tsl_repair_moments {
    double *mean, *deviation; // of each channel; one allocation
    size_t bytes;
} tsl_repair_moments;
tslim_status tsl_repair_measure(
    tslim_context *ctx, const float *rows, size_t n_rows, size_t width, tsl_repair_moments *moments);
// The covariance of the patches of one group of channels: [depth][depth]. Takes their mean away from the
// rows.
tslim_status tsl_repair_covariance(
    tsl_repair *repair, const tsl_repair_site *site, size_t group, tsl_repair_rows *rows, double *covariance);

tslim_status tsl_repair_statistics(tsl_repair *repair, tsl_repair_site *site, tslim_repair_layer *result);
tslim_status tsl_repair_least_squares(
    tsl_repair *repair, tsl_repair_site *site, bool to_sum, tslim_repair_layer *result);

#endif
