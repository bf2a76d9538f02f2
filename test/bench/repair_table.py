#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The table of recovery without labels in docs/results.md: the example network on Fashion-MNIST, pruned, and repaired on
500 unlabelled training images with one thread. Accuracy on the 10,000 test images.

    TINYSLIM=build/tools/tinyslim repair_table.py
"""
import json
import os
import resource
import subprocess
import tempfile

DATA = "/usr/share/datasets/fashion-mnist"
MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../examples/models/fashion_resnet.onnx")
PREPARE = ["--scale", "0.00392156862745098", "--mean", "0.2860", "--std", "0.3530"]
TRAIN = ["--data", f"{DATA}/train-images-idx3-ubyte.gz", "--limit", "500", *PREPARE]
TEST = ["--data", f"{DATA}/t10k-images-idx3-ubyte.gz", "--labels", f"{DATA}/t10k-labels-idx1-ubyte.gz", *PREPARE]
COMMON = ["--round", "1", "--shallow-ratio", "1"]
ROWS = [("`l1`, every group 30 %", ["--ratio", "0.3"]),
        ("`reconstruction`, at most those MACs", ["--criterion", "reconstruction", "--scope", "global", "--target-macs", "0.4803", *TRAIN]),
        ("`l1`, every group 50 %", ["--ratio", "0.5"]),
        ("`reconstruction`, at most those MACs", ["--criterion", "reconstruction", "--scope", "global", "--target-macs", "0.2515", *TRAIN])]


def tinyslim(*arguments):
    """The verb's JSON, and the processor time that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([os.environ["TINYSLIM"], *arguments, "--threads", "1", "--json"], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"tinyslim {' '.join(arguments)}: {done.stderr}")
    return json.loads(done.stdout), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def accuracy(model):
    return 100 * tinyslim("eval", model, *TEST)[0]["top1"]


with tempfile.TemporaryDirectory() as folder:
    pruned, repaired = f"{folder}/pruned.onnx", f"{folder}/repaired.onnx"
    print(f"float: {accuracy(MODEL):.2f} %\n")
    print("| pruned by | MACs | right after | statistics | least squares | processor time of the last, s |")
    print("|---|---|---|---|---|---|")
    for name, how in ROWS:
        plan, _ = tinyslim("prune", MODEL, *how, *COMMON, "-o", pruned)
        row = [f"{plan['after']['macs'] / 1e6:.2f} M", f"{accuracy(pruned):.2f}"]
        for method in ("statistics", "least-squares"):
            _, seconds = tinyslim("repair", pruned, "--teacher", MODEL, *TRAIN, "--method", method, "-o", repaired)
            row.append(f"{accuracy(repaired):.2f}")
        print(f"| {name} | {' | '.join(row)} | {seconds:.1f} |", flush=True)
