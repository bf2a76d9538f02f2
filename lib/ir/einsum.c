// SPDX-License-Identifier: Apache-2.0
// Reading Einsum's equation, by numpy's rules: "ij,jk->ik"; "..." stands for any leading dims, which
// broadcast; without "->" the result has the ellipsis and then, in alphabetical order, the letters that are
// there once.
#include "ir/einsum.h"

#include <string.h>

// A letter's label, or -1.
static int label_of(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    return c >= 'a' && c <= 'z' ? c - 'a' + 26 : -1;
}

static tslim_status add_label(tsl_einsum_term *term, int label) {
    TSL_REQUIRE(
        term->rank < TSLIM_MAX_RANK, TSLIM_ERROR_LIMIT, "a term of more than %d dims", TSLIM_MAX_RANK);
    term->labels[term->rank++] = (uint8_t)label;
    return TSLIM_OK;
}

static tslim_status add_ellipsis(tsl_einsum_term *term, uint32_t dims) {
    for (uint32_t i = 0; i < dims; i++) TSL_TRY(add_label(term, TSL_EINSUM_LABELS - (int)dims + (int)i));
    return TSLIM_OK;
}

// The letters of a term, which ends at a comma, an arrow or the end; *text is moved there. The first time, to
// count: `letters` and whether there is an ellipsis; the second time, to fill `term`.
static tslim_status read_term(
    const char **text, uint32_t *letters, bool *ellipsis, uint32_t ellipsis_dims, tsl_einsum_term *term) {
    *letters = 0;
    *ellipsis = false;
    for (; **text && **text != ',' && **text != '-'; ++*text) {
        if (**text == ' ') continue;
        if (strncmp(*text, "...", 3) == 0 && !*ellipsis) {
            *ellipsis = true;
            *text += 2;
            if (term) TSL_TRY(add_ellipsis(term, ellipsis_dims));
            continue;
        }
        int label = label_of(**text);
        TSL_REQUIRE(label >= 0, TSLIM_ERROR_INVALID_ARGUMENT, "'%c' in the equation", **text);
        ++*letters;
        if (term) TSL_TRY(add_label(term, label));
    }
    return TSLIM_OK;
}

static tslim_status read_operand(
    const char **text, uint32_t index, uint32_t rank, uint32_t *most_dims, tsl_einsum_term *term) {
    const char *start = *text;
    uint32_t letters;
    bool ellipsis;
    TSL_TRY(read_term(text, &letters, &ellipsis, 0, NULL));
    TSL_REQUIRE(ellipsis ? letters <= rank : letters == rank, TSLIM_ERROR_INVALID_ARGUMENT,
        "term %u of the equation has %u letters, the operand has rank %u", index, letters, rank);
    uint32_t dims = rank - letters;
    if (dims > *most_dims) *most_dims = dims;
    *term = (tsl_einsum_term){0};
    return read_term(&start, &letters, &ellipsis, dims, term);
}

static void count_labels(const tsl_einsum *e, uint32_t *counts) {
    memset(counts, 0, TSL_EINSUM_LABELS * sizeof(*counts));
    for (uint32_t i = 0; i < e->n_operands; i++)
        for (uint32_t d = 0; d < e->operands[i].rank; d++) counts[e->operands[i].labels[d]]++;
}

static tslim_status read_output(const char *text, uint32_t ellipsis_dims, tsl_einsum *e) {
    uint32_t counts[TSL_EINSUM_LABELS], letters;
    bool ellipsis;
    count_labels(e, counts);
    if (*text == 0) {
        TSL_TRY(add_ellipsis(&e->output, ellipsis_dims));
        for (int label = 0; label < TSL_EINSUM_LETTERS; label++)
            if (counts[label] == 1) TSL_TRY(add_label(&e->output, label));
        return TSLIM_OK;
    }
    TSL_REQUIRE(strncmp(text, "->", 2) == 0, TSLIM_ERROR_INVALID_ARGUMENT, "'-' without '>' in the equation");
    text += 2;
    TSL_TRY(read_term(&text, &letters, &ellipsis, ellipsis_dims, &e->output));
    TSL_REQUIRE(
        *text == 0, TSLIM_ERROR_INVALID_ARGUMENT, "the equation goes on after its result: '%.20s'", text);
    TSL_REQUIRE(ellipsis || ellipsis_dims == 0, TSLIM_ERROR_INVALID_ARGUMENT,
        "the result of the equation lacks the ellipsis of its operands");
    for (uint32_t d = 0; d < e->output.rank; d++) {
        uint8_t label = e->output.labels[d];
        bool twice = memchr(e->output.labels, label, d) != NULL;
        TSL_REQUIRE(counts[label] > 0 && !twice, TSLIM_ERROR_INVALID_ARGUMENT,
            "dim %u of the equation's result is %s", d, twice ? "there twice" : "in no operand");
    }
    return TSLIM_OK;
}

tslim_status tsl_einsum_read(
    const char *equation, uint32_t n_operands, const uint32_t *ranks, tsl_einsum *einsum) {
    TSL_REQUIRE(n_operands <= TSL_EINSUM_OPERANDS, TSLIM_ERROR_LIMIT,
        "an equation of %u operands, at most %d", n_operands, TSL_EINSUM_OPERANDS);
    *einsum = (tsl_einsum){.n_operands = n_operands};
    uint32_t ellipsis_dims = 0;
    for (uint32_t i = 0; i < n_operands; i++) {
        TSL_TRY(read_operand(&equation, i, ranks[i], &ellipsis_dims, &einsum->operands[i]));
        bool last = i + 1 == n_operands;
        TSL_REQUIRE(last ? *equation != ',' : *equation == ',', TSLIM_ERROR_INVALID_ARGUMENT,
            "the equation has %s terms than the %u operands", last ? "more" : "fewer", n_operands);
        if (!last) equation++;
    }
    return read_output(equation, ellipsis_dims, einsum);
}
