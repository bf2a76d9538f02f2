// SPDX-License-Identifier: Apache-2.0
// From a text recognizer's probabilities to text.
#ifndef OCR_RECOGNIZE_H
#define OCR_RECOGNIZE_H

#include <stdbool.h>
#include <stddef.h>

// The characters that the classes of a PP-OCR model stand for: class 0 is CTC's blank, the last one a space.
typedef struct alphabet {
    char *texts; // each ends with a NUL
    const char **classes;
    size_t count;
} alphabet;

// From the model's metadata, one character a line. False when memory is short.
bool alphabet_create(alphabet *a, const char *characters);
void alphabet_destroy(alphabet *a);

// CTC's greedy decoding: the likeliest class of each of `steps` steps, repeats joined, blanks dropped.
// `probabilities`: steps x classes. Writes at most `room` bytes with the NUL.
void recognize(
    const float *probabilities, size_t steps, size_t classes, const alphabet *a, char *text, size_t room);

// Characters of UTF-8 that have to be changed, added or taken away to make one text of the other
// (Levenshtein, 1966); spaces do not count, since these models were trained with few of them. *length: of
// `wanted`.
size_t edit_distance(const char *found, const char *wanted, size_t *length);

#endif
