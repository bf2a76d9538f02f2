// SPDX-License-Identifier: Apache-2.0
// Where shapes depend on data: what can be planned now, and what only when that has run.
#ifndef TSL_PLAN_STAGES_H
#define TSL_PLAN_STAGES_H

#include "ir/graph.h"

// Splits a specialized graph. It keeps the nodes whose shapes are known, or that find the size of their
// result as they run; its outputs become the values that the rest reads, in the order of the rest's inputs.
// *rest gets the other nodes, and the graph's own outputs; NULL: there are none, and nothing has changed.
// UNSUPPORTED names a node whose shape neither operands nor a run can tell.
tslim_status tsl_graph_split(tslim_graph *graph, tslim_graph **rest);

#endif
