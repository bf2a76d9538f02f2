// SPDX-License-Identifier: Apache-2.0
// Attributes of a node: a short list, looked up by an enumeration made from attrs.def.
#ifndef TSL_IR_ATTR_H
#define TSL_IR_ATTR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum tsl_attr_id {
    TSL_ATTR_UNKNOWN = 0, // kept under its name, to be written back
#define TSL_ATTR(name) TSL_ATTR_##name,
#include "ir/attrs.def"
#undef TSL_ATTR
    TSL_ATTR_COUNT
} tsl_attr_id;

// The numbers are those of ONNX's AttributeProto.AttributeType.
typedef enum tsl_attr_type {
    TSL_ATTR_TYPE_FLOAT = 1,
    TSL_ATTR_TYPE_INT = 2,
    TSL_ATTR_TYPE_STRING = 3,
    TSL_ATTR_TYPE_TENSOR = 4, // `i` is the id of a constant value of the graph
    TSL_ATTR_TYPE_GRAPH = 5, // `i` is the index of one of the graph's bodies
    TSL_ATTR_TYPE_FLOATS = 6,
    TSL_ATTR_TYPE_INTS = 7,
    TSL_ATTR_TYPE_STRINGS = 8, // in `s`, one behind the other, each with a 0 at its end; `count` bytes in all
    TSL_ATTR_TYPE_OPAQUE =
        100 // something else (several graphs, ...): its encoded bytes in `s`, `count` of them
} tsl_attr_type;

typedef struct tsl_attr {
    tsl_attr_id id;
    tsl_attr_type type;
    const char *name;
    size_t count; // of ints, floats, or bytes of s (which also ends in 0)
    union {
        float f;
        int64_t i;
        const char *s;
        const float *floats;
        const int64_t *ints;
    };
} tsl_attr;

typedef struct tsl_attrs {
    tsl_attr *items; // memory of the graph's arena
    uint32_t count;
} tsl_attrs;

const char *tsl_attr_name(tsl_attr_id id);
tsl_attr_id tsl_attr_find_id(const char *name);

// NULL when the node does not have it.
const tsl_attr *tsl_attrs_find(const tsl_attrs *attrs, tsl_attr_id id);
// The value, or the default when it is absent (or of another type).
int64_t tsl_attrs_int(const tsl_attrs *attrs, tsl_attr_id id, int64_t default_value);
float tsl_attrs_float(const tsl_attrs *attrs, tsl_attr_id id, float default_value);
const char *tsl_attrs_string(const tsl_attrs *attrs, tsl_attr_id id, const char *default_value);
// NULL and 0 when absent.
const int64_t *tsl_attrs_ints(const tsl_attrs *attrs, tsl_attr_id id, size_t *count);
const float *tsl_attrs_floats(const tsl_attrs *attrs, tsl_attr_id id, size_t *count);
// String `index` of a list of them; NULL when there is none.
const char *tsl_attrs_string_at(const tsl_attrs *attrs, tsl_attr_id id, size_t index);

#endif
