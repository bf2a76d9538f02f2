// SPDX-License-Identifier: Apache-2.0
// tinyslim report: one page that needs nothing else, from the JSON files that the steps of a pipeline left in
// a folder. A file's schema says which section it belongs to; files of other schemas are left out, by name.
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report_page.h"
#include "tool.h"

#define MOST_FILES 256
#define MOST_MODELS 64
#define MOST_METRICS 16
#define MOST_LAYERS 400

typedef struct source {
    char *name, *path;
    cJSON *json;
    const char *schema; // behind "tinyslim."
} source;

// What is known of one model, from all files that speak of it.
typedef struct model_row {
    const char *name;
    double bytes, parameters, macs, min_ms, p50_ms, throughput, peak_rss_mb;
    double metrics[MOST_METRICS];
} model_row;

typedef struct reporting {
    struct tool tool;
    const char *output;
    source files[MOST_FILES];
    size_t n_files;
    model_row models[MOST_MODELS];
    size_t n_models;
    const char *metric_names[MOST_METRICS];
    size_t n_metrics;
    FILE *page;
} reporting;

// ---- The files ----

static int by_name(const void *a, const void *b) {
    const source *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static tslim_status add_file(reporting *r, const char *folder, const char *name) {
    struct tool *tool = &r->tool;
    if (r->n_files == MOST_FILES)
        return tool_error(tool, TSLIM_ERROR_LIMIT, "%s: more than %d JSON files", folder, MOST_FILES);
    source *s = &r->files[r->n_files++];
    size_t room = strlen(folder) + strlen(name) + 2;
    s->name = strdup(name);
    s->path = malloc(room);
    if (!s->name || !s->path) return tool_error(tool, TSLIM_ERROR_NO_MEMORY, "no memory");
    snprintf(s->path, room, "%s/%s", folder, name);
    TRY(json_load(tool, s->path, &s->json));
    const char *schema = text_of(s->json, "schema");
    s->schema = strncmp(schema, "tinyslim.", 9) == 0 ? schema + 9 : "";
    return TSLIM_OK;
}

static tslim_status find_files(reporting *r, const char *folder) {
    DIR *directory = opendir(folder);
    if (!directory) return tool_error(&r->tool, TSLIM_ERROR_IO, "%s: %s", folder, strerror(errno));
    tslim_status status = TSLIM_OK;
    for (struct dirent *entry; status == TSLIM_OK && (entry = readdir(directory));) {
        size_t length = strlen(entry->d_name);
        if (length > 5 && strcmp(entry->d_name + length - 5, ".json") == 0)
            status = add_file(r, folder, entry->d_name);
    }
    closedir(directory);
    TRY(status);
    if (r->n_files == 0) return tool_error(&r->tool, TSLIM_ERROR_IO, "%s: no JSON files in it", folder);
    qsort(r->files, r->n_files, sizeof *r->files, by_name);
    return TSLIM_OK;
}

static bool has_schema(const source *s, const char *schema) {
    return strcmp(s->schema, schema) == 0;
}

// ---- Before and after ----

// Models are told apart by their file's name: steps may have been run from other folders.
static model_row *row_of(reporting *r, const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    for (size_t i = 0; i < r->n_models; ++i)
        if (strcmp(r->models[i].name, name) == 0) return &r->models[i];
    if (!*name || r->n_models == MOST_MODELS) return NULL;
    model_row *row = &r->models[r->n_models++];
    *row = (model_row){name, NAN, NAN, NAN, NAN, NAN, NAN, NAN, {0}};
    for (size_t m = 0; m < MOST_METRICS; ++m) row->metrics[m] = NAN;
    return row;
}

static void set(double *number, const cJSON *json, const char *key) {
    double found = number_of(json, key);
    if (!isnan(found)) *number = found;
}

static void set_metric(reporting *r, model_row *row, const char *name, double value) {
    size_t m = 0;
    while (m < r->n_metrics && strcmp(r->metric_names[m], name) != 0) ++m;
    if (m == MOST_METRICS) return;
    if (m == r->n_metrics) r->metric_names[r->n_metrics++] = name;
    row->metrics[m] = value;
}

static void gather_eval(reporting *r, const cJSON *json, model_row *row) {
    for (const cJSON *item = json->child; item; item = item->next)
        if (cJSON_IsNumber(item) && strcmp(item->string, "samples") != 0)
            set_metric(r, row, item->string, item->valuedouble);
}

static void gather_gate(reporting *r, const cJSON *json, model_row *row) {
    model_row *baseline = row_of(r, text_of(json, "baseline"));
    const cJSON *metric;
    cJSON_ArrayForEach(metric, cJSON_GetObjectItemCaseSensitive(json, "metrics")) {
        const char *name = text_of(metric, "metric");
        set_metric(r, row, name, number_of(metric, "model"));
        if (baseline) set_metric(r, baseline, name, number_of(metric, "baseline"));
    }
}

static void gather(reporting *r, const source *s) {
    model_row *row = row_of(r, text_of(s->json, "model"));
    if (!row) return;
    if (has_schema(s, "inspect/1")) {
        set(&row->bytes, s->json, "file_bytes");
        set(&row->parameters, s->json, "parameters");
        set(&row->macs, s->json, "macs");
    } else if (has_schema(s, "bench/1")) {
        set(&row->macs, s->json, "macs");
        set(&row->min_ms, s->json, "min_ms");
        set(&row->p50_ms, s->json, "p50_ms");
        set(&row->throughput, s->json, "throughput");
        set(&row->peak_rss_mb, s->json, "peak_rss_mb");
    } else if (has_schema(s, "eval/1")) {
        gather_eval(r, s->json, row);
    } else if (has_schema(s, "gate/1")) {
        gather_gate(r, s->json, row);
    }
}

static bool tells_of_models(const source *s) {
    return has_schema(s, "inspect/1") || has_schema(s, "bench/1") || has_schema(s, "eval/1") ||
           has_schema(s, "gate/1");
}

// The largest file first: the model as it came.
static int by_size(const void *a, const void *b) {
    const model_row *x = a, *y = b;
    double left = isnan(x->bytes) ? -1 : x->bytes, right = isnan(y->bytes) ? -1 : y->bytes;
    return left != right ? (left < right ? 1 : -1) : strcmp(x->name, y->name);
}

// A number, and what became of the first model's in per cent.
static void cell_change(reporting *r, double number, double first, double unit, bool is_first) {
    char text[64] = "";
    if (!isnan(number)) {
        int used = snprintf(text, sizeof text, "%.4g", number / unit);
        if (!is_first && first > 0)
            snprintf(text + used, sizeof text - (size_t)used, " (%+.1f %%)", 100 * (number / first - 1));
    }
    fputs("<td class=\"n\">", r->page);
    page_text(r->page, text);
    fputs("</td>", r->page);
}

static void write_models(reporting *r) {
    for (size_t i = 0; i < r->n_files; ++i)
        if (tells_of_models(&r->files[i])) gather(r, &r->files[i]);
    if (r->n_models == 0) return;
    qsort(r->models, r->n_models, sizeof *r->models, by_size);
    page_heading(r->page, "Before and after", NULL);
    table_begin(r->page, "model|MB|parameters (M)|MACs (M)|least ms|median ms|runs a second|peak MB");
    for (size_t m = 0; m < r->n_metrics; ++m) {
        fputs("<th>", r->page);
        page_text(r->page, r->metric_names[m]);
        fputs("</th>", r->page);
    }
    const model_row *first = &r->models[0];
    for (size_t i = 0; i < r->n_models; ++i) {
        const model_row *row = &r->models[i];
        table_row(r->page);
        cell_text(r->page, row->name);
        cell_change(r, row->bytes, first->bytes, 1e6, i == 0);
        cell_change(r, row->parameters, first->parameters, 1e6, i == 0);
        cell_change(r, row->macs, first->macs, 1e6, i == 0);
        cell_change(r, row->min_ms, first->min_ms, 1, i == 0);
        cell_change(r, row->p50_ms, first->p50_ms, 1, i == 0);
        cell_change(r, row->throughput, first->throughput, 1, i == 0);
        cell_number(r->page, row->peak_rss_mb, "%.1f");
        for (size_t m = 0; m < r->n_metrics; ++m) cell_number(r->page, row->metrics[m], "%.4f");
    }
    table_end(r->page);
}

// ---- Sections of one file each ----

static void write_gate(reporting *r, const source *s) {
    page_heading(r->page, "Gate", s->name);
    table_begin(r->page, "metric|baseline|model|drop|allowed|verdict");
    const cJSON *metric;
    cJSON_ArrayForEach(metric, cJSON_GetObjectItemCaseSensitive(s->json, "metrics")) {
        bool pass = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(metric, "pass"));
        table_row(r->page);
        cell_text(r->page, text_of(metric, "metric"));
        cell_number(r->page, number_of(metric, "baseline"), "%.4f");
        cell_number(r->page, number_of(metric, "model"), "%.4f");
        cell_number(r->page, number_of(metric, "drop"), "%.4f");
        cell_number(r->page, number_of(s->json, "max_drop"), "%.4f");
        fputs(pass ? "<td>within</td>" : "<td class=\"fail\">over</td>", r->page);
    }
    table_end(r->page);
}

// `pruned` is a list of channels in a plan, and their number in what the verb printed.
static void write_pruning(reporting *r, const source *s) {
    page_heading(r->page, "Pruning", s->name);
    table_begin(r->page, "group|channels|kept|note");
    const cJSON *group;
    cJSON_ArrayForEach(group, cJSON_GetObjectItemCaseSensitive(s->json, "groups")) {
        const cJSON *pruned = cJSON_GetObjectItemCaseSensitive(group, "pruned");
        double channels = number_of(group, "channels");
        double gone = cJSON_IsArray(pruned) ? cJSON_GetArraySize(pruned) : number_of(group, "pruned");
        table_row(r->page);
        cell_text(r->page, text_of(group, "name"));
        cell_number(r->page, channels, "%.0f");
        cell_bar(r->page, channels - gone, channels, "%.0f");
        cell_text(r->page, text_of(group, "note"));
    }
    table_end(r->page);
}

// The library draws; the picture goes into the page.
static tslim_status write_sensitivity(reporting *r, const source *s) {
    tslim_sensitivity *sensitivity;
    TRY(tslim_sensitivity_load_file(r->tool.context, s->path, &sensitivity));
    char path[] = "/tmp/tinyslim-report-XXXXXX";
    int descriptor = mkstemp(path);
    tslim_status status = descriptor < 0
                              ? tool_error(&r->tool, TSLIM_ERROR_IO, "%s: %s", path, strerror(errno))
                              : tslim_sensitivity_save_plot(sensitivity, path);
    tslim_sensitivity_destroy(sensitivity);
    if (descriptor >= 0) close(descriptor);
    FILE *svg = status == TSLIM_OK ? fopen(path, "r") : NULL;
    if (svg) {
        page_heading(r->page, "Sensitivity", s->name);
        for (int c = fgetc(svg); c != EOF; c = fgetc(svg)) fputc(c, r->page);
        fclose(svg);
    }
    if (descriptor >= 0) unlink(path);
    return status;
}

static void write_precision(reporting *r, const source *s) {
    const cJSON *counts = cJSON_GetObjectItemCaseSensitive(s->json, "nodes_by_precision"), *node;
    page_heading(r->page, "Quantization", s->name);
    fprintf(r->page, "<p>%.0f nodes in INT8, %.0f in float.</p>\n", number_of(counts, "int8"),
        number_of(counts, "float32"));
    table_begin(r->page, "in float|operator|why");
    cJSON_ArrayForEach(node, cJSON_GetObjectItemCaseSensitive(s->json, "nodes")) {
        if (strcmp(text_of(node, "precision"), "int8") == 0) continue;
        table_row(r->page);
        cell_text(r->page, text_of(node, "node"));
        cell_text(r->page, text_of(node, "op"));
        cell_text(r->page, text_of(node, "reason"));
    }
    table_end(r->page);
}

static void write_error_row(reporting *r, const cJSON *value) {
    table_row(r->page);
    cell_text(r->page, text_of(value, "name"));
    cell_text(r->page, text_of(value, "op"));
    cell_bar(r->page, number_of(value, "sqnr_db"), 60, "%.1f");
    cell_number(r->page, number_of(value, "max_abs"), "%.3g");
    cell_number(r->page, number_of(value, "cosine"), "%.5f");
}

static void write_errors(reporting *r, const source *s) {
    const cJSON *value;
    page_heading(r->page, "Distance between two models", s->name);
    table_begin(r->page, "value|operator|SQNR (dB)|largest difference|cosine");
    cJSON_ArrayForEach(value, cJSON_GetObjectItemCaseSensitive(s->json, "outputs")) write_error_row(r, value);
    cJSON_ArrayForEach(value, cJSON_GetObjectItemCaseSensitive(s->json, "layers")) write_error_row(r, value);
    table_end(r->page);
}

static int slowest_first(const void *a, const void *b) {
    double x = number_of(*(const cJSON *const *)a, "ms"), y = number_of(*(const cJSON *const *)b, "ms");
    return (x < y) - (x > y);
}

static void write_latency(reporting *r, const source *s) {
    const cJSON *layers[MOST_LAYERS], *layer;
    size_t count = 0;
    cJSON_ArrayForEach(layer, cJSON_GetObjectItemCaseSensitive(s->json, "layers")) {
        if (count < MOST_LAYERS) layers[count++] = layer;
    }
    if (count == 0) return;
    qsort(layers, count, sizeof(*layers), slowest_first);
    page_heading(r->page, "Latency", s->name);
    fputs("<p>", r->page);
    page_text(r->page, text_of(s->json, "model"));
    fprintf(r->page, ", %.0f threads of ", number_of(s->json, "threads"));
    page_text(r->page, text_of(s->json, "cpu"));
    fputs("; the slowest steps first</p>\n", r->page);
    table_begin(r->page, "step|operator|kernel|ms|GOPS");
    for (size_t i = 0; i < count; ++i) {
        table_row(r->page);
        cell_text(r->page, text_of(layers[i], "node"));
        cell_text(r->page, text_of(layers[i], "op"));
        cell_text(r->page, text_of(layers[i], "kernel"));
        cell_bar(r->page, number_of(layers[i], "ms"), number_of(layers[0], "ms"), "%.4f");
        cell_number(r->page, number_of(layers[i], "gops"), "%.1f");
    }
    table_end(r->page);
}

static tslim_status write_file(reporting *r, const source *s) {
    if (has_schema(s, "gate/1"))
        write_gate(r, s);
    else if (has_schema(s, "prune/1") || has_schema(s, "plan/1"))
        write_pruning(r, s);
    else if (has_schema(s, "quantize/1"))
        write_precision(r, s);
    else if (has_schema(s, "compare/1"))
        write_errors(r, s);
    else if (has_schema(s, "bench/1"))
        write_latency(r, s);
    else if (cJSON_IsString(cJSON_GetObjectItemCaseSensitive(s->json, "criterion")) &&
             has_schema(s, "sensitivity/1"))
        return write_sensitivity(r, s);
    else if (!tells_of_models(s))
        tool_note(&r->tool, "%s: nothing in it for a report", s->path);
    return TSLIM_OK;
}

// ---- The page ----

static tslim_status write_page(reporting *r) {
    page_begin(r->page, r->tool.positional.items[0]);
    write_models(r);
    for (size_t i = 0; i < r->n_files; ++i) TRY(write_file(r, &r->files[i]));
    page_end(r->page);
    return TSLIM_OK;
}

// Written beside its place and renamed.
static tslim_status save(reporting *r, const char *text, size_t size) {
    size_t room = strlen(r->output) + 32;
    char *path = malloc(room);
    if (!path) return tool_error(&r->tool, TSLIM_ERROR_NO_MEMORY, "no memory");
    snprintf(path, room, "%s.%ld.part", r->output, (long)getpid());
    FILE *file = fopen(path, "w");
    bool good = file && fwrite(text, 1, size, file) == size;
    good = file && fclose(file) == 0 && good && rename(path, r->output) == 0;
    int error = errno;
    if (!good && file) unlink(path);
    free(path);
    return good ? TSLIM_OK : tool_error(&r->tool, TSLIM_ERROR_IO, "%s: %s", r->output, strerror(error));
}

static tslim_status print_result(reporting *r) {
    cJSON *json = json_create(&r->tool);
    cJSON_AddStringToObject(json, "output", r->output);
    json_add_count(json, "file_bytes", file_bytes(r->output));
    cJSON *files = json_add_array(json, "files");
    for (size_t i = 0; i < r->n_files; ++i) cJSON_AddItemToArray(files, cJSON_CreateString(r->files[i].name));
    return json_print(&r->tool, json);
}

static tslim_status work(reporting *r) {
    struct tool *tool = &r->tool;
    ADD_OPTIONS(tool, {"-o", NULL, OPTION_TEXT, &r->output, "REPORT.html", "the page to write", 0, 0, NULL});
    TRY(tool_start(tool, 1, 1));
    if (!r->output) return tool_usage(tool, "-o is missing");
    TRY(find_files(r, tool->positional.items[0]));
    char *text = NULL;
    size_t size = 0;
    r->page = open_memstream(&text, &size);
    if (!r->page) return tool_error(tool, TSLIM_ERROR_NO_MEMORY, "no memory");
    tslim_status status = write_page(r);
    if (fclose(r->page) != 0 && status == TSLIM_OK)
        status = tool_error(tool, TSLIM_ERROR_NO_MEMORY, "no memory for the page");
    if (status == TSLIM_OK) status = save(r, text, size);
    free(text);
    TRY(status);
    return tool->json ? print_result(r) : TSLIM_OK;
}

static int run(const struct verb *verb, int argc, char **argv) {
    static reporting r; // too large for a stack
    r = (reporting){.tool = {.verb = verb, .argc = argc, .argv = argv}};
    int code = tool_finish(&r.tool, work(&r));
    for (size_t i = 0; i < r.n_files; ++i) {
        cJSON_Delete(r.files[i].json);
        free(r.files[i].name);
        free(r.files[i].path);
    }
    return code;
}

const struct verb verb_report = {"report", "DIR -o REPORT.html",
    "one page from the JSON files of a pipeline: before and after, curves, errors, latency",
    "tinyslim report out/ -o report.html", run};
