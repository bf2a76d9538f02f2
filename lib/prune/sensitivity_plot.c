// SPDX-License-Identifier: Apache-2.0
// Curves as SVG: a small panel for each group, all with the same axes, so that groups can be compared at a
// glance.
#include <locale.h>
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/status.h"
#include "base/text.h"
#include "prune/sensitivity_data.h"

enum {
    COLUMNS = 4,
    WIDTH = 210,
    HEIGHT = 130,
    LEFT = 54,
    TOP = 30,
    GAP_X = 26,
    GAP_Y = 58,
    HEADER = 62,
    MARGIN = 18
};

static const char *const axis_names[] = {
    "top-1 accuracy (%)", "top-5 accuracy (%)", "loss (nats)", "distance from the original"};

// Round numbers for an axis: `step` is 1, 2, 2.5 or 5 times a power of ten.
typedef struct scale {
    double low, high, step, factor; // factor: from stored to shown
} scale;

static void add_escaped(tsl_text *text, const char *string) {
    for (const char *c = string; *c; c++) {
        if (*c == '<')
            tsl_text_add(text, "&lt;");
        else if (*c == '>')
            tsl_text_add(text, "&gt;");
        else if (*c == '&')
            tsl_text_add(text, "&amp;");
        else if (*c == '"')
            tsl_text_add(text, "&quot;");
        else if ((unsigned char)*c < 0x20)
            tsl_text_add(text, " ");
        else
            tsl_text_add_n(text, c, 1);
    }
}

static scale choose_scale(const tslim_sensitivity *s) {
    scale axis = {.factor = s->metric <= TSLIM_SENSITIVITY_TOP5 ? 100 : 1};
    double low = isnan(s->baseline) ? 0 : s->baseline, high = low;
    for (size_t i = 0; i < (size_t)s->n_groups * s->n_ratios; i++) {
        if (!isfinite(s->values[i])) continue;
        low = fmin(low, s->values[i]);
        high = fmax(high, s->values[i]);
    }
    low *= axis.factor;
    high *= axis.factor;
    double span = high - low > 1e-9 ? high - low : 1, power = pow(10, floor(log10(span / 4))),
           ratio = span / 4 / power;
    axis.step = power * (ratio <= 1 ? 1 : ratio <= 2 ? 2 : ratio <= 2.5 ? 2.5 : ratio <= 5 ? 5 : 10);
    axis.low = floor(low / axis.step) * axis.step;
    axis.high = ceil(high / axis.step) * axis.step;
    if (axis.high - axis.low < axis.step / 2) axis.high = axis.low + axis.step;
    return axis;
}

static double y_of(const scale *axis, double value) {
    return HEIGHT * (1 - (value * axis->factor - axis->low) / (axis->high - axis->low));
}

static void add_grid(tsl_text *text, const scale *axis) {
    int n_lines = (int)((axis->high - axis->low) / axis->step + 0.5);
    for (int i = 0; i <= n_lines; i++) {
        double value = axis->low + i * axis->step, y = HEIGHT * (1 - (double)i / n_lines);
        tsl_text_add(text, "<line class=\"grid\" x1=\"0\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", WIDTH, y, y);
        tsl_text_add(text, "<text class=\"tick\" x=\"-6\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>\n",
            y + 3.5, fabs(value) < axis->step / 1000 ? 0 : value);
    }
    for (int i = 0; i <= 5; i++) {
        double x = WIDTH * i / 5.0;
        tsl_text_add(text, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"0\" y2=\"%d\"/>", x, x, HEIGHT);
        tsl_text_add(text, "<text class=\"tick\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.1f</text>\n", x,
            HEIGHT + 14, i / 5.0);
    }
}

// The curve starts at the whole network, ratio 0.
static void add_curve(tsl_text *text, const tslim_sensitivity *s, uint32_t group, const scale *axis) {
    const double *values = s->values + (size_t)group * s->n_ratios;
    if (!isnan(s->baseline)) {
        double y = y_of(axis, s->baseline);
        tsl_text_add(
            text, "<line class=\"base\" x1=\"0\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>\n", WIDTH, y, y);
    }
    tsl_text_add(text, "<polyline class=\"curve\" points=\"");
    if (!isnan(s->baseline)) tsl_text_add(text, "0,%.1f ", y_of(axis, s->baseline));
    for (uint32_t r = 0; r < s->n_ratios; r++)
        if (isfinite(values[r]))
            tsl_text_add(text, "%.1f,%.1f ", s->ratios[r] * WIDTH, y_of(axis, values[r]));
    tsl_text_add(text, "\"/>\n");
    for (uint32_t r = 0; r < s->n_ratios; r++) {
        if (!isfinite(values[r])) continue;
        tsl_text_add(text, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.6\"><title>",
            s->ratios[r] * WIDTH, y_of(axis, values[r]));
        add_escaped(text, s->groups[group]);
        tsl_text_add(text, ": %.4g at %g</title></circle>\n", values[r] * axis->factor, s->ratios[r]);
    }
}

static void add_panel(tsl_text *text, const tslim_sensitivity *s, uint32_t group, const scale *axis) {
    uint32_t column = group % COLUMNS, row = group / COLUMNS;
    tsl_text_add(text, "<g transform=\"translate(%u,%u)\">\n",
        MARGIN + LEFT + column * (WIDTH + LEFT + GAP_X), HEADER + TOP + row * (HEIGHT + TOP + GAP_Y));
    add_grid(text, axis);
    add_curve(text, s, group, axis);
    const char *name = s->groups[group];
    size_t length = strlen(name), shown = 34; // the end of a long name tells more than its beginning
    tsl_text_add(text, "<text class=\"name\" x=\"0\" y=\"-10\">%s", length > shown ? "…" : "");
    const char *start = length > shown ? name + length - shown : name;
    while (((unsigned char)*start & 0xC0) == 0x80) start++; // not within a character
    add_escaped(text, start);
    tsl_text_add(text, "</text><text class=\"tick\" x=\"%d\" y=\"-10\" text-anchor=\"end\">%u ch</text>\n",
        WIDTH, s->channels[group]);
    tsl_text_add(text, "<text class=\"tick\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">pruned ratio</text>\n",
        WIDTH / 2, HEIGHT + 28);
    tsl_text_add(text,
        "<text class=\"tick\" transform=\"translate(-40,%d) rotate(-90)\" "
        "text-anchor=\"middle\">%s</text>\n</g>\n",
        HEIGHT / 2, axis_names[s->metric]);
}

static void add_plot(tsl_text *text, const tslim_sensitivity *s) {
    uint32_t columns = s->n_groups < COLUMNS ? s->n_groups : COLUMNS,
             rows = (s->n_groups + COLUMNS - 1) / COLUMNS;
    if (columns < 2) columns = 2; // room for the heading
    uint32_t width = 2 * MARGIN + columns * (WIDTH + LEFT + GAP_X),
             height = HEADER + rows * (HEIGHT + TOP + GAP_Y) + MARGIN;
    scale axis = choose_scale(s);
    tsl_text_add(text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" viewBox=\"0 0 %u %u\" "
        "font-family=\"Helvetica, Arial, "
        "sans-serif\">\n<style>.grid{stroke:#e3e6ea}.tick{font-size:10px;fill:#596170}"
        ".name{font-size:12px;font-weight:600;fill:#1c2430}.base{stroke:#8a94a3;stroke-dasharray:4 3}"
        ".curve{fill:none;stroke:#1f6feb;stroke-width:2}.dot{fill:#1f6feb}</style>\n"
        "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
        width, height, width, height);
    tsl_text_add(text,
        "<text x=\"%d\" y=\"26\" font-size=\"16\" font-weight=\"600\" fill=\"#1c2430\">Sensitivity to "
        "pruning: %s"
        "</text>\n<text x=\"%d\" y=\"46\" class=\"tick\">Each group pruned alone by %s; dashed: the whole "
        "network, %.4g"
        "</text>\n",
        MARGIN, axis_names[s->metric], MARGIN, tslim_criterion_name(s->criterion), s->baseline * axis.factor);
    for (uint32_t g = 0; g < s->n_groups; g++) add_panel(text, s, g, &axis);
    tsl_text_add(text, "</svg>\n");
}

tslim_status tslim_sensitivity_save_plot(const tslim_sensitivity *s, const char *path) {
    TSL_REQUIRE(s && path, TSLIM_ERROR_INVALID_ARGUMENT, "sensitivity or path is NULL");
    tsl_text text;
    tsl_text_init(&text, s->ctx);
    // SVG wants a point in its numbers, whatever the host's locale has.
    locale_t plain = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    locale_t host = plain ? uselocale(plain) : (locale_t)0;
    add_plot(&text, s);
    if (plain) {
        uselocale(host);
        freelocale(plain);
    }
    tslim_status status = tsl_text_status(&text);
    if (status == TSLIM_OK) status = tsl_file_write(s->ctx, path, text.data, text.length);
    tsl_text_clear(&text);
    return status;
}
