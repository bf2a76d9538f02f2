// SPDX-License-Identifier: Apache-2.0
// What every verb shares: the common flags, the context, loading models and data, progress, results, exit
// codes.
#ifndef TOOLS_TOOL_H
#define TOOLS_TOOL_H

#include <cjson/cJSON.h>
#include <tinyslim/tinyslim.h>

#include "options.h"

#define MAX_SHAPES 64
#define MAX_OPTIONS 64

// Exit codes that are no tslim_status.
#define EXIT_DONE 0
#define EXIT_DOES_NOT_HOLD 1
#define EXIT_USAGE 2

struct verb {
    const char *name;
    const char *arguments; // "MODEL -o OUT.tslim"
    const char *summary;
    const char *example;
    int (*run)(const struct verb *verb, int argc, char **argv);
};

extern const struct verb verb_bench, verb_calibrate, verb_check, verb_compare, verb_convert, verb_eval,
    verb_export, verb_finetune, verb_gate, verb_inspect, verb_prune, verb_quantize, verb_repair, verb_report,
    verb_restore_batchnorm, verb_run, verb_sensitivity, verb_verify;

// Flags about data; see data_options.
typedef struct data_flags {
    const char *data, *labels;
    uint64_t limit;
    double scale;
    number_list mean, std;
    const char *layout, *channels, *size;
    bool scale_given;
} data_flags;

// One run of the command. Zeroed at the start; everything in it is freed by tool_finish.
struct tool {
    const struct verb *verb;
    int argc;
    char **argv;
    struct option options[MAX_OPTIONS];
    size_t n_options;
    text_list positional;
    // Common flags.
    uint64_t threads, seed;
    const char *backend_name, *isa_name;
    text_list shape_texts;
    bool quiet, json, progress, help;
    tslim_backend backend;
    tslim_input_shape shapes[MAX_SHAPES];
    char *shape_names[MAX_SHAPES];
    uint32_t n_shapes;
    // What the verb works on.
    tslim_context *context;
    tslim_graph *graph, *other_graph;
    tslim_dataset *dataset;
    tslim_session *session;
    data_flags data;
    bool reported; // the error has been told already
    bool does_not_hold; // what was checked is not so
    // The progress bar.
    double progress_start, progress_last;
    bool progress_shown;
};

// Adds flags to the verb's table.
void add_options(struct tool *tool, const struct option *options, size_t count);
#define ADD_OPTIONS(tool, ...)                                                                               \
    add_options(tool, (const struct option[]){__VA_ARGS__},                                                  \
        sizeof((const struct option[]){__VA_ARGS__}) / sizeof(struct option))
// --data, --labels, --limit, and how 8-bit images become the input.
void add_data_options(struct tool *tool, bool labels);
void add_preparation_options(struct tool *tool);

// Reads the command line and makes the context. With help or an error it has been told, and *exit_code is
// set: the verb returns it through tool_finish. `minimum` to `maximum` positional words are wanted.
tslim_status tool_start(struct tool *tool, size_t minimum, size_t maximum);

// Tells the error, frees everything, and returns the exit code.
int tool_finish(struct tool *tool, tslim_status status);

// A mistake of the user's: tells it, with a pointer to --help.
tslim_status tool_usage(struct tool *tool, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Another error that the library does not know of.
tslim_status tool_error(struct tool *tool, tslim_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// A remark on stderr, unless --quiet.
void tool_note(const struct tool *tool, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define TRY(expr)                                                                                            \
    do {                                                                                                     \
        tslim_status try_status = (expr);                                                                    \
        if (try_status != TSLIM_OK) return try_status;                                                       \
    } while (0)

// Loads a model and gives its symbolic dims the sizes of --shape where a verb measures it.
tslim_status tool_load(struct tool *tool, const char *path, tslim_graph **graph);

// How images become the input: the model's own preparation (`fallback`'s, where the model has none; may be
// NULL), with the flags over it.
tslim_status tool_preparation(struct tool *tool, const tslim_graph *graph, const tslim_graph *fallback,
    tslim_input_preparation *preparation);
// Opens --data with that preparation into tool->dataset.
tslim_status tool_open_data(
    struct tool *tool, const tslim_graph *graph, const tslim_graph *fallback, bool needs_labels);

// Shows progress where it is wanted; false once the user has interrupted. `user` is the tool.
bool tool_progress(void *user, const char *what, uint64_t done, uint64_t total);
void tool_end_progress(struct tool *tool);
void watch_signals(void);
// The signal that asked to stop, or 0.
int interruption(void);

// Writes the command line into the model's history.
tslim_status tool_add_history(struct tool *tool, tslim_graph *graph);

double seconds_now(void);
uint64_t file_bytes(const char *path);
const char *backend_name(tslim_backend backend);
tslim_status parse_backend(struct tool *tool, const char *name, tslim_backend *backend);
// INVALID_ARGUMENT for an unknown word, UNAVAILABLE where the processor lacks it.
tslim_status parse_isa(struct tool *tool, const char *name, tslim_isa *isa);

// ---- JSON ----

// An object whose first key is the schema.
cJSON *json_create(const struct tool *tool);
// Prints it to stdout, indented, and frees it. NO_MEMORY where building it failed.
tslim_status json_print(struct tool *tool, cJSON *json);
// Numbers that JSON cannot hold (infinities, NaN) become null.
void json_add_count(cJSON *object, const char *key, uint64_t value);
void json_add_real(cJSON *object, const char *key, double value);
cJSON *json_add_array(cJSON *object, const char *key);
cJSON *json_append_object(cJSON *array);
// Reads a whole JSON file.
tslim_status json_load(struct tool *tool, const char *path, cJSON **json);

#endif
