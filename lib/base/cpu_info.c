// SPDX-License-Identifier: Apache-2.0
// Instruction sets by CPUID and XCR0, and their names. Bits: Intel's Software Developer's Manual, volume 2,
// CPUID.
#include "base/cpu_info.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

static const struct {
    tslim_isa isa;
    const char *name;
} isa_names[] = {
    {TSLIM_ISA_DEFAULT, "default"},
    {TSLIM_ISA_PORTABLE, "portable"},
    {TSLIM_ISA_AVX2, "avx2"},
    {TSLIM_ISA_AVXVNNI, "avxvnni"},
    {TSLIM_ISA_AVX512, "avx512"},
    {TSLIM_ISA_AVX512VNNI, "avx512vnni"},
    {TSLIM_ISA_NEON, "neon"},
    {TSLIM_ISA_NEONDOT, "neondot"},
};

const char *tslim_isa_name(tslim_isa isa) {
    for (size_t i = 0; i < sizeof(isa_names) / sizeof(isa_names[0]); i++)
        if (isa_names[i].isa == isa) return isa_names[i].name;
    return "unknown";
}

tslim_status tslim_isa_from_name(const char *name, tslim_isa *isa) {
    TSL_REQUIRE(name && isa, TSLIM_ERROR_INVALID_ARGUMENT, "name or isa is NULL");
    for (size_t i = 0; i < sizeof(isa_names) / sizeof(isa_names[0]); i++) {
        if (strcmp(isa_names[i].name, name) != 0) continue;
        *isa = isa_names[i].isa;
        return TSLIM_OK;
    }
    return tsl_fail(TSLIM_ERROR_INVALID_ARGUMENT, "'%s' is no instruction set", name);
}

#if defined(__x86_64__)

// XCR0 says which registers the operating system saves.
static uint64_t read_xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

bool tslim_isa_available(tslim_isa isa) {
    uint32_t a, b, c, d;
    if (isa == TSLIM_ISA_PORTABLE || isa == TSLIM_ISA_DEFAULT) return true;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return false;
    bool fma = c >> 12 & 1, f16c = c >> 29 & 1, osxsave = c >> 27 & 1;
    if (!fma || !f16c || !osxsave) return false;
    uint64_t xcr0 = read_xcr0();
    if ((xcr0 & 0x6) != 0x6) return false;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b >> 5 & 1)) return false;
    bool avx512 = (b >> 16 & 1) && (b >> 17 & 1) && (b >> 30 & 1) && (b >> 31 & 1) && (xcr0 & 0xe6) == 0xe6;
    bool avx512vnni = avx512 && (c >> 11 & 1);
    bool avxvnni = a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
    switch (isa) {
    case TSLIM_ISA_AVX2:
        return true;
    case TSLIM_ISA_AVXVNNI:
        return avxvnni;
    case TSLIM_ISA_AVX512:
        return avx512;
    case TSLIM_ISA_AVX512VNNI:
        return avx512vnni;
    default:
        return false;
    }
}

bool tsl_cpu_has_vbmi(void) {
    uint32_t a, b, c, d;
    return tslim_isa_available(TSLIM_ISA_AVX512) && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c >> 1 & 1);
}

bool tsl_cpu_has_vpclmulqdq(void) {
    uint32_t a, b, c, d;
    return tslim_isa_available(TSLIM_ISA_AVX512) && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c >> 10 & 1);
}

const char *tslim_cpu_name(void) {
    static _Thread_local char name[49];
    uint32_t words[12] = {0};
    uint32_t a, b, c, d;
    if (!__get_cpuid(0x80000000u, &a, &b, &c, &d) || a < 0x80000004u) return "unknown";
    for (uint32_t i = 0; i < 3; i++)
        __get_cpuid(0x80000002u + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2], &words[4 * i + 3]);
    memcpy(name, words, 48);
    char *start = name;
    while (*start == ' ') start++;
    return *start ? start : "unknown";
}

#elif defined(__aarch64__)

// AArch64 has NEON by definition; Linux says whether it multiplies bytes (HWCAP_ASIMDDP, of asm/hwcap.h).
bool tslim_isa_available(tslim_isa isa) {
#ifdef __linux__
    if (isa == TSLIM_ISA_NEONDOT) return getauxval(AT_HWCAP) >> 20 & 1;
#endif
    return isa == TSLIM_ISA_PORTABLE || isa == TSLIM_ISA_DEFAULT || isa == TSLIM_ISA_NEON;
}

const char *tslim_cpu_name(void) {
    return "AArch64";
}

#else

bool tslim_isa_available(tslim_isa isa) {
    return isa == TSLIM_ISA_PORTABLE || isa == TSLIM_ISA_DEFAULT;
}

bool tsl_cpu_has_vpclmulqdq(void) {
    return false;
}

bool tsl_cpu_has_vbmi(void) {
    return false;
}

const char *tslim_cpu_name(void) {
    return "unknown";
}

#endif

tslim_isa tsl_isa_best(void) {
    static const tslim_isa order[] = {TSLIM_ISA_AVX512VNNI, TSLIM_ISA_AVXVNNI, TSLIM_ISA_AVX512,
        TSLIM_ISA_AVX2, TSLIM_ISA_NEONDOT, TSLIM_ISA_NEON};
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        if (tslim_isa_available(order[i])) return order[i];
    return TSLIM_ISA_PORTABLE;
}
