#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What was loaded and written as ONNX again loads in ONNX Runtime and gives the same outputs; a float .tslim gives the
ONNX file's, and written as ONNX, with what was fused spelled out, still the same to 1e-3."""
import os
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import models


def recurrent(folder):
    """LSTM, GRU and RNN one after the other: operators with two packed operands."""
    random, nodes, weights = np.random.default_rng(5), [], []
    for op, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
        for operand, inputs in (("W", 6), ("R", 6)):
            data = (random.standard_normal((1, gates * 6, inputs)) / 3).astype(np.float32)
            weights.append(numpy_helper.from_array(data, op + operand))
        x = nodes[-1].output[0] if nodes else "x"
        nodes.append(helper.make_node(op, [x, op + "W", op + "R"], [op + "y4"], name=op, hidden_size=6))
        nodes.append(helper.make_node("Squeeze", [op + "y4", "axis"], [op + "y"]))
    weights.append(numpy_helper.from_array(np.array([1], np.int64), "axis"))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (5, 1, 6)) for name in ("x", "RNNy")]
    model = helper.make_model(helper.make_graph(nodes, "recurrent", ends[:1], ends[1:], weights),
                              opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.save(model, os.path.join(folder, "recurrent.onnx"))
    return "recurrent", os.path.join(folder, "recurrent.onnx"), random.standard_normal((5, 1, 6)).astype(np.float32)


failed = 0
with tempfile.TemporaryDirectory() as folder:
    cases = [(name, models.path(name), models.example(name, shapes[0])) for name, shapes in models.SHAPES.items()]
    for name, path, x in cases + [recurrent(folder)]:
        theirs = models.reference(path, x)
        copy, packed = os.path.join(folder, "copy.onnx"), os.path.join(folder, "packed.tslim")
        models.tinyslim("export", path, "-o", copy)
        again = models.reference(copy, x)
        same = all(np.array_equal(a, b) for a, b in zip(again, theirs, strict=True))
        models.tinyslim("convert", path, "-o", packed)
        models.tinyslim("verify", packed)
        np.save(os.path.join(folder, "one.npy"), x)
        difference = models.tinyslim("compare", path, packed, "--data", os.path.join(folder, "one.npy"),
                                     "--shape", "x".join(map(str, x.shape)), "--json")
        spelled_out = os.path.join(folder, "spelled_out.onnx")
        models.tinyslim("export", packed, "-o", spelled_out)
        unfused = max(models.relative_error(a, b)
                      for a, b in zip(models.reference(spelled_out, x), theirs, strict=True))
        worst = max(output["max_abs"] for output in difference["outputs"])
        limit = 1e-5 * max(float(np.abs(b).max()) for b in theirs)
        good = same and worst <= limit and unfused < 1e-3
        failed += not good
        print(f"{'ok  ' if good else 'FAIL'} {name}: ONNX again {'equal' if same else 'DIFFERENT'}, .tslim differs by {worst:.1e}, "
              f"as ONNX by {unfused:.1e}")
sys.exit(failed > 0)
