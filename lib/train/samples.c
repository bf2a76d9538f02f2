// SPDX-License-Identifier: Apache-2.0
// Compressed files can only be read in order: a window is read in order and shuffled in memory.
#include "train/samples.h"

#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/rng.h"

uint64_t tsl_mix_seed(uint64_t seed, uint64_t a, uint64_t b) {
    tsl_rng rng;
    tsl_rng_seed(&rng, seed);
    tsl_rng_seed(&rng, tsl_rng_next(&rng) ^ a);
    tsl_rng_seed(&rng, tsl_rng_next(&rng) ^ b);
    return tsl_rng_next(&rng);
}

static tslim_status create_arrays(tsl_samples *s, tsl_batch *batch, uint32_t capacity) {
    batch->n_arrays = s->batch.n_arrays;
    for (uint32_t i = 0; i < batch->n_arrays; i++) {
        tslim_tensor *array = &batch->arrays[i];
        *array = s->batch.arrays[i];
        batch->rows[i] = s->batch.rows[i];
        TSL_REQUIRE(tsl_mul_size(s->batch.rows[i], capacity, &array->bytes), TSLIM_ERROR_LIMIT,
            "%" PRIu32 " samples of %zu bytes at once", capacity, s->batch.rows[i]);
        array->data = tsl_arena_alloc_aligned(&s->arena, array->bytes);
        TSL_REQUIRE_MEMORY(array->data, array->bytes);
    }
    batch->samples = tsl_arena_array(&s->arena, capacity, sizeof(*batch->samples));
    TSL_REQUIRE_MEMORY(batch->samples, capacity * sizeof(*batch->samples));
    if (!tslim_dataset_has_labels(s->dataset)) return TSLIM_OK;
    batch->labels = tsl_arena_array(&s->arena, capacity, sizeof(*batch->labels));
    TSL_REQUIRE_MEMORY(batch->labels, capacity * sizeof(*batch->labels));
    return TSLIM_OK;
}

// Shapes and types of the arrays, without memory; *sample_bytes is of all of one sample.
static tslim_status describe_arrays(tsl_samples *s, const tslim_dtype *types, uint64_t *sample_bytes) {
    *sample_bytes = sizeof(uint64_t) + sizeof(int64_t) + sizeof(uint32_t);
    s->batch.n_arrays = tslim_dataset_input_count(s->dataset);
    TSL_REQUIRE(s->batch.n_arrays <= TSL_MAX_ARRAYS, TSLIM_ERROR_LIMIT, "a sample has %" PRIu32 " arrays",
        s->batch.n_arrays);
    for (uint32_t i = 0; i < s->batch.n_arrays; i++) {
        tslim_tensor_info info;
        TSL_TRY(tslim_dataset_input_info(s->dataset, i, &info));
        TSL_REQUIRE(info.rank < TSLIM_MAX_RANK, TSLIM_ERROR_LIMIT, "array %" PRIu32 " has rank %" PRIu32, i,
            info.rank);
        tslim_tensor *array = &s->batch.arrays[i];
        *array = (tslim_tensor){.dtype = types[i], .rank = info.rank + 1};
        memcpy(array->dims + 1, info.dims, info.rank * sizeof(*info.dims));
        s->batch.rows[i] = tslim_dtype_size(types[i]);
        for (uint32_t d = 0; d < info.rank; d++) // the dataset has checked the elements
            s->batch.rows[i] *= (size_t)info.dims[d];
        *sample_bytes += s->batch.rows[i];
    }
    return TSLIM_OK;
}

static tslim_status init(tsl_samples *s, const tslim_dtype *types, uint64_t memory_bytes) {
    uint64_t sample_bytes;
    TSL_TRY(describe_arrays(s, types, &sample_bytes));
    TSL_TRY(create_arrays(s, &s->batch, s->size));
    if (memory_bytes == 0) return TSLIM_OK;
    uint64_t batches = memory_bytes / sample_bytes / s->size, most = (UINT32_MAX - 1) / s->size;
    batches = batches < 1 ? 1 : batches > most ? most : batches;
    const uint64_t window = batches * s->size;
    s->window_size = (uint32_t)(window < s->total ? window : s->total);
    TSL_TRY(create_arrays(s, &s->window, s->window_size));
    s->order = tsl_arena_array(&s->arena, s->window_size, sizeof(*s->order));
    TSL_REQUIRE_MEMORY(s->order, s->window_size * sizeof(*s->order));
    return TSLIM_OK;
}

tslim_status tsl_samples_init(tsl_samples *samples, tslim_context *ctx, tslim_dataset *dataset,
    const tslim_dtype *types, uint32_t batch, uint64_t memory_bytes, uint64_t seed) {
    *samples =
        (tsl_samples){.dataset = dataset, .seed = seed, .total = tslim_dataset_count(dataset), .size = batch};
    tsl_arena_init(&samples->arena, ctx);
    tslim_status status = init(samples, types, memory_bytes);
    if (status != TSLIM_OK) tsl_samples_clear(samples);
    return status;
}

void tsl_samples_clear(tsl_samples *samples) {
    if (samples->dataset) tsl_arena_clear(&samples->arena);
    *samples = (tsl_samples){0};
}

uint64_t tsl_samples_batches(const tsl_samples *samples) {
    return (samples->total + (samples->window_size ? 0 : samples->size - 1)) / samples->size;
}

void tsl_samples_begin(tsl_samples *samples, uint64_t epoch) {
    samples->epoch = epoch;
    samples->next = 0;
    samples->at = samples->window_size ? samples->window.count : 0;
    const bool whole = samples->window_size == samples->total;
    if (!whole || samples->window.count == 0) return;
    samples->next = samples->total; // all are in memory already
    samples->at = 0;
}

static tslim_status read(tsl_samples *s, tsl_batch *batch, uint32_t wanted) {
    const uint64_t left = s->total - s->next;
    batch->count = left < wanted ? (uint32_t)left : wanted;
    for (uint32_t i = 0; i < batch->n_arrays; i++) batch->arrays[i].dims[0] = batch->count;
    for (uint32_t i = 0; i < batch->count; i++) batch->samples[i] = s->next + i;
    TSL_TRY(
        tslim_dataset_read(s->dataset, s->next, batch->count, batch->arrays, batch->n_arrays, batch->labels));
    s->next += batch->count;
    return TSLIM_OK;
}

// Fisher and Yates, in the version of Durstenfeld (1964), from the identity.
static void shuffle(tsl_samples *s) {
    tsl_rng rng;
    tsl_rng_seed(&rng, tsl_mix_seed(s->seed, s->epoch, s->window.samples[0]));
    for (uint32_t i = 0; i < s->window.count; i++) s->order[i] = i;
    for (uint32_t i = s->window.count; i > 1; i--) {
        uint32_t other = (uint32_t)tsl_rng_below(&rng, i), swapped = s->order[i - 1];
        s->order[i - 1] = s->order[other];
        s->order[other] = swapped;
    }
}

tslim_status tsl_samples_next(tsl_samples *s) {
    if (!s->window_size) return read(s, &s->batch, s->size);
    if (s->at + s->size > s->window.count) {
        TSL_TRY(read(s, &s->window, s->window_size));
        s->at = 0;
    }
    if (s->at == 0) shuffle(s);
    tsl_batch *batch = &s->batch;
    batch->count = s->size;
    for (uint32_t a = 0; a < batch->n_arrays; a++) batch->arrays[a].dims[0] = s->size;
    for (uint32_t i = 0; i < s->size; i++) {
        const size_t from = s->order[s->at + i];
        batch->samples[i] = s->window.samples[from];
        if (batch->labels) batch->labels[i] = s->window.labels[from];
        for (uint32_t a = 0; a < batch->n_arrays; a++)
            memcpy((uint8_t *)batch->arrays[a].data + i * batch->rows[a],
                (const uint8_t *)s->window.arrays[a].data + from * batch->rows[a], batch->rows[a]);
    }
    s->at += s->size;
    return TSLIM_OK;
}
