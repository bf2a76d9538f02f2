// SPDX-License-Identifier: Apache-2.0
// AffineGrid: where each pixel of a result lies in its source, by one affine matrix for each image.
// Coordinates go from -1 to 1, x first; with align_corners these are the centres of the outermost pixels,
// else their outer edges.
#include "cpu/operator.h"

typedef struct grid_state {
    uint32_t dims; // 2 or 3
    bool align_corners;
} grid_state;

static double coordinate(const grid_state *s, int64_t index, int64_t size) {
    if (!s->align_corners) return (double)(2 * index + 1) / (double)size - 1;
    return size > 1 ? (double)(2 * index) / (double)(size - 1) - 1 : -1;
}

static tslim_status run_grid(const tsl_run *run) {
    const grid_state *s = run->kernel->state;
    const tsl_tensor *theta = &run->inputs[0], *y = &run->outputs[0];
    const size_t size = tslim_dtype_size(y->dtype), count = s->dims * (s->dims + 1);
    const int64_t pixels = tsl_tensor_elements(y) / (s->dims * (y->dims[0] > 0 ? y->dims[0] : 1));
    for (int64_t n = 0; n < y->dims[0]; n++) {
        double matrix[12];
        tsl_load_doubles(theta->dtype, (const uint8_t *)theta->data + (size_t)n * count * size,
            (ptrdiff_t)size, count, matrix);
        for (int64_t i = 0; i < pixels; i++) {
            double at[3], result[3];
            int64_t rest = i;
            for (uint32_t d = 0; d < s->dims; d++) { // x is the last of the spatial dims
                int64_t dim = y->dims[s->dims - d];
                at[d] = coordinate(s, rest % dim, dim);
                rest /= dim;
            }
            for (uint32_t row = 0; row < s->dims; row++) {
                const double *m = matrix + row * (s->dims + 1);
                result[row] = m[s->dims];
                for (uint32_t d = 0; d < s->dims; d++) result[row] += m[d] * at[d];
            }
            size_t to = (size_t)(n * pixels + i) * s->dims * size;
            tsl_store_doubles(y->dtype, (uint8_t *)y->data + to, (ptrdiff_t)size, s->dims, result);
        }
    }
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_affine_grid(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_tensor *theta = &p->step->inputs[0], *y = &p->step->outputs[0];
    TSL_NEW_STATE(grid_state, s);
    kernel->run = run_grid;
    kernel->name = "affine grid";
    s->dims = y->rank - 2;
    s->align_corners = tsl_attrs_int(p->step->attrs, TSL_ATTR_align_corners, 0) != 0;
    bool fits = (y->rank == 4 || y->rank == 5) && theta->rank == 3 && theta->dims[0] == y->dims[0] &&
                theta->dims[1] == s->dims && theta->dims[2] == s->dims + 1 && y->dims[y->rank - 1] == s->dims;
    TSL_REQUIRE(fits, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': matrices that do not fit", p->step->name);
    return tsl_element_is_real(theta->dtype) && y->dtype == theta->dtype ? TSLIM_OK : tsl_cpu_unsupported(p);
}
