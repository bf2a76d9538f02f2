// SPDX-License-Identifier: Apache-2.0
// Owning, finding and checking bodies; what they capture.
#include "ir/bodies.h"

#include <string.h>

static bool is_body(const tsl_attr *attr) {
    return attr->type == TSL_ATTR_TYPE_GRAPH;
}

bool tsl_op_has_bodies(tsl_op op) {
    return op == TSL_OP_IF || op == TSL_OP_LOOP || op == TSL_OP_SCAN;
}

tslim_graph *tsl_node_body(const tslim_graph *graph, const tsl_node *node, tsl_attr_id id) {
    const tsl_attr *attr = tsl_attrs_find(&node->attrs, id);
    if (!attr || attr->type != TSL_ATTR_TYPE_GRAPH || attr->i < 0 || attr->i >= (int64_t)graph->n_bodies)
        return NULL;
    return graph->bodies[attr->i];
}

tslim_status tsl_graph_add_body(tslim_graph *graph, tslim_graph *body, uint32_t *index) {
    if (!tsl_grow(graph->ctx, (void **)&graph->bodies, &graph->bodies_capacity, (size_t)graph->n_bodies + 1,
            sizeof(*graph->bodies)))
        return tsl_no_memory(sizeof(*graph->bodies));
    graph->bodies[graph->n_bodies] = body;
    *index = graph->n_bodies++;
    return TSLIM_OK;
}

tslim_status tsl_graph_drop_bodies(tslim_graph *graph) {
    size_t bytes = graph->n_bodies * sizeof(uint32_t);
    if (bytes == 0) return TSLIM_OK;
    uint32_t *number =
        tsl_allocate_zeroed(graph->ctx, bytes); // first whether it is somebody's, then its new index
    TSL_REQUIRE_MEMORY(number, bytes);
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        for (uint32_t i = 0; i < graph->nodes[n].attrs.count; i++)
            if (is_body(&graph->nodes[n].attrs.items[i])) number[graph->nodes[n].attrs.items[i].i] = 1;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < graph->n_bodies; i++) {
        if (number[i]) {
            graph->bodies[kept] = graph->bodies[i];
            number[i] = kept++;
        } else {
            tslim_graph_destroy(graph->bodies[i]);
        }
    }
    graph->n_bodies = kept;
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        for (uint32_t i = 0; i < graph->nodes[n].attrs.count; i++)
            if (is_body(&graph->nodes[n].attrs.items[i]))
                graph->nodes[n].attrs.items[i].i = number[graph->nodes[n].attrs.items[i].i];
    tsl_free(graph->ctx, number, bytes);
    return TSLIM_OK;
}

void tsl_graph_set_opset(tslim_graph *graph, uint32_t opset) {
    graph->opset = opset;
    for (uint32_t i = 0; i < graph->n_bodies; i++) tsl_graph_set_opset(graph->bodies[i], opset);
}

void tsl_graph_set_optimized(tslim_graph *graph) {
    graph->optimized = true;
    for (uint32_t i = 0; i < graph->n_bodies; i++) tsl_graph_set_optimized(graph->bodies[i]);
}

uint32_t tsl_node_states(const tsl_node *node) {
    uint32_t own = tsl_node_own_inputs(node);
    if (node->op == TSL_OP_LOOP) return own - 2;
    if (node->op == TSL_OP_SCAN)
        return own - (uint32_t)tsl_attrs_int(&node->attrs, TSL_ATTR_num_scan_inputs, 0);
    return 0;
}

// ---- Captured constants ----

// What a body reads of what it captures: adds to `is_read`, in the order of the captured inputs.
static tslim_status find_captured_readers(const tslim_graph *body, uint32_t n_captured, uint8_t *is_read) {
    uint8_t *read = tsl_allocate_zeroed(body->ctx, body->n_values);
    TSL_REQUIRE_MEMORY(read, body->n_values);
    for (uint32_t n = 0; n < body->n_nodes; n++)
        for (uint32_t i = 0; i < body->nodes[n].n_inputs; i++)
            if (body->nodes[n].inputs[i] != TSL_NONE) read[body->nodes[n].inputs[i]] = 1;
    for (uint32_t i = 0; i < body->n_outputs; i++) read[body->outputs[i]] = 1;
    for (uint32_t c = 0; c < n_captured; c++)
        is_read[c] |= read[body->inputs[body->n_inputs - n_captured + c]];
    tsl_free(body->ctx, read, body->n_values);
    return TSLIM_OK;
}

static void remove_id(uint32_t *ids, uint32_t *count, uint32_t at) {
    for (uint32_t i = at + 1; i < *count; i++) ids[i - 1] = ids[i];
    --*count;
}

static tslim_status make_constant(tslim_graph *body, uint32_t id, const tsl_value *constant) {
    tsl_value *value = &body->values[id];
    value->dtype = constant->dtype;
    tsl_shape_set(&value->shape, constant->shape.rank, constant->shape.dims);
    value->quant = constant->quant;
    if (constant->quant.scales) {
        size_t bytes = constant->quant.n_scales * sizeof(float);
        value->quant.scales = tsl_arena_copy(&body->arena, constant->quant.scales, bytes);
        TSL_REQUIRE_MEMORY(value->quant.scales, bytes);
    }
    tsl_value_set_data(value, constant->buffer, constant->data, constant->bytes);
    return TSLIM_OK;
}

// The operands that need not be captured go, the last first, from the node and from each of its bodies.
static tslim_status sink(tslim_graph *graph, tsl_node *node, const uint8_t *is_read) {
    for (uint32_t c = node->n_captured, from_end = 1; c-- > 0;) {
        uint32_t operand = node->n_inputs - from_end;
        const tsl_value *value = tsl_node_input(graph, node, operand);
        bool constant = value && tsl_value_is_constant(value) && value->packing == TSL_PACKING_NONE;
        if (is_read[c] && !constant) {
            from_end++;
            continue;
        }
        for (uint32_t i = 0; i < node->attrs.count; i++) {
            if (!is_body(&node->attrs.items[i])) continue;
            tslim_graph *body = graph->bodies[node->attrs.items[i].i];
            uint32_t input = body->n_inputs - from_end;
            if (is_read[c]) TSL_TRY(make_constant(body, body->inputs[input], value));
            remove_id(body->inputs, &body->n_inputs, input);
        }
        remove_id(node->inputs, &node->n_inputs, operand);
        node->n_captured--;
    }
    return TSLIM_OK;
}

tslim_status tsl_graph_sink_constants(tslim_graph *graph, uint32_t n) {
    tsl_node *node = &graph->nodes[n];
    uint32_t n_captured = node->n_captured;
    if (n_captured == 0) return TSLIM_OK;
    uint8_t *is_read = tsl_allocate_zeroed(graph->ctx, n_captured);
    TSL_REQUIRE_MEMORY(is_read, n_captured);
    tslim_status status = TSLIM_OK;
    for (uint32_t i = 0; i < node->attrs.count && status == TSLIM_OK; i++)
        if (is_body(&node->attrs.items[i]))
            status = find_captured_readers(graph->bodies[node->attrs.items[i].i], n_captured, is_read);
    if (status == TSLIM_OK) status = sink(graph, node, is_read);
    tsl_free(graph->ctx, is_read, n_captured);
    return status;
}

// ---- Verifying ----

static tslim_status check_ends(const tsl_node *node, const tslim_graph *body, const char *attribute,
    uint32_t inputs, uint32_t outputs, tslim_status code) {
    TSL_REQUIRE(body, code, "node '%s' (%s) has no graph '%s'", node->name, node->op_type, attribute);
    TSL_REQUIRE(body->n_inputs == inputs && body->n_outputs == outputs, code,
        "node '%s' (%s): its '%s' has %u inputs (%u of them captured) and %u outputs, not %u and %u",
        node->name, node->op_type, attribute, body->n_inputs, node->n_captured, body->n_outputs, inputs,
        outputs);
    return TSLIM_OK;
}

static tslim_status check_signature(const tslim_graph *graph, const tsl_node *node, tslim_status code) {
    if (!tsl_op_has_bodies(node->op) || graph->opset < tsl_op_get_info(node->op)->min_opset) return TSLIM_OK;
    uint32_t own = tsl_node_own_inputs(node);
    if (node->op == TSL_OP_IF) {
        TSL_REQUIRE(own == 1, code, "node '%s' (If) has %u operands, not 1", node->name, own);
        TSL_TRY(check_ends(node, tsl_node_body(graph, node, TSL_ATTR_then_branch), "then_branch",
            node->n_captured, node->n_outputs, code));
        return check_ends(node, tsl_node_body(graph, node, TSL_ATTR_else_branch), "else_branch",
            node->n_captured, node->n_outputs, code);
    }
    int64_t scanned = tsl_attrs_int(&node->attrs, TSL_ATTR_num_scan_inputs, 0);
    bool loop = node->op == TSL_OP_LOOP;
    TSL_REQUIRE(loop ? own >= 2 : scanned >= 1 && scanned <= (int64_t)own, code,
        "node '%s' (%s) has %u operands", node->name, node->op_type, own);
    uint32_t states = tsl_node_states(node);
    TSL_REQUIRE(states <= node->n_outputs, code,
        "node '%s' (%s) has %u results for %u values that it carries", node->name, node->op_type,
        node->n_outputs, states);
    return check_ends(node, tsl_node_body(graph, node, TSL_ATTR_body), "body", node->n_inputs,
        node->n_outputs + (loop ? 1 : 0), code);
}

static tslim_status check_body(const tslim_graph *graph, const tsl_node *node, const tsl_attr *attr,
    uint8_t *claimed, tslim_status code) {
    TSL_REQUIRE(attr->i >= 0 && attr->i < (int64_t)graph->n_bodies && !claimed[attr->i], code,
        "attribute %s of node '%s' is no graph of its own", attr->name, node->name);
    claimed[attr->i] = 1;
    const tslim_graph *body = graph->bodies[attr->i];
    TSL_REQUIRE(body->n_inputs >= node->n_captured, code, "'%s' of node '%s' has %u inputs, %u captured",
        attr->name, node->name, body->n_inputs, node->n_captured);
    tslim_status status = tsl_graph_verify(body, code);
    return status == TSLIM_OK ? status
                              : tsl_fail_prefix(status, "in '%s' of node '%s'", attr->name, node->name);
}

static tslim_status check_bodies(const tslim_graph *graph, uint8_t *claimed, tslim_status code) {
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tsl_node *node = &graph->nodes[n];
        bool any = false;
        for (uint32_t i = 0; i < node->attrs.count; i++) any |= is_body(&node->attrs.items[i]);
        TSL_REQUIRE(node->n_captured <= (any ? node->n_inputs : 0), code,
            "node '%s' captures %u of %u operands", node->name, node->n_captured, node->n_inputs);
        for (uint32_t c = tsl_node_own_inputs(node); c < node->n_inputs; c++)
            TSL_REQUIRE(node->inputs[c] != TSL_NONE, code,
                "operand %u of node '%s', which is captured, is absent", c, node->name);
        for (uint32_t i = 0; i < node->attrs.count; i++)
            if (is_body(&node->attrs.items[i]))
                TSL_TRY(check_body(graph, node, &node->attrs.items[i], claimed, code));
        TSL_TRY(check_signature(graph, node, code));
    }
    return TSLIM_OK;
}

tslim_status tsl_bodies_verify(const tslim_graph *graph, tslim_status code) {
    uint8_t *claimed = tsl_allocate_zeroed(graph->ctx, graph->n_bodies);
    TSL_REQUIRE_MEMORY(claimed, graph->n_bodies);
    tslim_status status = check_bodies(graph, claimed, code);
    tsl_free(graph->ctx, claimed, graph->n_bodies);
    return status;
}
