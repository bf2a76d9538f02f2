// SPDX-License-Identifier: Apache-2.0
// A pool for short loops: workers spin a little for the next loop before they sleep, because the layers of a
// network follow each other within microseconds. Items are handed out in pieces that shrink towards the end:
// a slow core takes fewer, and no thread waits long for the last piece of another.
#include "base/thread_pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>

#include "base/status.h"

#define SPINS 4000

typedef struct worker {
    tsl_thread_pool *pool;
    uint32_t index; // 1 up: the caller is worker 0
    pthread_t thread;
} worker;

struct tsl_thread_pool {
    tslim_context *ctx;
    uint32_t n_workers; // threads of the pool, the caller not counted
    uint32_t n_started;
    pthread_mutex_t in_use; // held by the loop that has the pool
    pthread_mutex_t sleep;
    pthread_cond_t wake;
    atomic_uint generation; // a new number for each loop
    atomic_uint running; // workers that have not finished the loop
    atomic_bool stop;
    tslim_task task;
    void *task_data;
    size_t count, grain;
    atomic_size_t next;
    worker workers[];
};

// True inside a task, so that a loop within a loop stays in its thread.
static _Thread_local bool inside_loop;

static void pause_processor(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void take_pieces(tsl_thread_pool *pool, uint32_t index) {
    const size_t count = pool->count, shares = 2 * ((size_t)pool->n_workers + 1);
    size_t begin = atomic_load_explicit(&pool->next, memory_order_relaxed);
    while (begin < count) {
        size_t rest = count - begin, piece = rest / shares;
        if (piece < pool->grain) piece = pool->grain;
        size_t end = piece < rest ? begin + piece : count;
        // On failure `begin` is what another thread has left.
        if (!atomic_compare_exchange_weak_explicit(
                &pool->next, &begin, end, memory_order_relaxed, memory_order_relaxed))
            continue;
        pool->task(pool->task_data, begin, end, index);
        begin = atomic_load_explicit(&pool->next, memory_order_relaxed);
    }
}

// Waits until the generation differs from `seen`; returns the new one.
static unsigned wait_for_loop(tsl_thread_pool *pool, unsigned seen) {
    for (int i = 0; i < SPINS; i++) {
        unsigned generation = atomic_load_explicit(&pool->generation, memory_order_acquire);
        if (generation != seen) return generation;
        pause_processor();
    }
    pthread_mutex_lock(&pool->sleep);
    while (atomic_load_explicit(&pool->generation, memory_order_acquire) == seen)
        pthread_cond_wait(&pool->wake, &pool->sleep);
    pthread_mutex_unlock(&pool->sleep);
    return atomic_load_explicit(&pool->generation, memory_order_acquire);
}

static void announce(tsl_thread_pool *pool) {
    pthread_mutex_lock(&pool->sleep);
    atomic_fetch_add_explicit(&pool->generation, 1, memory_order_release);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->sleep);
}

static void *worker_main(void *argument) {
    worker *self = argument;
    tsl_thread_pool *pool = self->pool;
    unsigned seen = 0;
    inside_loop = true;
    for (;;) {
        seen = wait_for_loop(pool, seen);
        if (atomic_load_explicit(&pool->stop, memory_order_acquire)) return NULL;
        take_pieces(pool, self->index);
        atomic_fetch_sub_explicit(&pool->running, 1, memory_order_release);
    }
}

tslim_status tsl_thread_pool_create(tslim_context *ctx, uint32_t n_threads, tsl_thread_pool **result) {
    uint32_t n_workers = n_threads - 1;
    size_t size = sizeof(tsl_thread_pool) + n_workers * sizeof(worker);
    tsl_thread_pool *pool = tsl_allocate_zeroed(ctx, size);
    TSL_REQUIRE_MEMORY(pool, size);
    pool->ctx = ctx;
    pool->n_workers = n_workers;
    pthread_mutex_init(&pool->in_use, NULL);
    pthread_mutex_init(&pool->sleep, NULL);
    pthread_cond_init(&pool->wake, NULL);
    for (uint32_t i = 0; i < n_workers; i++) {
        pool->workers[i].pool = pool;
        pool->workers[i].index = i + 1;
        int error = pthread_create(&pool->workers[i].thread, NULL, worker_main, &pool->workers[i]);
        if (error != 0) {
            tsl_thread_pool_destroy(pool);
            return tsl_fail(TSLIM_ERROR_NO_MEMORY, "thread %u of %u could not be started (error %d)", i + 1,
                n_workers, error);
        }
        pool->n_started++;
    }
    *result = pool;
    return TSLIM_OK;
}

void tsl_thread_pool_destroy(tsl_thread_pool *pool) {
    if (!pool) return;
    atomic_store_explicit(&pool->stop, true, memory_order_release);
    announce(pool);
    for (uint32_t i = 0; i < pool->n_started; i++) pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->sleep);
    pthread_mutex_destroy(&pool->in_use);
    tsl_free(pool->ctx, pool, sizeof(*pool) + pool->n_workers * sizeof(worker));
}

static void run_in_pool(tsl_thread_pool *pool, size_t count, size_t grain, tslim_task task, void *task_data) {
    pool->task = task;
    pool->task_data = task_data;
    pool->count = count;
    pool->grain = grain;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    atomic_store_explicit(&pool->running, pool->n_workers, memory_order_relaxed);
    announce(pool);
    inside_loop = true;
    take_pieces(pool, 0);
    inside_loop = false;
    // A worker may have lost its core: then spinning would only keep it from coming back.
    for (int spins = 0; atomic_load_explicit(&pool->running, memory_order_acquire) != 0; spins++)
        spins < SPINS ? pause_processor() : (void)sched_yield();
}

void tsl_parallel_for(tslim_context *ctx, size_t count, size_t grain, tslim_task task, void *task_data) {
    if (count == 0) return;
    if (grain == 0) grain = 1;
    if (ctx->n_threads == 1 || count <= grain || inside_loop) {
        task(task_data, 0, count, 0);
        return;
    }
    if (ctx->parallel_for) {
        ctx->parallel_for(ctx->parallel_user, count, task, task_data);
        return;
    }
    // Another session may have the pool: then this thread alone is faster than waiting.
    if (pthread_mutex_trylock(&ctx->pool->in_use) != 0) {
        task(task_data, 0, count, 0);
        return;
    }
    run_in_pool(ctx->pool, count, grain, task, task_data);
    pthread_mutex_unlock(&ctx->pool->in_use);
}
