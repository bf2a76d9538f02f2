// SPDX-License-Identifier: Apache-2.0
// Memory that a run takes beside what was planned at creation, within the limit for both.
#include "plan/environment.h"

#include <string.h>

#include "base/checked.h"

void tsl_environment_init(tsl_environment *env, const tsl_model *model) {
    *env = (tsl_environment){.ctx = model->ctx,
        .backend = model->backend,
        .isa = model->isa,
        .optimize = model->optimize,
        .winograd = model->winograd};
}

static tslim_status check_limit(const tsl_environment *env, size_t old_bytes, size_t bytes) {
    uint64_t limit = env->ctx->limits.arena_bytes, others = env->bytes - old_bytes;
    TSL_REQUIRE(others <= limit && bytes <= limit - others, TSLIM_ERROR_LIMIT,
        "activations need %zu bytes beside %llu, the limit is %llu", bytes, (unsigned long long)others,
        (unsigned long long)limit);
    return TSLIM_OK;
}

tslim_status tsl_room_reserve(tsl_environment *env, tsl_room *room, size_t bytes, bool keep) {
    if (room->data && bytes <= room->bytes) return TSLIM_OK;
    size_t wanted;
    TSL_REQUIRE(
        tsl_align_size(bytes ? bytes : 1, 64, &wanted), TSLIM_ERROR_LIMIT, "%zu bytes of activations", bytes);
    if (keep && wanted < room->bytes * 2 && check_limit(env, 0, room->bytes * 2) == TSLIM_OK)
        wanted = room->bytes * 2;
    // Old and new stand side by side while contents are kept.
    TSL_TRY(check_limit(env, keep ? 0 : room->bytes, wanted));
    if (!keep) tsl_room_free(env, room);
    uint8_t *data = tsl_allocate(env->ctx, wanted);
    TSL_REQUIRE_MEMORY(data, wanted);
    if (room->data) {
        memcpy(data, room->data, room->bytes);
        tsl_room_free(env, room);
    }
    *room = (tsl_room){data, wanted};
    env->bytes += wanted;
    return TSLIM_OK;
}

void tsl_room_free(tsl_environment *env, tsl_room *room) {
    tsl_free(env->ctx, room->data, room->bytes);
    env->bytes -= room->bytes;
    *room = (tsl_room){0};
}
