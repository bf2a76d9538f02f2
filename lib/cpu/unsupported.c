// SPDX-License-Identifier: Apache-2.0
// The message for operands that no kernel takes.
#include <stdio.h>

#include "cpu/cpu.h"

tslim_status tsl_cpu_unsupported(const tsl_prepare *p) {
    const tsl_step *step = p->step;
    char types[256] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < step->n_inputs && used < sizeof(types); i++) {
        if (step->inputs[i].dtype == TSLIM_DTYPE_NONE) continue;
        int written = snprintf(types + used, sizeof(types) - used, "%s%s", used ? ", " : "",
            tslim_dtype_name(step->inputs[i].dtype));
        used += written > 0 ? (size_t)written : 0;
    }
    return tsl_fail(TSLIM_ERROR_UNSUPPORTED, "node '%s': no CPU kernel for %s of (%s) to %s", step->name,
        tsl_op_get_info(step->op)->name, types,
        step->n_outputs ? tslim_dtype_name(step->outputs[0].dtype) : "nothing");
}

// Nodes with bodies are the plan's to run.
tslim_status tsl_cpu_prepare_control(tsl_prepare *p, tsl_kernel *kernel) {
    (void)kernel;
    return tsl_cpu_unsupported(p);
}
