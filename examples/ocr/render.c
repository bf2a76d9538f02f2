// SPDX-License-Identifier: Apache-2.0
// Renders documents: ocr_render lines|pages SEED COUNT OUT.npy TRUTH.txt
// OUT.npy gets COUNT images of bytes, height x width x 3. TRUTH.txt gets a line for each text: the number of
// its image, for pages the eight coordinates of its corners, and the text, with tabs between.
#include "document.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct output {
    FILE *images, *truth;
    uint8_t *bytes; // of one image
    size_t n_bytes;
} output;

// NPY 1.0: a magic number, the header's length, the header as a Python literal, padded to 64 bytes.
static bool write_header(FILE *file, uint64_t count, int height, int width) {
    char header[118];
    int length = snprintf(header, sizeof(header),
        "{'descr': '|u1', 'fortran_order': False, 'shape': (%" PRIu64 ", %d, %d, 3), }", count, height,
        width);
    memset(header + length, ' ', sizeof(header) - (size_t)length);
    header[sizeof(header) - 1] = '\n';
    return fwrite("\x93NUMPY\1\0\x76\0", 1, 10, file) == 10 &&
           fwrite(header, 1, sizeof(header), file) == sizeof(header);
}

static bool render_line(glyphs *g, uint64_t seed, uint64_t index, output *out) {
    text t;
    char utf8[4 * TEXT_MOST + 1];
    if (!line_render(g, seed, index, out->bytes, &t)) return false;
    text_to_utf8(&t, utf8);
    return fprintf(out->truth, "%" PRIu64 "\t%s\n", index, utf8) > 0;
}

static bool render_page(glyphs *g, uint64_t seed, uint64_t index, output *out) {
    static page p; // too large for a stack
    char utf8[4 * TEXT_MOST + 1];
    if (!page_render(g, seed, index, out->bytes, &p)) return false;
    for (size_t i = 0; i < p.count; i++) {
        fprintf(out->truth, "%" PRIu64, index);
        for (int k = 0; k < 4; k++) fprintf(out->truth, "\t%.2f\t%.2f", p.corners[i].x[k], p.corners[i].y[k]);
        text_to_utf8(&p.texts[i], utf8);
        fprintf(out->truth, "\t%s\n", utf8);
    }
    return !ferror(out->truth);
}

static bool render_all(glyphs *g, bool lines, uint64_t seed, uint64_t count, output *out) {
    int height = lines ? LINE_HEIGHT : PAGE_SIZE, width = lines ? LINE_WIDTH : PAGE_SIZE;
    out->n_bytes = (size_t)height * (size_t)width * 3;
    out->bytes = malloc(out->n_bytes);
    bool done = out->bytes && write_header(out->images, count, height, width);
    for (uint64_t i = 0; done && i < count; i++)
        done = (lines ? render_line : render_page)(g, seed, i, out) &&
               fwrite(out->bytes, 1, out->n_bytes, out->images) == out->n_bytes;
    free(out->bytes);
    return done;
}

// A whole number without a sign; false for anything else.
static bool parse(const char *argument, uint64_t *number) {
    char *end;
    *number = strtoull(argument, &end, 10);
    return *argument >= '0' && *argument <= '9' && !*end;
}

int main(int argc, char **argv) {
    uint64_t seed, count;
    bool lines = argc == 6 && strcmp(argv[1], "lines") == 0;
    if (argc != 6 || (!lines && strcmp(argv[1], "pages") != 0) || !parse(argv[2], &seed) ||
        !parse(argv[3], &count)) {
        fprintf(stderr, "usage: ocr_render lines|pages SEED COUNT OUT.npy TRUTH.txt\n");
        return 2;
    }
    glyphs *g = text_setup() ? glyphs_create() : NULL;
    if (!g) return 1;
    output out = {.images = fopen(argv[4], "wb"), .truth = fopen(argv[5], "w")};
    bool done = out.images && out.truth && render_all(g, lines, seed, count, &out);
    done = (!out.images || fclose(out.images) == 0) && done;
    done = (!out.truth || fclose(out.truth) == 0) && done;
    glyphs_destroy(g);
    if (!done) fprintf(stderr, "%s and %s cannot be made\n", argv[4], argv[5]);
    return !done;
}
