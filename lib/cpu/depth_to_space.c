// SPDX-License-Identifier: Apache-2.0
// DepthToSpace and SpaceToDepth: a transposition between two six-dimensional views, on any layout.
#include <string.h>

#include "cpu/operator.h"

typedef struct blocks_state {
    const uint8_t *table;
    int64_t block;
    bool to_space, columns_first; // mode CRD: the channel is the slowest part
} blocks_state;

// {N, block row, block column, C, H, W} of the deep side (channels hold the blocks) and of the wide side.
static tsl_tensor view_deep(const tsl_tensor *t, const blocks_state *s) {
    const int64_t b = s->block, channels = t->dims[1] / (b * b), c = t->strides[1];
    tsl_tensor view = *t;
    view.rank = 6;
    const int64_t dims[6] = {t->dims[0], b, b, channels, t->dims[2], t->dims[3]};
    const int64_t row = s->columns_first ? b * c : b * channels * c;
    const int64_t column = s->columns_first ? c : channels * c;
    const int64_t channel = s->columns_first ? b * b * c : c;
    const int64_t strides[6] = {t->strides[0], row, column, channel, t->strides[2], t->strides[3]};
    memcpy(view.dims, dims, sizeof dims);
    memcpy(view.strides, strides, sizeof strides);
    return view;
}

static tsl_tensor view_wide(const tsl_tensor *t, const blocks_state *s) {
    const int64_t b = s->block;
    tsl_tensor view = *t;
    view.rank = 6;
    const int64_t dims[6] = {t->dims[0], b, b, t->dims[1], t->dims[2] / b, t->dims[3] / b};
    const int64_t strides[6] = {
        t->strides[0], t->strides[2], t->strides[3], t->strides[1], t->strides[2] * b, t->strides[3] * b};
    memcpy(view.dims, dims, sizeof dims);
    memcpy(view.strides, strides, sizeof strides);
    return view;
}

static tslim_status run_blocks(const tsl_run *run) {
    const blocks_state *s = run->kernel->state;
    const tsl_tensor *x = &run->inputs[0], *y = &run->outputs[0];
    tsl_tensor from = s->to_space ? view_deep(x, s) : view_wide(x, s);
    tsl_tensor to = s->to_space ? view_wide(y, s) : view_deep(y, s);
    tsl_move(run->ctx, s->table, &from, &to);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_depth_to_space(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0], *y = &step->outputs[0];
    TSL_NEW_STATE(blocks_state, s);
    kernel->run = run_blocks;
    s->to_space = step->op == TSL_OP_DEPTH_TO_SPACE;
    kernel->name = s->to_space ? "depth to space" : "space to depth";
    s->block = tsl_attrs_int(step->attrs, TSL_ATTR_blocksize, 0);
    s->columns_first = s->to_space && strcmp(tsl_attrs_string(step->attrs, TSL_ATTR_mode, "DCR"), "CRD") == 0;
    const tsl_tensor *deep = s->to_space ? x : y, *wide = s->to_space ? y : x;
    bool fits = x->rank == 4 && y->rank == 4 && s->block > 0 && s->block <= 32768 &&
                deep->dims[1] == wide->dims[1] * s->block * s->block &&
                wide->dims[2] == deep->dims[2] * s->block && wide->dims[3] == deep->dims[3] * s->block;
    TSL_REQUIRE(
        fits, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': the shapes do not fit the block size", step->name);
    return tsl_move_prepare(p, x, y, &s->table);
}
