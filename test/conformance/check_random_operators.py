#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Models of one operator with random attributes, sizes and optional operands, against ONNX Runtime.

Each function below makes a case: a node, its operands by name, and which of them are constants. Results must agree
within the tolerance, and portable C must give the same bits as the best instruction set. What ONNX Runtime refuses is
skipped; the count at the end says how many were compared.
    check_random_operators.py [seed [rounds [name of a function]]]"""
import sys

import numpy as np
import onnx
from onnx import helper, numpy_helper

import library

random = np.random.default_rng(0)


def pick(*values):
    return values[random.integers(len(values))]


def chance(probability):
    return random.random() < probability


def number(low, high):
    return int(random.integers(low, high + 1))


def floats(*shape, scale=1.0):
    return (random.standard_normal(shape) * scale).astype(np.float32)


class Case:
    """`operands`: (name, array or None for an absent one); `constant`: names; outputs are named y0, y1, ..."""

    def __init__(self, op, operands, n_outputs=1, opset=17, constant=(), tolerance=1e-5, domain="", **attributes):
        self.operands, self.opset, self.tolerance = operands, opset, tolerance
        names = [name if x is not None else "" for name, x in operands]
        while names and not names[-1]:
            names.pop()
        self.outputs = [f"y{i}" for i in range(n_outputs)]
        attributes = {k: v for k, v in attributes.items() if v is not None}
        self.node = helper.make_node(op, names, self.outputs, domain=domain, **attributes)
        self.constant, self.domain = set(constant), domain

    def model(self):
        present = [(name, x) for name, x in self.operands if x is not None]
        inputs = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
                  for name, x in present if name not in self.constant]
        outputs = [helper.make_tensor_value_info(name, 0, None) for name in self.outputs]
        for output in outputs:
            output.ClearField("type")
        constants = [numpy_helper.from_array(x, name) for name, x in present if name in self.constant]
        opsets = [helper.make_opsetid("", self.opset)]
        if self.domain:
            opsets.append(helper.make_opsetid(self.domain, 1))
        graph = helper.make_graph([self.node], "case", inputs, outputs, constants)
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)

    def feeds(self):
        return {name: x for name, x in self.operands if x is not None and name not in self.constant}

    def describe(self):
        shapes = {name: x.shape for name, x in self.operands if x is not None}
        attributes = {a.name: helper.get_attribute_value(a) for a in self.node.attribute}
        return f"{self.node.op_type} opset {self.opset} {attributes} {shapes}"


# ---- Recurrent layers ----

# Those that grow without bound are left out: their differences would as well.
GATE_FUNCTIONS = {"Sigmoid": (0, 0), "Tanh": (0, 0), "HardSigmoid": (1, 1), "Softsign": (0, 0), "ScaledTanh": (1, 1)}


def recurrent():
    op = pick("LSTM", "GRU", "RNN")
    gates, per_direction = {"LSTM": (4, 3), "GRU": (3, 2), "RNN": (1, 1)}[op]
    steps, batch, inputs, hidden = pick(1, 2, 5, 9, 120), number(1, 5), number(1, 40), pick(1, 3, 8, 16, 17, 33)
    direction = pick("forward", "reverse", "bidirectional")
    directions = 2 if direction == "bidirectional" else 1
    small = dict(scale=0.3)
    optional = [("B", floats(directions, 2 * gates * hidden, **small)),
                ("sequence_lens", random.integers(1, steps + 1, batch).astype(np.int32)),
                ("initial_h", floats(directions, batch, hidden))]
    if op == "LSTM":
        optional += [("initial_c", floats(directions, batch, hidden)), ("P", floats(directions, 3 * hidden, **small))]
    optional = [(name, x if chance(0.5) else None) for name, x in optional]
    operands = [("X", floats(steps, batch, inputs)), ("W", floats(directions, gates * hidden, inputs, **small)),
                ("R", floats(directions, gates * hidden, hidden, scale=0.6 / hidden ** 0.5))] + optional
    attributes = {}
    if chance(0.3):
        names = [pick(*GATE_FUNCTIONS) for _ in range(per_direction * directions)]
        attributes = dict(activations=names)
        for i, list_name in enumerate(("activation_alpha", "activation_beta")):
            values = [random.uniform(0.2, 0.9) for name in names if GATE_FUNCTIONS[name][i]]
            if values:
                attributes[list_name] = values
    if chance(0.3):
        attributes["clip"] = random.uniform(0.3, 2)
    if op == "GRU" and chance(0.5):
        attributes["linear_before_reset"] = 1
    if op == "LSTM" and chance(0.3):
        attributes["input_forget"] = 1
    constant = [name for name in ("W", "R", "B", "P") if chance(0.7)]
    return Case(op, operands, 3 if op == "LSTM" else 2, constant=constant, tolerance=2e-5, direction=direction,
                hidden_size=hidden, **attributes)


# ---- Normalization ----

def normalization():
    kind = pick("layer", "instance", "group", "mean variance", "lp", "lrn", "batch", "softmax")
    # No group of one element, whose variance is nothing but rounding.
    shape = (number(2, 3), pick(2, 6, 12), *(pick(2, 3, 7, 16, 65, 300) for _ in range(number(1, 2))))
    x = floats(*shape) * pick(1, 20) + np.float32(pick(0, 5))
    if kind == "layer":
        axis = number(-len(shape), len(shape) - 1)
        scale = floats(*shape[axis:])
        bias = floats(*shape[axis:]) if chance(0.6) else None
        return Case("LayerNormalization", [("x", x), ("scale", scale), ("bias", bias)], pick(1, 3), axis=axis,
                    epsilon=pick(1e-5, 1e-3), tolerance=5e-5)
    channels = [("scale", floats(shape[1])), ("bias", floats(shape[1]))]
    if kind == "instance":
        return Case("InstanceNormalization", [("x", x)] + channels, epsilon=pick(1e-5, 1e-2), tolerance=5e-5)
    if kind == "group":
        groups = pick(*(g for g in (1, 2, 3, 6) if shape[1] % g == 0))
        opset = pick(18, 21)
        length = shape[1] if opset == 21 else groups
        return Case("GroupNormalization", [("x", x), ("scale", floats(length)), ("bias", floats(length))], opset=opset,
                    num_groups=groups, epsilon=pick(1e-5, 1e-2), tolerance=5e-5)
    if kind == "mean variance":
        axes = sorted(random.choice(len(shape), number(1, len(shape)), replace=False).tolist())
        return Case("MeanVarianceNormalization", [("x", floats(*shape))], axes=axes, opset=13, tolerance=1e-4)
    if kind == "lp":
        return Case("LpNormalization", [("x", x)], axis=number(-len(shape), len(shape) - 1), p=pick(1, 2))
    if kind == "lrn":
        x = floats(number(1, 2), pick(1, 4, 9), pick(1, 5, 20), pick(3, 17))
        return Case("LRN", [("x", x)], size=pick(1, 3, 5, 4), alpha=pick(1e-4, 0.5), beta=pick(0.75, 0.5, 1.0),
                    bias=pick(1.0, 2.0))
    if kind == "softmax":
        return Case(pick("Softmax", "LogSoftmax"), [("x", x)], axis=number(-len(shape), len(shape) - 1),
                    opset=pick(11, 12, 13, 17))
    training = chance(0.5)
    channels += [("mean", floats(shape[1])), ("variance", np.abs(floats(shape[1])) + np.float32(0.1))]
    return Case("BatchNormalization", [("x", x)] + channels, 3 if training else 1, opset=pick(14, 15),
                training_mode=int(training), momentum=0.7, tolerance=5e-5)


# ---- Matrix products ----

def matrix_product():
    rows, depth, columns = pick(1, 2, 5, 7, 33), pick(1, 3, 16, 70, 129), pick(1, 5, 16, 31, 64, 100)
    if chance(0.3):
        transposed = pick(0, 1), pick(0, 1)
        a = floats(*((depth, rows) if transposed[0] else (rows, depth)))
        b = floats(*((columns, depth) if transposed[1] else (depth, columns)))
        c = pick(None, floats(), floats(columns), floats(rows, columns), floats(rows, 1))
        return Case("Gemm", [("a", a), ("b", b), ("c", c)], transA=transposed[0], transB=transposed[1],
                    alpha=pick(1.0, 0.5), beta=pick(1.0, 2.0), constant=[n for n in "bc" if chance(0.5)])
    batch = [pick(1, 2, 3) for _ in range(number(0, 2))]

    def operand(*matrix):  # some batch dims are 1, or absent
        dims = [d if chance(0.7) else 1 for d in batch]
        return floats(*dims[number(0, len(dims)) if chance(0.3) else 0:], *matrix)

    a = floats(depth) if chance(0.1) else operand(rows, depth)
    b = floats(depth) if chance(0.1) else operand(depth, columns)
    return Case("MatMul", [("a", a), ("b", b)], constant=[name for name in "ab" if chance(0.25)])


# ---- Windows ----

def window(rank, op):
    """Attributes for sizes that make sense, or not: what does not is refused by both."""
    kernel = [number(1, 4) for _ in range(rank)]
    attributes = dict(kernel_shape=kernel)
    if chance(0.6):
        attributes["strides"] = [number(1, 3) for _ in range(rank)]
    if chance(0.3) and op != "LpPool":
        attributes["dilations"] = [number(1, 2) for _ in range(rank)]
    padding = pick("none", "pads", "same")
    if padding == "pads":
        attributes["pads"] = [number(0, kernel[i % rank] - 1) for i in range(2 * rank)]
    elif (padding == "same" and "dilations" not in attributes and op != "ConvTranspose" and
          all(k >= s for k, s in zip(kernel, attributes.get("strides", [1] * rank)))):  # or padding would be negative
        attributes["auto_pad"] = pick("SAME_UPPER", "SAME_LOWER", "VALID")
    return attributes


def convolution():
    op, rank = pick("Conv", "ConvTranspose"), pick(1, 2, 3, 3)
    group, ins, outs = pick(1, 1, 2, 3), number(1, 5), number(1, 6)
    attributes = window(rank, op)
    space = [number(3, 9) for _ in range(rank)]
    kernel = attributes["kernel_shape"]
    if op == "Conv":
        w = floats(group * outs, ins, *kernel)
    else:
        w = floats(group * ins, outs, *kernel)
        strides = attributes.get("strides", [1] * rank)
        if chance(0.3):
            attributes["output_padding"] = [number(0, s - 1) for s in strides]
        elif chance(0.2):
            attributes["output_shape"] = [(d - 1) * s + k for d, s, k in zip(space, strides, kernel)]
            attributes.pop("dilations", None)
            attributes.pop("pads", None)
    bias = floats(group * outs) if chance(0.5) else None
    return Case(op, [("x", floats(number(1, 2), group * ins, *space)), ("w", w), ("b", bias)], group=group,
                constant=["w", "b"] if chance(0.7) else [], tolerance=2e-5, **attributes)


def pooling():
    op, rank = pick("MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), number(1, 3)
    x = floats(number(1, 2), number(1, 20), *(number(7, 10) for _ in range(rank)))
    if op.startswith("Global"):
        return Case(op, [("x", x)], p=pick(1, 2, 3) if op == "GlobalLpPool" else None)
    attributes, outputs, opset = window(rank, op), 1, 12
    if op == "AveragePool":
        opset = pick(11, 19)
        attributes["count_include_pad"] = pick(0, 1)
        if opset < 19:
            attributes.pop("dilations", None)
    elif op == "LpPool":
        opset = pick(11, 18)
        attributes["p"] = pick(1, 2, 3)
    elif chance(0.5):
        outputs = 2
        attributes["storage_order"] = pick(0, 1)
    if "auto_pad" not in attributes and op != "LpPool":
        attributes["ceil_mode"] = pick(0, 1)
    return Case(op, [("x", x)], outputs, opset=opset, **attributes)


# ---- Signals ----

def transform():
    dtype = pick(np.float32, np.float64)
    if chance(0.4):
        length, step, parts = pick(8, 12, 15, 16, 31), number(1, 9), 1
        signal = random.standard_normal((number(1, 3), number(length, 90), parts)).astype(dtype)
        window = pick(None, np.hanning(length).astype(dtype))
        return Case("STFT", [("signal", signal), ("step", np.int64(step)), ("window", window), ("length", np.int64(length))],
                    constant=["step", "length", "window"], onesided=pick(0, 1), tolerance=3e-5)
    shape = [number(1, 3), pick(4, 7, 16, 30), pick(5, 8, 9)]
    axis, inverse = number(1, 2), pick(0, 1)
    x = random.standard_normal((*shape, 2 if inverse else pick(1, 2))).astype(dtype)
    one_sided = 0 if inverse or x.shape[-1] == 2 else pick(0, 1)
    length = np.int64(number(3, 20)) if chance(0.3) else None
    if chance(0.5):
        return Case("DFT", [("x", x), ("length", length)], constant=["length"], axis=axis, inverse=inverse,
                    onesided=one_sided, tolerance=3e-5)
    return Case("DFT", [("x", x), ("length", length), ("axis", np.int64(axis))], opset=20, constant=["length", "axis"],
                inverse=inverse, onesided=one_sided, tolerance=3e-5)


# ---- Samples ----

def samples():
    if chance(0.3):
        regions, h, w = number(1, 4), number(4, 12), number(4, 12)
        corner = random.uniform(0, 6, (regions, 2))
        rois = np.hstack([corner, corner + random.uniform(0.5, 9, (regions, 2))]).astype(np.float32)
        opset = pick(10, 16)
        mode = pick("half_pixel", "output_half_pixel") if opset == 16 else None
        return Case("RoiAlign", [("x", floats(2, 3, h, w)), ("rois", rois),
                                 ("batch", random.integers(0, 2, regions).astype(np.int64))],
                    opset=opset, coordinate_transformation_mode=mode, output_height=number(1, 4),
                    output_width=number(1, 4), sampling_ratio=number(0, 3), spatial_scale=pick(1.0, 0.5),
                    mode=pick("avg", "avg", "max"))
    opset = pick(16, 20)
    axes = pick(2, 3) if opset == 20 else 2
    x = floats(2, 3, *(number(1, 7) for _ in range(axes)))
    grid = random.uniform(-1.6, 1.6, (2, *(number(1, 5) for _ in range(axes)), axes)).astype(np.float32)
    names = ("linear", "nearest", "cubic") if opset == 20 else ("bilinear", "nearest", "bicubic")
    return Case("GridSample", [("x", x), ("grid", grid)], opset=opset, mode=names[number(0, 1 if axes == 3 else 2)],
                padding_mode=pick("zeros", "border", "reflection"), align_corners=pick(0, 1), tolerance=1e-4)


MAKERS = [recurrent, normalization, matrix_product, convolution, pooling, transform, samples]


def reference(case):
    """ONNX Runtime's outputs, its graph optimisations off; None when it refuses the model."""
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    onnxruntime.set_default_logger_severity(4)
    try:
        session = onnxruntime.InferenceSession(case.model().SerializeToString(), options,
                                               providers=["CPUExecutionProvider"])
        return session.run(None, case.feeds())
    except Exception:  # it has its own kinds, without a common ancestor
        return None


def differs(case, ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        if a.dtype != b.dtype or a.shape != b.shape:
            return f"{a.dtype} {a.shape}, not {b.dtype} {b.shape}"
        if a.dtype.kind != "f":
            if not np.array_equal(a, b):
                return "other whole numbers"
            continue
        scale = max(np.abs(b[np.isfinite(b)]).max(initial=0), 1e-3)
        if not np.allclose(a.astype(np.float64), b.astype(np.float64), case.tolerance, case.tolerance * scale,
                           equal_nan=True):
            return f"off by {np.nanmax(np.abs(a.astype(np.float64) - b)):.2e} of {scale:.2e}"
    return None


def attempt(case):
    """What is wrong, or None; and whether ONNX Runtime had an answer."""
    theirs = reference(case)
    try:
        model, feeds = case.model(), list(case.feeds().values())
        ours, portable = library.run(model, list(feeds), 0), library.run(model, list(feeds), library.PORTABLE)
    except library.Failure as failure:
        return (str(failure) if theirs is not None else None), theirs is not None
    if not all(a.tobytes() == b.tobytes() or library.agree_nan(a, b) for a, b in zip(ours, portable, strict=True)):
        return "portable C gives other bits", True
    return (differs(case, ours, theirs) if theirs is not None else None), theirs is not None


def main(makers):
    global random
    seed, rounds = (int(sys.argv[i]) if len(sys.argv) > i else default for i, default in ((1, 0), (2, 120)))
    failed = 0
    for maker in makers:
        if len(sys.argv) > 3 and maker.__name__ != sys.argv[3]:
            continue
        compared, wrong = 0, 0
        for i in range(rounds):
            random = np.random.default_rng([seed, i, sum(map(ord, maker.__name__))])
            case = maker()
            complaint, answered = attempt(case)
            compared += answered
            if complaint:
                wrong += 1
                if wrong <= 5:
                    print(f"FAIL {i}: {case.describe()}: {complaint}")
        print(f"{maker.__name__}: {compared} of {rounds} compared, {wrong} wrong")
        failed += wrong + (compared < rounds // 3)  # a generator that ONNX Runtime refuses tests nothing
    return failed > 0


if __name__ == "__main__":
    sys.exit(main(MAKERS))
