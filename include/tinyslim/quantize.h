// SPDX-License-Identifier: Apache-2.0
// From float to INT8, by the numerics contract of docs/numerics.md.
#ifndef TINYSLIM_QUANTIZE_H
#define TINYSLIM_QUANTIZE_H

#include <tinyslim/calibration.h>

TSLIM_BEGIN_DECLS

/** Set up with tslim_quantize_options_init. */
typedef struct tslim_quantize_options {
    uint32_t struct_size;
    const char *const *exclude; /**< names of nodes that stay in float */
    uint32_t n_exclude;
    /** 1: no tensor has a zero point, which other backends than the CPU ask for. 0: where it makes steps
     * finer. */
    uint32_t symmetric;
    /** 1: channels keep their ranges. 0: they are equalized, where the calibration knows them and that makes
     * INT8 finer; the function of the network stays the same. */
    uint32_t keep_channels;
    /** 1: biases stay as they are. 0: they take back what rounded weights add on average, where the
     * calibration knows the means of their input. */
    uint32_t keep_biases;
} tslim_quantize_options;

TSLIM_API void tslim_quantize_options_init(tslim_quantize_options *options);

/** What became of one node. */
typedef struct tslim_quantize_note {
    const char *node;
    const char *op_type;
    tslim_dtype precision; /**< INT8, or FLOAT with a reason */
    const char *reason; /**< "" for INT8 */
} tslim_quantize_note;

/** Called once a node, in order; the strings are valid during the call. */
typedef void (*tslim_quantize_callback)(void *user, const tslim_quantize_note *note);

/**
 * Folds BatchNormalization, fuses activations and residual adds, and turns what gains from it to INT8, in
 * place; the graph can then be run, saved and exported, but not pruned. `options` and `callback` may be NULL.
 * On failure the graph is as before.
 */
TSLIM_API tslim_status tslim_quantize(tslim_graph *graph, const tslim_calibration *calibration,
    const tslim_quantize_options *options, tslim_quantize_callback callback, void *user);

TSLIM_END_DECLS

#endif
