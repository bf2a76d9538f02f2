// SPDX-License-Identifier: Apache-2.0
// Concat and Split without copies: what a Concat joins is written where it belongs in the result, and the
// parts that a Split makes are read where they lie in its input. Such a slice has the strides of the whole.
// Slices of slices are slices of the outermost; a group has one whole, and is divided along one axis.
#include "ir/bodies.h"
#include "ir/shape_infer.h"
#include "plan/plan.h"

// A row of a slice that is shorter costs functions of one value more than the copy that it saves.
#define LONG_ROW 256

// What readers and makers of a value ask of its memory.
enum { OWN = 1, WITHOUT_GAPS = 2, LONG_ROWS = 4 };

typedef struct slicer {
    tsl_plan *plan;
    uint16_t (*borders)[4];
    uint8_t *wants; // of each value; of a whole: of all its slices too
} slicer;

// ---- Groups ----

// The whole of a group, and where in it `v` begins. Chains of slices are as long as a hostile graph makes
// them: each value on the way is moved directly under the whole.
static uint32_t find_whole(tsl_plan *plan, uint32_t v, int64_t *begin) {
    tsl_plan_value *values = plan->values;
    uint32_t whole = v;
    int64_t sum = 0;
    for (; values[whole].whole != whole; whole = values[whole].whole) sum += values[whole].begin;
    *begin = sum;
    while (v != whole) {
        uint32_t next = values[v].whole;
        int64_t own = values[v].begin;
        values[v].whole = whole;
        values[v].begin = sum;
        sum -= own;
        v = next;
    }
    return whole;
}

static bool is_divided(const tsl_plan_value *value) {
    return value->axis >= 0;
}

static bool same_numbers(const tsl_tensor *a, const tsl_tensor *b) {
    if (a->dtype != b->dtype || !a->quant.scales != !b->quant.scales) return false;
    return !a->quant.scales ||
           (a->quant.n_scales == 1 && b->quant.n_scales == 1 && a->quant.scales[0] == b->quant.scales[0] &&
               a->quant.zero_point == b->quant.zero_point);
}

// True when the part may lie in the whole from `begin` on.
static bool fits(const slicer *s, uint32_t part, uint32_t whole, uint32_t axis, int64_t begin) {
    const tsl_plan_value *p = &s->plan->values[part], *w = &s->plan->values[whole];
    if (p->place != TSL_PLACE_ARENA || w->place != TSL_PLACE_ARENA || (s->wants[part] & OWN) ||
        (s->wants[whole] & OWN) || !same_numbers(&p->tensor, &w->tensor) ||
        p->tensor.rank != w->tensor.rank || (is_divided(p) && (uint32_t)p->axis != axis) ||
        (is_divided(w) && (uint32_t)w->axis != axis) || begin < 0 ||
        begin + p->tensor.dims[axis] > w->tensor.dims[axis])
        return false;
    uint64_t outside = 1; // along the axes around this one
    for (uint32_t i = 0; i < p->tensor.rank; i++) {
        if (i != axis && p->tensor.dims[i] != w->tensor.dims[i]) return false;
        if (i < axis && p->tensor.dims[i] != 1) outside = 2;
    }
    bool gaps = outside > 1 || !tsl_tensor_is_row_major(&w->tensor);
    bool border = false;
    for (int i = 0; i < 4; i++) border = border || s->borders[part][i] || s->borders[whole][i];
    if (border && (axis != 1 || ((s->wants[part] | s->wants[whole]) & WITHOUT_GAPS))) return false;
    if (!gaps) return true;
    size_t row = (size_t)(p->tensor.dims[axis] * w->tensor.strides[axis]) * tslim_dtype_size(p->tensor.dtype);
    return !(s->wants[part] & WITHOUT_GAPS) && (!(s->wants[part] & LONG_ROWS) || row >= LONG_ROW);
}

static void join(slicer *s, uint32_t part, uint32_t whole, uint32_t axis, int64_t begin) {
    tsl_plan_value *p = &s->plan->values[part], *w = &s->plan->values[whole];
    p->whole = whole;
    p->begin = begin;
    w->axis = (int32_t)axis;
    if (p->first < w->first) w->first = p->first;
    if (p->maker < w->maker) w->maker = p->maker;
    if (p->last > w->last) w->last = p->last;
    s->wants[whole] |= s->wants[part];
    for (int i = 0; i < 4; i++)
        if (s->borders[part][i] > s->borders[whole][i]) s->borders[whole][i] = s->borders[part][i];
}

// ---- Nodes ----

static bool read_axis(const tsl_node *node, const tsl_tensor *whole, uint32_t *axis) {
    int64_t at = tsl_attrs_int(&node->attrs, TSL_ATTR_axis, 0);
    if (at < 0) at += whole->rank;
    *axis = (uint32_t)at;
    return at >= 0 && at < (int64_t)whole->rank;
}

// All that a Concat joins from `first` on lies within the group of `part` already as it has to lie in the
// result: then the group as a whole can lie there.
static bool follow_each_other(
    slicer *s, const tsl_node *node, uint32_t axis, uint32_t first, uint32_t part, int64_t begin) {
    const tsl_plan_value *values = s->plan->values;
    const int64_t end = values[part].tensor.dims[axis];
    int64_t at = 0;
    if (begin != 0) return false;
    for (uint32_t i = first; i < node->n_inputs && at < end; i++) {
        int64_t there;
        if (find_whole(s->plan, node->inputs[i], &there) != part || there != at) return false;
        at += values[node->inputs[i]].tensor.dims[axis];
    }
    return at == end;
}

static void join_inputs(slicer *s, const tsl_node *node) {
    const tsl_plan_value *values = s->plan->values;
    uint32_t axis, output = node->outputs[0];
    if (!read_axis(node, &values[output].tensor, &axis)) return;
    for (uint32_t i = 0; i < node->n_inputs; i++) // what prepare refuses, later
        if (node->inputs[i] == TSL_NONE || values[node->inputs[i]].tensor.rank != values[output].tensor.rank)
            return;
    int64_t at = 0;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        int64_t begin;
        uint32_t part = find_whole(s->plan, node->inputs[i], &begin);
        if (part != output && follow_each_other(s, node, axis, i, part, begin) &&
            fits(s, part, output, axis, at))
            join(s, part, output, axis, at);
        at += values[node->inputs[i]].tensor.dims[axis];
    }
}

static void join_outputs(slicer *s, const tsl_node *node) {
    const tsl_plan_value *values = s->plan->values;
    uint32_t axis, input = node->inputs[0];
    if (!read_axis(node, &values[input].tensor, &axis)) return;
    int64_t begin, at = 0;
    uint32_t whole = find_whole(s->plan, input, &begin);
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        uint32_t part = node->outputs[i];
        if (part == TSL_NONE || values[part].tensor.rank != values[input].tensor.rank) return;
        if (fits(s, part, whole, axis, begin + at)) join(s, part, whole, axis, begin + at);
        at += values[part].tensor.dims[axis];
    }
}

// ---- Wishes ----

static bool takes_short_rows(tsl_op op) {
    switch (op) {
    case TSL_OP_CONV:
    case TSL_OP_CONV_TRANSPOSE:
    case TSL_OP_MAX_POOL:
    case TSL_OP_AVERAGE_POOL:
    case TSL_OP_RESIZE:
    case TSL_OP_UPSAMPLE:
    case TSL_OP_ADD:
    case TSL_OP_SUB:
    case TSL_OP_MUL:
    case TSL_OP_CONCAT:
    case TSL_OP_SPLIT:
    case TSL_OP_SLICE:
    case TSL_OP_TRANSPOSE:
    case TSL_OP_REORDER:
        return true;
    default:
        return false;
    }
}

static uint8_t wish(const tsl_node *node, const tsl_value *value) {
    if (tsl_op_finds_shape(node->op) || tsl_op_has_bodies(node->op)) return OWN;
    tsl_layout_rule rule = tsl_op_get_info(node->op)->layout;
    if (rule == TSL_RULE_CHANNELS_LAST && value->shape.rank != 4) rule = TSL_RULE_ROW_MAJOR;
    if (rule == TSL_RULE_ROW_MAJOR) return WITHOUT_GAPS;
    return takes_short_rows(node->op) ? 0 : LONG_ROWS;
}

static void find_wishes(slicer *s) {
    const tslim_graph *graph = s->plan->graph;
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tsl_node *node = &graph->nodes[n];
        for (uint32_t i = 0; i < node->n_inputs + node->n_outputs; i++) {
            uint32_t v = i < node->n_inputs ? node->inputs[i] : node->outputs[i - node->n_inputs];
            if (v != TSL_NONE) s->wants[v] |= wish(node, &graph->values[v]);
        }
    }
    for (uint32_t i = 0; i < graph->n_outputs; i++) s->wants[graph->outputs[i]] |= WITHOUT_GAPS;
}

tslim_status tsl_plan_place_slices(tsl_plan *plan, uint16_t (*borders)[4]) {
    const tslim_graph *graph = plan->graph;
    slicer s = {.plan = plan,
        .borders = borders,
        .wants = tsl_arena_array(&plan->arena, graph->n_values, sizeof(*s.wants))};
    TSL_REQUIRE_MEMORY(s.wants, graph->n_values);
    find_wishes(&s);
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tsl_node *node = &graph->nodes[n];
        if (node->op == TSL_OP_CONCAT) join_inputs(&s, node);
        if (node->op == TSL_OP_SPLIT) join_outputs(&s, node);
    }
    int64_t begin;
    for (uint32_t v = 0; v < graph->n_values; v++) find_whole(plan, v, &begin); // moves it under the whole
    return TSLIM_OK;
}

// True when every part lies where it has to in the whole: then nothing is copied.
static bool are_in_place(
    const tsl_plan *plan, const tsl_node *node, const uint32_t *parts, uint32_t count, uint32_t whole) {
    const tsl_plan_value *values = plan->values, *w = &values[whole];
    uint32_t axis;
    if (whole == TSL_NONE || !read_axis(node, &w->tensor, &axis)) return false;
    int64_t at = w->begin;
    for (uint32_t i = 0; i < count; i++) {
        if (parts[i] == TSL_NONE) return false;
        const tsl_plan_value *part = &values[parts[i]];
        if (part->whole != w->whole || part->begin != at || values[w->whole].axis != (int32_t)axis)
            return false;
        at += part->tensor.dims[axis];
    }
    return true;
}

bool tsl_plan_is_slicing(const tsl_plan *plan, const tsl_node *node) {
    if (node->op == TSL_OP_CONCAT)
        return are_in_place(plan, node, node->inputs, node->n_inputs, node->outputs[0]);
    return node->op == TSL_OP_SPLIT &&
           are_in_place(plan, node, node->outputs, node->n_outputs, node->inputs[0]);
}
