// SPDX-License-Identifier: Apache-2.0
// Shapes and numbers for people and for programs.
#include "describe.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LONGEST_SYMBOL 32

const char *format_shape(const tslim_tensor_info *info, char *text, size_t size) {
    size_t length = 0;
    text[0] = 0;
    for (uint32_t d = 0; d < info->rank && length < size; ++d) {
        // Exporters write whole formulas as names.
        const char *symbol =
            info->symbols[d] && strlen(info->symbols[d]) <= LONGEST_SYMBOL ? info->symbols[d] : "?";
        const char *between = d ? "x" : "";
        int added = info->dims[d] >= 0
                        ? snprintf(text + length, size - length, "%s%" PRId64, between, info->dims[d])
                        : snprintf(text + length, size - length, "%s%s", between, symbol);
        if (added > 0) length += (size_t)added;
    }
    return info->rank ? text : "scalar";
}

const char *format_large(uint64_t value, char *text, size_t size) {
    static const char *const units[] = {"", " k", " M", " G", " T"};
    double number = (double)value;
    size_t unit = 0;
    while (number >= 1000 && unit < 4) {
        number /= 1000;
        ++unit;
    }
    snprintf(text, size, unit ? "%.2f%s" : "%.0f%s", number, units[unit]);
    return text;
}

void json_add_shape(cJSON *object, const char *key, const tslim_tensor_info *info) {
    cJSON *list = json_add_array(object, key);
    for (uint32_t d = 0; d < info->rank; ++d) {
        cJSON *dim = info->dims[d] >= 0 ? cJSON_CreateNumber((double)info->dims[d])
                     : info->symbols[d] ? cJSON_CreateString(info->symbols[d])
                                        : cJSON_CreateNull();
        cJSON_AddItemToArray(list, dim);
    }
}

void json_add_dims(cJSON *object, const char *key, uint32_t rank, const int64_t *dims) {
    cJSON *list = json_add_array(object, key);
    for (uint32_t d = 0; d < rank; ++d) cJSON_AddItemToArray(list, cJSON_CreateNumber((double)dims[d]));
}
