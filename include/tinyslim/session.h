// SPDX-License-Identifier: Apache-2.0
// Running a model: a session is a plan for one set of input shapes, and the memory that it needs.
#ifndef TINYSLIM_SESSION_H
#define TINYSLIM_SESSION_H

#include <tinyslim/graph.h>

TSLIM_BEGIN_DECLS

typedef struct tslim_session tslim_session;

typedef enum tslim_backend { TSLIM_BACKEND_CPU = 0, TSLIM_BACKEND_CUDA = 1 } tslim_backend;

/** Set up with tslim_session_options_init. */
typedef struct tslim_session_options {
    uint32_t struct_size;
    tslim_backend backend;
    const tslim_input_shape *shapes; /**< symbolic dims without a shape become 1 */
    uint32_t n_shapes;
    tslim_isa isa; /**< DEFAULT: the context's */
    void *arena; /**< memory for activations, 64-byte aligned; NULL: the context's allocator */
    size_t arena_bytes;
    bool no_fusion; /**< run each node by itself, for comparing and debugging */
    /** Every convolution as sums of products, none by Winograd's method: slower, with smaller float errors.
     * INT8 results are the same either way. */
    bool no_winograd;
} tslim_session_options;

TSLIM_API void tslim_session_options_init(tslim_session_options *options);

/**
 * Plans the graph and takes all the memory that running needs; the graph may be changed or destroyed after.
 * `options` may be NULL. UNSUPPORTED names every node that cannot run. LIMIT when the arena would exceed the
 * context's limit or the caller's arena, with both numbers.
 */
TSLIM_API tslim_status tslim_session_create(
    const tslim_graph *graph, const tslim_session_options *options, tslim_session **session);

/** Another session of the same model (weights are shared), for another thread. */
TSLIM_API tslim_status tslim_session_clone(const tslim_session *session, tslim_session **clone);

/** NULL is allowed. */
TSLIM_API void tslim_session_destroy(tslim_session *session);

/** Plans anew for other input shapes. On failure the session stays as it was. */
TSLIM_API tslim_status tslim_session_resize(
    tslim_session *session, const tslim_input_shape *shapes, uint32_t n_shapes);

TSLIM_API uint32_t tslim_session_input_count(const tslim_session *session);
TSLIM_API uint32_t tslim_session_output_count(const tslim_session *session);
TSLIM_API tslim_status tslim_session_input_info(
    const tslim_session *session, uint32_t index, tslim_tensor_info *info);
/** A dim that only a run can tell is -1; rank 0 where not even the rank is known. */
TSLIM_API tslim_status tslim_session_output_info(
    const tslim_session *session, uint32_t index, tslim_tensor_info *info);

/** Bytes of activations and scratch; what a caller's arena must hold. */
TSLIM_API size_t tslim_session_arena_bytes(const tslim_session *session);

/**
 * The same, and what the session holds beside it where shapes depend on data or nodes have bodies: taken from
 * the context's allocator as runs need it, kept for the next run, together never more than the limit
 * `arena_bytes`.
 */
TSLIM_API size_t tslim_session_memory_bytes(const tslim_session *session);

/**
 * Runs once, allocating nothing (but see tslim_session_memory_bytes). `inputs` in the model's order, with
 * exactly the session's shapes. An output whose `data` is NULL is set to memory of the session's, valid until
 * its next call; otherwise the result is copied into `data`, which must hold it (`bytes`). dtype, rank, dims
 * are filled in. INVALID_ARGUMENT names the input and both shapes. LIMIT: what depends on data exceeds a
 * limit of the context, or loops go round without end.
 */
TSLIM_API tslim_status tslim_session_run(tslim_session *session, const tslim_tensor *inputs,
    uint32_t n_inputs, tslim_tensor *outputs, uint32_t n_outputs);

/** Time of one step of the plan, summed over the runs since profiling began. */
typedef struct tslim_step_profile {
    const char *node; /**< valid until the session is resized or destroyed */
    const char *op_type;
    const char *kernel; /**< "conv s8 avx512vnni", ... */
    tslim_dtype precision;
    uint64_t macs; /**< of one run */
    uint64_t nanoseconds;
    uint64_t runs;
    uint64_t
        least_nanoseconds; /**< of the fastest run: what to go by on a shared machine; 0 before the first */
} tslim_step_profile;

/** Starts (with zeroed times) or stops taking the time of each step. */
TSLIM_API tslim_status tslim_session_profile(tslim_session *session, bool on);
/** Where shapes depend on data: of the first stage, and of the others as they were planned for the last run.
 */
TSLIM_API uint32_t tslim_session_step_count(const tslim_session *session);
TSLIM_API tslim_status tslim_session_step_profile(
    const tslim_session *session, uint32_t index, tslim_step_profile *profile);

/**
 * Sees every value of the model as it is produced, in NCHW order as float (a quantized value times its
 * scale). `values` is valid during the call. Return false to end the run with TSLIM_ERROR_CANCELLED.
 */
typedef bool (*tslim_tap)(void *user, const char *value_name, const tslim_tensor *values);

/** NULL ends watching. Values that fusion has removed are not seen. Costs time and one buffer. */
TSLIM_API tslim_status tslim_session_set_tap(tslim_session *session, tslim_tap tap, void *user);

TSLIM_END_DECLS

#endif
