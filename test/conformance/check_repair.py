#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Recovery without labels on Fashion-MNIST: the example network, pruned by 30 % of each group, is right on hardly more
test images than by chance; repaired on 500 unlabelled training images it comes back by more than 80 points, its file
runs in ONNX Runtime with the same outputs, and a second repair needs the plan, and gets it."""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

import models

DATA = "/usr/share/datasets/fashion-mnist"
MODEL = os.path.join(os.path.dirname(__file__), "../../examples/models/fashion_resnet.onnx")
PREPARE = ["--scale", "0.00392156862745098", "--mean", "0.2860", "--std", "0.3530"]
TRAIN = ["--data", f"{DATA}/train-images-idx3-ubyte.gz", "--limit", "500", *PREPARE]
TEST = ["--data", f"{DATA}/t10k-images-idx3-ubyte.gz", "--labels", f"{DATA}/t10k-labels-idx1-ubyte.gz", *PREPARE]
failed = 0


def check(good, what):
    global failed
    failed += not good
    print(f"{'ok  ' if good else 'FAIL'} {what}")


def top1(model):
    return models.tinyslim("eval", model, *TEST, "--json")["top1"]


with tempfile.TemporaryDirectory() as folder:
    pruned, plan, repaired, again = (f"{folder}/{name}" for name in ("pruned.onnx", "plan.json", "repaired.onnx", "again.onnx"))
    models.tinyslim("prune", MODEL, "--ratio", "0.3", "--round", "1", "--shallow-ratio", "1", "--plan", plan, "-o", pruned)
    before = top1(pruned)
    models.tinyslim("repair", pruned, "--teacher", MODEL, *TRAIN, "--method", "statistics", "-o", repaired)
    statistics = top1(repaired)
    models.tinyslim("repair", pruned, "--teacher", MODEL, *TRAIN, "--method", "least-squares", "-o", repaired)
    after = top1(repaired)
    check(before < 0.2 and statistics > 0.7 and after >= 0.92, f"pruned {before:.4f}, statistics {statistics:.4f}, least squares {after:.4f}")
    x = np.random.default_rng(1).standard_normal((8, 1, 28, 28)).astype(np.float32)
    np.save(f"{folder}/x.npy", x)
    models.tinyslim("run", repaired, "--input", f"{folder}/x.npy", "--output", f"{folder}/y.npy")
    theirs = models.reference(repaired, x)[0]
    error = np.abs(np.load(f"{folder}/y.npy") - theirs).max() / np.abs(theirs).max()
    check(error < 1e-5, f"ONNX Runtime on the repaired file: {error:.2g}")
    repair = [os.environ["TINYSLIM"], "repair", repaired, "--teacher", MODEL, *TRAIN, "-o", again, "--json"]
    refused = subprocess.run(repair, capture_output=True, text=True)
    check(refused.returncode == 2 and "plan" in refused.stderr, f"without the plan: {refused.stderr.strip()}")
    done = subprocess.run([*repair, "--plan", plan], capture_output=True, text=True)
    check(done.returncode == 0 and json.loads(done.stdout)["layers"], f"with the plan {done.stderr}")
sys.exit(failed > 0)
