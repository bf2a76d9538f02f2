// SPDX-License-Identifier: Apache-2.0
// NPZ: a ZIP archive of NPY files, stored or deflated, as numpy.savez and savez_compressed write it.
#ifndef TSL_FORMAT_NPZ_H
#define TSL_FORMAT_NPZ_H

#include "base/context.h"
#include "base/status.h"

// One member of the archive.
typedef struct tsl_npz_member {
    const char *name; // without ".npy"; not terminated
    size_t name_length;
    bool deflated; // else stored as it is
    uint64_t offset; // of its data in the file
    uint64_t encoded; // bytes of its data in the file
    uint64_t bytes; // and when inflated
} tsl_npz_member;

// Called for each NPY member in the archive's order; what it returns other than TSLIM_OK ends the walk.
typedef tslim_status (*tsl_npz_callback)(void *user, const tsl_npz_member *member);

bool tsl_npz_detect(const void *data, size_t bytes);

// Walks the directory of an archive in memory (or mapped). Extents are checked against `bytes`. Messages lack
// the path.
tslim_status tsl_npz_walk(const void *data, size_t bytes, tsl_npz_callback callback, void *user);

#endif
