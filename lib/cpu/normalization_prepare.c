// SPDX-License-Identifier: Apache-2.0
// Preparing normalizations: which axes make a group, and where scale and shift come from.
#include <inttypes.h>

#include "base/checked.h"
#include "cpu/normalization.h"

static bool has_output(const tsl_step *step, uint32_t index) {
    return index < step->n_outputs && step->outputs[index].dtype != TSLIM_DTYPE_NONE;
}

// Floats, or doubles.
static bool has_one_type(const tsl_step *step) {
    const tslim_dtype dtype = step->inputs[0].dtype;
    bool same = dtype == TSLIM_DTYPE_FLOAT || dtype == TSLIM_DTYPE_DOUBLE;
    for (uint32_t i = 0; i < step->n_inputs; i++)
        if (tsl_step_input(step, i)) same = same && step->inputs[i].dtype == dtype;
    for (uint32_t i = 0; i < step->n_outputs; i++)
        if (has_output(step, i)) same = same && step->outputs[i].dtype == dtype;
    return same && !step->epilogue.clamp;
}

static tslim_status check_vectors(const tsl_prepare *p, const tsl_normalization *s, int64_t length) {
    for (uint32_t i = 1; i < 3; i++)
        TSL_REQUIRE(
            !(i == 1 ? s->has_scale : s->has_shift) || tsl_tensor_elements(&p->step->inputs[i]) == length,
            TSLIM_ERROR_UNSUPPORTED, "node '%s': scale or bias that is broadcast", p->step->name);
    return TSLIM_OK;
}

// From `axis` on.
static uint32_t axes_from(uint32_t axis) {
    return UINT32_MAX << axis;
}

static tslim_status prepare_layer(tsl_prepare *p, tsl_normalization *s) {
    const tsl_tensor *x = &p->step->inputs[0];
    uint32_t axis;
    TSL_TRY(tsl_step_axis(p, -1, x->rank, &axis));
    tsl_normalization_set_axes(s, x->rank, x->dims, axes_from(axis));
    s->by_element = true;
    s->has_mean = has_output(p->step, 1);
    s->has_inverse = has_output(p->step, 2);
    return check_vectors(p, s, s->length);
}

// Groups of channels; an instance is a group of one.
static tslim_status prepare_channels(tsl_prepare *p, tsl_normalization *s, int64_t groups) {
    const tsl_tensor *x = &p->step->inputs[0];
    TSL_REQUIRE(x->rank >= 2 && groups >= 1 && x->dims[1] % groups == 0, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': a tensor of rank %u in %" PRId64 " groups of channels", p->step->name, x->rank, groups);
    int64_t pixels = 1;
    for (uint32_t i = 2; i < x->rank; i++) pixels *= x->dims[i];
    const int64_t each = x->dims[1] / groups, dims[4] = {x->dims[0], groups, each, pixels};
    const bool by_group = p->step->op == TSL_OP_GROUP_NORMALIZATION && p->step->opset < 21;
    tsl_normalization_set_axes(s, 4, dims, axes_from(2));
    if (!by_group) { // a segment is a channel
        s->length = pixels;
        s->segments = (tsl_axes_walk){.count = 1, .dims = {each}, .strides = {pixels}, .total = each};
    }
    s->period = groups;
    s->group_step = by_group ? 1 : each;
    s->segment_step = by_group ? 0 : 1;
    return check_vectors(p, s, by_group ? groups : x->dims[1]);
}

static tslim_status prepare_mean_variance(tsl_prepare *p, tsl_normalization *s) {
    static const int64_t usual[] = {0, 2, 3};
    const tsl_tensor *x = &p->step->inputs[0];
    size_t count;
    const int64_t *axes = tsl_attrs_ints(p->step->attrs, TSL_ATTR_axes, &count);
    if (!axes) {
        axes = usual;
        count = 3;
    }
    uint32_t mask = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t axis = axes[i] < 0 ? axes[i] + x->rank : axes[i];
        TSL_REQUIRE(axis >= 0 && axis < (int64_t)x->rank, TSLIM_ERROR_INVALID_ARGUMENT,
            "node '%s': axis %" PRId64 " of a tensor of rank %u", p->step->name, axes[i], x->rank);
        mask |= 1u << axis;
    }
    tsl_normalization_set_axes(s, x->rank, x->dims, mask);
    s->epsilon = 1e-9;
    s->epsilon_outside = true;
    s->period = 1;
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_normalization(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    TSL_NEW_STATE(tsl_normalization, s);
    s->functions = p->functions;
    s->epsilon = (double)tsl_attrs_float(step->attrs, TSL_ATTR_epsilon, 1e-5f);
    s->has_scale = step->n_inputs > 1;
    s->has_shift = tsl_step_input(step, 2) != NULL;
    kernel->run = tsl_normalization_run;
    if (!has_one_type(step) || step->inputs[0].rank == 0) return tsl_cpu_unsupported(p);
    switch (step->op) {
    case TSL_OP_LAYER_NORMALIZATION:
        kernel->name = "layer normalization";
        return prepare_layer(p, s);
    case TSL_OP_GROUP_NORMALIZATION:
        kernel->name = "group normalization";
        return prepare_channels(p, s, tsl_attrs_int(step->attrs, TSL_ATTR_num_groups, 0));
    case TSL_OP_MEAN_VARIANCE_NORMALIZATION:
        kernel->name = "mean variance normalization";
        return prepare_mean_variance(p, s);
    default:
        kernel->name = "instance normalization";
        return prepare_channels(p, s, step->inputs[0].rank < 2 ? 0 : tsl_max_i64(step->inputs[0].dims[1], 1));
    }
}
