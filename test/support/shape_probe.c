// SPDX-License-Identifier: Apache-2.0
// Infers the shapes of single nodes that check_shapes.py writes to the standard input, and compares them with
// the shapes that it gives:
//
//   node <name> <operator> <opset>
//   int <attribute> <value> | ints <attribute> <count> <values> | text <attribute> <word> | type <attribute>
//   <dtype> absent input <dtype> <rank> <dims> <count, or -1: not constant> <values> output <dtype, or 0:
//   whatever> <rank> <dims> end
//
// Ends with "N nodes, M differ"; each that differs is named. Exit 1 if any does.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/shape_infer.h"
#include "support/node_builder.h"

#define MOST 64
#define WORD 256

typedef struct expected {
    tslim_dtype dtype;
    tsl_shape shape;
} expected;

typedef struct probe_case {
    char name[WORD];
    tsl_op op;
    node_builder builder;
    tsl_node attrs; // a node that only collects attributes
    expected outputs[MOST];
    uint32_t n_outputs;
} probe_case;

static void malformed(const char *what) {
    fprintf(stderr, "malformed input: %s\n", what);
    exit(2);
}

static int64_t read_int(void) {
    int64_t value;
    if (scanf("%" SCNd64, &value) != 1) malformed("an integer is missing");
    return value;
}

static const char *read_word(char word[WORD]) {
    if (scanf("%255s", word) != 1) malformed("a word is missing");
    return word;
}

static void read_shape(tsl_shape *shape) {
    *shape = (tsl_shape){.known = true};
    int64_t rank = read_int();
    if (rank < 0 || rank > TSLIM_MAX_RANK) malformed("a rank");
    for (; shape->rank < rank; shape->rank++) shape->dims[shape->rank] = read_int();
}

static void store(void *data, tslim_dtype dtype, size_t i, double real, int64_t integer) {
    if (dtype == TSLIM_DTYPE_FLOAT)
        ((float *)data)[i] = (float)real;
    else if (dtype == TSLIM_DTYPE_DOUBLE)
        ((double *)data)[i] = real;
    else if (dtype == TSLIM_DTYPE_INT64)
        ((int64_t *)data)[i] = integer;
    else if (dtype == TSLIM_DTYPE_INT32)
        ((int32_t *)data)[i] = (int32_t)integer;
    else
        malformed("a constant of that type");
}

static void read_input(node_builder *builder) {
    tslim_dtype dtype = (tslim_dtype)read_int();
    tsl_shape shape;
    read_shape(&shape);
    int64_t count = read_int();
    if (count < 0) {
        node_builder_value(builder, dtype, shape.rank, shape.dims);
        return;
    }
    uint32_t id;
    void *data;
    if (tsl_graph_add_constant(builder->graph, "c", dtype, shape.rank, shape.dims, &id, &data) != TSLIM_OK)
        malformed(tsl_message());
    for (int64_t i = 0; i < count; i++) {
        char word[WORD];
        read_word(word);
        store(data, dtype, (size_t)i, strtod(word, NULL), strtoll(word, NULL, 10));
    }
    builder->inputs[builder->n_inputs++] = id;
}

static void read_attr(probe_case *c, const char *kind) {
    char name[WORD], word[WORD];
    tsl_attr_id id = tsl_attr_find_id(read_word(name));
    tslim_graph *graph = c->builder.graph;
    tslim_status status = TSLIM_OK;
    if (strcmp(kind, "int") == 0) {
        status = tsl_node_set_int(graph, &c->attrs, id, read_int());
    } else if (strcmp(kind, "text") == 0) {
        status = tsl_node_set_string(graph, &c->attrs, id, read_word(word));
    } else if (strcmp(kind, "ints") == 0) {
        int64_t values[MOST], count = read_int();
        if (count < 0 || count > MOST) malformed("a long attribute");
        for (int64_t i = 0; i < count; i++) values[i] = read_int();
        status = tsl_node_set_ints(graph, &c->attrs, id, values, (size_t)count);
    } else { // a tensor of one element, of which the type matters
        uint32_t value;
        void *data;
        status =
            tsl_graph_add_constant(graph, "a", (tslim_dtype)read_int(), 1, (int64_t[]){1}, &value, &data);
        if (status == TSLIM_OK) status = tsl_node_set_int(graph, &c->attrs, id, (int64_t)value);
        if (status == TSLIM_OK) c->attrs.attrs.items[c->attrs.attrs.count - 1].type = TSL_ATTR_TYPE_TENSOR;
    }
    if (status != TSLIM_OK) malformed(tsl_message());
}

static bool read_case(probe_case *c) {
    char word[WORD];
    memset(c, 0, sizeof(*c));
    if (scanf("%255s", word) != 1) return false;
    if (strcmp(word, "node") != 0) malformed(word);
    read_word(c->name);
    c->op = tsl_op_find("", read_word(word));
    if (c->op == TSL_OP_UNKNOWN) malformed(word);
    if (!node_builder_init(&c->builder, (uint32_t)read_int())) malformed("no memory");
    while (strcmp(read_word(word), "end") != 0) {
        if (c->builder.n_inputs == BUILDER_MAX_INPUTS || c->n_outputs == MOST) malformed("too many operands");
        if (strcmp(word, "absent") == 0) {
            node_builder_absent(&c->builder);
        } else if (strcmp(word, "input") == 0) {
            read_input(&c->builder);
        } else if (strcmp(word, "output") == 0) {
            c->outputs[c->n_outputs].dtype = (tslim_dtype)read_int();
            read_shape(&c->outputs[c->n_outputs++].shape);
        } else {
            read_attr(c, word);
        }
    }
    return true;
}

static bool check_case(probe_case *c) {
    tsl_node *node = node_builder_add(&c->builder, c->op, c->n_outputs);
    if (!node) malformed("no memory");
    node->attrs = c->attrs.attrs;
    if (tsl_infer_node(c->builder.graph, c->builder.node) != TSLIM_OK) {
        printf("%s: %s\n", c->name, tsl_message());
        return false;
    }
    bool same = true;
    for (uint32_t i = 0; i < c->n_outputs; i++) {
        const tsl_value *value = tsl_node_output(c->builder.graph, node, i);
        const expected *wanted = &c->outputs[i];
        bool fits = value->shape.known && value->shape.rank == wanted->shape.rank &&
                    (wanted->dtype == TSLIM_DTYPE_NONE || wanted->dtype == value->dtype);
        for (uint32_t d = 0; fits && d < wanted->shape.rank; d++)
            fits = value->shape.dims[d] == wanted->shape.dims[d];
        char a[WORD], b[WORD];
        if (!fits)
            printf("%s: result %u is %s %s, not %s %s\n", c->name, i, tslim_dtype_name(value->dtype),
                tsl_shape_format(&value->shape, a, sizeof(a)), tslim_dtype_name(wanted->dtype),
                tsl_shape_format(&wanted->shape, b, sizeof(b)));
        same = same && fits;
    }
    return same;
}

int main(void) {
    static probe_case c;
    unsigned checked = 0, differ = 0;
    while (read_case(&c)) {
        checked++;
        if (!check_case(&c)) differ++;
        node_builder_free(&c.builder);
    }
    printf("%u nodes, %u differ\n", checked, differ);
    return differ ? 1 : 0;
}
