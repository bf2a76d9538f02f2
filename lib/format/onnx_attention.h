// SPDX-License-Identifier: Apache-2.0
// Rules for the operators that ONNX Runtime's optimizer makes of transformers (format/onnx_fused.c lists
// them).
#ifndef TSL_FORMAT_ONNX_ATTENTION_H
#define TSL_FORMAT_ONNX_ATTENTION_H

#include "format/onnx_expand.h"

tslim_status tsl_onnx_expand_attention(tsl_expander *e);
tslim_status tsl_onnx_expand_multi_head_attention(tsl_expander *e);
tslim_status tsl_onnx_expand_embeddings(tsl_expander *e);
tslim_status tsl_onnx_expand_simplified_normalization(tsl_expander *e);
tslim_status tsl_onnx_expand_skip_simplified_normalization(tsl_expander *e);

#endif
