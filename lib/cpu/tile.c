// SPDX-License-Identifier: Apache-2.0
// Tile: the source is copied into each of its places in the result.
#include "cpu/operator.h"

typedef struct tile_state {
    const uint8_t *table;
} tile_state;

static tslim_status run_tile(const tsl_run *run) {
    const tile_state *s = run->kernel->state;
    const tsl_tensor *x = &run->inputs[0], *y = &run->outputs[0];
    if (tsl_tensor_elements(y) == 0) return TSLIM_OK;
    int64_t index[TSLIM_MAX_RANK] = {0};
    for (;;) {
        tsl_tensor place = *y;
        ptrdiff_t offset = 0;
        for (uint32_t i = 0; i < x->rank; i++) {
            place.dims[i] = x->dims[i];
            offset += (ptrdiff_t)(index[i] * y->strides[i]);
        }
        place.data = (uint8_t *)y->data + offset * (ptrdiff_t)tslim_dtype_size(y->dtype);
        tsl_move(run->ctx, s->table, x, &place);
        uint32_t i = x->rank;
        for (; i-- > 0;) {
            index[i] += x->dims[i];
            if (index[i] < y->dims[i]) break;
            index[i] = 0;
        }
        if (i == UINT32_MAX) return TSLIM_OK;
    }
}

tslim_status tsl_cpu_prepare_tile(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_tensor *x = &p->step->inputs[0], *y = &p->step->outputs[0];
    TSL_NEW_STATE(tile_state, s);
    kernel->run = run_tile;
    kernel->name = "tile";
    for (uint32_t i = 0; i < x->rank; i++)
        TSL_REQUIRE(
            x->rank == y->rank && (y->dims[i] == 0 || (x->dims[i] > 0 && y->dims[i] % x->dims[i] == 0)),
            TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': dim %u of the result is not a multiple", p->step->name,
            i);
    return tsl_move_prepare(p, x, y, &s->table);
}
