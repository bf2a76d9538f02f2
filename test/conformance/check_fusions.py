#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Functions that exporters spell out become one node, with ONNX Runtime's results; what only looks like them does not.
Exported again in the model's old opset, where the one node does not exist, the results are the same."""
import os
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

import library
import models

random = np.random.default_rng(1)
WIDTH = 48


def layer_norm(square="Pow", epsilon=1e-5, axis=-1, shift=True, opset=12, other=False):
    axes = {"axes": [axis]} if opset < 18 else {}
    operands = ["axes"] if opset >= 18 else []
    nodes = [helper.make_node("ReduceMean", ["x", *operands], ["mean"], **axes),
             helper.make_node("Sub", ["x", "mean"], ["d"]),
             helper.make_node("Pow", ["d", "two"], ["q"]) if square == "Pow" else helper.make_node("Mul", ["d", "d"], ["q"]),
             helper.make_node("ReduceMean", ["x" if other else "q", *operands], ["v"], **axes),
             helper.make_node("Add", ["v", "epsilon"], ["e"]), helper.make_node("Sqrt", ["e"], ["s"]),
             helper.make_node("Div", ["d", "s"], ["n"]),
             helper.make_node("Mul", ["n", "scale"], ["m" if shift else "y"])]
    if shift:
        nodes.append(helper.make_node("Add", ["m", "shift"], ["y"]))
    constants = {"two": np.float32(2), "epsilon": np.float32(epsilon), "scale": random.standard_normal(WIDTH),
                 "shift": random.standard_normal(WIDTH), "axes": np.array([axis], np.int64)}
    return nodes, constants, opset


def gelu(order=0, root=1.4142135381698608):
    nodes = [helper.make_node("Div", ["x", "root"], ["r"]), helper.make_node("Erf", ["r"], ["f"]),
             helper.make_node("Add", ["f", "one"], ["g"])]
    first, second = [("x", "g"), ("x", "half"), ("half", "g")][order]
    third = ({"x", "g", "half"} - {first, second}).pop()
    nodes += [helper.make_node("Mul", [first, second], ["p"]), helper.make_node("Mul", [third, "p"], ["y"])]
    return nodes, {"root": np.float32(root), "one": np.float32(1), "half": np.float32(0.5)}, 12


CASES = {
    "layer normalization": (layer_norm(), "LayerNormalization"),
    "by a product": (layer_norm("Mul", 1e-3), "LayerNormalization"),
    "axis from the front": (layer_norm(axis=2), "LayerNormalization"),
    "without a shift": (layer_norm(shift=False), "LayerNormalization"),
    "axes as an operand": (layer_norm(opset=18), "LayerNormalization"),
    "another axis": (layer_norm(axis=1), None),
    "the mean of something else": (layer_norm(other=True, epsilon=10), None),
    "gelu": (gelu(0), "Gelu"), "gelu, half first": (gelu(1), "Gelu"), "gelu, half in the middle": (gelu(2), "Gelu"),
    "another root": (gelu(0, 1.5), None),
}


def sums_that_broadcast():
    """A sum with what has another size only when the sizes are known: not the residual that it looks like."""
    w, v = (random.standard_normal(shape).astype(np.float32) for shape in ((6, 6, 3, 3), (6, 8)))
    nodes = {"heads": [helper.make_node("MatMul", ["a", "b"], ["p"]), helper.make_node("Add", ["p", "z"], ["s"])],
             "maps": [helper.make_node("Conv", ["a", "w"], ["p"], pads=[1] * 4), helper.make_node("Add", ["z", "p"], ["s"])],
             "rows": [helper.make_node("Gemm", ["a", "v"], ["p"]), helper.make_node("Add", ["p", "z"], ["s"])]}
    shapes = {"heads": [((2, 4, 5, 8), (2, 4, 8, 5), z) for z in ((2, 1, 5, 5), (1, 4, 1, 5), (2, 4, 5, 5), (3, 1, 1, 5, 1))],
              "maps": [((1, 6, 7, 5), (1,), z) for z in ((1, 6, 1, 1), (2, 1, 7, 1), (1, 6, 7, 5))],
              "rows": [((3, 6), (1,), z) for z in ((1, 8), (3, 1), (3, 8))] + [((1, 6), (1,), (3, 8))]}
    failed = 0
    for name, products in nodes.items():
        for case in shapes[name]:
            x = {k: random.standard_normal(shape).astype(np.float32) for k, shape in zip("abz", case)}
            info = [helper.make_tensor_value_info(k, onnx.TensorProto.FLOAT, [None] * value.ndim) for k, value in x.items()]
            graph = helper.make_graph(
                products + [helper.make_node("Relu", ["s"], ["y"])], "g", info,
                [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
                [numpy_helper.from_array(w, "w"), numpy_helper.from_array(v, "v")])
            model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 4
            session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
            theirs = session.run(None, x)[0]
            try:
                ours = library.run(model, list(x.values()), 0)[0]
                good = ours.shape == theirs.shape and models.relative_error(ours, theirs) < 1e-5
                text = f"{models.relative_error(ours, theirs):.1e}" if ours.shape == theirs.shape else f"{ours.shape}, not {theirs.shape}"
            except library.Failure as failure:
                good, text = False, str(failure)
            failed += not good
            print(f"{'ok  ' if good else 'FAIL'} {name}, {case}: {text}")
    return failed


def chains_behind_products():
    """A function behind a product, then a line for each channel, are steps of the product; anything else is not."""
    def number(*shape):
        return (random.standard_normal(shape) + 2).astype(np.float32)

    conv = ("Conv", {"pads": [1] * 4}, number(20, 6, 3, 3) - 2)
    depthwise = ("Conv", {"pads": [1] * 4, "group": 6}, number(6, 1, 3, 3) - 2)
    transposed = ("ConvTranspose", {"strides": [2, 2]}, number(6, 20, 2, 2) - 2)
    matmul = ("MatMul", {}, number(7, 20) - 2)
    each, some = number(1, 20, 1, 1), number(6, 1, 1)
    cases = {  # a tuple: an operator with a constant, "-": in front of the value
        "function and line": (conv, ["HardSwish", ("Mul", each), ("Add", number())], ["Conv"]),
        "line alone behind a clamp": (conv, ["Relu", ("Mul", each), ("Sub", number())], ["Conv"]),
        "clamp at the end": (conv, [("LeakyRelu", None), ("-Sub", number()), ("Div", each), "Relu"], ["Conv"]),
        "a long function": (conv, ["Sigmoid", ("Div", number())], ["Conv"]),
        "depthwise": (depthwise, ["HardSwish", ("Mul", some)], ["Conv"]),
        "transposed": (transposed, ["HardSigmoid", ("Add", each)], ["ConvTranspose"]),
        "columns": (matmul, ["Tanh", ("Mul", number(20))], ["MatMul"]),
        "two functions": (conv, ["HardSwish", "Sigmoid"], ["Conv", "Sigmoid"]),
        "rows of the plane": (conv, ["HardSwish", ("Mul", number(1, 1, 9, 1))], ["Conv", "Mul"]),
        "a batch from one": (conv, ["HardSwish", ("Mul", number(2, 20, 1, 1))], ["Conv", "Mul"]),
    }
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, ((op, attributes, weights), chain, wanted) in cases.items():
            nodes, tensors = [helper.make_node(op, ["x", "w"], ["v0"], **attributes)], [numpy_helper.from_array(weights, "w")]
            for i, link in enumerate(chain):
                kind, constant = link if isinstance(link, tuple) else (link, None)
                operands = [f"v{i}"]
                if constant is not None:
                    tensors.append(numpy_helper.from_array(np.asarray(constant), f"c{i}"))
                    operands = [f"c{i}", *operands] if kind[0] == "-" else [*operands, f"c{i}"]
                nodes.append(helper.make_node(kind.lstrip("-"), operands, [f"v{i + 1}"]))
            x = random.standard_normal((1, 6, 9, 7)).astype(np.float32)
            info = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, x.shape),
                    helper.make_tensor_value_info(f"v{len(chain)}", onnx.TensorProto.FLOAT, None)]
            path = os.path.join(folder, "a.onnx")
            onnx.save(helper.make_model(helper.make_graph(nodes, "g", info[:1], info[1:], tensors),
                                        opset_imports=[helper.make_opsetid("", 14)], ir_version=8), path)
            layers = models.tinyslim("bench", path, "--seconds", "0.01", "--warmup", "0", "--per-layer", "--json")["layers"]
            operators = [layer["op"] for layer in layers if layer["op"] != "Reorder"]
            error = models.relative_error(models.run(path, x, folder)[0], models.reference(path, x)[0])
            good = operators == wanted and error < 1e-5
            failed += not good
            print(f"{'ok  ' if good else 'FAIL'} chain, {name}: {operators}, {error:.1e}")
    return failed


def main():
    failed = sums_that_broadcast() + chains_behind_products()
    with tempfile.TemporaryDirectory() as folder:
        for name, ((nodes, constants, opset), wanted) in CASES.items():
            path, packed, again = (os.path.join(folder, f) for f in ("a.onnx", "a.tslim", "again.onnx"))
            x = random.standard_normal((2, WIDTH, WIDTH)).astype(np.float32)
            used = {i for node in nodes for i in node.input}
            tensors = [numpy_helper.from_array(np.asarray(v, np.int64 if k == "axes" else np.float32), k)
                       for k, v in constants.items() if k in used]
            info = [helper.make_tensor_value_info(v, onnx.TensorProto.FLOAT, x.shape) for v in "xy"]
            graph = helper.make_graph(nodes, "g", info[:1], info[1:], tensors)
            onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
            theirs = models.reference(path, x)[0]
            operators = [layer["op"] for layer in
                         models.tinyslim("bench", path, "--seconds", "0.01", "--warmup", "0", "--per-layer", "--json")["layers"]]
            models.tinyslim("convert", path, "-o", packed)
            models.tinyslim("export", packed, "-o", again)
            errors = [models.relative_error(models.run(path, x, folder)[0], theirs),
                      models.relative_error(models.reference(again, x)[0], theirs)]
            good = max(errors) < 1e-5 and (operators == [wanted] if wanted else not {"LayerNormalization", "Gelu"} & set(operators))
            failed += not good
            print(f"{'ok  ' if good else 'FAIL'} {name}: {operators}, {errors[0]:.1e}, exported {errors[1]:.1e}")
    return failed > 0


sys.exit(main())
