// SPDX-License-Identifier: Apache-2.0
// Where hostile files come from. All are made from a random number generator and return false when nothing
// came of it.
#ifndef TEST_FUZZ_MUTATIONS_H
#define TEST_FUZZ_MUTATIONS_H

#include "base/rng.h"
#include "fuzz/exercise.h"

// The small network, in the format of the path's ending: as trained, or optimized (packed), or quantized.
bool fuzz_write_seed(const char *path, bool optimized, bool quantized);
// A model with a loop, branches and a size that a run finds.
bool fuzz_write_seed_with_bodies(const char *path);
// One that was quantized elsewhere.
bool fuzz_write_seed_from_elsewhere(const char *path);
bool fuzz_read_file(const char *path, fuzz_bytes *file);

// Some bytes changed, removed or repeated; then the checksums of a .tslim file are made right.
bool fuzz_mutate_bytes(tsl_rng *rng, const fuzz_bytes *seed, fuzz_bytes *file);
// The first bytes only; with a header that fits, where it is a .tslim file.
bool fuzz_cut(tsl_rng *rng, const fuzz_bytes *seed, fuzz_bytes *file);
// A few dims, types, sizes, operands, attributes, ... changed; written to `scratch` on the way.
bool fuzz_mutate_graph(tsl_rng *rng, const fuzz_bytes *seed, const char *scratch, fuzz_bytes *file);
// One to three operators on operands that they may or may not take.
bool fuzz_random_operators(tsl_rng *rng, const char *scratch, fuzz_bytes *file);
// One operator on operands that it takes, or on such that were changed a little.
bool fuzz_plausible_operator(tsl_rng *rng, const char *scratch, fuzz_bytes *file);

#endif
