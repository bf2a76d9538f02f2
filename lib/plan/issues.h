// SPDX-License-Identifier: Apache-2.0
// Collecting every reason why a graph cannot run, so that a user sees them all at once.
#ifndef TSL_PLAN_ISSUES_H
#define TSL_PLAN_ISSUES_H

#include "base/text.h"
#include "ir/graph.h"

typedef struct tsl_issues {
    tslim_issue_callback callback; // may be NULL
    void *user;
    uint32_t opset; // of the graph
    tsl_text summary; // the first few, for the message
    uint32_t count;
} tsl_issues;

void tsl_issues_init(tsl_issues *issues, const tslim_graph *graph, tslim_issue_callback callback, void *user);
void tsl_issues_add(tsl_issues *issues, const tsl_node *node, const char *reason, const char *hint);
// UNSUPPORTED with the message when there are any. Frees what the collection holds.
tslim_status tsl_issues_finish(tsl_issues *issues);

#endif
