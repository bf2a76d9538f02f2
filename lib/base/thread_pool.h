// SPDX-License-Identifier: Apache-2.0
// Worker threads that share a loop. Used through tsl_parallel_for.
#ifndef TSL_BASE_THREAD_POOL_H
#define TSL_BASE_THREAD_POOL_H

#include "base/context.h"

tslim_status tsl_thread_pool_create(tslim_context *ctx, uint32_t n_threads, tsl_thread_pool **pool);
void tsl_thread_pool_destroy(tsl_thread_pool *pool); // NULL is allowed

#endif
