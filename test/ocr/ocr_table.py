#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What INT8 costs on text recognition and detection: exact lines and hmean of PP-OCR models, float and quantized with the
defaults, on rendered text. Calibrated on text from another seed. ocr_table.sh runs it.

With --floors, fails where INT8 loses more than it may (or the number of items is so small that this says nothing)."""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

import ocr_data
import ocr_score

FOLDERS = [os.environ.get(name, ".") for name in ("TSLIM_MODELS", "TSLIM_OLDER_MODELS")]
TINYSLIM = os.environ.get("TINYSLIM", "tinyslim")
TEST_SEED, CALIBRATION_SEED = 1, 2

# Name, file, kind, and the most points that INT8 may lose.
MODELS = {
    "v4-rec": ("ch_PP-OCRv4_rec_infer", "rec", 0.9),
    "v3-rec": ("ch_PP-OCRv3_rec_infer", "rec", 1.1),
    "v4-det": ("ch_PP-OCRv4_det_infer", "det", 0.4),
    "v3-det": ("ch_PP-OCRv3_det_infer", "det", 0.4),
}
MEAN = {"rec": [0.5] * 3, "det": [0.485, 0.456, 0.406]}
STD = {"rec": [0.5] * 3, "det": [0.229, 0.224, 0.225]}
SHAPE = {"rec": "1x3x48x320", "det": "1x3x640x640"}
BATCH = {"rec": 20, "det": 4}


def tinyslim(*arguments):
    done = subprocess.run([TINYSLIM, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"tinyslim {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


def preparation(kind):
    join = lambda values: ",".join(map(str, values))
    return ["--scale", 1 / 255, "--mean", join(MEAN[kind]), "--std", join(STD[kind])]


def prepare(images, kind):
    x = images.transpose(0, 3, 1, 2).astype(np.float32) * np.float32(1 / 255)
    mean, std = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in (MEAN[kind], STD[kind]))
    return (x - mean) / std


def run_tinyslim(model, x, folder):
    source, result = os.path.join(folder, "x.npy"), os.path.join(folder, "y.npy")
    np.save(source, x)
    tinyslim("run", model, "--input", source, "--output", result, "--shape", "x".join(map(str, x.shape)))
    return np.load(result)


def onnxruntime_runner(model):
    import onnxruntime
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {session.get_inputs()[0].name: x})[0]


class Data:
    """The test and calibration sets of one kind, made once."""

    def __init__(self, kind, count, calibration_count, folder):
        make = ocr_data.lines if kind == "rec" else ocr_data.pages
        self.kind, self.folder = kind, folder
        self.images, self.truth = make(TEST_SEED, count)
        self.calibration = os.path.join(folder, f"{kind}-calibration.npy")
        np.save(self.calibration, make(CALIBRATION_SEED, calibration_count)[0])

    def score(self, run, characters):
        found, batch = [], BATCH[self.kind]
        for first in range(0, len(self.images), batch):
            y = run(prepare(self.images[first:first + batch], self.kind))
            found += ocr_score.decode(y, characters) if self.kind == "rec" else [ocr_score.find_boxes(p[0]) for p in y]
        return (ocr_score.exact_lines if self.kind == "rec" else ocr_score.hmean)(found, self.truth)


def int8_share(model, kind):
    """Of the MACs."""
    nodes = tinyslim("inspect", model, "--shape", SHAPE[kind], "--json")["nodes"]
    total = sum(node["macs"] for node in nodes)
    return sum(node["macs"] for node in nodes if node["precision"] == "int8") / total


def quantize(model, data, flags):
    """The INT8 file's path, and the seconds that calibration and quantization took."""
    calibration, result = (os.path.join(data.folder, os.path.basename(model) + end) for end in (".json", ".tslim"))
    start = time.time()
    tinyslim("calibrate", model, "--data", data.calibration, *preparation(data.kind), "-o", calibration)
    middle = time.time()
    tinyslim("quantize", model, "--calibration", calibration, "-o", result, *flags)
    return result, middle - start, time.time() - middle


def measure(name, data, options):
    file, kind, most_lost = MODELS[name]
    model = next(path for folder in FOLDERS if os.path.exists(path := os.path.join(folder, file + ".onnx")))
    characters = ocr_score.dictionary(model) if kind == "rec" else None
    row = {"model": name, "count": len(data.images)}
    row["float"] = data.score(lambda x: run_tinyslim(model, x, data.folder), characters)
    if options.onnxruntime:
        row["onnxruntime"] = data.score(onnxruntime_runner(model), characters)
    quantized, row["calibrate_s"], row["quantize_s"] = quantize(model, data, options.flag)
    row["int8"] = data.score(lambda x: run_tinyslim(quantized, x, data.folder), characters)
    row["int8_macs"] = int8_share(quantized, kind)
    row["good"] = row["int8"] >= row["float"] - most_lost - options.tolerance
    return row


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", default=list(MODELS), metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--lines", type=int, default=1000)
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--calibration-lines", type=int, default=200)
    parser.add_argument("--calibration-pages", type=int, default=32)
    parser.add_argument("--flag", action="append", default=[], help="for 'tinyslim quantize'")
    parser.add_argument("--onnxruntime", action="store_true", help="also the float model in ONNX Runtime")
    parser.add_argument("--floors", action="store_true", help="exit 1 where INT8 loses too much")
    parser.add_argument("--tolerance", type=float, default=0, help="points more that it may lose")
    parser.add_argument("--folder", help="keeps all files there")
    parser.add_argument("--json", help="the table as a file")
    options = parser.parse_args()
    rows, data = [], {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or temporary
        os.makedirs(folder, exist_ok=True)
        print("model     items    float     INT8  INT8 share of MACs  calibration  quantization")
        for name in options.models:
            kind = MODELS[name][1]
            counts = (options.lines, options.calibration_lines) if kind == "rec" else (options.pages, options.calibration_pages)
            data[kind] = data.get(kind) or Data(kind, *counts, folder)
            rows.append(row := measure(name, data[kind], options))
            peer = f"  (ONNX Runtime's float {row['onnxruntime']:.2f})" if options.onnxruntime else ""
            print(f"{name:8} {row['count']:6} {row['float']:8.2f} {row['int8']:8.2f} {row['int8_macs']:19.1%} "
                  f"{row['calibrate_s']:10.1f} s {row['quantize_s']:11.1f} s{peer}", flush=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)
    sys.exit(options.floors and not all(row["good"] for row in rows))


if __name__ == "__main__":
    main()
