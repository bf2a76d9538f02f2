// SPDX-License-Identifier: Apache-2.0
// What a host does with a model file, within tight limits: load, check, measure, plan, run.
#ifndef TEST_FUZZ_EXERCISE_H
#define TEST_FUZZ_EXERCISE_H

#include <tinyslim/graph.h>

// Of processor time, for one file, with sanitizers on a slow machine.
#define FUZZ_MOST_SECONDS 1.0

// A file in memory: malloc's, aligned to 64 bytes.
typedef struct fuzz_bytes {
    uint8_t *data;
    size_t size;
} fuzz_bytes;

typedef struct fuzz_outcome {
    const char *failed; // what no file may cause; NULL: all is well
    tslim_status status; // of the last call
    bool loaded, planned, ran;
} fuzz_outcome;

// `choices` decides what else is done: without fusion, with a tap; optimized, pruned, quantized or saved (to
// the path `scratch`) before.
fuzz_outcome fuzz_exercise(const fuzz_bytes *file, const char *scratch, uint64_t choices);

// A context with the limits of these tests, and memory that is counted.
tslim_status fuzz_context_create(tslim_context **context);
// True when all memory has been given back, and there never was too much of it.
bool fuzz_memory_is_fine(void);

#endif
