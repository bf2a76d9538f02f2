// SPDX-License-Identifier: Apache-2.0
// What is compared with what, and how the losses add up. The losses themselves are in loss_terms.c.
#include "train/loss.h"

#include <inttypes.h>
#include <string.h>

#include "train/loss_terms.h"

// ---- Logits ----

static bool ends_in(const tslim_graph *graph, uint32_t value, tslim_loss loss, const tsl_node **node) {
    for (;;) {
        uint32_t producer = graph->values[value].producer;
        if (producer == TSL_NONE) return false;
        *node = &graph->nodes[producer];
        const tsl_op op = (*node)->op;
        if (op != TSL_OP_IDENTITY)
            return loss == TSLIM_LOSS_BINARY_CROSS_ENTROPY ? op == TSL_OP_SIGMOID
                                                           : op == TSL_OP_SOFTMAX || op == TSL_OP_LOG_SOFTMAX;
        value = (*node)->inputs[0];
    }
}

static bool has_softmax(tslim_loss loss) {
    return loss == TSLIM_LOSS_CROSS_ENTROPY || loss == TSLIM_LOSS_KL || loss == TSLIM_LOSS_CTC;
}

tslim_status tsl_find_logits(
    const tslim_graph *graph, uint32_t value, tslim_loss loss, uint32_t *logits, uint32_t *axis) {
    const tsl_node *node = NULL;
    const tsl_shape *shape = &graph->values[value].shape;
    const uint32_t last = shape->rank > 0 ? shape->rank - 1 : 0;
    uint32_t classes = shape->rank == 4 ? 1 : last;
    *logits = value;
    if (has_softmax(loss) && ends_in(graph, value, loss, &node)) {
        const bool old = graph->opset < 13;
        int64_t given = tsl_attrs_int(&node->attrs, TSL_ATTR_axis, old ? 1 : -1);
        if (given < 0) given += shape->rank;
        TSL_REQUIRE(given >= 0 && given <= last && (!old || given == last), TSLIM_ERROR_UNSUPPORTED,
            "node '%s' (%s): classes over several axes", node->name, node->op_type);
        classes = (uint32_t)given;
        *logits = node->inputs[0];
    } else if (loss == TSLIM_LOSS_BINARY_CROSS_ENTROPY && ends_in(graph, value, loss, &node))
        *logits = node->inputs[0];
    if (axis) *axis = classes;
    return TSLIM_OK;
}

// ---- The teacher ----

tslim_status tsl_choose_teacher_losses(
    const tslim_graph *graph, const tslim_train_options *options, tslim_loss *losses) {
    const tsl_node *node;
    for (uint32_t i = 0; i < graph->n_outputs; i++) {
        const uint32_t output = graph->outputs[i];
        losses[i] = options->teacher_loss;
        if (losses[i] != TSLIM_LOSS_AUTO) continue;
        if (ends_in(graph, output, TSLIM_LOSS_KL, &node) || graph->values[output].shape.rank == 2)
            losses[i] = TSLIM_LOSS_KL;
        if (ends_in(graph, output, TSLIM_LOSS_BINARY_CROSS_ENTROPY, &node))
            losses[i] = TSLIM_LOSS_BINARY_CROSS_ENTROPY;
        if (losses[i] == TSLIM_LOSS_AUTO) losses[i] = TSLIM_LOSS_MSE;
    }
    return TSLIM_OK;
}

static tslim_status find_feature(const tslim_graph *graph, const char *name, uint32_t *value) {
    TSL_REQUIRE(name, TSLIM_ERROR_INVALID_ARGUMENT, "a feature has no name");
    *value = tsl_graph_find_value(graph, name);
    TSL_REQUIRE(*value != TSL_NONE && !tsl_value_is_constant(&graph->values[*value]),
        TSLIM_ERROR_INVALID_ARGUMENT, "the model computes no value '%s'", name);
    return TSLIM_OK;
}

tslim_status tsl_make_teacher(
    tslim_graph *teacher, const tslim_train_options *options, const tslim_loss *losses, uint32_t n_losses) {
    TSL_REQUIRE(teacher->n_outputs == n_losses, TSLIM_ERROR_INVALID_ARGUMENT,
        "the teacher has %" PRIu32 " outputs, the model %" PRIu32, teacher->n_outputs, n_losses);
    uint32_t *outputs =
        tsl_arena_array(&teacher->arena, (size_t)n_losses + options->n_features, sizeof(*outputs));
    TSL_REQUIRE_MEMORY(outputs, n_losses * sizeof(*outputs));
    for (uint32_t i = 0; i < n_losses; i++)
        TSL_TRY(tsl_find_logits(teacher, teacher->outputs[i], losses[i], &outputs[i], NULL));
    for (uint32_t i = 0; i < options->n_features; i++) {
        const char *name = options->teacher_features ? options->teacher_features[i] : options->features[i];
        tslim_status status = find_feature(teacher, name, &outputs[n_losses + i]);
        if (status != TSLIM_OK) return tsl_fail_prefix(status, "the teacher");
    }
    teacher->outputs = outputs;
    teacher->n_outputs = n_losses + options->n_features;
    return TSLIM_OK;
}

// ---- Joining ----

typedef struct joiner {
    tsl_gradient g;
    const tsl_loss_plan *plan;
    tsl_losses *losses;
    int64_t n_samples;
} joiner;

static tslim_status add_input(joiner *j, tsl_loss_feed feed, uint32_t index, tslim_dtype dtype,
    const char *name, const tsl_shape *shape, uint32_t *value) {
    tslim_graph *graph = j->g.graph;
    tsl_losses *l = j->losses;
    TSL_REQUIRE(l->n_inputs < TSL_MAX_LOSS_INPUTS, TSLIM_ERROR_LIMIT, "more than %d values are compared",
        TSL_MAX_LOSS_INPUTS);
    TSL_TRY(tsl_graph_add_value(graph, name, dtype, value));
    tsl_shape_set(&graph->values[*value].shape, shape->rank, shape->dims);
    uint32_t *inputs = tsl_arena_array(&graph->arena, (size_t)graph->n_inputs + 1, sizeof(*inputs));
    TSL_REQUIRE_MEMORY(inputs, graph->n_inputs * sizeof(*inputs));
    if (graph->n_inputs > 0) memcpy(inputs, graph->inputs, graph->n_inputs * sizeof(*inputs));
    inputs[graph->n_inputs++] = *value;
    graph->inputs = inputs;
    uint64_t elements;
    TSL_TRY(tsl_shape_elements(graph->ctx, shape, &elements));
    l->inputs[l->n_inputs++] = (tsl_loss_input){feed, index, elements};
    return TSLIM_OK;
}

static tslim_status require_batch(const joiner *j, uint32_t value) {
    const tsl_value *v = &j->g.graph->values[value];
    char text[128];
    TSL_REQUIRE(v->dtype == TSLIM_DTYPE_FLOAT && v->shape.known && v->shape.rank >= 1 &&
                    v->shape.dims[0] == j->n_samples && tsl_shape_is_static(&v->shape),
        TSLIM_ERROR_UNSUPPORTED,
        "'%s' is %s %s: a loss wants floats, and the batch of %" PRId64 " as first dim", v->name,
        tslim_dtype_name(v->dtype), tsl_shape_format(&v->shape, text, sizeof text), j->n_samples);
    return TSLIM_OK;
}

// Both have the same shape.
static tslim_status require_alike(const tsl_value *value, const tsl_shape *other, const char *whose) {
    char text[128], other_text[128];
    bool alike = value->shape.rank == other->rank &&
                 memcmp(value->shape.dims, other->dims, other->rank * sizeof(*other->dims)) == 0;
    TSL_REQUIRE(alike, TSLIM_ERROR_INVALID_ARGUMENT, "'%s' is %s, %s is %s", value->name,
        tsl_shape_format(&value->shape, text, sizeof text), whose,
        tsl_shape_format(other, other_text, sizeof other_text));
    return TSLIM_OK;
}

static tslim_status join_classes(joiner *j, uint32_t output, uint32_t *term) {
    tslim_graph *graph = j->g.graph;
    uint32_t logits, axis, target;
    TSL_TRY(tsl_find_logits(graph, output, TSLIM_LOSS_CROSS_ENTROPY, &logits, &axis));
    uint32_t rows = tsl_loss_rows(&j->g, logits, axis);
    TSL_TRY(j->g.status);
    const tsl_shape shape = graph->values[rows].shape;
    char text[128];
    TSL_REQUIRE(shape.dims[0] == j->n_samples && shape.dims[1] <= INT32_MAX, TSLIM_ERROR_INVALID_ARGUMENT,
        "'%s' is %s: cross-entropy with labels wants one row of classes a sample", graph->values[output].name,
        tsl_shape_format(&graph->values[output].shape, text, sizeof text));
    TSL_TRY(add_input(j, TSL_FEED_CLASSES, 0, TSLIM_DTYPE_FLOAT, "classes", &shape, &target));
    *term = tsl_loss_cross_entropy(&j->g, rows, target, j->n_samples);
    return j->g.status;
}

static tslim_status find_scores(joiner *j, uint32_t output) {
    uint32_t logits, axis;
    TSL_TRY(tsl_find_logits(j->g.graph, output, TSLIM_LOSS_CROSS_ENTROPY, &logits, &axis));
    uint32_t rows = tsl_loss_rows(&j->g, logits, axis);
    TSL_TRY(j->g.status);
    const tsl_shape *shape = &j->g.graph->values[rows].shape;
    if (shape->dims[0] != j->n_samples || shape->dims[1] > INT32_MAX) return TSLIM_OK;
    j->losses->scores = rows;
    j->losses->n_classes = (uint32_t)shape->dims[1];
    return TSLIM_OK;
}

static tslim_status join_target(joiner *j, uint32_t output, tslim_loss loss, uint32_t *term) {
    tslim_graph *graph = j->g.graph;
    const tslim_tensor *given = j->plan->target;
    uint32_t target, logits;
    tsl_shape shape = {0};
    tsl_shape_set(&shape, given->rank, given->dims);
    if (loss == TSLIM_LOSS_CTC) {
        const tsl_value *value = &graph->values[output];
        char text[2][128];
        TSL_REQUIRE(value->shape.rank == 3 && shape.rank == 2, TSLIM_ERROR_INVALID_ARGUMENT,
            "'%s' is %s, the target %s: CTC wants N x steps x classes and N x length", value->name,
            tsl_shape_format(&value->shape, text[0], sizeof text[0]),
            tsl_shape_format(&shape, text[1], sizeof text[1]));
        TSL_TRY(tsl_find_logits(graph, output, loss, &logits, NULL));
        TSL_TRY(add_input(j, TSL_FEED_SEQUENCES, 0, TSLIM_DTYPE_INT64, "target", &shape, &target));
        *term = tsl_loss_ctc(&j->g, logits, target);
        return j->g.status;
    }
    TSL_TRY(require_alike(&graph->values[output], &shape, "the target"));
    TSL_TRY(tsl_find_logits(graph, output, loss, &logits, NULL));
    TSL_TRY(add_input(j, TSL_FEED_TARGET, 0, TSLIM_DTYPE_FLOAT, "target", &shape, &target));
    *term = loss == TSLIM_LOSS_MSE
                ? tsl_loss_mse(&j->g, logits, target, j->n_samples)
                : tsl_loss_binary_cross_entropy(&j->g, logits, target, false, j->n_samples);
    return j->g.status;
}

// The derivative of sum(output * derivative) by the output is the derivative. As rows of one dim they are
// never brought into another layout, which would be done before they are known.
static tslim_status join_callback(joiner *j, const uint32_t *outputs, uint32_t n_outputs, uint32_t *total) {
    tsl_gradient *g = &j->g;
    for (uint32_t i = 0; i < n_outputs; i++) {
        TSL_TRY(require_batch(j, outputs[i]));
        uint64_t elements;
        uint32_t derivative;
        TSL_TRY(tsl_shape_elements(g->graph->ctx, &g->graph->values[outputs[i]].shape, &elements));
        const int64_t dims[] = {(int64_t)elements};
        tsl_shape shape = {0};
        tsl_shape_set(&shape, 1, dims);
        TSL_TRY(add_input(j, TSL_FEED_DERIVATIVE, i, TSLIM_DTYPE_FLOAT, "derivative", &shape, &derivative));
        uint32_t product = tsl_combine(g, TSL_OP_MUL, tsl_reshaped(g, outputs[i], 1, dims), derivative);
        uint32_t sum = tsl_reduced(g, TSL_OP_REDUCE_SUM, product, 1);
        *total = i == 0 ? sum : tsl_combine(g, TSL_OP_ADD, *total, sum);
    }
    return g->status;
}

static uint32_t add_term(joiner *j, uint32_t sum, uint32_t term, double weight) {
    if (weight != 1) term = tsl_times(&j->g, term, weight);
    return sum == TSL_NONE ? term : tsl_combine(&j->g, TSL_OP_ADD, sum, term);
}

static tslim_status join_teacher_output(joiner *j, uint32_t output, uint32_t index, uint32_t *term) {
    tslim_graph *graph = j->g.graph;
    const tslim_loss loss = j->plan->teacher_losses[index];
    const tsl_shape *shape = &j->plan->teacher->values[j->plan->teacher->outputs[index]].shape;
    uint32_t logits, axis, theirs;
    TSL_TRY(require_batch(j, output));
    TSL_TRY(tsl_find_logits(graph, output, loss, &logits, &axis));
    TSL_TRY(require_alike(&graph->values[logits], shape, "the teacher's"));
    TSL_TRY(add_input(j, TSL_FEED_TEACHER, index, TSLIM_DTYPE_FLOAT, "teacher", shape, &theirs));
    if (loss == TSLIM_LOSS_KL)
        *term = tsl_loss_kl(&j->g, logits, theirs, axis, j->plan->options->temperature, j->n_samples);
    else if (loss == TSLIM_LOSS_BINARY_CROSS_ENTROPY)
        *term = tsl_loss_binary_cross_entropy(&j->g, logits, theirs, true, j->n_samples);
    else
        *term = tsl_loss_mse(&j->g, logits, theirs, j->n_samples);
    return j->g.status;
}

static tslim_status join_teacher(joiner *j, const uint32_t *outputs, uint32_t n_outputs, double weight) {
    const tslim_train_options *o = j->plan->options;
    uint32_t *sum = &j->losses->per_sample, term = TSL_NONE;
    for (uint32_t i = 0; i < n_outputs; i++) {
        TSL_TRY(join_teacher_output(j, outputs[i], i, &term));
        *sum = add_term(j, *sum, term, weight / n_outputs);
    }
    for (uint32_t i = 0; i < o->n_features; i++) {
        uint32_t value, theirs;
        TSL_TRY(find_feature(j->g.graph, o->features[i], &value));
        const tsl_shape *shape = &j->plan->teacher->values[j->plan->teacher->outputs[n_outputs + i]].shape;
        TSL_TRY(require_batch(j, value));
        TSL_TRY(require_alike(&j->g.graph->values[value], shape, "the teacher's"));
        TSL_TRY(add_input(j, TSL_FEED_TEACHER, n_outputs + i, TSLIM_DTYPE_FLOAT, "teacher", shape, &theirs));
        term = tsl_loss_mse(&j->g, value, theirs, j->n_samples);
        *sum = add_term(j, *sum, term, o->feature_weight);
    }
    return j->g.status;
}

static tslim_status join_given(joiner *j, uint32_t output, uint32_t *term) {
    const tslim_train_options *o = j->plan->options;
    TSL_TRY(require_batch(j, output));
    if (!j->plan->target) return join_classes(j, output, term);
    tslim_loss loss = o->loss == TSLIM_LOSS_AUTO ? TSLIM_LOSS_MSE : o->loss;
    return join_target(j, output, loss, term);
}

tslim_status tsl_losses_append(tslim_graph *graph, const tsl_loss_plan *plan, tsl_losses *losses) {
    const tslim_train_options *o = plan->options;
    joiner j = {.plan = plan, .losses = losses};
    j.g = (tsl_gradient){.graph = graph, .dtype = TSLIM_DTYPE_FLOAT, .node = {.name = "loss"}};
    *losses = (tsl_losses){
        .first_input = graph->n_inputs, .per_sample = TSL_NONE, .total = TSL_NONE, .scores = TSL_NONE};
    const uint32_t *outputs = graph->outputs, n_outputs = graph->n_outputs; // in the arena: they stay
    TSL_REQUIRE(n_outputs > 0 && o->output < n_outputs, TSLIM_ERROR_INVALID_ARGUMENT,
        "output %" PRIu32 " of %" PRIu32, o->output, n_outputs);
    const tsl_shape *shape = &graph->values[outputs[o->output]].shape;
    j.n_samples = shape->known && shape->rank > 0 ? shape->dims[0] : 0;
    const bool given = plan->labels || plan->target || o->callback;
    const double teacher = given ? o->teacher_weight : 1, own = plan->teacher ? 1 - o->teacher_weight : 1;
    uint32_t term = TSL_NONE, callers = TSL_NONE;
    losses->callers_weight = own;
    if (o->callback)
        TSL_TRY(join_callback(&j, outputs, n_outputs, &callers));
    else if (given)
        TSL_TRY(join_given(&j, outputs[o->output], &term));
    if (plan->scores || plan->labels) TSL_TRY(find_scores(&j, outputs[o->output]));
    if (term != TSL_NONE) losses->per_sample = add_term(&j, TSL_NONE, term, own);
    if (plan->teacher) TSL_TRY(join_teacher(&j, outputs, n_outputs, teacher));
    if (losses->per_sample != TSL_NONE)
        losses->total = tsl_reduced(&j.g, TSL_OP_REDUCE_MEAN, losses->per_sample, 1);
    if (callers != TSL_NONE) losses->total = add_term(&j, losses->total, callers, own);
    return j.g.status;
}
