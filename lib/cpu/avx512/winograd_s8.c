// SPDX-License-Identifier: Apache-2.0
// The transforms of integer Winograd, AVX-512.
#include "cpu/avx512/avx512.h"

#include "cpu/x86/winograd_s8.h"

void tsl_avx512_winograd_input_s8(const tsl_winograd_input_args *args) {
    winograd_input_s8(args);
}
void tsl_avx512_winograd_weights_s8(const tsl_winograd_weights_args *args) {
    winograd_weights_s8(args);
}
void tsl_avx512_winograd_output_s8(const tsl_winograd_output_args *args) {
    winograd_output_s8(args);
}
