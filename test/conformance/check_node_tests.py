#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ONNX's own test of each operator (Debian's libonnx-testdata), through the library's C interface.

What `ops.def` names must give the recorded results, at the best instruction set and, bit for bit the same, in
portable C. Operands that decide a shape (Reshape's, Slice's, ...) are given when it runs. Operators that are not there
are counted, nothing else is left out but what EXCEPTIONS names."""
import collections
import glob
import os
import sys

import numpy as np
import onnx
from onnx import numpy_helper

from library import PORTABLE, UNSUPPORTED, Failure, agree_nan, run

FOLDER = "/usr/share/libonnx-testdata/data/node"
AT_LEAST = 760

EXCEPTIONS = {
    # numpy has no bfloat16: the recorded numbers are cut off, not rounded, and read as integers
    "test_cast_BFLOAT16_to_FLOAT", "test_cast_FLOAT_to_BFLOAT16", "test_castlike_BFLOAT16_to_FLOAT_expanded",
    "test_castlike_FLOAT_to_BFLOAT16_expanded",
    "test_castlike_BFLOAT16_to_FLOAT", "test_castlike_FLOAT_to_BFLOAT16",
    # random numbers, of which the recorded ones are numpy's
    "test_bernoulli", "test_bernoulli_double", "test_bernoulli_double_expanded", "test_bernoulli_expanded",
    "test_bernoulli_seed", "test_bernoulli_seed_expanded",
    # the recorded corners are those of a result of fractional size; ONNX Runtime leaves these two out as well
    "test_resize_downsample_scales_cubic_align_corners", "test_resize_downsample_scales_linear_align_corners",
    # the model's own pi is 3.1415, the recorded results' is not
    "test_blackmanwindow_expanded", "test_blackmanwindow_symmetric_expanded", "test_hammingwindow_expanded",
    "test_hammingwindow_symmetric_expanded", "test_hannwindow_expanded", "test_hannwindow_symmetric_expanded",
    # recorded with 3.1415 for pi
    "test_blackmanwindow", "test_blackmanwindow_symmetric", "test_hammingwindow", "test_hammingwindow_symmetric",
    "test_hannwindow", "test_hannwindow_symmetric",
    # boxes are not implemented
    "test_resize_tf_crop_and_resize",
}
# Of the operators that are implemented: what the rows above, shapes of three spatial dims and training leave out.
UNSUPPORTED_BUT_KNOWN = {"Dropout"}




def attempt(path, inputs):
    model = onnx.load(path)
    return run(model, list(inputs), 0), run(model, list(inputs), PORTABLE)


def load(folder, kind):
    files = sorted(glob.glob(f"{folder}/{kind}_*.pb"), key=lambda f: int(f.rsplit("_", 1)[1][:-3]))
    tensors = [onnx.TensorProto() for _ in files]
    for tensor, file in zip(tensors, files):
        with open(file, "rb") as stream:
            tensor.ParseFromString(stream.read())
    return [numpy_helper.to_array(tensor) for tensor in tensors]


def agree(ours, theirs):
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return False
    if ours.dtype.kind != "f":
        return np.array_equal(ours, theirs)
    relative = 1e-3 if ours.dtype == np.float16 else 1e-5
    return np.allclose(ours.astype(np.float64), theirs.astype(np.float64), relative, 1e-6, equal_nan=True)


def main():
    passed, failed, missing = 0, 0, collections.Counter()
    for path in sorted(glob.glob(f"{FOLDER}/*/model.onnx")):
        name = os.path.basename(os.path.dirname(path))
        opsets = [o.version for o in onnx.load(path).opset_import if o.domain in ("", "ai.onnx")]
        if name in EXCEPTIONS or not opsets or opsets[0] < 7:
            continue
        for folder in sorted(glob.glob(os.path.dirname(path) + "/test_data_set_*")):
            try:
                inputs, wanted = load(folder, "input"), load(folder, "output")
            except Exception:  # sequences, optionals, strings: not tensors of numbers
                continue
            if any(x.dtype.kind == "O" for x in inputs + wanted):
                continue
            try:
                results, portable = attempt(path, inputs)
            except Failure as failure:
                operator = str(failure).split("(")[-1].split(")")[0]
                if failure.status == UNSUPPORTED and (
                        "is not supported" in str(failure) or operator_of(failure) in UNSUPPORTED_BUT_KNOWN):
                    missing[operator] += 1
                else:
                    failed += 1
                    print(f"FAIL {name}: {failure}")
                continue
            good = len(results) == len(wanted) and all(map(agree, results, wanted))
            same = all(a.tobytes() == b.tobytes() or agree_nan(a, b) for a, b in zip(results, portable))
            passed += good and same
            failed += not (good and same)
            if not good:
                print(f"FAIL {name}: {[r.ravel()[:4] for r in results]}, not {[w.ravel()[:4] for w in wanted]}")
            elif not same:
                print(f"FAIL {name}: portable C gives other bits")
    print(f"{passed} agree, {failed} do not, {sum(missing.values())} of operators or types that are not implemented")
    return failed > 0 or passed < AT_LEAST


def operator_of(failure):
    text = str(failure)
    return text.split("' (", 1)[1].split(")")[0] if "' (" in text else ""


sys.exit(main())
