// SPDX-License-Identifier: Apache-2.0
// The progress bar, and interruption: the first SIGINT or SIGTERM ends a long call cleanly, the second at
// once.
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
    if (interrupted) _exit(128 + number);
    interrupted = number;
}

int interruption(void) {
    return interrupted;
}

void watch_signals(void) {
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void format_time(double seconds, char *text, size_t size) {
    unsigned whole = seconds < 0 ? 0 : seconds > 359999 ? 359999 : (unsigned)(seconds + 0.5);
    snprintf(text, size, "%u:%02u:%02u", whole / 3600, whole / 60 % 60, whole % 60);
}

static void draw(struct tool *tool, const char *what, uint64_t done, uint64_t total, double elapsed) {
    char bar[31], eta[32] = "";
    bool terminal = isatty(STDERR_FILENO);
    double rate = elapsed > 0 ? (double)done / elapsed : 0;
    size_t filled = total > 0 ? (size_t)(30 * (double)done / (double)total) : 0;
    for (size_t i = 0; i < 30; ++i) bar[i] = i < filled ? '#' : '.';
    bar[30] = 0;
    if (total > done && rate > 0) {
        char left[16];
        format_time((double)(total - done) / rate, left, sizeof left);
        snprintf(eta, sizeof eta, ", %s left", left);
    }
    fprintf(stderr, "%s[%s] %llu/%llu %s, %.3g/s%s%s", terminal ? "\r" : "", bar, (unsigned long long)done,
        (unsigned long long)total, what, rate, eta, terminal ? "\033[K" : "\n");
    fflush(stderr);
    tool->progress_shown = terminal;
}

bool tool_progress(void *user, const char *what, uint64_t done, uint64_t total) {
    struct tool *tool = user;
    bool terminal = isatty(STDERR_FILENO);
    double now = seconds_now();
    if (tool->progress_start == 0) tool->progress_start = now;
    bool wanted = !tool->quiet && (tool->progress || terminal);
    if (wanted && (done == total || now - tool->progress_last >= (terminal ? 0.1 : 1))) {
        tool->progress_last = now;
        draw(tool, what, done, total, now - tool->progress_start);
    }
    return interrupted == 0;
}

void tool_end_progress(struct tool *tool) {
    if (tool->progress_shown) fputs("\r\033[K", stderr);
    tool->progress_shown = false;
    tool->progress_start = tool->progress_last = 0;
}
