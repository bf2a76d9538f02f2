// SPDX-License-Identifier: Apache-2.0
// Einsum of two float operands as a product of matrices.
#ifndef TSL_CPU_EINSUM_H
#define TSL_CPU_EINSUM_H

#include "cpu/operator.h"
#include "ir/einsum.h"

// Where each label is: bit 0 in operand 0, bit 1 in operand 1, bit 2 in the result.
typedef struct tsl_einsum_roles {
    uint8_t of[TSL_EINSUM_LABELS];
} tsl_einsum_roles;

typedef struct tsl_einsum_product tsl_einsum_product;

// *product stays NULL where the equation is no product of matrices: a label of one operand that the result
// lacks.
tslim_status tsl_einsum_product_prepare(tsl_prepare *p, tsl_kernel *kernel, const tsl_einsum *e,
    const tsl_einsum_roles *roles, tsl_einsum_product **product);
tslim_status tsl_einsum_product_run(const tsl_einsum_product *product, const tsl_run *run);

#endif
