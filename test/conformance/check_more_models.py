#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Small models with several inputs (recurrent networks, features of sound, a classifier of files) give ONNX Runtime's
outputs, to 1e-3 of the largest value."""
import os
import sys

import numpy as np
import onnx
import onnxruntime

import library
import models

FOLDER = os.path.join(models.FOLDER, "more")
random = np.random.default_rng(5)
SOUND = (random.standard_normal((2, 16000)) * 0.1 + np.sin(np.arange(16000) * 0.05)).astype(np.float32)
LENGTHS = np.array([16000, 12000], np.int64)
STATE = (random.standard_normal((2, 1, 128)) * 0.1).astype(np.float32)
FRAMES = dict(input=SOUND[:, :2880].reshape(-1, 576)[:5], h=STATE[:1], c=STATE[1:])
CASES = {
    "silero_vad/silero_vad.onnx": dict(input=SOUND[:1, :512], state=STATE, sr=np.array(16000, np.int64)),
    "silero_vad/silero_vad.onnx at 8 kHz": dict(input=SOUND[:1, :256], state=STATE, sr=np.array(8000, np.int64)),
    "silero_vad/silero_vad_half.onnx": dict(input=SOUND[:1, :512], state=STATE),
    "silero_vad/silero_vad_16k_op15.onnx": dict(input=SOUND[:1, :512], state=STATE, sr=np.array(16000, np.int64)),
    "silero_vad/silero_vad_16k_sequence.onnx": FRAMES,
    "silero_vad/silero_vad_openvino_16k.onnx": dict(input=SOUND[:1, :576], state=STATE),
    "faster_whisper/silero_vad_v6.onnx": FRAMES,
    "magika/model.onnx": dict(bytes=random.integers(0, 257, (2, 2048)).astype(np.int32)),
}
for name in ("gigaam_v3", "gigaam_v3_conv", "kaldi", "kaldi_conv", "nemo80", "nemo80_conv", "whisper80_conv", "wespeaker",
             "resample_48_16", "resample_11_16"):
    CASES[f"onnx_asr/{name}.onnx"] = dict(waveforms=SOUND, waveforms_lens=LENGTHS)


def with_sizes(path, feeds):
    """The model at these sizes."""
    model = onnx.load(path)
    for value in model.graph.input:
        if value.name in feeds:
            x = feeds[value.name]
            value.type.CopyFrom(onnx.helper.make_tensor_type_proto(onnx.helper.np_dtype_to_tensor_dtype(x.dtype), x.shape))
    return model


def main():
    failed = 0
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    for name, feeds in CASES.items():
        path = os.path.join(FOLDER, name.split(" ")[0])
        theirs = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, feeds)
        model = with_sizes(path, feeds)
        inputs = [feeds[value.name] for value in model.graph.input]
        try:
            ours = library.run(model, inputs, 0)
            error = max(models.relative_error(a.astype(np.float64), b) for a, b in zip(ours, theirs, strict=True))
        except library.Failure as failure:
            error = str(failure)
        good = isinstance(error, float) and error < 1e-3
        failed += not good
        print(f"{'ok  ' if good else 'FAIL'} {name}: {error}")
    return failed > 0


sys.exit(main())
