# SPDX-License-Identifier: Apache-2.0
"""The library through its C interface: what the conformance checks run models with."""
import ctypes
import os

import ml_dtypes
import numpy as np

PORTABLE = 1
INVALID_ARGUMENT, UNSUPPORTED, LIMIT = 1, 6, 3
DTYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_,
          10: np.float16, 11: np.float64, 12: np.uint32, 13: np.uint64, 16: ml_dtypes.bfloat16}


class Tensor(ctypes.Structure):
    _fields_ = [("dtype", ctypes.c_int), ("rank", ctypes.c_uint32), ("dims", ctypes.c_int64 * 8),
                ("data", ctypes.c_void_p), ("bytes", ctypes.c_size_t)]


class Info(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("dtype", ctypes.c_int), ("rank", ctypes.c_uint32),
                ("dims", ctypes.c_int64 * 8), ("symbols", ctypes.c_char_p * 8)]


class Options(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("backend", ctypes.c_int), ("shapes", ctypes.c_void_p),
                ("n_shapes", ctypes.c_uint32), ("isa", ctypes.c_int), ("arena", ctypes.c_void_p),
                ("arena_bytes", ctypes.c_size_t), ("no_fusion", ctypes.c_bool)]


class Shape(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("rank", ctypes.c_uint32), ("dims", ctypes.c_int64 * 8)]


class Failure(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


library = ctypes.CDLL(os.path.join(os.environ["TSLIM_LIBRARY_FOLDER"], "libtinyslim.so"))
library.tslim_context_message.restype = ctypes.c_char_p
context = ctypes.c_void_p()
library.tslim_context_create(None, ctypes.byref(context))


def check(status):
    if status:
        raise Failure(status, library.tslim_context_message(context).decode())


class Session:
    """A model that can be run several times; planned for the shapes of `inputs`."""

    def __init__(self, model, inputs, isa=0):
        encoded = model if isinstance(model, bytes) else model.SerializeToString()
        self.graph, self.session = ctypes.c_void_p(), ctypes.c_void_p()
        self.encoded = encoded
        check(library.tslim_graph_load_memory(context, encoded, ctypes.c_size_t(len(encoded)),
                                              ctypes.byref(self.graph)))
        options = Options()
        library.tslim_session_options_init(ctypes.byref(options))
        options.isa = isa
        shapes = self.shapes(inputs)
        options.shapes, options.n_shapes = ctypes.cast(shapes, ctypes.c_void_p), len(inputs)
        check(library.tslim_session_create(self.graph, ctypes.byref(options), ctypes.byref(self.session)))

    def shapes(self, inputs):
        shapes = (Shape * max(len(inputs), 1))()
        for i, x in enumerate(inputs):
            info = Info()
            check(library.tslim_graph_input_info(self.graph, i, ctypes.byref(info)))
            if info.rank == 0 and x.size == 1:  # some files hold [1] where the model says scalar
                inputs[i] = x = x.reshape(())
            shapes[i].name, shapes[i].rank = info.name, x.ndim
            shapes[i].dims[:x.ndim] = x.shape
        return shapes

    def resize(self, inputs):
        check(library.tslim_session_resize(self.session, self.shapes(inputs), len(inputs)))

    def run(self, inputs):
        tensors = (Tensor * max(len(inputs), 1))()
        for i, (tensor, x) in enumerate(zip(tensors, inputs)):
            inputs[i] = x = np.asarray(x, order="C")
            code = next(k for k, v in DTYPES.items() if x.dtype == v)
            tensor.dtype, tensor.rank, tensor.data, tensor.bytes = code, x.ndim, x.ctypes.data, x.nbytes
            tensor.dims[:x.ndim] = x.shape
        results = (Tensor * library.tslim_session_output_count(self.session))()
        check(library.tslim_session_run(self.session, tensors, len(inputs), results, len(results)))
        return [to_array(result) for result in results]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.__del__()

    def __del__(self):
        library.tslim_session_destroy(self.session)
        library.tslim_graph_destroy(self.graph)
        self.graph, self.session = ctypes.c_void_p(), ctypes.c_void_p()


def run(model, inputs, isa):
    with Session(model, inputs, isa) as session:
        return session.run(inputs)


def to_array(tensor):
    dtype = np.dtype(DTYPES[tensor.dtype])
    shape = tensor.dims[:tensor.rank]
    data = ctypes.string_at(tensor.data, int(np.prod(shape)) * dtype.itemsize)
    return np.frombuffer(data, dtype).reshape(shape)


def agree_nan(a, b):
    """Equal but for the bits of NaN."""
    return a.dtype.kind == "f" and np.array_equal(a, b, equal_nan=True) and np.array_equal(np.signbit(a[a == 0]), np.signbit(b[b == 0]))
