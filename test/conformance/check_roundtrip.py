#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What was loaded and written as ONNX again loads in ONNX Runtime and gives the same outputs; a float .tslim gives the
ONNX file's, and written as ONNX, with what was fused spelled out, still the same to 1e-3."""
import os
import sys
import tempfile

import numpy as np

import models

failed = 0
with tempfile.TemporaryDirectory() as folder:
    for name, shapes in models.SHAPES.items():
        x = models.example(name, shapes[0])
        theirs = models.reference(models.path(name), x)
        copy, packed = os.path.join(folder, "copy.onnx"), os.path.join(folder, "packed.tslim")
        models.tinyslim("export", models.path(name), "-o", copy)
        again = models.reference(copy, x)
        same = all(np.array_equal(a, b) for a, b in zip(again, theirs, strict=True))
        models.tinyslim("convert", models.path(name), "-o", packed)
        models.tinyslim("verify", packed)
        np.save(os.path.join(folder, "one.npy"), x)
        difference = models.tinyslim("compare", models.path(name), packed, "--data", os.path.join(folder, "one.npy"),
                                     "--shape", "x".join(map(str, shapes[0])), "--json")
        spelled_out = os.path.join(folder, "spelled_out.onnx")
        models.tinyslim("export", packed, "-o", spelled_out)
        unfused = max(models.relative_error(a, b)
                      for a, b in zip(models.reference(spelled_out, x), theirs, strict=True))
        worst = max(output["max_abs"] for output in difference["outputs"])
        limit = 1e-5 * max(float(np.abs(b).max()) for b in theirs)
        good = same and worst <= limit and unfused < 1e-3
        failed += not good
        print(f"{'ok  ' if good else 'FAIL'} {name}: ONNX again {'equal' if same else 'DIFFERENT'}, .tslim differs by {worst:.1e}, "
              f"as ONNX by {unfused:.1e}")
sys.exit(failed > 0)
