// SPDX-License-Identifier: Apache-2.0
// What is written on rendered documents: Chinese, Latin words, numbers and dates, and mixtures of them.
#ifndef OCR_TEXT_H
#define OCR_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "random.h"

#define TEXT_MOST 64 // characters

typedef struct text {
    uint32_t characters[TEXT_MOST]; // Unicode
    size_t count;
    bool chinese; // needs a font that has such characters
} text;

// Prepares the list of Chinese characters; false when the C library cannot convert GB 2312.
bool text_setup(void);
void text_make(ocr_random *random, text *text);
// As UTF-8, with a NUL; `bytes` must hold 4 * TEXT_MOST + 1.
void text_to_utf8(const text *text, char *bytes);

#endif
