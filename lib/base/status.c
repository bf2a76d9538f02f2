// SPDX-License-Identifier: Apache-2.0
// Status names, and the message of each thread's last failure.
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// Long enough for a message that lists a few nodes; a longer one is cut.
static _Thread_local char tsl_thread_message[2048];

const char *tslim_status_name(tslim_status status) {
    switch (status) {
    case TSLIM_OK:
        return "ok";
    case TSLIM_ERROR_INVALID_ARGUMENT:
        return "invalid argument";
    case TSLIM_ERROR_NO_MEMORY:
        return "out of memory";
    case TSLIM_ERROR_LIMIT:
        return "over a limit";
    case TSLIM_ERROR_IO:
        return "input or output error";
    case TSLIM_ERROR_BAD_FILE:
        return "bad file";
    case TSLIM_ERROR_UNSUPPORTED:
        return "unsupported";
    case TSLIM_ERROR_UNAVAILABLE:
        return "unavailable";
    case TSLIM_ERROR_CANCELLED:
        return "cancelled";
    case TSLIM_ERROR_INTERNAL:
        return "internal error";
    }
    return "unknown status";
}

void tsl_record_failure(const char *format, ...) {
    // Formatted aside first: an argument may be the old message itself.
    char text[sizeof(tsl_thread_message)];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    memcpy(tsl_thread_message, text, sizeof(text));
}

tslim_status tsl_fail_prefix(tslim_status status, const char *format, ...) {
    char prefix[512];
    char text[sizeof(tsl_thread_message)];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(prefix, sizeof(prefix), format, arguments);
    va_end(arguments);
    memcpy(text, tsl_thread_message, sizeof(text));
    int length = snprintf(tsl_thread_message, sizeof(tsl_thread_message), "%s: ", prefix);
    snprintf(tsl_thread_message + length, sizeof(tsl_thread_message) - (size_t)length, "%s", text);
    return status;
}

const char *tsl_message(void) {
    return tsl_thread_message;
}

void tsl_clear_message(void) {
    tsl_thread_message[0] = '\0';
}
