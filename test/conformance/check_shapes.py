#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shape inference against shapes that others computed, node by node, through test/support/shape_probe.c:

- the node tests that come with the onnx package (inputs and results of every operator, by its reference);
- every node of real models, with the shapes that ONNX Runtime gives its values, at two input sizes where the
  model's dims are dynamic.

    check_shapes.py [MODEL.onnx...]     TINYSLIM_PROBE names the probe; models may also be in $TSLIM_MODELS
"""
import glob
import os
import re
import subprocess
import sys
import warnings

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
CONSTANT_TYPES = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.INT32}
LIBRARY_MAX_OPSET = 21
# Sizes that only the data decides are '?' here; bodies of nodes and an inverse transform are not probed by themselves:
# check_node_tests.py runs them.
DATA_DECIDES = ("test_compress", "test_nonmaxsuppression", "test_nonzero", "test_unique")
NOT_PROBED = ("(If)", "(Loop)", "(Scan)", "(DFT): an inverse transform")


def is_left_to_the_run(line):
    return line.startswith(DATA_DECIDES) and "?" in line or any(text in line for text in NOT_PROBED)


# What is said to be unsupported on purpose: the text that the message must hold.
UNSUPPORTED = ["spatial dims (1 and 2 are supported)", "keep_aspect_ratio_policy", "tf_crop_and_resize",
               "scales in blocks", "a cast to type", "a range of bfloat16 numbers", "a range of float16 numbers",
               "not an unsigned integer type"]  # BitShift of signed integers came after opset 21
# Batch, height and width of models that do not take any size.
SIZES = {"ch_PP-OCRv4_rec_infer.onnx": [(1, 48, 64), (2, 48, 320)],
         "ch_ppocr_mobile_v2.0_cls_infer.onnx": [(1, 48, 192), (3, 48, 192)]}


def operators():
    """Names, opsets and operand counts from the library's own table."""
    pattern = re.compile(r'^TSL_OP\(\w+, "(\w+)", "", (\d+), (\d+), (\d+), (\d+), (\d+), (\d+),')
    with open(os.path.join(ROOT, "lib/ir/ops.def")) as table:
        found = (pattern.match(line) for line in table)
        return {m[1]: tuple(int(m[i]) for i in range(2, 8)) for m in found if m}


def dtype_of(array):
    try:
        return helper.np_dtype_to_tensor_dtype(array.dtype)
    except (KeyError, ValueError):
        return None


def write_attributes(node):
    lines = []
    for attr in node.attribute:
        if attr.type == attr.INT:
            lines.append(f"int {attr.name} {attr.i}")
        elif attr.type == attr.INTS:
            lines.append(f"ints {attr.name} {len(attr.ints)} " + " ".join(map(str, attr.ints)))
        elif attr.type == attr.STRING and attr.s:
            lines.append(f"text {attr.name} {attr.s.decode().replace(' ', '')}")  # Einsum's equation may have spaces
        elif attr.type == attr.TENSOR:
            lines.append(f"type {attr.name} {attr.t.data_type}")
    return lines


def write_array(array, dtype, is_constant):
    dims = " ".join(map(str, array.shape))
    if not is_constant or dtype not in CONSTANT_TYPES or array.size > 64:
        return f"input {dtype} {array.ndim} {dims} -1"
    return f"input {dtype} {array.ndim} {dims} {array.size} " + " ".join(repr(x.item()) for x in array.flatten())


def write_case(name, node, opset, inputs, outputs):
    """One case, or None where a value is no plain tensor of rank 8 or less."""
    lines = [f"node {name.replace(' ', '_')} {node.op_type} {opset}"] + write_attributes(node)
    for value in inputs:
        if value is None:
            lines.append("absent")
            continue
        if not isinstance(value, np.ndarray) or dtype_of(value) in (None, TensorProto.STRING) or value.ndim > 8:
            return None
        # Small operands may be numbers that the shape depends on: all of them are told.
        lines.append(write_array(value, dtype_of(value), True))
    for value in outputs:
        if not isinstance(value, np.ndarray) or value.ndim > 8 or dtype_of(value) is None:
            return None
        lines.append(f"output {dtype_of(value)} {value.ndim} " + " ".join(map(str, value.shape)))
    return "\n".join(lines + ["end"])


def is_supported(node, opset, table):
    if node.domain not in ("", "ai.onnx") or node.op_type not in table:
        return False
    low, high, least_in, most_in, least_out, most_out = table[node.op_type]
    return (low <= min(opset, LIBRARY_MAX_OPSET) <= high and least_in <= len(node.input) <= most_in and
            least_out <= len(node.output) <= most_out)


def opset_of(model):
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)


def cases_of_node_tests(table):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests
        tests = load_model_tests(kind="node")
    for test in tests:
        model = test.model
        if model is None or len(model.graph.node) != 1 or not test.data_sets:
            continue
        node, opset = model.graph.node[0], opset_of(model)
        if not is_supported(node, opset, table):
            continue
        arrays, results = test.data_sets[0]
        named = {info.name: array for info, array in zip(model.graph.input, arrays)}
        made = {info.name: array for info, array in zip(model.graph.output, results)}
        inputs = [named.get(name) if name else None for name in node.input]
        outputs = [made.get(name) for name in node.output]
        case = write_case(test.name, node, min(opset, LIBRARY_MAX_OPSET), inputs,
                          [np.asarray(o) if isinstance(o, np.generic) else o for o in outputs])
        if case:
            yield case


def run_all_values(model, shapes):
    """Every value of the model, by ONNX Runtime without optimizations."""
    import onnxruntime as ort
    known = {v.name for v in model.graph.output}
    for node in model.graph.node:
        for name in node.output:
            if name and name not in known:
                model.graph.output.append(helper.make_empty_tensor_value_info(name))
                known.add(name)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    feeds = {name: rng.random(dims, dtype=np.float32) for name, dims in shapes.items()}
    names = [o.name for o in session.get_outputs()]
    values = dict(zip(names, session.run(names, feeds)))
    values.update(feeds)
    values.update((t.name, numpy_helper.to_array(t)) for t in model.graph.initializer)
    return values


def input_shapes(model, sizes):
    """One set of sizes, or as many as are given where dims are dynamic."""
    weights = {t.name for t in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in weights]
    for batch, height, width in sizes:
        shapes, dynamic = {}, False
        for value in inputs:
            dims = [d.dim_value if d.dim_value > 0 else 0 for d in value.type.tensor_type.shape.dim]
            shapes[value.name] = [d or size for d, size in zip(dims, (batch, dims[1], height, width))]
            dynamic = dynamic or 0 in dims
        yield shapes
        if not dynamic:
            return


def cases_of_model(path, table):
    sizes = SIZES.get(os.path.basename(path), [(1, 64, 64), (2, 96, 128)])
    for shapes in input_shapes(onnx.load(path), sizes):
        model = onnx.load(path)
        values = run_all_values(model, shapes)
        for node in model.graph.node:
            if not is_supported(node, opset_of(model), table):
                continue
            case = write_case(f"{os.path.basename(path)}:{node.name or node.output[0]}", node, opset_of(model),
                              [values[name] if name else None for name in node.input],
                              [values[name] for name in node.output])
            if case:
                yield case


def check(what, probe, cases, least):
    cases = list(cases)
    if len(cases) < least:
        print(f"{what}: {len(cases)} nodes, at least {least} were expected")
        return False
    lines = subprocess.run([probe], input="\n".join(cases) + "\n", text=True, stdout=subprocess.PIPE).stdout.splitlines()
    wrong = [line for line in lines[:-1] if not any(text in line for text in UNSUPPORTED) and not is_left_to_the_run(line)]
    print("\n".join(wrong + [f"{what}: {lines[-1]}, {len(lines) - 1 - len(wrong)} of them unsupported on purpose"]))
    return not wrong and lines[-1].startswith(f"{len(cases)} nodes")


def main():
    probe = os.environ.get("TINYSLIM_PROBE")
    if not probe:
        probe = os.path.join(os.path.dirname(os.environ.get("TINYSLIM", "build/tools/tinyslim")), "..", "test", "shape_probe")
    table = operators()
    good = check("onnx node tests", probe, cases_of_node_tests(table), 400)
    folder = os.environ.get("TSLIM_MODELS")
    for path in sys.argv[1:] + (sorted(glob.glob(os.path.join(folder, "*.onnx"))) if folder else []):
        good = check(os.path.basename(path), probe, cases_of_model(path, table), 10) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
