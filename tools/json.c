// SPDX-License-Identifier: Apache-2.0
// Results as JSON, indented by two spaces, with lists of plain values on one line.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

cJSON *json_create(const struct tool *tool) {
    char schema[64];
    cJSON *json = cJSON_CreateObject();
    snprintf(schema, sizeof schema, "tinyslim.%s/1", tool->verb->name);
    cJSON_AddStringToObject(json, "schema", schema);
    return json;
}

void json_add_count(cJSON *object, const char *key, uint64_t value) {
    cJSON_AddNumberToObject(object, key, (double)value);
}

void json_add_real(cJSON *object, const char *key, double value) {
    if (isfinite(value)) {
        cJSON_AddNumberToObject(object, key, value);
    } else {
        cJSON_AddNullToObject(object, key);
    }
}

cJSON *json_add_array(cJSON *object, const char *key) {
    return cJSON_AddArrayToObject(object, key);
}

cJSON *json_append_object(cJSON *array) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddItemToArray(array, object);
    return object;
}

static bool is_plain(const cJSON *list) {
    const cJSON *item;
    cJSON_ArrayForEach(item, list) {
        if (cJSON_IsObject(item) || cJSON_IsArray(item)) return false;
    }
    return true;
}

static bool print_plain(const cJSON *item) {
    char *text = cJSON_PrintUnformatted(item);
    if (text) fputs(text, stdout);
    cJSON_free(text);
    return text != NULL;
}

static bool print_key(const char *key) {
    cJSON *text = cJSON_CreateString(key);
    bool good = text && print_plain(text);
    fputs(": ", stdout);
    cJSON_Delete(text);
    return good;
}

// Nesting is as deep as the verbs make it: four levels.
static bool print_item(const cJSON *item, int depth) {
    bool object = cJSON_IsObject(item), good = true;
    if (!object && !cJSON_IsArray(item)) return print_plain(item);
    bool one_line = (!object && is_plain(item)) || !item->child;
    putchar(object ? '{' : '[');
    for (const cJSON *child = item->child; child && good; child = child->next) {
        if (!one_line) printf("\n%*s", 2 * (depth + 1), "");
        good = (!object || print_key(child->string)) && print_item(child, depth + 1);
        if (child->next) fputs(one_line ? ", " : ",", stdout);
    }
    if (!one_line) printf("\n%*s", 2 * depth, "");
    putchar(object ? '}' : ']');
    return good;
}

tslim_status json_print(struct tool *tool, cJSON *json) {
    bool good = json && print_item(json, 0);
    putchar('\n');
    cJSON_Delete(json);
    return good ? TSLIM_OK : tool_error(tool, TSLIM_ERROR_NO_MEMORY, "no memory for the result");
}

tslim_status json_load(struct tool *tool, const char *path, cJSON **json) {
    *json = NULL;
    FILE *file = fopen(path, "rb");
    if (!file) return tool_error(tool, TSLIM_ERROR_IO, "%s: %s", path, strerror(errno));
    size_t size = 0, capacity = 0;
    char *text = NULL;
    for (size_t got = 1; got > 0 && size < ((size_t)64 << 20); size += got) {
        if (capacity - size < 4096) {
            capacity = 2 * capacity + 8192;
            char *larger = realloc(text, capacity);
            if (!larger) break;
            text = larger;
        }
        got = fread(text + size, 1, capacity - size, file);
    }
    if (text && feof(file)) *json = cJSON_ParseWithLength(text, size);
    free(text);
    fclose(file);
    return *json ? TSLIM_OK : tool_error(tool, TSLIM_ERROR_BAD_FILE, "%s: not JSON", path);
}
