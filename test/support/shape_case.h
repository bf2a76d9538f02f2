// SPDX-License-Identifier: Apache-2.0
// Words for tests of shape functions: start(opset), operands, add(op), attributes, then expect("1x2x3") or
// expect_failure(status, "part of the message"). To be included after cmocka.h, by one file of an executable.
#ifndef TEST_SUPPORT_SHAPE_CASE_H
#define TEST_SUPPORT_SHAPE_CASE_H

#include <string.h>

#include "ir/shape_infer.h"
#include "support/node_builder.h"

#define DIMS(...)                                                                                            \
    sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (const int64_t[]) {                            \
        __VA_ARGS__                                                                                          \
    }
#define FLOAT TSLIM_DTYPE_FLOAT

static node_builder b; // the case at hand

static inline void start(uint32_t opset) {
    assert_true(node_builder_init(&b, opset));
}

static inline uint32_t value(uint32_t rank, const int64_t *dims) {
    return node_builder_value(&b, FLOAT, rank, dims);
}

static inline uint32_t ints(size_t count, const int64_t *values) {
    return node_builder_ints(&b, count, values);
}

static inline void add(tsl_op op, uint32_t n_outputs) {
    assert_non_null(node_builder_add(&b, op, n_outputs));
}

static inline void attr_int(tsl_attr_id id, int64_t v) {
    assert_int_equal(tsl_node_set_int(b.graph, &b.graph->nodes[b.node], id, v), TSLIM_OK);
}

static inline void attr_ints(tsl_attr_id id, size_t count, const int64_t *values) {
    assert_int_equal(tsl_node_set_ints(b.graph, &b.graph->nodes[b.node], id, values, count), TSLIM_OK);
}

static inline void attr_text(tsl_attr_id id, const char *text) {
    assert_int_equal(tsl_node_set_string(b.graph, &b.graph->nodes[b.node], id, text), TSLIM_OK);
}

static inline const tsl_value *output(uint32_t index) {
    return tsl_node_output(b.graph, &b.graph->nodes[b.node], index);
}

// Infers and compares every output, written as "2x3,4"; frees the graph.
static inline void expect(const char *wanted) {
    char text[256], all[1024] = "";
    tslim_status status = tsl_infer_node(b.graph, b.node);
    if (status != TSLIM_OK) fail_msg("%s", tsl_message());
    for (uint32_t i = 0; i < b.graph->nodes[b.node].n_outputs; i++) {
        if (i) strcat(all, ",");
        strcat(all, tsl_shape_format(&output(i)->shape, text, sizeof(text)));
    }
    assert_string_equal(all, wanted);
    node_builder_free(&b);
}

// Infers and expects a failure whose message holds `part`; frees the graph.
static inline void expect_failure(tslim_status wanted, const char *part) {
    assert_int_equal(tsl_infer_node(b.graph, b.node), wanted);
    if (!strstr(tsl_message(), part)) fail_msg("'%s' is not in '%s'", part, tsl_message());
    assert_non_null(strstr(tsl_message(), "node 'node' ("));
    node_builder_free(&b);
}

#endif
