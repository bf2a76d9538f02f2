// SPDX-License-Identifier: Apache-2.0
// Reading a calibration back. The file is not trusted: every number is checked.
#include <float.h>
#include <math.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/file.h"
#include "quant/calibration.h"

// Numbers of JSON are doubles: whole up to here.
#define LARGEST_COUNT 9007199254740992.0

static bool read_number(const cJSON *object, const char *name, double lo, double hi, double *number) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= lo && item->valuedouble <= hi)) return false;
    *number = item->valuedouble;
    return true;
}

static bool read_count(const cJSON *object, const char *name, uint64_t *count) {
    double number;
    if (!read_number(object, name, 0, LARGEST_COUNT, &number) || number != floor(number)) return false;
    *count = (uint64_t)number;
    return true;
}

static bool read_u32(const cJSON *object, const char *name, uint32_t *value) {
    uint64_t count;
    if (!read_count(object, name, &count) || count > UINT32_MAX) return false;
    *value = (uint32_t)count;
    return true;
}

static bool read_float(const cJSON *object, const char *name, float *value) {
    double number;
    if (!read_number(object, name, -3.5e38, 3.5e38, &number) || !isfinite((float)number)) return false;
    *value = (float)number;
    return true;
}

// Up to 4 floats; the count goes to *count.
static bool read_floats(const cJSON *object, const char *name, float *values, uint32_t *count) {
    const cJSON *item, *array = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!cJSON_IsArray(array)) return false;
    *count = 0;
    cJSON_ArrayForEach(item, array) {
        if (*count == 4 || !cJSON_IsNumber(item) || !isfinite((float)item->valuedouble)) return false;
        values[(*count)++] = (float)item->valuedouble;
    }
    return true;
}

static tslim_status read_preparation(const cJSON *root, tslim_input_preparation *p) {
    const cJSON *object = cJSON_GetObjectItemCaseSensitive(root, "preparation");
    if (!object) return TSLIM_OK;
    uint32_t n_mean = 0, n_std = 0;
    bool good = cJSON_IsObject(object) && read_float(object, "scale", &p->scale) &&
                read_floats(object, "mean", p->mean, &n_mean) && read_floats(object, "std", p->std, &n_std) &&
                n_mean == n_std && read_u32(object, "layout", &p->layout) && p->layout <= 1 &&
                read_u32(object, "channels", &p->channels) && p->channels <= 2 &&
                read_u32(object, "height", &p->height) && read_u32(object, "width", &p->width);
    p->n_channels = n_mean;
    for (uint32_t i = 0; good && i < n_std; i++) good = p->std[i] != 0;
    TSL_REQUIRE(good, TSLIM_ERROR_BAD_FILE, "its \"preparation\" is malformed");
    return TSLIM_OK;
}

// Counts up to the last that is not 0; *total is their sum.
static bool read_counts(const cJSON *array, uint64_t *bins, size_t n_bins, uint64_t *total) {
    const cJSON *item;
    if (!cJSON_IsArray(array)) return false;
    size_t bin = 0;
    *total = 0;
    cJSON_ArrayForEach(item, array) {
        double number = cJSON_IsNumber(item) ? item->valuedouble : NAN;
        if (!(fabs(number) <= LARGEST_COUNT) || number != floor(number) || bin >= n_bins) return false;
        if (number < 0) {
            if (-number > (double)(n_bins - bin)) return false;
            bin += (size_t)-number;
            continue;
        }
        bins[bin++] = (uint64_t)number;
        *total += (uint64_t)number;
        if ((double)*total > LARGEST_COUNT) return false;
    }
    return true;
}

// Fills the bins and checks that they add up with the zeros to the count.
static bool read_histogram(const cJSON *object, tsl_observer *o) {
    const cJSON *array = cJSON_GetObjectItemCaseSensitive(object, "histogram");
    uint64_t total;
    return read_counts(array, o->bins, TSL_OBSERVER_BINS, &total) && total + o->zeros == o->count;
}

// The next number of a list, within bounds.
static bool next_number(const cJSON **item, double lo, double hi, double *number) {
    if (!cJSON_IsNumber(*item) || !((*item)->valuedouble >= lo && (*item)->valuedouble <= hi)) return false;
    *number = (*item)->valuedouble;
    *item = (*item)->next;
    return true;
}

static bool read_channel(const cJSON *array, tsl_channel *c) {
    const cJSON *item = cJSON_IsArray(array) ? array->child : NULL;
    double minimum, maximum, exponent, zeros;
    uint64_t total;
    if (!next_number(&item, -FLT_MAX, FLT_MAX, &minimum) || !next_number(&item, minimum, FLT_MAX, &maximum) ||
        !next_number(&item, TSL_OBSERVER_MIN_EXPONENT, TSL_OBSERVER_MAX_EXPONENT, &exponent) ||
        exponent != floor(exponent) || !next_number(&item, 0, LARGEST_COUNT, &zeros) ||
        zeros != floor(zeros) || !read_counts(item, c->bins, TSL_CHANNEL_BINS, &total) || item->next)
        return false;
    c->minimum = (float)minimum;
    c->maximum = (float)maximum;
    c->exponent = (int)exponent;
    c->zeros = (uint64_t)zeros;
    return fmax(-minimum, maximum) < ldexp(1, c->exponent) && (double)total + zeros <= LARGEST_COUNT;
}

static tslim_status read_channels(tslim_calibration *c, const cJSON *object, const char *name) {
    const cJSON *item, *array = cJSON_GetObjectItemCaseSensitive(object, "channels");
    if (!array) return TSLIM_OK;
    int count = cJSON_IsArray(array) ? cJSON_GetArraySize(array) : 0;
    TSL_REQUIRE(count > 0 && count <= TSL_MOST_CHANNELS, TSLIM_ERROR_BAD_FILE,
        "the channels of value '%s' are malformed", name);
    tsl_channels *channels;
    TSL_TRY(tsl_calibration_need_channels(c, name, (uint32_t)count, &channels));
    uint32_t i = 0;
    cJSON_ArrayForEach(item, array) {
        TSL_REQUIRE(read_channel(item, &channels->channels[i]), TSLIM_ERROR_BAD_FILE,
            "the numbers of channel %u of value '%s' are malformed", i, name);
        i++;
    }
    return TSLIM_OK;
}

static bool read_averages(const cJSON *object, tsl_observer *o) {
    return read_count(object, "batches", &o->batches) &&
           read_number(object, "average_minimum", -3.5e38, 3.5e38, &o->average_minimum) &&
           read_number(object, "average_maximum", -3.5e38, 3.5e38, &o->average_maximum);
}

static bool read_observer(const cJSON *object, bool averages, tsl_observer *o) {
    double exponent;
    if (!read_count(object, "count", &o->count) || !read_count(object, "zeros", &o->zeros) ||
        !read_count(object, "invalid", &o->invalid) || !read_float(object, "minimum", &o->minimum) ||
        !read_float(object, "maximum", &o->maximum) || o->minimum > o->maximum ||
        !read_number(object, "exponent", TSL_OBSERVER_MIN_EXPONENT, TSL_OBSERVER_MAX_EXPONENT, &exponent) ||
        exponent != floor(exponent))
        return false;
    o->exponent = (int)exponent;
    if (!((double)tsl_observer_largest(o) < ldexp(1, o->exponent))) return false;
    return read_histogram(object, o) && (!averages || read_averages(object, o));
}

static tslim_status read_value(tslim_calibration *c, const cJSON *object) {
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(object, "name");
    TSL_REQUIRE(
        cJSON_IsString(name) && name->valuestring, TSLIM_ERROR_BAD_FILE, "value %u has no name", c->n_values);
    TSL_REQUIRE(!tsl_calibration_find(c, name->valuestring), TSLIM_ERROR_BAD_FILE,
        "value '%s' is there twice", name->valuestring);
    TSL_REQUIRE(
        c->n_values < c->ctx->limits.nodes * 10, TSLIM_ERROR_LIMIT, "more than %u values", c->n_values);
    tsl_observer *observer;
    TSL_TRY(tsl_calibration_need_value(c, name->valuestring, &observer));
    TSL_REQUIRE(read_observer(object, c->method == TSLIM_CALIBRATION_MOVING_AVERAGE, observer),
        TSLIM_ERROR_BAD_FILE, "the numbers of value '%s' are malformed or do not add up", name->valuestring);
    return read_channels(c, object, name->valuestring);
}

static tslim_status read_costs(tslim_calibration *c, const cJSON *root) {
    const cJSON *item, *costs = cJSON_GetObjectItemCaseSensitive(root, "costs");
    if (!costs) return TSLIM_OK;
    TSL_REQUIRE(cJSON_IsArray(costs), TSLIM_ERROR_BAD_FILE, "its \"costs\" is malformed");
    cJSON_ArrayForEach(item, costs) {
        const cJSON *node = cJSON_GetObjectItemCaseSensitive(item, "node");
        double noise;
        uint64_t macs;
        TSL_REQUIRE(cJSON_IsString(node) && node->valuestring &&
                        read_number(item, "noise", 0, TSL_WORST_NOISE, &noise) &&
                        read_count(item, "macs", &macs),
            TSLIM_ERROR_BAD_FILE, "cost %u is malformed", c->n_costs);
        TSL_REQUIRE(c->n_costs < c->ctx->limits.nodes, TSLIM_ERROR_LIMIT, "more than %u costs", c->n_costs);
        TSL_TRY(tsl_calibration_add_cost(c, node->valuestring, noise, macs));
    }
    return TSLIM_OK;
}

static tslim_status read_root(tslim_calibration *c, const cJSON *root) {
    const cJSON *schema = cJSON_GetObjectItemCaseSensitive(root, "schema");
    TSL_REQUIRE(cJSON_IsString(schema) && strcmp(schema->valuestring, "tinyslim.calibration/1") == 0,
        TSLIM_ERROR_BAD_FILE, "it is no calibration (schema tinyslim.calibration/1)");
    const cJSON *method = cJSON_GetObjectItemCaseSensitive(root, "method");
    double bins;
    bool good = cJSON_IsString(method) &&
                tslim_calibration_method_from_name(method->valuestring, &c->method) == TSLIM_OK &&
                read_number(root, "percentile", 0, 100, &c->percentile) && c->percentile > 0 &&
                read_count(root, "samples", &c->samples) &&
                read_number(root, "bins", TSL_OBSERVER_BINS, TSL_OBSERVER_BINS, &bins);
    TSL_REQUIRE(
        good, TSLIM_ERROR_BAD_FILE, "its \"method\", \"percentile\", \"samples\" or \"bins\" is malformed");
    TSL_TRY(read_preparation(root, &c->preparation));
    TSL_TRY(read_costs(c, root));
    const cJSON *value, *values = cJSON_GetObjectItemCaseSensitive(root, "values");
    TSL_REQUIRE(cJSON_IsArray(values), TSLIM_ERROR_BAD_FILE, "it has no \"values\"");
    cJSON_ArrayForEach(value, values) TSL_TRY(read_value(c, value));
    return TSLIM_OK;
}

static tslim_status load(tslim_context *ctx, const tsl_buffer *file, tslim_calibration **result) {
    cJSON *root = cJSON_ParseWithLength(file->data, file->size);
    TSL_REQUIRE(root, TSLIM_ERROR_BAD_FILE, "it is not JSON");
    tslim_calibration *c;
    tslim_status status = tsl_calibration_create(ctx, &c);
    if (status == TSLIM_OK) {
        status = read_root(c, root);
        if (status == TSLIM_OK)
            *result = c;
        else
            tslim_calibration_destroy(c);
    }
    cJSON_Delete(root);
    return status;
}

tslim_status tslim_calibration_load_file(
    tslim_context *ctx, const char *path, tslim_calibration **calibration) {
    TSL_REQUIRE(
        ctx && path && calibration, TSLIM_ERROR_INVALID_ARGUMENT, "context, path or calibration is NULL");
    *calibration = NULL;
    tsl_buffer *file;
    TSL_TRY(tsl_file_map(ctx, path, &file));
    tslim_status status = load(ctx, file, calibration);
    tsl_buffer_release(file);
    return status == TSLIM_OK ? status : tsl_fail_prefix(status, "file '%s'", path);
}
