// SPDX-License-Identifier: Apache-2.0
// How good a PP-OCR model is on rendered documents: ocr_score lines|pages MODEL IMAGES.npy TRUTH.txt
// Prints one JSON object: for lines the share of exact ones and of right characters, for pages precision,
// recall and their harmonic mean at an overlap of a half.
#include <tinyslim/tinyslim.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "detect.h"
#include "recognize.h"

#define MOST_BOXES 1000
#define LONGEST_LINE 4096
#define LEAST_OVERLAP 0.5

// ---- Running the model ----

typedef struct model {
    tslim_context *context;
    tslim_graph *graph;
    tslim_dataset *images;
    tslim_session *session;
    tslim_tensor input, output;
} model;

static bool allocate(tslim_tensor *tensor, const tslim_tensor_info *info) {
    *tensor = (tslim_tensor){.dtype = info->dtype, .rank = info->rank, .bytes = sizeof(float)};
    for (uint32_t d = 0; d < info->rank; d++) {
        tensor->dims[d] = info->dims[d];
        tensor->bytes *= (size_t)info->dims[d];
    }
    tensor->data = malloc(tensor->bytes);
    return tensor->data;
}

// How PP-OCR's images were prepared in training.
static void set_preparation(tslim_input_preparation *p, bool lines) {
    static const float mean[3] = {0.485f, 0.456f, 0.406f}, std[3] = {0.229f, 0.224f, 0.225f};
    p->scale = 1.0f / 255;
    p->n_channels = 3;
    for (int c = 0; c < 3; c++) {
        p->mean[c] = lines ? 0.5f : mean[c];
        p->std[c] = lines ? 0.5f : std[c];
    }
}

static bool open_model(model *m, bool lines, const char *model_path, const char *images_path) {
    tslim_dataset_options data;
    tslim_dataset_options_init(&data);
    set_preparation(&data.preparation, lines);
    tslim_tensor_info info;
    if (tslim_context_create(NULL, &m->context) || tslim_graph_load_file(m->context, model_path, &m->graph) ||
        tslim_dataset_open(m->context, images_path, &data, &m->images) ||
        tslim_dataset_input_info(m->images, 0, &info))
        return false;
    tslim_input_shape shape = {.rank = 4, .dims = {1, info.dims[0], info.dims[1], info.dims[2]}};
    tslim_session_options options;
    tslim_session_options_init(&options);
    options.shapes = &shape;
    options.n_shapes = 1;
    return !tslim_session_create(m->graph, &options, &m->session) &&
           !tslim_session_input_info(m->session, 0, &info) && allocate(&m->input, &info) &&
           !tslim_session_output_info(m->session, 0, &info) && allocate(&m->output, &info);
}

static bool run_model(model *m, uint64_t index) {
    return !tslim_dataset_read(m->images, index, 1, &m->input, 1, NULL) &&
           !tslim_session_run(m->session, &m->input, 1, &m->output, 1);
}

static void close_model(model *m) {
    free(m->input.data);
    free(m->output.data);
    tslim_session_destroy(m->session);
    tslim_dataset_destroy(m->images);
    tslim_graph_destroy(m->graph);
    tslim_context_destroy(m->context);
}

// ---- The truth ----

// Lines of the file, of one image after the other.
typedef struct truth {
    FILE *file;
    char line[LONGEST_LINE]; // the one at hand, without its end; "" at the end of the file
} truth;

static void next_line(truth *t) {
    if (!fgets(t->line, sizeof(t->line), t->file)) t->line[0] = 0;
    t->line[strcspn(t->line, "\n")] = 0;
}

// What follows the image's number; NULL when the line at hand belongs to another.
static char *line_of(truth *t, uint64_t image) {
    char *rest;
    return *t->line && strtoull(t->line, &rest, 10) == image && *rest == '\t' ? rest + 1 : NULL;
}

// ---- Recognition ----

static bool score_lines(model *m, truth *t) {
    const char *characters = tslim_graph_metadata(m->graph, "character");
    alphabet a;
    if (!characters || !alphabet_create(&a, characters)) {
        fprintf(stderr, "the model's metadata has no 'character'\n");
        return false;
    }
    uint64_t count = tslim_dataset_count(m->images), exact = 0, characters_wanted = 0, errors = 0;
    bool done = true;
    for (uint64_t i = 0; i < count && done; i++, next_line(t)) {
        const char *wanted = line_of(t, i);
        char found[LONGEST_LINE];
        size_t length;
        done = wanted && run_model(m, i);
        if (!done) break;
        recognize(
            m->output.data, (size_t)m->output.dims[1], (size_t)m->output.dims[2], &a, found, sizeof(found));
        size_t distance = edit_distance(found, wanted, &length);
        exact += distance == 0;
        errors += distance < length ? distance : length;
        characters_wanted += length;
    }
    alphabet_destroy(&a);
    if (done)
        printf("{\"count\": %" PRIu64 ", \"exact_lines\": %.4f, \"characters\": %.4f}\n", count,
            (double)exact / (double)count, 1 - (double)errors / (double)characters_wanted);
    return done;
}

// ---- Detection ----

typedef struct pair {
    double quality;
    size_t found, wanted;
} pair;

static int best_first(const void *left, const void *right) {
    const pair *a = left, *b = right;
    if (a->quality != b->quality) return a->quality < b->quality ? 1 : -1;
    return a->found != b->found ? (a->found < b->found ? -1 : 1) : (a->wanted < b->wanted ? -1 : 1);
}

// Each wanted box takes at most one found box, the best pair first. SIZE_MAX when memory is short.
static size_t count_matches(const box *found, size_t n_found, const box *wanted, size_t n_wanted) {
    pair *pairs = malloc((n_found * n_wanted + 1) * sizeof(*pairs));
    bool *used = calloc(n_found + n_wanted + 1, 1);
    size_t n_pairs = 0, matches = 0;
    if (!pairs || !used) matches = SIZE_MAX;
    for (size_t f = 0; pairs && used && f < n_found; f++)
        for (size_t w = 0; w < n_wanted; w++) {
            double quality = overlap(found[f].corners, wanted[w].corners);
            if (quality >= LEAST_OVERLAP) pairs[n_pairs++] = (pair){quality, f, w};
        }
    if (n_pairs) qsort(pairs, n_pairs, sizeof(*pairs), best_first);
    for (size_t i = 0; i < n_pairs; i++) {
        if (used[pairs[i].found] || used[n_found + pairs[i].wanted]) continue;
        used[pairs[i].found] = used[n_found + pairs[i].wanted] = true;
        matches++;
    }
    free(used);
    free(pairs);
    return matches;
}

static size_t read_wanted(truth *t, uint64_t image, box *boxes) {
    size_t count = 0;
    for (char *rest; count < MOST_BOXES && (rest = line_of(t, image)); count++, next_line(t))
        for (int k = 0; k < 4; k++) {
            boxes[count].corners[k].x = strtod(rest, &rest);
            boxes[count].corners[k].y = strtod(rest, &rest);
        }
    return count;
}

static bool score_pages(model *m, truth *t) {
    static box found[MOST_BOXES], wanted[MOST_BOXES];
    uint64_t count = tslim_dataset_count(m->images), matches = 0, all_found = 0, all_wanted = 0;
    int height = (int)m->output.dims[2], width = (int)m->output.dims[3];
    for (uint64_t i = 0; i < count; i++) {
        if (!run_model(m, i)) return false;
        size_t n_found = detect_boxes(m->output.data, width, height, found, MOST_BOXES);
        size_t n_wanted = read_wanted(t, i, wanted),
               matched = count_matches(found, n_found, wanted, n_wanted);
        if (matched == SIZE_MAX) return false;
        matches += matched;
        all_found += n_found;
        all_wanted += n_wanted;
    }
    double precision = all_found ? (double)matches / (double)all_found : 0;
    double recall = all_wanted ? (double)matches / (double)all_wanted : 0;
    double hmean = matches ? 2 * precision * recall / (precision + recall) : 0;
    printf("{\"count\": %" PRIu64 ", \"hmean\": %.4f, \"precision\": %.4f, \"recall\": %.4f}\n", count, hmean,
        precision, recall);
    return true;
}

int main(int argc, char **argv) {
    bool lines = argc == 5 && strcmp(argv[1], "lines") == 0;
    if (argc != 5 || (!lines && strcmp(argv[1], "pages") != 0)) {
        fprintf(stderr, "usage: ocr_score lines|pages MODEL IMAGES.npy TRUTH.txt\n");
        return 2;
    }
    model m = {0};
    static truth t;
    t.file = fopen(argv[4], "r");
    if (!t.file) perror(argv[4]);
    bool done = t.file && open_model(&m, lines, argv[2], argv[3]);
    if (done) {
        next_line(&t);
        done = lines ? score_lines(&m, &t) : score_pages(&m, &t);
    }
    if (!done)
        fprintf(stderr, "%s on %s, %s: %s\n", argv[2], argv[3], argv[4], tslim_context_message(m.context));
    if (t.file) fclose(t.file);
    close_model(&m);
    return !done;
}
