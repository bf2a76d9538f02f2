// SPDX-License-Identifier: Apache-2.0
// The tinyslim command: finds the verb and hands it the rest of the command line.
#include <stdio.h>
#include <string.h>

#include "tool.h"

static const struct verb *const verbs[] = {&verb_inspect, &verb_check, &verb_run, &verb_compare, &verb_eval,
    &verb_gate, &verb_bench, &verb_sensitivity, &verb_prune, &verb_repair, &verb_restore_batchnorm,
    &verb_finetune, &verb_calibrate, &verb_quantize, &verb_export, &verb_convert, &verb_verify, &verb_report};
#define N_VERBS (sizeof verbs / sizeof *verbs)

static void print_verbs(FILE *file) {
    fprintf(file, "usage: tinyslim VERB ...\n\n");
    for (size_t i = 0; i < N_VERBS; ++i) fprintf(file, "  %-12s  %s\n", verbs[i]->name, verbs[i]->summary);
    fprintf(file, "\n'tinyslim VERB --help' shows a verb's flags, 'tinyslim --version' the version\n");
}

int main(int argc, char **argv) {
    if (argc < 2) {
        print_verbs(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_verbs(stdout);
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("tinyslim %s\n", tslim_version());
        return EXIT_DONE;
    }
    for (size_t i = 0; i < N_VERBS; ++i) {
        if (strcmp(argv[1], verbs[i]->name) == 0) return verbs[i]->run(verbs[i], argc - 2, argv + 2);
    }
    fprintf(stderr, "tinyslim: no verb is called '%s'; 'tinyslim --help' lists them\n", argv[1]);
    return EXIT_USAGE;
}
