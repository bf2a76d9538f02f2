// SPDX-License-Identifier: Apache-2.0
#include "recognize.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

bool alphabet_create(alphabet *a, const char *characters) {
    size_t lines = 1;
    for (const char *c = characters; *c; c++) lines += *c == '\n';
    *a = (alphabet){.texts = strdup(characters), .classes = calloc(lines + 2, sizeof(*a->classes))};
    if (!a->texts || !a->classes) {
        alphabet_destroy(a);
        return false;
    }
    a->classes[a->count++] = "";
    for (char *line = a->texts; line && *line;) {
        char *end = strchr(line, '\n');
        if (end) *end = 0;
        a->classes[a->count++] = line;
        line = end ? end + 1 : NULL;
    }
    a->classes[a->count++] = " ";
    return true;
}

void alphabet_destroy(alphabet *a) {
    free(a->texts);
    free(a->classes);
    *a = (alphabet){0};
}

static size_t likeliest(const float *row, size_t count) {
    size_t best = 0;
    for (size_t i = 1; i < count; i++)
        if (row[i] > row[best]) best = i;
    return best;
}

void recognize(
    const float *probabilities, size_t steps, size_t classes, const alphabet *a, char *text, size_t room) {
    size_t before = 0, used = 0;
    for (size_t i = 0; i < steps; i++) {
        size_t class = likeliest(&probabilities[i * classes], classes);
        if (class != 0 && class != before && class < a->count) {
            size_t bytes = strlen(a->classes[class]);
            if (used + bytes < room) memcpy(text + used, a->classes[class], bytes), used += bytes;
        }
        before = class;
    }
    text[used] = 0;
}

// ---- How far off it is ----

#define MOST_CHARACTERS 256

// Code points without spaces; broken UTF-8 counts byte by byte.
static size_t split(const char *text, uint32_t points[MOST_CHARACTERS]) {
    size_t count = 0;
    for (const unsigned char *c = (const unsigned char *)text; *c && count < MOST_CHARACTERS;) {
        uint32_t point = *c++;
        for (; point >= 0x80 && (*c & 0xC0) == 0x80; c++) point = point << 8 | *c;
        if (point != ' ') points[count++] = point;
    }
    return count;
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

size_t edit_distance(const char *found, const char *wanted, size_t *length) {
    uint32_t a[MOST_CHARACTERS], b[MOST_CHARACTERS];
    size_t row[MOST_CHARACTERS + 1], n = split(found, a), m = split(wanted, b);
    for (size_t k = 0; k <= m; k++) row[k] = k;
    for (size_t i = 0; i < n; i++) {
        size_t diagonal = row[0]++;
        for (size_t k = 0; k < m; k++) {
            size_t above = row[k + 1];
            row[k + 1] = least(diagonal + (a[i] != b[k]), 1 + least(above, row[k]));
            diagonal = above;
        }
    }
    *length = m;
    return row[m];
}
