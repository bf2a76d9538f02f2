// SPDX-License-Identifier: Apache-2.0
// A calibration as JSON: the same calibration gives the same bytes. Histograms are lists of counts up to the
// last that is not 0, where -n stands for n zeros in a row.
#include <inttypes.h>

#include "base/file.h"
#include "base/text.h"
#include "quant/calibration.h"

static void add_string(tsl_text *text, const char *string) {
    tsl_text_add_n(text, "\"", 1);
    for (const unsigned char *c = (const unsigned char *)string; *c; c++) {
        if (*c == '"' || *c == '\\')
            tsl_text_add(text, "\\%c", *c);
        else if (*c < 0x20)
            tsl_text_add(text, "\\u%04x", *c);
        else
            tsl_text_add_n(text, (const char *)c, 1);
    }
    tsl_text_add_n(text, "\"", 1);
}

static void add_floats(tsl_text *text, const char *name, const float *values, uint32_t count) {
    tsl_text_add(text, "\"%s\":[", name);
    for (uint32_t i = 0; i < count; i++) tsl_text_add(text, "%s%.9g", i ? "," : "", (double)values[i]);
    tsl_text_add(text, "],");
}

static void add_preparation(tsl_text *text, const tslim_input_preparation *p) {
    if (p->scale == 0) return;
    tsl_text_add(text, "\"preparation\":{\"scale\":%.9g,", (double)p->scale);
    add_floats(text, "mean", p->mean, p->n_channels);
    add_floats(text, "std", p->std, p->n_channels);
    tsl_text_add(text, "\"layout\":%u,\"channels\":%u,\"height\":%u,\"width\":%u},\n", p->layout, p->channels,
        p->height, p->width);
}

static void add_counts(tsl_text *text, const uint64_t *bins, size_t count) {
    uint64_t zeros = 0;
    const char *comma = "";
    for (size_t i = 0; i < count; i++) {
        if (bins[i] == 0) {
            zeros++;
            continue;
        }
        if (zeros) {
            tsl_text_add(text, zeros == 1 ? "%s0" : "%s-%" PRIu64, comma, zeros);
            comma = ",";
        }
        tsl_text_add(text, "%s%" PRIu64, comma, bins[i]);
        comma = ",";
        zeros = 0;
    }
}

// Of each channel: the least and greatest value, the exponent, the number of zeros, and the histogram.
static void add_channels(tsl_text *text, const tsl_channels *channels) {
    tsl_text_add(text, ",\n \"channels\":[");
    for (uint32_t i = 0; i < channels->count; i++) {
        const tsl_channel *c = &channels->channels[i];
        tsl_text_add(text, "%s[%.9g,%.9g,%d,%" PRIu64 ",[", i ? "," : "", (double)c->minimum,
            (double)c->maximum, c->exponent, c->zeros);
        add_counts(text, c->bins, TSL_CHANNEL_BINS);
        tsl_text_add(text, "]]");
    }
    tsl_text_add(text, "]");
}

static void add_value(tsl_text *text, const tslim_calibration *c, const tsl_calibration_value *value) {
    const tsl_observer *o = value->observer;
    tsl_text_add(text, "{\"name\":");
    add_string(text, value->name);
    tsl_text_add(text, ",\"count\":%" PRIu64 ",\"zeros\":%" PRIu64 ",\"invalid\":%" PRIu64, o->count,
        o->zeros, o->invalid);
    tsl_text_add(text, ",\"minimum\":%.9g,\"maximum\":%.9g,", (double)o->minimum, (double)o->maximum);
    if (c->method == TSLIM_CALIBRATION_MOVING_AVERAGE)
        tsl_text_add(text, "\"batches\":%" PRIu64 ",\"average_minimum\":%.17g,\"average_maximum\":%.17g,",
            o->batches, o->average_minimum, o->average_maximum);
    tsl_text_add(text, "\"exponent\":%d,", o->exponent);
    tsl_text_add(text, "\"histogram\":[");
    add_counts(text, o->bins, TSL_OBSERVER_BINS);
    tsl_text_add(text, "]");
    if (value->channels) add_channels(text, value->channels);
    tsl_text_add(text, "}");
}

static void add_costs(tsl_text *text, const tslim_calibration *c) {
    if (c->n_costs == 0) return;
    tsl_text_add(text, "\"costs\":[");
    for (uint32_t i = 0; i < c->n_costs; i++) {
        tsl_text_add(text, "%s{\"node\":", i ? ",\n" : "\n");
        add_string(text, c->costs[i].node);
        tsl_text_add(text, ",\"noise\":%.9g,\"macs\":%" PRIu64 "}", c->costs[i].noise, c->costs[i].macs);
    }
    tsl_text_add(text, "\n],\n");
}

tslim_status tslim_calibration_save_file(const tslim_calibration *c, const char *path) {
    TSL_REQUIRE(c && path, TSLIM_ERROR_INVALID_ARGUMENT, "calibration or path is NULL");
    tsl_text text;
    tsl_text_init(&text, c->ctx);
    tsl_text_add(&text, "{\"schema\":\"tinyslim.calibration/1\",\n\"method\":\"%s\",\"percentile\":%.17g,\n",
        tslim_calibration_method_name(c->method), c->percentile);
    tsl_text_add(&text, "\"samples\":%" PRIu64 ",\"bins\":%d,\n", c->samples, TSL_OBSERVER_BINS);
    add_preparation(&text, &c->preparation);
    add_costs(&text, c);
    tsl_text_add(&text, "\"values\":[");
    for (uint32_t i = 0; i < c->n_values; i++) {
        tsl_text_add(&text, i ? ",\n" : "\n");
        add_value(&text, c, &c->values[i]);
    }
    tsl_text_add(&text, "\n]}\n");
    tslim_status status = tsl_text_status(&text);
    if (status == TSLIM_OK) status = tsl_file_write(c->ctx, path, text.data, text.length);
    tsl_text_clear(&text);
    return status;
}
