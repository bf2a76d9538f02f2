// SPDX-License-Identifier: Apache-2.0
// Descriptors of values and nodes.
#include "plan/describe.h"

#include <string.h>

#include "base/checked.h"

// Kernels may read this far behind the last element (backend.h).
#define READABLE_BEHIND 64

static void set_channels_last(tsl_tensor *t) {
    int64_t columns = t->dims[3] + t->border[1] + t->border[3];
    int64_t rows = t->dims[2] + t->border[0] + t->border[2];
    t->strides[1] = 1;
    t->strides[3] = t->dims[1];
    t->strides[2] = columns * t->dims[1];
    t->strides[0] = rows * columns * t->dims[1];
}

void tsl_describe_value(const tsl_value *value, tsl_tensor *tensor) {
    *tensor = (tsl_tensor){.dtype = value->dtype,
        .rank = value->shape.rank,
        .quant = value->quant,
        .packing = value->packing,
        .constant = tsl_value_is_constant(value)};
    memcpy(tensor->dims, value->shape.dims, sizeof(tensor->dims));
    // Kernels read constants only: the descriptor is one type for both.
    if (tensor->constant) tensor->data = (void *)(uintptr_t)value->data;
    if (value->layout == TSL_LAYOUT_CHANNELS_LAST && tensor->rank == 4)
        set_channels_last(tensor);
    else
        tsl_tensor_set_row_major(tensor);
}

void tsl_describe_border(tsl_tensor *tensor, const uint16_t border[4]) {
    memcpy(tensor->border, border, sizeof(tensor->border));
    set_channels_last(tensor);
}

bool tsl_tensor_memory(const tsl_tensor *t, size_t *bytes, size_t *offset) {
    size_t element = tslim_dtype_size(t->dtype);
    size_t extent[TSLIM_MAX_RANK] = {0};
    for (uint32_t i = 0; i < t->rank; i++) extent[i] = (size_t)t->dims[i];
    if (t->rank == 4) {
        extent[2] += (size_t)t->border[0] + t->border[2];
        extent[3] += (size_t)t->border[1] + t->border[3];
    }
    size_t total = element;
    for (uint32_t i = 0; i < t->rank; i++)
        if (!tsl_mul_size(total, extent[i], &total)) return false;
    if (!tsl_add_size(total, READABLE_BEHIND, &total) || !tsl_align_size(total, 64, bytes) ||
        *bytes > INT64_MAX / 2)
        return false;
    *offset = 0;
    if (t->rank == 4 && t->dims[2] > 0)
        *offset =
            ((size_t)t->border[0] * (size_t)t->strides[2] + (size_t)t->border[1] * (size_t)t->strides[3]) *
            element;
    return true;
}

void tsl_describe_step(const tslim_graph *graph, const tsl_node *node, const tsl_tensor *inputs,
    const tsl_tensor *outputs, tsl_step *step) {
    *step = (tsl_step){.op = node->op,
        .opset = graph->opset,
        .name = node->name,
        .attrs = &node->attrs,
        .inputs = inputs,
        .outputs = outputs,
        .n_inputs = node->n_inputs,
        .n_outputs = node->n_outputs};
    const tsl_attr *value = tsl_attrs_find(&node->attrs, TSL_ATTR_value);
    if (value && value->type == TSL_ATTR_TYPE_TENSOR)
        tsl_describe_value(&graph->values[value->i], &step->value);
    step->epilogue.residual = node->epilogue.residual;
    step->epilogue.clamp = node->epilogue.clamp;
    step->epilogue.lo = node->epilogue.lo;
    step->epilogue.hi = node->epilogue.hi;
    step->epilogue.chain = node->epilogue.chain;
    step->epilogue.table = node->epilogue.table;
}
