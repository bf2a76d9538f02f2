// SPDX-License-Identifier: Apache-2.0
// TfIdfVectorizer over integers: how often each n-gram of a pool is in a row, with up to max_skip_count
// elements between its elements, weighted or not.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/operator.h"

typedef struct gram {
    int64_t length;
    const int64_t *items;
    size_t index; // in the order of the pool
} gram;

typedef struct tf_idf_state {
    int64_t shortest, longest, skips;
    gram *grams; // sorted
    size_t n_grams;
    const int64_t *columns; // of each gram
    const float *weights; // of each gram, or NULL
    bool frequency, inverse; // what counts: how often, and the weight
} tf_idf_state;

static int compare(const void *a, const void *b) {
    const gram *x = a, *y = b;
    if (x->length != y->length) return x->length < y->length ? -1 : 1;
    for (int64_t i = 0; i < x->length; i++)
        if (x->items[i] != y->items[i]) return x->items[i] < y->items[i] ? -1 : 1;
    return 0;
}

// A gram of the pool that equals these items.
static const gram *find(const tf_idf_state *s, const int64_t *items, int64_t length) {
    const gram wanted = {.length = length, .items = items};
    return bsearch(&wanted, s->grams, s->n_grams, sizeof(gram), compare);
}

#define LONGEST 64 // n-grams

static void count_row(const tf_idf_state *s, const tsl_tensor *x, int64_t row, int64_t length, float *y) {
    const size_t size = tslim_dtype_size(x->dtype);
    const uint8_t *from = (const uint8_t *)x->data + (size_t)(row * length) * size;
    for (int64_t skip = 0; skip <= s->skips && skip < length; skip++) {
        for (int64_t start = 0; start < length; start++) {
            int64_t items[LONGEST];
            for (int64_t n = 1, at = start; n <= s->longest && at < length; n++, at += skip + 1) {
                items[n - 1] = tsl_load_int(x->dtype, from + (size_t)at * size);
                if (n < s->shortest || (n == 1 && skip > 0)) continue; // one element skips nothing
                const gram *found = find(s, items, n);
                if (!found) continue;
                float weight = s->inverse && s->weights ? s->weights[found->index] : 1.0f;
                float *to = &y[s->columns[found->index]];
                *to = s->frequency ? *to + weight : weight;
            }
        }
    }
}

static tslim_status run_tf_idf(const tsl_run *run) {
    const tf_idf_state *s = run->kernel->state;
    const tsl_tensor *x = &run->inputs[0], *y = &run->outputs[0];
    const int64_t columns = y->dims[y->rank - 1], rows = x->rank == 2 ? x->dims[0] : 1;
    if (rows == 0) return TSLIM_OK;
    memset(y->data, 0, (size_t)(rows * columns) * sizeof(float));
    for (int64_t row = 0; row < rows; row++)
        count_row(s, x, row, x->dims[x->rank - 1], (float *)y->data + row * columns);
    return TSLIM_OK;
}

// The pool holds all n-grams of one element, then those of two, and so on: counts[n - 1] is where they begin.
static tslim_status read_pool(tsl_prepare *p, tf_idf_state *s) {
    const char *name = p->step->name;
    size_t n_items, n_counts;
    const int64_t *items = tsl_attrs_ints(p->step->attrs, TSL_ATTR_pool_int64s, &n_items);
    const int64_t *counts = tsl_attrs_ints(p->step->attrs, TSL_ATTR_ngram_counts, &n_counts);
    TSL_REQUIRE(items, TSLIM_ERROR_UNSUPPORTED, "node '%s': a pool of strings", name);
    TSL_REQUIRE(counts && n_counts <= LONGEST, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': %zu ngram_counts",
        name, n_counts);
    s->grams = tsl_arena_array(p->arena, n_items, sizeof(*s->grams));
    TSL_REQUIRE_MEMORY(s->grams, n_items * sizeof(*s->grams));
    for (size_t n = 0; n < n_counts; n++) {
        int64_t begin = counts[n], end = n + 1 < n_counts ? counts[n + 1] : (int64_t)n_items,
                length = (int64_t)n + 1;
        TSL_REQUIRE(begin >= 0 && begin <= end && end <= (int64_t)n_items && (end - begin) % length == 0,
            TSLIM_ERROR_INVALID_ARGUMENT,
            "node '%s': the n-grams of %zu elements lie at %" PRId64 " to %" PRId64 " of %zu", name, n + 1,
            begin, end, n_items);
        for (int64_t at = begin; at < end; at += length) {
            s->grams[s->n_grams] = (gram){length, items + at, s->n_grams};
            s->n_grams++;
        }
    }
    return TSLIM_OK;
}

static tslim_status read_columns(tsl_prepare *p, tf_idf_state *s) {
    const tsl_tensor *y = &p->step->outputs[0];
    size_t n_columns, n_weights;
    s->columns = tsl_attrs_ints(p->step->attrs, TSL_ATTR_ngram_indexes, &n_columns);
    s->weights = tsl_attrs_floats(p->step->attrs, TSL_ATTR_weights, &n_weights);
    TSL_REQUIRE(s->columns && n_columns == s->n_grams && (!s->weights || n_weights == s->n_grams),
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': %zu n-grams, but %zu ngram_indexes and %zu weights",
        p->step->name, s->n_grams, n_columns, n_weights);
    for (size_t i = 0; i < n_columns; i++)
        TSL_REQUIRE(s->columns[i] >= 0 && s->columns[i] < y->dims[y->rank - 1], TSLIM_ERROR_INVALID_ARGUMENT,
            "node '%s': column %" PRId64, p->step->name, s->columns[i]);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_tf_idf(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0], *y = &step->outputs[0];
    TSL_NEW_STATE(tf_idf_state, s);
    kernel->run = run_tf_idf;
    kernel->name = "tf idf";
    const char *mode = tsl_attrs_string(step->attrs, TSL_ATTR_mode, "TF");
    s->shortest = tsl_attrs_int(step->attrs, TSL_ATTR_min_gram_length, 1);
    s->longest = tsl_attrs_int(step->attrs, TSL_ATTR_max_gram_length, 1);
    s->skips = tsl_attrs_int(step->attrs, TSL_ATTR_max_skip_count, 0);
    s->frequency = strcmp(mode, "IDF") != 0;
    s->inverse = strcmp(mode, "TF") != 0;
    TSL_REQUIRE(s->shortest >= 1 && s->longest >= s->shortest && s->longest <= LONGEST && s->skips >= 0,
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': n-grams of %" PRId64 " to %" PRId64 " elements", step->name,
        s->shortest, s->longest);
    TSL_TRY(read_pool(p, s));
    TSL_TRY(read_columns(p, s));
    if (s->n_grams > 1) qsort(s->grams, s->n_grams, sizeof(gram), compare);
    bool types =
        tsl_element_is_integer(x->dtype) && y->dtype == TSLIM_DTYPE_FLOAT && x->rank >= 1 && x->rank <= 2;
    return types ? TSLIM_OK : tsl_cpu_unsupported(p);
}
