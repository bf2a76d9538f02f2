#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes standard image classifiers as ONNX files with seeded random weights: real structure, no download.

usage: make_models.py FOLDER [NAME ...]        names: resnet18 resnet50 mobilenet_v2 vgg16

Convolution, BatchNormalization and activation are separate nodes, as trainers export them.
Architectures: He et al. 2015 (arXiv:1512.03385), Sandler et al. 2018 (arXiv:1801.04381), Simonyan and Zisserman 2014
(arXiv:1409.1556).
"""
import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Network:
    """Appends layers to a graph; every layer takes and returns the name of a value."""

    def __init__(self, name):
        self.name = name
        self.random = np.random.default_rng(1)
        self.nodes, self.constants = [], []
        self.channels = {"input": 3}

    def constant(self, array, kind):
        name = f"{kind}.{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array, np.float32), name))
        return name

    def node(self, op, inputs, channels=None, **attributes):
        output = f"{op.lower()}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        self.channels[output] = self.channels[inputs[0]] if channels is None else channels
        return output

    def convolution(self, x, out, kernel=3, stride=1, group=1, normalize=True, activation=None):
        fan_in = self.channels[x] // group * kernel * kernel
        shape = (out, self.channels[x] // group, kernel, kernel)
        inputs = [x, self.constant(self.random.normal(0, (2 / fan_in) ** 0.5, shape), "weight")]
        if not normalize:
            inputs.append(self.constant(self.random.normal(0, 0.05, out), "bias"))
        x = self.node("Conv", inputs, out, kernel_shape=[kernel] * 2, strides=[stride] * 2,
                      pads=[kernel // 2] * 4, group=group)
        if normalize:
            uniform, normal = self.random.uniform, self.random.normal
            x = self.node("BatchNormalization", [
                x, self.constant(uniform(0.2, 1.2, out), "gamma"), self.constant(normal(0, 0.1, out), "beta"),
                self.constant(normal(0, 0.1, out), "mean"), self.constant(uniform(0.5, 1.5, out), "variance")])
        if activation == "relu":
            x = self.node("Relu", [x])
        elif activation == "relu6":
            x = self.node("Clip", [x, self.constant(0, "low"), self.constant(6, "high")])
        return x

    def linear(self, x, inputs, out, relu=False):
        weight = self.constant(self.random.normal(0, inputs ** -0.5, (out, inputs)), "weight")
        x = self.node("Gemm", [x, weight, self.constant(self.random.normal(0, 0.05, out), "bias")], out, transB=1)
        return self.node("Relu", [x]) if relu else x

    def classify(self, x):
        x = self.node("Flatten", [self.node("GlobalAveragePool", [x])], axis=1)
        return self.linear(x, self.channels[x], 1000)

    def save(self, output, folder):
        image = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 224, 224])
        scores = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", 1000])
        graph = helper.make_graph(self.nodes, self.name, [image], [scores], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, os.path.join(folder, self.name + ".onnx"))


def resnet(name, blocks, bottleneck):
    net = Network(name)
    x = net.convolution("input", 64, 7, 2, activation="relu")
    x = net.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    for stage, count in enumerate(blocks):
        width = 64 << stage
        out = width * 4 if bottleneck else width
        for block in range(count):
            stride = 2 if stage > 0 and block == 0 else 1
            if bottleneck:
                y = net.convolution(x, width, 1, activation="relu")
                y = net.convolution(y, width, 3, stride, activation="relu")
                y = net.convolution(y, out, 1)
            else:
                y = net.convolution(x, width, 3, stride, activation="relu")
                y = net.convolution(y, out, 3)
            if stride > 1 or net.channels[x] != out:
                x = net.convolution(x, out, 1, stride)
            x = net.node("Relu", [net.node("Add", [y, x])])
    return net, net.classify(x)


def mobilenet_v2():
    net = Network("mobilenet_v2")
    x = net.convolution("input", 32, 3, 2, activation="relu6")
    # expansion, channels, blocks, stride of the first
    for expansion, out, count, first_stride in [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
                                                (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]:
        for block in range(count):
            stride, y, wide = (first_stride if block == 0 else 1), x, net.channels[x] * expansion
            if expansion > 1:
                y = net.convolution(y, wide, 1, activation="relu6")
            y = net.convolution(y, wide, 3, stride, group=wide, activation="relu6")
            y = net.convolution(y, out, 1)
            x = net.node("Add", [y, x]) if stride == 1 and net.channels[x] == out else y
    return net, net.classify(net.convolution(x, 1280, 1, activation="relu6"))


def vgg16():
    net, x = Network("vgg16"), "input"
    for out, count in [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]:
        for _ in range(count):
            x = net.convolution(x, out, normalize=False, activation="relu")
        x = net.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    x = net.node("Flatten", [x], axis=1)
    x = net.linear(x, 512 * 7 * 7, 4096, relu=True)
    return net, net.linear(net.linear(x, 4096, 4096, relu=True), 4096, 1000)


BUILDERS = {
    "resnet18": lambda: resnet("resnet18", [2, 2, 2, 2], False),
    "resnet50": lambda: resnet("resnet50", [3, 4, 6, 3], True),
    "mobilenet_v2": mobilenet_v2,
    "vgg16": vgg16,
}

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    os.makedirs(sys.argv[1], exist_ok=True)
    for name in sys.argv[2:] or BUILDERS:
        network, output = BUILDERS[name]()
        network.save(output, sys.argv[1])
