// SPDX-License-Identifier: Apache-2.0
// Collected issues.
#include "plan/issues.h"

// A message has room for so many; the callback gets all.
#define IN_MESSAGE 8

void tsl_issues_init(
    tsl_issues *issues, const tslim_graph *graph, tslim_issue_callback callback, void *user) {
    *issues = (tsl_issues){.callback = callback, .user = user, .opset = graph->opset};
    tsl_text_init(&issues->summary, graph->ctx);
}

void tsl_issues_add(tsl_issues *issues, const tsl_node *node, const char *reason, const char *hint) {
    if (issues->callback)
        issues->callback(
            issues->user, &(tslim_graph_issue){node->name, node->op_type, reason, hint, issues->opset});
    if (issues->count++ >= IN_MESSAGE) return;
    tsl_text_add(&issues->summary, "%snode '%s' (%s): %s", issues->count > 1 ? "; " : "", node->name,
        node->op_type, reason);
}

tslim_status tsl_issues_finish(tsl_issues *issues) {
    tslim_status status = tsl_text_status(&issues->summary);
    if (status == TSLIM_OK && issues->count > IN_MESSAGE)
        status = tsl_fail(
            TSLIM_ERROR_UNSUPPORTED, "%u nodes cannot run: %s; ...", issues->count, issues->summary.data);
    else if (status == TSLIM_OK && issues->count > 0)
        status = tsl_fail(TSLIM_ERROR_UNSUPPORTED, "%s", issues->summary.data);
    tsl_text_clear(&issues->summary);
    return status;
}
