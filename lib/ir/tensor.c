// SPDX-License-Identifier: Apache-2.0
// Tensor descriptors.
#include "ir/tensor.h"

int64_t tsl_tensor_elements(const tsl_tensor *tensor) {
    int64_t elements = 1;
    for (uint32_t i = 0; i < tensor->rank; i++) elements *= tensor->dims[i];
    return elements;
}

void tsl_tensor_set_row_major(tsl_tensor *tensor) {
    int64_t stride = 1;
    for (uint32_t i = tensor->rank; i-- > 0;) {
        tensor->strides[i] = stride;
        stride *= tensor->dims[i];
    }
}

bool tsl_tensor_is_row_major(const tsl_tensor *tensor) {
    int64_t stride = 1;
    for (uint32_t i = tensor->rank; i-- > 0;) {
        if (tensor->dims[i] != 1 && tensor->strides[i] != stride) return false;
        stride *= tensor->dims[i];
    }
    return true;
}

bool tsl_tensor_is_channels_last(const tsl_tensor *tensor) {
    return tensor->rank == 4 && (tensor->strides[1] == 1 || tensor->dims[1] == 1);
}
