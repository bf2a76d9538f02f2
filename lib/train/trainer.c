// SPDX-License-Identifier: Apache-2.0
// The training loop: epochs of steps, each epoch measured, kept and written down.
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "train/augment.h"
#include "train/checkpoint.h"
#include "train/feeding.h"
#include "train/optimizer.h"
#include "train/options.h"
#include "train/schedule.h"

typedef struct trainer {
    tslim_graph *graph; // the user's, not changed before all is done
    const tslim_train_options *options;
    tslim_epoch_callback callback;
    void *user;
    tsl_arena arena;
    tsl_feeding feeding, validation_feeding;
    tsl_samples samples, validation_samples;
    tsl_teacher teacher;
    tsl_trainable trainable;
    tsl_weights weights;
    tsl_network network;
    tsl_training_state state;
    void *spare[TSL_MAX_ARRAYS]; // of arrays that are augmented: where the images go; else NULL
    bool interleaved; // images have their channels side by side
    uint64_t steps; // of an epoch
} trainer;

// ---- Steps ----

typedef struct augment_task {
    const trainer *t;
    uint32_t array;
    uint64_t epoch;
} augment_task;

// Each sample draws from numbers of its own, whichever thread it falls to.
static void augment_images(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const augment_task *task = task_data;
    const trainer *t = task->t;
    const tsl_batch *batch = &t->samples.batch;
    const tslim_tensor *array = &batch->arrays[task->array];
    const int64_t *d = array->dims + 1;
    const int64_t channels = t->interleaved ? d[2] : d[0], height = t->interleaved ? d[0] : d[1],
                  width = t->interleaved ? d[1] : d[2];
    const size_t row = batch->rows[task->array];
    for (size_t i = begin; i < end; i++) {
        tsl_rng rng;
        tsl_rng_seed(&rng, tsl_mix_seed(~t->options->seed, task->epoch, batch->samples[i]));
        const tsl_augment_view view = tsl_augment_draw(t->options, &rng, height, width);
        tsl_augment_image(&view, channels, height, width, t->interleaved,
            (const float *)((const uint8_t *)array->data + i * row),
            (float *)((uint8_t *)t->spare[task->array] + i * row));
    }
}

static void augment(trainer *t, uint64_t epoch) {
    for (uint32_t a = 0; a < t->samples.batch.n_arrays; a++) {
        if (!t->spare[a]) continue;
        augment_task task = {t, a, epoch};
        tsl_parallel_for(t->graph->ctx, t->samples.batch.count, 4, augment_images, &task);
        void *augmented = t->spare[a];
        t->spare[a] = t->samples.batch.arrays[a].data;
        t->samples.batch.arrays[a].data = augmented;
    }
}

// Gradients over the longest allowed are shortened (Pascanu et al., 2013, arXiv:1211.5063).
static float clip_factor(const trainer *t) {
    if (t->options->clip_norm == 0) return 1;
    double norm = tsl_gradient_norm(&t->weights, t->network.gradients);
    return norm > t->options->clip_norm ? (float)(t->options->clip_norm / norm) : 1;
}

static void take_statistics(trainer *t) {
    for (uint32_t i = t->weights.n_parameters; i < t->weights.n_items; i++) {
        const tsl_weight *item = &t->weights.items[i];
        const tslim_tensor *next =
            &t->network.outputs[t->network.first_statistic + i - t->weights.n_parameters];
        memcpy(t->weights.values + item->offset, next->data, item->count * sizeof(float));
    }
}

static tslim_status run_step(trainer *t, uint64_t epoch, uint64_t step, double rate, double *loss) {
    TSL_TRY(tsl_samples_next(&t->samples));
    augment(t, epoch);
    TSL_TRY(tsl_teacher_run(&t->teacher, &t->feeding, &t->samples.batch));
    TSL_TRY(tsl_network_run(&t->network, &t->samples.batch, &t->teacher, loss));
    TSL_REQUIRE(isfinite(*loss), TSLIM_ERROR_INVALID_ARGUMENT,
        "the loss is %g in epoch %" PRIu64 ", step %" PRIu64 ": a smaller learning rate (it is %g) may help",
        *loss, epoch + 1, step - epoch * t->steps + 1, rate);
    tsl_optimizer_step(t->options, &t->weights, t->network.gradients, clip_factor(t), rate, step);
    take_statistics(t);
    if (t->weights.average) tsl_weights_average(&t->weights, t->options->average_decay);
    return TSLIM_OK;
}

static tslim_status run_epoch(trainer *t, uint32_t epoch, tsl_epoch_record *record) {
    const tslim_train_options *o = t->options;
    double sum = 0, loss;
    tsl_samples_begin(&t->samples, epoch);
    for (uint64_t i = 0; i < t->steps; i++) {
        const uint64_t step = epoch * t->steps + i;
        record->learning_rate = tsl_schedule_rate(o, step, t->steps);
        TSL_TRY(run_step(t, epoch, step, record->learning_rate, &loss));
        sum += loss;
        bool go_on = !o->progress || o->progress(o->progress_user, "steps", step + 1, o->epochs * t->steps);
        TSL_REQUIRE(
            go_on, TSLIM_ERROR_CANCELLED, "cancelled in epoch %" PRIu32 " of %" PRIu32, epoch + 1, o->epochs);
    }
    record->train_loss = sum / (double)t->steps;
    return TSLIM_OK;
}

// ---- Epochs ----

// What would be kept now.
static const float *current_weights(const trainer *t) {
    return t->weights.average ? t->weights.average : t->weights.values;
}

static tslim_status validate(trainer *t, tsl_epoch_record *record) {
    tslim_graph *copy;
    tsl_network network = {0};
    tsl_validation result = {NAN, NAN};
    TSL_TRY(tslim_graph_clone(t->graph, &copy));
    tslim_status status = tsl_weights_store(&t->weights, current_weights(t), copy);
    if (status == TSLIM_OK)
        status = tsl_network_init_validation(
            &network, copy, &t->validation_feeding, &t->validation_samples.batch, &t->teacher);
    if (status == TSLIM_OK)
        status = tsl_network_validate(&network, &t->validation_samples, &t->teacher, &result);
    tsl_network_clear(&network);
    tslim_graph_destroy(copy);
    record->validation_loss = result.loss;
    record->validation_top1 = result.top1;
    return status == TSLIM_OK ? status : tsl_fail_prefix(status, "validation");
}

static bool is_better(const tsl_epoch_record *a, const tsl_epoch_record *b) {
    if (a->validation_top1 > b->validation_top1) return true;
    if (a->validation_top1 < b->validation_top1) return false;
    return a->validation_loss < b->validation_loss;
}

static void keep_best(trainer *t, uint32_t epoch, tsl_epoch_record *record) {
    const uint32_t best = t->state.best_epoch;
    record->best = best == 0 || !t->options->validation || is_better(record, &t->state.history[best - 1]);
    if (!record->best) return;
    t->state.best_epoch = epoch + 1;
    if (t->weights.best)
        memcpy(t->weights.best, current_weights(t), t->weights.n_floats * sizeof(*t->weights.best));
}

static tslim_status tell(trainer *t, uint32_t epoch, bool resumed, double seconds) {
    const tsl_epoch_record *record = &t->state.history[epoch];
    if (!t->callback) return TSLIM_OK;
    const tslim_epoch news = {.struct_size = sizeof(news),
        .epoch = epoch + 1,
        .learning_rate = record->learning_rate,
        .train_loss = record->train_loss,
        .validation_loss = record->validation_loss,
        .validation_top1 = record->validation_top1,
        .best = record->best != 0,
        .resumed = resumed,
        .seconds = seconds};
    TSL_REQUIRE(
        t->callback(t->user, &news), TSLIM_ERROR_CANCELLED, "cancelled after epoch %" PRIu32, epoch + 1);
    return TSLIM_OK;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static bool is_stale(const trainer *t) {
    const uint32_t patience = t->options->patience;
    return patience > 0 && t->state.epochs_done - t->state.best_epoch >= patience;
}

static tslim_status train(trainer *t) {
    const tslim_train_options *o = t->options;
    for (uint32_t e = 0; e < t->state.epochs_done; e++) TSL_TRY(tell(t, e, true, 0));
    for (uint32_t e = t->state.epochs_done; e < o->epochs && !is_stale(t); e++) {
        tsl_epoch_record *record = &t->state.history[e];
        const double start = now();
        *record = (tsl_epoch_record){.validation_loss = NAN, .validation_top1 = NAN};
        TSL_TRY(run_epoch(t, e, record));
        const double seconds = now() - start;
        if (o->validation) TSL_TRY(validate(t, record));
        keep_best(t, e, record);
        t->state.epochs_done = e + 1;
        if (o->checkpoint) TSL_TRY(tsl_checkpoint_save(o->checkpoint, &t->state, &t->weights));
        TSL_TRY(tell(t, e, false, seconds));
    }
    return TSLIM_OK;
}

// ---- Setting up ----

static tslim_status open_samples(const trainer *t, tslim_dataset *dataset, const tsl_feeding *feeding,
    uint64_t memory_bytes, tsl_samples *samples) {
    tslim_dtype types[TSL_MAX_ARRAYS];
    TSL_TRY(tsl_feeding_types(feeding, t->graph, dataset, types));
    return tsl_samples_init(
        samples, t->graph->ctx, dataset, types, feeding->batch, memory_bytes, t->options->seed);
}

static tslim_status set_up_augmentation(trainer *t) {
    uint32_t images = 0;
    if (!tsl_augment_wanted(t->options)) return TSLIM_OK;
    t->interleaved = t->graph->preparation.scale != 0 && t->graph->preparation.layout == 1;
    for (uint32_t i = 0; i < t->feeding.n_inputs; i++) {
        const uint32_t a = t->feeding.sources[i];
        const tslim_tensor *array = &t->samples.batch.arrays[a];
        if (array->rank != 4 || array->dtype != TSLIM_DTYPE_FLOAT || t->spare[a]) continue;
        t->spare[a] = tsl_arena_alloc_aligned(&t->arena, array->bytes);
        TSL_REQUIRE_MEMORY(t->spare[a], array->bytes);
        images++;
    }
    TSL_REQUIRE(images > 0, TSLIM_ERROR_INVALID_ARGUMENT,
        "flip, shift and crop are for images of floats with three dims, which no input is");
    return TSLIM_OK;
}

static tslim_status set_up(trainer *t, tslim_dataset *dataset) {
    const tslim_train_options *o = t->options;
    const tsl_weights_wanted wanted = {.n_moments = tsl_optimizer_moments(o),
        .average = o->average_decay > 0,
        .best = o->validation != NULL};
    TSL_TRY(tsl_feeding_init(&t->feeding, t->graph, dataset, o, NULL));
    TSL_REQUIRE(t->feeding.labels || o->target || o->callback || o->teacher, TSLIM_ERROR_INVALID_ARGUMENT,
        "there is nothing to learn from: neither labels, nor a target, nor a teacher");
    TSL_TRY(open_samples(t, dataset, &t->feeding, o->memory_bytes, &t->samples));
    t->steps = tsl_samples_batches(&t->samples);
    TSL_TRY(set_up_augmentation(t));
    TSL_TRY(tsl_teacher_init(&t->teacher, t->graph, &t->feeding, &t->samples.batch));
    TSL_TRY(tsl_network_init_training(&t->network, t->graph, &t->feeding, &t->samples.batch, &t->teacher,
        &t->trainable, &t->weights, &wanted));
    t->state.history = tsl_arena_array(&t->arena, o->epochs, sizeof(*t->state.history));
    TSL_REQUIRE_MEMORY(t->state.history, o->epochs * sizeof(*t->state.history));
    TSL_TRY(tsl_training_digest(t->graph, dataset, o, &t->state.digest));
    if (!o->validation) return TSLIM_OK;
    tslim_status status = tsl_feeding_init(&t->validation_feeding, t->graph, o->validation, o, &t->feeding);
    if (status == TSLIM_OK)
        status = open_samples(t, o->validation, &t->validation_feeding, 0, &t->validation_samples);
    return status == TSLIM_OK ? status : tsl_fail_prefix(status, "validation data");
}

static tslim_status resume(trainer *t) {
    const tslim_train_options *o = t->options;
    if (!o->resume || access(o->checkpoint, F_OK) != 0) return TSLIM_OK;
    return tsl_checkpoint_load(o->checkpoint, o->epochs, &t->state, &t->weights);
}

// Gives the user's graph what was learned, at once.
static tslim_status finish(trainer *t) {
    const float *values = t->weights.best ? t->weights.best : current_weights(t);
    tslim_graph *copy;
    for (size_t i = 0; i < t->weights.n_floats; i++)
        TSL_REQUIRE(isfinite(values[i]), TSLIM_ERROR_INVALID_ARGUMENT,
            "a weight has become %g: a smaller learning rate (it is %g) may help", (double)values[i],
            t->options->learning_rate);
    TSL_TRY(tslim_graph_clone(t->graph, &copy));
    tslim_status status = tsl_weights_store(&t->weights, values, copy);
    if (status == TSLIM_OK) tsl_graph_swap(t->graph, copy);
    tslim_graph_destroy(copy);
    return status;
}

static void clear(trainer *t) {
    tsl_network_clear(&t->network);
    tsl_weights_clear(&t->weights);
    tsl_trainable_free(&t->trainable);
    tsl_teacher_clear(&t->teacher);
    tsl_samples_clear(&t->validation_samples);
    tsl_samples_clear(&t->samples);
    tsl_arena_clear(&t->arena);
}

tslim_status tslim_finetune(tslim_graph *graph, tslim_dataset *train_data, const tslim_train_options *given,
    tslim_epoch_callback callback, void *user) {
    tslim_train_options options;
    TSL_REQUIRE(graph && train_data, TSLIM_ERROR_INVALID_ARGUMENT, "graph or training data is NULL");
    TSL_REQUIRE(!graph->optimized, TSLIM_ERROR_INVALID_ARGUMENT,
        "the model is optimized or quantized: train it before that");
    TSL_TRY(tsl_train_options_read(given, &options));
    trainer t = {.graph = graph, .options = &options, .callback = callback, .user = user};
    tsl_arena_init(&t.arena, graph->ctx);
    tslim_status status = set_up(&t, train_data);
    if (status == TSLIM_OK) status = resume(&t);
    if (status == TSLIM_OK) status = train(&t);
    if (status == TSLIM_OK) status = finish(&t);
    clear(&t);
    return status;
}
