#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the gradients of the Fashion-MNIST network against PyTorch's, and the time of a step against its.

Usage (needs torch and numpy; a release build):
    python3 test/bench/training_vs_torch.py --build build-rel

The same weights (examples/models/fashion_resnet.onnx), images and labels; BatchNormalization in training mode, the
mean cross-entropy, one thread each. Gradients: PyTorch in double precision, the largest difference of each parameter
over its largest gradient must be below 1e-4. Times: forward and backward, batch 128, taken in turn, the least of all
rounds; the machine may be busy.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
import torch.nn.functional as F

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODEL = os.path.join(ROOT, "examples/models/fashion_resnet.onnx")


def network():
    """The network of examples/train_fashion.py, without what that imports to export it."""
    source = open(os.path.join(ROOT, "examples/train_fashion.py")).read()
    names = {"__name__": "train_fashion"}
    exec(source.replace("import onnxruntime\n", "").replace("import onnx\n", ""), names)
    return names["ResNet"]()


def step_here(build, batch, steps, folder=None):
    """Milliseconds of the quickest step."""
    command = [os.path.join(build, "test/bench_training"), MODEL, str(batch), str(steps)]
    first = subprocess.run(command + ([folder] if folder else []), check=True, capture_output=True,
                           text=True).stdout.splitlines()[0]
    return float(first.split(",")[2].split()[0])


def step_torch(steps, batch):
    model = network().to(memory_format=torch.channels_last).train()
    x = torch.randn(batch, 1, 28, 28).to(memory_format=torch.channels_last)
    labels, least = torch.arange(batch) % 10, float("inf")
    for _ in range(steps):
        start = time.perf_counter()
        loss = F.cross_entropy(model(x), labels)
        for parameter in model.parameters():
            parameter.grad = None
        loss.backward()
        least = min(least, time.perf_counter() - start)
    return least * 1e3


def compare_gradients(build, batch=32):
    with tempfile.TemporaryDirectory() as folder:
        step_here(build, batch, 1, folder)

        def read(name, shape):
            return np.fromfile(os.path.join(folder, name), np.float32).reshape(shape)

        model = network()
        state = {name: torch.from_numpy(read(name + ".f32", value.shape)) if value.dim() else value
                 for name, value in model.state_dict().items()}
        model.load_state_dict(state)
        model = model.double().train()
        x = torch.from_numpy(read("input.f32", (batch, 1, 28, 28))).double()
        F.cross_entropy(model(x), torch.arange(batch) % 10).backward()
        worst = 0
        for name, parameter in model.named_parameters():
            wanted = parameter.grad.numpy()
            difference = np.abs(read(name + ".gradient.f32", wanted.shape) - wanted).max() / np.abs(wanted).max()
            worst = max(worst, difference)
        print(f"{len(list(model.parameters()))} parameters, largest relative difference {worst:.1e}")
        return worst < 1e-4


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(ROOT, "build-rel"))
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    right = compare_gradients(args.build)
    here, there = float("inf"), float("inf")
    for _ in range(args.rounds):
        here = min(here, step_here(args.build, 128, 6))
        there = min(there, step_torch(6, 128))
    print(f"a step of 128 images: {here:.0f} ms here, {there:.0f} ms in torch {torch.__version__}, "
          f"{there / here:.2f} times as fast")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
