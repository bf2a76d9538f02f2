// SPDX-License-Identifier: Apache-2.0
// Running the nodes that have bodies: If, Loop, Scan.
#ifndef TSL_PLAN_CONTROL_H
#define TSL_PLAN_CONTROL_H

#include "plan/plan.h"

// Programs for the node's bodies, planned and with memory as far as the operands' shapes tell. The arrays are
// the step's: outputs whose dims are not known are set by a run, to memory of the control's own.
tslim_status tsl_control_create(tsl_plan *plan, const tsl_node *node, const tsl_tensor *inputs,
    const tsl_tensor *outputs, tsl_control **control);
void tsl_control_destroy(tsl_control *control); // NULL is allowed

// LIMIT when loops go round too often, or what they gather exceeds the context's limits.
tslim_status tsl_control_run(tsl_control *control, const tsl_tensor *inputs, tsl_tensor *outputs);

#endif
