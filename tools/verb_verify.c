// SPDX-License-Identifier: Apache-2.0
// tinyslim verify: is a model's file whole and within the limits?
#include <stdio.h>

#include "tool.h"

// Loading checks checksums, structure and limits; the graph's check, packed weights. What fails there is the
// answer, not an error; operators that cannot run are another question.
static tslim_status work(struct tool *tool) {
    TRY(tool_start(tool, 1, 1));
    const char *path = tool->positional.items[0];
    tslim_status status = tool_load(tool, path, &tool->graph);
    if (status == TSLIM_OK) status = tslim_graph_check(tool->graph, NULL, NULL);
    if (status == TSLIM_ERROR_UNSUPPORTED) status = TSLIM_OK;
    bool answer = status == TSLIM_OK || status == TSLIM_ERROR_BAD_FILE || status == TSLIM_ERROR_LIMIT;
    if (!answer) return status;
    tool->does_not_hold = status != TSLIM_OK;
    const char *reason = status == TSLIM_OK ? "" : tslim_context_message(tool->context);
    if (!tool->json) {
        printf("%s%s%s\n", path, status == TSLIM_OK ? ": good" : ": not good: ", reason);
        return TSLIM_OK;
    }
    cJSON *json = json_create(tool);
    cJSON_AddStringToObject(json, "model", path);
    cJSON_AddBoolToObject(json, "pass", status == TSLIM_OK);
    cJSON_AddStringToObject(json, "status", tslim_status_name(status));
    cJSON_AddStringToObject(json, "reason", reason);
    return json_print(tool, json);
}

static int run(const struct verb *verb, int argc, char **argv) {
    struct tool tool = {.verb = verb, .argc = argc, .argv = argv};
    return tool_finish(&tool, work(&tool));
}

const struct verb verb_verify = {"verify", "MODEL.tslim [--json]",
    "checksums, structure and limits of a file", "tinyslim verify model.tslim", run};
