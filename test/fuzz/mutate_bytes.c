// SPDX-License-Identifier: Apache-2.0
// The files that mutations start from, and mutations of their bytes.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tinyslim/quantize.h>

#include "base/crc32.h"
#include "format/tslim_layout.h"
#include "fuzz/mutations.h"
#include "support/control_models.h"
#include "support/quantized_network.h"
#include "support/small_network.h"

#define SAMPLES 4

static tslim_status make_sample(
    void *user, uint64_t index, tslim_tensor *inputs, uint32_t n_inputs, int64_t *label) {
    (void)user;
    (void)n_inputs;
    float *values = inputs[0].data;
    for (size_t i = 0; i < inputs[0].bytes / sizeof(float); i++)
        values[i] = (float)((i * 31 + index * 7) % 64) / 32 - 1;
    if (label) *label = 0;
    return TSLIM_OK;
}

static tslim_status quantize(tslim_context *context, tslim_graph *graph) {
    tslim_tensor_info shape = {.name = "input",
        .dtype = TSLIM_DTYPE_FLOAT,
        .rank = 3,
        .dims = {3, SMALL_NETWORK_SIZE, SMALL_NETWORK_SIZE}};
    tslim_dataset *dataset;
    tslim_calibration *calibration;
    TSL_TRY(tslim_dataset_from_callback(context, SAMPLES, &shape, 1, false, make_sample, NULL, &dataset));
    tslim_status status = tslim_calibrate(graph, dataset, NULL, &calibration);
    if (status == TSLIM_OK) {
        status = tslim_quantize(graph, calibration, NULL, NULL, NULL);
        tslim_calibration_destroy(calibration);
    }
    tslim_dataset_destroy(dataset);
    return status;
}

bool fuzz_write_seed(const char *path, bool optimized, bool quantized) {
    tslim_context *context;
    tslim_graph *graph;
    if (fuzz_context_create(&context) != TSLIM_OK) return false;
    tslim_status status = small_network_create(context, 5, &graph);
    if (status == TSLIM_OK) {
        if (quantized)
            status = quantize(context, graph);
        else if (optimized)
            status = tslim_graph_optimize(graph);
        if (status == TSLIM_OK) status = tslim_graph_save_file(graph, path, TSLIM_FORMAT_FROM_NAME);
        tslim_graph_destroy(graph);
    }
    if (status != TSLIM_OK) fprintf(stderr, "%s\n", tslim_context_message(context));
    tslim_context_destroy(context);
    return status == TSLIM_OK;
}

bool fuzz_write_seed_with_bodies(const char *path) {
    static proto model;
    tslim_context *context;
    tslim_graph *graph;
    if (fuzz_context_create(&context) != TSLIM_OK) return false;
    memset(&model, 0, sizeof(model));
    control_mixed_model(&model);
    tslim_status status = tslim_graph_load_memory(context, model.data, model.size, &graph);
    if (status == TSLIM_OK) {
        status = tslim_graph_save_file(graph, path, TSLIM_FORMAT_FROM_NAME);
        tslim_graph_destroy(graph);
    }
    if (status != TSLIM_OK) fprintf(stderr, "%s\n", tslim_context_message(context));
    tslim_context_destroy(context);
    return status == TSLIM_OK;
}

bool fuzz_write_seed_from_elsewhere(const char *path) {
    tslim_context *context;
    if (fuzz_context_create(&context) != TSLIM_OK) return false;
    tslim_graph *graph = quantized_network_create(context);
    tslim_status status = tslim_graph_save_file(graph, path, TSLIM_FORMAT_FROM_NAME);
    tslim_graph_destroy(graph);
    if (status != TSLIM_OK) fprintf(stderr, "%s\n", tslim_context_message(context));
    tslim_context_destroy(context);
    return status == TSLIM_OK;
}

static bool make_bytes(size_t size, fuzz_bytes *bytes) {
    void *memory = NULL;
    if (posix_memalign(&memory, 64, size ? size : 1) != 0) return false;
    *bytes = (fuzz_bytes){memory, size};
    return true;
}

bool fuzz_read_file(const char *path, fuzz_bytes *bytes) {
    FILE *file = fopen(path, "rb");
    if (!file) return false;
    bool read = fseek(file, 0, SEEK_END) == 0;
    long size = read ? ftell(file) : -1;
    read = size >= 0 && fseek(file, 0, SEEK_SET) == 0 && make_bytes((size_t)size, bytes);
    if (read && fread(bytes->data, 1, bytes->size, file) != bytes->size) {
        free(bytes->data);
        read = false;
    }
    fclose(file);
    return read;
}

// ---- Checksums ----

static bool is_tslim(const fuzz_bytes *file) {
    return file->size >= sizeof(tsl_file_header) && memcmp(file->data, TSL_FILE_MAGIC, 8) == 0;
}

static void correct_section(const fuzz_bytes *file, uint8_t *place) {
    tsl_file_section section;
    memcpy(&section, place, sizeof(section));
    if (section.offset > file->size || section.bytes > file->size - section.offset) return;
    section.crc = tsl_crc32(0, file->data + section.offset, (size_t)section.bytes);
    memcpy(place, &section, sizeof(section));
}

static void correct_checksums(const fuzz_bytes *file) {
    if (!is_tslim(file)) return;
    tsl_file_header header;
    memcpy(&header, file->data, sizeof(header));
    size_t room = (file->size - sizeof(header)) / sizeof(tsl_file_section);
    uint32_t n_sections = header.n_sections < room ? header.n_sections : (uint32_t)room;
    uint8_t *table = file->data + sizeof(header);
    for (uint32_t i = 0; i < n_sections; i++) correct_section(file, table + i * sizeof(tsl_file_section));
    header.file_bytes = file->size;
    header.crc = 0;
    header.crc =
        tsl_crc32(tsl_crc32(0, &header, sizeof(header)), table, n_sections * sizeof(tsl_file_section));
    memcpy(file->data, &header, sizeof(header));
}

// ---- Bytes ----

static void change_byte(tsl_rng *rng, const fuzz_bytes *file, size_t begin, size_t end) {
    size_t at = begin + (size_t)tsl_rng_below(rng, end - begin);
    static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};
    switch (tsl_rng_below(rng, 4)) {
    case 0:
        file->data[at] ^= (uint8_t)(1u << tsl_rng_below(rng, 8));
        break;
    case 1:
        file->data[at] = values[tsl_rng_below(rng, sizeof(values))];
        break;
    case 2:
        file->data[at] = (uint8_t)(file->data[at] + (tsl_rng_below(rng, 2) ? 1 : 0xff));
        break;
    default: { // some bytes moved to another place
        size_t from = begin + (size_t)tsl_rng_below(rng, end - begin);
        size_t most = end - (at > from ? at : from), count = 1 + (size_t)tsl_rng_below(rng, 16);
        memmove(file->data + at, file->data + from, count < most ? count : most);
    }
    }
}

// The bytes that say what the file is: not the weights.
static void find_structure(tsl_rng *rng, const fuzz_bytes *file, size_t *begin, size_t *end) {
    *begin = 0;
    *end = file->size;
    tsl_file_section section;
    if (!is_tslim(file) || file->size < sizeof(tsl_file_header) + sizeof(section)) return;
    memcpy(&section, file->data + sizeof(tsl_file_header), sizeof(section));
    *end = sizeof(tsl_file_header) + 2 * sizeof(section);
    if (tsl_rng_below(rng, 8) == 0) return;
    *begin = (size_t)section.offset;
    *end = (size_t)(section.offset + section.bytes);
}

bool fuzz_mutate_bytes(tsl_rng *rng, const fuzz_bytes *seed, fuzz_bytes *file) {
    if (!make_bytes(seed->size, file)) return false;
    memcpy(file->data, seed->data, seed->size);
    size_t begin, end;
    find_structure(rng, file, &begin, &end);
    for (uint64_t changes = 1 + tsl_rng_below(rng, 4); changes > 0; changes--)
        change_byte(rng, file, begin, end);
    if (tsl_rng_below(rng, 16)) correct_checksums(file);
    return true;
}

bool fuzz_cut(tsl_rng *rng, const fuzz_bytes *seed, fuzz_bytes *file) {
    size_t size = (size_t)tsl_rng_below(rng, seed->size);
    if (!make_bytes(size, file)) return false;
    if (size) memcpy(file->data, seed->data, size);
    if (tsl_rng_below(rng, 4)) correct_checksums(file);
    return true;
}
