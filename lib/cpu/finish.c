// SPDX-License-Identifier: Apache-2.0
// From a chain of functions (ir/chain.h) to the numbers that kernels take.
#include "cpu/finish.h"

#include <math.h>

#include "cpu/function.h"

// Rows whose offsets lie on the stack.
#define ROWS ((size_t)64)

tslim_status tsl_finish_prepare(
    const tsl_prepare *p, const tsl_chain *chain, const tsl_finish_shape *shape, tsl_finish **finish) {
    const size_t count = shape->groups * shape->padded;
    if (chain->n_channels != shape->groups * shape->n)
        return tsl_fail(TSLIM_ERROR_UNSUPPORTED, "node '%s': a chain of %u channels after %zu", p->step->name,
            chain->n_channels, shape->groups * shape->n);
    tsl_finish *f = tsl_arena_array(p->arena, 1, sizeof(*f));
    float *factor = tsl_arena_array(p->arena, 2 * count, sizeof(float));
    TSL_REQUIRE_MEMORY(f && factor ? p : NULL, 2 * count * sizeof(float));
    float *shift = factor + count;
    for (uint32_t i = 0; i < chain->n_channels; i++) {
        const size_t at = i / shape->n * shape->padded + i % shape->n;
        factor[at] = (float)(chain->factor[i] / shape->y_scale);
        shift[at] = (float)(chain->shift[i] / shape->y_scale + shape->y_zero);
    }
    bool uniform = true, plain = isinf(shape->lo) && isinf(shape->hi);
    for (uint32_t i = 0; i < chain->n_channels; i++) {
        uniform &= chain->factor[i] == chain->factor[0] && chain->shift[i] == chain->shift[0];
        plain &= chain->factor[i] == 1 && chain->shift[i] == 0;
    }
    tsl_step function = {.op = chain->op, .attrs = &chain->attrs};
    tsl_function value;
    tsl_function_init(&value, &function);
    *f = (tsl_finish){.run = p->functions->finish_sums,
        .op = chain->op,
        .alpha = (float)value.alpha,
        .beta = (float)value.beta,
        .least = chain->lo,
        .most = chain->hi,
        .factor = factor,
        .shift = shift,
        .uniform = uniform,
        .plain = plain,
        .lo = shape->lo,
        .hi = shape->hi};
    *finish = f;
    return TSLIM_OK;
}

bool tsl_chain_is_line(const tsl_chain *chain) {
    if (chain->op != TSL_OP_CLIP) return false;
    if (isinf(chain->lo) && isinf(chain->hi)) return true;
    // Bounds at 0 stay there whatever the slope.
    const bool at_zero = (chain->lo == 0 || isinf(chain->lo)) && (chain->hi == 0 || isinf(chain->hi));
    for (uint32_t i = 0; i < chain->n_channels; i++)
        if (!(chain->factor[i] > 0) || chain->shift[i] != chain->shift[0] ||
            (!at_zero && chain->factor[i] != chain->factor[0]))
            return false;
    return chain->n_channels > 0;
}

double tsl_chain_bound(const tsl_chain *chain, float bound) {
    return isinf(bound) ? (double)bound : (double)bound * chain->factor[0] + chain->shift[0];
}

static void finish_rows(const tsl_finish *finish, float *c, ptrdiff_t step, size_t rows, size_t n) {
    ptrdiff_t offsets[ROWS];
    tsl_finish_args args = {.finish = finish,
        .width = (n + TSL_PANEL - 1) / TSL_PANEL * TSL_PANEL,
        .n = n,
        .c_f32 = c,
        .c_row = offsets};
    for (size_t first = 0; first < rows; first += args.rows) {
        args.rows = rows - first < ROWS ? rows - first : ROWS;
        for (size_t i = 0; i < args.rows; i++) offsets[i] = (ptrdiff_t)(first + i) * step;
        finish->run(&args);
    }
}

void tsl_finish_rows(const tsl_finish *finish, float *c, ptrdiff_t step, size_t rows, size_t n) {
    const size_t total = rows * n, whole = total / TSL_PANEL * TSL_PANEL;
    if (!finish->uniform || step != (ptrdiff_t)(n * sizeof(float))) {
        finish_rows(finish, c, step, rows, n);
        return;
    }
    // Nothing parts the rows: they are cut anew, into vectors.
    finish_rows(finish, c, TSL_PANEL * sizeof(float), whole / TSL_PANEL, TSL_PANEL);
    if (whole < total) finish_rows(finish, c + whole, 0, 1, total - whole);
}
