// SPDX-License-Identifier: Apache-2.0
// The file: a header, the history, the arrays of floats, and a CRC of all that. Random numbers need no place:
// they follow from the seed and the epoch.
#include "train/checkpoint.h"

#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/crc32.h"
#include "base/file.h"
#include "base/text.h"

#define MAGIC UINT64_C(0x315441454c534c54) // "TLSLEAT1"

typedef struct header {
    uint64_t magic, digest, floats, arrays;
    uint32_t epochs_done, best_epoch;
} header;

// ---- Which training it is ----

static uint32_t digest_graph(const tslim_graph *graph, uint32_t crc) {
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        crc = tsl_crc32(crc, graph->nodes[n].name, strlen(graph->nodes[n].name) + 1);
        crc = tsl_crc32(crc, graph->nodes[n].op_type, strlen(graph->nodes[n].op_type) + 1);
    }
    for (uint32_t v = 0; v < graph->n_values; v++)
        if (graph->values[v].data) crc = tsl_crc32(crc, graph->values[v].data, graph->values[v].bytes);
    return crc;
}

static void add_options(tsl_text *text, const tslim_train_options *o) {
    tsl_text_add(text, "%u %u %" PRIu64 " %d %d %a %a %a %a %a %a %a ", o->epochs, o->batch, o->seed,
        (int)o->optimizer, o->nesterov, o->learning_rate, o->momentum, o->second_momentum, o->epsilon,
        o->weight_decay, o->clip_norm, o->average_decay);
    tsl_text_add(text, "%d %a %u %a %d %a %u %d %d %a %a %a %u ", (int)o->schedule, o->warmup_epochs,
        o->step_epochs, o->step_factor, (int)o->loss, o->label_smoothing, o->output, o->callback != NULL,
        (int)o->teacher_loss, o->teacher_weight, o->temperature, o->feature_weight, o->n_features);
    tsl_text_add(text, "%d %u %a %d %a %u %d %" PRIu64 " ", o->flip, o->shift, o->crop, o->freeze_statistics,
        o->statistics_momentum, o->patience, o->validation != NULL, o->memory_bytes);
    tsl_text_add(text, "'%s'", o->target ? o->target : "");
    for (uint32_t i = 0; i < o->n_features; i++)
        tsl_text_add(text, " '%s' '%s'", o->features[i], o->teacher_features ? o->teacher_features[i] : "");
}

tslim_status tsl_training_digest(const tslim_graph *graph, const tslim_dataset *train,
    const tslim_train_options *options, uint64_t *digest) {
    tsl_text text;
    tsl_text_init(&text, graph->ctx);
    add_options(&text, options);
    tsl_text_add(&text, " %" PRIu64 " %d %" PRIu64, tslim_dataset_count(train),
        tslim_dataset_has_labels(train), options->validation ? tslim_dataset_count(options->validation) : 0);
    tslim_status status = tsl_text_status(&text);
    if (status == TSLIM_OK) {
        const uint32_t models = digest_graph(graph, 0);
        *digest = (uint64_t)tsl_crc32(0, text.data, text.length) << 32 |
                  (options->teacher ? digest_graph(options->teacher, models) : models);
    }
    tsl_text_clear(&text);
    return status;
}

// ---- Writing ----

static uint32_t list_arrays(const tsl_weights *w, float *arrays[5]) {
    uint32_t count = 0;
    arrays[count++] = w->values;
    for (int i = 0; i < 2; i++)
        if (w->moments[i]) arrays[count++] = w->moments[i];
    if (w->average) arrays[count++] = w->average;
    if (w->best) arrays[count++] = w->best;
    return count;
}

static tslim_status write_part(tsl_file_writer *writer, uint32_t *crc, const void *data, size_t bytes) {
    *crc = tsl_crc32(*crc, data, bytes);
    return tsl_file_writer_write(writer, data, bytes);
}

static tslim_status write_all(
    tsl_file_writer *writer, const tsl_training_state *state, const tsl_weights *weights) {
    float *arrays[5];
    uint32_t crc = 0;
    const header h = {.magic = MAGIC,
        .digest = state->digest,
        .floats = weights->n_floats,
        .arrays = list_arrays(weights, arrays),
        .epochs_done = state->epochs_done,
        .best_epoch = state->best_epoch};
    TSL_TRY(write_part(writer, &crc, &h, sizeof(h)));
    TSL_TRY(write_part(writer, &crc, state->history, state->epochs_done * sizeof(*state->history)));
    for (uint32_t i = 0; i < h.arrays; i++)
        TSL_TRY(write_part(writer, &crc, arrays[i], weights->n_floats * sizeof(float)));
    return tsl_file_writer_write(writer, &crc, sizeof(crc));
}

tslim_status tsl_checkpoint_save(
    const char *path, const tsl_training_state *state, const tsl_weights *weights) {
    tsl_file_writer *writer;
    TSL_TRY(tsl_file_writer_open(weights->ctx, path, &writer));
    tslim_status status = write_all(writer, state, weights);
    if (status == TSLIM_OK) return tsl_file_writer_commit(writer);
    tsl_file_writer_abort(writer);
    return status;
}

// ---- Reading ----

static tslim_status read_all(
    const tsl_buffer *file, uint32_t epochs, tsl_training_state *state, tsl_weights *w) {
    float *arrays[5];
    header h;
    uint32_t crc, n_arrays = list_arrays(w, arrays);
    const uint8_t *at = file->data;
    TSL_REQUIRE(file->size >= sizeof(h) + sizeof(crc), TSLIM_ERROR_BAD_FILE, "%zu bytes are no checkpoint",
        file->size);
    memcpy(&h, at, sizeof(h));
    memcpy(&crc, at + file->size - sizeof(crc), sizeof(crc));
    TSL_REQUIRE(h.magic == MAGIC, TSLIM_ERROR_BAD_FILE, "no checkpoint of a training");
    TSL_REQUIRE(tsl_crc32(0, at, file->size - sizeof(crc)) == crc, TSLIM_ERROR_BAD_FILE, "damaged");
    TSL_REQUIRE(h.digest == state->digest && h.floats == w->n_floats && h.arrays == n_arrays,
        TSLIM_ERROR_BAD_FILE, "of a training of another model, on other data, or with other options");
    const size_t array_bytes = w->n_floats * sizeof(float);
    size_t bytes = sizeof(h) + sizeof(crc) + n_arrays * array_bytes;
    TSL_REQUIRE(h.epochs_done <= epochs && h.best_epoch <= h.epochs_done &&
                    file->size == bytes + h.epochs_done * sizeof(*state->history),
        TSLIM_ERROR_BAD_FILE, "%" PRIu32 " epochs in %zu bytes", h.epochs_done, file->size);
    state->epochs_done = h.epochs_done;
    state->best_epoch = h.best_epoch;
    at += sizeof(h);
    memcpy(state->history, at, h.epochs_done * sizeof(*state->history));
    at += h.epochs_done * sizeof(*state->history);
    for (uint32_t i = 0; i < n_arrays; i++, at += array_bytes) memcpy(arrays[i], at, array_bytes);
    return TSLIM_OK;
}

tslim_status tsl_checkpoint_load(
    const char *path, uint32_t epochs, tsl_training_state *state, tsl_weights *weights) {
    tsl_buffer *file;
    TSL_TRY(tsl_file_map(weights->ctx, path, &file));
    tslim_status status = read_all(file, epochs, state, weights);
    tsl_buffer_release(file);
    return status == TSLIM_OK ? status : tsl_fail_prefix(status, "checkpoint '%s'", path);
}
