// SPDX-License-Identifier: Apache-2.0
// Text that grows.
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"

void tsl_text_init(tsl_text *text, tslim_context *ctx) {
    *text = (tsl_text){.ctx = ctx};
}

void tsl_text_clear(tsl_text *text) {
    tsl_free(text->ctx, text->data, text->capacity);
    tsl_text_init(text, text->ctx);
}

static bool make_room(tsl_text *text, size_t more) {
    if (text->failed) return false;
    void *data = text->data;
    if (more > SIZE_MAX - text->length - 1 ||
        !tsl_grow(text->ctx, &data, &text->capacity, text->length + more + 1, 1)) {
        text->failed = true;
        return false;
    }
    text->data = data;
    return true;
}

void tsl_text_add(tsl_text *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0 || !make_room(text, (size_t)length)) return;
    va_start(arguments, format);
    vsnprintf(text->data + text->length, (size_t)length + 1, format, arguments);
    va_end(arguments);
    text->length += (size_t)length;
}

void tsl_text_add_n(tsl_text *text, const char *bytes, size_t length) {
    if (!make_room(text, length)) return;
    if (length) memcpy(text->data + text->length, bytes, length);
    text->length += length;
    text->data[text->length] = '\0';
}

tslim_status tsl_text_status(const tsl_text *text) {
    return text->failed ? tsl_no_memory(text->length) : TSLIM_OK;
}
