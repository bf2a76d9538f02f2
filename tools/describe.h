// SPDX-License-Identifier: Apache-2.0
// Shapes and names as text and as JSON.
#ifndef TOOLS_DESCRIBE_H
#define TOOLS_DESCRIBE_H

#include "tool.h"

// "1x3xN"; what is neither known nor briefly named is "?". Returns text.
const char *format_shape(const tslim_tensor_info *info, char *text, size_t size);
// "12.3 M".
const char *format_large(uint64_t value, char *text, size_t size);
// Dims that are not known become their name, or null.
void json_add_shape(cJSON *object, const char *key, const tslim_tensor_info *info);
void json_add_dims(cJSON *object, const char *key, uint32_t rank, const int64_t *dims);

#endif
