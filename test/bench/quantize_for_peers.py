# SPDX-License-Identifier: Apache-2.0
"""INT8 forms of a model by ONNX Runtime's and NNCF's quantizers, and ncnn's own format, for peers.py."""
import importlib.util
import os
import subprocess
import sys

import numpy as np


def samples(shape, count=8):
    random = np.random.default_rng(7)
    return [random.standard_normal(shape).astype(np.float32) for _ in range(count)]


def repaired(path, out):
    """Opset 13, which has DequantizeLinear per channel, and weights as initializers: without these ONNX Runtime's quantizer
    leaves the PP-OCR models in float or writes what it cannot load."""
    import onnx
    model = onnx.load(path)
    constants = [node for node in model.graph.node if node.op_type == "Constant" and node.attribute[0].name == "value"]
    for node in constants:
        tensor = node.attribute[0].t
        tensor.name = node.output[0]
        model.graph.initializer.append(tensor)
        model.graph.node.remove(node)
    if model.opset_import[0].version < 13:
        model = onnx.version_converter.convert_version(model, 13)
    onnx.save(model, out)


def by_onnxruntime(path, shape, out):
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self):
            name = onnx.load(path, load_external_data=False).graph.input[0].name
            self.rest = iter([{name: x} for x in samples(shape)])

        def get_next(self):
            return next(self.rest, None)
    prepared = out + ".prepared"
    repaired(path, prepared)
    try:
        quant_pre_process(prepared, prepared, skip_symbolic_shape=True)
    except Exception as error:
        print(f"{path}: ONNX Runtime's pre-processing fails: {str(error)[:100]}", file=sys.stderr)
    quantize_static(prepared, out, Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    os.remove(prepared)


def by_nncf(path, shape, out):
    import nncf
    import openvino
    model = openvino.Core().read_model(path)
    model.reshape({model.inputs[0].any_name: list(shape)})
    quantized = nncf.quantize(model, nncf.Dataset(samples(shape), lambda x: {0: x}), subset_size=8,
                              preset=nncf.QuantizationPreset.PERFORMANCE)
    openvino.save_model(quantized, out)


def to_ncnn(path, shape, out):
    """`out` and the endings .param and .bin."""
    # The program alone: importing its package would need torch.
    program = os.path.join(importlib.util.find_spec("pnnx").submodule_search_locations[0], "pnnx")
    done = subprocess.run([program, path, "inputshape=[" + ",".join(map(str, shape)) + "]", "fp16=0",
                           f"ncnnparam={out}.param", f"ncnnbin={out}.bin", f"ncnnpy={out}.py", f"pnnxparam={out}.p1",
                           f"pnnxbin={out}.p2", f"pnnxpy={out}.p3", f"pnnxonnx={out}.p4"], capture_output=True, text=True)
    for ending in (".py", ".p1", ".p2", ".p3", ".p4"):
        if os.path.exists(out + ending):
            os.remove(out + ending)
    if done.returncode or not os.path.exists(out + ".param"):
        raise RuntimeError(f"pnnx: {(done.stdout + done.stderr)[-200:]}")
