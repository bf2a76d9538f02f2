// SPDX-License-Identifier: Apache-2.0
// libtinyslim: makes a trained neural network small and fast, and runs it. This header includes all the
// others.
#ifndef TINYSLIM_TINYSLIM_H
#define TINYSLIM_TINYSLIM_H

#include <tinyslim/api.h>
#include <tinyslim/calibration.h>
#include <tinyslim/context.h>
#include <tinyslim/dataset.h>
#include <tinyslim/evaluate.h>
#include <tinyslim/graph.h>
#include <tinyslim/prune.h>
#include <tinyslim/quantize.h>
#include <tinyslim/repair.h>
#include <tinyslim/sensitivity.h>
#include <tinyslim/session.h>
#include <tinyslim/status.h>
#include <tinyslim/tensor.h>
#include <tinyslim/train.h>

#endif
