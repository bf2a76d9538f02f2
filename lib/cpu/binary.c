// SPDX-License-Identifier: Apache-2.0
// Functions of two values, with broadcasting. Floats go through the dispatch table; so do sums and products
// of two INT8 tensors; other mixes of INT8 and float are computed in float; other types in double
// or int64.
#include <inttypes.h>
#include <string.h>

#include "cpu/binary.h"

// ---- Floats ----

// `count` floats side by side: where they are, or in `block`. A broadcast operand is one float.
static const float *gather(const uint8_t *data, ptrdiff_t stride, size_t count, float *block) {
    if (stride == (ptrdiff_t)sizeof(float) || stride == 0) return (const float *)(const void *)data;
    for (size_t i = 0; i < count; i++) memcpy(&block[i], data + (ptrdiff_t)i * stride, sizeof(float));
    return block;
}

static void run_floats(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    const tsl_binary *b = user;
    float blocks[3][TSL_BLOCK];
    bool direct =
        strides[0] == 4 && (strides[1] == 4 || strides[1] == 0) && (strides[2] == 4 || strides[2] == 0);
    size_t step = direct ? count : TSL_BLOCK;
    for (size_t first = 0; first < count; first += step) {
        size_t n = count - first < step ? count - first : step;
        ptrdiff_t at = (ptrdiff_t)first;
        uint8_t *to = data[0] + at * strides[0];
        tsl_binary_f32_args args = {.op = b->op,
            .n = n,
            .lo = b->lo,
            .hi = b->hi,
            .a = gather(data[1] + at * strides[1], strides[1], n, blocks[1]),
            .b = gather(data[2] + at * strides[2], strides[2], n, blocks[2]),
            .y = strides[0] == 4 ? (float *)(void *)to : blocks[0],
            .a_scalar = strides[1] == 0,
            .b_scalar = strides[2] == 0};
        b->functions->binary_f32(&args);
        if (strides[0] == 4) continue;
        for (size_t i = 0; i < n; i++) memcpy(to + (ptrdiff_t)i * strides[0], &blocks[0][i], sizeof(float));
    }
}

// The square of a float is exact in double: the product of floats is rounded alike.
static void run_squares(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    uint8_t *const operands[3] = {data[0], data[1], data[1]};
    run_floats(user, operands, (const ptrdiff_t[3]){strides[0], strides[1], strides[1]}, count);
}

// ---- INT8 ----

static tsl_binary_s8_args s8_args(const tsl_binary *b, uint8_t *const *data, size_t count) {
    return (tsl_binary_s8_args){.op = b->op,
        .n = count,
        .a_scale = b->a_scale,
        .b_scale = b->b_scale,
        .a_zero = b->a_zero,
        .b_zero = b->b_zero,
        .offset = b->offset,
        .lo = b->lo,
        .hi = b->hi,
        .a = (const int8_t *)data[1],
        .b = (const int8_t *)data[2],
        .y = (int8_t *)data[0]};
}

static void run_s8(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    const tsl_binary *b = user;
    if (strides[0] == 1 && (strides[1] & ~(ptrdiff_t)1) == 0 && (strides[2] & ~(ptrdiff_t)1) == 0) {
        tsl_binary_s8_args args = s8_args(b, data, count);
        args.a_scalar = strides[1] == 0;
        args.b_scalar = strides[2] == 0;
        b->functions->binary_s8(&args);
        return;
    }
    int8_t blocks[3][TSL_BLOCK];
    uint8_t *const places[] = {(uint8_t *)blocks[0], (uint8_t *)blocks[1], (uint8_t *)blocks[2]};
    tsl_binary_s8_args args = s8_args(b, places, 0);
    for (size_t first = 0; first < count; first += TSL_BLOCK) {
        args.n = count - first < TSL_BLOCK ? count - first : TSL_BLOCK;
        for (size_t i = 0; i < args.n; i++) {
            ptrdiff_t at = (ptrdiff_t)(first + i);
            blocks[1][i] = (int8_t)data[1][at * strides[1]];
            blocks[2][i] = (int8_t)data[2][at * strides[2]];
        }
        b->functions->binary_s8(&args);
        for (size_t i = 0; i < args.n; i++)
            data[0][(ptrdiff_t)(first + i) * strides[0]] = (uint8_t)blocks[0][i];
    }
}

// A block of a quantized or float operand as floats: the product of two floats, rounded once.
static void load_reals(const tsl_tensor *t, const uint8_t *data, ptrdiff_t stride, size_t n, float *block) {
    for (size_t i = 0; i < n; i++) {
        const uint8_t *p = data + (ptrdiff_t)i * stride;
        if (t->dtype == TSLIM_DTYPE_FLOAT) {
            memcpy(&block[i], p, sizeof(float));
            continue;
        }
        int32_t q = t->dtype == TSLIM_DTYPE_INT8 ? (int8_t)*p : *p;
        block[i] = (float)(q - t->quant.zero_point) * tsl_scale(t);
    }
}

static void store_reals(const tsl_tensor *t, uint8_t *data, ptrdiff_t stride, size_t n, const float *block) {
    for (size_t i = 0; i < n; i++) {
        uint8_t *p = data + (ptrdiff_t)i * stride;
        if (t->dtype == TSLIM_DTYPE_FLOAT)
            memcpy(p, &block[i], sizeof(float));
        else
            *p = (uint8_t)(int)tsl_quantized(t, (double)block[i]);
    }
}

static void run_mixed(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    const tsl_binary *b = user;
    float x[TSL_BLOCK], y[TSL_BLOCK];
    for (size_t first = 0; first < count; first += TSL_BLOCK) {
        size_t n = count - first < TSL_BLOCK ? count - first : TSL_BLOCK;
        ptrdiff_t at = (ptrdiff_t)first;
        load_reals(b->a, data[1] + at * strides[1], strides[1], n, x);
        load_reals(b->b, data[2] + at * strides[2], strides[2], n, y);
        tsl_binary_f32_args args = {.op = b->op, .a = x, .b = y, .y = x, .n = n, .lo = b->lo, .hi = b->hi};
        b->functions->binary_f32(&args);
        store_reals(b->y, data[0] + at * strides[0], strides[0], n, x);
    }
}

// ---- Doubles, and whatever else is real ----

static double real_value(tsl_op op, bool variant, double a, double b) {
    switch (op) {
    case TSL_OP_ADD:
    case TSL_OP_SUM:
    case TSL_OP_MEAN:
        return a + b;
    case TSL_OP_SUB:
        return a - b;
    case TSL_OP_MUL:
        return a * b;
    case TSL_OP_DIV:
        return a / b;
    case TSL_OP_POW:
        return pow(a, b);
    case TSL_OP_PRELU:
        return a < 0 ? a * b : a;
    case TSL_OP_MAX:
        return a > b || isnan(a) ? a : b;
    case TSL_OP_MIN:
        return a < b || isnan(a) ? a : b;
    case TSL_OP_MOD: {
        double rest = fmod(a, b);
        return !variant && rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
    }
    case TSL_OP_EQUAL:
        return a == b;
    case TSL_OP_GREATER:
        return a > b;
    case TSL_OP_LESS:
        return a < b;
    case TSL_OP_GREATER_OR_EQUAL:
        return a >= b;
    default:
        return a <= b; // LessOrEqual
    }
}

static void run_reals(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    const tsl_binary *b = user;
    double x[TSL_BLOCK], y[TSL_BLOCK];
    for (size_t first = 0; first < count; first += TSL_BLOCK) {
        size_t n = count - first < TSL_BLOCK ? count - first : TSL_BLOCK;
        ptrdiff_t at = (ptrdiff_t)first;
        tsl_load_doubles(b->a->dtype, data[1] + at * strides[1], strides[1], n, x);
        tsl_load_doubles(b->b->dtype, data[2] + at * strides[2], strides[2], n, y);
        for (size_t i = 0; i < n; i++) {
            double value = real_value(b->op, b->variant, x[i], y[i]);
            x[i] = value < (double)b->lo ? (double)b->lo : value > (double)b->hi ? (double)b->hi : value;
        }
        tsl_store_doubles(b->y->dtype, data[0] + at * strides[0], strides[0], n, x);
    }
}

// ---- Integers: sums and products wrap around ----

static uint64_t power(uint64_t base, int64_t exponent) {
    uint64_t result = 1;
    for (; exponent > 0; exponent >>= 1, base *= base)
        if (exponent & 1) result *= base;
    return result;
}

// For a negative exponent: the whole part of 1 / base^n.
static int64_t integer_power(int64_t a, int64_t b) {
    if (b >= 0) return (int64_t)power((uint64_t)a, b);
    return a == 1 ? 1 : a == -1 ? (b & 1 ? -1 : 1) : 0;
}

// b is not 0. Division is toward zero; -1 apart, because INT64_MIN / -1 does not fit.
static int64_t divide(int64_t a, int64_t b) {
    return b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
}

static int64_t modulo(int64_t a, int64_t b, bool truncated) {
    int64_t rest = b == -1 ? 0 : a % b;
    return !truncated && rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

// Bits that leave the type are lost: all of them, by 64 and more.
static int64_t shift(uint64_t a, uint64_t b, bool left) {
    return b >= 64 ? 0 : (int64_t)(left ? a << b : a >> b);
}

static int64_t integer_value(tsl_op op, bool variant, int64_t a, int64_t b) {
    switch (op) {
    case TSL_OP_ADD:
    case TSL_OP_SUM:
    case TSL_OP_MEAN:
        return (int64_t)((uint64_t)a + (uint64_t)b);
    case TSL_OP_SUB:
        return (int64_t)((uint64_t)a - (uint64_t)b);
    case TSL_OP_MUL:
        return (int64_t)((uint64_t)a * (uint64_t)b);
    case TSL_OP_DIV:
        return divide(a, b);
    case TSL_OP_MOD:
        return modulo(a, b, variant);
    case TSL_OP_POW:
        return integer_power(a, b);
    case TSL_OP_PRELU:
        return a < 0 ? (int64_t)((uint64_t)a * (uint64_t)b) : a;
    case TSL_OP_MAX:
        return a > b ? a : b;
    case TSL_OP_MIN:
        return a < b ? a : b;
    case TSL_OP_EQUAL:
        return a == b;
    case TSL_OP_GREATER:
        return a > b;
    case TSL_OP_LESS:
        return a < b;
    case TSL_OP_GREATER_OR_EQUAL:
        return a >= b;
    case TSL_OP_LESS_OR_EQUAL:
        return a <= b;
    case TSL_OP_AND:
        return a && b;
    case TSL_OP_OR:
        return a || b;
    case TSL_OP_BITWISE_AND:
        return a & b;
    case TSL_OP_BITWISE_OR:
        return a | b;
    case TSL_OP_BITWISE_XOR:
        return a ^ b;
    case TSL_OP_BIT_SHIFT:
        return shift((uint64_t)a, (uint64_t)b, variant);
    default:
        return !a != !b; // Xor
    }
}

static int64_t unsigned_value(tsl_op op, bool variant, uint64_t a, uint64_t b) {
    switch (op) {
    case TSL_OP_DIV:
        return (int64_t)(a / b);
    case TSL_OP_MOD:
        return (int64_t)(a % b);
    case TSL_OP_MAX:
        return (int64_t)(a > b ? a : b);
    case TSL_OP_MIN:
        return (int64_t)(a < b ? a : b);
    case TSL_OP_GREATER:
        return a > b;
    case TSL_OP_LESS:
        return a < b;
    case TSL_OP_GREATER_OR_EQUAL:
        return a >= b;
    case TSL_OP_LESS_OR_EQUAL:
        return a <= b;
    case TSL_OP_PRELU:
        return (int64_t)a;
    default:
        return integer_value(op, variant, (int64_t)a, (int64_t)b);
    }
}

static void run_integers(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    const tsl_binary *b = user;
    int64_t x[TSL_BLOCK], y[TSL_BLOCK];
    for (size_t first = 0; first < count; first += TSL_BLOCK) {
        size_t n = count - first < TSL_BLOCK ? count - first : TSL_BLOCK;
        ptrdiff_t at = (ptrdiff_t)first;
        tsl_load_ints(b->a->dtype, data[1] + at * strides[1], strides[1], n, x);
        tsl_load_ints(b->b->dtype, data[2] + at * strides[2], strides[2], n, y);
        if (b->a->dtype == TSLIM_DTYPE_UINT64)
            for (size_t i = 0; i < n; i++)
                x[i] = unsigned_value(b->op, b->variant, (uint64_t)x[i], (uint64_t)y[i]);
        else
            for (size_t i = 0; i < n; i++) x[i] = integer_value(b->op, b->variant, x[i], y[i]);
        tsl_store_ints(b->y->dtype, data[0] + at * strides[0], strides[0], n, x);
    }
}

static bool has_zero(const tsl_tensor *t) {
    int64_t index[TSLIM_MAX_RANK] = {0};
    int64_t elements = tsl_tensor_elements(t);
    ptrdiff_t size = (ptrdiff_t)tslim_dtype_size(t->dtype);
    for (int64_t i = 0; i < elements; i++) {
        ptrdiff_t offset = 0;
        for (uint32_t d = 0; d < t->rank; d++) offset += (ptrdiff_t)(index[d] * t->strides[d]);
        if (tsl_load_int(t->dtype, (const uint8_t *)t->data + offset * size) == 0) return true;
        for (uint32_t d = t->rank; d-- > 0;) {
            if (++index[d] < t->dims[d]) break;
            index[d] = 0;
        }
    }
    return false;
}

// ---- Which of these ----

static bool is_comparison(tsl_op op) {
    return op == TSL_OP_EQUAL || op == TSL_OP_GREATER || op == TSL_OP_LESS || op == TSL_OP_GREATER_OR_EQUAL ||
           op == TSL_OP_LESS_OR_EQUAL;
}

static bool is_logic(tsl_op op) {
    return op == TSL_OP_AND || op == TSL_OP_OR || op == TSL_OP_XOR;
}

static bool is_bitwise(tsl_op op) {
    return op == TSL_OP_BIT_SHIFT || op == TSL_OP_BITWISE_AND || op == TSL_OP_BITWISE_OR ||
           op == TSL_OP_BITWISE_XOR;
}

static bool is_vector(tsl_op op) {
    return op == TSL_OP_ADD || op == TSL_OP_SUB || op == TSL_OP_MUL || op == TSL_OP_DIV ||
           op == TSL_OP_PRELU || op == TSL_OP_MAX || op == TSL_OP_MIN;
}

static bool is_float_or_quantized(const tsl_tensor *t) {
    return t->dtype == TSLIM_DTYPE_FLOAT || (tsl_is_quantized(t) && t->quant.n_scales == 1);
}

static bool is_square(tsl_op op, const tsl_tensor *a, const tsl_tensor *b) {
    return op == TSL_OP_POW && a->dtype == TSLIM_DTYPE_FLOAT && b->dtype == TSLIM_DTYPE_FLOAT &&
           b->constant && tsl_tensor_elements(b) == 1 && *(const float *)b->data == 2.0f;
}

// The loop for INT8, with the multipliers computed in double and rounded once. A sum's zero points become one
// offset.
static void choose_s8(
    const tsl_step *step, const tsl_tensor *a, const tsl_tensor *b, const tsl_tensor *y, tsl_binary *binary) {
    double sa = (double)tsl_scale(a), sb = (double)tsl_scale(b), sy = (double)tsl_scale(y);
    binary->a_scale = (float)(binary->op == TSL_OP_MUL ? sa * sb / sy : sa / sy);
    binary->b_scale = (float)(binary->op == TSL_OP_SUB ? -(sb / sy) : sb / sy);
    double za = a->quant.zero_point, zb = b->quant.zero_point, zy = y->quant.zero_point;
    binary->a_zero = (float)za;
    binary->b_zero = (float)zb;
    if (binary->op != TSL_OP_MUL) zy -= za * (double)binary->a_scale + zb * (double)binary->b_scale;
    binary->offset = (float)zy;
    tsl_step_quantized_bounds(step, y, &binary->lo, &binary->hi);
    binary->loop = run_s8;
}

bool tsl_binary_choose(const tsl_prepare *p, tsl_op op, const tsl_tensor *a, const tsl_tensor *b,
    const tsl_tensor *y, tsl_binary *binary) {
    *binary = (tsl_binary){.op = op,
        .functions = p->functions,
        .variant = op == TSL_OP_BIT_SHIFT
                       ? strcmp(tsl_attrs_string(p->step->attrs, TSL_ATTR_direction, ""), "LEFT") == 0
                       : tsl_attrs_int(p->step->attrs, TSL_ATTR_fmod, 0) != 0};
    tsl_step_bounds(p->step, &binary->lo, &binary->hi);
    if (tsl_is_quantized(a) || tsl_is_quantized(b)) {
        if (!is_float_or_quantized(a) || !is_float_or_quantized(b) || !is_float_or_quantized(y) ||
            !is_vector(op))
            return false;
        binary->loop = run_mixed;
        bool plain = tsl_is_plain_int8(a) && tsl_is_plain_int8(b) && tsl_is_plain_int8(y);
        if (plain && (op == TSL_OP_ADD || op == TSL_OP_SUB || op == TSL_OP_MUL))
            choose_s8(p->step, a, b, y, binary);
        return true;
    }
    tslim_dtype result = is_comparison(op) || is_logic(op) ? TSLIM_DTYPE_BOOL : a->dtype;
    if (y->dtype != result || (a->dtype != b->dtype && op != TSL_OP_POW)) return false;
    if (is_logic(op) && a->dtype != TSLIM_DTYPE_BOOL) return false;
    if (a->dtype == TSLIM_DTYPE_FLOAT && is_vector(op)) {
        binary->loop = run_floats;
        return true;
    }
    if (is_square(op, a, b)) {
        binary->op = TSL_OP_MUL;
        binary->loop = run_squares;
        return true;
    }
    bool integers = tsl_element_is_integer(a->dtype) && tsl_element_is_integer(b->dtype);
    bool numbers = integers || (tsl_element_is_real(a->dtype) && tsl_element_is_real(b->dtype));
    if (op == TSL_OP_POW)
        numbers = (tsl_element_is_integer(a->dtype) || tsl_element_is_real(a->dtype)) &&
                  (tsl_element_is_integer(b->dtype) || tsl_element_is_real(b->dtype));
    if (!numbers || (is_bitwise(op) && !integers)) return false;
    binary->loop = integers ? run_integers : run_reals;
    return true;
}

// ---- Short rows ----
// Squeeze-and-excite multiplies the few channels of each pixel by the same numbers: a call for each pixel
// would take longer than the products. Where rows of the result lie side by side and one operand is the same
// in each of them, copies of that one are put side by side too, and several rows are one.

#define REPEATED 2048 // elements of copies

typedef struct repetition {
    const tsl_binary *binary;
    uint32_t operand;
    size_t row; // elements
} repetition;

static void run_repeated(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    const repetition *r = user;
    _Alignas(64) uint8_t copies[REPEATED * sizeof(double)];
    const size_t size = (size_t)strides[r->operand], total = count * size;
    size_t done = r->row * size;
    memcpy(copies, data[r->operand], done);
    for (size_t more; done < total; done += more) {
        more = total - done < done ? total - done : done;
        memcpy(copies + done, copies, more);
    }
    uint8_t *operands[3] = {data[0], data[1], data[2]};
    operands[r->operand] = copies;
    r->binary->loop(r->binary, operands, strides, count);
}

// Makes several rows of the iteration one, and of those that are left over `rest`; false where it is not so.
static bool repeat_rows(tsl_iteration *it, tsl_iteration *rest, repetition *r) {
    if (it->rank < 2) return false;
    const uint32_t last = it->rank - 1, outer = it->rank - 2;
    const int64_t row = it->dims[last], rows = it->dims[outer];
    if (row == 0 || rows < 2 || row > REPEATED / 2) return false;
    r->operand = it->strides[1][outer] == 0 ? 1 : 2;
    r->row = (size_t)row;
    for (uint32_t k = 0; k < 3; k++) {
        ptrdiff_t size = it->strides[k][last], wanted = k == r->operand ? 0 : (ptrdiff_t)row * size;
        if (size <= 0 || size > (ptrdiff_t)sizeof(double) || it->strides[k][outer] != wanted) return false;
    }
    const int64_t together = REPEATED / row < rows ? REPEATED / row : rows, calls = rows / together;
    *rest = *it;
    it->dims[outer] = calls;
    it->dims[last] = together * row;
    rest->dims[outer] = 1;
    rest->dims[last] = rows % together * row;
    for (uint32_t k = 0; k < 3; k++) {
        if (k == r->operand) continue;
        it->strides[k][outer] = (ptrdiff_t)it->dims[last] * it->strides[k][last];
        rest->data[k] += (ptrdiff_t)calls * it->strides[k][outer];
    }
    return true;
}

// Slices of pixels have gaps between their channels: their rows go to the dispatch table's function at once.
#define MOST_ROW 1024

static void run_rows(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    const repetition *r = user;
    const tsl_binary *b = r->binary;
    const tsl_operand_rows rows = {.count = count, .y = strides[0], .a = strides[1], .b = strides[2]};
    if (count == 0) return;
    if (b->loop == run_s8) {
        tsl_binary_s8_args args = s8_args(b, data, r->row);
        args.rows = rows;
        b->functions->binary_s8(&args);
    } else {
        tsl_binary_f32_args args = {.op = b->op,
            .n = r->row,
            .rows = rows,
            .lo = b->lo,
            .hi = b->hi,
            .a = (const float *)(const void *)data[1],
            .b = (const float *)(const void *)data[2],
            .y = (float *)(void *)data[0]};
        b->functions->binary_f32(&args);
    }
}

static bool take_rows(tsl_iteration *it, const tsl_binary *binary, repetition *r) {
    const size_t size = binary->loop == run_s8 ? 1 : sizeof(float), sizes[] = {size, size, size};
    if (binary->loop != run_s8 && binary->loop != run_floats) return false;
    if (!tsl_iteration_take_row(it, sizes, MOST_ROW)) return false;
    r->row = (size_t)it->block;
    return true;
}

tslim_status tsl_binary_run(tslim_context *ctx, const tsl_binary *binary, const tsl_tensor *a,
    const tsl_tensor *b, const tsl_tensor *y) {
    tsl_binary now = *binary;
    now.a = a;
    now.b = b;
    now.y = y;
    if (now.loop == run_integers && (now.op == TSL_OP_DIV || now.op == TSL_OP_MOD))
        TSL_REQUIRE(!has_zero(b), TSLIM_ERROR_INVALID_ARGUMENT, "an integer is divided by zero");
    tsl_iteration it;
    const tsl_tensor *operands[] = {y, a, b};
    tsl_iteration_init(&it, operands, 3);
    tsl_iteration rest;
    repetition r = {.binary = &now};
    if (repeat_rows(&it, &rest, &r)) {
        tsl_iterate(ctx, &it, run_repeated, &r);
        tsl_iterate(ctx, &rest, run_repeated, &r);
    } else if (take_rows(&it, &now, &r)) {
        tsl_iterate(ctx, &it, run_rows, &r);
    } else {
        tsl_iterate(ctx, &it, now.loop, &now);
    }
    return TSLIM_OK;
}

static tslim_status run_binary(const tsl_run *run) {
    return tsl_binary_run(run->ctx, run->kernel->state, &run->inputs[0], &run->inputs[1], &run->outputs[0]);
}

tslim_status tsl_cpu_prepare_binary(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    TSL_NEW_STATE(tsl_binary, state);
    kernel->run = run_binary;
    kernel->name = "binary";
    bool found = tsl_binary_choose(p, step->op, &step->inputs[0], &step->inputs[1], &step->outputs[0], state);
    return found ? TSLIM_OK : tsl_cpu_unsupported(p);
}
