// SPDX-License-Identifier: Apache-2.0
// Attribute names, and reading a node's attributes.
#include "ir/attr.h"

#include <string.h>

static const char *const names[TSL_ATTR_COUNT] = {
    [TSL_ATTR_UNKNOWN] = "",
#define TSL_ATTR(name) [TSL_ATTR_##name] = #name,
#include "ir/attrs.def"
#undef TSL_ATTR
};

const char *tsl_attr_name(tsl_attr_id id) {
    return names[(unsigned)id < TSL_ATTR_COUNT ? id : TSL_ATTR_UNKNOWN];
}

tsl_attr_id tsl_attr_find_id(const char *name) {
    for (unsigned id = 1; id < TSL_ATTR_COUNT; id++)
        if (strcmp(names[id], name) == 0) return (tsl_attr_id)id;
    return TSL_ATTR_UNKNOWN;
}

const tsl_attr *tsl_attrs_find(const tsl_attrs *attrs, tsl_attr_id id) {
    if (id == TSL_ATTR_UNKNOWN) return NULL; // it is the id of each that nobody knows
    for (uint32_t i = 0; i < attrs->count; i++)
        if (attrs->items[i].id == id) return &attrs->items[i];
    return NULL;
}

static const tsl_attr *find_typed(const tsl_attrs *attrs, tsl_attr_id id, tsl_attr_type type) {
    const tsl_attr *attr = tsl_attrs_find(attrs, id);
    return attr && attr->type == type ? attr : NULL;
}

int64_t tsl_attrs_int(const tsl_attrs *attrs, tsl_attr_id id, int64_t default_value) {
    const tsl_attr *attr = find_typed(attrs, id, TSL_ATTR_TYPE_INT);
    return attr ? attr->i : default_value;
}

float tsl_attrs_float(const tsl_attrs *attrs, tsl_attr_id id, float default_value) {
    const tsl_attr *attr = find_typed(attrs, id, TSL_ATTR_TYPE_FLOAT);
    return attr ? attr->f : default_value;
}

const char *tsl_attrs_string(const tsl_attrs *attrs, tsl_attr_id id, const char *default_value) {
    const tsl_attr *attr = find_typed(attrs, id, TSL_ATTR_TYPE_STRING);
    return attr ? attr->s : default_value;
}

const int64_t *tsl_attrs_ints(const tsl_attrs *attrs, tsl_attr_id id, size_t *count) {
    const tsl_attr *attr = find_typed(attrs, id, TSL_ATTR_TYPE_INTS);
    *count = attr ? attr->count : 0;
    return attr ? attr->ints : NULL;
}

const float *tsl_attrs_floats(const tsl_attrs *attrs, tsl_attr_id id, size_t *count) {
    const tsl_attr *attr = find_typed(attrs, id, TSL_ATTR_TYPE_FLOATS);
    *count = attr ? attr->count : 0;
    return attr ? attr->floats : NULL;
}

const char *tsl_attrs_string_at(const tsl_attrs *attrs, tsl_attr_id id, size_t index) {
    const tsl_attr *attr = find_typed(attrs, id, TSL_ATTR_TYPE_STRINGS);
    size_t at = 0;
    for (; attr && at < attr->count && index > 0; index--) at += strlen(attr->s + at) + 1;
    return attr && at < attr->count ? attr->s + at : NULL;
}
