# SPDX-License-Identifier: Apache-2.0
"""libtinyslim from Python: one file over the C library (ctypes and numpy, nothing else).

    import numpy, tinyslim
    session = tinyslim.Graph("det.onnx").session(shapes={"x": (1, 3, 640, 640)})
    maps, = session.run(image)                                   # numpy in, numpy out

    images = tinyslim.Dataset("images.npy")
    graph = tinyslim.Graph("det.onnx")
    graph.quantize(graph.calibrate(images))
    graph.save("det.tslim")

The library is `libtinyslim.so` where the loader finds it, or the file that the environment's TINYSLIM_LIBRARY names.
What the C headers say of shapes, ranges, errors and threads holds here. A failed call raises `Error` with the library's
message; `Error.status` is its tslim_status.
"""
import ctypes
import os
from ctypes import POINTER, byref, c_bool, c_char_p, c_double, c_float, c_int, c_int64, c_size_t, c_uint32, c_uint64, c_void_p

import numpy as np

MAX_RANK = 8
_DTYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_,
           10: np.float16, 11: np.float64, 12: np.uint32, 13: np.uint64}
try:
    import ml_dtypes  # numpy itself has no bfloat16
    _DTYPES[16] = ml_dtypes.bfloat16
except ImportError:
    pass
_CODES = {np.dtype(value): key for key, value in _DTYPES.items()}
_METHODS = {"minmax": 0, "moving-average": 1, "percentile": 2, "entropy": 3, "mse": 4}

_library = ctypes.CDLL(os.environ.get("TINYSLIM_LIBRARY", "libtinyslim.so.0"))


class Error(Exception):
    """What the library says went wrong; `status` is its tslim_status."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class _Tensor(ctypes.Structure):
    _fields_ = [("dtype", c_int), ("rank", c_uint32), ("dims", c_int64 * MAX_RANK), ("data", c_void_p), ("bytes", c_size_t)]


class _Info(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("dtype", c_int), ("rank", c_uint32), ("dims", c_int64 * MAX_RANK),
                ("symbols", c_char_p * MAX_RANK)]


class _Shape(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("rank", c_uint32), ("dims", c_int64 * MAX_RANK)]


class _Allocator(ctypes.Structure):
    _fields_ = [("allocate", c_void_p), ("release", c_void_p), ("user", c_void_p)]


class _Limits(ctypes.Structure):
    _fields_ = [("file_bytes", c_uint64), ("nodes", c_uint64), ("elements", c_uint64), ("arena_bytes", c_uint64),
                ("rank", c_uint32), ("nesting", c_uint32)]


class _ContextOptions(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("n_threads", c_uint32), ("allocator", _Allocator), ("log", c_void_p),
                ("log_user", c_void_p), ("limits", _Limits), ("parallel_for", c_void_p), ("parallel_user", c_void_p),
                ("isa", c_int)]


class _SessionOptions(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("backend", c_int), ("shapes", POINTER(_Shape)), ("n_shapes", c_uint32),
                ("isa", c_int), ("arena", c_void_p), ("arena_bytes", c_size_t), ("no_fusion", c_bool)]


class _CalibrationOptions(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("method", c_int), ("percentile", c_double), ("batch", c_uint32),
                ("shard", c_uint32), ("n_shards", c_uint32), ("shapes", POINTER(_Shape)), ("n_shapes", c_uint32),
                ("progress", c_void_p), ("progress_user", c_void_p)]


class _Totals(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("parameters", c_uint64), ("parameter_bytes", c_uint64), ("macs", c_uint64)]


def _options(kind, initialize, **fields):
    # The initializers fill in what this version of the library knows; the size limits it to what this file knows.
    room = ctypes.create_string_buffer(1024)
    initialize(room)
    options = kind.from_buffer_copy(room)
    options.struct_size = ctypes.sizeof(kind)
    for name, value in fields.items():
        setattr(options, name, value)
    return options


def _shapes(shapes):
    """{"name": dims} or plain dims of the only input, as C sees it."""
    if shapes is None:
        return None, 0
    named = list(shapes.items()) if isinstance(shapes, dict) else [(None, shapes)]
    array = (_Shape * len(named))()
    for shape, (name, dims) in zip(array, named):
        shape.name = name.encode() if name else None
        shape.rank = len(dims)
        shape.dims[:len(dims)] = [int(dim) for dim in dims]
    return array, len(named)


def _level(isa):
    level = c_int(0)
    if isa is not None and _library.tslim_isa_from_name(isa.encode(), byref(level)):
        raise Error(1, f"no instruction set is called {isa!r}")
    return level.value


class _Handle:
    """Owns one object of the library; the context lives as long as anything made from it."""

    def __init__(self, context, destroy):
        self.context, self._destroy, self.pointer = context, destroy, c_void_p()

    def __del__(self):
        if self.pointer:
            self._destroy(self.pointer)
            self.pointer = None

    def _check(self, status):
        if status:
            raise Error(status, _library.tslim_context_message(self.context.pointer).decode())

    def _infos(self, ask, count):
        infos = []
        for index in range(count):
            info = _Info()
            self._check(ask(self.pointer, index, byref(info)))
            infos.append((info.name.decode(), tuple(info.dims[:info.rank]), np.dtype(_DTYPES[info.dtype])))
        return infos


class Context(_Handle):
    """Threads and instruction set: `threads` 0 takes all cores, `isa` is a name such as "avx2" or None for the best."""

    def __init__(self, threads=0, isa=None):
        super().__init__(self, _library.tslim_context_destroy)
        options = _options(_ContextOptions, _library.tslim_context_options_init, n_threads=threads, isa=_level(isa))
        status = _library.tslim_context_create(byref(options), byref(self.pointer))
        if status:
            raise Error(status, f"no context with {threads} threads and instruction set {isa or 'default'}")

    @property
    def isa(self):
        return _library.tslim_isa_name(_library.tslim_context_isa(self.pointer)).decode()

    @property
    def threads(self):
        return _library.tslim_context_threads(self.pointer)


_default = None


def default_context():
    global _default
    _default = _default or Context()
    return _default


class Graph(_Handle):
    """A model: from a path (ONNX or .tslim) or from the bytes of a file."""

    def __init__(self, source, context=None):
        super().__init__(context or default_context(), _library.tslim_graph_destroy)
        if isinstance(source, bytes):
            self._kept = source  # the library reads it in place
            self._check(_library.tslim_graph_load_memory(
                self.context.pointer, source, c_size_t(len(source)), byref(self.pointer)))
        else:
            self._check(_library.tslim_graph_load_file(
                self.context.pointer, os.fsencode(source), byref(self.pointer)))

    @property
    def inputs(self):
        """[(name, shape, dtype)]; a dim of -1 is not known."""
        return self._infos(_library.tslim_graph_input_info, _library.tslim_graph_input_count(self.pointer))

    def save(self, path):
        """As ONNX or .tslim, by the ending of `path`."""
        self._check(_library.tslim_graph_save_file(self.pointer, os.fsencode(path), 0))

    def optimize(self):
        self._check(_library.tslim_graph_optimize(self.pointer))

    def measure(self, shapes=None):
        """{"parameters", "parameter_bytes", "macs"} at these input shapes."""
        array, count = _shapes(shapes)
        totals = _Totals(ctypes.sizeof(_Totals))
        self._check(_library.tslim_graph_measure(self.pointer, array, count, byref(totals)))
        return {name: getattr(totals, name) for name, _ in _Totals._fields_[1:]}

    def calibrate(self, dataset, method="mse", percentile=99.99, batch=0, shapes=None):
        array, count = _shapes(shapes)
        options = _options(_CalibrationOptions, _library.tslim_calibration_options_init, method=_METHODS[method],
                           percentile=percentile, batch=batch, shapes=array, n_shapes=count)
        calibration = Calibration(context=self.context)
        self._check(_library.tslim_calibrate(self.pointer, dataset.pointer, byref(options), byref(calibration.pointer)))
        return calibration

    def quantize(self, calibration):
        """To INT8, in place, with the defaults."""
        self._check(_library.tslim_quantize(self.pointer, calibration.pointer, None, None, None))

    def repair(self, teacher, dataset):
        """Of a graph that was pruned from `teacher`: recovery without labels, in place, with the defaults."""
        self._check(_library.tslim_repair(self.pointer, teacher.pointer, dataset.pointer, None))

    def session(self, shapes=None, fusion=True, isa=None):
        return Session(self, shapes, fusion, isa)


class Dataset(_Handle):
    """Samples from an .npy, .npz or IDX file, or a folder of images."""

    def __init__(self, path, context=None):
        super().__init__(context or default_context(), _library.tslim_dataset_destroy)
        self._check(_library.tslim_dataset_open(self.context.pointer, os.fsencode(path), None, byref(self.pointer)))

    def __len__(self):
        return _library.tslim_dataset_count(self.pointer)


class Calibration(_Handle):
    """Ranges of a model's values: from Graph.calibrate, or from a file that `save` wrote."""

    def __init__(self, path=None, context=None):
        super().__init__(context or default_context(), _library.tslim_calibration_destroy)
        if path is not None:
            self._check(_library.tslim_calibration_load_file(
                self.context.pointer, os.fsencode(path), byref(self.pointer)))

    def save(self, path):
        self._check(_library.tslim_calibration_save_file(self.pointer, os.fsencode(path)))


class Session(_Handle):
    """A graph planned for one set of input shapes. One thread at a time."""

    def __init__(self, graph, shapes=None, fusion=True, isa=None):
        super().__init__(graph.context, _library.tslim_session_destroy)
        self._kept = getattr(graph, "_kept", None)
        array, count = _shapes(shapes)
        options = _options(_SessionOptions, _library.tslim_session_options_init, shapes=array, n_shapes=count,
                           no_fusion=not fusion, isa=_level(isa))
        self._check(_library.tslim_session_create(graph.pointer, byref(options), byref(self.pointer)))
        self._n_inputs = _library.tslim_session_input_count(self.pointer)
        self._n_outputs = _library.tslim_session_output_count(self.pointer)

    @property
    def inputs(self):
        """[(name, shape, dtype)]"""
        return self._infos(_library.tslim_session_input_info, self._n_inputs)

    @property
    def outputs(self):
        return self._infos(_library.tslim_session_output_info, self._n_outputs)

    def resize(self, shapes):
        """Plans anew for other input shapes; on failure the session stays as it was."""
        array, count = _shapes(shapes)
        self._check(_library.tslim_session_resize(self.pointer, array, count))

    @property
    def arena_bytes(self):
        return _library.tslim_session_arena_bytes(self.pointer)

    def run(self, *inputs):
        """Arrays in the model's order; returns a list of new arrays."""
        arrays = [np.ascontiguousarray(array).reshape(np.shape(array)) for array in inputs]
        tensors = (_Tensor * max(len(arrays), 1))()
        for tensor, array in zip(tensors, arrays):
            if array.dtype not in _CODES:
                raise Error(1, f"no tensor can hold {array.dtype}")
            if array.ndim > MAX_RANK:
                raise Error(1, f"an array of {array.ndim} dims, and {MAX_RANK} are possible")
            tensor.dtype, tensor.rank = _CODES[array.dtype], array.ndim
            tensor.dims[:array.ndim] = array.shape
            tensor.data, tensor.bytes = array.ctypes.data, array.nbytes
        results = (_Tensor * max(self._n_outputs, 1))()
        self._check(_library.tslim_session_run(self.pointer, tensors, len(arrays), results, self._n_outputs))
        return [_copied(result) for result in results[:self._n_outputs]]


def _copied(tensor):
    dtype, shape = np.dtype(_DTYPES[tensor.dtype]), tuple(tensor.dims[:tensor.rank])
    count = int(np.prod(shape, dtype=np.int64))
    if count == 0:
        return np.zeros(shape, dtype)
    return np.frombuffer(ctypes.string_at(tensor.data, count * dtype.itemsize), dtype).reshape(shape)


for _name, _type in {"tslim_context_message": c_char_p, "tslim_isa_name": c_char_p, "tslim_dataset_count": c_uint64,
                     "tslim_session_arena_bytes": c_size_t}.items():
    getattr(_library, _name).restype = _type
for _name in ("tslim_graph_input_count", "tslim_session_input_count", "tslim_session_output_count", "tslim_context_threads", "tslim_context_isa",
              "tslim_session_arena_bytes", "tslim_isa_name", "tslim_dataset_count", "tslim_context_message"):
    getattr(_library, _name).argtypes = [c_int] if _name == "tslim_isa_name" else [c_void_p]
for _name in ("context", "graph", "dataset", "calibration", "session"):
    getattr(_library, f"tslim_{_name}_destroy").argtypes = [c_void_p]
