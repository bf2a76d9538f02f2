#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bindings/python: its structures are the C headers', and the way from ONNX to INT8 gives what the command gives."""
import os
import subprocess
import sys
import tempfile

import numpy as np

import models

os.environ["TINYSLIM_LIBRARY"] = os.path.join(os.environ["TSLIM_LIBRARY_FOLDER"], "libtinyslim.so")
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(ROOT, "bindings", "python"))
import tinyslim  # noqa: E402

NAME, SHAPE = "ch_ppocr_mobile_v2.0_cls_infer", (1, 3, 48, 192)
STRUCTURES = {"tslim_tensor": tinyslim._Tensor, "tslim_tensor_info": tinyslim._Info, "tslim_input_shape": tinyslim._Shape,
              "tslim_context_options": tinyslim._ContextOptions, "tslim_session_options": tinyslim._SessionOptions,
              "tslim_calibration_options": tinyslim._CalibrationOptions, "tslim_graph_totals": tinyslim._Totals}


def expect(condition, text):
    if not condition:
        sys.exit(text)


def check_structures(folder):
    """Each field where the C compiler has it; what C appends later may be missing here."""
    lines = [f'printf("%zu\\n", offsetof({name}, {field}));'
             for name, kind in STRUCTURES.items() for field, _ in kind._fields_]
    source, program = os.path.join(folder, "offsets.c"), os.path.join(folder, "offsets")
    with open(source, "w") as file:
        file.write("#include <stddef.h>\n#include <stdio.h>\n#include <tinyslim/tinyslim.h>\nint main(void) {" + "\n".join(lines) + "}")
    subprocess.run(["cc", "-I", os.path.join(ROOT, "include"), source, "-o", program], check=True)
    theirs = list(map(int, subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()))
    ours = [getattr(kind, field).offset for kind in STRUCTURES.values() for field, _ in kind._fields_]
    expect(ours == theirs, "a field of a structure lies elsewhere in C")


def check_run(folder):
    context = tinyslim.Context(threads=2)
    graph = tinyslim.Graph(models.path(NAME), context)
    expect(graph.measure(SHAPE)["macs"] > 1e7, "no MACs")
    session = graph.session({"x": SHAPE})
    x = models.picture(SHAPE)
    ours, theirs = session.run(x)[0], models.reference(models.path(NAME), x)[0]
    expect(models.relative_error(ours, theirs) < 1e-5, "ONNX Runtime gives another result")
    expect(session.inputs == [("x", SHAPE, np.dtype(np.float32))], f"inputs are {session.inputs}")

    images = os.path.join(folder, "images.npy")
    np.save(images, np.concatenate([models.picture(SHAPE, seed) for seed in range(8)]))
    dataset = tinyslim.Dataset(images, context)
    expect(len(dataset) == 8, "the dataset has another length")
    calibration = graph.calibrate(dataset, shapes=SHAPE)
    calibration.save(os.path.join(folder, "ranges.json"))
    graph.quantize(tinyslim.Calibration(os.path.join(folder, "ranges.json"), context))
    graph.save(os.path.join(folder, "int8.tslim"))
    with open(os.path.join(folder, "int8.tslim"), "rb") as file:
        again = tinyslim.Graph(file.read(), context).session(SHAPE).run(x)[0]
    by_command = os.path.join(folder, "command.tslim")
    models.tinyslim("quantize", models.path(NAME), "--calibration", os.path.join(folder, "ranges.json"), "-o", by_command)
    wanted, = models.run(by_command, x, folder, names_from=models.path(NAME))
    expect(np.array_equal(again, wanted), "the command's INT8 gives another result")


def check_errors():
    for call, word in ((lambda: tinyslim.Graph("/nowhere.onnx"), "nowhere"), (lambda: tinyslim.Graph(b"junk"), ""),
                       (lambda: tinyslim.Context(isa="z80"), "z80"),
                       (lambda: tinyslim.Graph(models.path(NAME)).session(SHAPE).run(), "0 inputs")):
        try:
            call()
        except tinyslim.Error as error:
            expect(error.status and word in str(error), f"unexpected: {error}")
        else:
            sys.exit("an error was expected")


with tempfile.TemporaryDirectory() as temporary:
    check_structures(temporary)
    check_run(temporary)
    check_errors()
print("bindings/python agrees with the headers, ONNX Runtime and the command")
