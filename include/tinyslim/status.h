// SPDX-License-Identifier: Apache-2.0
// What a call that can fail returns. The message that goes with it is in the context.
#ifndef TINYSLIM_STATUS_H
#define TINYSLIM_STATUS_H

#include <tinyslim/api.h>

TSLIM_BEGIN_DECLS

/** The values are pinned: they never change their meaning. */
typedef enum tslim_status {
    TSLIM_OK = 0,
    TSLIM_ERROR_INVALID_ARGUMENT = 1, /**< the caller's argument: NULL, out of range, a wrong shape */
    TSLIM_ERROR_NO_MEMORY = 2, /**< the allocator returned NULL */
    TSLIM_ERROR_LIMIT = 3, /**< over a limit of the context */
    TSLIM_ERROR_IO = 4, /**< the system could not open, read, write or rename */
    TSLIM_ERROR_BAD_FILE = 5, /**< malformed, truncated or hostile content */
    TSLIM_ERROR_UNSUPPORTED = 6, /**< well-formed, but beyond what this version can do */
    TSLIM_ERROR_UNAVAILABLE = 7, /**< the backend or instruction set is not on this machine */
    TSLIM_ERROR_CANCELLED = 8, /**< a progress callback asked to stop */
    TSLIM_ERROR_INTERNAL = 70 /**< a bug in the library: please report it */
} tslim_status;

/** "ok", "invalid argument", ...: a static string for any value. */
TSLIM_API const char *tslim_status_name(tslim_status status);

TSLIM_END_DECLS

#endif
