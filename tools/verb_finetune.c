// SPDX-License-Identifier: Apache-2.0
// tinyslim finetune: training after pruning, from labels, from the original, or from both.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

#define LARGEST 1e9

typedef struct tuning {
    struct tool tool;
    tslim_train_options options;
    const char *output, *teacher, *validation_data, *validation_labels, *optimizer, *schedule, *loss,
        *teacher_loss, *augment;
    uint64_t epochs, batch, step_epochs, shift, patience, memory;
    double crop;
    text_list features, teacher_features;
    bool crop_given;
    tslim_dataset *validation;
    tslim_epoch *epochs_done;
    size_t n_epochs;
} tuning;

static void declare_options(tuning *t) {
    struct tool *tool = &t->tool;
    tslim_train_options *o = &t->options;
    ADD_OPTIONS(tool,
        {"--output", "-o", OPTION_TEXT, &t->output, "OUT", "an .onnx or .tslim file", 0, 0, NULL},
        {"--teacher", NULL, OPTION_TEXT, &t->teacher, "MODEL",
            "whose outputs are learned: the model before pruning", 0, 0, NULL},
        {"--epochs", NULL, OPTION_COUNT, &t->epochs, "E", "(default: 3)", 1, 1000000, NULL},
        {"--lr", NULL, OPTION_REAL, &o->learning_rate, "R", "learning rate (default: 0.01)", 0, 0, NULL},
        {"--batch", NULL, OPTION_COUNT, &t->batch, "N", "samples a step (default: 32)", 1, 65536, NULL},
        {"--val-data", NULL, OPTION_TEXT, &t->validation_data, "PATH",
            "measured after each epoch; the best is kept", 0, 0, NULL},
        {"--val-labels", NULL, OPTION_TEXT, &t->validation_labels, "PATH", "its labels", 0, 0, NULL},
        {"--patience", NULL, OPTION_COUNT, &t->patience, "N", "stop after N epochs that bring nothing", 1,
            LARGEST, NULL},
        {"--optimizer", NULL, OPTION_TEXT, &t->optimizer, "sgd|adamw", "(default: sgd)", 0, 0, NULL},
        {"--momentum", NULL, OPTION_REAL, &o->momentum, "M", "(default: 0.9)", 0, 0, NULL},
        {"--nesterov", NULL, OPTION_SWITCH, &o->nesterov, NULL, "Nesterov's form of momentum", 0, 0, NULL},
        {"--weight-decay", NULL, OPTION_REAL, &o->weight_decay, "W", "of weights alone (default: 0)", 0, 0,
            NULL},
        {"--clip", NULL, OPTION_REAL, &o->clip_norm, "L", "shorten gradients to this length", 0, 0, NULL},
        {"--ema", NULL, OPTION_REAL, &o->average_decay, "D", "keep the moving average of the weights: 0.999",
            0, 0, NULL},
        {"--schedule", NULL, OPTION_TEXT, &t->schedule, "cosine|constant|step", "(default: cosine)", 0, 0,
            NULL},
        {"--warmup", NULL, OPTION_REAL, &o->warmup_epochs, "E", "epochs in which the rate rises", 0, 0, NULL},
        {"--step-epochs", NULL, OPTION_COUNT, &t->step_epochs, "E", "of --schedule step (default: 1)", 1,
            LARGEST, NULL},
        {"--step-factor", NULL, OPTION_REAL, &o->step_factor, "F", "of --schedule step (default: 0.1)", 0, 0,
            NULL});
    ADD_OPTIONS(tool,
        {"--loss", NULL, OPTION_TEXT, &t->loss, "L",
            "cross-entropy, mse, bce or ctc (default: as the data is)", 0, 0, NULL},
        {"--target", NULL, OPTION_TEXT, &o->target, "NAME",
            "array of an .npz that the output is compared with", 0, 0, NULL},
        {"--label-smoothing", NULL, OPTION_REAL, &o->label_smoothing, "S", "(default: 0)", 0, 0, NULL},
        {"--teacher-loss", NULL, OPTION_TEXT, &t->teacher_loss, "L",
            "kl, mse or bce (default: as the outputs are)", 0, 0, NULL},
        {"--teacher-weight", NULL, OPTION_REAL, &o->teacher_weight, "W", "beside labels (default: 0.5)", 0, 0,
            NULL},
        {"--temperature", NULL, OPTION_REAL, &o->temperature, "T", "of kl (default: 1)", 0, 0, NULL},
        {"--features", NULL, OPTION_TEXTS, &t->features, "NAME...", "values that should be as in the teacher",
            0, 0, NULL},
        {"--teacher-features", NULL, OPTION_TEXTS, &t->teacher_features, "NAME...",
            "their names there, if others", 0, 0, NULL},
        {"--feature-weight", NULL, OPTION_REAL, &o->feature_weight, "W", "(default: 1)", 0, 0, NULL},
        {"--augment", NULL, OPTION_TEXT, &t->augment, "flip,shift,crop", "change images at random", 0, 0,
            NULL},
        {"--shift-pixels", NULL, OPTION_COUNT, &t->shift, "N", "of --augment shift (default: 2)", 1, 4096,
            NULL},
        {"--crop-fraction", NULL, OPTION_REAL, &t->crop, "F",
            "of --augment crop: the least part (default: 0.8)", 0, 1, &t->crop_given},
        {"--freeze-statistics", NULL, OPTION_SWITCH, &o->freeze_statistics, NULL, "of BatchNormalization", 0,
            0, NULL},
        {"--checkpoint", NULL, OPTION_TEXT, &o->checkpoint, "FILE", "written after each epoch", 0, 0, NULL},
        {"--resume", NULL, OPTION_SWITCH, &o->resume, NULL, "go on from the checkpoint, if it is there", 0, 0,
            NULL},
        {"--memory", NULL, OPTION_COUNT, &t->memory, "MB", "of samples (default: 1024)", 1, LARGEST, NULL});
    add_data_options(tool, true);
}

// The place of `word` in `words`, as an option's value.
static tslim_status choose(struct tool *tool, const char *flag, const char *word, const char *const *words,
    uint32_t count, uint32_t *value) {
    if (!word) return TSLIM_OK;
    for (*value = 0; *value < count; ++*value)
        if (words[*value] && strcmp(word, words[*value]) == 0) return TSLIM_OK;
    return tool_usage(tool, "%s does not take '%s'", flag, word);
}

static tslim_status choose_augmentation(tuning *t) {
    if (!t->augment && (t->shift || t->crop_given)) return tool_usage(&t->tool, "--augment is missing");
    for (const char *at = t->augment; at && *at;) {
        size_t length = strcspn(at, ",");
        if (length == 4 && strncmp(at, "flip", 4) == 0)
            t->options.flip = true;
        else if (length == 5 && strncmp(at, "shift", 5) == 0)
            t->options.shift = t->shift ? (uint32_t)t->shift : 2;
        else if (length == 4 && strncmp(at, "crop", 4) == 0)
            t->options.crop = t->crop_given ? t->crop : 0.8;
        else
            return tool_usage(&t->tool, "--augment takes flip, shift and crop, not '%s'", t->augment);
        at += length + (at[length] == ',');
    }
    return TSLIM_OK;
}

static tslim_status choose_options(tuning *t) {
    static const char *const optimizers[] = {"sgd", "adamw"},
                             *const schedules[] = {"cosine", "constant", "step"},
                             *const losses[] = {"auto", "cross-entropy", "mse", "bce", "ctc", "kl"};
    struct tool *tool = &t->tool;
    tslim_train_options *o = &t->options;
    uint32_t optimizer = 0, schedule = 0, loss = 0, teacher_loss = 0;
    if (!t->output) return tool_usage(tool, "-o is missing");
    TRY(choose(tool, "--optimizer", t->optimizer, optimizers, 2, &optimizer));
    TRY(choose(tool, "--schedule", t->schedule, schedules, 3, &schedule));
    TRY(choose(tool, "--loss", t->loss, losses, 5, &loss));
    TRY(choose(tool, "--teacher-loss", t->teacher_loss, losses, 6, &teacher_loss));
    TRY(choose_augmentation(t));
    if (t->validation_labels && !t->validation_data) return tool_usage(tool, "--val-labels needs --val-data");
    if (t->teacher_features.count > 0 && t->teacher_features.count != t->features.count)
        return tool_usage(
            tool, "%zu --features and %zu --teacher-features", t->features.count, t->teacher_features.count);
    o->optimizer = (tslim_optimizer)optimizer;
    o->schedule = (tslim_schedule)schedule;
    o->loss = (tslim_loss)loss;
    o->teacher_loss = (tslim_loss)teacher_loss;
    if (t->epochs) o->epochs = (uint32_t)t->epochs;
    if (t->batch) o->batch = (uint32_t)t->batch;
    if (t->step_epochs) o->step_epochs = (uint32_t)t->step_epochs;
    if (t->memory) o->memory_bytes = t->memory << 20;
    o->patience = (uint32_t)t->patience;
    o->seed = tool->seed;
    o->features = t->features.items;
    o->teacher_features = t->teacher_features.count ? t->teacher_features.items : NULL;
    o->n_features = (uint32_t)t->features.count;
    o->progress = tool_progress;
    o->progress_user = tool;
    return TSLIM_OK;
}

static tslim_status open_validation(tuning *t) {
    struct tool *tool = &t->tool;
    tslim_dataset_options options;
    if (!t->validation_data) return TSLIM_OK;
    tslim_dataset_options_init(&options);
    options.labels = t->validation_labels;
    TRY(tool_preparation(tool, tool->graph, tool->other_graph, &options.preparation));
    TRY(tslim_dataset_open(tool->context, t->validation_data, &options, &t->validation));
    t->options.validation = t->validation;
    return TSLIM_OK;
}

static bool on_epoch(void *user, const tslim_epoch *epoch) {
    tuning *t = user;
    t->epochs_done[t->n_epochs++] = *epoch;
    tool_end_progress(&t->tool);
    if (t->tool.json) return true;
    printf("epoch %2u  rate %-9.3g  loss %-9.5g", epoch->epoch, epoch->learning_rate, epoch->train_loss);
    if (!isnan(epoch->validation_loss)) printf("  validation loss %-9.5g", epoch->validation_loss);
    if (!isnan(epoch->validation_top1)) printf("  top1 %.4f", epoch->validation_top1);
    epoch->resumed ? printf("  (from the checkpoint)") : printf("  %.1f s", epoch->seconds);
    printf("%s\n", epoch->best && t->validation ? "  best" : "");
    fflush(stdout);
    return true;
}

static tslim_status print_as_json(tuning *t) {
    cJSON *json = json_create(&t->tool);
    cJSON_AddStringToObject(json, "model", t->tool.positional.items[0]);
    cJSON_AddStringToObject(json, "output", t->output);
    cJSON *list = json_add_array(json, "epochs");
    for (size_t i = 0; i < t->n_epochs; ++i) {
        const tslim_epoch *epoch = &t->epochs_done[i];
        cJSON *item = json_append_object(list);
        json_add_count(item, "epoch", epoch->epoch);
        json_add_real(item, "learning_rate", epoch->learning_rate);
        json_add_real(item, "train_loss", epoch->train_loss);
        json_add_real(item, "validation_loss", epoch->validation_loss);
        json_add_real(item, "validation_top1", epoch->validation_top1);
        cJSON_AddBoolToObject(item, "best", epoch->best);
        cJSON_AddBoolToObject(item, "resumed", epoch->resumed);
        json_add_real(item, "seconds", epoch->seconds);
    }
    return json_print(&t->tool, json);
}

static tslim_status train(tuning *t) {
    struct tool *tool = &t->tool;
    tslim_input_preparation preparation;
    TRY(tool_load(tool, tool->positional.items[0], &tool->graph));
    if (t->teacher) TRY(tool_load(tool, t->teacher, &tool->other_graph));
    t->options.teacher = tool->other_graph;
    TRY(tool_preparation(tool, tool->graph, tool->other_graph, &preparation));
    TRY(tool_open_data(tool, tool->graph, tool->other_graph, false));
    TRY(open_validation(t));
    TRY(tslim_graph_set_preparation(tool->graph, &preparation));
    t->epochs_done = calloc(t->options.epochs, sizeof *t->epochs_done);
    if (!t->epochs_done) return tool_error(tool, TSLIM_ERROR_NO_MEMORY, "out of memory");
    TRY(tslim_finetune(tool->graph, tool->dataset, &t->options, on_epoch, t));
    tool_end_progress(tool);
    TRY(tool_add_history(tool, tool->graph));
    return tslim_graph_save_file(tool->graph, t->output, TSLIM_FORMAT_FROM_NAME);
}

static tslim_status work(tuning *t) {
    tslim_train_options_init(&t->options);
    declare_options(t);
    TRY(tool_start(&t->tool, 1, 1));
    TRY(choose_options(t));
    TRY(train(t));
    return t->tool.json ? print_as_json(t) : TSLIM_OK;
}

static int run(const struct verb *verb, int argc, char **argv) {
    tuning t = {.tool = {.verb = verb, .argc = argc, .argv = argv}};
    tslim_status status = work(&t);
    tslim_dataset_destroy(t.validation);
    free(t.epochs_done);
    return tool_finish(&t.tool, status);
}

const struct verb verb_finetune = {"finetune",
    "MODEL --data D [--labels L] [--teacher ORIGINAL] [--val-data D --val-labels L] -o OUT",
    "training: what pruning has cost is won back",
    "tinyslim finetune pruned.onnx --data images.npy --labels labels.npy --epochs 3 --lr 0.01 --batch 128 -o "
    "tuned.onnx",
    run};
