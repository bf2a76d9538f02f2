// SPDX-License-Identifier: Apache-2.0
// From a text detector's map of probabilities to boxes.
#ifndef OCR_DETECT_H
#define OCR_DETECT_H

#include "rectangle.h"

typedef struct box {
    point corners[4];
} box;

// The post-processing of DB (Liao et al., Real-time scene text detection with differentiable binarization,
// 2020): regions over 0.3, the least rectangle around each, those of a mean probability of at least 0.6
// inside, grown by 1.5 * area / perimeter on each side. Returns their number, at most `room`; 0 also when
// memory is short.
size_t detect_boxes(const float *probability, int width, int height, box *boxes, size_t room);

#endif
