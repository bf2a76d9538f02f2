// SPDX-License-Identifier: Apache-2.0
// A folder of images as a source: each is decoded when it is read. Only the names are kept.
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/checked.h"
#include "data/image.h"
#include "data/source.h"

typedef struct folder_source {
    tsl_source source;
    tsl_arena arena; // paths
    const char **files;
    size_t files_capacity;
    tslim_input_preparation preparation;
} folder_source;

static bool is_image_name(const char *name) {
    static const char *const endings[] = {".png", ".jpg", ".jpeg"};
    size_t length = strlen(name);
    if (name[0] == '.') return false;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; ++i) {
        size_t ending = strlen(endings[i]);
        if (length > ending && strcasecmp(name + length - ending, endings[i]) == 0) return true;
    }
    return false;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static tslim_status list_files(folder_source *folder, const char *path) {
    DIR *directory = opendir(path);
    TSL_REQUIRE(directory, TSLIM_ERROR_IO, "%s: %s", path, strerror(errno));
    size_t count = 0;
    tslim_status status = TSLIM_OK;
    for (struct dirent *entry; status == TSLIM_OK && (entry = readdir(directory)) != NULL;) {
        if (!is_image_name(entry->d_name)) continue;
        const char *file = tsl_arena_format(&folder->arena, "%s/%s", path, entry->d_name);
        if (!file || !tsl_grow(folder->source.ctx, (void **)&folder->files, &folder->files_capacity,
                         count + 1, sizeof *folder->files)) {
            status = tsl_no_memory(strlen(path) + strlen(entry->d_name));
        } else {
            folder->files[count++] = file;
        }
    }
    closedir(directory);
    TSL_TRY(status);
    TSL_REQUIRE(count > 0, TSLIM_ERROR_BAD_FILE, "%s: holds no .png, .jpg or .jpeg file", path);
    qsort(folder->files, count, sizeof *folder->files, compare_names);
    folder->source.count = count;
    return TSLIM_OK;
}

static tslim_status load_image(folder_source *folder, uint64_t index, tsl_image *image) {
    TSL_TRY(tsl_image_load(folder->source.ctx, folder->files[index], image));
    if (folder->preparation.channels == 1) tsl_image_swap_red_blue(image);
    if (folder->preparation.channels == 2) tsl_image_to_gray(image);
    return TSLIM_OK;
}

static tslim_status read_images(tsl_source *source, uint64_t first, uint32_t count, void *rows) {
    folder_source *folder = (folder_source *)source;
    uint32_t height = (uint32_t)source->dims[0], width = (uint32_t)source->dims[1];
    for (uint32_t i = 0; i < count; ++i) {
        tsl_image image;
        uint8_t *row = (uint8_t *)rows + i * source->row_bytes;
        TSL_TRY(load_image(folder, first + i, &image));
        bool same = image.height == height && image.width == width;
        tslim_status status = TSLIM_OK;
        if (same) {
            memcpy(row, image.pixels, source->row_bytes);
        } else if (folder->preparation.height) {
            tsl_image_resize(&image, height, width, row);
        } else {
            status = tsl_fail(TSLIM_ERROR_INVALID_ARGUMENT,
                "%s: %" PRIu32 " x %" PRIu32 " pixels where %s has %" PRIu32 " x %" PRIu32
                ": give a size to bring all images to",
                folder->files[first + i], image.height, image.width, folder->files[0], height, width);
        }
        tsl_image_clear(&image);
        TSL_TRY(status);
    }
    return TSLIM_OK;
}

static void destroy(tsl_source *source) {
    folder_source *folder = (folder_source *)source;
    tsl_free(source->ctx, (void *)folder->files, folder->files_capacity * sizeof *folder->files);
    tsl_arena_clear(&folder->arena);
    tsl_free(source->ctx, folder, sizeof *folder);
}

// The size of every row: the preparation's, or that of the first image.
static tslim_status find_shape(folder_source *folder) {
    const tslim_input_preparation *preparation = &folder->preparation;
    int64_t dims[3] = {preparation->height, preparation->width, preparation->channels == 2 ? 1 : 3};
    if (preparation->height == 0) {
        tsl_image image;
        TSL_TRY(load_image(folder, 0, &image));
        dims[0] = image.height;
        dims[1] = image.width;
        tsl_image_clear(&image);
    }
    return tsl_source_set_shape(&folder->source, 3, dims);
}

tslim_status tsl_folder_source_open(
    tslim_context *ctx, const char *path, const tslim_input_preparation *preparation, tsl_source **source) {
    tslim_status status;
    folder_source *folder = tsl_allocate_zeroed(ctx, sizeof *folder);
    TSL_REQUIRE_MEMORY(folder, sizeof *folder);
    tsl_arena_init(&folder->arena, ctx);
    folder->preparation = *preparation;
    folder->source =
        (tsl_source){.read = read_images, .destroy = destroy, .ctx = ctx, .name = "", .images = true};
    folder->source.dtype = TSLIM_DTYPE_UINT8;
    folder->source.path = tsl_arena_string(&folder->arena, path);
    TSL_REQUIRE_GOTO(folder->source.path, TSLIM_ERROR_NO_MEMORY, "%s: no memory for its name", path);
    TSL_TRY_GOTO(list_files(folder, path));
    TSL_TRY_GOTO(find_shape(folder));
    *source = &folder->source;
    return TSLIM_OK;
fail:
    destroy(&folder->source);
    return status;
}
