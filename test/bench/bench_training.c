// SPDX-License-Identifier: Apache-2.0
// Times a training step (forward, backward) of a classifier, and writes its gradients where asked:
//   bench_training model.onnx batch steps [folder]
// Images are random, the loss is cross-entropy with the classes in turn (or the mean square, of what is no
// classifier). With a folder, every input of the step (input.f32, parameters) and its gradient
// (<parameter>.gradient.f32) go there as raw floats, for comparing.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <tinyslim/context.h>
#include <tinyslim/session.h>

#include "base/rng.h"
#include "ir/shape_infer.h"
#include "plan/specialize.h"
#include "train/differentiate.h"
#include "train/trainable.h"

// Of images whose size the model leaves open.
#define SIZE 64

static void must(tslim_status status) {
    if (status == TSLIM_OK) return;
    fprintf(stderr, "%s\n", tsl_message());
    exit(1);
}

static uint32_t add(tslim_graph *graph, tsl_op op, uint32_t n_inputs, const uint32_t *inputs, int64_t axis) {
    uint32_t output, node;
    must(tsl_graph_add_value(graph, "loss", TSLIM_DTYPE_FLOAT, &output));
    must(tsl_graph_add_node(graph, op, NULL, n_inputs, inputs, 1, &output, &node));
    if (op == TSL_OP_LOG_SOFTMAX) must(tsl_node_set_int(graph, &graph->nodes[node], TSL_ATTR_axis, axis));
    must(tsl_infer_node(graph, node));
    return output;
}

// The mean of -log(softmax(logits)) at each label.
static uint32_t add_cross_entropy(tslim_graph *graph, uint32_t logits) {
    const tsl_shape shape = graph->values[logits].shape;
    if (shape.rank != 2) { // no classifier: the mean square
        const uint32_t square = add(graph, TSL_OP_MUL, 2, (uint32_t[]){logits, logits}, 0);
        return add(graph, TSL_OP_REDUCE_MEAN, 1, &square, 0);
    }
    const int64_t batch = shape.dims[0], classes = shape.dims[1];
    uint32_t weights;
    void *data;
    must(tsl_graph_add_constant(graph, "labels", TSLIM_DTYPE_FLOAT, 2, shape.dims, &weights, &data));
    for (int64_t i = 0; i < batch; i++) ((float *)data)[i * classes + i % classes] = -1 / (float)batch;
    const uint32_t logarithms = add(graph, TSL_OP_LOG_SOFTMAX, 1, &logits, 1);
    const uint32_t product = add(graph, TSL_OP_MUL, 2, (uint32_t[]){logarithms, weights}, 0);
    return add(graph, TSL_OP_REDUCE_SUM, 1, &product, 0);
}

static void write_floats(
    const char *folder, const char *name, const char *suffix, const float *data, size_t bytes) {
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s%s", folder, name, suffix);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, bytes, file) != bytes) fprintf(stderr, "cannot write %s\n", path);
    if (file) fclose(file);
}

static void fill_inputs(const tslim_graph *original, const tslim_graph *graph, tslim_tensor *inputs) {
    tsl_rng rng;
    tsl_rng_seed(&rng, 1);
    for (uint32_t i = 0; i < graph->n_inputs; i++) {
        const tsl_value *value = &graph->values[graph->inputs[i]];
        const uint32_t constant = tsl_graph_find_value(original, value->name);
        uint64_t elements;
        must(tsl_shape_elements(graph->ctx, &value->shape, &elements));
        inputs[i] = (tslim_tensor){
            .dtype = TSLIM_DTYPE_FLOAT, .rank = value->shape.rank, .bytes = elements * sizeof(float)};
        memcpy(inputs[i].dims, value->shape.dims, sizeof(inputs[i].dims));
        float *data = inputs[i].data = malloc(inputs[i].bytes + 64);
        if (constant != TSL_NONE && tsl_value_is_constant(&original->values[constant]))
            memcpy(data, original->values[constant].data, inputs[i].bytes);
        else
            for (uint64_t k = 0; k < elements; k++) data[k] = (float)tsl_rng_normal(&rng);
    }
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_time(const void *a, const void *b) {
    const tslim_step_profile *x = a, *y = b;
    return x->least_nanoseconds < y->least_nanoseconds   ? 1
           : x->least_nanoseconds > y->least_nanoseconds ? -1
                                                         : 0;
}

static void print_profile(const tslim_session *session) {
    static tslim_step_profile steps[4096];
    const uint32_t count = tslim_session_step_count(session);
    double total = 0;
    for (uint32_t i = 0; i < count && i < 4096; i++) {
        must(tslim_session_step_profile(session, i, &steps[i]));
        total += (double)steps[i].least_nanoseconds * 1e-6;
    }
    printf(
        "%.2f ms for each node's least, %.0f MB\n", total, (double)tslim_session_arena_bytes(session) / 1e6);
    qsort(steps, count, sizeof(steps[0]), by_time);
    for (uint32_t i = 0; i < count && i < 40; i++)
        printf("%8.3f ms %6.1f GFLOPS  %-28s %s\n", (double)steps[i].least_nanoseconds * 1e-6,
            2 * (double)steps[i].macs / (double)steps[i].least_nanoseconds, steps[i].kernel, steps[i].node);
}

int main(int argc, char **argv) {
    if (argc < 4) return fprintf(stderr, "bench_training model.onnx batch steps [folder]\n"), 2;
    const char *folder = argc > 4 ? argv[4] : NULL;
    tslim_context *ctx;
    tslim_context_options options;
    tslim_context_options_init(&options);
    options.n_threads = getenv("THREADS") ? (uint32_t)atoi(getenv("THREADS")) : 1;
    must(tslim_context_create(&options, &ctx));
    tslim_graph *original, *trained, *graph;
    must(tslim_graph_load_file(ctx, argv[1], &original));
    must(tslim_graph_clone(original, &trained));
    tsl_trainable trainable;
    must(tsl_make_trainable(trained, NULL, &trainable));
    const tsl_value *image = &trained->values[trained->inputs[0]];
    tslim_input_shape shape = {.name = image->name, .rank = image->shape.rank};
    for (uint32_t i = 0; i < shape.rank; i++)
        shape.dims[i] = image->shape.dims[i] < 0 ? SIZE : image->shape.dims[i];
    shape.dims[0] = atoi(argv[2]);
    must(tsl_graph_specialize(trained, &shape, 1, &graph));

    uint32_t targets[1024], gradients[1024], outputs[2048], n_outputs = 1;
    for (uint32_t i = 0; i < trainable.n_parameters; i++)
        targets[i] = graph->inputs[trainable.parameters[i].input];
    outputs[0] = add_cross_entropy(graph, graph->outputs[0]);
    must(tsl_differentiate(graph, outputs[0], targets, trainable.n_parameters, gradients));
    for (uint32_t i = 0; i < trainable.n_parameters; i++)
        if (gradients[i] != TSL_NONE) outputs[n_outputs++] = gradients[i];
    graph->outputs = outputs;
    graph->n_outputs = n_outputs;

    tslim_session *session;
    must(tslim_session_create(graph, NULL, &session));
    static tslim_tensor inputs[2048], results[2048];
    fill_inputs(original, graph, inputs);
    must(tslim_session_profile(session, true));
    double least = INFINITY;
    for (int step = 0; step < atoi(argv[3]); step++) {
        memset(results, 0, sizeof(results));
        const double start = now();
        must(tslim_session_run(session, inputs, graph->n_inputs, results, n_outputs));
        least = fmin(least, now() - start);
    }
    printf("loss %.7f, %u parameters, %.2f ms a step\n", (double)*(const float *)results[0].data,
        trainable.n_parameters, least * 1e3);
    print_profile(session);
    if (folder) {
        for (uint32_t i = 0; i < graph->n_inputs; i++)
            write_floats(
                folder, graph->values[graph->inputs[i]].name, ".f32", inputs[i].data, inputs[i].bytes);
        for (uint32_t i = 0, k = 1; i < trainable.n_parameters; i++)
            if (gradients[i] != TSL_NONE) {
                write_floats(
                    folder, trainable.parameters[i].name, ".gradient.f32", results[k].data, results[k].bytes);
                k++;
            }
    }
    tslim_session_destroy(session);
    for (uint32_t i = 0; i < graph->n_inputs; i++) free(inputs[i].data);
    tsl_trainable_free(&trainable);
    tslim_graph_destroy(graph);
    tslim_graph_destroy(trained);
    tslim_graph_destroy(original);
    tslim_context_destroy(ctx);
    return 0;
}
