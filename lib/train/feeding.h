// SPDX-License-Identifier: Apache-2.0
// What a network reads at each run.
#ifndef TSL_TRAIN_FEEDING_H
#define TSL_TRAIN_FEEDING_H

#include "train/network.h"

// Copies the batch's last sample into its rest, up to `size` samples, which its memory is for.
void tsl_batch_pad(tsl_batch *batch, uint32_t size);

// Points the network's inputs at the batch and the teacher's outputs, and fills what the labels stand for.
tslim_status tsl_network_feed(tsl_network *network, const tsl_batch *batch, const tsl_teacher *teacher);

#endif
