// SPDX-License-Identifier: Apache-2.0
// The dataset of the public interface: sources of files, with labels and preparation, or the host's callback.
#include <tinyslim/dataset.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/checked.h"
#include "data/convert.h"
#include "data/prepare.h"
#include "data/source.h"
#include "format/npy.h"

#define MAX_INPUTS 64
#define LABELS_AT_ONCE 1024

typedef struct dataset_input {
    tslim_tensor_info info; // of one sample, as it is given out
    size_t elements;
    size_t bytes;
    tsl_source *source; // NULL for a callback
    bool prepared;
    tsl_preparer preparer;
} dataset_input;

struct tslim_dataset {
    tslim_context *ctx;
    tsl_arena arena; // inputs and their names
    uint64_t count;
    dataset_input *inputs;
    uint32_t n_inputs;
    tsl_source *labels; // NULL: none, or the callback's
    bool has_labels;
    tslim_sample_callback callback;
    void *user;
    void *scratch; // one sample as its source has it
    size_t scratch_bytes;
};

void tslim_dataset_options_init(tslim_dataset_options *options) {
    if (!options) return;
    memset(options, 0, sizeof *options);
    options->struct_size = sizeof *options;
    options->preparation.struct_size = sizeof options->preparation;
    options->preparation.n_channels = 1;
    for (int c = 0; c < 4; ++c) options->preparation.std[c] = 1.0F;
}

void tslim_dataset_destroy(tslim_dataset *dataset) {
    if (!dataset) return;
    tslim_context *ctx = dataset->ctx;
    for (uint32_t i = 0; i < dataset->n_inputs; ++i) {
        tsl_source *source = dataset->inputs[i].source;
        if (source) source->destroy(source);
    }
    if (dataset->labels) dataset->labels->destroy(dataset->labels);
    tsl_free(ctx, dataset->scratch, dataset->scratch_bytes);
    tsl_arena_clear(&dataset->arena);
    tsl_free(ctx, dataset, sizeof *dataset);
    tsl_context_release(ctx);
}

static tslim_status create(tslim_context *ctx, uint32_t n_inputs, tslim_dataset **result) {
    tslim_dataset *dataset = tsl_allocate_zeroed(ctx, sizeof *dataset);
    TSL_REQUIRE_MEMORY(dataset, sizeof *dataset);
    dataset->ctx = tsl_context_retain(ctx);
    tsl_arena_init(&dataset->arena, ctx);
    dataset->inputs = tsl_arena_array(&dataset->arena, n_inputs, sizeof *dataset->inputs);
    if (!dataset->inputs) {
        tslim_dataset_destroy(dataset);
        return tsl_no_memory(n_inputs * sizeof *dataset->inputs);
    }
    dataset->n_inputs = n_inputs;
    *result = dataset;
    return TSLIM_OK;
}

// Fills elements and bytes of an input whose info is complete but for its name.
static tslim_status finish_input(tslim_dataset *dataset, dataset_input *input, const char *name) {
    input->elements = 1;
    for (uint32_t i = 0; i < input->info.rank; ++i) {
        bool fits = input->info.dims[i] > 0 &&
                    tsl_mul_size(input->elements, (size_t)input->info.dims[i], &input->elements);
        TSL_REQUIRE(fits && input->elements <= dataset->ctx->limits.elements, TSLIM_ERROR_INVALID_ARGUMENT,
            "input '%s': dim %" PRIu32 " of a sample is %" PRId64, name, i, input->info.dims[i]);
    }
    TSL_REQUIRE(tsl_mul_size(input->elements, tslim_dtype_size(input->info.dtype), &input->bytes),
        TSLIM_ERROR_LIMIT, "input '%s': a sample is too large", name);
    input->info.name = tsl_arena_string(&dataset->arena, name);
    TSL_REQUIRE_MEMORY(input->info.name, strlen(name) + 1);
    if (input->bytes > dataset->scratch_bytes) dataset->scratch_bytes = input->bytes;
    return TSLIM_OK;
}

static tslim_status create_scratch(tslim_dataset *dataset) {
    size_t bytes = dataset->scratch_bytes;
    for (uint32_t i = 0; i < dataset->n_inputs; ++i) {
        const tsl_source *source = dataset->inputs[i].source;
        if (source && source->row_bytes > bytes) bytes = source->row_bytes;
    }
    dataset->scratch_bytes = bytes;
    dataset->scratch = tsl_allocate(dataset->ctx, bytes);
    TSL_REQUIRE_MEMORY(dataset->scratch, bytes);
    return TSLIM_OK;
}

// ---- Files ----

static tslim_status open_sources(tslim_context *ctx, const char *path,
    const tslim_input_preparation *preparation, tsl_source **sources, uint32_t *n_sources) {
    struct stat about;
    TSL_REQUIRE(stat(path, &about) == 0, TSLIM_ERROR_IO, "%s: %s", path, strerror(errno));
    *n_sources = 1;
    if (S_ISDIR(about.st_mode)) return tsl_folder_source_open(ctx, path, preparation, &sources[0]);
    bool archive;
    TSL_TRY(tsl_archive_detect(ctx, path, &archive));
    if (archive) return tsl_archive_sources_open(ctx, path, sources, MAX_INPUTS, n_sources);
    return tsl_array_source_open(ctx, path, &sources[0]);
}

static tslim_status add_source(
    tslim_dataset *dataset, dataset_input *input, const tslim_input_preparation *preparation) {
    const tsl_source *source = input->source;
    TSL_REQUIRE(source->count == dataset->inputs[0].source->count, TSLIM_ERROR_BAD_FILE,
        "%s: %" PRIu64 " samples of '%s', %" PRIu64 " of '%s'", source->path, source->count, source->name,
        dataset->inputs[0].source->count, dataset->inputs[0].source->name);
    input->info.dtype = source->dtype;
    input->info.rank = source->rank;
    memcpy(input->info.dims, source->dims, sizeof source->dims);
    input->prepared = tsl_preparer_wanted(source, preparation);
    if (input->prepared) {
        TSL_TRY(tsl_preparer_init(&input->preparer, source, preparation));
        input->info.dtype = input->preparer.dtype;
        input->info.rank = input->preparer.rank;
        memcpy(input->info.dims, input->preparer.dims, sizeof source->dims);
    }
    return finish_input(dataset, input, source->name);
}

static tslim_status open_labels(tslim_dataset *dataset, const char *path) {
    TSL_TRY(tsl_array_source_open(dataset->ctx, path, &dataset->labels));
    const tsl_source *labels = dataset->labels;
    TSL_REQUIRE(tsl_dtype_is_integer(labels->dtype), TSLIM_ERROR_BAD_FILE, "%s: labels are %s, not integers",
        path, tslim_dtype_name(labels->dtype));
    TSL_REQUIRE(labels->row_bytes == tslim_dtype_size(labels->dtype), TSLIM_ERROR_BAD_FILE,
        "%s: a label is one integer, not %zu", path, labels->row_bytes / tslim_dtype_size(labels->dtype));
    TSL_REQUIRE(labels->count == dataset->count, TSLIM_ERROR_INVALID_ARGUMENT,
        "%s: %" PRIu64 " labels for %" PRIu64 " samples", path, labels->count, dataset->count);
    dataset->has_labels = true;
    return TSLIM_OK;
}

static tslim_status open_dataset(
    tslim_context *ctx, const char *path, const tslim_dataset_options *options, tslim_dataset **result) {
    tsl_source *sources[MAX_INPUTS] = {0};
    uint32_t n_sources = 0;
    tslim_dataset *dataset = NULL;
    TSL_TRY(tsl_preparation_check(&options->preparation));
    TSL_TRY(open_sources(ctx, path, &options->preparation, sources, &n_sources));
    tslim_status status = create(ctx, n_sources, &dataset);
    if (status != TSLIM_OK) {
        for (uint32_t i = 0; i < n_sources; ++i) sources[i]->destroy(sources[i]);
        return status;
    }
    for (uint32_t i = 0; i < n_sources; ++i) dataset->inputs[i].source = sources[i];
    dataset->count = sources[0]->count;
    for (uint32_t i = 0; i < n_sources; ++i) {
        TSL_TRY_GOTO(add_source(dataset, &dataset->inputs[i], &options->preparation));
    }
    if (options->labels) TSL_TRY_GOTO(open_labels(dataset, options->labels));
    if (options->limit && options->limit < dataset->count) dataset->count = options->limit;
    TSL_TRY_GOTO(create_scratch(dataset));
    *result = dataset;
    return TSLIM_OK;
fail:
    tslim_dataset_destroy(dataset);
    return status;
}

tslim_status tslim_dataset_open(
    tslim_context *ctx, const char *path, const tslim_dataset_options *options, tslim_dataset **dataset) {
    tslim_dataset_options all;
    TSL_REQUIRE(
        ctx && path && dataset, TSLIM_ERROR_INVALID_ARGUMENT, "tslim_dataset_open: an argument is NULL");
    *dataset = NULL;
    tslim_dataset_options_init(&all);
    if (options) {
        TSL_REQUIRE(options->struct_size > 0 && options->struct_size <= sizeof all,
            TSLIM_ERROR_INVALID_ARGUMENT, "tslim_dataset_open: options.struct_size is %" PRIu32,
            options->struct_size);
        memcpy(&all, options, options->struct_size);
    }
    return open_dataset(ctx, path, &all, dataset);
}

// ---- Callbacks ----

tslim_status tslim_dataset_from_callback(tslim_context *ctx, uint64_t n_samples,
    const tslim_tensor_info *shapes, uint32_t n_inputs, bool has_labels, tslim_sample_callback callback,
    void *user, tslim_dataset **result) {
    tslim_status status;
    tslim_dataset *dataset = NULL;
    TSL_REQUIRE(ctx && shapes && callback && result, TSLIM_ERROR_INVALID_ARGUMENT,
        "tslim_dataset_from_callback: an argument is NULL");
    *result = NULL;
    TSL_REQUIRE(n_inputs >= 1 && n_inputs <= MAX_INPUTS, TSLIM_ERROR_INVALID_ARGUMENT,
        "tslim_dataset_from_callback: %" PRIu32 " inputs are not 1 to %d", n_inputs, MAX_INPUTS);
    TSL_TRY(create(ctx, n_inputs, &dataset));
    dataset->count = n_samples;
    dataset->has_labels = has_labels;
    dataset->callback = callback;
    dataset->user = user;
    for (uint32_t i = 0; i < n_inputs; ++i) {
        const char *name = shapes[i].name ? shapes[i].name : "";
        TSL_REQUIRE_GOTO(tsl_dtype_is_numeric(shapes[i].dtype) && shapes[i].rank < TSLIM_MAX_RANK,
            TSLIM_ERROR_INVALID_ARGUMENT, "input '%s': %s samples of rank %" PRIu32 " cannot be batched",
            name, tslim_dtype_name(shapes[i].dtype), shapes[i].rank);
        dataset->inputs[i].info = shapes[i];
        TSL_TRY_GOTO(finish_input(dataset, &dataset->inputs[i], name));
        memset(dataset->inputs[i].info.symbols, 0, sizeof shapes[i].symbols);
    }
    *result = dataset;
    return TSLIM_OK;
fail:
    tslim_dataset_destroy(dataset);
    return status;
}

// One sample, straight into its place in the caller's tensors.
static tslim_status call_back(
    tslim_dataset *dataset, uint64_t sample, uint32_t place, const tslim_tensor *batch, int64_t *label) {
    tslim_tensor parts[MAX_INPUTS];
    int64_t ignored;
    for (uint32_t i = 0; i < dataset->n_inputs; ++i) {
        const dataset_input *input = &dataset->inputs[i];
        parts[i] =
            (tslim_tensor){.dtype = input->info.dtype, .rank = input->info.rank, .bytes = input->bytes};
        memcpy(parts[i].dims, input->info.dims, sizeof parts[i].dims);
        parts[i].data = (unsigned char *)batch[i].data + place * input->bytes;
    }
    tsl_clear_message();
    tslim_status status =
        dataset->callback(dataset->user, sample, parts, dataset->n_inputs, label ? label : &ignored);
    if (status != TSLIM_OK && !*tsl_message())
        return tsl_fail(status, "the callback failed at sample %" PRIu64, sample);
    return status;
}

// ---- Looking and reading ----

uint64_t tslim_dataset_count(const tslim_dataset *dataset) {
    return dataset ? dataset->count : 0;
}

bool tslim_dataset_has_labels(const tslim_dataset *dataset) {
    return dataset && dataset->has_labels;
}

uint32_t tslim_dataset_input_count(const tslim_dataset *dataset) {
    return dataset ? dataset->n_inputs : 0;
}

tslim_status tslim_dataset_input_info(const tslim_dataset *dataset, uint32_t index, tslim_tensor_info *info) {
    TSL_REQUIRE(
        dataset && info, TSLIM_ERROR_INVALID_ARGUMENT, "tslim_dataset_input_info: an argument is NULL");
    TSL_REQUIRE(index < dataset->n_inputs, TSLIM_ERROR_INVALID_ARGUMENT,
        "input %" PRIu32 " of a dataset of %" PRIu32, index, dataset->n_inputs);
    *info = dataset->inputs[index].info;
    return TSLIM_OK;
}

// The caller's tensor must have the batch in front and room for all of it; other dims are the sample's.
static tslim_status check_tensor(
    const tslim_dataset *dataset, uint32_t index, uint32_t count, const tslim_tensor *tensor) {
    const dataset_input *input = &dataset->inputs[index];
    bool callback = dataset->callback != NULL;
    TSL_REQUIRE(tensor->dtype == input->info.dtype || (tensor->dtype == TSLIM_DTYPE_FLOAT && !callback),
        TSLIM_ERROR_INVALID_ARGUMENT, "input %" PRIu32 ": the samples are %s, the tensor %s", index,
        tslim_dtype_name(input->info.dtype), tslim_dtype_name(tensor->dtype));
    TSL_REQUIRE(tensor->rank == input->info.rank + 1 && tensor->dims[0] == count,
        TSLIM_ERROR_INVALID_ARGUMENT,
        "input %" PRIu32 ": %" PRIu32 " samples of rank %" PRIu32 " do not fit a tensor of rank %" PRIu32
        " with %" PRId64 " rows",
        index, count, input->info.rank, tensor->rank, tensor->rank ? tensor->dims[0] : 0);
    for (uint32_t d = 0; d < input->info.rank; ++d) {
        TSL_REQUIRE(tensor->dims[d + 1] == input->info.dims[d], TSLIM_ERROR_INVALID_ARGUMENT,
            "input %" PRIu32 ": dim %" PRIu32 " of a sample is %" PRId64 ", of the tensor %" PRId64, index, d,
            input->info.dims[d], tensor->dims[d + 1]);
    }
    size_t bytes;
    bool fits = tsl_mul_size(input->elements, tslim_dtype_size(tensor->dtype), &bytes) &&
                tsl_mul_size(bytes, count, &bytes) && bytes <= tensor->bytes;
    TSL_REQUIRE(fits && tensor->data, TSLIM_ERROR_INVALID_ARGUMENT,
        "input %" PRIu32 ": %zu bytes do not hold %" PRIu32 " samples of %zu elements", index, tensor->bytes,
        count, input->elements);
    return TSLIM_OK;
}

static tslim_status read_input(tslim_dataset *dataset, dataset_input *input, uint64_t first, uint32_t count,
    const tslim_tensor *tensor) {
    tsl_source *source = input->source;
    if (!input->prepared && tensor->dtype == source->dtype)
        return source->read(source, first, count, tensor->data);
    size_t row_bytes = input->elements * tslim_dtype_size(tensor->dtype);
    for (uint32_t i = 0; i < count; ++i) {
        unsigned char *row = (unsigned char *)tensor->data + i * row_bytes;
        TSL_TRY(source->read(source, first + i, 1, dataset->scratch));
        if (input->prepared) {
            tsl_prepare_row(&input->preparer, dataset->scratch, tensor->dtype, row);
        } else {
            tsl_elements_to_float(source->dtype, dataset->scratch, input->elements, (float *)(void *)row);
        }
    }
    return TSLIM_OK;
}

static tslim_status read_labels(tslim_dataset *dataset, uint64_t first, uint32_t count, int64_t *labels) {
    unsigned char raw[LABELS_AT_ONCE * sizeof(int64_t)];
    for (uint32_t done = 0; done < count;) {
        uint32_t part = count - done < LABELS_AT_ONCE ? count - done : LABELS_AT_ONCE;
        TSL_TRY(dataset->labels->read(dataset->labels, first + done, part, raw));
        tsl_elements_to_int64(dataset->labels->dtype, raw, part, labels + done);
        done += part;
    }
    return TSLIM_OK;
}

tslim_status tslim_dataset_read(tslim_dataset *dataset, uint64_t first, uint32_t count, tslim_tensor *inputs,
    uint32_t n_inputs, int64_t *labels) {
    TSL_REQUIRE(dataset && inputs, TSLIM_ERROR_INVALID_ARGUMENT, "tslim_dataset_read: an argument is NULL");
    TSL_REQUIRE(first <= dataset->count && count <= dataset->count - first, TSLIM_ERROR_INVALID_ARGUMENT,
        "%" PRIu32 " samples from %" PRIu64 " of a dataset of %" PRIu64, count, first, dataset->count);
    TSL_REQUIRE(n_inputs == dataset->n_inputs, TSLIM_ERROR_INVALID_ARGUMENT,
        "%" PRIu32 " tensors for a dataset of %" PRIu32 " inputs", n_inputs, dataset->n_inputs);
    TSL_REQUIRE(!labels || dataset->has_labels, TSLIM_ERROR_INVALID_ARGUMENT, "the dataset has no labels");
    for (uint32_t i = 0; i < n_inputs; ++i) TSL_TRY(check_tensor(dataset, i, count, &inputs[i]));
    if (dataset->callback) {
        for (uint32_t i = 0; i < count; ++i) {
            TSL_TRY(call_back(dataset, first + i, i, inputs, labels ? labels + i : NULL));
        }
        return TSLIM_OK;
    }
    for (uint32_t i = 0; i < n_inputs; ++i) {
        TSL_TRY(read_input(dataset, &dataset->inputs[i], first, count, &inputs[i]));
    }
    return labels ? read_labels(dataset, first, count, labels) : TSLIM_OK;
}

tslim_status tslim_tensor_save_file(tslim_context *ctx, const tslim_tensor *tensor, const char *path) {
    TSL_REQUIRE(
        ctx && tensor && path, TSLIM_ERROR_INVALID_ARGUMENT, "tslim_tensor_save_file: an argument is NULL");
    return tsl_npy_save(ctx, path, tensor);
}
