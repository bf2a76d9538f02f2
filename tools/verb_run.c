// SPDX-License-Identifier: Apache-2.0
// tinyslim run: one inference from NPY files to NPY files.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "describe.h"

#define MAX_TENSORS 64

typedef struct inference {
    struct tool tool;
    text_list inputs;
    bool no_winograd;
    const char *output;
    tslim_tensor given[MAX_TENSORS]; // in the model's order; the memory is ours
    tslim_tensor results[MAX_TENSORS];
    tslim_input_shape shapes[MAX_TENSORS];
} inference;

// Reads a whole file as one tensor: as float where the model takes float, else as it is.
static tslim_status read_tensor(inference *r, const char *path, tslim_dtype wanted, tslim_tensor *tensor) {
    struct tool *tool = &r->tool;
    tslim_tensor_info sample;
    tslim_dataset_destroy(tool->dataset);
    tool->dataset = NULL;
    TRY(tslim_dataset_open(tool->context, path, NULL, &tool->dataset));
    if (tslim_dataset_input_count(tool->dataset) != 1)
        return tool_usage(tool, "%s holds more than one array", path);
    TRY(tslim_dataset_input_info(tool->dataset, 0, &sample));
    uint64_t count = tslim_dataset_count(tool->dataset);
    *tensor =
        (tslim_tensor){.dtype = wanted == TSLIM_DTYPE_FLOAT ? wanted : sample.dtype, .rank = sample.rank + 1};
    size_t bytes = tslim_dtype_size(tensor->dtype);
    tensor->dims[0] = (int64_t)count;
    bool fits = count <= UINT32_MAX && !__builtin_mul_overflow(bytes, (size_t)count, &bytes);
    for (uint32_t d = 0; d < sample.rank; ++d) {
        tensor->dims[d + 1] = sample.dims[d];
        fits = fits && !__builtin_mul_overflow(bytes, (size_t)sample.dims[d], &bytes);
    }
    tensor->data = fits ? malloc(bytes ? bytes : 1) : NULL;
    if (!tensor->data) return tool_error(tool, TSLIM_ERROR_NO_MEMORY, "%s: too large", path);
    tensor->bytes = bytes;
    return tslim_dataset_read(tool->dataset, 0, (uint32_t)count, tensor, 1, NULL);
}

// Which input "NAME=X.npy" is for, and its path.
static tslim_status find_input(inference *r, const char *word, uint32_t *index, const char **path) {
    struct tool *tool = &r->tool;
    uint32_t count = tslim_graph_input_count(tool->graph);
    for (uint32_t i = 0; i < count; ++i) {
        tslim_tensor_info info;
        TRY(tslim_graph_input_info(tool->graph, i, &info));
        size_t length = strlen(info.name);
        if (strncmp(word, info.name, length) != 0 || word[length] != '=') continue;
        *index = i;
        *path = word + length + 1;
        return TSLIM_OK;
    }
    if (count != 1) return tool_usage(tool, "'%s' names none of the model's %" PRIu32 " inputs", word, count);
    *index = 0;
    *path = word;
    return TSLIM_OK;
}

static tslim_status read_inputs(inference *r) {
    struct tool *tool = &r->tool;
    uint32_t count = tslim_graph_input_count(tool->graph);
    if (count > MAX_TENSORS) return tool_error(tool, TSLIM_ERROR_LIMIT, "more than %d inputs", MAX_TENSORS);
    for (size_t i = 0; i < r->inputs.count; ++i) {
        uint32_t index = 0;
        const char *path = NULL;
        tslim_tensor_info info;
        TRY(find_input(r, r->inputs.items[i], &index, &path));
        TRY(tslim_graph_input_info(tool->graph, index, &info));
        if (r->given[index].data) return tool_usage(tool, "input '%s' is given twice", info.name);
        TRY(read_tensor(r, path, info.dtype, &r->given[index]));
        r->shapes[index] = (tslim_input_shape){.name = info.name, .rank = r->given[index].rank};
        memcpy(r->shapes[index].dims, r->given[index].dims, sizeof r->shapes[index].dims);
    }
    for (uint32_t i = 0; i < count; ++i) {
        tslim_tensor_info info;
        TRY(tslim_graph_input_info(tool->graph, i, &info));
        if (!r->given[i].data) return tool_usage(tool, "no --input for '%s'", info.name);
    }
    return TSLIM_OK;
}

static bool is_folder(const char *path) {
    struct stat about;
    size_t length = strlen(path);
    return (length > 0 && path[length - 1] == '/') || (stat(path, &about) == 0 && S_ISDIR(about.st_mode));
}

// FOLDER/NAME.npy, with what does not belong in a file name as '_'.
static void make_path(const char *folder, const char *name, char *path, size_t size) {
    size_t start = (size_t)snprintf(path, size, "%s%s", folder, folder[strlen(folder) - 1] == '/' ? "" : "/");
    size_t length = start;
    for (; *name && length + 5 < size; ++name) {
        unsigned char c = (unsigned char)*name;
        bool safe = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c >= 0x80 ||
                    c == '-' || c == '_' || (c == '.' && length > start);
        path[length++] = safe ? (char)c : '_';
    }
    snprintf(path + length, size - length, ".npy");
}

static tslim_status write_outputs(inference *r) {
    struct tool *tool = &r->tool;
    uint32_t count = tslim_session_output_count(tool->session);
    bool folder = is_folder(r->output);
    if (count != 1 && !folder)
        return tool_usage(tool, "the model has %" PRIu32 " outputs: give a folder", count);
    if (folder && mkdir(r->output, 0777) != 0 && errno != EEXIST) {
        return tool_error(tool, TSLIM_ERROR_IO, "%s: %s", r->output, strerror(errno));
    }
    cJSON *json = json_create(tool), *list = json_add_array(json, "outputs");
    tslim_status status = TSLIM_OK;
    for (uint32_t i = 0; i < count && status == TSLIM_OK; ++i) {
        tslim_tensor_info info;
        char path[4096], shape[256];
        status = tslim_session_output_info(tool->session, i, &info);
        if (status != TSLIM_OK) break;
        if (folder) {
            make_path(r->output, info.name, path, sizeof path);
        } else {
            snprintf(path, sizeof path, "%s", r->output);
        }
        status = tslim_tensor_save_file(tool->context, &r->results[i], path);
        cJSON *item = json_append_object(list);
        cJSON_AddStringToObject(item, "name", info.name);
        cJSON_AddStringToObject(item, "dtype", tslim_dtype_name(r->results[i].dtype));
        json_add_dims(item, "shape", r->results[i].rank, r->results[i].dims);
        cJSON_AddStringToObject(item, "file", path);
        memcpy(info.dims, r->results[i].dims, sizeof info.dims);
        if (!tool->json && status == TSLIM_OK) {
            printf("%s  %s  %s  %s\n", info.name, tslim_dtype_name(r->results[i].dtype),
                format_shape(&info, shape, sizeof shape), path);
        }
    }
    if (tool->json && status == TSLIM_OK) return json_print(tool, json);
    cJSON_Delete(json);
    return status;
}

static tslim_status work(inference *r) {
    struct tool *tool = &r->tool;
    ADD_OPTIONS(tool,
        {"--no-winograd", NULL, OPTION_SWITCH, &r->no_winograd, NULL,
            "no convolution by Winograd's method: slower, smaller float errors", 0, 0, NULL},
        {"--input", NULL, OPTION_TEXTS, &r->inputs, "[NAME=]X.npy...", "an array for each input", 0, 0, NULL},
        {"--output", "-o", OPTION_TEXT, &r->output, "OUT.npy|DIR/", "where the outputs go", 0, 0, NULL});
    TRY(tool_start(tool, 1, 1));
    if (r->inputs.count == 0) return tool_usage(tool, "--input is missing");
    if (!r->output) return tool_usage(tool, "--output is missing");
    TRY(tool_load(tool, tool->positional.items[0], &tool->graph));
    TRY(read_inputs(r));
    tslim_session_options options;
    tslim_session_options_init(&options);
    options.backend = tool->backend;
    options.shapes = r->shapes;
    options.n_shapes = tslim_graph_input_count(tool->graph);
    options.no_winograd = r->no_winograd;
    TRY(tslim_session_create(tool->graph, &options, &tool->session));
    if (tslim_session_output_count(tool->session) > MAX_TENSORS) {
        return tool_error(tool, TSLIM_ERROR_LIMIT, "more than %d outputs", MAX_TENSORS);
    }
    TRY(tslim_session_run(tool->session, r->given, tslim_session_input_count(tool->session), r->results,
        tslim_session_output_count(tool->session)));
    return write_outputs(r);
}

static int run(const struct verb *verb, int argc, char **argv) {
    static inference r;
    r = (inference){.tool = {.verb = verb, .argc = argc, .argv = argv}};
    tslim_status status = work(&r);
    for (size_t i = 0; i < MAX_TENSORS; ++i) free(r.given[i].data);
    return tool_finish(&r.tool, status);
}

const struct verb verb_run = {"run", "MODEL --input [NAME=]X.npy... --output OUT.npy [--no-winograd]",
    "one inference from and to NPY files", "tinyslim run resnet18.onnx --input image.npy --output scores.npy",
    run};
