// SPDX-License-Identifier: Apache-2.0
// Text that grows: for messages, JSON and SVG. A failed allocation is remembered and told at the end.
#ifndef TSL_BASE_TEXT_H
#define TSL_BASE_TEXT_H

#include "base/context.h"

typedef struct tsl_text {
    tslim_context *ctx;
    char *data; // always ends in 0 once something was added
    size_t length;
    size_t capacity;
    bool failed;
} tsl_text;

void tsl_text_init(tsl_text *text, tslim_context *ctx);
void tsl_text_clear(tsl_text *text);
void tsl_text_add(tsl_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tsl_text_add_n(tsl_text *text, const char *bytes, size_t length);
// NO_MEMORY when an addition failed.
tslim_status tsl_text_status(const tsl_text *text);

#endif
