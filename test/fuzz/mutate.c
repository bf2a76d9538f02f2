// SPDX-License-Identifier: Apache-2.0
// Hostile model files: good ones with bytes changed (checksums made right again), graphs with anything in
// them changed, random operators on random operands, cut files. Each is loaded, checked, measured, planned
// and run within limits, and must end in a status or in a result: nothing from a sanitizer, nothing leaked,
// little time and memory.
//
//     fuzz_mutate [rounds [first seed]]
//
// Each round depends on its seed alone: what a failure prints is how to see it again.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fuzz/exercise.h"
#include "fuzz/mutations.h"

#define ROUNDS 1000

static uint64_t current_seed;
static const char *current_kind = "none";

// Of the sanitizers, where there is one.
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void say_where(void) {
    fprintf(stderr, "while: fuzz_mutate 1 %llu (%s)\n", (unsigned long long)current_seed, current_kind);
}

static void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    say_where();
    exit(1);
}

// ---- Seeds of mutations ----

enum {
    SEED_ONNX,
    SEED_FLOAT,
    SEED_PACKED,
    SEED_INT8,
    SEED_BODIES,
    SEED_BODIES_ONNX,
    SEED_ELSEWHERE,
    SEED_ELSEWHERE_ONNX,
    SEED_COUNT
};

static fuzz_bytes seeds[SEED_COUNT];

static void make_seeds(const char *folder) {
    static const char *const names[SEED_COUNT] = {
        "onnx", "float", "packed", "int8", "bodies", "bodies.onnx", "elsewhere", "elsewhere.onnx"};
    for (int i = 0; i < SEED_COUNT; i++) {
        current_kind = names[i];
        char path[4096];
        bool onnx = i == SEED_ONNX || i == SEED_BODIES_ONNX || i == SEED_ELSEWHERE_ONNX;
        snprintf(path, sizeof(path), "%s/seed.%s", folder, onnx ? "onnx" : "tslim");
        bool written = i >= SEED_ELSEWHERE ? fuzz_write_seed_from_elsewhere(path)
                       : i >= SEED_BODIES  ? fuzz_write_seed_with_bodies(path)
                                           : fuzz_write_seed(path, i >= SEED_PACKED, i == SEED_INT8);
        if (!written || !fuzz_read_file(path, &seeds[i])) fail("a model to start from cannot be made");
        fuzz_outcome outcome = fuzz_exercise(&seeds[i], NULL, 0);
        if (outcome.failed || outcome.status != TSLIM_OK || !outcome.ran)
            fail("a model to start from does not run");
    }
}

// ---- One round ----

static bool make_file(tsl_rng *rng, const char *scratch, fuzz_bytes *file) {
    switch (tsl_rng_next(rng) % 8) {
    case 0:
        current_kind = "bytes";
        return fuzz_mutate_bytes(rng, &seeds[tsl_rng_next(rng) % SEED_COUNT], file);
    case 1:
        current_kind = "cut";
        return fuzz_cut(rng, &seeds[tsl_rng_next(rng) % SEED_COUNT], file);
    case 2:
    case 3:
        current_kind = "changed graph";
        return fuzz_mutate_graph(rng, &seeds[tsl_rng_next(rng) % SEED_COUNT], scratch, file);
    case 4:
    case 5:
    case 6:
        current_kind = "plausible operator";
        return fuzz_plausible_operator(rng, scratch, file);
    default:
        current_kind = "random operators";
        return fuzz_random_operators(rng, scratch, file);
    }
}

typedef struct counts {
    uint64_t loaded, planned, ran, files;
} counts;

static void run_round(uint64_t seed, const char *scratch, counts *total) {
    tsl_rng rng;
    tsl_rng_seed(&rng, seed);
    current_seed = seed;
    fuzz_bytes file = {0};
    if (!make_file(&rng, scratch, &file)) return;
    clock_t start = clock();
    fuzz_outcome outcome = fuzz_exercise(&file, scratch, tsl_rng_next(&rng));
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    free(file.data);
    if (outcome.failed) fail(outcome.failed);
    if (seconds > FUZZ_MOST_SECONDS) {
        fprintf(stderr, "%.2f seconds for one file\n", seconds);
        fail("too slow");
    }
    total->files++;
    total->loaded += outcome.loaded;
    total->planned += outcome.planned;
    total->ran += outcome.ran;
}

int main(int argc, char **argv) {
    uint64_t rounds = argc > 1 ? strtoull(argv[1], NULL, 10) : ROUNDS;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    char folder[] = "/tmp/fuzz_mutate_XXXXXX", scratch[64], seed_path[64];
    if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(say_where);
    if (!mkdtemp(folder)) fail("no temporary folder");
    snprintf(scratch, sizeof(scratch), "%s/scratch.tslim", folder);
    make_seeds(folder);
    counts total = {0};
    for (uint64_t i = 0; i < rounds; i++) run_round(first + i, scratch, &total);
    for (int i = 0; i < SEED_COUNT; i++) free(seeds[i].data);
    unlink(scratch);
    snprintf(seed_path, sizeof(seed_path), "%s/seed.onnx", folder);
    unlink(seed_path);
    snprintf(seed_path, sizeof(seed_path), "%s/seed.tslim", folder);
    unlink(seed_path);
    rmdir(folder);
    printf("%llu files: %llu loaded, %llu planned, %llu ran\n", (unsigned long long)total.files,
        (unsigned long long)total.loaded, (unsigned long long)total.planned, (unsigned long long)total.ran);
    // Or the mutations are too coarse to test anything behind the loader.
    if (rounds >= ROUNDS && (total.loaded < rounds / 10 || total.ran < rounds / 50))
        fail("too few files got through");
    return 0;
}
