// SPDX-License-Identifier: Apache-2.0
// Rows: for output pixels spread evenly over the samples, the patch that the layer reads in the network as it
// is by now, and what the original makes there. Which pixels depends on the number of samples alone.
#include <string.h>

#include "base/checked.h"
#include "base/rng.h"
#include "pass/pass.h"
#include "prune/repair.h"

typedef struct sampler {
    tsl_repair *repair;
    const tsl_repair_site *site;
    tsl_repair_view view;
    tsl_repair_rows *rows;
    tslim_graph *student_graph, *teacher_graph; // up to the values that are wanted
    tsl_runner student, teacher;
    uint32_t *kept; // the teacher's channels
    bool last_axis; // channels lie on the last axis
} sampler;

// ---- Networks that end where the layer does ----

// A copy that computes these values and nothing else. Values that are inputs are left out.
static tslim_status truncate_graph(
    const tslim_graph *graph, const uint32_t *values, uint32_t count, tslim_graph **truncated) {
    TSL_TRY(tslim_graph_clone(graph, truncated));
    tslim_graph *copy = *truncated;
    copy->outputs = tsl_arena_copy(&copy->arena, values, count * sizeof(*values));
    TSL_REQUIRE_MEMORY(copy->outputs, count * sizeof(*values));
    copy->n_outputs = count;
    return tsl_pass_remove_dead(copy);
}

static tslim_status open_student(sampler *s, const tsl_runner_options *options) {
    uint32_t wanted[2], count = 0;
    if (s->view != TSL_REPAIR_VIEW_OWN) wanted[count++] = s->site->input;
    if (s->view == TSL_REPAIR_VIEW_OWN) wanted[count++] = s->site->own;
    if (s->view == TSL_REPAIR_VIEW_SUM && s->site->other != s->site->input) wanted[count++] = s->site->other;
    TSL_TRY(truncate_graph(s->repair->graph, wanted, count, &s->student_graph));
    return tsl_runner_init(&s->student, s->student_graph, s->repair->dataset, options);
}

static tslim_status open_teacher(sampler *s, const tsl_runner_options *options) {
    const tslim_graph *graph = s->repair->graph, *teacher = s->repair->teacher;
    const char *name = graph->values[s->view == TSL_REPAIR_VIEW_SUM ? s->site->sum : s->site->own].name;
    const tsl_node *node = &graph->nodes[s->site->node];
    s->last_axis = node->op == TSL_OP_GEMM || node->op == TSL_OP_MATMUL;
    TSL_TRY(tsl_repair_kept(s->repair, node->name, name, s->last_axis, s->site->width, &s->kept));
    uint32_t wanted = tsl_graph_find_value(teacher, name);
    TSL_TRY(truncate_graph(teacher, &wanted, 1, &s->teacher_graph));
    return tsl_runner_init(&s->teacher, s->teacher_graph, s->repair->dataset, options);
}

// What the student has made of a value in this run.
static const tslim_tensor *student_value(const sampler *s, uint32_t value) {
    const char *name = s->repair->graph->values[value].name;
    for (uint32_t i = 0; i < s->student_graph->n_outputs; i++)
        if (strcmp(s->student_graph->values[s->student_graph->outputs[i]].name, name) == 0)
            return &s->student.outputs[i];
    return NULL;
}

// ---- Memory ----

static tslim_status allocate_floats(
    tslim_context *ctx, size_t a, size_t b, size_t c, float **memory, size_t *bytes) {
    size_t size;
    TSL_REQUIRE(
        tsl_mul_size(a, b, &size) && tsl_mul_size(size, c, &size) && tsl_mul_size(size, sizeof(float), &size),
        TSLIM_ERROR_LIMIT, "%zu x %zu x %zu numbers are too many", a, b, c);
    *memory = tsl_allocate_zeroed(ctx, size);
    TSL_REQUIRE_MEMORY(*memory, size);
    *bytes = size;
    return TSLIM_OK;
}

// As many rows as were asked for and fit beside the equations.
static size_t choose_rows(const sampler *s, uint64_t available) {
    const tslim_repair_options *o = s->repair->options;
    uint64_t depth = s->site->depth, width = s->site->width, group = s->site->group;
    bool patches = s->view != TSL_REPAIR_VIEW_OWN;
    uint64_t row = (3 * width + (patches ? group * depth : 0)) * sizeof(float);
    uint64_t equations = patches ? 24 * depth * (depth + width / group) : 0;
    uint64_t memory = o->memory_bytes > 2 * equations ? o->memory_bytes - equations : o->memory_bytes / 2;
    uint64_t rows = o->max_rows < available ? o->max_rows : available;
    if (rows > memory / row) rows = memory / row;
    return rows < 1 ? 1 : (size_t)rows;
}

static tslim_status allocate_rows(sampler *s, uint64_t available) {
    tsl_repair_rows *rows = s->rows;
    size_t width = s->site->width, wanted = choose_rows(s, available);
    rows->capacity = tsl_round_up(wanted, TSL_REPAIR_BLOCK);
    if (s->view != TSL_REPAIR_VIEW_OWN)
        TSL_TRY(allocate_floats(
            rows->ctx, s->site->group, rows->capacity, s->site->depth, &rows->x, &rows->x_bytes));
    if (s->view != TSL_REPAIR_VIEW_FIT)
        TSL_TRY(allocate_floats(rows->ctx, 1, rows->capacity, width, &rows->added, &rows->added_bytes));
    TSL_TRY(allocate_floats(rows->ctx, 1, rows->capacity, width, &rows->y, &rows->y_bytes));
    rows->capacity = wanted; // the padding stays zero
    return TSLIM_OK;
}

void tsl_repair_rows_clear(tsl_repair_rows *rows) {
    tsl_free(rows->ctx, rows->x, rows->x_bytes);
    tsl_free(rows->ctx, rows->y, rows->y_bytes);
    tsl_free(rows->ctx, rows->added, rows->added_bytes);
    rows->x = rows->y = rows->added = NULL;
}

// ---- Gathering ----

// Positions of a value: everything but its channels. `plane` positions lie behind each other.
typedef struct positions {
    size_t channels, plane, count;
} positions;

static tslim_status read_positions(
    const sampler *s, const tslim_tensor *tensor, const char *name, size_t channels, positions *p) {
    uint32_t axis = s->last_axis ? tensor->rank - 1 : 1;
    size_t elements = 1;
    TSL_REQUIRE(
        tensor->dtype == TSLIM_DTYPE_FLOAT && axis < tensor->rank && tensor->dims[axis] == (int64_t)channels,
        TSLIM_ERROR_INVALID_ARGUMENT, "'%s': its shape is not that of a layer with %zu channels", name,
        channels);
    *p = (positions){.channels = channels, .plane = 1};
    for (uint32_t i = 0; i < tensor->rank; i++) elements *= (size_t)tensor->dims[i];
    for (uint32_t i = axis + 1; i < tensor->rank; i++) p->plane *= (size_t)tensor->dims[i];
    p->count = elements / channels;
    return TSLIM_OK;
}

static size_t element_of(const positions *p, size_t position, size_t channel) {
    return (position / p->plane * p->channels + channel) * p->plane + position % p->plane;
}

// The offset of each tap of the window at an output pixel, within a plane of the input; -1: outside.
static void find_taps(const tsl_window_nd *w, bool transposed, size_t pixel, size_t n_taps, int64_t *taps) {
    int64_t out[TSL_MOST_SPATIAL];
    for (uint32_t a = w->rank; a-- > 0; pixel /= (size_t)w->out[a])
        out[a] = (int64_t)(pixel % (size_t)w->out[a]);
    for (size_t t = 0; t < n_taps; t++) {
        int64_t offset = 0, rest = (int64_t)t, at[TSL_MOST_SPATIAL];
        bool inside = true;
        for (uint32_t a = w->rank; a-- > 0; rest /= w->kernel[a]) {
            int64_t tap = rest % w->kernel[a] * w->dilation[a];
            at[a] =
                transposed ? out[a] + w->pad_begin[a] - tap : out[a] * w->stride[a] - w->pad_begin[a] + tap;
            if (transposed) {
                inside = inside && at[a] % w->stride[a] == 0;
                at[a] /= w->stride[a];
            }
            inside = inside && at[a] >= 0 && at[a] < w->in[a];
        }
        for (uint32_t a = 0; a < w->rank; a++) offset = offset * w->in[a] + at[a];
        taps[t] = inside ? offset : -1;
    }
}

typedef struct patch_source {
    const float *data;
    size_t channels, plane, taps; // of the input; taps: 1 for products
    tsl_window_nd window;
    bool convolution, transposed;
    int64_t *offsets;
} patch_source;

static tslim_status open_patches(const sampler *s, const tslim_tensor *x, tsl_arena *arena, patch_source *p) {
    const tsl_node *node = &s->repair->graph->nodes[s->site->node];
    const tsl_value *weights = tsl_node_input(s->repair->graph, node, 1);
    *p = (patch_source){.data = x->data, .taps = 1, .plane = 1};
    p->transposed = node->op == TSL_OP_CONV_TRANSPOSE;
    p->convolution = node->op == TSL_OP_CONV || p->transposed;
    uint32_t axis = p->convolution ? 1 : x->rank - 1;
    TSL_REQUIRE(x->dtype == TSLIM_DTYPE_FLOAT && axis < x->rank && (!p->convolution || x->rank >= 3),
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': its input is no float tensor of the right rank",
        node->name);
    p->channels = (size_t)x->dims[axis];
    if (p->convolution) {
        for (uint32_t i = 2; i < weights->shape.rank; i++) p->taps *= (size_t)weights->shape.dims[i];
        for (uint32_t i = 2; i < x->rank; i++) p->plane *= (size_t)x->dims[i];
        TSL_TRY(tsl_window_nd_read(
            &node->attrs, node->op, x->rank - 2, x->dims + 2, weights->shape.dims + 2, &p->window));
    }
    TSL_REQUIRE(p->channels * p->taps == (size_t)s->site->group * s->site->depth,
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': %zu input channels for %u weights in %u groups", node->name,
        p->channels, s->site->depth, s->site->group);
    p->offsets = tsl_arena_array(arena, p->taps, sizeof(*p->offsets));
    TSL_REQUIRE_MEMORY(p->offsets, p->taps * sizeof(*p->offsets));
    return TSLIM_OK;
}

static void gather_patch(const sampler *s, patch_source *p, size_t position, size_t out_plane) {
    tsl_repair_rows *rows = s->rows;
    size_t padded = tsl_round_up(rows->capacity, TSL_REPAIR_BLOCK), depth = s->site->depth;
    const float *sample = p->data + position / out_plane * p->channels * p->plane;
    size_t per_group = p->channels / s->site->group;
    if (p->convolution)
        find_taps(&p->window, p->transposed, position % out_plane, p->taps, p->offsets);
    else
        p->offsets[0] = 0;
    for (size_t c = 0; c < p->channels; c++) {
        const float *plane = sample + c * p->plane;
        float *to = rows->x + (c / per_group * padded + rows->n_rows) * depth + c % per_group * p->taps;
        for (size_t t = 0; t < p->taps; t++) to[t] = p->offsets[t] < 0 ? 0 : plane[p->offsets[t]];
    }
}

static tslim_status gather(sampler *s, uint64_t first, uint32_t count, tsl_arena *arena) {
    tsl_repair_rows *rows = s->rows;
    const tsl_repair_site *site = s->site;
    const tslim_graph *graph = s->repair->graph;
    bool own = s->view == TSL_REPAIR_VIEW_OWN;
    const char *target = graph->values[s->view == TSL_REPAIR_VIEW_SUM ? site->sum : site->own].name;
    const tslim_tensor *y = &s->teacher.outputs[0];
    uint32_t axis = s->last_axis ? y->rank - 1 : 1;
    positions theirs, ours = {0};
    TSL_TRY(read_positions(
        s, y, target, axis < y->rank && y->dims[axis] > 0 ? (size_t)y->dims[axis] : 1, &theirs));
    theirs.count = theirs.count / s->teacher.batch * count; // the rest is padding
    patch_source patches = {0};
    const tslim_tensor *added = NULL;
    if (s->view != TSL_REPAIR_VIEW_FIT) {
        uint32_t value = own ? site->own : site->other;
        added = student_value(s, value);
        TSL_TRY(read_positions(s, added, graph->values[value].name, site->width, &ours));
    }
    if (!own) TSL_TRY(open_patches(s, student_value(s, site->input), arena, &patches));
    TSL_REQUIRE(own || !patches.convolution || ours.channels == 0 || ours.plane == theirs.plane,
        TSLIM_ERROR_INVALID_ARGUMENT, "'%s' has planes of %zu, the original's of %zu", target, ours.plane,
        theirs.plane);
    if (rows->y == NULL) {
        uint64_t samples = tslim_dataset_count(s->repair->dataset);
        TSL_TRY(allocate_rows(s, theirs.count / count * samples));
    }
    // This run's share of all rows, each from its own stretch of positions.
    uint64_t samples = tslim_dataset_count(s->repair->dataset);
    uint64_t until = (first + count) * (uint64_t)rows->capacity / samples;
    size_t share = until > rows->n_rows ? (size_t)until - rows->n_rows : 0;
    if (share > theirs.count) share = theirs.count;
    tsl_rng rng;
    tsl_rng_seed(&rng, first);
    for (size_t i = 0; i < share; i++) {
        size_t begin = i * theirs.count / share, end = (i + 1) * theirs.count / share;
        size_t position = begin + (size_t)tsl_rng_below(&rng, end - begin);
        for (size_t c = 0; c < site->width; c++) {
            size_t to = rows->n_rows * site->width + c;
            rows->y[to] = ((const float *)y->data)[element_of(&theirs, position, s->kept[c])];
            if (rows->added) rows->added[to] = ((const float *)added->data)[element_of(&ours, position, c)];
        }
        if (!own) gather_patch(s, &patches, position, theirs.plane);
        rows->n_rows++;
    }
    return TSLIM_OK;
}

// ---- Together ----

static tslim_status sample_runs(sampler *s) {
    uint64_t samples = tslim_dataset_count(s->repair->dataset);
    tsl_arena arena;
    tsl_arena_init(&arena, s->repair->ctx);
    tslim_status status = TSLIM_OK;
    for (uint64_t first = 0; first < samples && status == TSLIM_OK; first += s->teacher.batch) {
        uint64_t left = samples - first;
        uint32_t count = left < s->teacher.batch ? (uint32_t)left : s->teacher.batch;
        status = tsl_runner_read(&s->teacher, first, count, NULL);
        if (status == TSLIM_OK) status = tsl_runner_run(&s->teacher, s->teacher.inputs);
        if (status == TSLIM_OK) status = tsl_runner_run(&s->student, s->teacher.inputs);
        if (status == TSLIM_OK) status = gather(s, first, count, &arena);
        tsl_arena_clear(&arena);
    }
    return status;
}

tslim_status tsl_repair_sample(
    tsl_repair *repair, const tsl_repair_site *site, tsl_repair_view view, tsl_repair_rows *rows) {
    sampler s = {.repair = repair, .site = site, .view = view, .rows = rows};
    // Full runs only, so that the last one is planned like the others.
    tsl_runner_options options = {.batch = repair->options->batch, .pad = true};
    *rows = (tsl_repair_rows){.ctx = repair->ctx};
    tslim_status status = open_teacher(&s, &options);
    if (status == TSLIM_OK) status = open_student(&s, &options);
    if (status == TSLIM_OK && s.student.batch != s.teacher.batch)
        status = tsl_fail(TSLIM_ERROR_INVALID_ARGUMENT, "the model takes %u samples a run, the original %u",
            s.student.batch, s.teacher.batch);
    if (status == TSLIM_OK) status = sample_runs(&s);
    tsl_runner_clear(&s.student);
    tsl_runner_clear(&s.teacher);
    tslim_graph_destroy(s.student_graph);
    tslim_graph_destroy(s.teacher_graph);
    if (status != TSLIM_OK) tsl_repair_rows_clear(rows);
    return status;
}
