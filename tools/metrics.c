// SPDX-License-Identifier: Apache-2.0
// The metrics that eval and gate know.
#include "metrics.h"

#include <string.h>

static const struct metric known[] = {
    {"top1", offsetof(tslim_metrics, top1), false},
    {"top5", offsetof(tslim_metrics, top5), false},
    {"precision", offsetof(tslim_metrics, precision), false},
    {"recall", offsetof(tslim_metrics, recall), false},
    {"f1", offsetof(tslim_metrics, f1), false},
    {"loss", offsetof(tslim_metrics, loss), true},
};

static const struct metric *find(const char *name, size_t length) {
    for (size_t i = 0; i < sizeof known / sizeof *known; ++i) {
        if (strlen(known[i].name) == length && memcmp(known[i].name, name, length) == 0) return &known[i];
    }
    return NULL;
}

tslim_status parse_metrics(struct tool *tool, const char *text, struct metric *metrics, size_t *count) {
    *count = 0;
    for (;;) {
        size_t length = strcspn(text, ",");
        const struct metric *metric = find(text, length);
        if (!metric || *count == MAX_METRICS) {
            return tool_usage(tool, "--metric takes top1, top5, precision, recall, f1 and loss, not '%.*s'",
                (int)length, text);
        }
        metrics[(*count)++] = *metric;
        if (text[length] == 0) return TSLIM_OK;
        text += length + 1;
    }
}

double metric_value(const struct metric *metric, const tslim_metrics *metrics) {
    double value;
    memcpy(&value, (const char *)metrics + metric->offset, sizeof value);
    return value;
}

tslim_status evaluate(struct tool *tool, const tslim_graph *graph, uint64_t batch, tslim_metrics *metrics) {
    tslim_evaluate_options options;
    tslim_evaluate_options_init(&options);
    options.batch = (uint32_t)batch;
    options.backend = tool->backend;
    options.progress = tool_progress;
    options.progress_user = tool;
    *metrics = (tslim_metrics){.struct_size = sizeof *metrics};
    tslim_status status = tslim_evaluate(graph, tool->dataset, &options, metrics);
    tool_end_progress(tool);
    return status;
}
