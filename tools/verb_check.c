// SPDX-License-Identifier: Apache-2.0
// tinyslim check: every node that cannot run, all at once.
#include <inttypes.h>
#include <stdio.h>

#include "tool.h"

typedef struct checking {
    struct tool tool;
    cJSON *json, *issues;
    uint32_t count;
} checking;

static void on_issue(void *user, const tslim_graph_issue *issue) {
    checking *c = user;
    ++c->count;
    if (!c->tool.json) {
        printf("%s\n  operator  %s (opset %" PRIu32 ")\n  reason    %s\n", issue->node, issue->op_type,
            issue->opset, issue->reason);
        if (*issue->hint) printf("  hint      %s\n", issue->hint);
        return;
    }
    cJSON *item = json_append_object(c->issues);
    cJSON_AddStringToObject(item, "name", issue->node);
    cJSON_AddStringToObject(item, "operator", issue->op_type);
    json_add_count(item, "opset", issue->opset);
    cJSON_AddStringToObject(item, "reason", issue->reason);
    cJSON_AddStringToObject(item, "hint", issue->hint);
}

static tslim_status work(checking *c) {
    struct tool *tool = &c->tool;
    TRY(tool_start(tool, 1, 1));
    const char *path = tool->positional.items[0];
    TRY(tool_load(tool, path, &tool->graph));
    if (tool->json) {
        c->json = json_create(tool);
        cJSON_AddStringToObject(c->json, "model", path);
        c->issues = json_add_array(c->json, "issues");
    }
    tslim_status status = tslim_graph_check(tool->graph, on_issue, c);
    if (status != TSLIM_OK && (status != TSLIM_ERROR_UNSUPPORTED || c->count == 0)) return status;
    if (tool->json) {
        cJSON_AddBoolToObject(c->json, "runs", c->count == 0);
        cJSON *json = c->json;
        c->json = NULL;
        TRY(json_print(tool, json));
    } else if (c->count == 0) {
        printf("%s: all %" PRIu32 " nodes can run\n", path, tslim_graph_node_count(tool->graph));
    }
    tool->reported = true; // the list is the message
    return status;
}

static int run(const struct verb *verb, int argc, char **argv) {
    checking c = {.tool = {.verb = verb, .argc = argc, .argv = argv}};
    tslim_status status = work(&c);
    cJSON_Delete(c.json);
    return tool_finish(&c.tool, status);
}

const struct verb verb_check = {"check", "MODEL [--json]", "every node that cannot run, with reason and hint",
    "tinyslim check detector.onnx", run};
