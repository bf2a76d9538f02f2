// SPDX-License-Identifier: Apache-2.0
// The inside of the CPU backend: what a kernel's prepare function gets. One function for each name in the
// kernel column of ops.def, tsl_cpu_prepare_<name>, in the file named after it.
#ifndef TSL_CPU_CPU_H
#define TSL_CPU_CPU_H

#include "backend.h"
#include "cpu/kernels.h"

typedef struct tsl_prepare {
    tslim_context *ctx;
    const tsl_step *step;
    tsl_arena *arena; // for everything that outlives prepare; freed with the plan
    const tsl_cpu_functions *functions; // the dispatch table at the session's instruction set
    const char *isa_name;
    bool any_weights; // the level's INT8 products are exact for weights of -128 too
} tsl_prepare;

typedef tslim_status (*tsl_prepare_function)(tsl_prepare *p, tsl_kernel *kernel);

#define TSL_OP(                                                                                              \
    id, name, domain, min_opset, max_opset, min_in, max_in, min_out, max_out, rule, shape, cpu, diff)        \
    tslim_status tsl_cpu_prepare_##cpu(tsl_prepare *p, tsl_kernel *kernel);
#include "ir/ops.def"
#undef TSL_OP

// Operand `index`, or NULL when it is absent.
static inline const tsl_tensor *tsl_step_input(const tsl_step *step, uint32_t index) {
    return index < step->n_inputs && step->inputs[index].dtype != TSLIM_DTYPE_NONE ? &step->inputs[index]
                                                                                   : NULL;
}

// UNSUPPORTED: "no CPU kernel for Conv of int8 and float32".
tslim_status tsl_cpu_unsupported(const tsl_prepare *p);

#endif
