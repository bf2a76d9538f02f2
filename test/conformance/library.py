# SPDX-License-Identifier: Apache-2.0
"""The library through its Python binding: what the conformance checks run models with."""
import os
import sys

import ml_dtypes  # noqa: F401  the binding then knows bfloat16
import numpy as np

os.environ["TINYSLIM_LIBRARY"] = os.path.join(os.environ["TSLIM_LIBRARY_FOLDER"], "libtinyslim.so")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bindings", "python"))
import tinyslim  # noqa: E402

PORTABLE = "portable"
INVALID_ARGUMENT, UNSUPPORTED, LIMIT = 1, 6, 3
Failure = tinyslim.Error


class Session:
    """A model that can be run several times; planned for the shapes of `inputs`."""

    def __init__(self, model, inputs, isa=None):
        self.graph = tinyslim.Graph(model if isinstance(model, bytes) else model.SerializeToString())
        self.session = self.graph.session(self.shapes(inputs), isa=isa or None)

    def shapes(self, inputs):
        shapes = {}
        for i, ((name, dims, _), x) in enumerate(zip(self.graph.inputs, inputs)):
            if len(dims) == 0 and x.size == 1:  # some files hold [1] where the model says scalar
                inputs[i] = x = x.reshape(())
            shapes[name] = x.shape
        return shapes

    def resize(self, inputs):
        self.session.resize(self.shapes(inputs))

    def run(self, inputs):
        return self.session.run(*inputs)


def run(model, inputs, isa):
    session = Session(model, inputs, isa)  # which may give inputs other shapes
    return session.run(inputs)


def agree_nan(a, b):
    """Equal but for the bits of NaN."""
    return a.dtype.kind == "f" and np.array_equal(a, b, equal_nan=True) and np.array_equal(np.signbit(a[a == 0]), np.signbit(b[b == 0]))
