# SPDX-License-Identifier: Apache-2.0
"""One runtime with one model in a process of its own, timed on request: what peers.py starts for each column.

usage: contender.py RUNTIME FILE SHAPE THREADS       RUNTIME: tinyslim, onnxruntime, openvino, ncnn; SHAPE: 1x3x224x224

Prints {"load_ms", "first_ms", "rss_mb"} when the first result is there (from before the model is opened; resident memory
over what the imported runtime had), then reads lines "SECONDS" and answers each with the least milliseconds of one run
within that time, until end of input. Processes of their own keep one runtime's waiting threads out of another's time.
"""
import json
import os
import sys
import time

import numpy as np


def tinyslim(file, shape, threads):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bindings", "python"))
    import tinyslim as library
    context = library.Context(threads)

    def load():
        session = library.Graph(file, context).session(shape)
        return session.run
    return load


def onnxruntime(file, shape, threads):
    import onnxruntime as library
    options = library.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 4

    def load():
        session = library.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda x: session.run(None, {name: x})
    return load


def openvino(file, shape, threads):
    import openvino as library
    core = library.Core()

    def load():
        model = core.read_model(file)
        model.reshape({model.inputs[0].any_name: list(shape)})
        settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        request = core.compile_model(model, "CPU", settings).create_infer_request()
        return lambda x: request.infer({0: x}, share_inputs=True)
    return load


def ncnn(file, shape, threads):
    import ncnn as library

    def load():
        net = library.Net()
        net.opt.num_threads = threads
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = net.opt.use_bf16_storage = False
        if net.load_param(file + ".param") or net.load_model(file + ".bin"):
            sys.exit(f"ncnn cannot load {file}")

        def run(x):
            results = []
            for image in x:  # ncnn knows no batch
                extractor = net.create_extractor()
                extractor.input("in0", library.Mat(image).clone())
                status, result = extractor.extract("out0")
                if status:
                    sys.exit(f"ncnn fails with {status}")
                results.append(np.array(result))
            return results
        return run
    return load


def resident_mb():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main():
    runtime, file, shape, threads = sys.argv[1], sys.argv[2], tuple(map(int, sys.argv[3].split("x"))), int(sys.argv[4])
    x = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    load = {"tinyslim": tinyslim, "onnxruntime": onnxruntime, "openvino": openvino, "ncnn": ncnn}[runtime](file, shape, threads)
    before, start = resident_mb(), time.perf_counter()
    run = load()
    loaded = time.perf_counter()
    run(x)
    first = time.perf_counter()
    print(json.dumps({"load_ms": (loaded - start) * 1e3, "first_ms": (first - start) * 1e3, "rss_mb": resident_mb() - before}),
          flush=True)
    for line in sys.stdin:
        end, best = time.perf_counter() + float(line), float("inf")
        while best == float("inf") or time.perf_counter() < end:
            start = time.perf_counter()
            run(x)
            best = min(best, time.perf_counter() - start)
        print(best * 1e3, flush=True)


main()
