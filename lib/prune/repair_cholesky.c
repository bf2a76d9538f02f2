// SPDX-License-Identifier: Apache-2.0
// Cholesky factorization by LAPACK, which is opened when it is needed: it loads five libraries, and a program
// that only runs models should neither wait for them nor have to install them.
#include <dlfcn.h>

#include "prune/repair.h"

// The C interface with 32-bit integers, as Debian's liblapacke has it (netlib.org/lapack/lapacke.html).
enum { COLUMN_MAJOR = 102 };

tslim_status tsl_cholesky_open(tsl_cholesky *cholesky) {
    *cholesky = (tsl_cholesky){.library = dlopen("liblapacke.so.3", RTLD_NOW | RTLD_LOCAL)};
    TSL_REQUIRE(cholesky->library, TSLIM_ERROR_UNAVAILABLE,
        "least squares need LAPACK (Debian: apt-get install liblapacke): %s", dlerror());
    *(void **)&cholesky->factorize = dlsym(cholesky->library, "LAPACKE_dpotrf");
    *(void **)&cholesky->solve = dlsym(cholesky->library, "LAPACKE_dpotrs");
    if (cholesky->factorize && cholesky->solve) return TSLIM_OK;
    tsl_cholesky_close(cholesky);
    return tsl_fail(TSLIM_ERROR_UNAVAILABLE, "liblapacke.so.3 has no LAPACKE_dpotrf or LAPACKE_dpotrs");
}

void tsl_cholesky_close(tsl_cholesky *cholesky) {
    if (cholesky->library) dlclose(cholesky->library);
    cholesky->library = NULL;
}

bool tsl_cholesky_factorize(const tsl_cholesky *cholesky, size_t n, double *matrix) {
    return cholesky->factorize(COLUMN_MAJOR, 'L', (int32_t)n, matrix, (int32_t)n) == 0;
}

bool tsl_cholesky_solve(
    const tsl_cholesky *cholesky, size_t n, const double *factors, size_t n_right, double *right) {
    return cholesky->solve(
               COLUMN_MAJOR, 'L', (int32_t)n, (int32_t)n_right, factors, (int32_t)n, right, (int32_t)n) == 0;
}
