// SPDX-License-Identifier: Apache-2.0
// What the operators' prepare and run functions share: operands as numbers, quantized values, copies.
#ifndef TSL_CPU_OPERATOR_H
#define TSL_CPU_OPERATOR_H

#include <math.h>

#include "cpu/cpu.h"
#include "cpu/element.h"
#include "cpu/iterate.h"

// ---- Numbers ----

static inline bool tsl_is_quantized(const tsl_tensor *t) {
    return t->quant.scales && (t->dtype == TSLIM_DTYPE_INT8 || t->dtype == TSLIM_DTYPE_UINT8);
}
static inline float tsl_scale(const tsl_tensor *t) {
    return t->quant.scales[0];
}
// INT8 of one scale, with any zero point: what the quick kernels take.
static inline bool tsl_is_plain_int8(const tsl_tensor *t) {
    return t->dtype == TSLIM_DTYPE_INT8 && t->quant.scales && t->quant.n_scales == 1;
}
static inline double tsl_dequantized(const tsl_tensor *t, double q) {
    return (q - t->quant.zero_point) * (double)tsl_scale(t);
}
// rne(real / scale) + zero point, within the type. NaN as 0.
double tsl_quantized(const tsl_tensor *t, double real);

// The step's clamp, or open bounds.
void tsl_step_bounds(const tsl_step *step, float *lo, float *hi);
// The same as the numbers that an INT8 `y` stores for them, within -128..127.
void tsl_step_quantized_bounds(const tsl_step *step, const tsl_tensor *y, float *lo, float *hi);

// attribute `axis` (or its default) as 0..rank-1; INVALID_ARGUMENT.
tslim_status tsl_step_axis(const tsl_prepare *p, int64_t default_axis, uint32_t rank, uint32_t *axis);
// Row-major memory seen from one axis: element i of row (o, n) lies at (o * length + i) * inner + n.
typedef struct tsl_rows_along {
    int64_t outer, length, inner;
} tsl_rows_along;
tsl_rows_along tsl_along_axis(const tsl_tensor *t, uint32_t axis);
// The rows of Softmax and its like: before opset 13 all axes from `axis` on are one.
tslim_status tsl_softmax_rows(const tsl_prepare *p, const tsl_tensor *t, tsl_rows_along *rows);
// A 0-D or 1-D operand of integers. INVALID_ARGUMENT when there are more than `capacity`.
tslim_status tsl_read_ints(const tsl_tensor *tensor, int64_t *values, size_t capacity, size_t *count);
// The list of an attribute, or of operand `index` (which must then be constant, or UNSUPPORTED); *present
// tells whether there is one.
tslim_status tsl_step_ints(const tsl_prepare *p, tsl_attr_id attr, uint32_t index, int64_t *values,
    size_t capacity, size_t *count, bool *present);

// What a node's random numbers follow from: its attribute `seed`, or else its name.
uint64_t tsl_step_seed(const tsl_step *step);

// A zeroed state in the arena, which becomes kernel->state.
void *tsl_new_state(tsl_prepare *p, tsl_kernel *kernel, size_t bytes);
#define TSL_NEW_STATE(type, name)                                                                            \
    type *name = tsl_new_state(p, kernel, sizeof(type));                                                     \
    TSL_REQUIRE_MEMORY(name, sizeof(type))

// ---- Copies ----

// From `from` to `to`, of the same dims (or broadcast) and element size; any strides.
void tsl_copy(tslim_context *ctx, const tsl_tensor *from, const tsl_tensor *to);

// What to do with each byte on the way: NULL where both sides hold the same numbers, else a table that goes
// from one scale to the other. UNSUPPORTED when the types differ.
tslim_status tsl_move_prepare(
    tsl_prepare *p, const tsl_tensor *from, const tsl_tensor *to, const uint8_t **table);
void tsl_move(tslim_context *ctx, const uint8_t *table, const tsl_tensor *from, const tsl_tensor *to);

// The same where index i of result axis a comes from index map[a][i] of the source; map[a] NULL: from i.
void tsl_move_mapped(tslim_context *ctx, const uint8_t *table, const tsl_tensor *from, const tsl_tensor *to,
    const int64_t *const *map);

// 256 bytes: table[q] = quantized(f(dequantized(q))), q as an unsigned byte. f NULL is the identity.
typedef double (*tsl_real_function)(const void *user, double x);
tslim_status tsl_table_prepare(tsl_prepare *p, const tsl_tensor *from, const tsl_tensor *to,
    tsl_real_function f, const void *user, const uint8_t **table);

#endif
