// SPDX-License-Identifier: Apache-2.0
// The little of JSON that plans and analyses need.
#include "prune/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

void tsl_json_add_string(tsl_text *text, const char *string) {
    tsl_text_add(text, "\"");
    for (const char *c = string; *c; c++) {
        if (*c == '"' || *c == '\\')
            tsl_text_add(text, "\\%c", *c);
        else if ((unsigned char)*c < 0x20)
            tsl_text_add(text, "\\u%04x", (unsigned)(unsigned char)*c);
        else
            tsl_text_add_n(text, c, 1);
    }
    tsl_text_add(text, "\"");
}

void tsl_json_add_number(tsl_text *text, double number) {
    char digits[32];
    if (!isfinite(number)) {
        tsl_text_add(text, "null");
        return;
    }
    // The fewest digits that read back as the same number.
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(digits, sizeof(digits), "%.*g", precision, number);
        if (strtod(digits, NULL) == number) break;
    }
    for (char *c = digits; *c; c++) // the host's locale may have another decimal point
        if (!strchr("0123456789+-e", *c)) *c = '.';
    tsl_text_add(text, "%s", digits);
}

tslim_status tsl_json_read_file(tslim_context *ctx, const char *path, const char *schema, cJSON **root) {
    tsl_buffer *file;
    TSL_TRY(tsl_file_map(ctx, path, &file));
    *root = cJSON_ParseWithLength(file->data ? file->data : "", file->size);
    tsl_buffer_release(file);
    TSL_REQUIRE(*root, TSLIM_ERROR_BAD_FILE, "'%s' is not JSON", path);
    const char *found = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(*root, "schema"));
    if (found && strcmp(found, schema) == 0) return TSLIM_OK;
    tslim_status status =
        tsl_fail(TSLIM_ERROR_BAD_FILE, "'%s': schema is '%s', not '%s'", path, found ? found : "", schema);
    cJSON_Delete(*root);
    *root = NULL;
    return status;
}

tslim_status tsl_json_string(const cJSON *object, const char *name, const char **string) {
    *string = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    TSL_REQUIRE(*string, TSLIM_ERROR_BAD_FILE, "\"%s\" is missing or not a string", name);
    return TSLIM_OK;
}

tslim_status tsl_json_count(const cJSON *object, const char *name, uint64_t most, uint64_t *number) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    double value = cJSON_IsNumber(item) ? item->valuedouble : -1;
    TSL_REQUIRE(value >= 0 && value <= (double)most && value == floor(value), TSLIM_ERROR_BAD_FILE,
        "\"%s\" is missing or not a whole number up to %" PRIu64, name, most);
    *number = (uint64_t)value;
    return TSLIM_OK;
}

tslim_status tsl_json_array(const cJSON *object, const char *name, const cJSON **array, uint32_t *count) {
    *array = cJSON_GetObjectItemCaseSensitive(object, name);
    TSL_REQUIRE(cJSON_IsArray(*array), TSLIM_ERROR_BAD_FILE, "\"%s\" is missing or not a list", name);
    *count = (uint32_t)cJSON_GetArraySize(*array);
    return TSLIM_OK;
}
