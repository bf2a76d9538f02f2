#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The forms in which other tools than ONNX Runtime write quantized models run in INT8, with ONNX Runtime's outputs.

NNCF quantizes ONNX models before BatchNormalization is folded, and both sides of attention's products; PyTorch keeps to seven
bits with a Clip of the integers, writes weights in float behind QuantizeLinear, and transposes what was quantized. The models
here are built in these forms, since the tools themselves are large. The reference is ONNX Runtime without optimizations; a
value that lies between two steps is rounded apart, so the criterion is AT_LEAST dB of all outputs, and the operators that
run on floats are counted."""
import collections
import os
import sys
import tempfile

import numpy as np
import onnx
from onnx import helper, numpy_helper

import models

RANDOM = np.random.default_rng(4)
AT_LEAST, INPUTS = 50.0, 5


class Network:
    """Nodes and constants of a model that is built from its input on."""

    def __init__(self, clip=False):
        self.nodes, self.constants, self.clip = [], {}, clip

    def name(self, what):
        return f"{what}_{len(self.nodes)}_{len(self.constants)}"

    def constant(self, array):
        name = self.name("constant")
        self.constants[name] = np.asarray(array)
        return name

    def node(self, op, *inputs, **attributes):
        names = [self.constant(x) if not isinstance(x, str) else x for x in inputs]
        self.nodes.append(helper.make_node(op, names, [self.name(op)], **attributes))
        return self.nodes[-1].output[0]

    def quantized(self, x, scale, zero=0, dtype=np.uint8, axis=None):
        """`x` rounded to 8 bits and back; with clip to seven, as PyTorch does where vector units saturate."""
        parameters = [self.constant(np.float32(scale)), self.constant(np.broadcast_to(dtype(zero), np.shape(scale)))]
        attributes = {} if axis is None else {"axis": axis}
        q = self.node("QuantizeLinear", x, *parameters, **attributes)
        if self.clip and dtype == np.uint8:
            q = self.node("Clip", q, np.uint8(0), np.uint8(127))
        return self.node("DequantizeLinear", q, *parameters, **attributes)

    def weights(self, *shape, axis=None, scale=0.3, as_float=False):
        """INT8 with one scale for each output channel, or that which rounding makes of floats."""
        real = RANDOM.standard_normal(shape) * scale
        others = tuple(i for i in range(len(shape)) if i != axis)
        scales = (np.abs(real).max(axis=others) / 127).astype(np.float32)
        if as_float:
            return self.quantized(real.astype(np.float32), scales, 0, np.int8, axis)
        along = [1] * len(shape)
        if axis is not None:
            along[axis] = -1
        q = np.rint(real / scales.reshape(along)).astype(np.int8)
        zeros = np.zeros(np.shape(scales), np.int8)
        return self.node("DequantizeLinear", q, scales, zeros, **({} if axis is None else {"axis": axis}))

    def batch_normalization(self, x, channels):
        signs = np.where(RANDOM.random(channels) < 0.3, -1, 1)
        return self.node("BatchNormalization", x, (signs * (0.5 + RANDOM.random(channels))).astype(np.float32),
                         RANDOM.standard_normal(channels).astype(np.float32) * 0.2,
                         RANDOM.standard_normal(channels).astype(np.float32) * 0.2,
                         (0.5 + RANDOM.random(channels)).astype(np.float32))

    def save(self, path, y, shape):
        self.nodes.append(helper.make_node("Identity", [y], ["y"]))
        graph = helper.make_graph(self.nodes, "g", [helper.make_tensor_value_info("x", 1, shape)],
                                  [helper.make_tensor_value_info("y", 1, None)],
                                  [numpy_helper.from_array(a, k) for k, a in self.constants.items()])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
        return shape


def before_folding(path):
    """NNCF: Conv, BatchNormalization, Relu; depthwise; transposed; a residual."""
    n = Network()
    x = n.quantized("x", 0.03, 3, np.int8)
    a = n.node("Relu", n.batch_normalization(n.node("Conv", x, n.weights(24, 8, 3, 3, axis=0), pads=[1] * 4), 24))
    a = n.quantized(a, 0.05)
    b = n.batch_normalization(n.node("Conv", a, n.weights(24, 1, 3, 3, axis=0), group=24, pads=[1] * 4), 24)
    b = n.quantized(n.node("Clip", b, np.float32(0), np.float32(6)), 6 / 255)
    c = n.batch_normalization(n.node("Conv", b, n.weights(24, 24, 1, 1)), 24)  # one scale for all channels
    d = n.quantized(n.node("Relu", n.node("Add", c, a)), 0.08)
    d = n.node("ConvTranspose", d, n.weights(24, 12, 2, 2, axis=1), strides=[2, 2])
    d = n.quantized(n.node("Relu", n.batch_normalization(d, 12)), 0.1)
    d = n.node("Concat", d, n.quantized(n.node("Sigmoid", d), 0.1), axis=1)  # of one scale: behind it there is none
    d = n.quantized(n.node("Conv", d, n.weights(12, 24, 1, 1, axis=0)), 0.1, 100)
    d = n.quantized(n.node("GlobalAveragePool", d), 0.02, 100)
    d = n.node("Flatten", d)
    return n.save(path, n.node("Add", n.node("MatMul", d, n.weights(12, 5, axis=1)),
                               RANDOM.standard_normal(5).astype(np.float32)), [2, 8, 13, 11])


def attention(path, dtype=np.int8, clip=False, as_float=False):
    """Products of activations, masked; sums with floats; transposed weights."""
    n, heads, width, length = Network(clip), 4, 32, 19
    unsigned = dtype == np.uint8
    steps = 2 if clip else 1

    def q(x, scale, zero=0):
        scale *= 1 + 0.1 * RANDOM.random()  # or many values lie between two steps
        return n.quantized(x, scale * steps, zero // steps, dtype)

    def linear(x, k, m):
        w = n.node("Transpose", n.weights(m, k, axis=0, scale=k ** -0.5, as_float=as_float), perm=[1, 0])
        return n.node("Add", n.node("MatMul", x, w), (RANDOM.standard_normal(m) * 0.1).astype(np.float32))

    def split(x, order):
        x = n.node("Reshape", q(x, 0.03, 120 if unsigned else 5), np.array([0, length, heads, width // heads], np.int64))
        return n.node("Transpose", x, perm=order)

    x = "x"
    for _ in range(2):
        y = q(n.node("LayerNormalization", x, np.ones(width, np.float32), np.zeros(width, np.float32)), 0.03, 128 if unsigned else 0)
        left, right, values = (split(linear(y, width, width), order) for order in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]))
        scores = n.node("Mul", n.node("MatMul", left, right), np.float32(0.35))
        scores = n.node("Add", scores, np.where(RANDOM.random((length, length)) < 0.2, np.float32(-10), np.float32(0)))
        mixed = n.node("MatMul", q(n.node("Softmax", scores, axis=-1), 1 / 255 if unsigned else 1 / 127), values)
        mixed = n.node("Reshape", n.node("Transpose", q(mixed, 0.02, 110 if unsigned else -3), perm=[0, 2, 1, 3]),
                       np.array([0, length, width], np.int64))
        x = n.node("Add", x, linear(mixed, width, width))
        inner = q(n.node("Relu", linear(q(x, 0.04, 130 if unsigned else 1), width, 2 * width)), 0.02)
        x = n.node("Add", linear(inner, 2 * width, width), x)
    return n.save(path, x, [3, length, width])


def seven_bits(path):
    """PyTorch for fbgemm: a Clip of the integers between rounding and its inverse; sums of two quantized values; a mean."""
    n = Network(clip=True)
    x = n.quantized("x", 0.06, 60)
    a = n.quantized(n.node("Relu", n.node("Conv", x, n.weights(16, 8, 3, 3, axis=0, as_float=True), pads=[1] * 4)), 0.1)
    b = n.quantized(n.node("Conv", a, n.weights(16, 1, 3, 3, axis=0, as_float=True), group=16, pads=[1] * 4), 0.06, 64)
    c = n.quantized(n.node("Relu", n.node("Add", b, a)), 0.1)
    c = n.quantized(n.node("MaxPool", c, kernel_shape=[2, 2], strides=[2, 2]), 0.1)
    c = n.quantized(n.node("GlobalAveragePool", c), 0.03)
    c = n.quantized(n.node("Flatten", c), 0.031)  # other parameters behind a view
    return n.save(path, n.quantized(n.node("Gemm", c, n.weights(9, 16, axis=0, as_float=True), transB=1), 0.05, 50), [2, 8, 12, 10])


def mean(path):
    """PyTorch's mean over all positions, and a view of it with other parameters."""
    n = Network()
    x = n.quantized("x", 0.03, 128)
    a = n.quantized(n.node("Relu", n.node("Conv", x, n.weights(16, 8, 1, 1, axis=0))), 0.03)
    a = n.quantized(n.node("ReduceMean", a, axes=[2, 3], keepdims=1), 0.02)
    a = n.quantized(n.node("Reshape", a, np.array([2, 16], np.int64)), 0.021)
    return n.save(path, n.node("Gemm", a, n.weights(9, 16, axis=0), transB=1), [2, 8, 12, 10])


def scale_for_each_channel(path):
    """NNCF: what a depthwise convolution reads has a scale for each channel. With zero points that differ it stays in float."""
    n, scales = Network(), np.float32(0.01 + 0.03 * RANDOM.random(24))
    x = n.quantized("x", 0.03, 3, np.int8)
    a = n.node("Clip", n.batch_normalization(n.node("Conv", x, n.weights(24, 8, 1, 1, axis=0)), 24), np.float32(0), np.float32(8))
    b = n.node("Conv", n.quantized(a, scales, 0, np.uint8, 1), n.weights(24, 1, 3, 3, axis=0), group=24, pads=[1] * 4)
    b = n.quantized(n.node("Relu", b), 0.03)
    c = n.node("HardSwish", n.node("Conv", b, n.weights(12, 24, 1, 1, axis=0), RANDOM.standard_normal(12).astype(np.float32)))
    c = n.node("Conv", n.quantized(c, scales[:12], 90, np.uint8, 1), n.weights(24, 1, 3, 3, axis=0), group=12)
    c = n.quantized(c, 0.05, 100)
    d = n.quantized(n.node("Conv", c, n.weights(24, 24, 1, 1, axis=0)), scales, (np.arange(24) * 5).astype(np.uint8), np.uint8, 1)
    d = n.node("Conv", d, n.weights(24, 1, 3, 3, axis=0), group=24)
    return n.save(path, d, [2, 8, 11, 9])


AROUND_ATTENTION = {"LayerNormalization": 2, "Softmax": 2, "Mul": 2, "Add": 2}
CASES = {
    "before folding": (before_folding, {}),
    "attention, signed": (attention, AROUND_ATTENTION),
    "attention, unsigned": (lambda path: attention(path, np.uint8), AROUND_ATTENTION),
    "attention, weights in float": (lambda path: attention(path, np.int8, as_float=True), AROUND_ATTENTION),
    "attention, seven bits": (lambda path: attention(path, np.uint8, clip=True), AROUND_ATTENTION),
    "seven bits": (seven_bits, {}),
    "mean": (mean, {}),
    "a scale for each channel": (scale_for_each_channel, {"QuantizeLinear": 1, "Conv": 1}),
}
CONVERSIONS = {"Quantize", "Dequantize", "Reorder", "Reshape", "Transpose", "Flatten", "Clip", "Identity"}


def floats_in(path):
    """How many nodes of each operator read floats, but for what converts, moves or bounds."""
    layers = models.tinyslim("bench", path, "--seconds", "0.01", "--warmup", "0", "--per-layer", "--json")["layers"]
    return dict(collections.Counter(layer["op"] for layer in layers
                                    if layer["precision"] == "float32" and layer["op"] not in CONVERSIONS))


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        path, packed, written = (os.path.join(folder, name) for name in ("a.onnx", "a.tslim", "b.onnx"))
        for name, (make, floats) in CASES.items():
            shape = make(path)
            models.tinyslim("convert", path, "-o", packed)
            models.tinyslim("export", packed, "--qdq", "-o", written)
            ratios = []
            for _ in range(INPUTS):
                x = RANDOM.standard_normal(shape).astype(np.float32)
                reference = models.reference(path, x)
                ratios.append([models.sqnr(reference, given) for given in (
                    models.run(path, x, folder), models.run(packed, x, folder, names_from=path), models.reference(written, x))])
            ratios = np.median(ratios, axis=0)
            found = floats_in(path)
            good = min(ratios) >= AT_LEAST and found == floats
            failed += not good
            print(f"{'ok  ' if good else 'FAIL'} {name}: {ratios[0]:.1f} dB, as .tslim {ratios[1]:.1f}, as written ONNX there "
                  f"{ratios[2]:.1f}; on floats {found}", flush=True)
    return failed > 0


sys.exit(main())
