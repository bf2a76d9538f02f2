// SPDX-License-Identifier: Apache-2.0
// Tensors that cross the interface: a type, a shape and the caller's memory.
#ifndef TINYSLIM_TENSOR_H
#define TINYSLIM_TENSOR_H

#include <tinyslim/api.h>

TSLIM_BEGIN_DECLS

/** A dense tensor in row-major order (the last dim varies fastest). Owns nothing. */
typedef struct tslim_tensor {
    tslim_dtype dtype;
    uint32_t rank;
    int64_t dims[TSLIM_MAX_RANK];
    void *data;
    size_t bytes; /**< of the memory behind `data` */
} tslim_tensor;

/** What a model says of an input or output. A dim of -1 is not known; `symbols` holds its name or NULL. */
typedef struct tslim_tensor_info {
    const char *name; /**< valid as long as the object that was asked */
    tslim_dtype dtype;
    uint32_t rank;
    int64_t dims[TSLIM_MAX_RANK];
    const char *symbols[TSLIM_MAX_RANK];
} tslim_tensor_info;

/** A shape for an input whose dims are symbolic. */
typedef struct tslim_input_shape {
    const char *name; /**< NULL: the model's only input */
    uint32_t rank;
    int64_t dims[TSLIM_MAX_RANK];
} tslim_input_shape;

TSLIM_END_DECLS

#endif
