#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Half-precision models: float16 forms of real models against ONNX Runtime, and single operators in bfloat16."""
import os
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import models

# Rounding of the weights and of the ends is the same on both sides; what is left is ONNX Runtime's rounding in between.
TOLERANCE = 4e-3
NAMES = ("ch_ppocr_mobile_v2.0_cls_infer", "mobilenet_v2", "ch_PP-OCRv4_det_infer")


def halved(path, out):
    """Every float becomes float16, but for operands that ONNX wants in float."""
    model = onnx.load(path)
    graph = model.graph
    kept = {name for node in graph.node if node.op_type in ("Resize", "Upsample") for name in node.input[1:]}
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and tensor.name not in kept:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.t.data_type == TensorProto.FLOAT and node.output[0] not in kept:
                attribute.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(attribute.t).astype(np.float16)))
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
    del graph.value_info[:]
    for value in list(graph.input) + list(graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    onnx.save(model, out)


def check_models(folder):
    for name in NAMES:
        half = os.path.join(folder, name + ".onnx")
        halved(models.path(name), half)
        x = models.example(name, models.SHAPES[name][0]).astype(np.float16)
        for ours, theirs in zip(models.run(half, x, folder), models.reference(half, x)):
            if ours.dtype != np.float16:
                sys.exit(f"{name}: {ours.dtype}, not float16")
            error = models.relative_error(ours.astype(np.float64), theirs.astype(np.float64))
            print(f"{name}: {error:.1e} of the largest value")
            if error > TOLERANCE:
                sys.exit(f"{name}: over {TOLERANCE}")


def check_bfloat16(folder):
    """Float in, a product and a softmax in bfloat16, float out: operands and result are rounded, nothing between them."""
    def rounded(a):
        bits = a.astype(np.float32).view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    random = np.random.default_rng(1)
    x, w = random.standard_normal((5, 7)).astype(np.float32), random.standard_normal((7, 3)).astype(np.float32)
    nodes = [helper.make_node("Cast", ["x"], ["xb"], to=TensorProto.BFLOAT16),
             helper.make_node("Cast", ["w"], ["wb"], to=TensorProto.BFLOAT16),
             helper.make_node("MatMul", ["xb", "wb"], ["yb"]), helper.make_node("Softmax", ["yb"], ["sb"], axis=1),
             helper.make_node("Cast", ["sb"], ["s"], to=TensorProto.FLOAT)]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
                              [helper.make_tensor_value_info("s", TensorProto.FLOAT, (5, 3))],
                              [numpy_helper.from_array(w, "w")])
    path = os.path.join(folder, "bfloat16.onnx")
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    scores = rounded(x).astype(np.float64) @ rounded(w).astype(np.float64)
    wanted = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    ours, = models.run(path, x, folder)
    if not np.array_equal(ours, rounded(wanted)):
        sys.exit(f"bfloat16: {ours[0]}, not {rounded(wanted)[0]}")


with tempfile.TemporaryDirectory() as temporary:
    check_models(temporary)
    check_bfloat16(temporary)
print("half-precision models agree")
