// SPDX-License-Identifier: Apache-2.0
// What all plans of a session share: where they run, and what they may still use of the context's limits.
#ifndef TSL_PLAN_ENVIRONMENT_H
#define TSL_PLAN_ENVIRONMENT_H

#include "plan/model.h"

// Which nodes run for one sample of a batch after the other.
typedef enum tsl_batch_choice {
    TSL_BATCHES_BY_COST = 0, // where less is fetched
    TSL_BATCHES_WHOLE = 1, // none: for who looks at values
    TSL_BATCHES_BY_SAMPLE = 2 // all that can: for tests
} tsl_batch_choice;

typedef struct tsl_environment {
    tslim_context *ctx;
    const tsl_backend *backend;
    tslim_isa isa;
    bool optimize; // plans fuse what only they can
    tsl_batch_choice batches;
    bool apart; // no value is a slice of another: for tests
    tsl_winograd_choice winograd;
    uint64_t bytes; // of activations, held by all plans together
    uint64_t nodes; // of all plans, those too that wait to be used again
    uint64_t iterations; // of all loops in this run
} tsl_environment;

void tsl_environment_init(tsl_environment *env, const tsl_model *model);

// Memory for activations that is counted: LIMIT over the context's arena_bytes.
typedef struct tsl_room {
    uint8_t *data;
    size_t bytes;
} tsl_room;
// At least `bytes`; what was in it is lost, or kept where `keep` (then it grows by more than is asked for).
tslim_status tsl_room_reserve(tsl_environment *env, tsl_room *room, size_t bytes, bool keep);
void tsl_room_free(tsl_environment *env, tsl_room *room);

#endif
