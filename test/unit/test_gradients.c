// SPDX-License-Identifier: Apache-2.0
// Every gradient rule against central differences in double precision, and floats against doubles at every
// instruction set. A case is a node, written in a line; a rule without a case fails the test.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <tinyslim/session.h>

#include "base/rng.h"
#include "ir/shape_infer.h"
#include "plan/specialize.h"
#include "support/graph_builder.h"
#include "train/differentiate.h"
#include "train/trainable.h"

#define STEP 1e-5
#define TOLERANCE 1e-6 // of the largest gradient
#define FLOAT_TOLERANCE 2e-4
#define MOST_INPUTS 8
#define MOST_DIFFERENCES 150 // of an operand

// Operands, one a word: a letter and dims. x: -2..2, none near a whole number or half of one; p: 0.5..1.5; s:
// -0.8..0.8; g: 1.5..2.5; d: all different, at least 0.01 apart; i, f: constants in brackets; m: integers,
// dims then numbers; c: bools; -: absent. small letters are differentiated, and capitals are inputs of the
// graph that are not. Attributes: name=ints, name~float, name:string; one number in =( ) is an int, not a
// list.
typedef struct gradient_case {
    tsl_op op;
    const char *operands, *attributes;
    uint32_t opset, n_outputs;
} gradient_case;

static const gradient_case cases[] = {
#include "unit/gradient_cases.inc"
};
#define N_WHOLE 5 // tests that are no cases
#define N_CASES (sizeof(cases) / sizeof(cases[0]))

static tslim_context *ctx;

static void must(tslim_status status, const gradient_case *c) {
    if (status == TSLIM_OK) return;
    fail_msg("%s(%s; %s): %s", tsl_op_get_info(c->op)->name, c->operands, c->attributes ? c->attributes : "",
        tsl_message());
}

// ---- Building ----

typedef struct network {
    tslim_graph *graph;
    uint32_t inputs[MOST_INPUTS], targets[MOST_INPUTS], n_targets;
    uint32_t loss;
    double *data[MOST_INPUTS]; // of the graph's inputs
    size_t elements[MOST_INPUTS];
    bool differentiated[MOST_INPUTS];
} network;

static uint32_t read_numbers(const char *text, double *numbers) {
    uint32_t count = 0;
    for (char *end; *text && *text != ' '; text = *end == ',' ? end + 1 : end) {
        numbers[count] = strtod(text, &end);
        if (end == text) break;
        count++;
    }
    return count;
}

static double draw(char kind, size_t i, size_t count, tsl_rng *rng) {
    const double u = tsl_rng_uniform(rng);
    switch (kind | 32) {
    case 'p':
        return 0.5 + u;
    case 'g':
        return 1.5 + u;
    case 's':
        return 1.6 * u - 0.8;
    case 'd': // a permutation, with some noise
        return ((double)(i * 7919 % count) - (double)count / 2) * 0.05 + 0.01 * u;
    default:
        return floor(8 * u) / 2 - 2 + 0.05 + 0.4 * tsl_rng_uniform(rng);
    }
}

static void add_list(network *n, uint32_t *list, uint32_t *count, uint32_t value) {
    (void)n;
    list[(*count)++] = value;
}

static uint32_t add_operand(
    network *n, const gradient_case *c, const char *word, tslim_dtype dtype, tsl_rng *rng) {
    double numbers[64];
    int64_t dims[TSLIM_MAX_RANK] = {0};
    uint32_t id = TSL_NONE;
    void *data;
    if (*word == '-') return TSL_NONE;
    if (word[1] == '[' || *word == 'i' ||
        *word == 'f') { // a list; i[] and f[] of rank 1, i() and f() scalars
        const bool scalar = word[1] == '(';
        const uint32_t count = read_numbers(word + 2, numbers);
        dims[0] = count;
        tslim_dtype type = *word == 'f' ? TSLIM_DTYPE_FLOAT : *word == 'n' ? dtype : TSLIM_DTYPE_INT64;
        must(tsl_graph_add_constant(n->graph, "list", type, scalar ? 0 : 1, dims, &id, &data), c);
        for (uint32_t i = 0; i < count; i++) {
            if (type == TSLIM_DTYPE_INT64) ((int64_t *)data)[i] = (int64_t)numbers[i];
            if (type == TSLIM_DTYPE_FLOAT) ((float *)data)[i] = (float)numbers[i];
            if (type == TSLIM_DTYPE_DOUBLE) ((double *)data)[i] = numbers[i];
        }
        return id;
    }
    const uint32_t rank = read_numbers(word + 1, numbers);
    for (uint32_t i = 0; i < rank; i++) dims[i] = (int64_t)numbers[i];
    if (*word == 'm') { // integers of those dims
        must(tsl_graph_add_constant(n->graph, "indices", TSLIM_DTYPE_INT64, rank, dims, &id, &data), c);
        const uint32_t count = read_numbers(strchr(word, '[') + 1, numbers);
        for (uint32_t i = 0; i < count; i++) ((int64_t *)data)[i] = (int64_t)numbers[i];
        return id;
    }
    if (*word == 'c') {
        must(tsl_graph_add_constant(n->graph, "bools", TSLIM_DTYPE_BOOL, rank, dims, &id, &data), c);
        for (size_t i = 0; i < n->graph->values[id].bytes; i++)
            ((uint8_t *)data)[i] = tsl_rng_uniform(rng) < 0.5;
        return id;
    }
    must(tsl_graph_add_value(n->graph, "x", dtype, &id), c);
    tsl_shape_set(&n->graph->values[id].shape, rank, dims);
    const uint32_t index = n->graph->n_inputs;
    add_list(n, n->inputs, &n->graph->n_inputs, id);
    n->differentiated[index] = *word >= 'a';
    if (n->differentiated[index]) add_list(n, n->targets, &n->n_targets, id);
    size_t count = 1;
    for (uint32_t i = 0; i < rank; i++) count *= (size_t)dims[i];
    n->elements[index] = count;
    n->data[index] = malloc(count * sizeof(double) + 1);
    for (size_t i = 0; i < count; i++) n->data[index][i] = draw(*word, i, count, rng);
    return id;
}

static void add_attributes(network *n, const gradient_case *c, tsl_node *node) {
    char name[40];
    for (const char *word = c->attributes; word && *word; word += strcspn(word, " "), word += *word == ' ') {
        const size_t length = strcspn(word, "=~:");
        double numbers[64];
        int64_t ints[64];
        snprintf(name, sizeof(name), "%.*s", (int)length, word);
        const tsl_attr_id id = tsl_attr_find_id(name);
        assert_true(id != TSL_ATTR_UNKNOWN);
        const char *value = word + length + 1;
        if (word[length] == '~') {
            must(tsl_node_set_float(n->graph, node, id, (float)strtod(value, NULL)), c);
        } else if (word[length] == ':') {
            char text[40];
            snprintf(text, sizeof(text), "%.*s", (int)strcspn(value, " "), value);
            must(tsl_node_set_string(n->graph, node, id, text), c);
        } else if (*value == '(') {
            must(tsl_node_set_int(n->graph, node, id, strtol(value + 1, NULL, 10)), c);
        } else {
            const uint32_t count = read_numbers(value, numbers);
            for (uint32_t i = 0; i < count; i++) ints[i] = (int64_t)numbers[i];
            must(tsl_node_set_ints(n->graph, node, id, ints, count), c);
        }
    }
}

static uint32_t add_node(network *n, const gradient_case *c, tsl_op op, uint32_t n_inputs,
    const uint32_t *inputs, uint32_t n_outputs, uint32_t *outputs, tslim_dtype dtype) {
    uint32_t index;
    for (uint32_t i = 0; i < n_outputs; i++) must(tsl_graph_add_value(n->graph, "y", dtype, &outputs[i]), c);
    must(tsl_graph_add_node(n->graph, op, NULL, n_inputs, inputs, n_outputs, outputs, &index), c);
    return index;
}

// loss = the sum of all real results, each element times a number of its own.
static void add_loss(
    network *n, const gradient_case *c, uint32_t n_outputs, const uint32_t *outputs, tsl_rng *rng) {
    n->loss = TSL_NONE;
    for (uint32_t k = 0; k < n_outputs; k++) {
        const tsl_value *y = &n->graph->values[outputs[k]];
        const tslim_dtype dtype = y->dtype;
        if (dtype != TSLIM_DTYPE_FLOAT && dtype != TSLIM_DTYPE_DOUBLE) continue;
        const tsl_shape shape = y->shape;
        uint32_t weights, product, sum, total;
        void *data;
        must(tsl_graph_add_constant(n->graph, "weights", dtype, shape.rank, shape.dims, &weights, &data), c);
        const size_t count = n->graph->values[weights].bytes / tslim_dtype_size(dtype);
        for (size_t i = 0; i < count; i++) {
            const double weight = tsl_rng_normal(rng);
            if (dtype == TSLIM_DTYPE_DOUBLE)
                ((double *)data)[i] = weight;
            else
                ((float *)data)[i] = (float)weight;
        }
        uint32_t node = add_node(n, c, TSL_OP_MUL, 2, (uint32_t[]){outputs[k], weights}, 1, &product, dtype);
        must(tsl_infer_node(n->graph, node), c);
        node = add_node(n, c, TSL_OP_REDUCE_SUM, 1, &product, 1, &sum, dtype);
        must(tsl_node_set_int(n->graph, &n->graph->nodes[node], TSL_ATTR_keepdims, 0), c);
        must(tsl_infer_node(n->graph, node), c);
        total = sum;
        if (n->loss != TSL_NONE) {
            node = add_node(n, c, TSL_OP_ADD, 2, (uint32_t[]){n->loss, sum}, 1, &total, dtype);
            must(tsl_infer_node(n->graph, node), c);
        }
        n->loss = total;
    }
}

// Outputs: the loss, then the gradients of the targets.
static void build(network *n, const gradient_case *c, tslim_dtype dtype, uint32_t *outputs) {
    uint32_t operands[MOST_INPUTS], n_operands = 0, results[MOST_INPUTS] = {0};
    tsl_rng rng;
    tsl_rng_seed(&rng, 7);
    *n = (network){0};
    must(tsl_graph_create(ctx, &n->graph), c);
    n->graph->opset = c->opset ? c->opset : 17;
    n->graph->inputs = n->inputs;
    for (const char *word = c->operands; *word; word += strcspn(word, " "), word += *word == ' ')
        operands[n_operands++] = add_operand(n, c, word, dtype, &rng);
    const uint32_t n_outputs = c->n_outputs ? c->n_outputs : 1;
    const uint32_t index = add_node(n, c, c->op, n_operands, operands, n_outputs, results, dtype);
    add_attributes(n, c, &n->graph->nodes[index]);
    must(tsl_infer_node(n->graph, index), c);
    add_loss(n, c, c->op == TSL_OP_BATCH_NORMALIZATION ? 1 : n_outputs, results, &rng);
    outputs[0] = n->loss;
    must(tsl_differentiate(n->graph, n->loss, n->targets, n->n_targets, outputs + 1), c);
    for (uint32_t i = 0; i < n->n_targets; i++) // a gradient of 0 has no node
        if (outputs[i + 1] == TSL_NONE) outputs[i + 1] = n->targets[i];
    n->graph->outputs = outputs;
    n->graph->n_outputs = n->n_targets + 1;
}

static void destroy(network *n) {
    for (uint32_t i = 0; i < n->graph->n_inputs; i++) free(n->data[i]);
    tslim_graph_destroy(n->graph);
}

// ---- Running ----

typedef struct runner {
    tslim_session *session;
    tslim_tensor inputs[MOST_INPUTS], outputs[MOST_INPUTS + 1];
    float *floats[MOST_INPUTS];
} runner;

static void runner_start(
    runner *r, const network *n, const gradient_case *c, tslim_dtype dtype, tslim_isa isa) {
    tslim_session_options options;
    tslim_session_options_init(&options);
    options.isa = isa;
    *r = (runner){0};
    must(tslim_session_create(n->graph, &options, &r->session), c);
    for (uint32_t i = 0; i < n->graph->n_inputs; i++) {
        const tsl_value *value = &n->graph->values[n->graph->inputs[i]];
        tslim_tensor *t = &r->inputs[i];
        *t = (tslim_tensor){.dtype = dtype, .rank = value->shape.rank, .data = n->data[i]};
        memcpy(t->dims, value->shape.dims, sizeof(t->dims));
        t->bytes = n->elements[i] * tslim_dtype_size(dtype);
        if (dtype == TSLIM_DTYPE_DOUBLE) continue;
        r->floats[i] = malloc(n->elements[i] * sizeof(float) + 1);
        for (size_t k = 0; k < n->elements[i]; k++) r->floats[i][k] = (float)n->data[i][k];
        t->data = r->floats[i];
    }
}

static void run(runner *r, const network *n, const gradient_case *c) {
    for (uint32_t i = 0; i <= n->n_targets; i++) r->outputs[i] = (tslim_tensor){0};
    must(tslim_session_run(r->session, r->inputs, n->graph->n_inputs, r->outputs, n->n_targets + 1), c);
}

static void runner_end(runner *r) {
    for (uint32_t i = 0; i < MOST_INPUTS; i++) free(r->floats[i]);
    tslim_session_destroy(r->session);
}

static double loss_of(runner *r, const network *n, const gradient_case *c) {
    run(r, n, c);
    return *(const double *)r->outputs[0].data;
}

// ---- Comparing ----

static double largest(const double *values, size_t count) {
    double most = 0;
    for (size_t i = 0; i < count; i++) most = fmax(most, fabs(values[i]));
    return most;
}

static void check_differences(
    runner *r, const network *n, const gradient_case *c, uint32_t input, const double *gradient) {
    const double scale = largest(gradient, n->elements[input]);
    double *x = n->data[input];
    const size_t step = n->elements[input] / MOST_DIFFERENCES + 1;
    for (size_t i = 0; i < n->elements[input]; i += step) {
        const double kept = x[i];
        x[i] = kept + STEP;
        const double above = loss_of(r, n, c);
        x[i] = kept - STEP;
        const double below = loss_of(r, n, c);
        x[i] = kept;
        const double wanted = (above - below) / (2 * STEP), error = fabs(wanted - gradient[i]);
        if (!(error <= TOLERANCE * fmax(scale, 1e-2)))
            fail_msg("%s(%s; %s): operand %u, element %zu: gradient %.12g, difference %.12g",
                tsl_op_get_info(c->op)->name, c->operands, c->attributes ? c->attributes : "", input, i,
                gradient[i], wanted);
    }
}

static void check_floats(const network *doubles, const gradient_case *c, double *const *gradients) {
    static const tslim_isa isas[] = {TSLIM_ISA_PORTABLE, TSLIM_ISA_DEFAULT};
    network n;
    uint32_t outputs[MOST_INPUTS + 1];
    build(&n, c, TSLIM_DTYPE_FLOAT, outputs);
    for (size_t level = 0; level < sizeof(isas) / sizeof(isas[0]); level++) {
        runner r;
        runner_start(&r, &n, c, TSLIM_DTYPE_FLOAT, isas[level]);
        run(&r, &n, c);
        for (uint32_t i = 0, k = 0; i < n.graph->n_inputs; i++) {
            if (!n.differentiated[i]) continue;
            const float *found = r.outputs[++k].data;
            const double scale = largest(gradients[k], doubles->elements[i]);
            for (size_t e = 0; e < doubles->elements[i]; e++)
                if (!(fabs((double)found[e] - gradients[k][e]) <= FLOAT_TOLERANCE * fmax(scale, 1e-2)))
                    fail_msg("%s(%s; %s) at %s: operand %u, element %zu: %.9g in float, %.9g in double",
                        tsl_op_get_info(c->op)->name, c->operands, c->attributes ? c->attributes : "",
                        tslim_isa_name(isas[level]), i, e, (double)found[e], gradients[k][e]);
        }
        runner_end(&r);
    }
    destroy(&n);
}

static void check_case(const gradient_case *c) {
    network n;
    runner r;
    uint32_t outputs[MOST_INPUTS + 1];
    double *gradients[MOST_INPUTS + 1] = {NULL};
    build(&n, c, TSLIM_DTYPE_DOUBLE, outputs);
    runner_start(&r, &n, c, TSLIM_DTYPE_DOUBLE, TSLIM_ISA_DEFAULT);
    run(&r, &n, c);
    for (uint32_t i = 0, k = 0; i < n.graph->n_inputs; i++) {
        if (!n.differentiated[i]) continue;
        k++;
        const size_t bytes = n.elements[i] * sizeof(double);
        assert_int_equal(r.outputs[k].bytes, bytes);
        gradients[k] = malloc(bytes + 1);
        memcpy(gradients[k], r.outputs[k].data, bytes);
        if (outputs[k] == n.targets[k - 1]) memset(gradients[k], 0, bytes);
    }
    for (uint32_t i = 0, k = 0; i < n.graph->n_inputs; i++)
        if (n.differentiated[i]) check_differences(&r, &n, c, i, gradients[++k]);
    runner_end(&r);
    bool zero = false;
    for (uint32_t k = 1; k <= n.n_targets; k++) zero = zero || outputs[k] == n.targets[k - 1];
    if (!zero) check_floats(&n, c, gradients);
    for (uint32_t k = 1; k <= n.n_targets; k++) free(gradients[k]);
    destroy(&n);
}

static void agrees_with_differences(void **state) {
    check_case(*state);
}

static void every_rule_has_a_case(void **state) {
    (void)state;
    static const struct {
        tsl_op op;
        const char *rule;
    } rules[] = {
#define TSL_OP(                                                                                              \
    id, name, domain, min_opset, max_opset, min_in, max_in, min_out, max_out, rule, shape, cpu, diff)        \
    {TSL_OP_##id, #diff},
#include "ir/ops.def"
#undef TSL_OP
    };
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        bool found = strcmp(rules[i].rule, "none") == 0;
        for (size_t k = 0; k < N_CASES && !found; k++) found = cases[k].op == rules[i].op;
        if (rules[i].op == TSL_OP_CAST || rules[i].op == TSL_OP_CAST_LIKE) continue; // see below
        if (rules[i].op == TSL_OP_CTC_LOSS) continue; // in test_train.c
        if (!found) fail_msg("%s has a gradient, but no case here", tsl_op_get_info(rules[i].op)->name);
    }
}

// ---- Whole networks ----

static void ok(tslim_status status) {
    if (status != TSLIM_OK) fail_msg("%s", tsl_message());
}

static uint32_t append(tslim_graph *graph, tsl_op op, uint32_t n_inputs, const uint32_t *inputs) {
    uint32_t y, node;
    ok(tsl_graph_add_value(graph, "y", graph->values[inputs[0]].dtype, &y));
    ok(tsl_graph_add_node(graph, op, NULL, n_inputs, inputs, 1, &y, &node));
    ok(tsl_infer_node(graph, node));
    return y;
}

// A value that several nodes read has the sum: the loss is sum(x * x + x), its gradient 2 x + 1.
static void readers_add_up(void **state) {
    (void)state;
    builder b;
    double values[3] = {0.5, -2, 3};
    builder_start(&b, ctx, 1);
    uint32_t x = build_input(&b, "x", 1, (const int64_t[]){3}), gradient;
    b.graph->values[x].dtype = TSLIM_DTYPE_DOUBLE;
    uint32_t square = append(b.graph, TSL_OP_MUL, 2, (uint32_t[]){x, x});
    uint32_t sum = append(b.graph, TSL_OP_ADD, 2, (uint32_t[]){square, x});
    uint32_t loss = append(b.graph, TSL_OP_REDUCE_SUM, 1, &sum);
    ok(tsl_differentiate(b.graph, loss, &x, 1, &gradient));
    build_output(&b, gradient);
    tslim_session *session;
    ok(tslim_session_create(b.graph, NULL, &session));
    tslim_tensor input = {
        .dtype = TSLIM_DTYPE_DOUBLE, .rank = 1, .dims = {3}, .data = values, .bytes = sizeof(values)};
    tslim_tensor output = {0};
    ok(tslim_session_run(session, &input, 1, &output, 1));
    for (size_t i = 0; i < 3; i++) assert_true(((const double *)output.data)[i] == 2 * values[i] + 1);
    tslim_session_destroy(session);
    tslim_graph_destroy(b.graph);
}

static void what_has_no_gradient_is_named(void **state) {
    (void)state;
    builder b;
    builder_start(&b, ctx, 1);
    uint32_t x = build_input(&b, "x", 3, (const int64_t[]){2, 3, 3}), gradient;
    uint32_t y = build_node(&b, TSL_OP_DET, "the first", 1, &x);
    builder_infer(&b);
    uint32_t z = build_node(&b, TSL_OP_HARDMAX, "the second", 1, &y);
    builder_infer(&b);
    uint32_t loss = append(b.graph, TSL_OP_REDUCE_SUM, 1, &z);
    assert_int_equal(tsl_differentiate(b.graph, loss, &x, 1, &gradient), TSLIM_ERROR_UNSUPPORTED);
    assert_non_null(strstr(tsl_message(), "'the first' (Det)"));
    assert_non_null(strstr(tsl_message(), "'the second' (Hardmax)"));
    // It does not depend on what is not read, nor on what it reads through integers.
    uint32_t other = build_input(&b, "other", 1, (const int64_t[]){2});
    uint32_t plain = append(b.graph, TSL_OP_REDUCE_SUM, 1, &other);
    ok(tsl_differentiate(b.graph, plain, &x, 1, &gradient));
    assert_int_equal(gradient, TSL_NONE);
    assert_int_equal(tsl_differentiate(b.graph, x, &x, 1, &gradient), TSLIM_ERROR_INVALID_ARGUMENT);
    tslim_graph_destroy(b.graph);
}

static void casts_pass_gradients_on(void **state) {
    (void)state;
    builder b;
    builder_start(&b, ctx, 1);
    const uint32_t x = build_input(&b, "x", 1, (const int64_t[]){3}),
                   like = build_input(&b, "like", 1, (const int64_t[]){1});
    b.graph->values[like].dtype = TSLIM_DTYPE_DOUBLE;
    uint32_t wide = build_node(&b, TSL_OP_CAST, NULL, 1, &x);
    ok(tsl_node_set_int(b.graph, built_node(&b), TSL_ATTR_to, TSLIM_DTYPE_DOUBLE));
    builder_infer(&b);
    uint32_t again = append(b.graph, TSL_OP_CAST_LIKE, 2, (uint32_t[]){wide, like}), gradient;
    uint32_t loss = append(b.graph, TSL_OP_REDUCE_SUM, 1, &again);
    ok(tsl_differentiate(b.graph, loss, &x, 1, &gradient));
    assert_int_equal(b.graph->values[gradient].dtype, TSLIM_DTYPE_FLOAT);
    build_output(&b, gradient);
    float values[3] = {1, 2, 3};
    double one = 1;
    tslim_session *session;
    ok(tslim_session_create(b.graph, NULL, &session));
    tslim_tensor inputs[2] = {
        {.dtype = TSLIM_DTYPE_FLOAT, .rank = 1, .dims = {3}, .data = values, .bytes = sizeof(values)},
        {.dtype = TSLIM_DTYPE_DOUBLE, .rank = 1, .dims = {1}, .data = &one, .bytes = sizeof(one)}};
    tslim_tensor output = {0};
    ok(tslim_session_run(session, inputs, 2, &output, 1));
    for (size_t i = 0; i < 3; i++) assert_true(((const float *)output.data)[i] == 1);
    tslim_session_destroy(session);
    tslim_graph_destroy(b.graph);
}

// As many images as channels, so that a vector of channels could be taken for one of images.
#define BATCH 16

static void build_network(builder *b) {
    builder_start(b, ctx, 3);
    uint32_t x = build_input(b, "input", 4, (const int64_t[]){BATCH, 3, 24, 24});
    x = build_unary(b, TSL_OP_RELU, build_batch_norm(b, build_conv(b, "stem", x, BATCH, 3, 1, 1, false)));
    uint32_t y = build_unary(b, TSL_OP_HARD_SWISH, build_conv(b, "depthwise", x, BATCH, 3, 1, BATCH, true));
    x = build_binary(b, TSL_OP_ADD, x, y);
    x = build_max_pool(b, build_batch_norm(b, build_conv(b, "wide", x, 40, 3, 2, 1, true)));
    x = build_unary(b, TSL_OP_GLOBAL_AVERAGE_POOL, x);
    x = build_reshape(b, x, 2, (const int64_t[]){0, -1});
    build_output(b, build_gemm(b, "classifier", x, 10, true));
}

// The trained network's gradients, then its next statistics, one behind the other; made by so many threads.
static float *train_once(uint32_t n_threads, bool fused, size_t *count) {
    tslim_context *own;
    tslim_context_options options;
    tslim_context_options_init(&options);
    options.n_threads = n_threads;
    ok(tslim_context_create(&options, &own));
    tslim_context *kept = ctx;
    ctx = own;
    builder b;
    build_network(&b);
    tslim_graph *original, *graph;
    tsl_trainable t;
    ok(tslim_graph_clone(b.graph, &original));
    ok(tsl_make_trainable(b.graph, NULL, &t));
    assert_int_equal(t.n_parameters, 11);
    assert_int_equal(t.n_statistics, 4);
    ok(tsl_graph_specialize(b.graph, NULL, 0, &graph));
    uint32_t targets[16], outputs[16], n_outputs = 0;
    for (uint32_t i = 0; i < t.n_parameters; i++) targets[i] = graph->inputs[t.parameters[i].input];
    const uint32_t square = append(graph, TSL_OP_MUL, 2, (uint32_t[]){graph->outputs[0], graph->outputs[0]});
    const uint32_t loss = append(graph, TSL_OP_REDUCE_MEAN, 1, &square);
    ok(tsl_differentiate(graph, loss, targets, t.n_parameters, outputs));
    n_outputs = t.n_parameters;
    for (uint32_t n = 0; n < graph->n_nodes;
         n++) // the values that statistics are next are the nodes' outputs
        if (graph->nodes[n].op == TSL_OP_BATCH_NORMALIZATION)
            for (uint32_t i = 1; i < 3; i++) outputs[n_outputs++] = graph->nodes[n].outputs[i];
    graph->outputs = outputs;
    graph->n_outputs = n_outputs;
    tslim_session *session;
    tslim_session_options session_options;
    tslim_session_options_init(&session_options);
    session_options.no_fusion = !fused;
    ok(tslim_session_create(graph, &session_options, &session));
    tslim_tensor inputs[32], results[16] = {{0}};
    tsl_rng rng;
    tsl_rng_seed(&rng, 5);
    for (uint32_t i = 0; i < graph->n_inputs; i++) {
        const tsl_value *value = &graph->values[graph->inputs[i]];
        const uint32_t constant = tsl_graph_find_value(original, value->name);
        uint64_t elements;
        ok(tsl_shape_elements(own, &value->shape, &elements));
        inputs[i] = (tslim_tensor){
            .dtype = TSLIM_DTYPE_FLOAT, .rank = value->shape.rank, .bytes = elements * sizeof(float)};
        memcpy(inputs[i].dims, value->shape.dims, sizeof(inputs[i].dims));
        inputs[i].data = malloc(inputs[i].bytes);
        for (uint64_t k = 0; k < elements; k++) ((float *)inputs[i].data)[k] = (float)tsl_rng_normal(&rng);
        if (tsl_value_is_constant(&original->values[constant]))
            memcpy(inputs[i].data, original->values[constant].data, inputs[i].bytes);
    }
    ok(tslim_session_run(session, inputs, graph->n_inputs, results, n_outputs));
    size_t bytes = 0, at = 0;
    for (uint32_t i = 0; i < n_outputs; i++) bytes += results[i].bytes;
    float *all = malloc(bytes);
    for (uint32_t i = 0; i < n_outputs; at += results[i++].bytes)
        memcpy((char *)all + at, results[i].data, results[i].bytes);
    *count = bytes / sizeof(float);
    for (uint32_t i = 0; i < graph->n_inputs; i++) free(inputs[i].data);
    tslim_session_destroy(session);
    tsl_trainable_free(&t);
    tslim_graph_destroy(graph);
    tslim_graph_destroy(original);
    tslim_graph_destroy(b.graph);
    tslim_context_destroy(own);
    ctx = kept;
    return all;
}

static void threads_change_no_bit(void **state) {
    (void)state;
    size_t count, other;
    float *one = train_once(1, true, &count);
    for (uint32_t threads = 2; threads <= 5; threads++) {
        float *several = train_once(threads, true, &other);
        assert_int_equal(count, other);
        assert_memory_equal(one, several, count * sizeof(float));
        free(several);
    }
    // Passes round otherwise, but change nothing else.
    float *unfused = train_once(1, false, &other);
    assert_int_equal(count, other);
    double most = 0;
    for (size_t i = 0; i < count; i++) most = fmax(most, fabs((double)one[i]));
    for (size_t i = 0; i < count; i++) assert_true(fabs((double)one[i] - (double)unfused[i]) <= 1e-4 * most);
    free(unfused);
    free(one);
}

static int start(void **state) {
    (void)state;
    return tslim_context_create(NULL, &ctx) == TSLIM_OK ? 0 : -1;
}

static int end(void **state) {
    (void)state;
    tslim_context_destroy(ctx);
    return 0;
}

int main(void) {
    static struct CMUnitTest tests[N_WHOLE + N_CASES] = {cmocka_unit_test(every_rule_has_a_case),
        cmocka_unit_test(readers_add_up), cmocka_unit_test(what_has_no_gradient_is_named),
        cmocka_unit_test(casts_pass_gradients_on), cmocka_unit_test(threads_change_no_bit)};
    static char names[N_CASES][160];
    for (size_t i = 0; i < N_CASES; i++) {
        const gradient_case *c = &cases[i];
        snprintf(names[i], sizeof(names[i]), "%s(%s; %s)", tsl_op_get_info(c->op)->name, c->operands,
            c->attributes ? c->attributes : "");
        tests[N_WHOLE + i] =
            (struct CMUnitTest){names[i], agrees_with_differences, NULL, NULL, (void *)(uintptr_t)c};
    }
    return cmocka_run_group_tests(tests, start, end);
}
