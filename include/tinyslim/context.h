// SPDX-License-Identifier: Apache-2.0
// The context: the caller's allocator, log, limits and threads, and the message of the last error.
#ifndef TINYSLIM_CONTEXT_H
#define TINYSLIM_CONTEXT_H

#include <tinyslim/status.h>

TSLIM_BEGIN_DECLS

typedef struct tslim_context tslim_context;

/** Where all memory comes from. Both functions must be thread-safe. */
typedef struct tslim_allocator {
    /** `size` bytes (never 0) aligned to `alignment` (a power of two, at most 64), or NULL. */
    void *(*allocate)(void *user, size_t size, size_t alignment);
    /** Gives back what allocate returned; `size` is the size that was asked for. */
    void (*release)(void *user, void *memory, size_t size);
    void *user;
} tslim_allocator;

typedef enum tslim_log_level {
    TSLIM_LOG_ERROR = 0,
    TSLIM_LOG_WARNING = 1,
    TSLIM_LOG_INFO = 2,
    TSLIM_LOG_DEBUG = 3
} tslim_log_level;

/** Called in the thread that made the library call; `message` has no newline and is valid during the call. */
typedef void (*tslim_log_callback)(void *user, tslim_log_level level, const char *message);

/** One piece of parallel work: items `begin` to `end`-1, in worker `worker` (0 to workers-1). */
typedef void (*tslim_task)(void *task_data, size_t begin, size_t end, uint32_t worker);

/**
 * A host's own thread pool: must call `task` so that every item of 0..count-1 is covered exactly once, with
 * at most n_threads distinct `worker` numbers in use at one moment, and return when all calls have returned.
 */
typedef void (*tslim_parallel_for)(void *user, size_t count, tslim_task task, void *task_data);

/** Bounds against hostile models. A 0 field means the default, named beside it. */
typedef struct tslim_limits {
    uint64_t file_bytes; /**< a model file and its external data, together: 8 GiB */
    uint64_t nodes; /**< nodes of a graph: 100,000; a run's loops go round 40 times as often at most */
    uint64_t elements; /**< elements of one tensor: 2^31 */
    uint64_t arena_bytes; /**< activations of one session: 8 GiB */
    uint32_t rank; /**< 8, and at most TSLIM_MAX_RANK */
    uint32_t nesting; /**< graphs within nodes (If, Loop, Scan): 32, and at most 200 */
} tslim_limits;

/** Instruction sets of the CPU backend, from the plainest on. Values are pinned. */
typedef enum tslim_isa {
    TSLIM_ISA_DEFAULT = 0, /**< the best that the processor and its operating system offer */
    TSLIM_ISA_PORTABLE = 1,
    TSLIM_ISA_AVX2 = 2, /**< AVX2, FMA, F16C */
    TSLIM_ISA_AVXVNNI = 3, /**< AVX2 and AVX-VNNI */
    TSLIM_ISA_AVX512 = 4, /**< AVX-512 F, BW, DQ, VL */
    TSLIM_ISA_AVX512VNNI = 5,
    TSLIM_ISA_NEON = 6, /**< AArch64, every processor */
    TSLIM_ISA_NEONDOT = 7 /**< NEON with dot products of bytes */
} tslim_isa;

/** Set up with tslim_context_options_init, then change what should differ. */
typedef struct tslim_context_options {
    uint32_t struct_size;
    uint32_t n_threads; /**< worker threads, the caller's included; 0: as many as cores */
    tslim_allocator allocator; /**< all NULL: malloc */
    tslim_log_callback log; /**< NULL: no log */
    void *log_user;
    tslim_limits limits;
    tslim_parallel_for parallel_for; /**< NULL: threads of the library's own */
    void *parallel_user;
    tslim_isa isa; /**< a level to force; the environment's TINYSLIM_ISA is used where this is DEFAULT */
} tslim_context_options;

TSLIM_API void tslim_context_options_init(tslim_context_options *options);

/**
 * Makes a context. `options` may be NULL. UNAVAILABLE when an instruction set is asked for that the processor
 * lacks (there is no context then to hold a message). Objects made from a context keep it alive: it may be
 * destroyed before them.
 * Thread-safety: a context may be used by several threads; the objects made from it by one at a time, if not
 * said otherwise.
 */
TSLIM_API tslim_status tslim_context_create(const tslim_context_options *options, tslim_context **context);

/** NULL is allowed. */
TSLIM_API void tslim_context_destroy(tslim_context *context);

/**
 * What went wrong in the last call of this thread that did not return TSLIM_OK: names the node, file or
 * argument, and the numbers. Empty when nothing did. Valid until this thread's next call.
 */
TSLIM_API const char *tslim_context_message(const tslim_context *context);

/** Threads in use, the caller's included. */
TSLIM_API uint32_t tslim_context_threads(const tslim_context *context);

/** The instruction set in use, never DEFAULT. */
TSLIM_API tslim_isa tslim_context_isa(const tslim_context *context);

/** "portable", "avx2", ...: static. */
TSLIM_API const char *tslim_isa_name(tslim_isa isa);

/** The level of that name, as in tslim_isa_name; INVALID_ARGUMENT for another word. */
TSLIM_API tslim_status tslim_isa_from_name(const char *name, tslim_isa *isa);

/** The processor's own name, "AMD EPYC ..." or "unknown". Static. */
TSLIM_API const char *tslim_cpu_name(void);

/** True when the processor and the operating system can run that level. */
TSLIM_API bool tslim_isa_available(tslim_isa isa);

/**
 * Progress of a long call: `done` of `total` (0: unknown) units of work, `what` names the unit. Return false
 * to cancel: the call then ends in TSLIM_ERROR_CANCELLED with nothing half done.
 */
typedef bool (*tslim_progress)(void *user, const char *what, uint64_t done, uint64_t total);

TSLIM_END_DECLS

#endif
