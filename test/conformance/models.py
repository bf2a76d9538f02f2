# SPDX-License-Identifier: Apache-2.0
"""The real models that tests run over, at the sizes that they are run at; and running the command."""
import json
import os
import subprocess
import sys

import numpy as np

FOLDER = os.environ["TSLIM_MODELS"]
TINYSLIM = os.environ["TINYSLIM"]

# Two sizes where the dims are dynamic.
SHAPES = {
    "resnet18": [(1, 3, 224, 224), (2, 3, 224, 224)],
    "resnet50": [(1, 3, 224, 224)],
    "mobilenet_v2": [(1, 3, 224, 224), (2, 3, 224, 224)],
    "vgg16": [(1, 3, 224, 224)],
    "ch_PP-OCRv4_det_infer": [(1, 3, 320, 256), (1, 3, 224, 416)],
    "ch_PP-OCRv4_rec_infer": [(1, 3, 48, 320), (2, 3, 48, 160)],
    "ch_ppocr_mobile_v2.0_cls_infer": [(1, 3, 48, 192), (2, 3, 48, 96)],
    "320n": [(1, 3, 320, 320), (1, 3, 256, 416)],
}


def path(name):
    return os.path.join(FOLDER, name + ".onnx")


def picture(shape, seed=3):
    """Smooth random images in about -1..1: nearer to what the models know than noise is."""
    random = np.random.default_rng(seed)
    n, c, h, w = shape
    coarse = random.standard_normal((n, c, (h + 7) // 8, (w + 7) // 8))
    image = coarse.repeat(8, axis=2).repeat(8, axis=3)[:, :, :h, :w]
    return (image * 0.5 + random.standard_normal(shape) * 0.1).astype(np.float32)


# Letters of 5 x 7 dots.
LETTERS = ["01110100011000111111100011000110001", "11110100011000111110100011000111110", "01111100001000010000100001000001111",
           "11111100001000011111100001000011111", "10001100011000111111100011000110001", "11111001000010000100001000010011111"]


def page(shape, seed=3):
    """Rows of dark letters on white: without text a text detector's outputs are all rounding."""
    random = np.random.default_rng(seed)
    n, c, h, w = shape
    image = np.ones((n, h, w), np.float32)
    for k in range(n):
        for y in range(12, h - 24, 32):
            for x in range(12, w - 14, 13):
                dots = np.array(list(LETTERS[random.integers(len(LETTERS))]), np.float32).reshape(7, 5)
                image[k, y:y + 14, x:x + 10] -= 0.9 * dots.repeat(2, 0).repeat(2, 1) * (random.random() < 0.85)
    channels = np.repeat((image[:, None] - 0.45) / 0.225, c, axis=1)
    return (channels + random.standard_normal(shape) * 0.02).astype(np.float32)


def example(name, shape, seed=3):
    """An input of a kind that the model has something to say about."""
    return page(shape, seed) if "_det_" in name else picture(shape, seed)


def reference(model, x):
    """ONNX Runtime's outputs with its graph optimisations off."""
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 2
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})


def tinyslim(*arguments, expect=0):
    """Runs the command; returns what it prints, as an object where --json is among the arguments."""
    done = subprocess.run([TINYSLIM, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != expect:
        sys.exit(f"tinyslim {' '.join(map(str, arguments))}: exit {done.returncode}, not {expect}\n{done.stderr}")
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


def run(model, x, folder, names_from=None):
    """The command's outputs for one input, in the model's order: that of an ONNX file, if need be another than the model."""
    import onnx
    np.save(os.path.join(folder, "input.npy"), x)
    out = os.path.join(folder, "out", "")
    os.makedirs(out, exist_ok=True)
    tinyslim("run", model, "--input", os.path.join(folder, "input.npy"), "--output", out,
             "--shape", "x".join(map(str, x.shape)))
    names = [o.name for o in onnx.load(names_from or model, load_external_data=False).graph.output]
    safe = ["".join(c if c.isalnum() or c in "._-" else "_" for c in name) for name in names]
    return [np.load(os.path.join(out, name + ".npy")) for name in safe]


def sqnr(wanted, given):
    """Signal to noise of all outputs together, in dB; 150 where there is no noise."""
    signal = sum(float((a.astype(np.float64) ** 2).sum()) for a in wanted)
    noise = sum(float(((a.astype(np.float64) - b) ** 2).sum()) for a, b in zip(wanted, given, strict=True))
    return 150.0 if noise == 0 else 10 * np.log10(signal / noise)


def relative_error(ours, theirs):
    """Largest difference over the largest value."""
    if ours.shape != theirs.shape:
        sys.exit(f"shapes differ: {ours.shape} and {theirs.shape}")
    if not np.isfinite(ours).all():
        sys.exit("an output is not finite")
    return float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30))
