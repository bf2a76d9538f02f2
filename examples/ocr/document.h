// SPDX-License-Identifier: Apache-2.0
// Rendered documents with the truth about them: single lines for recognition, pages for detection.
#ifndef OCR_DOCUMENT_H
#define OCR_DOCUMENT_H

#include "glyphs.h"

#define LINE_HEIGHT 48
#define LINE_WIDTH 320
#define PAGE_SIZE 640
#define PAGE_MOST_TEXTS 256

typedef struct quad {
    double x[4], y[4]; // corners in order around it
} quad;

// Item `index` of a set. `bytes`: LINE_HEIGHT x LINE_WIDTH x 3, the text at the left and grey behind its end.
bool line_render(glyphs *g, uint64_t seed, uint64_t index, uint8_t *bytes, text *written);

typedef struct page {
    text texts[PAGE_MOST_TEXTS];
    quad corners[PAGE_MOST_TEXTS]; // of each text's ink
    size_t count;
} page;

// `bytes`: PAGE_SIZE x PAGE_SIZE x 3.
bool page_render(glyphs *g, uint64_t seed, uint64_t index, uint8_t *bytes, page *written);

#endif
