// SPDX-License-Identifier: Apache-2.0
// HannWindow, HammingWindow, BlackmanWindow, and MelWeightMatrix: tables that signal processing multiplies
// with. The formulas are those of the ONNX operator specifications.
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "cpu/operator.h"

#define PI 3.14159265358979323846

typedef struct window_state {
    double a[3]; // a[0] - a[1] * cos(t) + a[2] * cos(2 t)
    bool periodic;
} window_state;

static void store(const tsl_tensor *t, int64_t index, double value) {
    const int64_t size = (int64_t)tslim_dtype_size(t->dtype);
    tsl_store_doubles(t->dtype, (uint8_t *)t->data + index * size, 0, 1, &value);
}

static tslim_status run_window(const tsl_run *run) {
    const window_state *s = run->kernel->state;
    const tsl_tensor *y = &run->outputs[0];
    const int64_t count = tsl_tensor_elements(y), period = s->periodic ? count : count - 1;
    TSL_REQUIRE(tsl_load_int(run->inputs[0].dtype, run->inputs[0].data) == count,
        TSLIM_ERROR_INVALID_ARGUMENT, "a window of another size than the %" PRId64 " that were planned",
        count);
    for (int64_t i = 0; i < count; i++) {
        const double t = period > 0 ? 2 * PI * (double)i / (double)period : 0;
        store(y, i, s->a[0] - s->a[1] * cos(t) + s->a[2] * cos(2 * t));
    }
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_window_function(tsl_prepare *p, tsl_kernel *kernel) {
    static const double hann[3] = {0.5, 0.5, 0}, hamming[3] = {25.0 / 46, 21.0 / 46, 0},
                        blackman[3] = {0.42, 0.5, 0.08};
    const tsl_step *step = p->step;
    TSL_NEW_STATE(window_state, s);
    kernel->run = run_window;
    kernel->name = "window function";
    const tslim_dtype type = step->outputs[0].dtype;
    if (!tsl_element_is_integer(step->inputs[0].dtype) || tsl_tensor_elements(&step->inputs[0]) != 1 ||
        (!tsl_element_is_real(type) && !tsl_element_is_integer(type)))
        return tsl_cpu_unsupported(p);
    memcpy(s->a,
        step->op == TSL_OP_HANN_WINDOW      ? hann
        : step->op == TSL_OP_HAMMING_WINDOW ? hamming
                                            : blackman,
        sizeof(s->a));
    s->periodic = tsl_attrs_int(step->attrs, TSL_ATTR_periodic, 1) != 0;
    return TSLIM_OK;
}

// ---- MelWeightMatrix ----

// Triangles over the bins of a spectrum, whose corners are evenly spaced on the mel scale.
static tslim_status run_mel(const tsl_run *run) {
    const tsl_tensor *in = run->inputs, *y = &run->outputs[0];
    const int64_t bins = y->dims[0], bands = y->dims[1], length = tsl_load_int(in[1].dtype, in[1].data),
                  rate = tsl_load_int(in[2].dtype, in[2].data);
    TSL_REQUIRE(
        rate > 0 && length >= 0 && length / 2 + 1 == bins && tsl_load_int(in[0].dtype, in[0].data) == bands,
        TSLIM_ERROR_INVALID_ARGUMENT, "a transform of length %" PRId64 " at a rate of %" PRId64, length,
        rate);
    const double low = 2595 * log10(1 + tsl_load_double(in[3].dtype, in[3].data) / 700);
    const double high = 2595 * log10(1 + tsl_load_double(in[4].dtype, in[4].data) / 700);
    memset(y->data, 0, (size_t)tsl_tensor_elements(y) * tslim_dtype_size(y->dtype));
    for (int64_t band = 0; band < bands; band++) {
        int64_t corner[3];
        for (int64_t k = 0; k < 3; k++) {
            double mel = low + (double)(band + k) * (high - low) / (double)(bands + 2);
            double bin = floor((double)(length + 1) * 700 * (pow(10, mel / 2595) - 1) / (double)rate);
            TSL_REQUIRE(bin >= 0 && bin < (double)bins, TSLIM_ERROR_INVALID_ARGUMENT,
                "band %" PRId64 " lies outside of the spectrum", band);
            corner[k] = (int64_t)bin;
        }
        const double rise = (double)(corner[1] - corner[0]), fall = (double)(corner[2] - corner[1]);
        for (int64_t j = corner[0]; j <= corner[1]; j++)
            store(y, j * bands + band, rise == 0 ? 1 : (double)(j - corner[0]) / rise);
        for (int64_t j = corner[1]; j < corner[2]; j++)
            store(y, j * bands + band, (double)(corner[2] - j) / fall);
    }
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_mel_weight_matrix(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    kernel->run = run_mel;
    kernel->name = "mel weight matrix";
    for (uint32_t i = 0; i < 5; i++)
        if (tsl_tensor_elements(&step->inputs[i]) != 1 ||
            !(i < 3 ? tsl_element_is_integer : tsl_element_is_real)(step->inputs[i].dtype))
            return tsl_cpu_unsupported(p);
    const tsl_tensor *y = &step->outputs[0];
    return y->rank == 2 && tsl_element_is_real(y->dtype) ? TSLIM_OK : tsl_cpu_unsupported(p);
}
