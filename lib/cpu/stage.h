// SPDX-License-Identifier: Apache-2.0
// Operands of a convolution as its kernels want them: rank 4, channels side by side, with a border. Where an
// operand is not so (rank 3, another layout, a constant) a run copies it through scratch memory.
#ifndef TSL_CPU_STAGE_H
#define TSL_CPU_STAGE_H

#include "cpu/dynamic.h"

typedef struct tsl_stage {
    bool used; // false: the operand is used where it is
    tsl_tensor view; // rank 4, without data; what the kernel sees
    size_t scratch, bytes;
} tsl_stage;

// `tensor` has rank 3 (seen as H = 1) or 4. `border` (top, left, bottom, right) is what reads need.
tslim_status tsl_stage_prepare(
    tsl_kernel *kernel, const tsl_tensor *tensor, const uint16_t border[4], tsl_stage *stage);

// The same for an operand in float that is quantized on the way: always a copy, in INT8.
tslim_status tsl_stage_prepare_quantized(
    tsl_kernel *kernel, const tsl_tensor *tensor, const uint16_t border[4], tsl_stage *stage);
// Its address in this run; *range is what its elements gave.
const void *tsl_stage_quantize(const tsl_stage *stage, const tsl_run *run, const tsl_cpu_functions *functions,
    const tsl_tensor *tensor, tsl_dynamic_range *range);

// An input of this run: the address of element (0,0,0,0), after copying if it must be.
const void *tsl_stage_read(const tsl_stage *stage, const tsl_run *run, const tsl_tensor *tensor);
// Where to write an output; tsl_stage_finish then brings it home.
void *tsl_stage_write(const tsl_stage *stage, const tsl_run *run, const tsl_tensor *tensor);
void tsl_stage_finish(const tsl_stage *stage, const tsl_run *run, const tsl_tensor *tensor);

#endif
