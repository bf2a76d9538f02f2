// SPDX-License-Identifier: Apache-2.0
// JSON of plans and analyses: written as text, so that the same object gives the same bytes; read with cJSON.
#ifndef TSL_PRUNE_JSON_H
#define TSL_PRUNE_JSON_H

#include <cjson/cJSON.h>

#include "base/status.h"
#include "base/text.h"

// A string in quotes, escaped.
void tsl_json_add_string(tsl_text *text, const char *string);
// A number that reads back as the same double; null for NaN.
void tsl_json_add_number(tsl_text *text, double number);

// Parses a whole file whose "schema" must be `schema`. BAD_FILE names the path. The caller deletes *root.
tslim_status tsl_json_read_file(tslim_context *ctx, const char *path, const char *schema, cJSON **root);

// Members of an object. BAD_FILE names the member when it is missing or of another type or range.
tslim_status tsl_json_string(const cJSON *object, const char *name, const char **string);
tslim_status tsl_json_count(const cJSON *object, const char *name, uint64_t most, uint64_t *number);
tslim_status tsl_json_array(const cJSON *object, const char *name, const cJSON **array, uint32_t *count);

#endif
