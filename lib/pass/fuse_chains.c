// SPDX-License-Identifier: Apache-2.0
// conv -> HardSwish -> Mul(constant) -> Add(constant) -> Quantize becomes one node that does all that while
// its result is in registers, and rounds once. What may follow a product: a function of one value, then
// sums, differences, products and quotients by constants with one number for each channel or one for all,
// which are one line for each channel, then the clamp of the last of them; then, for a product of INT8, the
// rounding.
#include <math.h>
#include <string.h>

#include "pass/pass.h"

typedef struct chain_fuser {
    tslim_graph *graph;
    tsl_uses uses;
} chain_fuser;

// What has been found behind one product.
typedef struct found_chain {
    uint32_t last; // the node whose output the product is to make; the product itself at first
    uint32_t axis; // of the channels
    size_t channels;
    tsl_chain chain;
    double *factor, *shift; // of the chain, once there is a line
    bool has_line, clamp; // clamp: the last one, to lo..hi
    float lo, hi;
} found_chain;

// Functions that kernels know, and that need no operand.
static bool is_function(tsl_op op) {
    switch (op) {
    case TSL_OP_LEAKY_RELU:
    case TSL_OP_SIGMOID:
    case TSL_OP_HARD_SIGMOID:
    case TSL_OP_HARD_SWISH:
    case TSL_OP_SILU:
    case TSL_OP_TANH:
    case TSL_OP_GELU:
    case TSL_OP_MISH:
        return true;
    default:
        return false;
    }
}

static bool is_constant_of(const tsl_value *value, size_t elements) {
    return tsl_value_is_constant(value) && value->dtype == TSLIM_DTYPE_FLOAT &&
           (value->bytes == sizeof(float) || value->bytes == elements * sizeof(float));
}

// A product with constant weights whose float result has the known size `channels` along `axis`.
static bool find_product(const tslim_graph *graph, const tsl_node *node, found_chain *found) {
    const bool convolution = node->op == TSL_OP_CONV || node->op == TSL_OP_CONV_TRANSPOSE;
    if (!convolution && node->op != TSL_OP_GEMM && node->op != TSL_OP_MATMUL) return false;
    const tsl_value *weights = tsl_node_input(graph, node, 1), *y = tsl_node_output(graph, node, 0);
    if (!weights || !tsl_value_is_constant(weights) || weights->shape.rank < 2 || !y ||
        y->dtype != TSLIM_DTYPE_FLOAT || node->epilogue.table || node->epilogue.chain || !y->shape.known ||
        y->shape.rank < 2)
        return false;
    found->axis = convolution ? 1 : y->shape.rank - 1;
    if (y->shape.dims[found->axis] <= 0) return false;
    found->channels = (size_t)y->shape.dims[found->axis];
    const tsl_value *bias = node->epilogue.residual == 2 ? NULL : tsl_node_input(graph, node, 2);
    if (bias && !is_constant_of(bias, found->channels)) return false;
    // Gemm's factors, and a C of many rows, are a pass after the product.
    if (node->op == TSL_OP_GEMM &&
        (tsl_attrs_float(&node->attrs, TSL_ATTR_alpha, 1) != 1 ||
            tsl_attrs_float(&node->attrs, TSL_ATTR_beta, 1) != 1 ||
            (bias && bias->shape.rank > 0 && bias->shape.dims[bias->shape.rank - 1] != y->shape.dims[1])))
        return false;
    const tsl_value *residual =
        node->epilogue.residual >= 0 ? tsl_node_input(graph, node, (uint32_t)node->epilogue.residual) : NULL;
    // INT8 kernels add no floats.
    return !residual || weights->dtype == TSLIM_DTYPE_FLOAT || residual->dtype != TSLIM_DTYPE_FLOAT;
}

static bool same_shape(const tsl_shape *a, const tsl_shape *b) {
    return a->known && b->known && a->rank == b->rank &&
           memcmp(a->dims, b->dims, a->rank * sizeof(a->dims[0])) == 0;
}

// The constant as one number for each channel, or for all (*step 0); NULL when it is something else.
static const float *channel_constant(
    const found_chain *found, const tsl_value *value, uint32_t rank, size_t *step) {
    *step = 0;
    if (!value || !tsl_value_is_constant(value) || value->dtype != TSLIM_DTYPE_FLOAT ||
        value->packing != TSL_PACKING_NONE || value->shape.rank > rank)
        return NULL;
    for (uint32_t i = 0; i < value->shape.rank; i++) {
        if (value->shape.dims[i] == 1) continue;
        if (rank - value->shape.rank + i != found->axis || value->shape.dims[i] != (int64_t)found->channels)
            return NULL;
        *step = 1;
    }
    return value->data;
}

static tslim_status start_line(chain_fuser *f, found_chain *found) {
    if (found->factor) return TSLIM_OK;
    found->factor = tsl_arena_array(&f->graph->arena, 2 * found->channels, sizeof(double));
    TSL_REQUIRE_MEMORY(found->factor, 2 * found->channels * sizeof(double));
    found->shift = found->factor + found->channels;
    for (size_t c = 0; c < found->channels; c++) found->factor[c] = 1;
    return TSLIM_OK;
}

// y = x op constant, or constant op x, joins the line.
static void extend_line(
    found_chain *found, tsl_op op, bool constant_first, const float *constant, size_t step) {
    for (size_t c = 0; c < found->channels; c++) {
        const double value = (double)constant[c * step];
        double *factor = &found->factor[c], *shift = &found->shift[c];
        switch (op) {
        case TSL_OP_ADD:
            *shift += value;
            break;
        case TSL_OP_SUB:
            if (constant_first) *factor = -*factor;
            *shift = constant_first ? value - *shift : *shift - value;
            break;
        case TSL_OP_MUL:
            *factor *= value;
            *shift *= value;
            break;
        default: // Div
            *factor /= value;
            *shift /= value;
        }
    }
}

static bool is_line(tsl_op op) {
    return op == TSL_OP_ADD || op == TSL_OP_SUB || op == TSL_OP_MUL || op == TSL_OP_DIV;
}

// Node `n`, which alone reads `value`, joins the chain if it can.
static tslim_status take_line(chain_fuser *f, uint32_t n, uint32_t value, found_chain *found, bool *taken) {
    const tslim_graph *graph = f->graph;
    const tsl_node *node = &graph->nodes[n];
    const tsl_shape *shape = &graph->values[value].shape;
    const tsl_value *y = tsl_node_output(graph, node, 0);
    if (!is_line(node->op) || node->n_inputs != 2 || node->inputs[0] == node->inputs[1] ||
        node->epilogue.residual >= 0 || node->epilogue.table || y->dtype != TSLIM_DTYPE_FLOAT ||
        !same_shape(shape, &y->shape))
        return TSLIM_OK;
    const bool constant_first = node->inputs[1] == value;
    size_t step;
    const float *constant =
        channel_constant(found, tsl_node_input(graph, node, constant_first ? 0 : 1), shape->rank, &step);
    if (!constant || (constant_first && node->op == TSL_OP_DIV)) return TSLIM_OK;
    for (size_t c = 0; c < found->channels; c++)
        if (!isfinite(constant[c * step]) || (node->op == TSL_OP_DIV && constant[c * step] == 0))
            return TSLIM_OK;
    TSL_TRY(start_line(f, found));
    extend_line(found, node->op, constant_first, constant, step);
    found->has_line = true;
    found->clamp = node->epilogue.clamp;
    found->lo = node->epilogue.lo;
    found->hi = node->epilogue.hi;
    *taken = true;
    return TSLIM_OK;
}

static bool take_function(const chain_fuser *f, uint32_t n, found_chain *found) {
    const tsl_node *node = &f->graph->nodes[n];
    if (!is_function(node->op) || node->n_inputs != 1 || node->epilogue.clamp || node->epilogue.table ||
        found->chain.op != TSL_OP_CLIP || found->has_line || found->clamp)
        return false;
    found->chain.op = node->op;
    found->chain.attrs = node->attrs;
    return true;
}

// A Relu or Clip that none of the nodes before it could take.
static bool take_clamp(const chain_fuser *f, uint32_t n, found_chain *found) {
    const tsl_node *node = &f->graph->nodes[n];
    if ((!found->has_line && found->chain.op == TSL_OP_CLIP) || node->epilogue.clamp ||
        node->epilogue.table || !tsl_clip_bounds(f->graph, node, &found->lo, &found->hi))
        return false;
    found->clamp = true;
    return true;
}

// A Quantize of a tensor with one scale behind a product of INT8.
static bool takes_rounding(const tslim_graph *graph, const tsl_node *product, const tsl_node *node) {
    const tsl_value *a = tsl_node_input(graph, product, 0), *y = tsl_node_output(graph, node, 0);
    return node->op == TSL_OP_QUANTIZE && y && y->dtype == TSLIM_DTYPE_INT8 && y->quant.n_scales == 1 &&
           (a->dtype == TSLIM_DTYPE_INT8 || a->dtype == TSLIM_DTYPE_UINT8) && a->quant.n_scales == 1 &&
           tsl_node_input(graph, product, 1)->dtype == TSLIM_DTYPE_INT8;
}

static uint32_t only_reader(const chain_fuser *f, uint32_t node) {
    return tsl_single_use(f->graph, &f->uses, f->graph->nodes[node].outputs[0]);
}

// Follows the readers from product `n` on.
static tslim_status follow(chain_fuser *f, uint32_t n, found_chain *found) {
    const tsl_epilogue *e = &f->graph->nodes[n].epilogue;
    found->chain = (tsl_chain){.op = TSL_OP_CLIP, .lo = -INFINITY, .hi = INFINITY};
    found->last = n;
    if (e->clamp) {
        found->chain.lo = e->lo;
        found->chain.hi = e->hi;
    }
    for (uint32_t next; !found->clamp && (next = only_reader(f, found->last)) != TSL_NONE;
         found->last = next) {
        bool taken = !e->clamp && take_function(f, next, found);
        if (!taken) TSL_TRY(take_line(f, next, f->graph->nodes[found->last].outputs[0], found, &taken));
        if (!taken) taken = take_clamp(f, next, found);
        if (!taken) break;
    }
    return TSLIM_OK;
}

// Where no result can be negative the clamp says so, for kernels that gain from it.
static void note_non_negative(found_chain *found) {
    bool positive = found->chain.op == TSL_OP_HARD_SIGMOID || found->chain.op == TSL_OP_SIGMOID ||
                    (found->chain.op == TSL_OP_CLIP && found->chain.lo >= 0);
    for (size_t c = 0; c < found->channels; c++)
        positive = positive && found->factor[c] >= 0 && found->shift[c] >= 0;
    if (!positive || found->clamp) return;
    found->clamp = true;
    found->lo = 0;
    found->hi = INFINITY;
}

static tslim_status fuse(chain_fuser *f, uint32_t n) {
    tslim_graph *graph = f->graph;
    found_chain found = {0};
    if (!find_product(graph, &graph->nodes[n], &found)) return TSLIM_OK;
    TSL_TRY(follow(f, n, &found));
    uint32_t rounding = only_reader(f, found.last);
    if (rounding != TSL_NONE && takes_rounding(graph, &graph->nodes[n], &graph->nodes[rounding]))
        found.last = rounding;
    if (found.last == n) return TSLIM_OK;
    TSL_TRY(start_line(f, &found));
    note_non_negative(&found);
    found.chain.factor = found.factor;
    found.chain.shift = found.shift;
    found.chain.n_channels = (uint32_t)found.channels;
    tsl_chain *chain = tsl_arena_copy(&graph->arena, &found.chain, sizeof(found.chain));
    TSL_REQUIRE_MEMORY(chain, sizeof(*chain));
    const uint32_t output = graph->nodes[found.last].outputs[0];
    for (uint32_t at = only_reader(f, n), next;; at = next) {
        next = at == found.last ? TSL_NONE : only_reader(f, at);
        tsl_graph_remove_node(graph, at);
        if (next == TSL_NONE) break;
    }
    tsl_epilogue *e = &graph->nodes[n].epilogue;
    e->chain = chain;
    e->clamp = found.clamp;
    e->lo = found.lo;
    e->hi = found.hi;
    graph->nodes[n].outputs[0] = output;
    graph->values[output].producer = n;
    return TSLIM_OK;
}

tslim_status tsl_pass_fuse_chains(tslim_graph *graph) {
    chain_fuser f = {.graph = graph};
    TSL_TRY(tsl_uses_find(graph, &f.uses));
    tslim_status status = TSLIM_OK;
    for (uint32_t n = 0; n < graph->n_nodes && status == TSLIM_OK; n++) status = fuse(&f, n);
    tsl_uses_free(&f.uses);
    TSL_TRY(status);
    return tsl_graph_compact(graph);
}
