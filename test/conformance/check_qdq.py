#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Quantized models, exported with QuantizeLinear and DequantizeLinear, are what they were: ONNX Runtime's outputs are those
of the INT8 model, up to rounding, and near the float model's. Small models of older opsets show that every operator whose
form changed up to opset 13 is written in the new one."""
import os
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import models

RANDOM = np.random.default_rng(5)
SIZE = 12
# A step of INT8 is 1/127 of the largest value. In a small model no value lies between two steps; in a large one some do, and
# the runtimes round them apart. Float and INT8 differ by many steps.
SMALL_ROUNDING, ROUNDING, QUANTIZATION = 1e-4, 0.05, 0.15


def constant(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def small_model(path, opset, nodes, constants=(), output="y"):
    """A convolution, then the nodes, which read 'c'."""
    weights = RANDOM.standard_normal((8, 3, 3, 3)).astype(np.float32) * 0.3
    conv = helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1])
    graph = helper.make_graph(
        [conv, *nodes], "small", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [constant("w", weights), constant("b", RANDOM.standard_normal(8).astype(np.float32) * 0.1), *constants])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
    onnx.save(onnx.shape_inference.infer_shapes(model), path)


def node(op, inputs=("c",), outputs=("y",), **attributes):
    return helper.make_node(op, list(inputs), list(outputs), **attributes)


def float32(*numbers):
    return np.array(numbers, np.float32)


# name: opset, nodes, constants
SMALL = {
    "relu": (17, [node("Relu")], []),
    "residual": (17, [node("Conv", ("c", "v"), ("d",), pads=[1, 1, 1, 1]), node("Add", ("d", "c"), ("e",)), node("Relu", ("e",))],
                 [constant("v", RANDOM.standard_normal((8, 8, 3, 3)).astype(np.float32) * 0.1)]),
    "silu": (13, [node("Sigmoid", outputs=("s",)), node("Mul", ("c", "s"))], []),
    "hard_swish": (11, [node("HardSigmoid", outputs=("s",), alpha=1 / 6, beta=0.5), node("Mul", ("c", "s"))], []),
    "matmul_bias": (12, [node("GlobalAveragePool", outputs=("p",)), node("Flatten", ("p",), ("f",)), node("MatMul", ("f", "m"), ("h",)),
                         node("Add", ("h", "n"))],
                    [constant("m", RANDOM.standard_normal((8, 5)).astype(np.float32)), constant("n", float32(1, 2, 3, 4, 5))]),
    "clip 6": (7, [node("Clip", min=0.0, max=1.5)], []),
    "clip 6, open": (8, [node("Clip", min=-0.5)], []),
    "clip 11": (11, [node("Clip", ("c", "lo", "hi"))], [constant("lo", np.float32(-1)), constant("hi", np.float32(1))]),
    "pad 2": (7, [node("Pad", pads=[0, 0, 1, 2, 0, 0, 3, 1], value=0.0)], []),
    "slice 1": (9, [node("Slice", starts=[1, 2], ends=[7, 100], axes=[2, 3])], []),
    "slice 1, no axes": (7, [node("Slice", starts=[0, 1], ends=[100, 5])], []),
    "softmax, last axis": (7, [node("GlobalAveragePool", outputs=("p",)), node("Flatten", ("p",), ("f",)), node("Softmax", ("f",))], []),
    "softmax, default": (11, [node("Softmax")], []),
    "softmax, axis 2": (12, [node("Softmax", axis=2)], []),
    "log softmax, axis 1": (9, [node("LogSoftmax", axis=1)], []),
    "squeeze": (11, [node("GlobalAveragePool", outputs=("p",)), node("Squeeze", ("p",), axes=[2, 3])], []),
    "unsqueeze": (7, [node("Unsqueeze", axes=[0, 3])], []),
    "reduce sum": (11, [node("ReduceSum", axes=[1, -1], keepdims=0)], []),
    "reduce sum, all": (7, [node("ReduceSum")], []),
    "reduce mean": (11, [node("ReduceMean", axes=[2, 3])], []),
    "split": (11, [node("Split", outputs=("s", "t"), axis=1, split=[3, 5]), node("Concat", ("t", "s"), axis=1)], []),
    "split, even": (7, [node("Split", outputs=("s", "t"), axis=1), node("Add", ("t", "s"))], []),
    "upsample 7": (7, [node("Upsample", mode="nearest", scales=[1.0, 1.0, 2.0, 3.0])], []),
    "upsample 9": (9, [node("Upsample", ("c", "s"), mode="linear")], [constant("s", float32(1, 1, 2, 2))]),
    "resize 10": (10, [node("Resize", ("c", "s"), mode="nearest")], [constant("s", float32(1, 1, 1.5, 2))]),
    "resize 11": (11, [node("Resize", ("c", "r", "s"), mode="linear", coordinate_transformation_mode="half_pixel")],
                  [constant("r", float32()), constant("s", float32(1, 1, 2, 2))]),
    "dropout": (7, [node("Dropout", ratio=0.3, outputs=("d",)), node("Relu", ("d",))], []),
    "dropout 10": (10, [node("Dropout", ratio=0.3, outputs=("d",)), node("Neg", ("d",))], []),
    "gemm": (7, [node("GlobalAveragePool", outputs=("p",)), node("Flatten", ("p",), ("f",)), node("Gemm", ("f", "m", "n"), transB=1, alpha=0.5)],
             [constant("m", RANDOM.standard_normal((5, 8)).astype(np.float32)), constant("n", float32(1, 2, 3, 4, 5))]),
    "transposed": (11, [node("ConvTranspose", ("c", "v"), strides=[2, 2], group=2)],
                   [constant("v", RANDOM.standard_normal((8, 3, 2, 2)).astype(np.float32) * 0.3)]),
    "pooling": (8, [node("MaxPool", outputs=("p",), kernel_shape=[2, 2], strides=[2, 2]), node("AveragePool", ("p",), kernel_shape=[3, 3])], []),
}


def check(name, path, data, folder, allowed_rounding, allowed_distance):
    x = data[:1]
    calibration, int8, exported = (os.path.join(folder, file) for file in ("c.json", "m.tslim", "m.onnx"))
    np.save(os.path.join(folder, "data.npy"), data)
    models.tinyslim("calibrate", path, "--data", os.path.join(folder, "data.npy"), "-o", calibration)
    models.tinyslim("quantize", path, "--calibration", calibration, "-o", int8)
    models.tinyslim("export", int8, "--qdq", "-o", exported)
    written = onnx.load(exported)
    onnx.checker.check_model(written)
    operators = [n.op_type for n in written.graph.node]
    theirs = models.reference(exported, x)
    ours = models.run(int8, x, folder, names_from=exported)
    original = models.reference(path, x)
    rounding = max(models.relative_error(a, b) for a, b in zip(ours, theirs, strict=True))
    distance = max(models.relative_error(a, b) for a, b in zip(theirs, original, strict=True))
    good = rounding <= allowed_rounding and distance <= allowed_distance and "QuantizeLinear" in operators
    print(f"{'ok  ' if good else 'FAIL'} {name}: INT8 here and there {rounding:.1e}, float and INT8 {distance:.1e}")
    return good


failed = 0
with tempfile.TemporaryDirectory() as folder:
    for name, (opset, nodes, constants) in SMALL.items():
        path = os.path.join(folder, "small.onnx")
        small_model(path, opset, nodes, constants)
        data = RANDOM.standard_normal((8, 3, SIZE, SIZE)).astype(np.float32)
        failed += not check(name, path, data, folder, SMALL_ROUNDING, QUANTIZATION)
    for name in ("mobilenet_v2", "ch_ppocr_mobile_v2.0_cls_infer", "resnet18"):
        data = np.concatenate([models.picture(models.SHAPES[name][0], seed) for seed in range(4)])
        # Random weights and few images: only that the two agree is asked for, not that INT8 is good.
        failed += not check(name, models.path(name), data, folder, ROUNDING, np.inf)
sys.exit(failed > 0)
