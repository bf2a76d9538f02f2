// SPDX-License-Identifier: Apache-2.0
// Reading the command line, strictly: an unknown flag, a missing value, a number with something after it or
// out of its range are errors that say which.
#include "options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool parse_count(const char *text, uint64_t *value) {
    char *end;
    if (*text < '0' || *text > '9') return false;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return errno == 0 && *end == 0;
}

bool parse_real(const char *text, double *value) {
    char *end;
    if (*text == 0 || strchr(" \t\n", *text)) return false;
    *value = strtod(text, &end);
    return *end == 0 && isfinite(*value);
}

bool parse_numbers(const char *text, number_list *numbers) {
    char part[64];
    numbers->count = 0;
    for (;;) {
        size_t length = strcspn(text, ",");
        if (length == 0 || length >= sizeof part || numbers->count == MAX_NUMBERS) return false;
        memcpy(part, text, length);
        part[length] = 0;
        if (!parse_real(part, &numbers->items[numbers->count++])) return false;
        if (text[length] == 0) return true;
        text += length + 1;
    }
}

bool parse_dims(const char *text, int64_t *dims, size_t capacity, uint32_t *rank) {
    *rank = 0;
    for (;;) {
        char *end;
        if (*text < '1' || *text > '9' || *rank == capacity) return false;
        errno = 0;
        dims[(*rank)++] = strtoll(text, &end, 10);
        if (errno != 0) return false;
        if (*end == 0) return true;
        if (*end != 'x') return false;
        text = end + 1;
    }
}

bool parse_part(const char *text, uint32_t *part, uint32_t *parts) {
    int64_t numbers[2];
    uint64_t second;
    const char *slash = strchr(text, '/');
    char first[16];
    size_t length = slash ? (size_t)(slash - text) : 0;
    if (length == 0 || length >= sizeof first) return false;
    memcpy(first, text, length);
    first[length] = 0;
    uint64_t value;
    if (!parse_count(first, &value) || !parse_count(slash + 1, &second)) return false;
    if (value < 1 || value > second || second > UINT32_MAX) return false;
    numbers[0] = (int64_t)value;
    numbers[1] = (int64_t)second;
    *part = (uint32_t)numbers[0];
    *parts = (uint32_t)numbers[1];
    return true;
}

static bool is_flag(const char *word) {
    return word[0] == '-' && word[1] != 0;
}

static bool matches(const char *word, size_t length, const char *name) {
    return name && strlen(name) == length && memcmp(word, name, length) == 0;
}

static const struct option *find(
    const struct option *options, size_t n_options, const char *word, size_t length) {
    for (size_t i = 0; i < n_options; ++i) {
        if (matches(word, length, options[i].name) || matches(word, length, options[i].letter))
            return &options[i];
    }
    return NULL;
}

// A list never holds more words than the command line.
static bool append(text_list *list, int argc, const char *word) {
    if (!list->items) list->items = calloc((size_t)argc + 1, sizeof *list->items);
    if (!list->items) return false;
    list->items[list->count++] = word;
    return true;
}

static bool in_range(const struct option *option, double value) {
    return (option->minimum == 0 && option->maximum == 0) ||
           (value >= option->minimum && value <= option->maximum);
}

static bool set_value(const struct option *option, int argc, const char *word, char *message, size_t size) {
    double real = 0;
    switch (option->kind) {
    case OPTION_SWITCH:
        break;
    case OPTION_TEXT:
        *(const char **)option->value = word;
        return true;
    case OPTION_TEXTS:
        if (append(option->value, argc, word)) return true;
        snprintf(message, size, "out of memory");
        return false;
    case OPTION_NUMBERS:
        if (parse_numbers(word, option->value)) return true;
        snprintf(message, size, "%s takes numbers with commas between, not '%s'", option->name, word);
        return false;
    case OPTION_COUNT:
        if (parse_count(word, option->value) && in_range(option, (double)*(uint64_t *)option->value))
            return true;
        if (option->maximum > 0) {
            snprintf(message, size, "%s takes a whole number from %.0f to %.0f, not '%s'", option->name,
                option->minimum, option->maximum, word);
        } else {
            snprintf(message, size, "%s takes a whole number, not '%s'", option->name, word);
        }
        return false;
    case OPTION_REAL:
        if (parse_real(word, &real) && in_range(option, real)) {
            *(double *)option->value = real;
            return true;
        }
        if (option->minimum != 0 || option->maximum != 0) {
            snprintf(message, size, "%s takes a number from %g to %g, not '%s'", option->name,
                option->minimum, option->maximum, word);
        } else {
            snprintf(message, size, "%s takes a number, not '%s'", option->name, word);
        }
        return false;
    }
    return false;
}

// Reads the flag at argv[at] and its values; returns the index of the next word, or 0 on an error.
static int parse_flag(const struct option *options, size_t n_options, int argc, char **argv, int at,
    char *message, size_t size) {
    const char *word = argv[at], *equals = strncmp(word, "--", 2) == 0 ? strchr(word, '=') : NULL;
    size_t length = equals ? (size_t)(equals - word) : strlen(word);
    const struct option *option = find(options, n_options, word, length);
    if (!option) {
        snprintf(message, size, "unknown flag '%.*s'", (int)length, word);
        return 0;
    }
    if (option->given) *option->given = true;
    if (option->kind == OPTION_SWITCH) {
        if (equals) snprintf(message, size, "%s takes no value", option->name);
        *(bool *)option->value = true;
        return equals ? 0 : at + 1;
    }
    if (equals) return set_value(option, argc, equals + 1, message, size) ? at + 1 : 0;
    if (at + 1 >= argc || (option->kind == OPTION_TEXTS && is_flag(argv[at + 1]))) {
        snprintf(message, size, "%s needs a value", option->name);
        return 0;
    }
    do {
        if (!set_value(option, argc, argv[++at], message, size)) return 0;
    } while (option->kind == OPTION_TEXTS && at + 1 < argc && !is_flag(argv[at + 1]));
    return at + 1;
}

bool options_parse(const struct option *options, size_t n_options, int argc, char **argv,
    text_list *positional, char *message, size_t message_size) {
    for (int at = 0; at < argc;) {
        if (is_flag(argv[at])) {
            at = parse_flag(options, n_options, argc, argv, at, message, message_size);
            if (at == 0) return false;
        } else if (!append(positional, argc, argv[at++])) {
            snprintf(message, message_size, "out of memory");
            return false;
        }
    }
    return true;
}

void options_clear(const struct option *options, size_t n_options, text_list *positional) {
    free(positional->items);
    *positional = (text_list){0};
    for (size_t i = 0; i < n_options; ++i) {
        if (options[i].kind != OPTION_TEXTS) continue;
        text_list *list = options[i].value;
        free(list->items);
        *list = (text_list){0};
    }
}

void options_describe(const struct option *options, size_t n_options) {
    for (size_t i = 0; i < n_options; ++i) {
        char flag[80];
        snprintf(flag, sizeof flag, "%s%s%s%s%s", options[i].letter ? options[i].letter : "",
            options[i].letter ? ", " : "", options[i].name, options[i].argument ? " " : "",
            options[i].argument ? options[i].argument : "");
        printf("  %-26s  %s\n", flag, options[i].help);
    }
}
