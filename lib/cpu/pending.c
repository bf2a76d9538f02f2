// SPDX-License-Identifier: Apache-2.0
// Operators whose kernels are not in the tree yet: weak, so that each kernel replaces its line as it comes.
#include "cpu/cpu.h"

#define PENDING(name)                                                                                                  \
    __attribute__((weak)) tslim_status tsl_cpu_prepare_##name(tsl_prepare *p, tsl_kernel *kernel) {                    \
        (void)kernel;                                                                                                  \
        return tsl_cpu_unsupported(p);                                                                                 \
    }
PENDING(batch_normalization)
PENDING(normalization)
PENDING(pool)
PENDING(global_pool)
PENDING(resize)
PENDING(depth_to_space)
PENDING(unary)
PENDING(binary)
PENDING(identity)
PENDING(softmax)
PENDING(variadic)
PENDING(where)
PENDING(reduce)
PENDING(arg_reduce)
PENDING(reshape)
PENDING(transpose)
PENDING(concat)
PENDING(split)
PENDING(slice)
PENDING(pad)
PENDING(gather)
PENDING(expand)
PENDING(tile)
PENDING(cast)
PENDING(shape)
PENDING(constant_of_shape)
PENDING(range)
PENDING(quantize_linear)
PENDING(dequantize_linear)
PENDING(quantize)
