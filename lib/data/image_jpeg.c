// SPDX-License-Identifier: Apache-2.0
// JPEG through libjpeg-turbo. Its memory manager is compiled in and uses malloc: the one part of the library
// whose memory is not the context's. It leaves by longjmp on an error; what must be freed then lies in a
// struct that is changed only through its address.
#include <setjmp.h>
#include <stdio.h> // jpeglib.h needs it

#include <jerror.h>
#include <jpeglib.h>

#include "data/image.h"

typedef struct jpeg_reader {
    struct jpeg_error_mgr errors; // first: libjpeg hands back its address
    jmp_buf escape;
    struct jpeg_decompress_struct jpeg;
    char message[JMSG_LENGTH_MAX];
} jpeg_reader;

static void on_error(j_common_ptr jpeg) {
    jpeg_reader *reader = (jpeg_reader *)jpeg->err;
    jpeg->err->format_message(jpeg, reader->message);
    longjmp(reader->escape, 1);
}

static void on_message(j_common_ptr jpeg, int level) {
    // Level -1 is a warning of damaged data: a picture half gray is no sample.
    if (level < 0) on_error(jpeg);
}

static void keep_quiet(j_common_ptr jpeg) {
    (void)jpeg;
}

static tslim_status decode(
    tslim_context *ctx, jpeg_reader *reader, const void *data, size_t bytes, tsl_image *image) {
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    if (setjmp(reader->escape)) {
        if (reader->errors.msg_code == JERR_OUT_OF_MEMORY) return tsl_no_memory(bytes);
        return tsl_fail(TSLIM_ERROR_BAD_FILE, "not a good JPEG: %s", reader->message);
    }
    jpeg_create_decompress(jpeg);
    jpeg_mem_src(jpeg, data, (unsigned long)bytes);
    jpeg_read_header(jpeg, TRUE);
    TSL_REQUIRE(jpeg->num_components == 1 || jpeg->num_components == 3, TSLIM_ERROR_UNSUPPORTED,
        "a JPEG of %d components: only gray and colour ones are read", jpeg->num_components);
    jpeg->out_color_space = JCS_RGB;
    jpeg_start_decompress(jpeg);
    TSL_TRY(tsl_image_create(ctx, jpeg->output_height, jpeg->output_width, 3, image));
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW row = image->pixels + (size_t)jpeg->output_scanline * image->width * 3;
        jpeg_read_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_decompress(jpeg);
    return TSLIM_OK;
}

tslim_status tsl_jpeg_decode(tslim_context *ctx, const void *data, size_t bytes, tsl_image *image) {
    jpeg_reader reader = {0};
    *image = (tsl_image){0};
    reader.jpeg.err = jpeg_std_error(&reader.errors);
    reader.errors.error_exit = on_error;
    reader.errors.emit_message = on_message;
    reader.errors.output_message = keep_quiet;
    tslim_status status = decode(ctx, &reader, data, bytes, image);
    jpeg_destroy_decompress(&reader.jpeg); // good also when it was not created: the struct is all zeros then
    if (status != TSLIM_OK) tsl_image_clear(image);
    return status;
}
