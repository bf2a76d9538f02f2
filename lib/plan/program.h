// SPDX-License-Identifier: Apache-2.0
// A graph whose inputs' shapes are known only when it runs: a body, or what follows a stage. It has a plan
// for each set of shapes (and of numbers that decide on shapes) that it has met, and memory for one at a
// time.
#ifndef TSL_PLAN_PROGRAM_H
#define TSL_PLAN_PROGRAM_H

#include "plan/plan.h"

// Refers to the graph, which must outlive it, or owns it. `deciding`: numbers of inputs that decide on shapes
// are part of what a plan is made for; else all plans are made for shapes alone, and begin with a stage that
// needs no more.
tslim_status tsl_program_create(
    tsl_environment *env, const tslim_graph *graph, tslim_graph *owned, bool deciding, tsl_program **program);
void tsl_program_destroy(tsl_program *program); // NULL is allowed

const tslim_graph *tsl_program_graph(const tsl_program *program);
// The plan that ran last; NULL before any.
tsl_plan *tsl_program_current(const tsl_program *program);

// Finds or makes the plan for these inputs (row-major), and gives it memory and the inputs' addresses.
// Without `deciding` only the dims are looked at: it can be done before there is any data.
tslim_status tsl_program_select(tsl_program *program, const tsl_tensor *inputs, tsl_plan **plan);

// Selects and runs to the end; *results are the graph's outputs, row-major, valid until the next run.
tslim_status tsl_program_run(tsl_program *program, const tsl_tensor *inputs, const tsl_tensor **results);

// Runs a plan and all that follows it; *last is the plan that has the graph's outputs. `after` may be NULL.
tslim_status tsl_plan_run_stages(
    tsl_plan *first, bool profile, tsl_after_step after, void *user, tsl_plan **last);

#endif
