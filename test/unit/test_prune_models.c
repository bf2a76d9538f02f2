// SPDX-License-Identifier: Apache-2.0
// The proof of surgery on real networks, from the folder that TSLIM_MODELS names; those that are not there
// are skipped by name. See support/pruning_proof.h.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/pruning_proof.h"

typedef struct model {
    const char *file;
    uint32_t least_prunable; // groups
    uint32_t n_shapes;
    tslim_input_shape shape;
} model;

static const model models[] = {
    {"resnet18.onnx", 12, 0, {0}},
    {"resnet50.onnx", 37, 0, {0}},
    {"mobilenet_v2.onnx", 25, 0, {0}},
    {"vgg16.onnx", 15, 0, {0}},
    {"ch_PP-OCRv4_det_infer.onnx", 36, 1, {NULL, 4, {1, 3, 64, 96}}},
    {"ch_PP-OCRv4_rec_infer.onnx", 19, 1, {NULL, 4, {1, 3, 48, 160}}},
    {"ch_ppocr_mobile_v2.0_cls_infer.onnx", 7, 1, {NULL, 4, {1, 3, 48, 192}}},
    {"320n.onnx", 59, 1, {NULL, 4, {1, 3, 320, 320}}},
};

// A last sigmoid or softmax hides differences where it saturates: what goes into it is compared.
static void look_before_saturation(tslim_graph *graph) {
    for (uint32_t i = 0; i < graph->n_outputs; i++) {
        uint32_t producer = graph->values[graph->outputs[i]].producer;
        if (producer == TSL_NONE) continue;
        tsl_op op = graph->nodes[producer].op;
        if (op == TSL_OP_SIGMOID || op == TSL_OP_SOFTMAX)
            graph->outputs[i] = graph->nodes[producer].inputs[0];
    }
}

static void prove_model(void **state) {
    const model *m = *state;
    const char *folder = getenv("TSLIM_MODELS");
    char path[512];
    tslim_context *ctx;
    tslim_graph *graph;
    pruning_proof proof = {0};
    snprintf(path, sizeof(path), "%s/%s", folder ? folder : ".", m->file);
    if (access(path, R_OK) != 0) {
        print_message("%s is not there: skipped\n", m->file);
        skip();
    }
    assert_int_equal(tslim_context_create(NULL, &ctx), TSLIM_OK);
    tslim_status status = tslim_graph_load_file(ctx, path, &graph);
    if (status != TSLIM_OK) fail_msg("%s: %s", m->file, tslim_context_message(ctx));
    look_before_saturation(graph);
    status = prove_pruning(graph, &m->shape, m->n_shapes, 0.3, 1, &proof);
    if (status != TSLIM_OK) fail_msg("%s: %s", m->file, tslim_context_message(ctx));
    print_message("%s: %u groups, %u channels pruned, error %.2g\n", m->file, proof.n_prunable,
        proof.n_removed, proof.error);
    assert_true(proof.n_prunable >= m->least_prunable);
    if (!(proof.error <= 1e-5)) fail_msg("%s: error %g", m->file, proof.error);
    tslim_graph_destroy(graph);
    tslim_context_destroy(ctx);
}

int main(void) {
    struct CMUnitTest tests[sizeof(models) / sizeof(models[0])];
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++)
        tests[i] = (struct CMUnitTest){
            .name = models[i].file, .test_func = prove_model, .initial_state = (void *)(uintptr_t)&models[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
