// SPDX-License-Identifier: Apache-2.0
// tinyslim compare: how far the outputs of two models are from each other, or of one on two backends.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tool.h"

typedef struct comparing {
    struct tool tool;
    bool per_layer;
    uint64_t batch;
    double min_sqnr, max_abs;
    bool min_sqnr_given, max_abs_given;
    const char *backend_b, *isa_b;
    cJSON *json, *outputs, *layers;
} comparing;

static void print_difference(const comparing *c, const tslim_difference *d) {
    (void)c;
    printf("%-40s  %-18s  %11.4g  %9.2f  %10.6f", d->value, d->op_type, d->max_abs, d->sqnr_db, d->cosine);
    if (d->rows) printf("  %.2f %%", 100.0 * (double)d->argmax_agree / (double)d->rows);
    putchar('\n');
}

// Only outputs have rows.
static void on_difference(void *user, const tslim_difference *d) {
    comparing *c = user;
    if (d->rows > 0) {
        bool far = (c->min_sqnr_given && !(d->sqnr_db >= c->min_sqnr)) ||
                   (c->max_abs_given && !(d->max_abs <= c->max_abs));
        c->tool.does_not_hold = c->tool.does_not_hold || far;
    }
    tool_end_progress(&c->tool);
    if (!c->tool.json) {
        print_difference(c, d);
        return;
    }
    cJSON *item = json_append_object(d->rows > 0 ? c->outputs : c->layers);
    cJSON_AddStringToObject(item, "name", d->value);
    cJSON_AddStringToObject(item, "op", d->op_type);
    json_add_real(item, "max_abs", d->max_abs);
    json_add_real(item, "sqnr_db", d->sqnr_db);
    json_add_real(item, "cosine", d->cosine);
    json_add_count(item, "elements", d->elements);
    if (d->rows > 0) {
        json_add_count(item, "rows", d->rows);
        json_add_count(item, "argmax_agree", d->argmax_agree);
    }
}

static tslim_status work(comparing *c) {
    struct tool *tool = &c->tool;
    ADD_OPTIONS(tool,
        {"--per-layer", NULL, OPTION_SWITCH, &c->per_layer, NULL, "every value that both have under one name",
            0, 0, NULL},
        {"--min-sqnr", NULL, OPTION_REAL, &c->min_sqnr, "DB", "exit 1 when an output is below", 0, 0,
            &c->min_sqnr_given},
        {"--max-abs", NULL, OPTION_REAL, &c->max_abs, "E", "exit 1 when an output differs by more", 0, 0,
            &c->max_abs_given},
        {"--backend-b", NULL, OPTION_TEXT, &c->backend_b, "cpu|cuda", "where the second runs", 0, 0, NULL},
        {"--isa-b", NULL, OPTION_TEXT, &c->isa_b, "LEVEL", "the instruction set of the second", 0, 0, NULL},
        {"--batch", NULL, OPTION_COUNT, &c->batch, "N", "samples a run", 1, 65536, NULL});
    add_data_options(tool, false);
    TRY(tool_start(tool, 1, 2));
    bool two = tool->positional.count == 2;
    if (!two && !c->backend_b && !c->isa_b) {
        return tool_usage(tool, "give a second model, or --backend-b or --isa-b for the same one");
    }
    tslim_compare_options options;
    tslim_compare_options_init(&options);
    options.batch = (uint32_t)c->batch;
    options.backend_a = options.backend_b = tool->backend;
    options.per_value = c->per_layer;
    options.progress = tool_progress;
    options.progress_user = tool;
    if (c->backend_b) TRY(parse_backend(tool, c->backend_b, &options.backend_b));
    if (c->isa_b) TRY(parse_isa(tool, c->isa_b, &options.isa_b));
    TRY(tool_load(tool, tool->positional.items[0], &tool->graph));
    if (two) TRY(tool_load(tool, tool->positional.items[1], &tool->other_graph));
    TRY(tool_open_data(tool, tool->graph, tool->other_graph, false));
    c->json = json_create(tool);
    json_add_count(c->json, "samples", tslim_dataset_count(tool->dataset));
    c->outputs = json_add_array(c->json, "outputs");
    if (c->per_layer) c->layers = json_add_array(c->json, "layers");
    if (!tool->json) {
        printf("%-40s  %-18s  %11s  %9s  %10s  %s\n", "value", "made by", "max abs", "SQNR dB", "cosine",
            "same largest");
    }
    TRY(tslim_compare(
        tool->graph, two ? tool->other_graph : tool->graph, tool->dataset, &options, on_difference, c));
    if (!tool->json) return TSLIM_OK;
    cJSON_AddBoolToObject(c->json, "pass", !tool->does_not_hold);
    cJSON *json = c->json;
    c->json = NULL;
    return json_print(tool, json);
}

static int run(const struct verb *verb, int argc, char **argv) {
    comparing c = {.tool = {.verb = verb, .argc = argc, .argv = argv}};
    tslim_status status = work(&c);
    cJSON_Delete(c.json);
    return tool_finish(&c.tool, status);
}

const struct verb verb_compare = {"compare",
    "A [B] --data D [--per-layer] [--min-sqnr DB] [--max-abs E] [--backend-b cpu|cuda] [--isa-b LEVEL]",
    "how far the outputs of two models are apart",
    "tinyslim compare model.onnx model.tslim --data images.npy --per-layer", run};
