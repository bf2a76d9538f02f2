// SPDX-License-Identifier: Apache-2.0
// Strided iteration over several tensors: see iterate.h.
#include "cpu/iterate.h"

// Elements that one call of the inner loop gets at most, and that a thread gets at least.
#define CHUNK ((int64_t)8192)
#define GRAIN ((int64_t)16384)

// The byte strides of `operand` seen with the dims of `shape`.
static void broadcast_strides(const tsl_tensor *operand, const tsl_tensor *shape, ptrdiff_t *strides) {
    ptrdiff_t size = (ptrdiff_t)tslim_dtype_size(operand->dtype);
    for (uint32_t i = 0; i < shape->rank; i++) {
        uint32_t from_end = shape->rank - i;
        strides[i] = 0;
        if (from_end > operand->rank) continue;
        uint32_t axis = operand->rank - from_end;
        if (operand->dims[axis] != 1) strides[i] = (ptrdiff_t)operand->strides[axis] * size;
    }
}

static void sort_dims(tsl_iteration *it) {
    for (uint32_t i = 1; i < it->rank; i++) {
        for (uint32_t j = i; j > 0 && it->strides[0][j - 1] < it->strides[0][j]; j--) {
            int64_t dim = it->dims[j];
            it->dims[j] = it->dims[j - 1];
            it->dims[j - 1] = dim;
            for (uint32_t k = 0; k < it->n_operands; k++) {
                ptrdiff_t stride = it->strides[k][j];
                it->strides[k][j] = it->strides[k][j - 1];
                it->strides[k][j - 1] = stride;
            }
        }
    }
}

static bool can_merge(const tsl_iteration *it, uint32_t outer, uint32_t inner) {
    for (uint32_t k = 0; k < it->n_operands; k++)
        if (it->strides[k][outer] != it->strides[k][inner] * (ptrdiff_t)it->dims[inner]) return false;
    return true;
}

static void merge_dims(tsl_iteration *it) {
    uint32_t last = 0;
    for (uint32_t i = 1; i < it->rank; i++) {
        bool merge = can_merge(it, last, i);
        if (!merge) last++;
        it->dims[last] = merge ? it->dims[last] * it->dims[i] : it->dims[i];
        for (uint32_t k = 0; k < it->n_operands; k++) it->strides[k][last] = it->strides[k][i];
    }
    it->rank = last + 1;
}

void tsl_iteration_init(tsl_iteration *it, const tsl_tensor *const *operands, uint32_t n_operands) {
    const tsl_tensor *shape = operands[0];
    ptrdiff_t strides[TSL_ITERATION_MAX_OPERANDS][TSLIM_MAX_RANK] = {{0}};
    it->n_operands = n_operands;
    it->rank = 0;
    it->block = 1;
    for (uint32_t k = 0; k < n_operands; k++) {
        it->data[k] = operands[k]->data;
        broadcast_strides(operands[k], shape, strides[k]);
    }
    bool empty = false;
    for (uint32_t i = 0; i < shape->rank; i++) {
        if (shape->dims[i] == 0) empty = true;
        if (shape->dims[i] == 1) continue;
        it->dims[it->rank] = shape->dims[i];
        for (uint32_t k = 0; k < n_operands; k++) it->strides[k][it->rank] = strides[k][i];
        it->rank++;
    }
    if (empty || it->rank == 0) {
        it->rank = 1;
        it->dims[0] = empty ? 0 : 1;
        for (uint32_t k = 0; k < n_operands; k++)
            it->strides[k][0] = (ptrdiff_t)tslim_dtype_size(operands[k]->dtype);
        return;
    }
    sort_dims(it);
    merge_dims(it);
}

bool tsl_iteration_take_row(tsl_iteration *it, const size_t *element_sizes, int64_t most) {
    const uint32_t last = it->rank - 1;
    if (last == 0 || it->dims[last] < 1 || it->dims[last] > most) return false;
    for (uint32_t k = 0; k < it->n_operands; k++)
        if (it->strides[k][last] != (ptrdiff_t)element_sizes[k]) return false;
    it->rank = last;
    it->block = it->dims[last];
    return true;
}

typedef struct iterate_task {
    const tsl_iteration *it;
    tsl_inner_loop loop;
    const void *user;
    int64_t chunk, chunks; // of the inner loop
} iterate_task;

// Item i is chunk i % chunks of the (i / chunks)-th inner loop.
static void run_items(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const iterate_task *task = task_data;
    const tsl_iteration *it = task->it;
    uint32_t inner = it->rank - 1;
    ptrdiff_t strides[TSL_ITERATION_MAX_OPERANDS];
    for (uint32_t k = 0; k < it->n_operands; k++) strides[k] = it->strides[k][inner];

    int64_t index[TSLIM_MAX_RANK];
    ptrdiff_t offsets[TSL_ITERATION_MAX_OPERANDS] = {0};
    int64_t chunk = (int64_t)begin % task->chunks;
    int64_t rest = (int64_t)begin / task->chunks;
    for (uint32_t d = inner; d-- > 0;) {
        index[d] = rest % it->dims[d];
        rest /= it->dims[d];
        for (uint32_t k = 0; k < it->n_operands; k++) offsets[k] += (ptrdiff_t)index[d] * it->strides[k][d];
    }
    for (size_t item = begin; item < end; item++) {
        int64_t first = chunk * task->chunk;
        int64_t count = it->dims[inner] - first < task->chunk ? it->dims[inner] - first : task->chunk;
        uint8_t *data[TSL_ITERATION_MAX_OPERANDS];
        for (uint32_t k = 0; k < it->n_operands; k++)
            data[k] = it->data[k] + offsets[k] + (ptrdiff_t)first * strides[k];
        task->loop(task->user, data, strides, (size_t)count);
        if (++chunk < task->chunks) continue;
        chunk = 0;
        for (uint32_t d = inner; d-- > 0;) {
            for (uint32_t k = 0; k < it->n_operands; k++) offsets[k] += it->strides[k][d];
            if (++index[d] < it->dims[d]) break;
            index[d] = 0;
            for (uint32_t k = 0; k < it->n_operands; k++)
                offsets[k] -= (ptrdiff_t)it->dims[d] * it->strides[k][d];
        }
    }
}

void tsl_iterate(tslim_context *ctx, const tsl_iteration *it, tsl_inner_loop loop, const void *user) {
    int64_t inner = it->dims[it->rank - 1];
    int64_t outer = 1;
    for (uint32_t d = 0; d + 1 < it->rank; d++) outer *= it->dims[d];
    if (inner == 0 || outer == 0) return;
    int64_t chunk = it->block < CHUNK ? CHUNK / it->block : 1;
    iterate_task task = {it, loop, user, chunk, (inner + chunk - 1) / chunk};
    int64_t per_item = (inner < chunk ? inner : chunk) * it->block;
    int64_t grain = (GRAIN + per_item - 1) / per_item;
    tsl_parallel_for(ctx, (size_t)(outer * task.chunks), (size_t)grain, run_items, &task);
}
