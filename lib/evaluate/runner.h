// SPDX-License-Identifier: Apache-2.0
// A session fed by a dataset, a batch at a time. What measures a model over samples is built on it.
#ifndef TSL_EVALUATE_RUNNER_H
#define TSL_EVALUATE_RUNNER_H

#include <tinyslim/dataset.h>
#include <tinyslim/session.h>

#include "base/context.h"
#include "base/status.h"

#define TSL_RUNNER_MAX_INPUTS 64

typedef struct tsl_runner_options {
    uint32_t batch; // samples a run, where the model leaves that open
    tslim_backend backend;
    tslim_isa isa;
    bool no_fusion;
    bool pad; // run full batches only, also where the model leaves the batch open
} tsl_runner_options;

typedef struct tsl_runner {
    tslim_context *ctx;
    tslim_session *session;
    tslim_dataset *dataset;
    uint32_t batch; // samples of a full run
    bool fixed_batch; // the model's own, or asked for: a shorter run is padded with copies of its last sample
    uint32_t n_inputs, n_outputs;
    uint32_t n_data;
    tslim_tensor data[TSL_RUNNER_MAX_INPUTS]; // in the dataset's order; each owns its memory
    tslim_tensor inputs[TSL_RUNNER_MAX_INPUTS]; // in the model's order, the same memory
    uint32_t sources[TSL_RUNNER_MAX_INPUTS]; // the dataset's input for each of the model's
    tslim_tensor outputs[TSL_RUNNER_MAX_INPUTS]; // of the last run, in the session's memory
} tsl_runner;

// Makes a session whose shapes are those of the samples. INVALID_ARGUMENT names an input that does not fit.
tslim_status tsl_runner_init(
    tsl_runner *runner, const tslim_graph *graph, tslim_dataset *dataset, const tsl_runner_options *options);
// A zeroed runner is allowed.
void tsl_runner_clear(tsl_runner *runner);

// Reads samples first to first+count-1, at most `batch` of them, into `inputs`. `labels` may be NULL.
tslim_status tsl_runner_read(tsl_runner *runner, uint64_t first, uint32_t count, int64_t *labels);

// Runs on `inputs` (the runner's own or those of another), which hold as many samples as their leading dims
// say.
tslim_status tsl_runner_run(tsl_runner *runner, const tslim_tensor *inputs);

#endif
