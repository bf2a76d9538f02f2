// SPDX-License-Identifier: Apache-2.0
// Einsum. A product of two float operands is MatMul's kernel, between copies that bring batch, row, column
// and summed labels together where they are not so already. Anything else is a loop over all labels, in
// double or int64.
#include <string.h>

#include "cpu/einsum.h"
#include "ir/einsum.h"

typedef struct einsum_state {
    bool integers;
    uint32_t n_operands, n_out, n_sum; // loops: labels of the result, then those that are summed over
    int64_t dims[TSL_EINSUM_LABELS];
    int64_t strides[TSL_EINSUM_OPERANDS][TSL_EINSUM_LABELS]; // in elements, of each loop
    int64_t out_strides[TSL_EINSUM_LABELS];
    tsl_einsum_product *product; // or NULL
} einsum_state;

// ---- The loop over all labels ----

typedef struct einsum_task {
    const einsum_state *s;
    const tsl_tensor *x, *y;
} einsum_task;

typedef union numbers {
    double real[TSL_BLOCK];
    int64_t integer[TSL_BLOCK];
} numbers;

// The products of n elements of each operand, which lie `strides` of loop `along` apart from `offsets` on.
static void multiply(
    const einsum_task *t, const int64_t *offsets, uint32_t along, size_t n, numbers *result) {
    const einsum_state *s = t->s;
    numbers x;
    for (uint32_t k = 0; k < s->n_operands; k++) {
        numbers *to = k == 0 ? result : &x;
        const ptrdiff_t size = (ptrdiff_t)tslim_dtype_size(t->x[k].dtype);
        const uint8_t *from = (const uint8_t *)t->x[k].data + (ptrdiff_t)offsets[k] * size;
        const ptrdiff_t stride = (ptrdiff_t)s->strides[k][along] * size;
        if (s->integers)
            tsl_load_ints(t->x[k].dtype, from, stride, n, to->integer);
        else
            tsl_load_doubles(t->x[k].dtype, from, stride, n, to->real);
        for (size_t i = 0; k > 0 && i < n; i++) {
            if (s->integers)
                result->integer[i] = (int64_t)((uint64_t)result->integer[i] * (uint64_t)x.integer[i]);
            else
                result->real[i] *= x.real[i];
        }
    }
}

// Adds up the whole of the last loop from these offsets on.
static void add_row(const einsum_task *t, const int64_t *offsets, double *real, uint64_t *integer) {
    const einsum_state *s = t->s;
    const uint32_t last = s->n_out + s->n_sum - 1;
    int64_t at[TSL_EINSUM_OPERANDS];
    for (int64_t first = 0; first < s->dims[last]; first += TSL_BLOCK) {
        size_t n = s->dims[last] - first < TSL_BLOCK ? (size_t)(s->dims[last] - first) : TSL_BLOCK;
        numbers block;
        for (uint32_t k = 0; k < s->n_operands; k++) at[k] = offsets[k] + first * s->strides[k][last];
        multiply(t, at, last, n, &block);
        for (size_t i = 0; i < n; i++) {
            if (s->integers)
                *integer += (uint64_t)block.integer[i];
            else
                *real += block.real[i];
        }
    }
}

// One element of the result: the sum over all loops from n_out on.
static void sum_element(const einsum_task *t, int64_t *offsets, double *real, uint64_t *integer) {
    const einsum_state *s = t->s;
    const uint32_t last = s->n_out + s->n_sum - 1;
    int64_t index[TSL_EINSUM_LABELS] = {0};
    for (;;) {
        add_row(t, offsets, real, integer);
        uint32_t d = last;
        for (; d-- > s->n_out;) {
            bool carry = ++index[d] == s->dims[d];
            if (carry) index[d] = 0;
            for (uint32_t k = 0; k < s->n_operands; k++)
                offsets[k] += s->strides[k][d] * (carry ? 1 - s->dims[d] : 1);
            if (!carry) break;
        }
        if (d + 1 == s->n_out || last == s->n_out) return;
    }
}

static void run_elements(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const einsum_task *t = task_data;
    const einsum_state *s = t->s;
    const size_t size = tslim_dtype_size(t->y->dtype);
    for (size_t item = begin; item < end; item++) {
        int64_t rest = (int64_t)item, to = 0, offsets[TSL_EINSUM_OPERANDS] = {0};
        for (uint32_t d = s->n_out; d-- > 0;) {
            int64_t index = rest % s->dims[d];
            rest /= s->dims[d];
            to += index * s->out_strides[d];
            for (uint32_t k = 0; k < s->n_operands; k++) offsets[k] += index * s->strides[k][d];
        }
        double real = 0;
        uint64_t integer = 0;
        sum_element(t, offsets, &real, &integer);
        uint8_t *y = (uint8_t *)t->y->data + (size_t)to * size;
        if (s->integers)
            tsl_store_ints(t->y->dtype, y, 0, 1, (const int64_t *)&integer);
        else
            tsl_store_doubles(t->y->dtype, y, 0, 1, &real);
    }
}

static tslim_status run_einsum(const tsl_run *run) {
    const einsum_state *s = run->kernel->state;
    einsum_task t = {s, run->inputs, &run->outputs[0]};
    const int64_t elements = tsl_tensor_elements(t.y);
    if (elements == 0) return TSLIM_OK;
    if (s->product) return tsl_einsum_product_run(s->product, run);
    int64_t work = 1;
    for (uint32_t d = s->n_out; d < s->n_out + s->n_sum; d++) {
        if (s->dims[d] == 0) { // sums of nothing
            memset(t.y->data, 0, (size_t)elements * tslim_dtype_size(t.y->dtype));
            return TSLIM_OK;
        }
        work = work < INT32_MAX ? work * s->dims[d] : work;
    }
    tsl_parallel_for(run->ctx, (size_t)elements, (size_t)(4096 / work + 1), run_elements, &t);
    return TSLIM_OK;
}

// ---- Prepare ----

// Adds the axes of an operand to the loops of its labels. A label that is there twice is a diagonal: both
// strides.
static tslim_status add_operand(
    const tsl_prepare *p, const tsl_einsum *e, uint32_t k, const int64_t *loop_of, einsum_state *s) {
    const tsl_tensor *x = &p->step->inputs[k];
    for (uint32_t d = 0; d < x->rank; d++) {
        int64_t loop = loop_of[e->operands[k].labels[d]];
        TSL_REQUIRE(x->dims[d] == s->dims[loop] || x->dims[d] == 1, TSLIM_ERROR_INVALID_ARGUMENT,
            "node '%s': dim %u of operand %u does not fit", p->step->name, d, k);
        if (x->dims[d] != 1) s->strides[k][loop] += x->strides[d];
    }
    return TSLIM_OK;
}

static tslim_status set_loops(const tsl_prepare *p, const tsl_einsum *e, einsum_state *s) {
    const tsl_tensor *x = p->step->inputs, *y = &p->step->outputs[0];
    int64_t loop_of[TSL_EINSUM_LABELS];
    for (uint32_t i = 0; i < TSL_EINSUM_LABELS; i++) loop_of[i] = -1;
    TSL_REQUIRE(y->rank == e->output.rank, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': a result of another rank", p->step->name);
    for (; s->n_out < y->rank; s->n_out++) {
        s->dims[s->n_out] = y->dims[s->n_out];
        s->out_strides[s->n_out] = y->strides[s->n_out];
        loop_of[e->output.labels[s->n_out]] = s->n_out;
    }
    for (uint32_t k = 0; k < s->n_operands; k++) {
        for (uint32_t d = 0; d < x[k].rank; d++) {
            uint8_t label = e->operands[k].labels[d];
            if (loop_of[label] < 0) {
                s->dims[s->n_out + s->n_sum] = 1;
                loop_of[label] = s->n_out + s->n_sum++;
            }
            int64_t *dim = &s->dims[loop_of[label]];
            if (*dim == 1 && loop_of[label] >= s->n_out) *dim = x[k].dims[d];
        }
    }
    for (uint32_t k = 0; k < s->n_operands; k++) TSL_TRY(add_operand(p, e, k, loop_of, s));
    if (s->n_sum == 0) s->dims[s->n_out + s->n_sum++] = 1; // the loop over nothing else
    return TSLIM_OK;
}

// The label of each loop that both operands of a product, or one, or the result has.
static void find_product(const tsl_einsum *e, tsl_einsum_roles *roles) {
    for (int label = 0; label < TSL_EINSUM_LABELS; label++) {
        bool in[3] = {false, false, false};
        const tsl_einsum_term *terms[3] = {&e->operands[0], &e->operands[1], &e->output};
        for (uint32_t i = 0; i < 3; i++)
            for (uint32_t d = 0; d < terms[i]->rank; d++) in[i] = in[i] || terms[i]->labels[d] == label;
        roles->of[label] = (uint8_t)(in[0] | in[1] << 1 | in[2] << 2);
    }
}

tslim_status tsl_cpu_prepare_einsum(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = step->inputs, *y = &step->outputs[0];
    TSL_NEW_STATE(einsum_state, s);
    uint32_t ranks[TSL_EINSUM_OPERANDS];
    TSL_REQUIRE(step->n_inputs >= 1 && step->n_inputs <= TSL_EINSUM_OPERANDS, TSLIM_ERROR_UNSUPPORTED,
        "node '%s': %u operands", step->name, step->n_inputs);
    for (uint32_t k = 0; k < step->n_inputs; k++) {
        ranks[k] = x[k].rank;
        if (x[k].dtype != y->dtype || tslim_dtype_size(y->dtype) == 0 || tsl_is_quantized(&x[k]))
            return tsl_cpu_unsupported(p);
    }
    s->n_operands = step->n_inputs;
    s->integers = tsl_element_is_integer(y->dtype);
    tsl_einsum e;
    TSL_TRY(tsl_einsum_read(tsl_attrs_string(step->attrs, TSL_ATTR_equation, ""), s->n_operands, ranks, &e));
    TSL_TRY(set_loops(p, &e, s));
    kernel->run = run_einsum;
    kernel->name = "einsum";
    kernel->macs = 1;
    for (uint32_t d = 0; d < s->n_out + s->n_sum; d++)
        if (__builtin_mul_overflow(kernel->macs, (uint64_t)s->dims[d], &kernel->macs))
            kernel->macs = UINT64_MAX;
    if (s->n_operands != 2 || y->dtype != TSLIM_DTYPE_FLOAT || kernel->macs == 0) return TSLIM_OK;
    tsl_einsum_roles roles;
    find_product(&e, &roles);
    return tsl_einsum_product_prepare(p, kernel, &e, &roles, &s->product);
}
