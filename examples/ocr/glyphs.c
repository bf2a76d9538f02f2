// SPDX-License-Identifier: Apache-2.0
#include "glyphs.h"

#include <stdio.h>
#include <stdlib.h>

#include <ft2build.h>
#include FT_FREETYPE_H

typedef struct font_file {
    const char *path;
    long index; // within a collection
    bool chinese;
} font_file;

// Where Debian's packages put them.
#define FONTS "/usr/share/fonts/"
static const font_file FILES[] = {
    {FONTS "opentype/noto/NotoSansCJK-Regular.ttc", 2, true},
    {FONTS "opentype/noto/NotoSansCJK-Bold.ttc", 2, true},
    {FONTS "opentype/noto/NotoSerifCJK-Regular.ttc", 2, true},
    {FONTS "truetype/wqy/wqy-microhei.ttc", 0, true},
    {FONTS "truetype/wqy/wqy-zenhei.ttc", 0, true},
    {FONTS "truetype/arphic/uming.ttc", 0, true},
    {FONTS "truetype/arphic/ukai.ttc", 0, true},
    {FONTS "truetype/dejavu/DejaVuSans.ttf", 0, false},
    {FONTS "truetype/dejavu/DejaVuSans-Bold.ttf", 0, false},
    {FONTS "truetype/dejavu/DejaVuSerif.ttf", 0, false},
    {FONTS "truetype/dejavu/DejaVuSansMono.ttf", 0, false},
    {FONTS "truetype/liberation/LiberationSans-Regular.ttf", 0, false},
    {FONTS "truetype/liberation/LiberationSans-Italic.ttf", 0, false},
    {FONTS "truetype/liberation/LiberationSerif-Regular.ttf", 0, false},
    {FONTS "truetype/liberation/LiberationSerif-Bold.ttf", 0, false},
    {FONTS "truetype/liberation/LiberationMono-Regular.ttf", 0, false},
};
#define N_FILES (int)(sizeof(FILES) / sizeof(*FILES))

struct glyphs {
    FT_Library library;
    FT_Face faces[N_FILES]; // NULL: not there
    int chinese[N_FILES], latin[N_FILES];
    int n_chinese, n_latin;
};

glyphs *glyphs_create(void) {
    glyphs *g = calloc(1, sizeof(*g));
    if (!g || FT_Init_FreeType(&g->library)) {
        fprintf(stderr, "FreeType cannot be used\n");
        free(g);
        return NULL;
    }
    for (int i = 0; i < N_FILES; i++) {
        if (FT_New_Face(g->library, FILES[i].path, FILES[i].index, &g->faces[i])) {
            g->faces[i] = NULL;
            continue;
        }
        if (FILES[i].chinese)
            g->chinese[g->n_chinese++] = i;
        else
            g->latin[g->n_latin++] = i;
    }
    if (g->n_chinese && g->n_latin) return g;
    fprintf(stderr, "no %s font below %s: run.sh lists the packages\n", g->n_chinese ? "Latin" : "Chinese",
        FONTS);
    glyphs_destroy(g);
    return NULL;
}

void glyphs_destroy(glyphs *g) {
    if (!g) return;
    FT_Done_FreeType(g->library); // and its faces
    free(g);
}

int glyphs_choose_font(ocr_random *random, const glyphs *g, const text *t) {
    return t->chinese ? g->chinese[random_below(random, (uint32_t)g->n_chinese)]
                      : g->latin[random_below(random, (uint32_t)g->n_latin)];
}

// Renders one character after the other and hands each bitmap on with its place.
typedef void (*glyph_visitor)(void *user, const FT_GlyphSlot slot, int x, int y);

static bool visit(glyphs *g, int font, int size, const text *t, glyph_visitor visitor, void *user) {
    FT_Face face = g->faces[font];
    if (!face || FT_Set_Pixel_Sizes(face, 0, (FT_UInt)size)) return false;
    long pen = 0; // in 64ths of a pixel
    for (size_t i = 0; i < t->count; i++) {
        if (FT_Load_Char(face, t->characters[i], FT_LOAD_RENDER | FT_LOAD_NO_BITMAP)) return false;
        visitor(user, face->glyph, (int)(pen >> 6) + face->glyph->bitmap_left, -face->glyph->bitmap_top);
        pen += face->glyph->advance.x;
    }
    return true;
}

static void widen(void *user, const FT_GlyphSlot slot, int x, int y) {
    extent *e = user;
    int right = x + (int)slot->bitmap.width, bottom = y + (int)slot->bitmap.rows;
    if (right == x) return; // a space
    if (x < e->left) e->left = x;
    if (y < e->top) e->top = y;
    if (right > e->right) e->right = right;
    if (bottom > e->bottom) e->bottom = bottom;
}

bool glyphs_measure(glyphs *g, int font, int size, const text *t, extent *ink) {
    *ink = (extent){1 << 20, 1 << 20, -(1 << 20), -(1 << 20)};
    return visit(g, font, size, t, widen, ink) && ink->right > ink->left;
}

typedef struct drawing {
    picture *coverage;
    int x, y;
    float strength;
} drawing;

static void draw(void *user, const FT_GlyphSlot slot, int x, int y) {
    const drawing *d = user;
    if (slot->bitmap.pixel_mode != FT_PIXEL_MODE_GRAY) return;
    for (int row = 0; row < (int)slot->bitmap.rows; row++)
        for (int column = 0; column < (int)slot->bitmap.width; column++) {
            int at_x = d->x + x + column, at_y = d->y + y + row;
            if (at_x < 0 || at_y < 0 || at_x >= d->coverage->width || at_y >= d->coverage->height) continue;
            float cover = d->strength * slot->bitmap.buffer[row * slot->bitmap.pitch + column] / 255;
            float *pixel = picture_at(d->coverage, 0, at_x, at_y);
            if (cover > *pixel) *pixel = cover;
        }
}

bool glyphs_draw(
    glyphs *g, int font, int size, const text *t, int x, int y, float strength, picture *coverage) {
    drawing d = {coverage, x, y, strength};
    return visit(g, font, size, t, draw, &d);
}
