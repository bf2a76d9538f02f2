// SPDX-License-Identifier: Apache-2.0
// The options of a training, read and checked.
#ifndef TSL_TRAIN_OPTIONS_H
#define TSL_TRAIN_OPTIONS_H

#include <tinyslim/train.h>

#include "base/status.h"

// Fills `options` from `given` (NULL: defaults), whatever version of the structure it is.
tslim_status tsl_train_options_read(const tslim_train_options *given, tslim_train_options *options);

#endif
