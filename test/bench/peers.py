#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The library beside ONNX Runtime, OpenVINO and ncnn in one run: minimum over interleaved rounds. See peers.sh.

usage: peers.py [--threads N] [--batch N] [--rounds N] [--seconds S] [--int8-only|--float-only] [--save FOLDER] [MODEL ...]

Prints a Markdown table and saves it, with the figures as JSON, in FOLDER. INT8 models are made once, with 8 random
samples (this measures time, not accuracy), and kept in $TSLIM_CACHE/peers-int8; the library's own are made anew.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

import quantize_for_peers as quantizers

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = {"resnet50": (3, 224, 224), "resnet18": (3, 224, 224), "mobilenet_v2": (3, 224, 224), "vgg16": (3, 224, 224),
          "ch_PP-OCRv4_det_infer": (3, 640, 640), "ch_PP-OCRv4_rec_infer": (3, 48, 320),
          "ch_ppocr_mobile_v2.0_cls_infer": (3, 48, 192), "320n": (3, 320, 320)}
FLOAT = ("ours", "onnxruntime", "openvino", "ncnn")
INT8 = ("ours int8", "onnxruntime int8", "openvino int8")


class Contender:
    """A running contender.py."""

    def __init__(self, runtime, file, shape, threads):
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "contender.py"), runtime, file, "x".join(map(str, shape)), str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(self.process.stderr.read().strip().splitlines()[-1])
        self.start = json.loads(line)
        self.best = float("inf")

    def measure(self, seconds):
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        self.best = min(self.best, float(self.process.stdout.readline()))

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def processor():
    with open("/proc/cpuinfo") as info:
        lines = info.read().splitlines()
    name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    flags = next(line for line in lines if line.startswith("flags")).split()
    best = next((text for flag, text in (("amx_int8", "AMX-INT8"), ("avx512_vnni", "AVX-512-VNNI"), ("avx_vnni", "AVX-VNNI"),
                                         ("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags), "no AVX2")
    return f"{name}, {best}"


def command(*arguments):
    subprocess.run([os.environ["TINYSLIM"], *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def our_int8(path, shape, folder):
    size, data = ("--shape", "x".join(map(str, shape))), os.path.join(folder, "samples.npy")
    out = os.path.join(folder, os.path.basename(path))
    np.save(data, np.concatenate(quantizers.samples(shape)))
    command("calibrate", path, "--data", data, *size, "-o", out + ".json")
    command("quantize", path, "--calibration", out + ".json", "-o", out + ".tslim")
    return out + ".tslim"


def made(make, path, shape, ending, probe=""):
    """The file that `make` writes, made once."""
    folder = os.path.join(os.environ["TSLIM_CACHE"], "peers-int8")
    os.makedirs(folder, exist_ok=True)
    out = os.path.join(folder, os.path.basename(path)[:-5] + ending)
    if not os.path.exists(out + probe):
        make(path, shape, out)
    return out


def file_of(column, path, shape, folder):
    """What a column runs: the runtime and its file."""
    if column == "ours int8":
        return "tinyslim", our_int8(path, shape, folder)
    if column == "onnxruntime int8":
        return "onnxruntime", made(quantizers.by_onnxruntime, path, shape, ".u8.onnx")
    if column == "openvino int8":
        return "openvino", made(quantizers.by_nncf, path, shape, ".nncf.xml")
    if column == "ncnn":
        return "ncnn", made(quantizers.to_ncnn, path, shape, ".ncnn", ".param")
    return ("tinyslim" if column == "ours" else column), path


def start(name, columns, options, folder):
    path = os.path.join(os.environ["TSLIM_MODELS"], name + ".onnx")
    sample = (1,) + MODELS[name]
    contenders = {}
    for column in columns:
        try:
            runtime, file = file_of(column, path, sample, folder)
            contenders[column] = Contender(runtime, file, (options.batch,) + MODELS[name], options.threads)
        except Exception as error:
            print(f"{name}: {column}: {str(error).strip().splitlines()[-1][:160]}", file=sys.stderr)
    return contenders


def best_peer(times, columns):
    return min((times[column] for column in columns[1:] if column in times), default=float("nan"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", default=list(MODELS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--int8-only", action="store_true")
    parser.add_argument("--float-only", action="store_true")
    parser.add_argument("--save", default=".")
    options = parser.parse_args()
    columns = (() if options.int8_only else FLOAT) + (() if options.float_only else INT8)
    lines = [f"{processor()}; threads {options.threads}, batch {options.batch}; minimum of {options.rounds} interleaved rounds, ms",
             "", "| model | " + " | ".join(columns) + " | float: best peer / ours | INT8: best peer / ours |",
             "|---" * (len(columns) + 3) + "|"]
    print("\n".join(lines), flush=True)
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models:
            contenders = start(name, columns, options, folder)
            for _ in range(options.rounds):
                for contender in contenders.values():
                    contender.measure(options.seconds)
            times = {column: contender.best for column, contender in contenders.items()}
            for contender in contenders.values():
                contender.stop()
            ratios = [best_peer(times, kind) / times.get(kind[0], float("nan")) for kind in (FLOAT, INT8)]
            cells = [f"{times[column]:.2f}" if column in times else "fails" for column in columns]
            lines.append(f"| {name} | " + " | ".join(cells) + " | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |")
            print(lines[-1], flush=True)
            figures[name] = {"min_ms": times, "start": {column: contender.start for column, contender in contenders.items()}}
    base = os.path.join(options.save, f"peers-threads{options.threads}-batch{options.batch}")
    with open(base + ".md", "w") as table:
        table.write("\n".join(lines) + "\n")
    with open(base + ".json", "w") as table:
        json.dump({"processor": processor(), "models": figures}, table, indent=1)


main()
