#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Models that ONNX Runtime quantized give the outputs that ONNX Runtime gives, in both of its forms, signed and unsigned,
symmetric and not, by tensor and by channel, static and dynamic; and so do the files that the library writes of them.

The reference is ONNX Runtime without its graph optimizations: each quantized value is then just what the file says. A value
that lies between two steps is rounded apart by another order of operations, and a network multiplies that: an input that
differs by 1e-5 has other outputs as well. So each model runs on several inputs, of which some meet no such value. The
criterion is the median over the inputs of the signal to noise ratio (SQNR) of all outputs against the reference: at least
AT_LEAST dB (SMALL_AT_LEAST for a few layers), or at most MARGIN dB less than ONNX Runtime's own optimized outputs have."""
import logging
import os
import sys
import tempfile

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

import models

logging.disable(logging.WARNING)
RANDOM = np.random.default_rng(11)
AT_LEAST, MARGIN, SMALL_AT_LEAST = 30.0, 3.0, 55.0
TYPES = {"u8": QuantType.QUInt8, "s8": QuantType.QInt8}


class Samples(CalibrationDataReader):
    def __init__(self, name, arrays):
        self.arrays = iter([{name: x} for x in arrays])

    def get_next(self):
        return next(self.arrays, None)


# ---- Small models, whose layers are few enough for rounding not to multiply ----

def weights(*shape, scale=0.3):
    return (RANDOM.standard_normal(shape) * scale + 0.05).astype(np.float32)  # not symmetric


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs, outputs, **attributes)


def save(path, shape, nodes, constants):
    graph = helper.make_graph(nodes, "small", [helper.make_tensor_value_info("x", 1, shape)],
                              [helper.make_tensor_value_info("y", 1, None)],
                              [numpy_helper.from_array(x, name) for name, x in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(onnx.shape_inference.infer_shapes(model), path)


def small_convolutions(path):
    save(path, [1, 8, 13, 11], [
        node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]), node("Relu", ["c1"], ["r1"]),
        node("Conv", ["r1", "w2"], ["c2"], pads=[2, 0, 1, 1], strides=[2, 1], group=24),
        node("MaxPool", ["c2"], ["m"], kernel_shape=[2, 2]), node("Sigmoid", ["m"], ["s"]), node("Mul", ["m", "s"], ["g"]),
        node("Conv", ["g", "w3", "b3"], ["c3"]), node("Add", ["c3", "m"], ["a"]), node("AveragePool", ["a"], ["p"], kernel_shape=[3, 3]),
        node("Concat", ["p", "p"], ["k"], axis=1), node("Conv", ["k", "w4"], ["c4"], group=2),
        node("GlobalAveragePool", ["c4"], ["q"]), node("Flatten", ["q"], ["f"]), node("Gemm", ["f", "w5", "b5"], ["y"], transB=1)],
        {"w1": weights(24, 8, 3, 3), "b1": weights(24), "w2": weights(24, 1, 3, 3), "w3": weights(24, 24, 1, 1), "b3": weights(24),
         "w4": weights(20, 24, 2, 2), "w5": weights(7, 20), "b5": weights(7)})
    return (1, 8, 13, 11)


def small_products(path):
    save(path, [2, 6, 40], [
        node("MatMul", ["x", "w1"], ["a"]), node("Add", ["a", "b1"], ["c"]), node("Relu", ["c"], ["d"]),
        node("MatMul", ["d", "w2"], ["e"]), node("Softmax", ["e"], ["f"], axis=-1), node("Transpose", ["f"], ["t"], perm=[0, 2, 1]),
        node("MatMul", ["f", "t"], ["y"])], {"w1": weights(40, 70), "b1": weights(70), "w2": weights(70, 33)})
    return (2, 6, 40)


# ---- Comparison ----

def outputs(path, x, optimized=False):
    options = SessionOptions()
    level = GraphOptimizationLevel.ORT_ENABLE_ALL if optimized else GraphOptimizationLevel.ORT_DISABLE_ALL
    options.graph_optimization_level, options.intra_op_num_threads, options.log_severity_level = level, 1, 4
    session = InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})


def median(references, results):
    return float(np.median([models.sqnr(wanted, given) for wanted, given in zip(references, results, strict=True)]))


def check(name, path, float_path, inputs, folder, at_least):
    references = [outputs(path, x) for x in inputs]
    try:
        theirs = median(references, [outputs(path, x, optimized=True) for x in inputs])
    except Exception as error:  # some options make files that it optimizes into what it cannot run
        theirs = np.inf
        print(f"     ONNX Runtime's optimized form of {name}: {str(error)[:90]}")
    packed, written = os.path.join(folder, "q.tslim"), os.path.join(folder, "q.onnx")
    models.tinyslim("convert", path, "-o", packed)
    models.tinyslim("export", packed, *([] if "dynamic" in name else ["--qdq"]), "-o", written)
    ours = median(references, [models.run(path, x, folder) for x in inputs])
    from_packed = median(references, [models.run(packed, x, folder, names_from=path) for x in inputs])
    from_written = median(references, [outputs(written, x) for x in inputs])
    distance = median([outputs(float_path, x) for x in inputs], references)
    good = min(ours, from_packed, from_written) >= min(at_least, theirs - MARGIN)
    print(f"{'ok  ' if good else 'FAIL'} {name}: {ours:.1f} dB; as .tslim {from_packed:.1f}, as written ONNX there {from_written:.1f}; "
          f"theirs optimized {theirs:.1f}, against float {distance:.1f}", flush=True)
    return good


def quantize(folder, float_path, samples, options):
    kind, activations, weight_type, per_channel, symmetric = options
    path = os.path.join(folder, "quantized.onnx")
    if kind == "dynamic":
        quantize_dynamic(float_path, path, per_channel=per_channel, weight_type=TYPES[weight_type])
        return path
    name = onnx.load(float_path, load_external_data=False).graph.input[0].name
    quantize_static(float_path, path, Samples(name, samples), per_channel=per_channel,
                    quant_format=QuantFormat.QDQ if kind == "qdq" else QuantFormat.QOperator,
                    activation_type=TYPES[activations], weight_type=TYPES[weight_type],
                    extra_options={"ActivationSymmetric": symmetric, "WeightSymmetric": weight_type == "s8"})
    return path


STATIC = [(kind, a, w, channel, symmetric) for kind in ("qdq", "operators")
          for a, w in (("u8", "s8"), ("s8", "s8"), ("u8", "u8")) for channel in (False, True) for symmetric in (False, True)]
DYNAMIC = [("dynamic", "u8", w, channel, False) for w in ("s8", "u8") for channel in (False, True)]
LARGE = [("qdq", "u8", "s8", False, False), ("qdq", "s8", "s8", True, True), ("operators", "u8", "u8", False, False),
         ("dynamic", "u8", "s8", False, False)]


def words(options):
    kind, a, w, channel, symmetric = options
    return f"{kind}, {a} by {w}{', per channel' if channel else ''}{', symmetric' if symmetric else ''}"


failed = 0
with tempfile.TemporaryDirectory() as folder:
    for make in (small_convolutions, small_products):
        path = os.path.join(folder, "float.onnx")
        shape = make(path)
        samples = [RANDOM.standard_normal(shape).astype(np.float32) for _ in range(8)]
        for options in STATIC + DYNAMIC:
            if options[1:3] == ("u8", "u8") and options[4]:
                continue  # the same weights again
            try:
                quantized = quantize(folder, path, samples, options)
            except Exception as error:
                print(f"     ONNX Runtime does not quantize {make.__name__}, {words(options)}: {str(error)[:90]}")
                continue
            failed += not check(f"{make.__name__}, {words(options)}", quantized, path, samples[:3], folder, SMALL_AT_LEAST)
    for name in ("resnet18", "mobilenet_v2", "ch_ppocr_mobile_v2.0_cls_infer", "ch_PP-OCRv4_det_infer", "320n"):
        prepared = os.path.join(folder, "prepared.onnx")
        quant_pre_process(models.path(name), prepared, skip_symbolic_shape=True)
        shape = models.SHAPES[name][0]
        samples = [models.example(name, shape, seed) for seed in range(5)]
        for options in LARGE:
            try:
                quantized = quantize(folder, prepared, samples[:3], options)
                outputs(quantized, samples[0])
            except Exception as error:
                print(f"     ONNX Runtime fails at {name}, {words(options)}: {str(error)[:90]}")
                continue
            failed += not check(f"{name}, {words(options)}", quantized, prepared, samples, folder, AT_LEAST)
sys.exit(failed > 0)
