// SPDX-License-Identifier: Apache-2.0
// The flags about data, and how they join with what a model's file says of its input.
#include <string.h>

#include "tool.h"

void add_preparation_options(struct tool *tool) {
    data_flags *d = &tool->data;
    ADD_OPTIONS(tool,
        {"--scale", NULL, OPTION_REAL, &d->scale, "S", "8-bit images become (pixel*S - mean) / std", 0, 0,
            &d->scale_given},
        {"--mean", NULL, OPTION_NUMBERS, &d->mean, "a,b,c", "one number, or one a channel (default: 0)", 0, 0,
            NULL},
        {"--std", NULL, OPTION_NUMBERS, &d->std, "a,b,c", "one number, or one a channel (default: 1)", 0, 0,
            NULL},
        {"--layout", NULL, OPTION_TEXT, &d->layout, "nchw|nhwc", "how the input lies (default: nchw)", 0, 0,
            NULL},
        {"--channels", NULL, OPTION_TEXT, &d->channels, "rgb|bgr|gray", "of image files (default: rgb)", 0, 0,
            NULL},
        {"--size", NULL, OPTION_TEXT, &d->size, "HxW", "what image files are resized to", 0, 0, NULL});
}

void add_data_options(struct tool *tool, bool labels) {
    data_flags *d = &tool->data;
    ADD_OPTIONS(tool, {"--data", NULL, OPTION_TEXT, &d->data, "PATH",
                          ".npy, .npz, IDX (.gz or not) or a folder of PNG and JPEG images", 0, 0, NULL});
    if (labels) {
        ADD_OPTIONS(tool, {"--labels", NULL, OPTION_TEXT, &d->labels, "PATH",
                              "an .npy or IDX file of integers", 0, 0, NULL});
    }
    ADD_OPTIONS(
        tool, {"--limit", NULL, OPTION_COUNT, &d->limit, "N", "the first N samples only", 1, 1e18, NULL});
    add_preparation_options(tool);
}

// The place of `word` in a list of words; `count` when it is none of them.
static uint32_t find_word(const char *word, const char *const *words, uint32_t count) {
    uint32_t i = 0;
    while (i < count && strcmp(word, words[i]) != 0) ++i;
    return i;
}

// Means and deviations are as many as the longer list says; one number counts for all channels.
static tslim_status join_statistics(struct tool *tool, tslim_input_preparation *preparation) {
    const number_list *mean = &tool->data.mean, *std = &tool->data.std;
    size_t longest = mean->count > std->count ? mean->count : std->count;
    if (longest == 0) return TSLIM_OK;
    if (longest > 4) return tool_usage(tool, "--mean and --std take 1 to 4 numbers, not %zu", longest);
    if ((mean->count > 1 && mean->count != longest) || (std->count > 1 && std->count != longest)) {
        return tool_usage(tool, "--mean has %zu numbers, --std %zu", mean->count, std->count);
    }
    // What a flag does not give is kept from the model.
    if (longest < preparation->n_channels && preparation->scale != 0 && longest == 1)
        longest = preparation->n_channels;
    for (size_t c = 0; c < longest; ++c) {
        size_t old = c < preparation->n_channels ? c : 0;
        float old_mean = preparation->mean[old], old_std = preparation->std[old];
        preparation->mean[c] = mean->count ? (float)mean->items[mean->count == 1 ? 0 : c] : old_mean;
        preparation->std[c] = std->count ? (float)std->items[std->count == 1 ? 0 : c] : old_std;
    }
    preparation->n_channels = (uint32_t)longest;
    return TSLIM_OK;
}

tslim_status tool_preparation(struct tool *tool, const tslim_graph *graph, const tslim_graph *fallback,
    tslim_input_preparation *preparation) {
    static const char *const layouts[] = {"nchw", "nhwc"}, *const channels[] = {"rgb", "bgr", "gray"};
    const data_flags *d = &tool->data;
    tslim_dataset_options defaults;
    tslim_dataset_options_init(&defaults);
    *preparation = defaults.preparation;
    TRY(tslim_graph_get_preparation(graph, preparation));
    if (preparation->scale == 0 && fallback) TRY(tslim_graph_get_preparation(fallback, preparation));
    if (preparation->scale == 0) *preparation = defaults.preparation;
    if (d->scale_given) preparation->scale = (float)d->scale;
    if (d->scale_given && preparation->scale == 0)
        return tool_usage(tool, "--scale 0 makes every pixel the same");
    TRY(join_statistics(tool, preparation));
    // Without a scale the numbers are the pixels' own; with one, a model's file says that this is known.
    bool any = d->mean.count || d->std.count || d->layout || d->channels || d->size;
    if (any && preparation->scale == 0) preparation->scale = 1;
    if (d->layout) {
        preparation->layout = find_word(d->layout, layouts, 2);
        if (preparation->layout == 2)
            return tool_usage(tool, "--layout takes nchw or nhwc, not '%s'", d->layout);
    }
    if (d->channels) {
        preparation->channels = find_word(d->channels, channels, 3);
        if (preparation->channels == 3) {
            return tool_usage(tool, "--channels takes rgb, bgr or gray, not '%s'", d->channels);
        }
    }
    if (d->size) {
        int64_t size[2];
        uint32_t rank;
        if (!parse_dims(d->size, size, 2, &rank) || rank != 2 || size[0] > 65535 || size[1] > 65535) {
            return tool_usage(tool, "--size takes HxW, not '%s'", d->size);
        }
        preparation->height = (uint32_t)size[0];
        preparation->width = (uint32_t)size[1];
    }
    return TSLIM_OK;
}

tslim_status tool_open_data(
    struct tool *tool, const tslim_graph *graph, const tslim_graph *fallback, bool needs_labels) {
    tslim_dataset_options options;
    if (!tool->data.data) return tool_usage(tool, "--data is missing");
    if (needs_labels && !tool->data.labels) return tool_usage(tool, "--labels is missing");
    tslim_dataset_options_init(&options);
    options.labels = tool->data.labels;
    options.limit = tool->data.limit;
    TRY(tool_preparation(tool, graph, fallback, &options.preparation));
    return tslim_dataset_open(tool->context, tool->data.data, &options, &tool->dataset);
}
