// SPDX-License-Identifier: Apache-2.0
// The command line: a verb declares its flags in a table, and they are read, checked and described from it.
#ifndef TOOLS_OPTIONS_H
#define TOOLS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_NUMBERS 64

// What a flag's value is.
typedef enum option_kind {
    OPTION_SWITCH, // none: a bool becomes true
    OPTION_TEXT, // const char *
    OPTION_COUNT, // uint64_t, from `minimum` to `maximum`
    OPTION_REAL, // double, from `minimum` to `maximum`
    OPTION_NUMBERS, // number_list, "0.1,0.2"
    OPTION_TEXTS // text_list: every word up to the next flag; may be repeated
} option_kind;

typedef struct number_list {
    double items[MAX_NUMBERS];
    size_t count;
} number_list;

// Words of the command line, which are not copied. `items` is allocated by options_parse.
typedef struct text_list {
    const char **items;
    size_t count;
} text_list;

struct option {
    const char *name; // "--limit"
    const char *letter; // "-o", or NULL
    option_kind kind;
    void *value;
    const char *argument; // how help calls the value; NULL for a switch
    const char *help;
    double minimum, maximum; // both 0: any
    bool *given; // set to true when the flag is there; may be NULL
};

// Reads the words after the verb. Those that belong to no flag go to `positional`. On an error writes what is
// wrong into `message` and returns false. The lists are freed with options_clear in any case.
bool options_parse(const struct option *options, size_t n_options, int argc, char **argv,
    text_list *positional, char *message, size_t message_size);
void options_clear(const struct option *options, size_t n_options, text_list *positional);

// One line a flag, to stdout.
void options_describe(const struct option *options, size_t n_options);

// A whole number or a real, with nothing after it.
bool parse_count(const char *text, uint64_t *value);
bool parse_real(const char *text, double *value);
bool parse_numbers(const char *text, number_list *numbers);

// "3x224x224" into at most `capacity` dims, each at least 1.
bool parse_dims(const char *text, int64_t *dims, size_t capacity, uint32_t *rank);

// "2/8": 1 <= part <= parts.
bool parse_part(const char *text, uint32_t *part, uint32_t *parts);

#endif
