// SPDX-License-Identifier: Apache-2.0
// The frame of every verb: from the command line to a context, and from a status to an exit code.
#include "tool.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void add_options(struct tool *tool, const struct option *options, size_t count) {
    for (size_t i = 0; i < count && tool->n_options < MAX_OPTIONS; ++i)
        tool->options[tool->n_options++] = options[i];
}

static void add_common_options(struct tool *tool) {
    ADD_OPTIONS(tool,
        {"--shape", NULL, OPTION_TEXTS, &tool->shape_texts, "[NAME=]1x3x640x640",
            "sizes of an input's symbolic dims", 0, 0, NULL},
        {"--threads", NULL, OPTION_COUNT, &tool->threads, "N", "threads (default: the machine's cores)", 1,
            4096, NULL},
        {"--backend", NULL, OPTION_TEXT, &tool->backend_name, "cpu|cuda", "where to run (default: cpu)", 0, 0,
            NULL},
        {"--isa", NULL, OPTION_TEXT, &tool->isa_name, "LEVEL",
            "portable, avx2, avxvnni, avx512, avx512vnni, neon or neondot (default: the best)", 0, 0, NULL},
        {"--seed", NULL, OPTION_COUNT, &tool->seed, "N", "for what is random (default: 0)", 0, 0, NULL},
        {"--json", NULL, OPTION_SWITCH, &tool->json, NULL, "print the result as one JSON object", 0, 0, NULL},
        {"--progress", NULL, OPTION_SWITCH, &tool->progress, NULL, "show progress, also without a terminal",
            0, 0, NULL},
        {"--quiet", NULL, OPTION_SWITCH, &tool->quiet, NULL, "no progress and no remarks", 0, 0, NULL},
        {"--help", "-h", OPTION_SWITCH, &tool->help, NULL, "this text", 0, 0, NULL});
}

static void print_help(const struct tool *tool) {
    printf("usage: tinyslim %s %s\n\n%s\n\n", tool->verb->name, tool->verb->arguments, tool->verb->summary);
    options_describe(tool->options, tool->n_options);
    printf("\nexample:\n  %s\n", tool->verb->example);
}

static void tell(const struct tool *tool, const char *format, va_list arguments) {
    fprintf(stderr, "tinyslim %s: ", tool->verb->name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

tslim_status tool_usage(struct tool *tool, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    tell(tool, format, arguments);
    va_end(arguments);
    fprintf(stderr, "'tinyslim %s --help' shows its flags\n", tool->verb->name);
    tool->reported = true;
    return TSLIM_ERROR_INVALID_ARGUMENT;
}

tslim_status tool_error(struct tool *tool, tslim_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    tell(tool, format, arguments);
    va_end(arguments);
    tool->reported = true;
    return status;
}

void tool_note(const struct tool *tool, const char *format, ...) {
    va_list arguments;
    if (tool->quiet) return;
    va_start(arguments, format);
    tell(tool, format, arguments);
    va_end(arguments);
}

const char *backend_name(tslim_backend backend) {
    return backend == TSLIM_BACKEND_CUDA ? "cuda" : "cpu";
}

tslim_status parse_backend(struct tool *tool, const char *name, tslim_backend *backend) {
    if (strcmp(name, "cpu") == 0) {
        *backend = TSLIM_BACKEND_CPU;
    } else if (strcmp(name, "cuda") == 0) {
        *backend = TSLIM_BACKEND_CUDA;
    } else {
        return tool_usage(tool, "backend '%s' is not cpu or cuda", name);
    }
    return TSLIM_OK;
}

tslim_status parse_isa(struct tool *tool, const char *name, tslim_isa *isa) {
    if (tslim_isa_from_name(name, isa) != TSLIM_OK)
        return tool_usage(tool, "no instruction set is called '%s'", name);
    if (tslim_isa_available(*isa)) return TSLIM_OK;
    return tool_error(tool, TSLIM_ERROR_UNAVAILABLE, "this processor (%s) has no %s", tslim_cpu_name(), name);
}

// "NAME=1x3x8x8" or "1x3x8x8". Names may hold '=' themselves: the last one counts.
static tslim_status parse_shapes(struct tool *tool) {
    for (size_t i = 0; i < tool->shape_texts.count; ++i) {
        const char *text = tool->shape_texts.items[i], *equals = strrchr(text, '=');
        if (tool->n_shapes == MAX_SHAPES) return tool_usage(tool, "more than %d shapes", MAX_SHAPES);
        tslim_input_shape *shape = &tool->shapes[tool->n_shapes];
        if (!parse_dims(equals ? equals + 1 : text, shape->dims, TSLIM_MAX_RANK, &shape->rank)) {
            return tool_usage(tool, "--shape takes [NAME=]1x3x640x640, not '%s'", text);
        }
        if (equals) {
            char *name = strndup(text, (size_t)(equals - text));
            if (!name) return tool_error(tool, TSLIM_ERROR_NO_MEMORY, "out of memory");
            shape->name = tool->shape_names[tool->n_shapes] = name;
        }
        tool->n_shapes++;
    }
    return TSLIM_OK;
}

static void on_log(void *user, tslim_log_level level, const char *message) {
    if (level <= TSLIM_LOG_WARNING) tool_note(user, "%s", message);
}

static tslim_status create_context(struct tool *tool) {
    tslim_context_options options;
    tslim_context_options_init(&options);
    options.n_threads = (uint32_t)tool->threads;
    options.log = on_log;
    options.log_user = tool;
    if (tool->isa_name) TRY(parse_isa(tool, tool->isa_name, &options.isa));
    tslim_status status = tslim_context_create(&options, &tool->context);
    if (status == TSLIM_OK) return status;
    const char *forced = getenv("TINYSLIM_ISA");
    return tool_error(tool, status, "the library does not start: %s%s%s", tslim_status_name(status),
        forced && *forced ? "; TINYSLIM_ISA asks for " : "", forced ? forced : "");
}

tslim_status tool_start(struct tool *tool, size_t minimum, size_t maximum) {
    char message[256] = "";
    add_common_options(tool);
    bool good = options_parse(
        tool->options, tool->n_options, tool->argc, tool->argv, &tool->positional, message, sizeof message);
    if (tool->help) {
        print_help(tool);
        tool->reported = true;
        return TSLIM_ERROR_CANCELLED;
    }
    if (!good) return tool_usage(tool, "%s", message);
    if (tool->positional.count < minimum) {
        return tool_usage(tool, "%zu of %zu arguments of 'tinyslim %s %s'", tool->positional.count, minimum,
            tool->verb->name, tool->verb->arguments);
    }
    if (tool->positional.count > maximum) {
        return tool_usage(tool, "unexpected argument '%s'", tool->positional.items[maximum]);
    }
    if (tool->backend_name) TRY(parse_backend(tool, tool->backend_name, &tool->backend));
    TRY(parse_shapes(tool));
    TRY(create_context(tool));
    watch_signals();
    return TSLIM_OK;
}

static int exit_code(const struct tool *tool, tslim_status status) {
    if (tool->help) return EXIT_DONE;
    switch (status) {
    case TSLIM_OK:
        return tool->does_not_hold ? EXIT_DOES_NOT_HOLD : EXIT_DONE;
    case TSLIM_ERROR_INVALID_ARGUMENT:
        return EXIT_USAGE;
    case TSLIM_ERROR_UNSUPPORTED:
        return 3;
    case TSLIM_ERROR_BAD_FILE:
        return 4;
    case TSLIM_ERROR_IO:
        return 5;
    case TSLIM_ERROR_NO_MEMORY:
    case TSLIM_ERROR_LIMIT:
        return 6;
    case TSLIM_ERROR_UNAVAILABLE:
        return 7;
    case TSLIM_ERROR_CANCELLED:
        return 128 + interruption();
    default:
        return 70;
    }
}

// Dims that no flag gave a size were taken as 1, at which many a model cannot run.
static bool sizes_were_guessed(const struct tool *tool) {
    tslim_tensor_info info;
    for (uint32_t i = 0; tool->graph && i < tslim_graph_input_count(tool->graph); i++) {
        if (tslim_graph_input_info(tool->graph, i, &info) != TSLIM_OK) continue;
        for (uint32_t d = 1; d < info.rank; d++)
            if (info.dims[d] < 0) return tool->n_shapes == 0;
    }
    return false;
}

int tool_finish(struct tool *tool, tslim_status status) {
    tool_end_progress(tool);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        if (status == TSLIM_OK) status = tool_error(tool, TSLIM_ERROR_IO, "the result could not be written");
    }
    if (status != TSLIM_OK && !tool->reported) {
        const char *message = tool->context ? tslim_context_message(tool->context) : "";
        const char *hint = status == TSLIM_ERROR_INVALID_ARGUMENT && sizes_were_guessed(tool)
                               ? "\n(give the model's symbolic dims a size: --shape 1x3x320x320, for example)"
                               : "";
        tool_error(tool, status, "%s%s", *message ? message : tslim_status_name(status), hint);
    }
    tslim_session_destroy(tool->session);
    tslim_dataset_destroy(tool->dataset);
    tslim_graph_destroy(tool->graph);
    tslim_graph_destroy(tool->other_graph);
    tslim_context_destroy(tool->context);
    for (uint32_t i = 0; i < tool->n_shapes; ++i) free(tool->shape_names[i]);
    options_clear(tool->options, tool->n_options, &tool->positional);
    return exit_code(tool, status);
}

tslim_status tool_load(struct tool *tool, const char *path, tslim_graph **graph) {
    return tslim_graph_load_file(tool->context, path, graph);
}

uint64_t file_bytes(const char *path) {
    struct stat about;
    return stat(path, &about) == 0 ? (uint64_t)about.st_size : 0;
}

tslim_status tool_add_history(struct tool *tool, tslim_graph *graph) {
    char line[1024];
    size_t length = (size_t)snprintf(line, sizeof line, "%s", tool->verb->name);
    for (int i = 0; i < tool->argc && length < sizeof line; ++i) {
        int added = snprintf(line + length, sizeof line - length, " %s", tool->argv[i]);
        if (added < 0) break;
        length += (size_t)added;
    }
    return tslim_graph_history_add(graph, line);
}
