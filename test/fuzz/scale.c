// SPDX-License-Identifier: Apache-2.0
// Models of very many small things: four times as many may take about four times as long to load, check, plan
// and run, not sixteen times. Processor time, so that a busy machine does not matter much.
//
//     fuzz_scale [nodes]
//
// prints the seconds of each kind of model.
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <tinyslim/session.h>

#include "base/status.h"
#include "format/onnx.h"
#include "format/tslim.h"
#include "ir/bodies.h"

#define NODES 4000
#define MOST_GROWTH 9.0
// Less than this is noise.
#define LEAST_SECONDS 0.2

typedef struct maker {
    tslim_graph *graph;
    uint32_t input; // the graph's; rank 1, 4 elements
} maker;

static uint32_t value(maker *m, const char *name) {
    uint32_t id = 0;
    if (tsl_graph_add_value(m->graph, name, TSLIM_DTYPE_FLOAT, &id) != TSLIM_OK) abort();
    tsl_shape_set(&m->graph->values[id].shape, 1, (const int64_t[]){4});
    return id;
}

static uint32_t node(maker *m, tsl_op op, const char *name, uint32_t n_inputs, const uint32_t *inputs) {
    uint32_t output = value(m, NULL), index;
    if (tsl_graph_add_node(m->graph, op, name, n_inputs, inputs, 1, &output, &index) != TSLIM_OK) abort();
    return output;
}

static uint32_t scalar(maker *m, float number) {
    uint32_t id;
    void *data;
    if (tsl_graph_add_constant(m->graph, NULL, TSLIM_DTYPE_FLOAT, 0, NULL, &id, &data) != TSLIM_OK) abort();
    memcpy(data, &number, sizeof(number));
    return id;
}

static uint32_t chain(maker *m, tsl_op op, uint32_t first, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) first = node(m, op, NULL, 1, &first);
    return first;
}

// ---- Kinds of models; each returns its output ----

static uint32_t relus(maker *m, uint32_t n) {
    return chain(m, TSL_OP_RELU, m->input, n);
}
static uint32_t identities(maker *m, uint32_t n) {
    return chain(m, TSL_OP_RELU, chain(m, TSL_OP_IDENTITY, m->input, n - 1), 1);
}
static uint32_t folded(maker *m, uint32_t n) {
    uint32_t both[2] = {m->input, chain(m, TSL_OP_NEG, scalar(m, 1), n - 1)};
    return node(m, TSL_OP_ADD, NULL, 2, both);
}
static uint32_t sums_with_constants(maker *m, uint32_t n) {
    uint32_t both[2] = {m->input, 0};
    for (uint32_t i = 0; i < n; i++) {
        both[1] = scalar(m, 1);
        both[0] = node(m, TSL_OP_ADD, NULL, 2, both);
    }
    return both[0];
}
static uint32_t readers_of_all(maker *m, uint32_t n) {
    uint32_t *inputs = malloc(n * sizeof(*inputs));
    if (!inputs) abort();
    for (uint32_t i = 0; i + 1 < n; i++) inputs[i] = node(m, TSL_OP_RELU, NULL, 1, &m->input);
    uint32_t output = node(m, TSL_OP_CONCAT, NULL, n - 1, inputs);
    tsl_shape_set(&m->graph->values[output].shape, 1, (const int64_t[]){4 * (int64_t)(n - 1)});
    if (tsl_node_set_int(m->graph, &m->graph->nodes[m->graph->n_nodes - 1], TSL_ATTR_axis, 0) != TSLIM_OK)
        abort();
    free(inputs);
    return output;
}
static uint32_t one_wide_node(maker *m, uint32_t n) {
    uint32_t *inputs = malloc(n * sizeof(*inputs));
    if (!inputs) abort();
    for (uint32_t i = 0; i < n; i++) inputs[i] = m->input;
    uint32_t output = node(m, TSL_OP_SUM, NULL, n, inputs);
    free(inputs);
    return output;
}
static uint32_t equal_names(
    maker *m, uint32_t n) { // half of the nodes bear the names that the others would be given
    char name[32];
    uint32_t last = m->input;
    for (uint32_t i = 0; i < n; i++) {
        snprintf(name, sizeof(name), i < n / 2 ? "x_%u" : "x", n / 2 + i);
        last = node(m, TSL_OP_RELU, name, 1, &last);
    }
    // The writer writes the names as they are here: equal again, for the reader to make unique.
    for (uint32_t i = n / 2; i < n; i++) m->graph->nodes[i].name = "x";
    return last;
}
static uint32_t strangers(maker *m, uint32_t n) { // operators and domains that nobody knows
    uint32_t last = m->input;
    for (uint32_t i = 0; i < n; i++) {
        last = node(m, TSL_OP_RELU, NULL, 1, &last);
        m->graph->nodes[i].op = TSL_OP_UNKNOWN;
        m->graph->nodes[i].op_type = "Stranger";
        m->graph->nodes[i].domain = tsl_arena_format(&m->graph->arena, "domain%u", i);
    }
    return last;
}

// ---- Bodies ----

static tslim_graph *new_body(maker *m, uint32_t n_inputs, const char *const *inputs) {
    tslim_graph *body;
    if (tsl_graph_create(m->graph->ctx, &body) != TSLIM_OK) abort();
    body->opset = 17;
    body->inputs = tsl_arena_array(&body->arena, n_inputs, sizeof(uint32_t));
    body->outputs = tsl_arena_array(&body->arena, 2, sizeof(uint32_t));
    if (!body->inputs || !body->outputs) abort();
    for (; body->n_inputs < n_inputs; body->n_inputs++)
        if (tsl_graph_add_value(
                body, inputs[body->n_inputs], TSLIM_DTYPE_NONE, &body->inputs[body->n_inputs]) != TSLIM_OK)
            abort();
    return body;
}

static void give_body(maker *m, tsl_attr_id attr, tslim_graph *body) {
    uint32_t index;
    tsl_node *holder = &m->graph->nodes[m->graph->n_nodes - 1];
    if (tsl_graph_add_body(m->graph, body, &index) != TSLIM_OK ||
        tsl_node_set_int(m->graph, holder, attr, index) != TSLIM_OK)
        abort();
    holder->attrs.items[holder->attrs.count - 1].type = TSL_ATTR_TYPE_GRAPH;
}

static void add_relu(tslim_graph *body, uint32_t from) {
    uint32_t result, index;
    if (tsl_graph_add_value(body, "y", TSLIM_DTYPE_NONE, &result) != TSLIM_OK ||
        tsl_graph_add_node(body, TSL_OP_RELU, NULL, 1, &from, 1, &result, &index) != TSLIM_OK)
        abort();
    body->outputs[body->n_outputs++] = result;
}

static uint32_t decided_branches(maker *m, uint32_t n) {
    uint32_t condition, last = m->input;
    void *data;
    if (tsl_graph_add_constant(m->graph, "c", TSLIM_DTYPE_BOOL, 0, NULL, &condition, &data) != TSLIM_OK)
        abort();
    for (uint32_t i = 0; i < n / 4; i++) {
        last = node(m, TSL_OP_IF, NULL, 2, (uint32_t[]){condition, last});
        m->graph->nodes[m->graph->n_nodes - 1].n_captured = 1;
        for (int b = 0; b < 2; b++) {
            tslim_graph *body = new_body(m, 1, (const char *const[]){"x"});
            add_relu(body, body->inputs[0]);
            give_body(m, b ? TSL_ATTR_else_branch : TSL_ATTR_then_branch, body);
        }
    }
    return last;
}

static uint32_t loops(maker *m, uint32_t n) {
    uint32_t trips, last = m->input;
    void *data;
    if (tsl_graph_add_constant(m->graph, "n", TSLIM_DTYPE_INT64, 0, NULL, &trips, &data) != TSLIM_OK) abort();
    *(int64_t *)data = 2;
    for (uint32_t i = 0; i < n / 8; i++) {
        last = node(m, TSL_OP_LOOP, NULL, 3, (uint32_t[]){trips, TSL_NONE, last});
        tslim_graph *body = new_body(m, 3, (const char *const[]){"i", "c", "x"});
        body->outputs[body->n_outputs++] = body->inputs[1];
        add_relu(body, body->inputs[2]);
        give_body(m, TSL_ATTR_body, body);
    }
    return last;
}

typedef struct kind {
    const char *name;
    uint32_t (*make)(maker *m, uint32_t n);
    tslim_status expected;
} kind;

static const kind kinds[] = {
    {"chain", relus, TSLIM_OK},
    {"identities", identities, TSLIM_OK},
    {"folded chain", folded, TSLIM_OK},
    {"constants", sums_with_constants, TSLIM_OK},
    {"readers of one value", readers_of_all, TSLIM_OK},
    {"one node of many inputs", one_wide_node, TSLIM_OK},
    {"equal names", equal_names, TSLIM_OK},
    {"unknown domains", strangers, TSLIM_ERROR_UNSUPPORTED},
    {"decided branches", decided_branches, TSLIM_OK},
    {"loops", loops, TSLIM_OK},
};

static tslim_status write_model(tslim_context *context, const kind *k, uint32_t n, const char *path) {
    maker m = {0};
    TSL_TRY(tsl_graph_create(context, &m.graph));
    m.graph->opset = 17;
    m.input = value(&m, "input");
    uint32_t output = k->make(&m, n);
    m.graph->inputs = &m.input;
    m.graph->outputs = &output;
    m.graph->n_inputs = m.graph->n_outputs = 1;
    bool onnx = strcmp(path + strlen(path) - 5, ".onnx") == 0;
    tslim_status status = onnx ? tsl_onnx_write(m.graph, path) : tsl_tslim_write(m.graph, path);
    tslim_graph_destroy(m.graph);
    return status;
}

static tslim_status run(const tslim_graph *graph) {
    tslim_session *session;
    float numbers[4] = {1, 2, 3, 4};
    tslim_tensor in = {TSLIM_DTYPE_FLOAT, 1, {4}, numbers, sizeof(numbers)}, out = {0};
    TSL_TRY(tslim_session_create(graph, NULL, &session));
    tslim_status status = tslim_session_run(session, &in, 1, &out, 1);
    tslim_session_destroy(session);
    return status;
}

static tslim_status use(tslim_context *context, const char *path) {
    tslim_graph *graph;
    tslim_graph_totals totals = {.struct_size = sizeof(totals)};
    TSL_TRY(tslim_graph_load_file(context, path, &graph));
    tslim_status status = tslim_graph_check(graph, NULL, NULL);
    if (status == TSLIM_OK) status = tslim_graph_measure(graph, NULL, 0, &totals);
    if (status == TSLIM_OK) status = run(graph);
    tslim_graph_destroy(graph);
    return status;
}

static double seconds_of(const kind *k, uint32_t n, const char *path) {
    tslim_context *context;
    tslim_context_options options;
    tslim_context_options_init(&options);
    options.n_threads = 1;
    options.limits.nodes = n > 100000 ? n : 100000;
    if (tslim_context_create(&options, &context) != TSLIM_OK ||
        write_model(context, k, n, path) != TSLIM_OK) {
        fprintf(stderr, "%s: cannot be made: %s\n", k->name, tslim_context_message(context));
        exit(1);
    }
    // The lesser of two: the first may have to ask the system for memory that the second finds in the heap,
    // and which of both sizes does depends on what ran before.
    tslim_status status = TSLIM_OK;
    double seconds = 0;
    for (int attempt = 0; attempt < 2; attempt++) {
        clock_t start = clock();
        status = use(context, path);
        double taken = (double)(clock() - start) / CLOCKS_PER_SEC;
        if (attempt == 0 || taken < seconds) seconds = taken;
    }
    if (status != k->expected) {
        fprintf(stderr, "%s of %u: %s: %s\n", k->name, n, tslim_status_name(status),
            tslim_context_message(context));
        exit(1);
    }
    tslim_context_destroy(context);
    unlink(path);
    return seconds;
}

int main(int argc, char **argv) {
    uint32_t nodes = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : NODES;
    char folder[] = "/tmp/fuzz_scale_XXXXXX", path[64];
    if (nodes < 8 || !mkdtemp(folder)) return 1;
    // Freed memory stays in the heap: what the system takes to give and take pages is not the library's work,
    // and only the larger of two models makes it do so.
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    int failures = 0;
    for (size_t i = 0; i < 2 * sizeof(kinds) / sizeof(*kinds); i++) {
        const kind *k = &kinds[i / 2];
        const char *format = i % 2 ? "onnx" : "tslim";
        snprintf(path, sizeof(path), "%s/model.%s", folder, format);
        double few = seconds_of(k, nodes, path), many = seconds_of(k, 4 * nodes, path);
        bool fine = many < LEAST_SECONDS || many < MOST_GROWTH * few;
        printf("%-24s %-5s %8.3f s of %u, %8.3f s of %u%s\n", k->name, format, few, nodes, many, 4 * nodes,
            fine ? "" : ": grows too fast");
        failures += !fine;
    }
    rmdir(folder);
    return failures > 0;
}
