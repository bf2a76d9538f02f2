// SPDX-License-Identifier: Apache-2.0
// Metrics by their names on the command line.
#ifndef TOOLS_METRICS_H
#define TOOLS_METRICS_H

#include "tool.h"

#define MAX_METRICS 8

struct metric {
    char name[16];
    size_t offset; // of the double in tslim_metrics
    bool lower_is_better;
};

// "top1,f1" into at most MAX_METRICS.
tslim_status parse_metrics(struct tool *tool, const char *text, struct metric *metrics, size_t *count);
double metric_value(const struct metric *metric, const tslim_metrics *metrics);
// Evaluates a model on tool->dataset.
tslim_status evaluate(struct tool *tool, const tslim_graph *graph, uint64_t batch, tslim_metrics *metrics);

#endif
