// SPDX-License-Identifier: Apache-2.0
// Text in a font, as coverage.
#ifndef OCR_GLYPHS_H
#define OCR_GLYPHS_H

#include "picture.h"
#include "text.h"

typedef struct glyphs glyphs;

// Opens the fonts that are there. NULL, with a message on stderr, when there is none of either kind.
glyphs *glyphs_create(void);
void glyphs_destroy(glyphs *g);

typedef struct extent {
    int left, top, right, bottom; // of the ink, from the pen's start on the baseline; y grows downwards
} extent;

// Chooses a font that has the text's characters.
int glyphs_choose_font(ocr_random *random, const glyphs *g, const text *t);
// False when the font cannot be used.
bool glyphs_measure(glyphs *g, int font, int size, const text *t, extent *ink);
// Draws with the pen's start at (x, y); coverage becomes at least `strength` (0 to 1) where the ink is.
bool glyphs_draw(
    glyphs *g, int font, int size, const text *t, int x, int y, float strength, picture *coverage);

#endif
