#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pruned real models against ONNX Runtime: `tinyslim prune --criterion l1 --ratio 0.3` gives an ONNX file that ONNX
Runtime loads, with the outputs that `tinyslim run` gives (to 1e-3 of the largest), the MACs and parameters that the plan
foretold and `inspect` tells, and the MACs that ONNX Runtime's own shapes add up to.

    check_prune.py [MODEL.onnx...]     TINYSLIM names the command; models may also be in $TSLIM_MODELS
"""
import glob
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime

# Sizes for models whose dims are open; a batch of 1 for the others.
SHAPES = {"ch_PP-OCRv4_det_infer.onnx": (1, 3, 64, 96), "ch_PP-OCRv4_rec_infer.onnx": (1, 3, 48, 160),
          "ch_ppocr_mobile_v2.0_cls_infer.onnx": (1, 3, 48, 192), "320n.onnx": (1, 3, 320, 320)}
COMMAND = os.environ.get("TINYSLIM", "build/tools/tinyslim")


def tinyslim(*arguments):
    done = subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"tinyslim {' '.join(map(str, arguments))}: {done.returncode}: {done.stderr.strip()[-400:]}")
    return done.stdout


def session(model):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def count_macs(path, feed):
    """Multiply-adds from the shapes that ONNX Runtime computes."""
    model = onnx.load(path)
    layers = [n for n in model.graph.node if n.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul")]
    wanted = sorted({name for n in layers for name in [*n.input[:2], n.output[0]]})
    known = {o.name for o in model.graph.output} | {i.name for i in model.graph.input}
    constants = {i.name: tuple(i.dims) for i in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = next((tuple(a.t.dims) for a in node.attribute if a.name == "value"), ())
    for name in wanted:
        if name not in known and name not in constants:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
    outputs = [o.name for o in model.graph.output]
    shapes = {name: value.shape for name, value in zip(outputs, session(model.SerializeToString()).run(outputs, feed))}
    shapes.update(constants)
    shapes.update({name: value.shape for name, value in feed.items()})
    total = 0
    for node in layers:
        x, w, y = (shapes[name] for name in [*node.input[:2], node.output[0]])
        if node.op_type == "Conv":
            total += np.prod(y, dtype=np.int64) * np.prod(w[1:], dtype=np.int64)
        elif node.op_type == "ConvTranspose":
            total += np.prod(x, dtype=np.int64) * np.prod(w[1:], dtype=np.int64)
        else:
            transposed = any(a.name == "transA" and a.i for a in node.attribute)
            total += np.prod(y, dtype=np.int64) * (x[-2] if transposed else x[-1])
    return int(total)


def check(path, folder):
    name = os.path.basename(path)
    pruned, plan_path = os.path.join(folder, "pruned.onnx"), os.path.join(folder, "plan.json")
    declared = session(path).get_inputs()
    shape = SHAPES.get(name, tuple(d if isinstance(d, int) else 1 for d in declared[0].shape))
    size = ["--shape", "x".join(map(str, shape))]
    tinyslim("prune", path, "--criterion", "l1", "--ratio", "0.3", *size, "--plan", plan_path, "-o", pruned)
    with open(plan_path) as file:
        plan = json.load(file)
    feed = {declared[0].name: np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)}
    np.save(os.path.join(folder, "input.npy"), feed[declared[0].name])
    outputs = os.path.join(folder, "out") + "/"
    tinyslim("run", pruned, "--input", os.path.join(folder, "input.npy"), "--output", outputs, *size)
    reference = session(pruned)
    errors = []
    for info, expected in zip(reference.get_outputs(), reference.run(None, feed)):
        safe = "".join(c if c.isalnum() or c in "._-" else "_" for c in info.name)
        found = np.load(os.path.join(outputs, safe + ".npy"))
        assert found.shape == expected.shape, f"{info.name}: {found.shape}, ONNX Runtime {expected.shape}"
        # A sigmoid that is almost 0 everywhere is only good to the rounding of numbers near 1.
        errors.append(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-3))
    assert max(errors) <= 1e-3, f"outputs differ by {max(errors):.2g}"
    inspected = json.loads(tinyslim("inspect", pruned, *size, "--json"))
    macs, counted = plan["after"]["macs"], count_macs(pruned, feed)
    assert macs == inspected["macs"] == counted, f"MACs: {macs} foretold, {inspected['macs']} inspected, {counted} counted"
    assert plan["after"]["parameters"] == inspected["parameters"], "parameters are not as foretold"
    assert macs < plan["before"]["macs"], "nothing was pruned"
    onnx.checker.check_model(pruned)
    print(f"ok    {name}: {macs / plan['before']['macs']:.3f} of the MACs, "
          f"{plan['after']['parameters'] / plan['before']['parameters']:.3f} of the parameters, error {max(errors):.2g}")


def main():
    models = sys.argv[1:] or sorted(glob.glob(os.path.join(os.environ.get("TSLIM_MODELS", "models"), "*.onnx")))
    failed = 0 if models else 1
    for path in models:
        with tempfile.TemporaryDirectory() as folder:
            try:
                check(path, folder)
            except (AssertionError, RuntimeError, KeyError, OSError) as error:
                failed += 1
                print(f"FAIL  {os.path.basename(path)}: {error}")
    print(f"{len(models) - failed} of {len(models)} pruned models agree with ONNX Runtime")
    return 1 if failed or not models else 0


if __name__ == "__main__":
    sys.exit(main())
