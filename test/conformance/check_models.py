#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every real model gives ONNX Runtime's outputs, to 1e-3 of the largest value (about 1e-6 is what is seen)."""
import sys
import tempfile

import models

failed = 0
with tempfile.TemporaryDirectory() as folder:
    for name, shapes in models.SHAPES.items():
        for shape in shapes:
            x = models.example(name, shape)
            theirs = models.reference(models.path(name), x)
            ours = models.run(models.path(name), x, folder)
            errors = [models.relative_error(a, b) for a, b in zip(ours, theirs, strict=True)]
            good = max(errors) < 1e-3
            failed += not good
            print(f"{'ok  ' if good else 'FAIL'} {name} {shape}: {max(errors):.1e}")
sys.exit(failed > 0)
