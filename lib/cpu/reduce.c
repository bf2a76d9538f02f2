// SPDX-License-Identifier: Apache-2.0
// Reductions over any set of axes, of any layout. Sums of reals are in double; integers are exact in int64
// (mean divides toward zero); quantized tensors are reduced as reals.
//
// The axes that stay are walked outside, the reduced ones inside. Where a kept axis is the contiguous one, a
// block of results is accumulated side by side; else one result runs along the contiguous reduced axis.
#include <inttypes.h>

#include "base/checked.h"
#include "cpu/operator.h"

typedef struct reduce_state {
    const tsl_cpu_functions *functions;
    tsl_op op;
    uint32_t mask; // reduced axes
    bool integers;
    bool flips; // the largest or smallest of uint64, which order as int64 with the first bit turned over
} reduce_state;

typedef struct axis_list {
    uint32_t count;
    int64_t dims[TSLIM_MAX_RANK];
    ptrdiff_t in[TSLIM_MAX_RANK], out[TSLIM_MAX_RANK]; // bytes
    int64_t total;
} axis_list;

typedef struct reduce_task {
    const reduce_state *s;
    const tsl_tensor *x, *y;
    axis_list kept, reduced; // ordered by stride in the source, the smallest last
    int64_t blocks; // of the last kept axis
} reduce_task;

// ---- Accumulation ----

static double accumulate(tsl_op op, double sum, double x) {
    switch (op) {
    case TSL_OP_REDUCE_MAX:
        return x > sum || isnan(x) ? x : sum;
    case TSL_OP_REDUCE_MIN:
        return x < sum || isnan(x) ? x : sum;
    case TSL_OP_REDUCE_PROD:
        return sum * x;
    case TSL_OP_REDUCE_L1:
        return sum + fabs(x);
    case TSL_OP_REDUCE_L2:
    case TSL_OP_REDUCE_SUM_SQUARE:
        return sum + x * x;
    default:
        return sum + x;
    }
}

static int64_t accumulate_integer(tsl_op op, int64_t sum, int64_t x) {
    uint64_t a = (uint64_t)sum, b = (uint64_t)x;
    switch (op) {
    case TSL_OP_REDUCE_MAX:
        return x > sum ? x : sum;
    case TSL_OP_REDUCE_MIN:
        return x < sum ? x : sum;
    case TSL_OP_REDUCE_PROD:
        return (int64_t)(a * b);
    case TSL_OP_REDUCE_L1:
        return (int64_t)(a + (x < 0 ? 0 - b : b));
    case TSL_OP_REDUCE_SUM_SQUARE:
        return (int64_t)(a + b * b);
    default:
        return (int64_t)(a + b);
    }
}

static double start_value(tsl_op op) {
    return op == TSL_OP_REDUCE_MAX   ? -INFINITY
           : op == TSL_OP_REDUCE_MIN ? INFINITY
                                     : op == TSL_OP_REDUCE_PROD;
}

static int64_t start_integer(tsl_op op) {
    return op == TSL_OP_REDUCE_MAX   ? INT64_MIN
           : op == TSL_OP_REDUCE_MIN ? INT64_MAX
                                     : op == TSL_OP_REDUCE_PROD;
}

static double finish(tsl_op op, double sum, int64_t count) {
    switch (op) {
    case TSL_OP_REDUCE_MEAN:
        return sum / (double)count;
    case TSL_OP_REDUCE_L2:
        return sqrt(sum);
    case TSL_OP_REDUCE_LOG_SUM:
        return log(sum);
    default:
        return sum;
    }
}

// ---- Walking ----

static ptrdiff_t offset_of(const axis_list *a, uint32_t count, int64_t position, const ptrdiff_t *strides) {
    ptrdiff_t offset = 0;
    for (uint32_t d = count; d-- > 0;) {
        offset += (ptrdiff_t)(position % a->dims[d]) * strides[d];
        position /= a->dims[d];
    }
    return offset;
}

// A union of the two kinds of numbers, of one block.
typedef struct numbers {
    double real[TSL_BLOCK];
    int64_t integer[TSL_BLOCK];
} numbers;

// n floats side by side into n results, or all into one: the loops that a compiler makes vectors of.
#define EACH(expression)                                                                                     \
    for (size_t i = 0; i < n; i++) {                                                                         \
        const double value = (double)x[i];                                                                   \
        sum[i] = expression;                                                                                 \
    }                                                                                                        \
    return

static void reduce_floats(tsl_op op, const float *x, size_t n, double *sum) {
    switch (op) {
    case TSL_OP_REDUCE_SUM:
    case TSL_OP_REDUCE_MEAN:
    case TSL_OP_REDUCE_LOG_SUM:
        EACH(sum[i] + value);
    case TSL_OP_REDUCE_L2:
    case TSL_OP_REDUCE_SUM_SQUARE:
        EACH(sum[i] + value * value);
    case TSL_OP_REDUCE_L1:
        EACH(sum[i] + fabs(value));
    default:
        EACH(accumulate(op, sum[i], value));
    }
}

// True when it was a sum of floats that lie side by side.
static bool sum_floats(const reduce_task *t, tsl_op op, const float *x, size_t n, double *sum) {
    double part;
    tsl_sum_f32_args args = {.x = x, .n = n, .total = &part};
    switch (op) {
    case TSL_OP_REDUCE_SUM:
    case TSL_OP_REDUCE_MEAN:
    case TSL_OP_REDUCE_LOG_SUM:
        break;
    case TSL_OP_REDUCE_L2:
    case TSL_OP_REDUCE_SUM_SQUARE:
        args.squares = true;
        break;
    default:
        return false;
    }
    t->s->functions->sum_f32(&args);
    *sum += part;
    return true;
}

static void flip(int64_t *values, size_t n) {
    for (size_t i = 0; i < n; i++) values[i] = (int64_t)((uint64_t)values[i] ^ UINT64_C(1) << 63);
}

static void load(const reduce_task *t, const uint8_t *from, ptrdiff_t stride, size_t n, numbers *x) {
    if (t->s->integers) {
        tsl_load_ints(t->x->dtype, from, stride, n, x->integer);
        if (t->s->flips) flip(x->integer, n);
        return;
    }
    tsl_load_doubles(t->x->dtype, from, stride, n, x->real);
    if (!tsl_is_quantized(t->x)) return;
    for (size_t i = 0; i < n; i++) x->real[i] = tsl_dequantized(t->x, x->real[i]);
}

// `shift` (or NULL): exp(x - shift) is reduced in place of x.
static void reduce_block(
    const reduce_task *t, tsl_op op, const uint8_t *from, size_t n, const double *shift, numbers *sum) {
    const axis_list *k = &t->kept, *r = &t->reduced;
    ptrdiff_t kept_stride = k->count ? k->in[k->count - 1] : 0;
    numbers x;
    for (size_t i = 0; i < n; i++) {
        sum->real[i] = start_value(op);
        sum->integer[i] = start_integer(op);
    }
    // One result runs along the last reduced axis in blocks; several go one element at a time, together.
    uint32_t outer = n == 1 && r->count ? r->count - 1 : r->count;
    int64_t length = n == 1 && r->count ? r->dims[outer] : 1;
    ptrdiff_t stride = n == 1 && r->count ? r->in[outer] : kept_stride;
    int64_t outer_total = length ? r->total / length : 0;
    bool dense = t->x->dtype == TSLIM_DTYPE_FLOAT && !shift && stride == (ptrdiff_t)sizeof(float);
    for (int64_t position = 0; position < outer_total; position++) {
        const uint8_t *row = from + offset_of(r, outer, position, r->in);
        const float *floats = (const float *)(const void *)row;
        if (dense && n > 1) {
            reduce_floats(op, floats, n, sum->real);
            continue;
        }
        if (dense && sum_floats(t, op, floats, (size_t)length, sum->real)) continue;
        for (int64_t first = 0; first < length; first += TSL_BLOCK) {
            size_t loaded = n > 1 ? n : (size_t)tsl_min_i64(length - first, TSL_BLOCK);
            load(t, row + (ptrdiff_t)first * stride, stride, loaded, &x);
            for (size_t i = 0; i < loaded; i++) {
                size_t to = n > 1 ? i : 0;
                if (t->s->integers)
                    sum->integer[to] = accumulate_integer(op, sum->integer[to], x.integer[i]);
                else
                    sum->real[to] =
                        accumulate(op, sum->real[to], shift ? exp(x.real[i] - shift[to]) : x.real[i]);
            }
        }
    }
}

// log(sum(exp(x))) = m + log(sum(exp(x - m))), m the largest, which cannot overflow.
static void reduce_log_sum_exp(const reduce_task *t, const uint8_t *from, size_t n, numbers *sum) {
    numbers largest;
    reduce_block(t, TSL_OP_REDUCE_MAX, from, n, NULL, &largest);
    for (size_t i = 0; i < n; i++)
        if (isinf(largest.real[i])) largest.real[i] = 0;
    reduce_block(t, TSL_OP_REDUCE_SUM, from, n, largest.real, sum);
    for (size_t i = 0; i < n; i++) sum->real[i] = largest.real[i] + log(sum->real[i]);
}

static int64_t mean(const reduce_task *t, int64_t sum) {
    if (t->x->dtype != TSLIM_DTYPE_UINT64) return sum / t->reduced.total;
    return (int64_t)((uint64_t)sum / (uint64_t)t->reduced.total);
}

static void store(const reduce_task *t, uint8_t *to, ptrdiff_t stride, size_t n, numbers *sum) {
    tsl_op op = t->s->op;
    for (size_t i = 0; i < n; i++) {
        if (t->s->integers)
            sum->integer[i] = op == TSL_OP_REDUCE_MEAN ? mean(t, sum->integer[i]) : sum->integer[i];
        else
            sum->real[i] = finish(op, sum->real[i], t->reduced.total);
        if (tsl_is_quantized(t->y)) sum->real[i] = tsl_quantized(t->y, sum->real[i]);
    }
    if (t->s->flips) flip(sum->integer, n);
    if (t->s->integers)
        tsl_store_ints(t->y->dtype, to, stride, n, sum->integer);
    else
        tsl_store_doubles(t->y->dtype, to, stride, n, sum->real);
}

// Item i is a block of the last kept axis.
static void run_items(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const reduce_task *t = task_data;
    const axis_list *k = &t->kept;
    uint32_t last = k->count ? k->count - 1 : 0;
    int64_t length = k->count ? k->dims[last] : 1;
    int64_t per_block = t->blocks == length ? 1 : TSL_BLOCK;
    ptrdiff_t in = k->count ? k->in[last] : 0, out = k->count ? k->out[last] : 0;
    for (size_t item = begin; item < end; item++) {
        int64_t outer = (int64_t)item / t->blocks, first = (int64_t)item % t->blocks * per_block;
        size_t n = (size_t)tsl_min_i64(length - first, per_block);
        const uint8_t *from =
            (const uint8_t *)t->x->data + offset_of(k, last, outer, k->in) + (ptrdiff_t)first * in;
        uint8_t *to = (uint8_t *)t->y->data + offset_of(k, last, outer, k->out) + (ptrdiff_t)first * out;
        numbers sum;
        if (t->s->op == TSL_OP_REDUCE_LOG_SUM_EXP)
            reduce_log_sum_exp(t, from, n, &sum);
        else
            reduce_block(t, t->s->op, from, n, NULL, &sum);
        store(t, to, out, n, &sum);
    }
}

static void add_axis(axis_list *a, int64_t dim, ptrdiff_t in, ptrdiff_t out) {
    uint32_t i = a->count++;
    for (; i > 0 && a->in[i - 1] < in; i--) {
        a->dims[i] = a->dims[i - 1];
        a->in[i] = a->in[i - 1];
        a->out[i] = a->out[i - 1];
    }
    a->dims[i] = dim;
    a->in[i] = in;
    a->out[i] = out;
    a->total *= dim;
}

static tslim_status run_reduce(const tsl_run *run) {
    const reduce_state *s = run->kernel->state;
    const tsl_tensor *x = &run->inputs[0], *y = &run->outputs[0];
    reduce_task t = {.s = s, .x = x, .y = y, .kept = {.total = 1}, .reduced = {.total = 1}};
    const ptrdiff_t in_size = (ptrdiff_t)tslim_dtype_size(x->dtype);
    const ptrdiff_t out_size = (ptrdiff_t)tslim_dtype_size(y->dtype);
    uint32_t out_axis = 0;
    for (uint32_t i = 0; i < x->rank; i++) {
        bool reduced = s->mask >> i & 1;
        bool in_result = !reduced || y->rank == x->rank;
        ptrdiff_t out = in_result ? (ptrdiff_t)y->strides[out_axis] * out_size : 0;
        out_axis += in_result;
        if (x->dims[i] != 1)
            add_axis(reduced ? &t.reduced : &t.kept, x->dims[i], (ptrdiff_t)x->strides[i] * in_size, out);
    }
    if (t.kept.total == 0) return TSLIM_OK;
    TSL_REQUIRE(t.reduced.total > 0 || !s->integers || s->op != TSL_OP_REDUCE_MEAN,
        TSLIM_ERROR_INVALID_ARGUMENT, "the mean of no integers");
    // Side by side where a kept axis is at least as close as any reduced one.
    const axis_list *k = &t.kept, *r = &t.reduced;
    bool together = k->count && (!r->count || k->in[k->count - 1] <= r->in[r->count - 1]);
    int64_t length = k->count ? k->dims[k->count - 1] : 1;
    t.blocks = together ? (length + TSL_BLOCK - 1) / TSL_BLOCK : length;
    size_t items = (size_t)(k->total / length * t.blocks);
    int64_t work = r->total * (together ? tsl_min_i64(length, TSL_BLOCK) : 1);
    tsl_parallel_for(run->ctx, items, (size_t)(16384 / (work + 1) + 1), run_items, &t);
    return TSLIM_OK;
}

// The result has the dims that are not reduced, and 1 or nothing for each that is.
static tslim_status check_result(const tsl_step *step, uint32_t mask) {
    const tsl_tensor *x = &step->inputs[0], *y = &step->outputs[0];
    uint32_t d = 0;
    bool fits = true;
    for (uint32_t i = 0; i < x->rank; i++) {
        bool reduced = mask >> i & 1;
        if (reduced && y->rank != x->rank) continue;
        fits = fits && d < y->rank && y->dims[d] == (reduced ? 1 : x->dims[i]);
        d++;
    }
    TSL_REQUIRE(fits && d == y->rank, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': the result has other dims than are left", step->name);
    return TSLIM_OK;
}

static bool has_integers(tsl_op op) {
    return op != TSL_OP_REDUCE_L2 && op != TSL_OP_REDUCE_LOG_SUM && op != TSL_OP_REDUCE_LOG_SUM_EXP;
}

tslim_status tsl_cpu_prepare_reduce(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0], *y = &step->outputs[0];
    TSL_NEW_STATE(reduce_state, s);
    s->functions = p->functions;
    s->op = step->op;
    const bool whole = tsl_element_is_integer(x->dtype) && !tsl_is_quantized(x);
    const bool is_u64 = x->dtype == TSLIM_DTYPE_UINT64;
    s->integers = whole && has_integers(s->op); // roots and logarithms go by real numbers
    s->flips = is_u64 && (s->op == TSL_OP_REDUCE_MAX || s->op == TSL_OP_REDUCE_MIN);
    if (is_u64 && s->op == TSL_OP_REDUCE_L1) s->op = TSL_OP_REDUCE_SUM; // nothing is below 0
    kernel->run = run_reduce;
    kernel->name = "reduce";
    int64_t axes[TSLIM_MAX_RANK];
    size_t count;
    bool present;
    TSL_TRY(tsl_step_ints(p, TSL_ATTR_axes, 1, axes, TSLIM_MAX_RANK, &count, &present));
    for (size_t i = 0; i < count; i++) {
        TSL_REQUIRE(axes[i] >= -(int64_t)x->rank && axes[i] < (int64_t)x->rank, TSLIM_ERROR_INVALID_ARGUMENT,
            "node '%s': axis %" PRId64 " of a tensor of rank %u", step->name, axes[i], x->rank);
        s->mask |= 1u << (axes[i] < 0 ? axes[i] + x->rank : axes[i]);
    }
    if (count == 0 && tsl_attrs_int(step->attrs, TSL_ATTR_noop_with_empty_axes, 0) == 0)
        s->mask = (1u << x->rank) - 1;
    TSL_TRY(check_result(step, s->mask));
    bool quantized = tsl_is_quantized(x) && x->quant.n_scales == 1;
    bool types = quantized ? y->dtype == TSLIM_DTYPE_FLOAT || tsl_is_quantized(y) : y->dtype == x->dtype;
    bool known = tsl_element_is_real(x->dtype) || quantized || whole;
    return types && known && !step->epilogue.clamp ? TSLIM_OK : tsl_cpu_unsupported(p);
}
