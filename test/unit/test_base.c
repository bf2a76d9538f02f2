// SPDX-License-Identifier: Apache-2.0
// Base: arithmetic, arena, names, random numbers, files, threads, messages.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/crc32.h"
#include "base/file.h"
#include "base/name_map.h"
#include "base/rng.h"
#include "base/status.h"
#include "base/text.h"

static tslim_context *make_context(uint32_t n_threads) {
    tslim_context_options options;
    tslim_context_options_init(&options);
    options.n_threads = n_threads;
    tslim_context *ctx;
    assert_int_equal(tslim_context_create(&options, &ctx), TSLIM_OK);
    return ctx;
}

static void test_checked(void **state) {
    (void)state;
    size_t r = 7;
    assert_false(tsl_add_size(SIZE_MAX, 1, &r));
    assert_false(tsl_mul_size(SIZE_MAX / 2 + 1, 2, &r));
    assert_true(tsl_mul_size(SIZE_MAX / 2, 2, &r));
    assert_int_equal(r, SIZE_MAX - 1);
    assert_false(tsl_align_size(SIZE_MAX - 3, 64, &r));
    assert_true(tsl_align_size(65, 64, &r));
    assert_int_equal(r, 128);
}

static void test_arena(void **state) {
    (void)state;
    tslim_context *ctx = make_context(1);
    tsl_arena arena;
    tsl_arena_init(&arena, ctx);
    unsigned char *pieces[500];
    for (size_t i = 0; i < 500; i++) {
        pieces[i] =
            i % 7 == 0 ? tsl_arena_alloc_aligned(&arena, i * 37 + 1) : tsl_arena_alloc(&arena, i * 37 + 1);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % (i % 7 == 0 ? 64 : 16), 0);
        memset(pieces[i], (int)(i & 255), i * 37 + 1);
    }
    for (size_t i = 0; i < 500; i++)
        for (size_t k = 0; k < i * 37 + 1; k++) assert_int_equal(pieces[i][k], i & 255);
    assert_null(tsl_arena_array(&arena, SIZE_MAX / 2, 4));
    assert_string_equal(tsl_arena_format(&arena, "%d-%s", 5, "x"), "5-x");
    tsl_arena_clear(&arena);
    tslim_context_destroy(ctx);
}

static void test_name_map(void **state) {
    (void)state;
    tslim_context *ctx = make_context(1);
    tsl_name_map map;
    tsl_name_map_init(&map, ctx);
    static char names[3000][16];
    assert_int_equal(tsl_name_map_get(&map, "absent"), TSL_NAME_ABSENT);
    for (uint32_t i = 0; i < 3000; i++) {
        snprintf(names[i], sizeof(names[i]), "name_%u", i);
        assert_true(tsl_name_map_set(&map, names[i], i));
    }
    assert_true(tsl_name_map_set(&map, "name_7", 70));
    for (uint32_t i = 0; i < 3000; i++) assert_int_equal(tsl_name_map_get(&map, names[i]), i == 7 ? 70 : i);
    assert_int_equal(tsl_name_map_get(&map, "name_3000"), TSL_NAME_ABSENT);
    tsl_name_map_clear(&map);
    tslim_context_destroy(ctx);
}

// The first numbers of xoshiro256** from the state 1, 2, 3, 4, computed by hand from the paper's definition.
static void test_rng(void **state) {
    (void)state;
    tsl_rng rng = {{1, 2, 3, 4}};
    assert_int_equal(tsl_rng_next(&rng), 11520);
    assert_int_equal(tsl_rng_next(&rng), 0);
    assert_int_equal(tsl_rng_next(&rng), 1509978240);
    tsl_rng_seed(&rng, 42);
    double sum = 0, squares = 0;
    for (int i = 0; i < 20000; i++) {
        double x = tsl_rng_normal(&rng);
        sum += x;
        squares += x * x;
        assert_true(tsl_rng_below(&rng, 7) < 7);
    }
    assert_true(sum / 20000 < 0.03 && sum / 20000 > -0.03);
    assert_true(squares / 20000 < 1.05 && squares / 20000 > 0.95);
}

static void test_crc(void **state) {
    (void)state;
    assert_int_equal(tsl_crc32(0, "123456789", 9), 0xcbf43926u); // the check value of CRC-32
    assert_int_equal(tsl_crc32(tsl_crc32(0, "1234", 4), "56789", 5), 0xcbf43926u);
    // Bit by bit, over lengths that vectors take and lengths that they leave, in one piece and in two.
    static uint8_t bytes[10000];
    for (size_t i = 0; i < sizeof(bytes); i++) bytes[i] = (uint8_t)(i * i * 31 + i / 7);
    for (size_t size = 3900; size <= sizeof(bytes); size += 61) {
        const size_t first = size % 5 ? size % 4500 : 0;
        uint32_t wanted = UINT32_MAX;
        for (size_t i = 0; i < size; i++) {
            wanted ^= bytes[i];
            for (int bit = 0; bit < 8; bit++) wanted = wanted >> 1 ^ (wanted & 1 ? 0xedb88320u : 0);
        }
        uint32_t crc = tsl_crc32(tsl_crc32(0, bytes, first), bytes + first, size - first);
        assert_int_equal(crc, ~wanted);
    }
}

static void test_file(void **state) {
    (void)state;
    tslim_context *ctx = make_context(1);
    char folder[] = "/tmp/tsl_test_XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/file", folder);
    assert_int_equal(tsl_file_write(ctx, path, "old", 3), TSLIM_OK);

    // A write that is given up leaves the old file and nothing else.
    tsl_file_writer *writer;
    assert_int_equal(tsl_file_writer_open(ctx, path, &writer), TSLIM_OK);
    assert_int_equal(tsl_file_writer_write(writer, "half", 4), TSLIM_OK);
    tsl_file_writer_abort(writer);
    tsl_buffer *buffer;
    assert_int_equal(tsl_file_map(ctx, path, &buffer), TSLIM_OK);
    assert_int_equal(buffer->size, 3);
    assert_memory_equal(buffer->data, "old", 3);
    tsl_buffer_release(buffer);

    assert_int_equal(tsl_file_writer_open(ctx, path, &writer), TSLIM_OK);
    assert_int_equal(tsl_file_writer_write(writer, "....new", 7), TSLIM_OK);
    assert_int_equal(tsl_file_writer_patch(writer, 0, "the ", 4), TSLIM_OK);
    assert_int_equal(tsl_file_writer_commit(writer), TSLIM_OK);
    assert_int_equal(tsl_file_map(ctx, path, &buffer), TSLIM_OK);
    assert_int_equal(buffer->size, 7);
    assert_memory_equal(buffer->data, "the new", 7);
    tsl_buffer_release(buffer);
    unlink(path);
    assert_int_equal(rmdir(folder), 0); // fails if a temporary file is left

    assert_int_equal(tsl_file_map(ctx, path, &buffer), TSLIM_ERROR_IO);
    assert_non_null(strstr(tslim_context_message(ctx), path));
    assert_int_equal(tsl_file_map(ctx, "/tmp", &buffer), TSLIM_ERROR_IO);
    tslim_context_destroy(ctx);
}

typedef struct counters {
    unsigned char seen[10000];
} counters;

static void count_items(void *data, size_t begin, size_t end, uint32_t worker) {
    counters *c = data;
    (void)worker;
    for (size_t i = begin; i < end; i++) c->seen[i]++;
}

static void test_threads(void **state) {
    (void)state;
    tslim_context *ctx = make_context(4);
    for (size_t count = 0; count < 300; count++) {
        counters c = {{0}};
        tsl_parallel_for(ctx, count * 33, 1 + count % 5, count_items, &c);
        for (size_t i = 0; i < 10000; i++) assert_int_equal(c.seen[i], i < count * 33);
    }
    tslim_context_destroy(ctx);
}

static void test_messages(void **state) {
    (void)state;
    assert_int_equal(tsl_fail(TSLIM_ERROR_LIMIT, "%d of %d", 3, 2), TSLIM_ERROR_LIMIT);
    tsl_fail_prefix(TSLIM_ERROR_LIMIT, "file '%s'", "x");
    assert_string_equal(tsl_message(), "file 'x': 3 of 2");
    tslim_context_options options;
    tslim_context_options_init(&options);
    options.struct_size = 100000;
    tslim_context *ctx = NULL;
    assert_int_equal(tslim_context_create(&options, &ctx), TSLIM_ERROR_INVALID_ARGUMENT);
    assert_null(ctx);
    tslim_isa isa;
    assert_int_equal(tslim_isa_from_name("avx2", &isa), TSLIM_OK);
    assert_int_equal(isa, TSLIM_ISA_AVX2);
    assert_int_equal(tslim_isa_from_name("avx3", &isa), TSLIM_ERROR_INVALID_ARGUMENT);
}

static void test_text(void **state) {
    (void)state;
    tslim_context *ctx = make_context(1);
    tsl_text text;
    tsl_text_init(&text, ctx);
    for (int i = 0; i < 1000; i++) tsl_text_add(&text, "%d,", i % 10);
    assert_int_equal(text.length, 2000);
    assert_int_equal(strlen(text.data), 2000);
    assert_int_equal(tsl_text_status(&text), TSLIM_OK);
    tsl_text_clear(&text);
    tslim_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checked),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_name_map),
        cmocka_unit_test(test_rng),
        cmocka_unit_test(test_crc),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
