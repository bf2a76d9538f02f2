// SPDX-License-Identifier: Apache-2.0
// Training: it learns, the same bytes come out of any number of threads and after any stop, losses agree with
// each other and with sums over all cases, and what is wrong is refused with the graph unharmed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <tinyslim/tinyslim.h>

#include "base/rng.h"
#include "ir/graph.h"
#include "plan/session.h"
#include "support/small_network.h"
#include "train/augment.h"
#include "train/loss_terms.h"
#include "train/optimizer.h"
#include "train/samples.h"
#include "train/schedule.h"

#define N_SAMPLES 40
#define PIXELS ((size_t)3 * SMALL_NETWORK_SIZE * SMALL_NETWORK_SIZE)

static char folder[] = "/tmp/tsl_train_XXXXXX";

static const char *in_folder(const char *name) {
    static char paths[4][320];
    static int at;
    at = (at + 1) % 4;
    snprintf(paths[at], sizeof(paths[at]), "%s/%s", folder, name);
    return paths[at];
}

// ---- Data: a bright square whose place is the class ----

static tslim_status sample(
    void *user, uint64_t index, tslim_tensor *inputs, uint32_t n_inputs, int64_t *label) {
    (void)user;
    tsl_rng rng;
    const int64_t class = (int64_t)(index % SMALL_NETWORK_CLASSES);
    float *pixels = inputs[0].data;
    tsl_rng_seed(&rng, index);
    for (size_t i = 0; i < PIXELS; i++) pixels[i] = (float)(tsl_rng_uniform(&rng) - 0.5) * 0.2f;
    for (size_t c = 0; c < 3; c++)
        for (size_t y = 0; y < 4; y++)
            for (size_t x = 0; x < 4; x++)
                pixels[(c * 12 + y + (size_t)(class / 2) * 4) * 12 + x + (size_t)(class % 2) * 6] +=
                    1 + (float)c * (float)class * 0.3f;
    if (n_inputs > 1)
        for (int64_t k = 0; k < SMALL_NETWORK_CLASSES; k++) ((float *)inputs[1].data)[k] = k == class ? 1 : 0;
    if (label) *label = class;
    return TSLIM_OK;
}

static tslim_dataset *open_data(tslim_context *ctx, uint64_t count, uint32_t arrays, bool labels) {
    const tslim_tensor_info shapes[] = {{.name = "input",
                                            .dtype = TSLIM_DTYPE_FLOAT,
                                            .rank = 3,
                                            .dims = {3, SMALL_NETWORK_SIZE, SMALL_NETWORK_SIZE}},
        {.name = "wanted", .dtype = TSLIM_DTYPE_FLOAT, .rank = 1, .dims = {SMALL_NETWORK_CLASSES}}};
    tslim_dataset *data = NULL;
    assert_int_equal(
        tslim_dataset_from_callback(ctx, count, shapes, arrays, labels, sample, NULL, &data), TSLIM_OK);
    return data;
}

static tslim_context *new_context(uint32_t threads) {
    tslim_context_options options;
    tslim_context *ctx;
    tslim_context_options_init(&options);
    options.n_threads = threads;
    assert_int_equal(tslim_context_create(&options, &ctx), TSLIM_OK);
    return ctx;
}

static tslim_train_options usual(void) {
    tslim_train_options o;
    tslim_train_options_init(&o);
    o.epochs = 4;
    o.batch = 8;
    o.learning_rate = 0.02;
    return o;
}

typedef struct seen {
    tslim_epoch epochs[32];
    uint32_t count;
    uint32_t stop_after; // 0: never
} seen;

static bool on_epoch(void *user, const tslim_epoch *epoch) {
    seen *s = user;
    s->epochs[s->count++] = *epoch;
    return s->stop_after == 0 || epoch->epoch < s->stop_after;
}

// All constants of a graph, one after the other.
static uint32_t digest(const tslim_graph *graph) {
    uint32_t sum = 2166136261u;
    for (uint32_t v = 0; v < graph->n_values; v++)
        for (size_t i = 0; graph->values[v].data && i < graph->values[v].bytes; i++)
            sum = (sum ^ ((const uint8_t *)graph->values[v].data)[i]) * 16777619u;
    return sum;
}

static uint32_t train(uint32_t threads, tslim_train_options o, uint32_t validation, seen *s) {
    tslim_context *ctx = new_context(threads);
    tslim_graph *graph;
    assert_int_equal(small_network_create(ctx, 3, &graph), TSLIM_OK);
    tslim_dataset *data = open_data(ctx, N_SAMPLES, 1, true),
                  *held_out = validation ? open_data(ctx, validation, 1, true) : NULL;
    o.validation = held_out;
    tslim_status status = tslim_finetune(graph, data, &o, on_epoch, s);
    if (status != TSLIM_OK && status != TSLIM_ERROR_CANCELLED) fail_msg("%s", tslim_context_message(ctx));
    uint32_t sum = digest(graph);
    tslim_dataset_destroy(held_out);
    tslim_dataset_destroy(data);
    tslim_graph_destroy(graph);
    tslim_context_destroy(ctx);
    return sum;
}

// ---- Tests of the whole ----

static void test_it_learns(void **state) {
    (void)state;
    tslim_train_options o = usual();
    seen s = {0};
    o.epochs = 12;
    train(1, o, 11, &s); // 11 is no multiple of the batch
    assert_int_equal(s.count, 12);
    assert_true(s.epochs[11].train_loss < 0.5 * s.epochs[0].train_loss);
    assert_true(s.epochs[11].validation_top1 > 0.8);
    assert_true(s.epochs[11].learning_rate < s.epochs[0].learning_rate);
}

static void test_same_bytes_of_any_threads(void **state) {
    (void)state;
    tslim_train_options o = usual();
    o.flip = true;
    o.shift = 1;
    o.crop = 0.8;
    o.average_decay = 0.9;
    o.clip_norm = 1;
    o.optimizer = TSLIM_OPTIMIZER_ADAMW;
    o.weight_decay = 0.01;
    seen a = {0}, b = {0}, c = {0};
    uint32_t one = train(1, o, 11, &a);
    assert_int_equal(one, train(2, o, 11, &b));
    o.seed = 1;
    assert_int_not_equal(one, train(1, o, 11, &c));
    for (uint32_t i = 0; i < a.count; i++)
        assert_memory_equal(&a.epochs[i].train_loss, &b.epochs[i].train_loss, sizeof(double));
}

static void test_stopped_and_resumed(void **state) {
    (void)state;
    tslim_train_options o = usual();
    seen whole = {0}, first = {.stop_after = 2}, rest = {0};
    o.nesterov = true;
    o.average_decay = 0.8;
    uint32_t expected = train(1, o, 11, &whole);
    o.checkpoint = in_folder("stopped");
    o.resume = true;
    train(1, o, 11, &first);
    assert_int_equal(first.count, 2);
    assert_int_equal(train(1, o, 11, &rest), expected);
    assert_int_equal(rest.count, 4);
    assert_true(rest.epochs[1].resumed && !rest.epochs[2].resumed);
    assert_memory_equal(&rest.epochs[0].train_loss, &whole.epochs[0].train_loss, sizeof(double));
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Trains in a process of its own, which is killed after so many seconds if it lives so long.
static bool train_and_kill(tslim_train_options o, double seconds) {
    pid_t child = fork();
    if (child == 0) {
        seen s = {0};
        train(1, o, 0, &s);
        _exit(0);
    }
    usleep((useconds_t)(1e6 * seconds));
    kill(child, SIGKILL);
    int status;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status);
}

// Each time anew: killed at some moment of the whole training, and resumed to the end.
static void test_killed_and_resumed(void **state) {
    (void)state;
    tslim_train_options o = usual();
    seen whole = {0};
    tsl_rng rng;
    tsl_rng_seed(&rng, 5);
    o.epochs = 6;
    o.checkpoint = in_folder("killed");
    o.resume = true;
    double start = now();
    uint32_t expected = train(1, o, 0, &whole);
    double duration = now() - start;
    const char *kills = getenv("TSLIM_KILLS");
    int killed = 0, resumed = 0, trials = kills ? atoi(kills) : 4;
    for (int i = 0; i < trials; i++) {
        seen last = {0};
        unlink(o.checkpoint);
        killed += train_and_kill(o, duration * (double)tsl_rng_below(&rng, 1000) / 1000);
        assert_int_equal(train(1, o, 0, &last), expected);
        resumed += last.epochs[0].resumed;
    }
    print_message(
        "%d of %d killed before their end, %d of all went on from a checkpoint\n", killed, trials, resumed);
}

static void test_parts_of_the_data_at_a_time(void **state) {
    (void)state;
    tslim_train_options o = usual();
    seen s = {0};
    o.memory_bytes = 16 * (PIXELS * sizeof(float) + 64); // 16 samples: three windows an epoch
    train(1, o, 0, &s);
    assert_int_equal(s.count, 4);
    assert_true(s.epochs[3].train_loss < s.epochs[0].train_loss);
}

static void test_early_stop(void **state) {
    (void)state;
    tslim_train_options o = usual();
    seen s = {0};
    o.epochs = 30;
    o.patience = 2;
    o.learning_rate = 1e-12; // brings nothing
    train(1, o, 10, &s);
    assert_true(s.count < 30);
    assert_true(s.epochs[0].best);
}

// Freed, a teacher equal to the model has nothing to say: the loss is 0 and nothing changes but by rounding.
static void test_teacher(void **state) {
    (void)state;
    tslim_context *ctx = new_context(1);
    tslim_graph *graph, *teacher;
    assert_int_equal(small_network_create(ctx, 3, &graph), TSLIM_OK);
    assert_int_equal(small_network_create(ctx, 4, &teacher), TSLIM_OK);
    tslim_dataset *data = open_data(ctx, N_SAMPLES, 1, false);
    tslim_train_options o = usual();
    seen s = {0};
    o.teacher = teacher;
    o.temperature = 2;
    o.epochs = 15;
    tslim_status status = tslim_finetune(graph, data, &o, on_epoch, &s);
    if (status != TSLIM_OK) fail_msg("%s", tslim_context_message(ctx));
    assert_true(s.epochs[14].train_loss < 0.5 * s.epochs[0].train_loss);
    assert_true(s.epochs[14].train_loss >= 0);
    tslim_dataset_destroy(data);
    tslim_graph_destroy(teacher);
    tslim_graph_destroy(graph);
    tslim_context_destroy(ctx);
}

// Cross-entropy once more, as a loss of the caller's own.
static tslim_status own_loss(void *user, const tslim_tensor *outputs, uint32_t n_outputs,
    const uint64_t *samples, const int64_t *labels, uint32_t n_samples, tslim_tensor *gradients,
    double *loss) {
    uint32_t *calls = user;
    (void)samples;
    ++*calls;
    assert_int_equal(n_outputs, 1);
    const size_t n = SMALL_NETWORK_CLASSES;
    *loss = 0;
    for (size_t i = 0; i < n_samples; i++) {
        const float *x = (const float *)outputs[0].data + i * n;
        double sum = 0, largest = x[0];
        for (size_t k = 1; k < n; k++) largest = x[k] > largest ? x[k] : largest;
        for (size_t k = 0; k < n; k++) sum += exp(x[k] - largest);
        *loss += (log(sum) + largest - x[labels[i]]) / n_samples;
        for (size_t k = 0; gradients && k < n; k++)
            ((float *)gradients[0].data)[i * n + k] =
                (float)((exp(x[k] - largest) / sum - ((int64_t)k == labels[i])) / n_samples);
    }
    return TSLIM_OK;
}

static void test_callers_own_loss(void **state) {
    (void)state;
    tslim_train_options o = usual();
    seen a = {0}, b = {0};
    uint32_t calls = 0;
    train(1, o, 11, &a);
    o.callback = own_loss;
    o.callback_user = &calls;
    train(1, o, 11, &b);
    assert_int_equal(calls, 4 * (5 + 2));
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(fabs(a.epochs[i].train_loss - b.epochs[i].train_loss) < 1e-3);
        assert_true(fabs(a.epochs[i].validation_loss - b.epochs[i].validation_loss) < 1e-2);
    }
}

static tslim_status refusing_loss(void *user, const tslim_tensor *outputs, uint32_t n_outputs,
    const uint64_t *samples, const int64_t *labels, uint32_t n_samples, tslim_tensor *gradients,
    double *loss) {
    (void)user, (void)outputs, (void)n_outputs, (void)samples, (void)labels, (void)n_samples, (void)gradients;
    (void)loss;
    return TSLIM_ERROR_IO;
}

// ---- Refusals ----

static void expect(tslim_status wanted, const char *part, tslim_train_options o, bool labels, uint32_t arrays,
    bool optimized) {
    tslim_context *ctx = new_context(1);
    tslim_graph *graph;
    assert_int_equal(small_network_create(ctx, 3, &graph), TSLIM_OK);
    if (optimized) assert_int_equal(tslim_graph_optimize(graph), TSLIM_OK);
    tslim_dataset *data = open_data(ctx, N_SAMPLES, arrays, labels);
    uint32_t before = digest(graph);
    tslim_status status = tslim_finetune(graph, data, &o, NULL, NULL);
    if (status != wanted || !strstr(tslim_context_message(ctx), part))
        fail_msg("%s: %s, not '%s'", tslim_status_name(status), tslim_context_message(ctx), part);
    assert_int_equal(before, digest(graph));
    tslim_dataset_destroy(data);
    tslim_graph_destroy(graph);
    tslim_context_destroy(ctx);
}

static void refuse(tslim_train_options o, const char *part) {
    expect(TSLIM_ERROR_INVALID_ARGUMENT, part, o, true, 2, false);
}

static void test_refusals(void **state) {
    (void)state;
#define REFUSE(change, part)                                                                                 \
    do {                                                                                                     \
        tslim_train_options o = usual();                                                                     \
        change;                                                                                              \
        refuse(o, part);                                                                                     \
    } while (0)
    REFUSE(o.epochs = 0, "epochs is 0");
    REFUSE(o.batch = 0, "batch is 0");
    REFUSE(o.learning_rate = NAN, "learning_rate");
    REFUSE(o.learning_rate = -1, "learning_rate is -1");
    REFUSE(o.momentum = 1, "momentum is 1");
    REFUSE(o.weight_decay = -1, "weight_decay");
    REFUSE(o.average_decay = 1, "average_decay");
    REFUSE(o.warmup_epochs = 4, "warmup_epochs is 4");
    REFUSE(o.label_smoothing = 1, "label_smoothing");
    REFUSE(o.temperature = 0, "temperature is 0");
    REFUSE(o.optimizer = (tslim_optimizer)7, "optimizer is 7");
    REFUSE(o.loss = TSLIM_LOSS_MSE, "target");
    REFUSE(o.target = "nothing", "no array 'nothing'");
    REFUSE((o.target = "wanted", o.loss = TSLIM_LOSS_CTC), "CTC wants integers");
    REFUSE(o.output = 3, "output 3 of 1");
    REFUSE(o.patience = 1, "patience needs validation");
    REFUSE(o.resume = true, "resume needs a checkpoint");
    REFUSE(o.crop = 2, "crop is 2");
    REFUSE(o.struct_size = 1, "struct_size");
    REFUSE(o.learning_rate = 1e6, "learning rate");
    tslim_train_options o = usual();
    expect(TSLIM_ERROR_INVALID_ARGUMENT, "nothing to learn from", o, false, 1, false);
    expect(TSLIM_ERROR_INVALID_ARGUMENT, "optimized", o, true, 1, true);
    o.checkpoint = in_folder("no/such/folder");
    expect(TSLIM_ERROR_IO, "no/such/folder", o, true, 1, false);
    o = usual();
    o.callback = refusing_loss;
    expect(TSLIM_ERROR_IO, "caller's loss", o, true, 1, false);
}

static void test_bad_checkpoints(void **state) {
    (void)state;
    tslim_train_options o = usual();
    seen s = {0};
    const char *path = in_folder("checkpoint");
    o.checkpoint = path;
    o.resume = true;
    o.epochs = 1;
    train(1, o, 0, &s);
    o.learning_rate = 0.03;
    expect(TSLIM_ERROR_BAD_FILE, "other options", o, true, 1, false);
    o.learning_rate = 0.02;
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, 100, SEEK_SET);
    int byte = fgetc(file);
    fseek(file, 100, SEEK_SET);
    fputc(byte ^ 1, file);
    fclose(file);
    expect(TSLIM_ERROR_BAD_FILE, "damaged", o, true, 1, false);
    assert_int_equal(truncate(path, 17), 0);
    expect(TSLIM_ERROR_BAD_FILE, "no checkpoint", o, true, 1, false);
}

static void test_targets(void **state) {
    (void)state;
    const tslim_loss losses[] = {TSLIM_LOSS_MSE, TSLIM_LOSS_BINARY_CROSS_ENTROPY};
    for (int i = 0; i < 2; i++) {
        tslim_context *ctx = new_context(1);
        tslim_graph *graph;
        assert_int_equal(small_network_create(ctx, 3, &graph), TSLIM_OK);
        tslim_dataset *data = open_data(ctx, N_SAMPLES, 2, true);
        tslim_train_options o = usual();
        seen s = {0};
        o.target = "wanted";
        o.loss = losses[i];
        o.epochs = 8;
        tslim_status status = tslim_finetune(graph, data, &o, on_epoch, &s);
        if (status != TSLIM_OK) fail_msg("%s", tslim_context_message(ctx));
        assert_true(s.epochs[7].train_loss < 0.8 * s.epochs[0].train_loss);
        tslim_dataset_destroy(data);
        tslim_graph_destroy(graph);
        tslim_context_destroy(ctx);
    }
}

// ---- Parts ----

static void test_schedules(void **state) {
    (void)state;
    tslim_train_options o = usual();
    o.learning_rate = 1;
    o.epochs = 10;
    assert_true(tsl_schedule_rate(&o, 0, 10) == 1);
    assert_true(fabs(tsl_schedule_rate(&o, 50, 10) - 0.5) < 1e-12);
    assert_true(fabs(tsl_schedule_rate(&o, 99, 10) - 0.5 * (1 + cos(0.99 * 3.14159265358979))) < 1e-12);
    o.warmup_epochs = 1;
    for (uint64_t i = 1; i < 10; i++)
        assert_true(tsl_schedule_rate(&o, i, 10) > tsl_schedule_rate(&o, i - 1, 10));
    assert_true(tsl_schedule_rate(&o, 10, 10) == 1);
    o.warmup_epochs = 0;
    o.schedule = TSLIM_SCHEDULE_STEP;
    o.step_epochs = 3;
    assert_true(tsl_schedule_rate(&o, 29, 10) == 1);
    assert_true(fabs(tsl_schedule_rate(&o, 30, 10) - 0.1) < 1e-12);
    assert_true(fabs(tsl_schedule_rate(&o, 60, 10) - 0.01) < 1e-12);
}

static void test_augmentation(void **state) {
    (void)state;
    float source[12], result[12];
    for (int i = 0; i < 12; i++) source[i] = (float)i; // 3 rows of 4
    tsl_augment_view view = {.height_scale = 1, .width_scale = 1};
    tsl_augment_image(&view, 1, 3, 4, false, source, result);
    assert_memory_equal(source, result, sizeof(source));
    view.flip = true;
    tsl_augment_image(&view, 1, 3, 4, false, source, result);
    for (int i = 0; i < 12; i++) assert_true(result[i] == source[i / 4 * 4 + 3 - i % 4]);
    view = (tsl_augment_view){.height_scale = 1, .width_scale = 1, .top = 1, .left = -1};
    tsl_augment_image(&view, 1, 3, 4, false, source, result);
    const float moved[] = {4, 4, 5, 6, 8, 8, 9, 10, 8, 8, 9, 10};
    assert_memory_equal(moved, result, sizeof(moved));
    tsl_augment_image(&view, 2, 3, 2, true, source, result); // two channels side by side
    const float pairs[] = {4, 5, 4, 5, 8, 9, 8, 9, 8, 9, 8, 9};
    assert_memory_equal(pairs, result, sizeof(pairs));
}

static void test_batches(void **state) {
    (void)state;
    tslim_context *ctx = new_context(1);
    tslim_dataset *data = open_data(ctx, N_SAMPLES, 1, true);
    const tslim_dtype type = TSLIM_DTYPE_FLOAT;
    tsl_samples s;
    assert_int_equal(tsl_samples_init(&s, ctx, data, &type, 16, 1 << 20, 9), TSLIM_OK);
    assert_int_equal(tsl_samples_batches(&s), 2);
    uint64_t first[32];
    int same = 0;
    for (uint64_t epoch = 0; epoch < 3; epoch++) {
        uint8_t met[N_SAMPLES] = {0};
        tsl_samples_begin(&s, epoch % 2); // the third is the first again
        for (uint32_t b = 0; b < 2; b++) {
            assert_int_equal(tsl_samples_next(&s), TSLIM_OK);
            for (uint32_t i = 0; i < 16; i++) {
                const uint64_t which = s.batch.samples[i];
                assert_int_equal(met[which]++, 0);
                assert_int_equal(s.batch.labels[i], which % SMALL_NETWORK_CLASSES);
                if (epoch == 0) first[b * 16 + i] = which;
                if (epoch == 1) same += first[b * 16 + i] == which;
                if (epoch == 2) assert_int_equal(first[b * 16 + i], which);
            }
        }
    }
    assert_true(same < 16);
    tsl_samples_clear(&s);
    tslim_dataset_destroy(data);
    tslim_context_destroy(ctx);
}

// AdamW and SGD by hand, two steps of one weight.
static void test_optimizers(void **state) {
    (void)state;
    tslim_context *ctx = new_context(1);
    float values[2] = {1, 2}, m[2] = {0}, v[2] = {0}, gradient[2] = {0.5f, -1};
    tsl_weight items[] = {
        {.offset = 0, .count = 1, .decays = true}, {.offset = 1, .count = 1, .decays = false}};
    tsl_weights w = {.ctx = ctx, .items = items, .n_items = 2, .n_parameters = 2, .values = values};
    const float *gradients[] = {gradient, gradient + 1};
    tslim_train_options o = usual();
    o.weight_decay = 0.1;
    w.moments[0] = m;
    assert_true(fabs(tsl_gradient_norm(&w, gradients) - sqrt(1.25)) < 1e-12);
    tsl_optimizer_step(&o, &w, gradients, 1, 0.1, 0);
    assert_true(fabs(values[0] - (1 - 0.1 * (0.5 + 0.1))) < 1e-6);
    assert_true(fabs(values[1] - (2 + 0.1)) < 1e-6);
    tsl_optimizer_step(&o, &w, gradients, 1, 0.1, 1);
    assert_true(fabs(values[1] - (2.1 + 0.1 * 1.9)) < 1e-6);
    float adam[2] = {1, 2};
    m[0] = m[1] = 0;
    w.values = adam;
    w.moments[1] = v;
    o.optimizer = TSLIM_OPTIMIZER_ADAMW;
    tsl_optimizer_step(&o, &w, gradients, 1, 0.1, 0);
    assert_true(fabs(adam[0] - (1 - 0.1 * 0.1 - 0.1)) < 1e-5); // the first step is the sign of the gradient
    assert_true(fabs(adam[1] - 2.1) < 1e-5);
    tslim_context_destroy(ctx);
}

// ---- CTC against the sum over all alignments ----

#define STEPS 5
#define CLASSES 3

// What a path of classes reads as, once repeats and blanks are gone.
static bool path_reads(uint32_t path, const int64_t *target, uint32_t length) {
    uint32_t read = 0, last = 0;
    for (uint32_t t = 0; t < STEPS; t++, path /= CLASSES) {
        uint32_t k = path % CLASSES;
        if (k != 0 && k != last) {
            if (read == length || target[read] != (int64_t)k) return false;
            read++;
        }
        last = k;
    }
    return read == length;
}

static double sum_paths(const double *logs, const int64_t *target, uint32_t length) {
    double sum = 0;
    uint32_t paths = 1;
    for (uint32_t t = 0; t < STEPS; t++) paths *= CLASSES;
    for (uint32_t path = 0; path < paths; path++) {
        double log_probability = 0;
        uint32_t rest = path;
        for (uint32_t t = 0; t < STEPS; t++, rest /= CLASSES)
            log_probability += logs[t * CLASSES + rest % CLASSES];
        if (path_reads(path, target, length)) sum += exp(log_probability);
    }
    return sum > 0 ? -log(sum) : 0;
}

static void test_ctc(void **state) {
    (void)state;
    enum { ROWS = 5, LENGTH = 4 };
    int64_t targets[ROWS][LENGTH] = {{1, 2, -1, -1}, {1, 1, -1, -1}, {-1, -1, -1, -1}, {2, 1, 2, -1},
        {2, 2, 2, 2}}; // the last has no room
    const uint32_t lengths[ROWS] = {2, 2, 0, 3, 4};
    double logs[ROWS][STEPS * CLASSES];
    tsl_rng rng;
    tsl_rng_seed(&rng, 1);
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < STEPS * CLASSES; i++) logs[r][i] = -3 * tsl_rng_uniform(&rng);
    tslim_context *ctx = new_context(2);
    tslim_graph *graph;
    uint32_t inputs[2], outputs[2], node;
    const int64_t dims[][3] = {{ROWS, STEPS, CLASSES}, {ROWS, LENGTH}};
    assert_int_equal(tsl_graph_create(ctx, &graph), TSLIM_OK);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(tsl_graph_add_value(graph, i ? "targets" : "logs",
                             i ? TSLIM_DTYPE_INT64 : TSLIM_DTYPE_DOUBLE, &inputs[i]),
            TSLIM_OK);
        tsl_shape_set(&graph->values[inputs[i]].shape, 3 - i, dims[i]);
        assert_int_equal(
            tsl_graph_add_value(graph, i ? "gradient" : "losses", TSLIM_DTYPE_DOUBLE, &outputs[i]), TSLIM_OK);
    }
    assert_int_equal(
        tsl_graph_add_node(graph, TSL_OP_CTC_LOSS, "ctc", 2, inputs, 2, outputs, &node), TSLIM_OK);
    graph->opset = 17;
    graph->inputs = inputs;
    graph->outputs = outputs;
    graph->n_inputs = graph->n_outputs = 2;
    tslim_session *session;
    if (tslim_session_create(graph, NULL, &session) != TSLIM_OK) fail_msg("%s", tslim_context_message(ctx));
    tslim_tensor given[] = {{.dtype = TSLIM_DTYPE_DOUBLE, .rank = 3, .data = logs, .bytes = sizeof(logs)},
        {.dtype = TSLIM_DTYPE_INT64, .rank = 2, .data = targets, .bytes = sizeof(targets)}};
    for (int i = 0; i < 2; i++) memcpy(given[i].dims, dims[i], sizeof(dims[i]));
    tslim_tensor got[2] = {{0}};
    assert_int_equal(tslim_session_run(session, given, 2, got, 2), TSLIM_OK);
    for (int r = 0; r < ROWS; r++) {
        double expected = sum_paths(logs[r], targets[r], lengths[r]);
        assert_true(fabs(((double *)got[0].data)[r] - expected) < 1e-12 * (1 + expected));
        for (int i = 0; i < STEPS * CLASSES; i++) {
            double kept = logs[r][i], h = 1e-5;
            logs[r][i] = kept + h;
            double above = sum_paths(logs[r], targets[r], lengths[r]);
            logs[r][i] = kept - h;
            double below = sum_paths(logs[r], targets[r], lengths[r]);
            logs[r][i] = kept;
            assert_true(
                fabs(((double *)got[1].data)[r * STEPS * CLASSES + i] - (above - below) / (2 * h)) < 1e-8);
        }
    }
    targets[0][0] = CLASSES;
    memset(got, 0, sizeof(got));
    assert_int_equal(tslim_session_run(session, given, 2, got, 2), TSLIM_ERROR_INVALID_ARGUMENT);
    tslim_session_destroy(session);
    tslim_graph_destroy(graph);
    tslim_context_destroy(ctx);
}

static int set_up(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : 1;
}

// A writer that was killed leaves its temporary file.
static int tear_down(void **state) {
    (void)state;
    DIR *files = opendir(folder);
    for (struct dirent *file; files && (file = readdir(files));) unlink(in_folder(file->d_name));
    if (files) closedir(files);
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schedules),
        cmocka_unit_test(test_augmentation),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_optimizers),
        cmocka_unit_test(test_ctc),
        cmocka_unit_test(test_it_learns),
        cmocka_unit_test(test_same_bytes_of_any_threads),
        cmocka_unit_test(test_stopped_and_resumed),
        cmocka_unit_test(test_killed_and_resumed),
        cmocka_unit_test(test_parts_of_the_data_at_a_time),
        cmocka_unit_test(test_early_stop),
        cmocka_unit_test(test_teacher),
        cmocka_unit_test(test_callers_own_loss),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_bad_checkpoints),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
