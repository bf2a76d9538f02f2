// SPDX-License-Identifier: Apache-2.0
// The way of a file through the public interface.
#include "fuzz/exercise.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <tinyslim/prune.h>
#include <tinyslim/quantize.h>

#define MOST_MEMORY ((int64_t)512 << 20)
// A model may ask for any amount of work in a run, and gets it; here only little of it is tried.
#define MOST_MACS ((uint64_t)1 << 24)

// ---- Memory ----

static int64_t live_bytes, most_bytes;

static void *allocate(void *user, size_t size, size_t alignment) {
    (void)user;
    void *memory = NULL;
    if (size > (size_t)MOST_MEMORY) most_bytes = MOST_MEMORY + 1;
    if (size > (size_t)MOST_MEMORY || posix_memalign(&memory, alignment < 16 ? 16 : alignment, size) != 0)
        return NULL;
    live_bytes += (int64_t)size;
    if (live_bytes > most_bytes) most_bytes = live_bytes;
    return memory;
}

static void release(void *user, void *memory, size_t size) {
    (void)user;
    live_bytes -= (int64_t)size;
    free(memory);
}

bool fuzz_memory_is_fine(void) {
    return live_bytes == 0 && most_bytes <= MOST_MEMORY;
}

tslim_status fuzz_context_create(tslim_context **context) {
    tslim_context_options options;
    tslim_context_options_init(&options);
    options.n_threads = 1;
    options.allocator = (tslim_allocator){.allocate = allocate, .release = release};
    options.limits.arena_bytes = (uint64_t)64 << 20;
    options.limits.elements = (uint64_t)1 << 20;
    options.limits.nodes = 1000;
    live_bytes = most_bytes = 0;
    return tslim_context_create(&options, context);
}

// A caller's memory, which ends where the process may not read: vector kernels are seen too.
static size_t whole_pages(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page + page;
}

static void *guarded_memory(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = whole_pages(bytes);
    char *memory = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return NULL;
    mprotect(memory + whole - page, page, PROT_NONE);
    return memory + whole - page - bytes;
}

static void free_guarded_memory(void *memory, size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = whole_pages(bytes);
    if (memory) munmap((char *)memory + bytes + page - whole, whole);
}

// ---- The way ----

static bool look_on(void *user, const char *name, const tslim_tensor *values) {
    (void)user;
    // Reads what is said to be there.
    size_t sum = strlen(name);
    const unsigned char *bytes = values->data;
    for (size_t i = 0; i < values->bytes; i += 64) sum += bytes[i];
    return sum != SIZE_MAX;
}

static void fill(tslim_tensor *tensor) {
    unsigned char *bytes = tensor->data;
    if (tensor->dtype == TSLIM_DTYPE_FLOAT) {
        for (size_t i = 0; i < tensor->bytes / 4; i++) {
            float value = (float)(i * 37 % 101) / 50 - 1;
            memcpy(bytes + 4 * i, &value, 4);
        }
        return;
    }
    size_t step = tslim_dtype_size(tensor->dtype); // small numbers: they may be indices
    for (size_t i = 0; step && i < tensor->bytes; i += step) bytes[i] = (unsigned char)(i / step % 3);
}

static tslim_status run_with(
    tslim_session *session, tslim_tensor *inputs, tslim_tensor *outputs, fuzz_outcome *outcome) {
    uint32_t n_inputs = tslim_session_input_count(session), n_outputs = tslim_session_output_count(session);
    for (uint32_t i = 0; i < n_inputs; i++) {
        tslim_tensor_info info;
        tslim_status status = tslim_session_input_info(session, i, &info);
        if (status != TSLIM_OK) return status;
        inputs[i] =
            (tslim_tensor){.dtype = info.dtype, .rank = info.rank, .bytes = tslim_dtype_size(info.dtype)};
        for (uint32_t d = 0; d < info.rank; d++) {
            inputs[i].dims[d] = info.dims[d];
            inputs[i].bytes *= (size_t)info.dims[d];
        }
        inputs[i].data = guarded_memory(inputs[i].bytes);
        if (!inputs[i].data) return TSLIM_ERROR_NO_MEMORY;
        fill(&inputs[i]);
    }
    tslim_status status = tslim_session_run(session, inputs, n_inputs, outputs, n_outputs);
    for (uint32_t i = 0; status == TSLIM_OK && i < n_outputs; i++) look_on(NULL, "", &outputs[i]);
    outcome->ran = status == TSLIM_OK;
    return status;
}

static tslim_status run(tslim_session *session, fuzz_outcome *outcome) {
    uint32_t n_inputs = tslim_session_input_count(session);
    tslim_tensor *inputs = calloc(n_inputs + 1u, sizeof(*inputs));
    tslim_tensor *outputs = calloc(tslim_session_output_count(session) + 1u, sizeof(*outputs));
    tslim_status status = TSLIM_ERROR_NO_MEMORY;
    if (inputs && outputs) status = run_with(session, inputs, outputs, outcome);
    for (uint32_t i = 0; inputs && i < n_inputs; i++) free_guarded_memory(inputs[i].data, inputs[i].bytes);
    free(inputs);
    free(outputs);
    return status;
}

static tslim_status plan_and_run(
    tslim_graph *graph, uint64_t choices, bool much_work, fuzz_outcome *outcome) {
    tslim_session *session;
    tslim_session_options options;
    tslim_session_options_init(&options);
    options.no_fusion = choices & 1;
    options.isa = choices & 2 ? TSLIM_ISA_PORTABLE : TSLIM_ISA_DEFAULT;
    tslim_status status = tslim_session_create(graph, &options, &session);
    if (status != TSLIM_OK) return status;
    outcome->planned = true;
    if (choices & 4) tslim_session_set_tap(session, look_on, NULL);
    if (!much_work) status = run(session, outcome);
    tslim_session_destroy(session);
    return status;
}

static void look_at_nodes(const tslim_graph *graph) {
    for (uint32_t i = 0; i < tslim_graph_node_count(graph); i++) {
        tslim_node_info info = {.struct_size = sizeof(info)};
        tslim_graph_node_info(graph, i, &info);
    }
}

static void prune(tslim_graph *graph) {
    tslim_prune_options options;
    tslim_prune_plan *plan;
    tslim_prune_options_init(&options);
    options.ratio = 0.4;
    options.round_to = 1;
    if (tslim_prune_plan_create(graph, &options, &plan) != TSLIM_OK) return;
    tslim_prune(graph, plan);
    tslim_prune_plan_destroy(plan);
}

static tslim_status calibrate_sample(
    void *user, uint64_t index, tslim_tensor *inputs, uint32_t n_inputs, int64_t *label) {
    (void)user;
    (void)label;
    for (uint32_t i = 0; i < n_inputs; i++) fill(&inputs[i]);
    return index < 2 ? TSLIM_OK : TSLIM_ERROR_INVALID_ARGUMENT;
}

// With samples of the shape that the model's first input says it has.
static void quantize(tslim_context *context, tslim_graph *graph) {
    tslim_tensor_info info;
    tslim_dataset *dataset;
    tslim_calibration *calibration;
    if (tslim_graph_input_count(graph) != 1 || tslim_graph_input_info(graph, 0, &info) != TSLIM_OK ||
        info.rank == 0)
        return;
    info.rank--;
    for (uint32_t d = 0; d < info.rank; d++) info.dims[d] = info.dims[d + 1];
    memset(info.symbols, 0, sizeof(info.symbols));
    if (tslim_dataset_from_callback(context, 2, &info, 1, false, calibrate_sample, NULL, &dataset) !=
        TSLIM_OK)
        return;
    if (tslim_calibrate(graph, dataset, NULL, &calibration) == TSLIM_OK) {
        tslim_quantize(graph, calibration, NULL, NULL, NULL);
        tslim_calibration_destroy(calibration);
    }
    tslim_dataset_destroy(dataset);
}

static tslim_status use(tslim_context *context, tslim_graph *graph, const char *scratch, uint64_t choices,
    fuzz_outcome *outcome) {
    tslim_graph_totals totals = {.struct_size = sizeof(totals)};
    tslim_graph_check(graph, NULL, NULL);
    look_at_nodes(graph);
    tslim_status measured = tslim_graph_measure(graph, NULL, 0, &totals);
    bool much_work = measured == TSLIM_OK && totals.macs > MOST_MACS;
    if ((choices & 0x1c0) == 0x40) prune(graph);
    if ((choices & 0x1c0) == 0x80 && !much_work) quantize(context, graph);
    if ((choices & 0x1c0) == 0xc0)
        tslim_graph_save_file(graph, scratch, choices & 32 ? TSLIM_FORMAT_ONNX : TSLIM_FORMAT_TSLIM);
    if ((choices & 8) && tslim_graph_optimize(graph) == TSLIM_OK) look_at_nodes(graph);
    return plan_and_run(graph, choices, much_work, outcome);
}

fuzz_outcome fuzz_exercise(const fuzz_bytes *file, const char *scratch, uint64_t choices) {
    fuzz_outcome outcome = {0};
    tslim_context *context;
    outcome.status = fuzz_context_create(&context);
    if (outcome.status != TSLIM_OK) {
        outcome.failed = "no context";
        return outcome;
    }
    tslim_graph *graph;
    outcome.status = tslim_graph_load_memory(context, file->data, file->size, &graph);
    if (outcome.status == TSLIM_OK) {
        outcome.loaded = true;
        outcome.status = use(context, graph, scratch, choices, &outcome);
        tslim_graph_destroy(graph);
    }
    bool silent = outcome.status != TSLIM_OK && !*tslim_context_message(context);
    if (outcome.status == TSLIM_ERROR_INTERNAL) fprintf(stderr, "%s\n", tslim_context_message(context));
    if (outcome.status == TSLIM_ERROR_INTERNAL) outcome.failed = "an internal error";
    if (silent) outcome.failed = "a failure without a message";
    tslim_context_destroy(context);
    if (live_bytes != 0) outcome.failed = "memory was not given back";
    if (most_bytes > MOST_MEMORY) outcome.failed = "too much memory";
    return outcome;
}
