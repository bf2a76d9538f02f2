// SPDX-License-Identifier: Apache-2.0
// Nodes become steps: operands are described, kernels chosen and prepared.
#include <string.h>

#include "ir/bodies.h"
#include "ir/shape_infer.h"
#include "plan/control.h"
#include "plan/describe.h"
#include "plan/plan.h"

// ---- Which values are never negative: kernels for those are faster, and exact all the same. Of INT8 the
// stored numbers are meant, which follow the reals where the zero point is 0. ----

static bool input_is_non_negative(const tsl_plan *plan, const tsl_node *node, uint32_t i) {
    if (i >= node->n_inputs || node->inputs[i] == TSL_NONE) return false;
    return plan->values[node->inputs[i]].tensor.non_negative;
}

static bool all_inputs_are_non_negative(const tsl_plan *plan, const tsl_node *node) {
    for (uint32_t i = 0; i < node->n_inputs; i++)
        if (!input_is_non_negative(plan, node, i)) return false;
    return node->n_inputs > 0;
}

static bool has_zero_point(const tsl_plan *plan, const tsl_node *node) {
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        const tsl_value *output = tsl_node_output(plan->graph, node, i);
        if (output && output->quant.zero_point != 0) return true;
    }
    return false;
}

static bool table_is_non_negative(const uint8_t *table) {
    for (int i = 0; i < 256; i++)
        if (table[i] > 127) return false;
    return true;
}

static bool output_is_non_negative(const tsl_plan *plan, const tsl_node *node) {
    if (has_zero_point(plan, node)) return false;
    if (node->epilogue.table) return table_is_non_negative(node->epilogue.table);
    if (node->epilogue.clamp && node->epilogue.lo >= 0) return true;
    switch (node->op) {
    case TSL_OP_RELU:
    case TSL_OP_SIGMOID:
    case TSL_OP_HARD_SIGMOID:
    case TSL_OP_SOFTMAX:
    case TSL_OP_ABS:
        return true;
    case TSL_OP_MAX_POOL:
    case TSL_OP_AVERAGE_POOL:
    case TSL_OP_GLOBAL_AVERAGE_POOL:
    case TSL_OP_GLOBAL_MAX_POOL:
    case TSL_OP_RESHAPE:
    case TSL_OP_FLATTEN:
    case TSL_OP_SQUEEZE:
    case TSL_OP_UNSQUEEZE:
    case TSL_OP_TRANSPOSE:
    case TSL_OP_SPLIT:
    case TSL_OP_SLICE:
    case TSL_OP_IDENTITY:
    case TSL_OP_REORDER:
    case TSL_OP_QUANTIZE:
    case TSL_OP_DEQUANTIZE:
        return input_is_non_negative(plan, node, 0);
    case TSL_OP_RESIZE: // a cubic may overshoot
        return input_is_non_negative(plan, node, 0) &&
               strcmp(tsl_attrs_string(&node->attrs, TSL_ATTR_mode, "nearest"), "cubic") != 0;
    case TSL_OP_CONCAT:
        return all_inputs_are_non_negative(plan, node);
    default:
        return false;
    }
}

// ---- Steps ----

// Operands as one sample, and how far it is to the next one.
static void describe_sample(
    const tsl_plan *plan, const uint32_t *ids, tsl_tensor *tensors, uint32_t count, ptrdiff_t *strides) {
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == TSL_NONE || plan->values[ids[i]].place == TSL_PLACE_CONSTANT ||
            plan->values[ids[i]].one_sample)
            continue;
        tensors[i].dims[0] = 1;
        strides[i] = (ptrdiff_t)tensors[i].strides[0] * (ptrdiff_t)tslim_dtype_size(tensors[i].dtype);
    }
}

static tslim_status describe_samples(tsl_plan *plan, const tsl_node *node, tsl_plan_step *step) {
    size_t count = (size_t)node->n_inputs + node->n_outputs;
    step->strides = tsl_arena_array(&plan->arena, count, sizeof(*step->strides));
    TSL_REQUIRE_MEMORY(step->strides, count * sizeof(*step->strides));
    describe_sample(plan, node->inputs, step->inputs, node->n_inputs, step->strides);
    describe_sample(plan, node->outputs, step->outputs, node->n_outputs, step->strides + node->n_inputs);
    return TSLIM_OK;
}

static tsl_tensor *describe_operands(tsl_plan *plan, const uint32_t *ids, uint32_t count) {
    tsl_tensor *tensors = tsl_arena_array(&plan->arena, count, sizeof(*tensors));
    for (uint32_t i = 0; tensors && i < count; i++)
        if (ids[i] != TSL_NONE) tensors[i] = plan->values[ids[i]].tensor;
    return tensors;
}

static tslim_status lower_node(tsl_plan *plan, uint32_t n) {
    const tsl_node *node = &plan->graph->nodes[n];
    bool non_negative = output_is_non_negative(plan, node);
    for (uint32_t i = 0; i < node->n_outputs; i++)
        if (node->outputs[i] != TSL_NONE) plan->values[node->outputs[i]].tensor.non_negative = non_negative;
    tsl_plan_step *step = &plan->steps[plan->n_steps];
    *step = (tsl_plan_step){.node = n,
        .inputs = describe_operands(plan, node->inputs, node->n_inputs),
        .outputs = describe_operands(plan, node->outputs, node->n_outputs)};
    TSL_REQUIRE_MEMORY(step->inputs && step->outputs ? step : NULL, sizeof(tsl_tensor));
    if (plan->loop_of[n] != 0) TSL_TRY(describe_samples(plan, node, step));
    if (node->epilogue.table) step->outputs[0].quant = node->epilogue.table_quant;
    for (uint32_t i = 0; i < node->n_outputs; i++)
        if (node->outputs[i] != TSL_NONE)
            step->clear_border |= tsl_plan_makes_border(plan, n, node->outputs[i]);
    tsl_describe_step(plan->graph, node, step->inputs, step->outputs, &step->step);
    step->step.winograd = plan->env->winograd;
    step->finds_shape = tsl_op_finds_shape(node->op) || tsl_op_has_bodies(node->op);
    plan->n_steps++;
    if (tsl_op_has_bodies(node->op)) {
        step->kernel.name = "bodies";
        return tsl_control_create(plan, node, step->inputs, step->outputs, &step->control);
    }
    if (tsl_plan_is_view(plan, node)) {
        step->kernel.name = "view"; // nothing to run
        return TSLIM_OK;
    }
    return plan->env->backend->prepare(plan->ctx, plan->env->isa, &step->step, &plan->arena, &step->kernel);
}

tslim_status tsl_plan_lower(tsl_plan *plan, tsl_issues *issues) {
    const tslim_graph *graph = plan->graph;
    plan->steps = tsl_arena_array(&plan->arena, graph->n_nodes, sizeof(*plan->steps));
    TSL_REQUIRE_MEMORY(plan->steps, graph->n_nodes * sizeof(*plan->steps));
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tsl_node *node = &graph->nodes[n];
        tslim_status status = lower_node(plan, n);
        if (status == TSLIM_ERROR_UNSUPPORTED)
            tsl_issues_add(issues, node, tsl_message(), "");
        else if (status != TSLIM_OK)
            return tsl_fail_prefix(status, "node '%s' (%s)", node->name, node->op_type);
    }
    return TSLIM_OK;
}
