// SPDX-License-Identifier: Apache-2.0
// The .tslim file: what is written comes back whole, damage anywhere is found or does not matter, and files
// made to deceive, with right checksums, give an error or a sound graph.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32.h"
#include "format/tslim.h"
#include "format/tslim_layout.h"
#include "plan/model.h"
#include "support/failing_allocator.h"
#include "support/small_network.h"

static tslim_context *ctx;
static char path[] = "/tmp/tsl_tslim_XXXXXX";

typedef struct file {
    uint8_t *data; // 64-byte aligned
    size_t size;
} file;

static file read_file(void) {
    FILE *stream = fopen(path, "rb");
    assert_non_null(stream);
    assert_int_equal(fseek(stream, 0, SEEK_END), 0);
    file f = {.size = (size_t)ftell(stream)};
    rewind(stream);
    f.data = aligned_alloc(64, f.size + 64 - f.size % 64);
    assert_non_null(f.data);
    assert_int_equal(fread(f.data, 1, f.size, stream), f.size);
    fclose(stream);
    return f;
}

static tsl_file_section get_section(const file *f, uint32_t index) {
    tsl_file_section section;
    memcpy(&section, f->data + sizeof(tsl_file_header) + index * sizeof(section), sizeof(section));
    return section;
}

// Makes every checksum right again, as somebody who wants to deceive would.
static void repair_checksums(file *f) {
    tsl_file_header header;
    memcpy(&header, f->data, sizeof(header));
    size_t table = (size_t)header.n_sections * sizeof(tsl_file_section);
    if (table > f->size - sizeof(header)) return;
    for (uint32_t i = 0; i < header.n_sections; i++) {
        tsl_file_section section = get_section(f, i);
        if (section.offset > f->size || section.bytes > f->size - section.offset) continue;
        section.crc = tsl_crc32(0, f->data + section.offset, (size_t)section.bytes);
        memcpy(f->data + sizeof(header) + i * sizeof(section), &section, sizeof(section));
    }
    header.crc = 0;
    header.crc = tsl_crc32(tsl_crc32(0, &header, sizeof(header)), f->data + sizeof(header), table);
    memcpy(f->data, &header, sizeof(header));
}

// ---- Graphs ----

static void check(tslim_status status) {
    if (status != TSLIM_OK) fail_msg("%s", tsl_message());
}

static tslim_graph *load(const file *f) {
    tslim_graph *graph = NULL;
    check(tslim_graph_load_memory(ctx, f->data, f->size, &graph));
    check(tsl_graph_verify(graph, TSLIM_ERROR_INTERNAL));
    return graph;
}

static void assert_same_value(const tsl_value *a, const tsl_value *b) {
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->dtype, b->dtype);
    assert_int_equal(a->shape.known, b->shape.known);
    assert_int_equal(a->shape.rank, b->shape.rank);
    for (uint32_t i = 0; i < a->shape.rank; i++) {
        assert_int_equal(a->shape.dims[i], b->shape.dims[i]);
        assert_int_equal(a->shape.symbols[i] != NULL, b->shape.symbols[i] != NULL);
        if (a->shape.symbols[i]) assert_string_equal(a->shape.symbols[i], b->shape.symbols[i]);
    }
    assert_int_equal(a->quant.n_scales, b->quant.n_scales);
    if (a->quant.n_scales) {
        assert_memory_equal(a->quant.scales, b->quant.scales, a->quant.n_scales * sizeof(float));
        assert_int_equal(a->quant.axis, b->quant.axis);
        assert_int_equal(a->quant.zero_point, b->quant.zero_point);
    }
    assert_int_equal(a->packing, b->packing);
    assert_int_equal(tsl_value_is_constant(a), tsl_value_is_constant(b));
    assert_int_equal(a->bytes, b->bytes);
    if (a->bytes) assert_memory_equal(a->data, b->data, a->bytes);
    assert_int_equal(a->producer, b->producer);
}

static void assert_same_attr(const tsl_attr *a, const tsl_attr *b) {
    assert_int_equal(a->id, b->id);
    assert_int_equal(a->type, b->type);
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->count, b->count);
    switch (a->type) {
    case TSL_ATTR_TYPE_FLOAT:
        assert_memory_equal(&a->f, &b->f, sizeof(float));
        break;
    case TSL_ATTR_TYPE_INT:
    case TSL_ATTR_TYPE_TENSOR:
    case TSL_ATTR_TYPE_GRAPH:
        assert_int_equal(a->i, b->i);
        break;
    case TSL_ATTR_TYPE_STRING:
    case TSL_ATTR_TYPE_STRINGS:
    case TSL_ATTR_TYPE_OPAQUE:
        assert_memory_equal(a->s, b->s, a->count);
        break;
    case TSL_ATTR_TYPE_FLOATS:
        assert_memory_equal(a->floats, b->floats, a->count * sizeof(float));
        break;
    case TSL_ATTR_TYPE_INTS:
        assert_memory_equal(a->ints, b->ints, a->count * sizeof(int64_t));
        break;
    }
}

static void assert_same_node(const tsl_node *a, const tsl_node *b) {
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->op_type, b->op_type);
    assert_string_equal(a->domain, b->domain);
    assert_int_equal(a->op, b->op);
    assert_int_equal(a->n_inputs, b->n_inputs);
    assert_int_equal(a->n_outputs, b->n_outputs);
    assert_memory_equal(a->inputs, b->inputs, a->n_inputs * sizeof(uint32_t));
    assert_memory_equal(a->outputs, b->outputs, a->n_outputs * sizeof(uint32_t));
    assert_int_equal(a->attrs.count, b->attrs.count);
    for (uint32_t i = 0; i < a->attrs.count; i++) assert_same_attr(&a->attrs.items[i], &b->attrs.items[i]);
    assert_int_equal(a->epilogue.residual, b->epilogue.residual);
    assert_int_equal(a->epilogue.clamp, b->epilogue.clamp);
    if (a->epilogue.clamp) {
        assert_memory_equal(&a->epilogue.lo, &b->epilogue.lo, sizeof(float));
        assert_memory_equal(&a->epilogue.hi, &b->epilogue.hi, sizeof(float));
    }
}

static void assert_same_graph(const tslim_graph *a, const tslim_graph *b) {
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->opset, b->opset);
    assert_int_equal(a->optimized, b->optimized);
    assert_int_equal(a->n_values, b->n_values);
    for (uint32_t v = 0; v < a->n_values; v++) assert_same_value(&a->values[v], &b->values[v]);
    assert_int_equal(a->n_nodes, b->n_nodes);
    for (uint32_t n = 0; n < a->n_nodes; n++) assert_same_node(&a->nodes[n], &b->nodes[n]);
    assert_int_equal(a->n_inputs, b->n_inputs);
    assert_int_equal(a->n_outputs, b->n_outputs);
    assert_memory_equal(a->inputs, b->inputs, a->n_inputs * sizeof(uint32_t));
    assert_memory_equal(a->outputs, b->outputs, a->n_outputs * sizeof(uint32_t));
    assert_int_equal(a->n_history, b->n_history);
    for (uint32_t i = 0; i < a->n_history; i++) assert_string_equal(a->history[i], b->history[i]);
    assert_int_equal(a->preparation.n_channels, b->preparation.n_channels);
    if (a->preparation.scale != 0)
        assert_memory_equal(&a->preparation, &b->preparation, sizeof(a->preparation));
}

// A few nodes with one of everything that a file holds.
static tslim_graph *make_rich_graph(void) {
    tslim_graph *graph;
    uint32_t x, w, q, y, z, n;
    void *data;
    float *scales;
    check(tsl_graph_create(ctx, &graph));
    graph->opset = 13;
    graph->name = "rich";
    graph->optimized = true;
    check(tsl_graph_add_value(graph, "x", TSLIM_DTYPE_FLOAT, &x));
    tsl_shape_set(&graph->values[x].shape, 4, (const int64_t[]){-1, 2, 3, -1});
    graph->values[x].shape.symbols[0] = "batch";
    check(tsl_graph_add_constant(graph, "w", TSLIM_DTYPE_INT8, 4, (const int64_t[]){2, 2, 1, 1}, &w, &data));
    memcpy(data, (const int8_t[]){1, -2, 3, -127}, 4);
    scales = tsl_arena_array(&graph->arena, 3, sizeof(float));
    assert_non_null(scales);
    memcpy(scales, (const float[]){0.5f, 0.25f, 0.125f}, 3 * sizeof(float));
    graph->values[w].quant = (tsl_quant){.scales = scales, .n_scales = 2, .axis = 0};
    check(tsl_graph_add_value(graph, "q", TSLIM_DTYPE_INT8, &q));
    graph->values[q].quant = (tsl_quant){.scales = scales + 2, .n_scales = 1, .zero_point = -3};
    check(tsl_graph_add_node(graph, TSL_OP_QUANTIZE, "quantize", 1, &x, 1, &q, &n));
    check(tsl_graph_add_value(graph, "y", TSLIM_DTYPE_INT8, &y));
    graph->values[y].quant = graph->values[q].quant;
    check(
        tsl_graph_add_node(graph, TSL_OP_CONV, "conv", 4, (const uint32_t[]){q, w, TSL_NONE, q}, 1, &y, &n));
    graph->nodes[n].epilogue = (tsl_epilogue){.residual = 3, .clamp = true, .lo = 0, .hi = 6};
    check(tsl_node_set_ints(graph, &graph->nodes[n], TSL_ATTR_strides, (const int64_t[]){1, 1}, 2));
    check(tsl_node_set_int(graph, &graph->nodes[n], TSL_ATTR_group, -7));
    check(tsl_node_set_float(graph, &graph->nodes[n], TSL_ATTR_alpha, 0.1f));
    check(tsl_node_set_string(graph, &graph->nodes[n], TSL_ATTR_auto_pad, "NOTSET"));
    check(tsl_graph_add_value(graph, "z", TSLIM_DTYPE_FLOAT, &z));
    check(tsl_graph_add_node(graph, TSL_OP_DEQUANTIZE, "dequantize", 1, &y, 1, &z, &n));
    uint32_t *ends = tsl_arena_array(&graph->arena, 2, sizeof(*ends));
    assert_non_null(ends);
    ends[0] = x;
    ends[1] = z;
    graph->inputs = &ends[0];
    graph->outputs = &ends[1];
    graph->n_inputs = graph->n_outputs = 1;
    check(tslim_graph_history_add(graph, "prune --ratio 0.3"));
    check(tslim_graph_history_add(graph, "quantize"));
    tslim_input_preparation preparation = {.struct_size = sizeof(preparation),
        .scale = 1 / 255.0f,
        .n_channels = 2,
        .mean = {0.5f, 0.25f},
        .std = {1, 2},
        .layout = 1,
        .channels = 1,
        .height = 3,
        .width = 8};
    check(tslim_graph_set_preparation(graph, &preparation));
    check(tsl_graph_verify(graph, TSLIM_ERROR_INTERNAL));
    return graph;
}

static file write_rich(tslim_graph **graph) {
    *graph = make_rich_graph();
    check(tsl_tslim_write(*graph, path));
    return read_file();
}

// ---- Tests ----

static void test_round_trip(void **state) {
    (void)state;
    tslim_graph *graph;
    file f = write_rich(&graph);
    tslim_graph *loaded = load(&f);
    assert_same_graph(graph, loaded);
    tslim_graph_destroy(loaded);
    tslim_graph_destroy(graph);
    free(f.data);
    check(small_network_create(ctx, 1, &graph));
    check(tsl_tslim_write(graph, path));
    check(tslim_graph_load_file(ctx, path, &loaded));
    assert_same_graph(graph, loaded);
    for (uint32_t v = 0; v < loaded->n_values; v++)
        if (tsl_value_is_constant(&loaded->values[v])) {
            assert_ptr_equal(loaded->values[v].buffer, loaded->file); // used where it lies
            assert_int_equal((uintptr_t)loaded->values[v].data % TSL_FILE_ALIGNMENT, 0);
        }
    tslim_graph_destroy(loaded);
    tslim_graph_destroy(graph);
}

static void test_same_bytes(void **state) {
    (void)state;
    tslim_graph *graph;
    file first = write_rich(&graph);
    tslim_graph *loaded = load(&first);
    check(tsl_tslim_write(loaded, path));
    file second = read_file();
    assert_int_equal(first.size, second.size);
    assert_memory_equal(first.data, second.data, first.size);
    tslim_graph_destroy(loaded);
    tslim_graph_destroy(graph);
    free(first.data);
    free(second.data);
}

// A file whose packed weights carry wrong sums loads (kernels stay within bounds), but is not good.
static void test_packed_weights(void **state) {
    (void)state;
    tslim_graph *graph = make_rich_graph();
    check(tsl_node_set_int(graph, &graph->nodes[1], TSL_ATTR_group, 1));
    check(tsl_graph_pack_weights(graph, &tsl_cpu_backend));
    check(tsl_tslim_write(graph, path));
    file f = read_file();
    tslim_graph *loaded = load(&f);
    const tsl_value *weights = tsl_node_input(loaded, &loaded->nodes[1], 1);
    assert_int_not_equal(weights->packing, TSL_PACKING_NONE);
    size_t last = (size_t)((const uint8_t *)weights->data - f.data) + weights->bytes - 1;
    assert_int_not_equal(tslim_graph_check(loaded, NULL, NULL), TSLIM_ERROR_BAD_FILE);
    tslim_graph_destroy(loaded);
    f.data[last] ^= 1;
    repair_checksums(&f);
    loaded = load(&f);
    assert_int_equal(tslim_graph_check(loaded, NULL, NULL), TSLIM_ERROR_BAD_FILE);
    assert_non_null(strstr(tslim_context_message(ctx), "node 'conv': operand 1"));
    tslim_graph_destroy(loaded);
    tslim_graph_destroy(graph);
    free(f.data);
}

static void test_unaligned_memory(void **state) {
    (void)state;
    tslim_graph *graph;
    file f = write_rich(&graph);
    uint8_t *shifted = test_malloc(f.size + 1);
    memcpy(shifted + 1, f.data, f.size);
    file moved = {shifted + 1, f.size};
    tslim_graph *loaded = load(&moved);
    assert_same_graph(graph, loaded);
    tslim_graph_destroy(loaded);
    test_free(shifted);
    tslim_graph_destroy(graph);
    free(f.data);
}

static void test_truncation(void **state) {
    (void)state;
    tslim_graph *graph, *loaded = NULL;
    file f = write_rich(&graph);
    for (size_t size = 0; size < f.size; size++) {
        uint8_t *copy = test_malloc(size ? size : 1);
        memcpy(copy, f.data, size);
        assert_int_equal(tslim_graph_load_memory(ctx, copy, size, &loaded), TSLIM_ERROR_BAD_FILE);
        test_free(copy);
    }
    tslim_graph_destroy(graph);
    free(f.data);
}

static void test_flipped_bytes(void **state) {
    (void)state;
    tslim_graph *graph, *loaded = NULL;
    file f = write_rich(&graph);
    size_t harmless = 0;
    for (size_t i = 0; i < f.size; i++) {
        uint8_t byte = f.data[i];
        for (unsigned bit = 0; bit < 9; bit++) {
            f.data[i] = (uint8_t)(bit < 8 ? byte ^ (1u << bit) : 255u - byte);
            tslim_status status = tslim_graph_load_memory(ctx, f.data, f.size, &loaded);
            if (status == TSLIM_OK) {
                assert_same_graph(graph, loaded); // a byte between sections
                tslim_graph_destroy(loaded);
                harmless++;
            } else {
                assert_true(status == TSLIM_ERROR_BAD_FILE || status == TSLIM_ERROR_UNSUPPORTED);
            }
        }
        f.data[i] = byte;
    }
    assert_true(harmless < (size_t)9 * 2 * TSL_FILE_ALIGNMENT);
    tslim_graph_destroy(graph);
    free(f.data);
}

// Every value of every byte of the header, the table and the graph, with checksums that fit.
static void test_deceiving_files(void **state) {
    (void)state;
    tslim_graph *graph, *loaded = NULL;
    file f = write_rich(&graph);
    uint8_t *original = test_malloc(f.size);
    memcpy(original, f.data, f.size);
    tsl_file_section section = get_section(&f, 0);
    size_t end = (size_t)(section.offset + section.bytes), sound = 0;
    for (size_t i = 8; i < end; i++)
        for (unsigned value = 0; value < 256; value += i < section.offset ? 1 : 3) {
            f.data[i] = (uint8_t)value;
            repair_checksums(&f);
            tslim_status status = tslim_graph_load_memory(ctx, f.data, f.size, &loaded);
            if (status == TSLIM_OK) {
                check(tsl_graph_verify(loaded, TSLIM_ERROR_INTERNAL));
                tslim_graph_destroy(loaded);
                sound++;
            } else {
                assert_true(status == TSLIM_ERROR_BAD_FILE || status == TSLIM_ERROR_UNSUPPORTED ||
                            status == TSLIM_ERROR_LIMIT);
            }
            memcpy(f.data, original, f.size);
        }
    assert_true(sound > 0); // the checksums were right
    test_free(original);
    tslim_graph_destroy(graph);
    free(f.data);
}

static void test_newer_versions(void **state) {
    (void)state;
    tslim_graph *graph, *loaded = NULL;
    file f = write_rich(&graph);
    tsl_file_header header;
    memcpy(&header, f.data, sizeof(header));
    header.version = 9; // newer, but old readers understand it
    memcpy(f.data, &header, sizeof(header));
    repair_checksums(&f);
    loaded = load(&f);
    tslim_graph_destroy(loaded);
    header.reader_version = 9;
    memcpy(f.data, &header, sizeof(header));
    repair_checksums(&f);
    assert_int_equal(tslim_graph_load_memory(ctx, f.data, f.size, &loaded), TSLIM_ERROR_UNSUPPORTED);
    assert_non_null(strstr(tsl_message(), "9"));
    assert_non_null(strstr(tsl_message(), "2"));
    tslim_graph_destroy(graph);
    free(f.data);
}

// A third section of a type that is not known yet.
static void test_unknown_section(void **state) {
    (void)state;
    tslim_graph *graph, *loaded;
    file f = write_rich(&graph);
    tsl_file_header header;
    memcpy(&header, f.data, sizeof(header));
    file larger = {.size = f.size + 64};
    larger.data = aligned_alloc(64, larger.size + 64 - larger.size % 64);
    assert_non_null(larger.data);
    memset(larger.data, 0, larger.size);
    memcpy(larger.data, f.data, sizeof(header) + 2 * sizeof(tsl_file_section));
    size_t moved = 64; // the third entry of the table takes the room up to byte 128 and no more
    assert_true(sizeof(header) + 3 * sizeof(tsl_file_section) <= get_section(&f, 0).offset + moved);
    memcpy(larger.data + get_section(&f, 0).offset + moved, f.data + get_section(&f, 0).offset,
        f.size - get_section(&f, 0).offset);
    for (uint32_t i = 0; i < 2; i++) {
        tsl_file_section section = get_section(&f, i);
        section.offset += moved;
        memcpy(larger.data + sizeof(header) + i * sizeof(section), &section, sizeof(section));
    }
    tsl_file_section extra = {.type = 77, .offset = 0, .bytes = 16};
    memcpy(larger.data + sizeof(header) + 2 * sizeof(extra), &extra, sizeof(extra));
    header.n_sections = 3;
    header.file_bytes = larger.size;
    memcpy(larger.data, &header, sizeof(header));
    // The extra section covers the file's first bytes, so that its own checksum is settled before the
    // header's.
    extra.offset = get_section(&larger, 0).offset;
    memcpy(larger.data + sizeof(header) + 2 * sizeof(extra), &extra, sizeof(extra));
    repair_checksums(&larger);
    loaded = load(&larger);
    assert_same_graph(graph, loaded);
    tslim_graph_destroy(loaded);
    tslim_graph_destroy(graph);
    free(f.data);
    free(larger.data);
}

static void test_failing_allocations(void **state) {
    (void)state;
    tslim_graph *graph;
    file f = write_rich(&graph);
    for (uint64_t n = 1;; n++) {
        failing_allocator allocator = {.fail_at = n};
        tslim_context_options options;
        tslim_context_options_init(&options);
        options.n_threads = 1;
        options.allocator = failing_allocator_interface(&allocator);
        tslim_context *failing = NULL;
        tslim_graph *loaded = NULL;
        tslim_status status = tslim_context_create(&options, &failing);
        if (status == TSLIM_OK) status = tslim_graph_load_memory(failing, f.data, f.size, &loaded);
        if (status == TSLIM_OK) status = tsl_tslim_write(loaded, path);
        tslim_graph_destroy(loaded);
        tslim_context_destroy(failing);
        assert_int_equal(allocator.live, 0);
        if (allocator.calls < n) {
            assert_int_equal(status, TSLIM_OK);
            break;
        }
        assert_int_equal(status, TSLIM_ERROR_NO_MEMORY);
    }
    tslim_graph_destroy(graph);
    free(f.data);
}

static int set_up(void **state) {
    (void)state;
    tslim_context_options options;
    tslim_context_options_init(&options);
    options.n_threads = 1;
    int fd = mkstemp(path);
    if (fd < 0) return -1;
    close(fd);
    return tslim_context_create(&options, &ctx) == TSLIM_OK ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    unlink(path);
    tslim_context_destroy(ctx);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_packed_weights),
        cmocka_unit_test(test_unaligned_memory),
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_flipped_bytes),
        cmocka_unit_test(test_deceiving_files),
        cmocka_unit_test(test_newer_versions),
        cmocka_unit_test(test_unknown_section),
        cmocka_unit_test(test_failing_allocations),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
