// SPDX-License-Identifier: Apache-2.0
// The CPU backend: from an operator to the function that prepares it.
#include "cpu/cpu.h"
#include "cpu/pack.h"

static const tsl_prepare_function prepare_functions[TSL_OP_COUNT] = {
#define TSL_OP(                                                                                              \
    id, name, domain, min_opset, max_opset, min_in, max_in, min_out, max_out, rule, shape, cpu, diff)        \
    [TSL_OP_##id] = tsl_cpu_prepare_##cpu,
#include "ir/ops.def"
#undef TSL_OP
};

static tslim_status prepare(
    tslim_context *ctx, tslim_isa isa, const tsl_step *step, tsl_arena *arena, tsl_kernel *kernel) {
    *kernel = (tsl_kernel){0};
    if ((unsigned)step->op >= TSL_OP_COUNT || !prepare_functions[step->op])
        return tsl_fail(TSLIM_ERROR_UNSUPPORTED, "node '%s': its operator has no CPU kernel", step->name);
    if (isa == TSLIM_ISA_DEFAULT) isa = ctx->isa;
    tsl_prepare p = {.ctx = ctx,
        .step = step,
        .arena = arena,
        .functions = tsl_cpu_functions_get(isa),
        .isa_name = tslim_isa_name(isa),
        .any_weights = isa == TSLIM_ISA_AVXVNNI || isa == TSLIM_ISA_AVX512VNNI};
    return prepare_functions[step->op](&p, kernel);
}

const tsl_backend tsl_cpu_backend = {
    .name = "cpu",
    .prepare = prepare,
    .packed_size = tsl_cpu_packed_size,
    .pack = tsl_cpu_pack,
    .unpack = tsl_cpu_unpack,
};
