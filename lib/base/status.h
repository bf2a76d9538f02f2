// SPDX-License-Identifier: Apache-2.0
// Errors: a status travels up, its message waits in the thread.
#ifndef TSL_BASE_STATUS_H
#define TSL_BASE_STATUS_H

#include <tinyslim/status.h>

// Records the message (replacing an older one); its value is `status`, so that `return tsl_fail(...)` reads
// well. A macro, so that compilers and analyzers see which status it is.
#define tsl_fail(status, ...) (tsl_record_failure(__VA_ARGS__), (tslim_status)(status))
void tsl_record_failure(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Puts "prefix: " before the message at hand, to name the file or node that an inner function could not know.
tslim_status tsl_fail_prefix(tslim_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define tsl_no_memory(bytes) tsl_fail(TSLIM_ERROR_NO_MEMORY, "no memory for %zu bytes", (size_t)(bytes))

// The message of this thread's last failure; "" when there was none.
const char *tsl_message(void);
void tsl_clear_message(void);

// Hands a failure on.
#define TSL_TRY(expr)                                                                                        \
    do {                                                                                                     \
        tslim_status tsl_try_status = (expr);                                                                \
        if (tsl_try_status != TSLIM_OK) return tsl_try_status;                                               \
    } while (0)

// The same where there is something to clean up: needs `tslim_status status` and a label `fail`.
#define TSL_TRY_GOTO(expr)                                                                                   \
    do {                                                                                                     \
        status = (expr);                                                                                     \
        if (status != TSLIM_OK) goto fail;                                                                   \
    } while (0)

#define TSL_REQUIRE(condition, code, ...)                                                                    \
    do {                                                                                                     \
        if (!(condition)) return tsl_fail(code, __VA_ARGS__);                                                \
    } while (0)

#define TSL_REQUIRE_GOTO(condition, code, ...)                                                               \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            status = tsl_fail(code, __VA_ARGS__);                                                            \
            goto fail;                                                                                       \
        }                                                                                                    \
    } while (0)

#define TSL_REQUIRE_MEMORY(pointer, bytes)                                                                   \
    do {                                                                                                     \
        if (!(pointer)) return tsl_no_memory(bytes);                                                         \
    } while (0)

#endif
