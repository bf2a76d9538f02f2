// SPDX-License-Identifier: Apache-2.0
// Datasets from every kind of file and from a callback: what comes out, in any order, and what is refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jpeglib.h>
#include <png.h>
#include <sys/stat.h>
#include <tinyslim/dataset.h>
#include <zlib.h>

#define SAMPLES 300
#define HEIGHT 5
#define WIDTH 7
#define PIXELS (HEIGHT * WIDTH)

static tslim_context *ctx;
static char folder[] = "/tmp/tinyslim-dataset-XXXXXX";

static const char *path_of(const char *name) {
    static char paths[4][256];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const void *data, size_t bytes) {
    FILE *file = fopen(path_of(name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    fclose(file);
}

static void write_gzip(const char *name, const void *data, size_t bytes) {
    gzFile file = gzopen(path_of(name), "wb");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, data, (unsigned)bytes), bytes);
    gzclose(file);
}

static uint8_t pixel_of(size_t sample, size_t index) {
    return (uint8_t)(sample * 31 + index * 7);
}

// An IDX file of SAMPLES images (rank 3) or labels (rank 1); returns its size.
static size_t make_idx(uint8_t *bytes, int rank) {
    const uint32_t dims[3] = {SAMPLES, HEIGHT, WIDTH};
    size_t size = 0;
    const uint8_t head[4] = {0, 0, 8, (uint8_t)rank};
    memcpy(bytes, head, 4);
    size = 4;
    for (int i = 0; i < rank; ++i) {
        for (int shift = 24; shift >= 0; shift -= 8) bytes[size++] = (uint8_t)(dims[i] >> shift);
    }
    size_t row = rank == 3 ? PIXELS : 1;
    for (size_t i = 0; i < SAMPLES * row; ++i)
        bytes[size++] = rank == 3 ? pixel_of(i / row, i % row) : (uint8_t)(i % 10);
    return size;
}

static int set_up(void **state) {
    (void)state;
    static uint8_t bytes[16 + SAMPLES * PIXELS];
    assert_non_null(mkdtemp(folder));
    assert_int_equal(tslim_context_create(NULL, &ctx), TSLIM_OK);
    size_t size = make_idx(bytes, 3);
    write_file("images.idx", bytes, size);
    write_gzip("images.idx.gz", bytes, size);
    write_file("short.idx", bytes, size - 1);
    write_gzip("short.idx.gz", bytes, size - 1);
    size = make_idx(bytes, 1);
    write_file("labels.idx", bytes, size);
    write_gzip("labels.idx.gz", bytes, size);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    char command[300];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    tslim_context_destroy(ctx);
    return system(command);
}

static tslim_dataset *open_with(const char *name, const tslim_dataset_options *options) {
    tslim_dataset *dataset;
    tslim_status status = tslim_dataset_open(ctx, path_of(name), options, &dataset);
    if (status != TSLIM_OK) print_error("%s\n", tslim_context_message(ctx));
    assert_int_equal(status, TSLIM_OK);
    return dataset;
}

static void expect_failure(const char *name, const tslim_dataset_options *options, tslim_status expected,
    const char *part_of_message) {
    tslim_dataset *dataset = NULL;
    assert_int_equal(tslim_dataset_open(ctx, path_of(name), options, &dataset), expected);
    assert_null(dataset);
    if (!strstr(tslim_context_message(ctx), part_of_message)) {
        fail_msg("'%s' is not in '%s'", part_of_message, tslim_context_message(ctx));
    }
}

// A tensor for `count` samples of the dataset's only input, over `data`.
static tslim_tensor batch_of(
    const tslim_dataset *dataset, uint32_t count, tslim_dtype dtype, void *data, size_t bytes) {
    tslim_tensor_info info;
    assert_int_equal(tslim_dataset_input_info(dataset, 0, &info), TSLIM_OK);
    tslim_tensor tensor = {.dtype = dtype, .rank = info.rank + 1, .data = data, .bytes = bytes};
    tensor.dims[0] = count;
    for (uint32_t i = 0; i < info.rank; ++i) tensor.dims[i + 1] = info.dims[i];
    return tensor;
}

static void check_idx(const char *name, const char *labels_name) {
    tslim_dataset_options options;
    tslim_dataset_options_init(&options);
    options.labels = path_of(labels_name);
    options.preparation.scale = 1.0F / 255;
    options.preparation.mean[0] = 0.5F;
    options.preparation.std[0] = 0.25F;
    tslim_dataset *dataset = open_with(name, &options);
    assert_int_equal(tslim_dataset_count(dataset), SAMPLES);
    assert_true(tslim_dataset_has_labels(dataset));
    tslim_tensor_info info;
    assert_int_equal(tslim_dataset_input_info(dataset, 0, &info), TSLIM_OK);
    assert_int_equal(info.dtype, TSLIM_DTYPE_FLOAT);
    assert_int_equal(info.rank, 3);
    assert_int_equal(info.dims[0], 1);
    assert_int_equal(info.dims[1], HEIGHT);
    assert_int_equal(info.dims[2], WIDTH);
    // Forward, back, the last one, all.
    const uint32_t parts[][2] = {{0, 16}, {16, 16}, {200, 7}, {3, 5}, {SAMPLES - 1, 1}, {0, SAMPLES}};
    static float values[SAMPLES * PIXELS];
    int64_t labels[SAMPLES];
    for (size_t p = 0; p < sizeof parts / sizeof *parts; ++p) {
        uint32_t first = parts[p][0], count = parts[p][1];
        tslim_tensor tensor = batch_of(dataset, count, TSLIM_DTYPE_FLOAT, values, sizeof values);
        assert_int_equal(tslim_dataset_read(dataset, first, count, &tensor, 1, labels), TSLIM_OK);
        for (size_t i = 0; i < (size_t)count * PIXELS; ++i) {
            float pixel = (float)pixel_of(first + i / PIXELS, i % PIXELS);
            float expected = (pixel * options.preparation.scale - 0.5F) / 0.25F;
            assert_memory_equal(&values[i], &expected, sizeof expected);
        }
        for (uint32_t i = 0; i < count; ++i) assert_int_equal(labels[i], (first + i) % 10);
    }
    tslim_tensor tensor = batch_of(dataset, 2, TSLIM_DTYPE_FLOAT, values, sizeof values);
    assert_int_equal(
        tslim_dataset_read(dataset, SAMPLES - 1, 2, &tensor, 1, NULL), TSLIM_ERROR_INVALID_ARGUMENT);
    tensor.bytes = 2 * PIXELS * sizeof(float) - 1;
    assert_int_equal(tslim_dataset_read(dataset, 0, 2, &tensor, 1, NULL), TSLIM_ERROR_INVALID_ARGUMENT);
    tslim_dataset_destroy(dataset);
}

static void test_idx(void **state) {
    (void)state;
    check_idx("images.idx", "labels.idx.gz");
    check_idx("images.idx.gz", "labels.idx");
}

static void test_idx_without_preparation(void **state) {
    (void)state;
    tslim_dataset_options options;
    tslim_dataset_options_init(&options);
    options.limit = 2;
    tslim_dataset *dataset = open_with("images.idx.gz", &options);
    assert_int_equal(tslim_dataset_count(dataset), 2);
    uint8_t bytes[2 * PIXELS];
    tslim_tensor tensor = batch_of(dataset, 2, TSLIM_DTYPE_UINT8, bytes, sizeof bytes);
    assert_int_equal(tslim_dataset_read(dataset, 0, 2, &tensor, 1, NULL), TSLIM_OK);
    float floats[2 * PIXELS];
    tensor = batch_of(dataset, 2, TSLIM_DTYPE_FLOAT, floats, sizeof floats);
    assert_int_equal(tslim_dataset_read(dataset, 0, 2, &tensor, 1, NULL), TSLIM_OK);
    for (size_t i = 0; i < 2 * PIXELS; ++i) {
        assert_int_equal(bytes[i], pixel_of(i / PIXELS, i % PIXELS));
        assert_true(floats[i] == (float)bytes[i]);
    }
    tslim_dataset_destroy(dataset);
}

static void test_damaged_files(void **state) {
    (void)state;
    expect_failure("missing.idx", NULL, TSLIM_ERROR_IO, "missing.idx");
    expect_failure("short.idx", NULL, TSLIM_ERROR_BAD_FILE, "short.idx");
    write_file("empty", "", 0);
    expect_failure("empty", NULL, TSLIM_ERROR_BAD_FILE, "empty");
    write_file("text.npy", "hello, world", 12);
    expect_failure("text.npy", NULL, TSLIM_ERROR_BAD_FILE, "neither NPY, NPZ nor IDX");
    // A gzip file shows its end only when it is reached.
    tslim_dataset *dataset = open_with("short.idx.gz", NULL);
    uint8_t bytes[PIXELS];
    tslim_tensor tensor = batch_of(dataset, 1, TSLIM_DTYPE_UINT8, bytes, sizeof bytes);
    assert_int_equal(tslim_dataset_read(dataset, SAMPLES - 1, 1, &tensor, 1, NULL), TSLIM_ERROR_BAD_FILE);
    assert_int_equal(tslim_dataset_read(dataset, 1, 1, &tensor, 1, NULL), TSLIM_OK);
    assert_int_equal(bytes[0], pixel_of(1, 0));
    tslim_dataset_destroy(dataset);
}

static void test_npy(void **state) {
    (void)state;
    float values[3][2][4];
    for (int i = 0; i < 24; ++i) (&values[0][0][0])[i] = (float)i;
    tslim_tensor tensor = {TSLIM_DTYPE_FLOAT, 3, {3, 2, 4}, values, sizeof values};
    assert_int_equal(tslim_tensor_save_file(ctx, &tensor, path_of("values.npy")), TSLIM_OK);
    tslim_dataset *dataset = open_with("values.npy", NULL);
    assert_int_equal(tslim_dataset_count(dataset), 3);
    float read[2][2][4];
    tslim_tensor part = batch_of(dataset, 2, TSLIM_DTYPE_FLOAT, read, sizeof read);
    assert_int_equal(part.rank, 3);
    assert_int_equal(tslim_dataset_read(dataset, 1, 2, &part, 1, NULL), TSLIM_OK);
    assert_memory_equal(read, values[1], sizeof read);
    tslim_dataset_destroy(dataset);

    int64_t labels[4] = {4, -1, 7, 1LL << 40};
    tslim_tensor integers = {TSLIM_DTYPE_INT64, 1, {4}, labels, sizeof labels};
    assert_int_equal(tslim_tensor_save_file(ctx, &integers, path_of("labels.npy")), TSLIM_OK);
    tslim_dataset_options options;
    tslim_dataset_options_init(&options);
    options.labels = path_of("labels.npy");
    expect_failure("values.npy", &options, TSLIM_ERROR_INVALID_ARGUMENT, "4 labels for 3 samples");
    integers.dims[0] = 3;
    assert_int_equal(tslim_tensor_save_file(ctx, &integers, path_of("labels.npy")), TSLIM_OK);
    dataset = open_with("values.npy", &options);
    int64_t got[3];
    float all[24];
    tslim_tensor whole = batch_of(dataset, 3, TSLIM_DTYPE_FLOAT, all, sizeof all);
    assert_int_equal(tslim_dataset_read(dataset, 0, 3, &whole, 1, got), TSLIM_OK);
    assert_memory_equal(got, labels, sizeof got);
    tslim_dataset_destroy(dataset);
    options.labels = path_of("values.npy");
    expect_failure("values.npy", &options, TSLIM_ERROR_BAD_FILE, "labels are float32");
}

static void test_npy_headers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        tslim_status status;
    } cases[] = {
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", TSLIM_OK},
        {"{'shape': (2L, 1), \"descr\": '>i4', 'fortran_order': True}", TSLIM_ERROR_UNSUPPORTED},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (1, 2)}", TSLIM_OK},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", TSLIM_ERROR_BAD_FILE},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }",
            TSLIM_ERROR_BAD_FILE},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807,), }", TSLIM_ERROR_BAD_FILE},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (), }", TSLIM_ERROR_BAD_FILE},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, -1), }", TSLIM_ERROR_BAD_FILE},
        {"{'descr': '<f4', 'fortran_order': False}", TSLIM_ERROR_BAD_FILE},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", TSLIM_ERROR_UNSUPPORTED},
        {"{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (2,)}", TSLIM_ERROR_UNSUPPORTED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,2)}", TSLIM_ERROR_UNSUPPORTED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)", TSLIM_ERROR_BAD_FILE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        char bytes[200] = "\x93NUMPY\x01";
        size_t length = strlen(cases[i].text);
        bytes[8] = (char)length;
        memcpy(bytes + 10, cases[i].text, length);
        write_file("header.npy", bytes, 10 + length + 8);
        tslim_dataset *dataset;
        tslim_status status = tslim_dataset_open(ctx, path_of("header.npy"), NULL, &dataset);
        if (status != cases[i].status) fail_msg("%s: %s", cases[i].text, tslim_context_message(ctx));
        tslim_dataset_destroy(dataset);
    }
}

// ---- Images ----

static void write_png(const char *name, uint32_t width, uint32_t height, const uint8_t *rgb) {
    png_image image = {
        .version = PNG_IMAGE_VERSION, .width = width, .height = height, .format = PNG_FORMAT_RGB};
    assert_true(png_image_write_to_file(&image, path_of(name), 0, rgb, 0, NULL));
}

static void write_jpeg(const char *name, uint32_t width, uint32_t height, const uint8_t *rgb) {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    FILE *file = fopen(path_of(name), "wb");
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_stdio_dest(&jpeg, file);
    jpeg.image_width = width;
    jpeg.image_height = height;
    jpeg.input_components = 3;
    jpeg.in_color_space = JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 100, TRUE);
    jpeg_start_compress(&jpeg, TRUE);
    for (uint32_t y = 0; y < height; ++y) {
        uint8_t *row = (uint8_t *)(uintptr_t)rgb + y * width * 3;
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    fclose(file);
}

static void test_images(void **state) {
    (void)state;
    uint8_t first[4 * 6 * 3], plain[4 * 6 * 3];
    for (size_t i = 0; i < sizeof first; ++i) {
        first[i] = (uint8_t)(i * 3);
        plain[i] = (uint8_t)(60 * (1 + i % 3));
    }
    mkdir(path_of("pictures"), 0700);
    write_png("pictures/a.png", 6, 4, first);
    write_jpeg("pictures/b.JPG", 6, 4, plain);
    write_file("pictures/notes.txt", "no image", 8);
    tslim_dataset_options options;
    tslim_dataset_options_init(&options);
    options.preparation.layout = 1;
    tslim_dataset *dataset = open_with("pictures", &options);
    assert_int_equal(tslim_dataset_count(dataset), 2);
    uint8_t got[2][4 * 6 * 3];
    tslim_tensor tensor = batch_of(dataset, 2, TSLIM_DTYPE_UINT8, got, sizeof got);
    assert_int_equal(tslim_dataset_read(dataset, 0, 2, &tensor, 1, NULL), TSLIM_OK);
    assert_memory_equal(got[0], first, sizeof first);
    for (size_t i = 0; i < sizeof plain; ++i) assert_true(abs(got[1][i] - plain[i]) <= 2);
    tslim_dataset_destroy(dataset);

    // B, G, R planes, scaled.
    options.preparation.layout = 0;
    options.preparation.channels = 1;
    options.preparation.scale = 0.5F;
    options.preparation.n_channels = 3;
    for (int c = 0; c < 3; ++c) options.preparation.mean[c] = (float)c;
    dataset = open_with("pictures", &options);
    float planes[3][24];
    tensor = batch_of(dataset, 1, TSLIM_DTYPE_FLOAT, planes, sizeof planes);
    assert_int_equal(tslim_dataset_read(dataset, 0, 1, &tensor, 1, NULL), TSLIM_OK);
    for (size_t i = 0; i < 24; ++i) {
        for (size_t c = 0; c < 3; ++c)
            assert_true(planes[c][i] == (float)first[3 * i + 2 - c] * 0.5F - (float)c);
    }
    tslim_dataset_destroy(dataset);

    // Three means do not fit one channel of gray.
    options.preparation.channels = 2;
    expect_failure("pictures", &options, TSLIM_ERROR_INVALID_ARGUMENT, "3 channels for images of 1");

    // Another size needs a size to come to: a flat picture stays flat then.
    write_png("pictures/c.png", 3, 8, plain);
    options.preparation.n_channels = 1;
    dataset = open_with("pictures", &options);
    float gray[24];
    tensor = batch_of(dataset, 1, TSLIM_DTYPE_FLOAT, gray, sizeof gray);
    assert_int_equal(tslim_dataset_read(dataset, 2, 1, &tensor, 1, NULL), TSLIM_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(tslim_context_message(ctx), "8 x 3 pixels where"));
    tslim_dataset_destroy(dataset);
    options.preparation.height = 2;
    options.preparation.width = 5;
    dataset = open_with("pictures", &options);
    tensor = batch_of(dataset, 1, TSLIM_DTYPE_FLOAT, gray, sizeof gray);
    assert_int_equal(tslim_dataset_read(dataset, 2, 1, &tensor, 1, NULL), TSLIM_OK);
    for (int i = 0; i < 10; ++i) assert_true(gray[i] == 0.5F * 109); // (299*60 + 587*120 + 114*180) / 1000
    tslim_dataset_destroy(dataset);

    mkdir(path_of("none"), 0700);
    expect_failure("none", NULL, TSLIM_ERROR_BAD_FILE, "holds no");
}

// Every byte of a small picture changed in turn, and every length: an error or a picture, and nothing leaks.
static void test_damaged_images(void **state) {
    (void)state;
    static const char *const names[] = {"pictures/a.png", "pictures/b.JPG"};
    mkdir(path_of("damaged"), 0700);
    for (int n = 0; n < 2; ++n) {
        static unsigned char bytes[4096];
        FILE *file = fopen(path_of(names[n]), "rb");
        assert_non_null(file);
        size_t size = fread(bytes, 1, sizeof bytes, file);
        fclose(file);
        size_t refused = 0;
        for (size_t i = 0; i < size; ++i) {
            tslim_dataset *dataset;
            write_file("damaged/x.png", bytes, i);
            tslim_status status = tslim_dataset_open(ctx, path_of("damaged"), NULL, &dataset);
            refused += status != TSLIM_OK;
            tslim_dataset_destroy(dataset);
            bytes[i] ^= 0x55;
            write_file("damaged/x.png", bytes, size);
            bytes[i] ^= 0x55;
            tslim_dataset_open(ctx, path_of("damaged"), NULL, &dataset);
            tslim_dataset_destroy(dataset);
        }
        assert_true(refused + 20 > size); // a picture without its end may do
    }
}

// ---- Callbacks ----

static tslim_status give_sample(
    void *user, uint64_t index, tslim_tensor *inputs, uint32_t n_inputs, int64_t *label) {
    assert_int_equal(n_inputs, 2);
    assert_int_equal(inputs[0].bytes, 3 * sizeof(float));
    if (index == *(uint64_t *)user) return TSLIM_ERROR_IO;
    for (int i = 0; i < 3; ++i) ((float *)inputs[0].data)[i] = (float)index + (float)i / 4;
    *(int64_t *)inputs[1].data = (int64_t)index * 2;
    *label = (int64_t)index % 3;
    return TSLIM_OK;
}

static void test_callback(void **state) {
    (void)state;
    tslim_tensor_info shapes[2] = {{.name = "x", .dtype = TSLIM_DTYPE_FLOAT, .rank = 1, .dims = {3}},
        {.name = "n", .dtype = TSLIM_DTYPE_INT64, .rank = 0}};
    uint64_t bad = 8;
    tslim_dataset *dataset;
    assert_int_equal(
        tslim_dataset_from_callback(ctx, 10, shapes, 2, true, give_sample, &bad, &dataset), TSLIM_OK);
    float x[2][3];
    int64_t n[2], labels[2];
    tslim_tensor tensors[2] = {
        {TSLIM_DTYPE_FLOAT, 2, {2, 3}, x, sizeof x}, {TSLIM_DTYPE_INT64, 1, {2}, n, sizeof n}};
    assert_int_equal(tslim_dataset_read(dataset, 5, 2, tensors, 2, labels), TSLIM_OK);
    assert_true(x[1][2] == 6.5F);
    assert_int_equal(n[0], 10);
    assert_int_equal(labels[1], 0);
    assert_int_equal(tslim_dataset_read(dataset, 7, 2, tensors, 2, labels), TSLIM_ERROR_IO);
    assert_non_null(strstr(tslim_context_message(ctx), "sample 8"));
    tslim_dataset_destroy(dataset);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idx),
        cmocka_unit_test(test_idx_without_preparation),
        cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_npy),
        cmocka_unit_test(test_npy_headers),
        cmocka_unit_test(test_images),
        cmocka_unit_test(test_damaged_images),
        cmocka_unit_test(test_callback),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
