// SPDX-License-Identifier: Apache-2.0
// tinyslim bench: latency of a model, and of each of its nodes.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "tool.h"

#define MAX_TENSORS 64

typedef struct benchmark {
    struct tool tool;
    uint64_t batch;
    double seconds, warmup;
    bool per_layer, no_winograd;
    tslim_input_shape shapes[MAX_TENSORS];
    tslim_tensor inputs[MAX_TENSORS], outputs[MAX_TENSORS];
    uint32_t n_inputs, n_outputs;
    double load_ms;
    uint64_t macs;
    int64_t samples; // of one run
    double *times; // of each run, in ms
    size_t n_times, times_capacity;
    double total_ms;
} benchmark;

// --shape gives the whole shape; else symbolic dims are 1, and the first is the batch.
static tslim_status choose_shapes(benchmark *b) {
    struct tool *tool = &b->tool;
    b->n_inputs = tslim_graph_input_count(tool->graph);
    b->n_outputs = tslim_graph_output_count(tool->graph);
    if (b->n_inputs > MAX_TENSORS || b->n_outputs > MAX_TENSORS) {
        return tool_error(tool, TSLIM_ERROR_LIMIT, "more than %d inputs or outputs", MAX_TENSORS);
    }
    for (uint32_t s = 0; s < tool->n_shapes; ++s) {
        if (!tool->shapes[s].name && b->n_inputs != 1)
            return tool_usage(tool, "--shape needs NAME= for several inputs");
    }
    for (uint32_t i = 0; i < b->n_inputs; ++i) {
        tslim_tensor_info info;
        TRY(tslim_graph_input_info(tool->graph, i, &info));
        b->shapes[i] = (tslim_input_shape){.name = info.name, .rank = info.rank};
        for (uint32_t d = 0; d < info.rank; ++d) b->shapes[i].dims[d] = info.dims[d] < 0 ? 1 : info.dims[d];
        for (uint32_t s = 0; s < tool->n_shapes; ++s) {
            if (tool->shapes[s].name && strcmp(tool->shapes[s].name, info.name) != 0) continue;
            b->shapes[i] = tool->shapes[s];
            b->shapes[i].name = info.name;
        }
        if (b->batch == 0 || info.rank == 0) continue;
        if (info.dims[0] >= 0 && (uint64_t)info.dims[0] != b->batch) {
            return tool_usage(tool, "input '%s' has a fixed batch of %" PRId64 ", not %" PRIu64, info.name,
                info.dims[0], b->batch);
        }
        b->shapes[i].dims[0] = (int64_t)b->batch;
    }
    return TSLIM_OK;
}

static uint64_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return *state >> 33;
}

// Floats in [0, 1), small integers, zeros for the rest.
static void fill(tslim_tensor *tensor, uint64_t *state) {
    if (tensor->dtype == TSLIM_DTYPE_FLOAT) {
        float *values = tensor->data;
        for (size_t i = 0; i < tensor->bytes / sizeof *values; ++i)
            values[i] = (float)next_random(state) / 2147483648.0F;
    } else if (tensor->dtype == TSLIM_DTYPE_UINT8) {
        uint8_t *values = tensor->data;
        for (size_t i = 0; i < tensor->bytes; ++i) values[i] = (uint8_t)next_random(state);
    } else {
        memset(tensor->data, 0, tensor->bytes);
    }
}

static tslim_status create_inputs(benchmark *b) {
    uint64_t state = b->tool.seed + 1;
    for (uint32_t i = 0; i < b->n_inputs; ++i) {
        tslim_tensor_info info;
        TRY(tslim_session_input_info(b->tool.session, i, &info));
        tslim_tensor *tensor = &b->inputs[i];
        *tensor =
            (tslim_tensor){.dtype = info.dtype, .rank = info.rank, .bytes = tslim_dtype_size(info.dtype)};
        memcpy(tensor->dims, info.dims, sizeof tensor->dims);
        for (uint32_t d = 0; d < info.rank; ++d)
            tensor->bytes *= (size_t)info.dims[d]; // the session has checked them
        tensor->data = malloc(tensor->bytes ? tensor->bytes : 1);
        if (!tensor->data)
            return tool_error(&b->tool, TSLIM_ERROR_NO_MEMORY, "no memory for input '%s'", info.name);
        fill(tensor, &state);
        if (i == 0) b->samples = info.rank ? info.dims[0] : 1;
    }
    return TSLIM_OK;
}

static tslim_status run_once(benchmark *b) {
    memset(b->outputs, 0, sizeof b->outputs);
    return tslim_session_run(b->tool.session, b->inputs, b->n_inputs, b->outputs, b->n_outputs);
}

static tslim_status keep_time(benchmark *b, double ms) {
    if (b->n_times == b->times_capacity) {
        size_t capacity = b->times_capacity ? 2 * b->times_capacity : 1024;
        double *larger = realloc(b->times, capacity * sizeof *larger);
        if (!larger) return tool_error(&b->tool, TSLIM_ERROR_NO_MEMORY, "no memory for %zu times", capacity);
        b->times = larger;
        b->times_capacity = capacity;
    }
    b->times[b->n_times++] = ms;
    b->total_ms += ms;
    return TSLIM_OK;
}

static tslim_status run_for(benchmark *b, double seconds, bool keep) {
    double start = seconds_now(), now = start;
    do {
        double before = now;
        TRY(run_once(b));
        now = seconds_now();
        if (keep) TRY(keep_time(b, (now - before) * 1e3));
        uint64_t done = (uint64_t)((now - start) * 1e3), total = (uint64_t)(seconds * 1e3);
        if (!tool_progress(&b->tool, keep ? "ms" : "ms of warm-up", done < total ? done : total, total)) {
            return tool_error(&b->tool, TSLIM_ERROR_CANCELLED, "interrupted");
        }
        now = seconds_now(); // what showing progress took is not the model's
    } while (now - start < seconds);
    tool_end_progress(&b->tool);
    return TSLIM_OK;
}

static int compare_times(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// The nearest rank: the least time that `percent` of all runs do not exceed.
static double percentile(const benchmark *b, double percent) {
    size_t rank = (size_t)(percent / 100 * (double)b->n_times + 0.999999);
    if (rank < 1) rank = 1;
    return b->times[(rank > b->n_times ? b->n_times : rank) - 1];
}

static tslim_status print_layers(benchmark *b, cJSON *json) {
    struct tool *tool = &b->tool;
    double total = 0;
    cJSON *list = json_add_array(json, "layers");
    uint32_t count = tslim_session_step_count(tool->session);
    tslim_step_profile step;
    for (uint32_t i = 0; i < count; ++i) {
        TRY(tslim_session_step_profile(tool->session, i, &step));
        total += (double)step.least_nanoseconds;
    }
    if (!tool->json) {
        printf("\n%-40s  %-18s  %-24s  %9s  %6s  %8s\n", "node", "operator", "kernel", "ms", "%", "GOPS");
    }
    for (uint32_t i = 0; i < count; ++i) {
        TRY(tslim_session_step_profile(tool->session, i, &step));
        double ns = (double)step.least_nanoseconds;
        double gops = ns > 0 ? 2 * (double)step.macs / ns : 0, share = total > 0 ? ns / total : 0;
        cJSON *item = json_append_object(list);
        cJSON_AddStringToObject(item, "node", step.node);
        cJSON_AddStringToObject(item, "op", step.op_type);
        cJSON_AddStringToObject(item, "kernel", step.kernel);
        cJSON_AddStringToObject(item, "precision", tslim_dtype_name(step.precision));
        json_add_real(item, "ms", ns / 1e6);
        json_add_real(item, "share", share);
        json_add_count(item, "macs", step.macs);
        json_add_real(item, "gops", gops);
        if (!tool->json) {
            printf("%-40s  %-18s  %-24s  %9.4f  %6.2f  %8.2f\n", step.node, step.op_type, step.kernel,
                ns / 1e6, 100 * share, gops);
        }
    }
    return TSLIM_OK;
}

static void fill_json(const benchmark *b, cJSON *json) {
    const struct tool *tool = &b->tool;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double mean = b->total_ms / (double)b->n_times;
    cJSON_AddStringToObject(json, "model", tool->positional.items[0]);
    json_add_count(json, "batch", (uint64_t)b->samples);
    json_add_count(json, "runs", b->n_times);
    json_add_real(json, "p50_ms", percentile(b, 50));
    json_add_real(json, "p90_ms", percentile(b, 90));
    json_add_real(json, "p99_ms", percentile(b, 99));
    json_add_real(json, "min_ms", b->times[0]);
    json_add_real(json, "mean_ms", mean);
    json_add_real(json, "throughput", 1e3 * (double)b->samples / mean);
    json_add_real(json, "load_ms", b->load_ms);
    json_add_real(json, "peak_rss_mb", (double)usage.ru_maxrss / 1024);
    json_add_real(json, "arena_mb", (double)tslim_session_arena_bytes(tool->session) / 1048576);
    json_add_count(json, "macs", b->macs);
    cJSON_AddStringToObject(json, "cpu", tslim_cpu_name());
    cJSON_AddStringToObject(json, "isa", tslim_isa_name(tslim_context_isa(tool->context)));
    json_add_count(json, "threads", tslim_context_threads(tool->context));
    cJSON_AddStringToObject(json, "backend", backend_name(tool->backend));
}

static void print_text(const cJSON *json) {
    const cJSON *item;
    cJSON_ArrayForEach(item, json) {
        if (strcmp(item->string, "schema") == 0) continue;
        if (cJSON_IsString(item)) printf("%-12s  %s\n", item->string, item->valuestring);
        if (cJSON_IsNumber(item)) printf("%-12s  %.6g\n", item->string, item->valuedouble);
    }
}

static tslim_status report(benchmark *b, cJSON *json) {
    qsort(b->times, b->n_times, sizeof *b->times, compare_times);
    fill_json(b, json);
    if (!b->tool.json) print_text(json);
    if (!b->per_layer) return TSLIM_OK;
    // Taking times costs time: these runs are not among the others.
    TRY(tslim_session_profile(b->tool.session, true));
    TRY(run_for(b, b->seconds, false));
    TRY(tslim_session_profile(b->tool.session, false));
    return print_layers(b, json);
}

static tslim_status load(benchmark *b) {
    struct tool *tool = &b->tool;
    double start = seconds_now();
    TRY(tool_load(tool, tool->positional.items[0], &tool->graph));
    TRY(choose_shapes(b));
    tslim_session_options options;
    tslim_session_options_init(&options);
    options.backend = tool->backend;
    options.shapes = b->shapes;
    options.n_shapes = b->n_inputs;
    options.no_winograd = b->no_winograd;
    TRY(tslim_session_create(tool->graph, &options, &tool->session));
    b->load_ms = (seconds_now() - start) * 1e3;
    tslim_graph_totals totals = {.struct_size = sizeof totals};
    TRY(tslim_graph_measure(tool->graph, b->shapes, b->n_inputs, &totals));
    b->macs = totals.macs;
    return TSLIM_OK;
}

static tslim_status work(benchmark *b) {
    struct tool *tool = &b->tool;
    b->seconds = 3;
    b->warmup = 0.5;
    ADD_OPTIONS(tool,
        {"--batch", NULL, OPTION_COUNT, &b->batch, "N", "samples a run (default: 1, or the model's)", 1,
            65536, NULL},
        {"--seconds", NULL, OPTION_REAL, &b->seconds, "S", "how long to measure (default: 3)", 0.001, 86400,
            NULL},
        {"--warmup", NULL, OPTION_REAL, &b->warmup, "S", "how long to run before that (default: 0.5)", 0,
            86400, NULL},
        {"--no-winograd", NULL, OPTION_SWITCH, &b->no_winograd, NULL,
            "no convolution by Winograd's method: slower, smaller float errors", 0, 0, NULL},
        {"--per-layer", NULL, OPTION_SWITCH, &b->per_layer, NULL, "a table of nodes", 0, 0, NULL});
    TRY(tool_start(tool, 1, 1));
    TRY(load(b));
    TRY(create_inputs(b));
    TRY(run_for(b, b->warmup, false));
    TRY(run_for(b, b->seconds, true));
    cJSON *json = json_create(tool);
    tslim_status status = report(b, json);
    if (status == TSLIM_OK && tool->json) return json_print(tool, json);
    cJSON_Delete(json);
    return status;
}

static int run(const struct verb *verb, int argc, char **argv) {
    static benchmark b;
    b = (benchmark){.tool = {.verb = verb, .argc = argc, .argv = argv}};
    tslim_status status = work(&b);
    for (size_t i = 0; i < MAX_TENSORS; ++i) free(b.inputs[i].data);
    free(b.times);
    return tool_finish(&b.tool, status);
}

const struct verb verb_bench = {"bench",
    "MODEL [--batch N] [--seconds S] [--warmup S] [--no-winograd] [--per-layer] [--json]",
    "latency and throughput", "tinyslim bench model.tslim --threads 1 --seconds 5 --per-layer", run};
