// SPDX-License-Identifier: Apache-2.0
// PNG through libpng, which takes its memory from the context's allocator. libpng leaves by longjmp on an
// error: what must be freed then lies in a struct that is not changed between setjmp and longjmp but through
// its address.
#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "base/checked.h"
#include "data/image.h"
#include "data/memory.h"

typedef struct png_reader {
    tslim_context *ctx;
    const unsigned char *data;
    size_t left;
    png_structp png;
    png_infop info;
    png_bytep *rows;
    size_t rows_bytes;
    bool no_memory;
    char message[128];
} png_reader;

static png_voidp allocate(png_structp png, png_alloc_size_t size) {
    png_reader *reader = png_get_mem_ptr(png);
    void *memory = tsl_sized_allocate(reader->ctx, size);
    if (!memory) reader->no_memory = true;
    return memory;
}

static void release(png_structp png, png_voidp memory) {
    png_reader *reader = png_get_mem_ptr(png);
    tsl_sized_free(reader->ctx, memory);
}

static void on_error(png_structp png, png_const_charp message) {
    png_reader *reader = png_get_error_ptr(png);
    size_t length = strlen(message);
    if (length >= sizeof reader->message) length = sizeof reader->message - 1;
    memcpy(reader->message, message, length);
    reader->message[length] = 0;
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message) {
    (void)png;
    (void)message;
}

static void read_bytes(png_structp png, png_bytep target, size_t size) {
    png_reader *reader = png_get_io_ptr(png);
    if (size > reader->left) png_error(png, "the file ends early");
    memcpy(target, reader->data, size);
    reader->data += size;
    reader->left -= size;
}

// Everything to 8-bit R, G, B: palettes and low bit depths expanded, 16 bits cut, alpha dropped.
static void ask_for_rgb(png_reader *reader) {
    png_set_expand(reader->png);
    png_set_scale_16(reader->png);
    png_set_gray_to_rgb(reader->png);
    png_set_strip_alpha(reader->png);
    png_set_interlace_handling(reader->png);
    png_read_update_info(reader->png, reader->info);
}

static tslim_status create_rows(png_reader *reader, tsl_image *image) {
    png_uint_32 height = png_get_image_height(reader->png, reader->info);
    png_uint_32 width = png_get_image_width(reader->png, reader->info);
    size_t row_bytes = png_get_rowbytes(reader->png, reader->info);
    TSL_REQUIRE(
        row_bytes == (size_t)width * 3, TSLIM_ERROR_UNSUPPORTED, "a PNG that does not become R, G, B");
    TSL_TRY(tsl_image_create(reader->ctx, height, width, 3, image));
    reader->rows_bytes = height * sizeof *reader->rows;
    reader->rows = tsl_allocate(reader->ctx, reader->rows_bytes);
    TSL_REQUIRE_MEMORY(reader->rows, reader->rows_bytes);
    for (size_t y = 0; y < height; ++y) reader->rows[y] = image->pixels + y * row_bytes;
    return TSLIM_OK;
}

static tslim_status decode(png_reader *reader, tsl_image *image) {
    if (setjmp(png_jmpbuf(reader->png))) {
        if (reader->no_memory) return tsl_no_memory(reader->left);
        return tsl_fail(TSLIM_ERROR_BAD_FILE, "not a good PNG: %s", reader->message);
    }
    png_set_read_fn(reader->png, reader, read_bytes);
    png_read_info(reader->png, reader->info);
    ask_for_rgb(reader);
    TSL_TRY(create_rows(reader, image));
    png_read_image(reader->png, reader->rows);
    return TSLIM_OK;
}

tslim_status tsl_png_decode(tslim_context *ctx, const void *data, size_t bytes, tsl_image *image) {
    png_reader reader = {.ctx = ctx, .data = data, .left = bytes};
    memset(image, 0, sizeof *image);
    reader.png = png_create_read_struct_2(
        PNG_LIBPNG_VER_STRING, &reader, on_error, on_warning, &reader, allocate, release);
    if (!reader.png) return tsl_no_memory(bytes);
    reader.info = png_create_info_struct(reader.png);
    tslim_status status = reader.info ? decode(&reader, image) : tsl_no_memory(bytes);
    png_destroy_read_struct(&reader.png, &reader.info, NULL);
    if (reader.rows) tsl_free(ctx, reader.rows, reader.rows_bytes);
    if (status != TSLIM_OK) tsl_image_clear(image);
    return status;
}
