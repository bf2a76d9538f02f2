// SPDX-License-Identifier: Apache-2.0
// The dispatch tables, one for each level, from portable C upwards: AVX2 is the ground of both AVX-VNNI and
// AVX-512, AVX-512 that of its VNNI. Filled once; a level that the compiler did not know, or the processor
// does not have, has the table of the one below. An overlay is compiled with its level's flags, so that not
// even the function that sets pointers may run elsewhere.
#include <pthread.h>

#include "base/cpu_info.h"
#include "cpu/kernels.h"

#define LEVELS (TSLIM_ISA_NEONDOT + 1)

static tsl_cpu_functions tables[LEVELS];
static pthread_once_t filled = PTHREAD_ONCE_INIT;

static void fill(void) {
    tsl_cpu_functions functions = {0};
    tsl_cpu_overlay_portable(&functions);
    tables[TSLIM_ISA_PORTABLE] = functions;
#ifdef TSL_HAVE_AVX2
    if (tslim_isa_available(TSLIM_ISA_AVX2)) tsl_cpu_overlay_avx2(&functions);
#endif
    tables[TSLIM_ISA_AVX2] = functions;
#ifdef TSL_HAVE_AVXVNNI
    if (tslim_isa_available(TSLIM_ISA_AVXVNNI)) tsl_cpu_overlay_avxvnni(&functions);
#endif
    tables[TSLIM_ISA_AVXVNNI] = functions;
    functions = tables[TSLIM_ISA_AVX2];
#ifdef TSL_HAVE_AVX512
    if (tslim_isa_available(TSLIM_ISA_AVX512)) tsl_cpu_overlay_avx512(&functions);
#endif
    tables[TSLIM_ISA_AVX512] = functions;
#ifdef TSL_HAVE_AVX512VNNI
    if (tslim_isa_available(TSLIM_ISA_AVX512VNNI)) tsl_cpu_overlay_avx512vnni(&functions);
#endif
    tables[TSLIM_ISA_AVX512VNNI] = functions;
    functions = tables[TSLIM_ISA_PORTABLE];
#ifdef TSL_HAVE_NEON
    if (tslim_isa_available(TSLIM_ISA_NEON)) tsl_cpu_overlay_neon(&functions);
#endif
    tables[TSLIM_ISA_NEON] = functions;
#ifdef TSL_HAVE_NEONDOT
    if (tslim_isa_available(TSLIM_ISA_NEONDOT)) tsl_cpu_overlay_neondot(&functions);
#endif
    tables[TSLIM_ISA_NEONDOT] = functions;
    tables[TSLIM_ISA_DEFAULT] = tables[TSLIM_ISA_PORTABLE];
}

const tsl_cpu_functions *tsl_cpu_functions_get(tslim_isa isa) {
    pthread_once(&filled, fill);
    return &tables[(unsigned)isa < LEVELS ? isa : TSLIM_ISA_PORTABLE];
}
