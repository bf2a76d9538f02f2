#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ONNX's own tests of each operator, through the library's C interface: those of Debian's libonnx-testdata (ONNX 1.12)
and those that came with the onnx package 1.16, the last one whose operators are all of opset 21 or older.

Every case must give the recorded results, at the best instruction set and, bit for bit the same, in portable C; or the
library must say that something is not supported, and then the case is listed with what it said. How many pass is told
in cases that are no `_expanded` ones (the same operator again, spelled out by others), and may not become fewer.
EXCEPTIONS names what is not as recorded, and why."""
import collections
import glob
import os
import sys

import numpy as np
import onnx
from onnx import numpy_helper

from library import PORTABLE, UNSUPPORTED, Failure, agree_nan, run

SUITES = [  # name, folder, the cases that must pass at least
    ("ONNX 1.12", "/usr/share/libonnx-testdata/data/node", 760),
    ("ONNX 1.16", os.path.join(os.environ.get("TSLIM_CACHE", ""), "node-tests-1.16", "node"), 856),
]

EXCEPTIONS = {}


def except_for(reason, *names):
    EXCEPTIONS.update((name, reason) for name in names)


except_for("numpy had no bfloat16: the recorded numbers are cut off, not rounded, and read as integers",
           "test_cast_BFLOAT16_to_FLOAT", "test_cast_FLOAT_to_BFLOAT16", "test_castlike_BFLOAT16_to_FLOAT",
           "test_castlike_FLOAT_to_BFLOAT16", "test_castlike_BFLOAT16_to_FLOAT_expanded",
           "test_castlike_FLOAT_to_BFLOAT16_expanded")
except_for("random numbers, of which the recorded ones are numpy's",
           "test_bernoulli", "test_bernoulli_double", "test_bernoulli_double_expanded", "test_bernoulli_expanded",
           "test_bernoulli_seed", "test_bernoulli_seed_expanded", "test_training_dropout", "test_training_dropout_default",
           "test_training_dropout_default_mask", "test_training_dropout_mask")
except_for("the recorded corners are those of a result of fractional size; ONNX Runtime leaves these out as well",
           "test_resize_downsample_scales_cubic_align_corners", "test_resize_downsample_scales_linear_align_corners")
except_for("the model's own pi is 3.1415, the recorded results' is not",
           "test_blackmanwindow_expanded", "test_blackmanwindow_symmetric_expanded", "test_hammingwindow_expanded",
           "test_hammingwindow_symmetric_expanded", "test_hannwindow_expanded", "test_hannwindow_symmetric_expanded")
except_for("the recorded numbers wrap around where they must saturate; ONNX Runtime's are ours",
           "test_qlinearmatmul_2D_int8_float16", "test_qlinearmatmul_2D_int8_float32",
           "test_qlinearmatmul_3D_int8_float16", "test_qlinearmatmul_3D_int8_float32")
except_for("the recorded means divide by less where a window goes beyond the padding; ONNX Runtime's are ours",
           "test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True")


class NotOurs(Exception):
    pass


def load(folder, kind):
    files = sorted(glob.glob(f"{folder}/{kind}_*.pb"), key=lambda f: int(f.rsplit("_", 1)[1][:-3]))
    tensors = [onnx.TensorProto() for _ in files]
    for tensor, file in zip(tensors, files):
        with open(file, "rb") as stream:
            try:
                tensor.ParseFromString(stream.read())
                numpy_helper.to_array(tensor)
            except Exception:
                raise NotOurs("sequences or optionals") from None
    arrays = [numpy_helper.to_array(tensor) for tensor in tensors]
    if any(x.dtype.kind in "OUS" for x in arrays):
        raise NotOurs("strings")
    return arrays


def agree(ours, theirs):
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return False
    if ours.dtype.kind in "biu":
        return np.array_equal(ours, theirs)
    # ONNX's own tolerances; bfloat16 has fewer digits than they ask for.
    relative = 1e-3 if ours.dtype.kind == "f" else 1e-2
    return np.allclose(ours.astype(np.float64), theirs.astype(np.float64), relative, 1e-7, equal_nan=True)


def difference(path):
    """What is wrong with the results of a case; None where nothing is."""
    for folder in sorted(glob.glob(os.path.dirname(path) + "/test_data_set_*")):
        inputs, wanted = load(folder, "input"), load(folder, "output")
        model = onnx.load(path)
        if not any(o.domain in ("", "ai.onnx") for o in model.opset_import):
            raise NotOurs("operators of another domain only")
        results, portable = (run(model, list(inputs), isa) for isa in (0, PORTABLE))
        if len(results) != len(wanted) or not all(map(agree, results, wanted)):
            return f"{[r.ravel()[:4] for r in results]}, not {[w.ravel()[:4] for w in wanted]}"
        if not all(a.tobytes() == b.tobytes() or agree_nan(a, b) for a, b in zip(results, portable)):
            return "portable C gives other bits"
    return None


def check_suite(title, folder, floor):
    passed, failed, reasons = collections.Counter(), 0, {}
    paths = sorted(glob.glob(f"{folder}/*/model.onnx"))
    for path in paths:
        name = os.path.basename(os.path.dirname(path))
        expanded = "_expanded" in name
        if name in EXCEPTIONS:
            reasons[name] = EXCEPTIONS[name]
            continue
        try:
            wrong = difference(path)
        except NotOurs as not_tensors:
            reasons[name] = f"not supported: {not_tensors}"
            continue
        except Failure as failure:
            wrong = str(failure)
            if failure.status == UNSUPPORTED:
                reasons[name] = wrong.replace("\n", " ")
                continue
        if wrong:
            failed += 1
            print(f"FAIL {name}: {wrong}")
        else:
            passed[expanded] += 1
    for name, reason in sorted(reasons.items()):
        if "_expanded" not in name:
            print(f"  {name}: {reason}")
    total = sum("_expanded" not in path for path in paths)
    print(f"{title}: {passed[False]} of {total} cases pass (at least {floor} must), and {passed[True]} of "
          f"{len(paths) - total} expanded ones; {failed} give wrong results")
    return failed == 0 and passed[False] >= floor


def main():
    return 0 if all([check_suite(*suite) for suite in SUITES]) else 1


sys.exit(main())
