// SPDX-License-Identifier: Apache-2.0
// The header of an NPY file is a Python dictionary in text: {'descr': '<f4', 'fortran_order': False, 'shape':
// (2, 3), }.
#include "format/npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"

#define LONGEST_HEADER ((size_t)1 << 20)

static const unsigned char magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

// NumPy's kind and size, and ours.
static const struct {
    char descr[3];
    tslim_dtype dtype;
} types[] = {
    {"f4", TSLIM_DTYPE_FLOAT},
    {"f2", TSLIM_DTYPE_FLOAT16},
    {"f8", TSLIM_DTYPE_DOUBLE},
    {"u1", TSLIM_DTYPE_UINT8},
    {"i1", TSLIM_DTYPE_INT8},
    {"u2", TSLIM_DTYPE_UINT16},
    {"i2", TSLIM_DTYPE_INT16},
    {"u4", TSLIM_DTYPE_UINT32},
    {"i4", TSLIM_DTYPE_INT32},
    {"u8", TSLIM_DTYPE_UINT64},
    {"i8", TSLIM_DTYPE_INT64},
    {"b1", TSLIM_DTYPE_BOOL},
};
#define N_TYPES (sizeof types / sizeof *types)

bool tsl_npy_detect(const void *data, size_t bytes) {
    return bytes >= sizeof magic && memcmp(data, magic, sizeof magic) == 0;
}

tslim_status tsl_npy_header_bytes(const unsigned char probe[TSL_NPY_PROBE], size_t *bytes) {
    TSL_REQUIRE(tsl_npy_detect(probe, TSL_NPY_PROBE), TSLIM_ERROR_BAD_FILE, "not an NPY file");
    int version = probe[6];
    TSL_REQUIRE(version >= 1 && version <= 3, TSLIM_ERROR_UNSUPPORTED, "NPY version %d", version);
    if (version == 1) {
        *bytes = 10 + (probe[8] | (size_t)probe[9] << 8);
    } else {
        *bytes = 12 + (probe[8] | (size_t)probe[9] << 8 | (size_t)probe[10] << 16 | (size_t)probe[11] << 24);
    }
    TSL_REQUIRE(*bytes >= TSL_NPY_PROBE && *bytes <= LONGEST_HEADER, TSLIM_ERROR_BAD_FILE,
        "an NPY header of %zu bytes", *bytes);
    return TSLIM_OK;
}

// ---- A reader of just as much Python as the header may hold ----

typedef struct cursor {
    const char *at;
    const char *end;
} cursor;

static void skip_spaces(cursor *text) {
    while (text->at < text->end && (*text->at == ' ' || *text->at == '\n' || *text->at == '\t')) ++text->at;
}

// Takes a character, spaces before it aside.
static bool take(cursor *text, char wanted) {
    skip_spaces(text);
    if (text->at >= text->end || *text->at != wanted) return false;
    ++text->at;
    return true;
}

static bool take_word(cursor *text, const char *word) {
    size_t length = strlen(word);
    skip_spaces(text);
    if ((size_t)(text->end - text->at) < length || memcmp(text->at, word, length) != 0) return false;
    text->at += length;
    return true;
}

// A quoted string without escapes, of fewer than `size` characters.
static bool take_string(cursor *text, char *result, size_t size) {
    skip_spaces(text);
    if (text->at >= text->end || (*text->at != '\'' && *text->at != '"')) return false;
    char quote = *text->at++;
    size_t length = 0;
    while (text->at < text->end && *text->at != quote) {
        if (*text->at == '\\' || length + 1 >= size) return false;
        result[length++] = *text->at++;
    }
    result[length] = 0;
    return take(text, quote);
}

static bool take_number(cursor *text, int64_t *number) {
    skip_spaces(text);
    const char *start = text->at;
    *number = 0;
    for (; text->at < text->end && *text->at >= '0' && *text->at <= '9'; ++text->at) {
        if (!tsl_mul_i64(*number, 10, number) || !tsl_add_i64(*number, *text->at - '0', number)) return false;
    }
    bool found = text->at > start;
    take(text, 'L'); // as Python 2 wrote it
    return found;
}

static tslim_status parse_type(cursor *text, tsl_npy_header *header) {
    char descr[16];
    TSL_REQUIRE(take_string(text, descr, sizeof descr), TSLIM_ERROR_UNSUPPORTED,
        "an NPY array whose elements are structures");
    bool order = descr[0] && strchr("<>|=", descr[0]);
    for (size_t i = 0; order && i < N_TYPES; ++i) {
        if (strcmp(descr + 1, types[i].descr) != 0) continue;
        header->dtype = types[i].dtype;
        header->big_endian = descr[0] == '>';
        return TSLIM_OK;
    }
    return tsl_fail(TSLIM_ERROR_UNSUPPORTED, "NPY elements of type '%s'", descr);
}

static tslim_status parse_shape(cursor *text, tsl_npy_header *header) {
    TSL_REQUIRE(take(text, '('), TSLIM_ERROR_BAD_FILE, "NPY header: shape is no tuple");
    header->rank = 0;
    while (!take(text, ')')) {
        int64_t dim;
        TSL_REQUIRE(take_number(text, &dim), TSLIM_ERROR_BAD_FILE, "NPY header: dim %" PRIu32 " is no number",
            header->rank);
        TSL_REQUIRE(header->rank < TSLIM_MAX_RANK, TSLIM_ERROR_UNSUPPORTED,
            "an NPY array of more than %d dims", TSLIM_MAX_RANK);
        header->dims[header->rank++] = dim;
        if (!take(text, ',')) {
            TSL_REQUIRE(take(text, ')'), TSLIM_ERROR_BAD_FILE, "NPY header: shape does not end");
            break;
        }
    }
    return TSLIM_OK;
}

static tslim_status parse_order(cursor *text, tsl_npy_header *header) {
    header->fortran_order = take_word(text, "True");
    TSL_REQUIRE(header->fortran_order || take_word(text, "False"), TSLIM_ERROR_BAD_FILE,
        "NPY header: fortran_order is neither True nor False");
    return TSLIM_OK;
}

tslim_status tsl_npy_parse(const void *data, size_t bytes, tsl_npy_header *header) {
    memset(header, 0, sizeof *header);
    TSL_REQUIRE(bytes >= TSL_NPY_PROBE, TSLIM_ERROR_BAD_FILE, "an NPY file of %zu bytes", bytes);
    TSL_TRY(tsl_npy_header_bytes(data, &header->bytes));
    TSL_REQUIRE(header->bytes <= bytes, TSLIM_ERROR_BAD_FILE, "an NPY header of %zu bytes in a file of %zu",
        header->bytes, bytes);
    const char *start = data;
    cursor text = {start + (start[6] == 1 ? 10 : 12), start + header->bytes};
    unsigned seen = 0;
    TSL_REQUIRE(take(&text, '{'), TSLIM_ERROR_BAD_FILE, "NPY header: no dictionary");
    while (!take(&text, '}')) {
        char key[16];
        TSL_REQUIRE(take_string(&text, key, sizeof key) && take(&text, ':'), TSLIM_ERROR_BAD_FILE,
            "NPY header: malformed");
        if (strcmp(key, "descr") == 0) {
            TSL_TRY(parse_type(&text, header));
            seen |= 1;
        } else if (strcmp(key, "fortran_order") == 0) {
            TSL_TRY(parse_order(&text, header));
            seen |= 2;
        } else if (strcmp(key, "shape") == 0) {
            TSL_TRY(parse_shape(&text, header));
            seen |= 4;
        } else {
            return tsl_fail(TSLIM_ERROR_BAD_FILE, "NPY header: key '%s'", key);
        }
        take(&text, ',');
    }
    TSL_REQUIRE(seen == 7, TSLIM_ERROR_BAD_FILE, "NPY header: descr, fortran_order or shape is missing");
    return TSLIM_OK;
}

// ---- Writing ----

// The header, padded with spaces so that the elements begin at a multiple of 64. Returns its length.
static size_t format_header(const tslim_tensor *tensor, char *text, size_t size) {
    const char *descr = "u2"; // bfloat16
    for (size_t i = 0; i < N_TYPES; ++i) {
        if (types[i].dtype == tensor->dtype) descr = types[i].descr;
    }
    bool one_byte = tslim_dtype_size(tensor->dtype) == 1;
    memset(text, ' ', size);
    memcpy(text, magic, sizeof magic);
    size_t length = 10;
    length += (size_t)snprintf(text + length, size - length,
        "{'descr': '%c%s', 'fortran_order': False, 'shape': (", one_byte ? '|' : '<', descr);
    for (uint32_t i = 0; i < tensor->rank; ++i) {
        length += (size_t)snprintf(text + length, size - length, "%" PRId64 ", ", tensor->dims[i]);
    }
    length += (size_t)snprintf(text + length, size - length, "), }");
    text[length] = ' ';
    length = tsl_round_up(length + 1, 64);
    text[length - 1] = '\n';
    text[6] = 1;
    text[7] = 0;
    text[8] = (char)((length - 10) & 255);
    text[9] = (char)((length - 10) >> 8);
    return length;
}

tslim_status tsl_npy_save(tslim_context *ctx, const char *path, const tslim_tensor *tensor) {
    char header[512];
    size_t bytes = tslim_dtype_size(tensor->dtype);
    TSL_REQUIRE(bytes > 0 && tensor->rank <= TSLIM_MAX_RANK, TSLIM_ERROR_INVALID_ARGUMENT,
        "%s: a tensor of %s and rank %" PRIu32 " cannot be written", path, tslim_dtype_name(tensor->dtype),
        tensor->rank);
    for (uint32_t i = 0; i < tensor->rank; ++i) {
        TSL_REQUIRE(tensor->dims[i] >= 0 && tsl_mul_size(bytes, (size_t)tensor->dims[i], &bytes),
            TSLIM_ERROR_INVALID_ARGUMENT, "%s: dim %" PRIu32 " of the tensor is %" PRId64, path, i,
            tensor->dims[i]);
    }
    TSL_REQUIRE(bytes <= tensor->bytes && (tensor->data || bytes == 0), TSLIM_ERROR_INVALID_ARGUMENT,
        "%s: a tensor of %zu bytes with %zu in memory", path, bytes, tensor->bytes);
    tsl_file_writer *writer;
    TSL_TRY(tsl_file_writer_open(ctx, path, &writer));
    tslim_status status = tsl_file_writer_write(writer, header, format_header(tensor, header, sizeof header));
    if (status == TSLIM_OK && bytes > 0) status = tsl_file_writer_write(writer, tensor->data, bytes);
    if (status == TSLIM_OK) return tsl_file_writer_commit(writer);
    tsl_file_writer_abort(writer);
    return status;
}
