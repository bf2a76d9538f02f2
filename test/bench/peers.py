#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The library beside ONNX Runtime in one run: one thread, batch 1, minimum over interleaved rounds.

usage: peers.py [MODEL ...]      environment as test/setup.sh sets it, TINYSLIM: the command of a release build

For each model: float and INT8 of the library (calibrated on the benchmark's own random images: this measures time, not
accuracy), float of ONNX Runtime and its INT8 (QDQ, unsigned activations, per-channel weights), each in ms.
"""
import os
import sys
import tempfile
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "conformance"))
import models  # noqa: E402

ROUNDS = 8


def processor():
    with open("/proc/cpuinfo") as info:
        return next(line.split(":")[1].strip() for line in info if line.startswith("model name"))


def ort_timer(path, x):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: x}
    session.run(None, feed)

    def once():
        start = time.perf_counter()
        session.run(None, feed)
        return (time.perf_counter() - start) * 1e3
    return once


def ort_int8(path, x, out):
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self):
            name = onnx.load(path, load_external_data=False).graph.input[0].name
            self.samples = iter([{name: x}])

        def get_next(self):
            return next(self.samples, None)
    prepared = out + ".prepared"
    try:
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
    except Exception:
        prepared = path
    quantize_static(prepared, out, Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)


def tinyslim_timer(path, shape):
    def once():
        return models.tinyslim("bench", path, "--threads", 1, "--seconds", 0.5, "--warmup", 0.1, "--shape",
                               "x".join(map(str, shape)), "--json")["min_ms"]
    return once


def timers(name, shape, folder):
    x = models.picture(shape)
    np.save(os.path.join(folder, "x.npy"), x)
    size = ("--shape", "x".join(map(str, shape)))
    result = {"float": tinyslim_timer(models.path(name), shape), "ort float": ort_timer(models.path(name), x)}
    calibration, int8 = os.path.join(folder, name + ".json"), os.path.join(folder, name + ".tslim")
    models.tinyslim("calibrate", models.path(name), "--data", os.path.join(folder, "x.npy"), *size, "-o", calibration)
    models.tinyslim("quantize", models.path(name), "--calibration", calibration, "-o", int8)
    result["int8"] = tinyslim_timer(int8, shape)
    try:
        ort_int8(models.path(name), x, os.path.join(folder, name + ".u8.onnx"))
        result["ort int8"] = ort_timer(os.path.join(folder, name + ".u8.onnx"), x)
    except Exception as error:
        print(f"{name}: ONNX Runtime's INT8 fails: {str(error).splitlines()[0][:120]}", file=sys.stderr)
    return result


def main():
    print(f"{processor()}, one thread, minimum of {ROUNDS} interleaved rounds, ms")
    print(f"{'model':32} {'float':>9} {'ort float':>10} {'int8':>9} {'ort int8':>9} {'float/int8':>11} {'ours/ort f32':>13}")
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or models.SHAPES:
            run = timers(name, models.SHAPES[name][0], folder)
            best = dict.fromkeys(run, float("inf"))
            for _ in range(ROUNDS):
                for key, once in run.items():
                    best[key] = min(best[key], once())
            columns = " ".join(f"{best.get(key, float('nan')):9.2f}" for key in ("float", "ort float", "int8", "ort int8"))
            print(f"{name:32} {columns} {best['float'] / best['int8']:11.2f} {best['float'] / best['ort float']:13.2f}", flush=True)


main()
