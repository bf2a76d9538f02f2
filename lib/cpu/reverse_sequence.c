// SPDX-License-Identifier: Apache-2.0
// ReverseSequence: the first elements of each batch along the time axis, as many as its length says, in
// reverse.
#include <inttypes.h>
#include <string.h>

#include "cpu/operator.h"

typedef struct reverse_state {
    bool time_first;
} reverse_state;

static tslim_status run_reverse(const tsl_run *run) {
    const reverse_state *s = run->kernel->state;
    const tsl_tensor *x = &run->inputs[0], *lengths = &run->inputs[1], *y = &run->outputs[0];
    const int64_t times = x->dims[s->time_first ? 0 : 1], batches = x->dims[s->time_first ? 1 : 0];
    for (int64_t b = 0; b < batches; b++) {
        int64_t length = ((const int64_t *)lengths->data)[b];
        TSL_REQUIRE(length >= 0 && length <= times, TSLIM_ERROR_INVALID_ARGUMENT,
            "length %" PRId64 " of batch %" PRId64 " is not within the %" PRId64 " of the time axis", length,
            b, times);
    }
    size_t bytes = tslim_dtype_size(x->dtype);
    for (uint32_t i = 2; i < x->rank; i++) bytes *= (size_t)x->dims[i];
    if (bytes == 0) return TSLIM_OK;
    for (int64_t b = 0; b < batches; b++) {
        int64_t length = ((const int64_t *)lengths->data)[b];
        for (int64_t t = 0; t < times; t++) {
            int64_t source = t < length ? length - 1 - t : t;
            size_t to = (size_t)(s->time_first ? t * batches + b : b * times + t);
            size_t from = (size_t)(s->time_first ? source * batches + b : b * times + source);
            memcpy((uint8_t *)y->data + to * bytes, (const uint8_t *)x->data + from * bytes, bytes);
        }
    }
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_reverse_sequence(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_tensor *x = &p->step->inputs[0], *lengths = &p->step->inputs[1], *y = &p->step->outputs[0];
    TSL_NEW_STATE(reverse_state, s);
    kernel->run = run_reverse;
    kernel->name = "reverse sequence";
    s->time_first = tsl_attrs_int(p->step->attrs, TSL_ATTR_time_axis, 0) == 0;
    TSL_REQUIRE(x->rank >= 2 && tsl_tensor_elements(lengths) == x->dims[s->time_first ? 1 : 0],
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': not one length for each batch", p->step->name);
    const uint8_t *table;
    TSL_TRY(tsl_move_prepare(p, x, y, &table));
    return lengths->dtype != TSLIM_DTYPE_INT64 || table ? tsl_cpu_unsupported(p) : TSLIM_OK;
}
