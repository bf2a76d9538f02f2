// SPDX-License-Identifier: Apache-2.0
// tinyslim prune: channel pruning, with the plan printed first.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "describe.h"

typedef struct pruning {
    struct tool tool;
    const char *output, *ratios_file, *sensitivity_file, *criterion, *scope, *plan_file;
    tslim_prune_options options;
    bool ratio_given, max_loss_given, macs_given, parameters_given, dry_run;
    uint64_t round_to, min_channels;
    text_list exclude;
    cJSON *ratios_json;
    tslim_group_ratio *ratios;
    tslim_sensitivity *sensitivity;
    tslim_prune_plan *plan;
} pruning;

static void declare_options(pruning *p) {
    struct tool *tool = &p->tool;
    tslim_prune_options *o = &p->options;
    ADD_OPTIONS(tool,
        {"--output", "-o", OPTION_TEXT, &p->output, "OUT", "an .onnx or .tslim file", 0, 0, NULL},
        {"--ratio", NULL, OPTION_REAL, &o->ratio, "R",
            "of each group's channels, or of all with --scope global", 0, 0.99, &p->ratio_given},
        {"--ratios", NULL, OPTION_TEXT, &p->ratios_file, "FILE", "JSON: {\"group or layer\": ratio, ...}", 0,
            0, NULL},
        {"--max-loss", NULL, OPTION_REAL, &o->max_loss, "L",
            "the most that a group alone may cost; needs --sensitivity", 0, 1e9, &p->max_loss_given},
        {"--sensitivity", NULL, OPTION_TEXT, &p->sensitivity_file, "SENS.json",
            "what 'tinyslim sensitivity' found", 0, 0, NULL},
        {"--target-macs", NULL, OPTION_REAL, &o->target_macs, "F", "fraction of the MACs to keep at most",
            0.000001, 1, &p->macs_given},
        {"--target-parameters", NULL, OPTION_REAL, &o->target_parameters, "F", "the same of the parameters",
            0.000001, 1, &p->parameters_given},
        {"--criterion", NULL, OPTION_TEXT, &p->criterion, "C",
            "l1, l2, bn-scale, fpgm, random or, with --data, reconstruction (default: l1)", 0, 0, NULL},
        {"--scope", NULL, OPTION_TEXT, &p->scope, "local|global",
            "rank within groups or over all (default: local)", 0, 0, NULL},
        {"--round", NULL, OPTION_COUNT, &p->round_to, "N", "channels that stay are a multiple (default: 8)",
            1, 65536, NULL},
        {"--min-channels", NULL, OPTION_COUNT, &p->min_channels, "N", "at least so many stay (default: 1)", 1,
            1e9, NULL},
        {"--shallow-ratio", NULL, OPTION_REAL, &o->shallow_ratio, "F",
            "of the ratio, for layers that see the input (default: 0.5)", 0, 1, NULL},
        {"--exclude", NULL, OPTION_TEXTS, &p->exclude, "NAME...", "layers or groups that stay whole", 0, 0,
            NULL},
        {"--plan", NULL, OPTION_TEXT, &p->plan_file, "PLAN.json", "keep the plan", 0, 0, NULL},
        {"--dry-run", NULL, OPTION_SWITCH, &p->dry_run, NULL, "plan only", 0, 0, NULL});
    add_data_options(tool, false);
}

// {"name": ratio, ...}; the names stay in the JSON.
static tslim_status load_ratios(pruning *p) {
    struct tool *tool = &p->tool;
    TRY(json_load(tool, p->ratios_file, &p->ratios_json));
    int count = cJSON_IsObject(p->ratios_json) ? cJSON_GetArraySize(p->ratios_json) : 0;
    if (count == 0) {
        return tool_error(
            tool, TSLIM_ERROR_BAD_FILE, "%s: not an object of names and ratios", p->ratios_file);
    }
    p->ratios = calloc((size_t)count, sizeof *p->ratios);
    if (!p->ratios) return tool_error(tool, TSLIM_ERROR_NO_MEMORY, "out of memory");
    const cJSON *item;
    uint32_t n = 0;
    cJSON_ArrayForEach(item, p->ratios_json) {
        if (!cJSON_IsNumber(item)) {
            return tool_error(tool, TSLIM_ERROR_BAD_FILE, "%s: the ratio of '%s' is no number",
                p->ratios_file, item->string);
        }
        p->ratios[n++] = (tslim_group_ratio){item->string, item->valuedouble};
    }
    p->options.ratios = p->ratios;
    p->options.n_ratios = n;
    return TSLIM_OK;
}

static tslim_status choose_options(pruning *p) {
    struct tool *tool = &p->tool;
    tslim_prune_options *o = &p->options;
    int ways = p->ratio_given + (p->ratios_file != NULL) + p->max_loss_given;
    bool target = p->macs_given || p->parameters_given;
    if (ways == 0 && !target) {
        return tool_usage(tool, "give --ratio, --ratios, --max-loss, --target-macs or --target-parameters");
    }
    if (ways > 1 || (target && (p->ratio_given || p->ratios_file))) {
        return tool_usage(tool, "--ratio, --ratios, --max-loss and the targets do not go together");
    }
    if (p->max_loss_given != (p->sensitivity_file != NULL)) {
        return tool_usage(tool, "--max-loss and --sensitivity go together");
    }
    if (!p->output && !p->dry_run) return tool_usage(tool, "-o is missing");
    if (p->criterion && tslim_criterion_from_name(p->criterion, &o->criterion) != TSLIM_OK) {
        return tool_usage(tool, "no criterion is called '%s'", p->criterion);
    }
    if (p->scope) {
        o->global = strcmp(p->scope, "global") == 0;
        if (!o->global && strcmp(p->scope, "local") != 0) {
            return tool_usage(tool, "--scope takes local or global, not '%s'", p->scope);
        }
    }
    if (p->round_to) o->round_to = (uint32_t)p->round_to;
    if (p->min_channels) o->min_channels = (uint32_t)p->min_channels;
    o->exclude = p->exclude.items;
    o->n_exclude = (uint32_t)p->exclude.count;
    o->seed = tool->seed;
    o->shapes = tool->shapes;
    o->n_shapes = tool->n_shapes;
    if (p->ratios_file) TRY(load_ratios(p));
    if (!p->sensitivity_file) return TSLIM_OK;
    TRY(tslim_sensitivity_load_file(tool->context, p->sensitivity_file, &p->sensitivity));
    o->sensitivity = p->sensitivity;
    return TSLIM_OK;
}

static void add_totals(cJSON *json, const char *key, const tslim_graph_totals *totals) {
    cJSON *item = cJSON_AddObjectToObject(json, key);
    json_add_count(item, "parameters", totals->parameters);
    json_add_count(item, "parameter_bytes", totals->parameter_bytes);
    json_add_count(item, "macs", totals->macs);
}

static double percent_of(uint64_t part, uint64_t whole) {
    return whole ? 100 * (double)part / (double)whole : 100;
}

static void print_totals(const char *what, uint64_t before, uint64_t after) {
    char text[2][32];
    printf("%-12s  %10s -> %10s  (%.1f %%)\n", what, format_large(before, text[0], sizeof text[0]),
        format_large(after, text[1], sizeof text[1]), percent_of(after, before));
}

static tslim_status fill_plan(pruning *p, cJSON *json) {
    struct tool *tool = &p->tool;
    tslim_graph_totals before = {.struct_size = sizeof before}, after = {.struct_size = sizeof after};
    TRY(tslim_prune_plan_totals(p->plan, &before, &after));
    cJSON_AddStringToObject(json, "model", tool->positional.items[0]);
    if (p->output) cJSON_AddStringToObject(json, "output", p->output);
    cJSON_AddBoolToObject(json, "dry_run", p->dry_run);
    add_totals(json, "before", &before);
    add_totals(json, "after", &after);
    cJSON *list = json_add_array(json, "groups");
    if (!tool->json) printf("%-40s  %8s  %8s  %6s  %s\n", "channel group", "channels", "stay", "gone", "");
    for (uint32_t g = 0; g < tslim_prune_plan_group_count(p->plan); ++g) {
        tslim_prune_plan_group group = {.struct_size = sizeof group};
        TRY(tslim_prune_plan_group_info(p->plan, g, &group));
        cJSON *item = json_append_object(list);
        cJSON_AddStringToObject(item, "name", group.name);
        json_add_count(item, "channels", group.channels);
        json_add_count(item, "pruned", group.pruned);
        cJSON_AddStringToObject(item, "note", group.note);
        if (!tool->json) {
            printf("%-40s  %8" PRIu32 "  %8" PRIu32 "  %4.0f %%  %s\n", group.name, group.channels,
                group.channels - group.pruned, percent_of(group.pruned, group.channels), group.note);
        }
    }
    if (!tool->json) {
        print_totals("parameters", before.parameters, after.parameters);
        print_totals("MACs", before.macs, after.macs);
    }
    return TSLIM_OK;
}

static tslim_status carry_out(pruning *p) {
    struct tool *tool = &p->tool;
    tslim_input_preparation preparation;
    if (p->plan_file) TRY(tslim_prune_plan_save_file(p->plan, p->plan_file));
    if (p->dry_run) return TSLIM_OK;
    TRY(tslim_prune(tool->graph, p->plan));
    TRY(tool_preparation(tool, tool->graph, NULL, &preparation));
    TRY(tslim_graph_set_preparation(tool->graph, &preparation));
    TRY(tool_add_history(tool, tool->graph));
    return tslim_graph_save_file(tool->graph, p->output, TSLIM_FORMAT_FROM_NAME);
}

static tslim_status work(pruning *p) {
    struct tool *tool = &p->tool;
    tslim_prune_options_init(&p->options);
    declare_options(p);
    TRY(tool_start(tool, 1, 1));
    TRY(choose_options(p));
    TRY(tool_load(tool, tool->positional.items[0], &tool->graph));
    if (tool->data.data) TRY(tool_open_data(tool, tool->graph, NULL, false));
    p->options.data = tool->dataset;
    TRY(tslim_prune_plan_create(tool->graph, &p->options, &p->plan));
    cJSON *json = json_create(tool);
    tslim_status status = fill_plan(p, json);
    if (status == TSLIM_OK) status = carry_out(p);
    if (status == TSLIM_OK && tool->json) return json_print(tool, json);
    cJSON_Delete(json);
    return status;
}

static int run(const struct verb *verb, int argc, char **argv) {
    pruning p = {.tool = {.verb = verb, .argc = argc, .argv = argv}};
    tslim_status status = work(&p);
    tslim_prune_plan_destroy(p.plan);
    tslim_sensitivity_destroy(p.sensitivity);
    cJSON_Delete(p.ratios_json);
    free(p.ratios);
    return tool_finish(&p.tool, status);
}

const struct verb verb_prune = {"prune",
    "MODEL -o OUT (--ratio R | --ratios FILE | --max-loss L --sensitivity SENS.json | --target-macs F)",
    "channel pruning: layers become smaller",
    "tinyslim prune model.onnx --criterion bn-scale --ratio 0.3 -o pruned.onnx", run};
