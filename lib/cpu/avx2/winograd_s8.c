// SPDX-License-Identifier: Apache-2.0
// The transforms of integer Winograd, AVX2.
#include "cpu/avx2/avx2.h"

#include "cpu/x86/winograd_s8.h"

void tsl_avx2_winograd_input_s8(const tsl_winograd_input_args *args) {
    winograd_input_s8(args);
}
void tsl_avx2_winograd_weights_s8(const tsl_winograd_weights_args *args) {
    winograd_weights_s8(args);
}
void tsl_avx2_winograd_output_s8(const tsl_winograd_output_args *args) {
    winograd_output_s8(args);
}
