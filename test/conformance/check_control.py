#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""If, Loop, Scan, and shapes that depend on data, against ONNX Runtime: each model over several runs in one session,
as it is, and again from the files that the library writes of it (ONNX, .tslim, optimized .tslim)."""
import os
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper, parser

import library
from library import Failure, Session

random = np.random.default_rng(5)
CASES = []


def case(text, runs, weights=(), opset=17):
    """`text`: the graph in ONNX's textual form; `weights`: initializers of the outermost graph."""
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> {text}')
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(x), name) for name, x in dict(weights).items())
    CASES.append((model, runs))


def floats(*shape):
    return random.standard_normal(shape).astype(np.float32)


def ints(*numbers):
    return np.array(numbers, np.int64)


def scalar(number):
    return np.array(number, np.int64)


TRUE, FALSE = np.array(True), np.array(False)

# ---- If ----

case("""branches (bool c, float[N] x) => (float[N] y) {
  y = If (c) <then_branch = a () => (float[N] t) { two = Constant<value_float = 2.0>()  t = Mul(x, two) },
              else_branch = b () => (float[N] t) { t = Neg(x) }>
}""", [(TRUE, floats(5)), (FALSE, floats(5)), (TRUE, floats(9))])

case("""branches_of_other_shapes (bool c, float[A, B] x) => (float[K] y, float s) {
  t = If (c) <then_branch = a () => (float[P] t) { m = Constant<value_ints = [-1]>()  t = Reshape(x, m) },
              else_branch = b () => (float[Q] t) { z = Constant<value_ints = [0]>()  k = Constant<value_int = 0>()
                                                   t = ReduceMax<axes = [1], keepdims = 0>(x) }>
  r = Relu(t)
  y = Add(r, r)
  s = ReduceSum<keepdims = 0>(y)
}""", [(c, floats(3, 4)) for c in (TRUE, FALSE, TRUE, FALSE)])

case("""decided_by_a_shape (float[A, B] x) => (float[K] y) {
  one = Constant<value_int = 1>()
  shape = Shape<start = 1>(x)
  single = Squeeze(shape)
  c = Equal(single, one)
  t = If (c) <then_branch = a () => (float[A] t) { axes = Constant<value_ints = [1]>()  t = Squeeze(x, axes) },
              else_branch = b () => (float[A, B] t) { t = Identity(x) }>
  y = Sin(t)
}""", [(floats(3, 1),), (floats(3, 4),), (floats(3, 1),)])

case("""nested (bool c, bool d, float[N] x, float[N] w) => (float[N] y) {
  u = Add(x, w)
  y = If (c) <
    then_branch = a () => (float[N] t) {
      v = Mul(x, u)
      t = If (d) <then_branch = aa () => (float[N] r) { r = Sub(v, w) }, else_branch = ab () => (float[N] r) { r = Add(v, u) }>
    },
    else_branch = b () => (float[N] t) { t = If (d) <then_branch = ba () => (float[N] v) { v = Exp(w) },
                                                     else_branch = bb () => (float[N] r) { r = Identity(u) }> }>
}""", [(c, d, floats(4), floats(4)) for c in (TRUE, FALSE) for d in (TRUE, FALSE)])

case("""results_of_many_kinds (bool c, float[N] x) => (float[N] p, float[2] q, float[N] r) {
  p, q, r = If (c) <
    then_branch = a () => (float[N] t, float[2] k, float[N] s) { t = Abs(x)  k = Constant<value_floats = [1.0, 2.0]>()  s = Identity(t) },
    else_branch = b () => (float[N] t, float[2] k, float[N] s) { s = Neg(x)  t = Identity(x)  k = Constant<value_floats = [3.0, 4.0]>() }>
}""", [(TRUE, floats(3)), (FALSE, floats(3))])

# ---- Loop ----

case("""sums (int64 n, float[2] x) => (float[2] last, float[M, 2] all) {
  go = Constant<value = bool {1}>()
  last, all = Loop (n, go, x) <body = b (int64 i, bool go_in, float[2] s) => (bool go_out, float[2] s_out, float[2] scan) {
    go_out = Identity(go_in)
    f = Cast<to = 1>(i)
    s_out = Add(s, f)
    scan = Mul(s_out, x)
  }>
}""", [(scalar(n), floats(2)) for n in (3, 0, 7, 3)])

case("""constant_trip_count (float[2] x) => (float[2] last, float[5, 2] all) {
  n = Constant<value_int = 5>()
  last, all = Loop (n, , x) <body = b (int64 i, bool go_in, float[2] s) => (bool go_out, float[2] s_out, float[2] s_out2) {
    go_out = Identity(go_in)
    s_out = Add(s, x)
    s_out2 = Identity(s_out)
  }>
}""", [(floats(2),), (floats(2),)])

case("""while_it_is_small (float[1] x) => (float[1] y, float[M, 1] all) {
  limit = Constant<value_float = 100.0>()
  start = Less(x, limit)
  go = Squeeze(start)
  y, all = Loop (, go, x) <body = b (int64 i, bool go_in, float[1] s) => (bool go_out, float[1] t, float[1] u) {
    t = Add(s, s)
    less = Less(t, limit)
    go_out = Squeeze(less)
    u = Neg(t)
  }>
}""", [(np.array([v], np.float32),) for v in (1, 30, 3)])

case("""fibonacci (int64 n) => (int64 a, int64 b) {
  zero = Constant<value_int = 0>()
  one = Constant<value_int = 1>()
  a, b = Loop (n, , zero, one) <body = f (int64 i, bool go_in, int64 p, int64 q) => (bool go_out, int64 q2, int64 r) {
    go_out = Identity(go_in)
    r = Add(p, q)
    q2 = Identity(q)
  }>
}""", [(scalar(n),) for n in (10, 1, 0, 40)])

case("""growing (int64 n, float[K, 3] x) => (float[P, 3] y, float[3] s) {
  y = Loop (n, , x) <body = b (int64 i, bool go_in, float[A, 3] t) => (bool go_out, float[B, 3] u) {
    go_out = Identity(go_in)
    one = Constant<value_ints = [0]>()
    first = ReduceSum<keepdims = 1>(t, one)
    u = Concat<axis = 0>(t, first)
  }>
  axes = Constant<value_ints = [0]>()
  s = ReduceSum<keepdims = 0>(y, axes)
}""", [(scalar(n), floats(2, 3)) for n in (1, 4, 0, 4)])

case("""captured_weights (int64 n, float[1, 4, 6, 6] x) => (float[1, 4, 6, 6] y) {
  y = Loop (n, , x) <body = b (int64 i, bool go_in, float[1, 4, 6, 6] t) => (bool go_out, float[1, 4, 6, 6] u) {
    go_out = Identity(go_in)
    c = Conv<pads = [1, 1, 1, 1]>(t, w, bias)
    d = Relu(c)
    u = Add(d, x)
  }>
}""", [(scalar(n), floats(1, 4, 6, 6)) for n in (2, 3)], weights={"w": floats(4, 4, 3, 3) / 6, "bias": floats(4)})

case("""loops_within_loops (int64 n, float[2] x) => (float[2] y, float[M, 2] all) {
  y, all = Loop (n, , x) <body = outer (int64 i, bool go_in, float[2] s) => (bool go_out, float[2] t, float[2] scan) {
    go_out = Identity(go_in)
    t = Loop (i, , s) <body = inner (int64 j, bool k_in, float[2] a) => (bool k_out, float[2] b) {
      k_out = Identity(k_in)
      f = Cast<to = 1>(j)
      g = Cast<to = 1>(i)
      h = Mul(f, g)
      c = Add(a, h)
      b = Add(c, x)
    }>
    scan = Neg(t)
  }>
}""", [(scalar(n), floats(2)) for n in (4, 1, 0)])

case("""other_shapes_inside (int64 n, float[K] x) => (float[M] y, int64[T] counts) {
  zero = Constant<value_ints = [0]>()
  one = Constant<value_ints = [1]>()
  half = Constant<value_float = 0.25>()
  y, counts = Loop (n, , x) <body = b (int64 i, bool go_in, float[A] t) => (bool go_out, float[B] u, int64 c) {
    go_out = Identity(go_in)
    keep = Greater(t, half)
    u = Compress<axis = 0>(t, keep)
    c = Size(u)
  }>
}""", [(scalar(2), np.linspace(-1, 2, 13, dtype=np.float32)), (scalar(0), floats(4)),
       (scalar(3), np.linspace(-1, 2, 9, dtype=np.float32))])

case("""slices (int64 n, float[6, 2] x) => (float[1, 2] y, float[M, 1, 2] all) {
  start = Constant<value = float[1, 2] {0.0, 0.0}>()
  one = Constant<value_ints = [1]>()
  axes = Constant<value_ints = [0]>()
  y, all = Loop (n, , start) <body = b (int64 i, bool go_in, float[1, 2] t) => (bool go_out, float[1, 2] u, float[1, 2] part) {
    go_out = Identity(go_in)
    begin = Unsqueeze(i, axes)
    end = Add(begin, one)
    part = Slice(x, begin, end, axes)
    u = Add(t, part)
  }>
}""", [(scalar(n), floats(6, 2)) for n in (6, 2, 6)])

case("""half_precision (bool d, int64 n, float16[1, 2, 4, 4] x) => (float16[1, 2, 4, 4] y, float16[1, 2, 4, 4] z) {
  c = Constant<value = bool {1}>()
  a = If (c) <then_branch = t () => (float16[1, 2, 4, 4] r) { r = Conv<pads = [1, 1, 1, 1]>(x, w) },
              else_branch = e () => (float16[1, 2, 4, 4] r) { r = Neg(x) }>
  y = Loop (n, , a) <body = b (int64 i, bool go_in, float16[1, 2, 4, 4] s) => (bool go_out, float16[1, 2, 4, 4] o) {
    go_out = Identity(go_in)
    p = Conv<pads = [1, 1, 1, 1]>(s, w)
    o = Add(p, x)
  }>
  z = If (d) <then_branch = u () => (float16[1, 2, 4, 4] r) { r = Conv<pads = [1, 1, 1, 1]>(y, w) },
              else_branch = f () => (float16[1, 2, 4, 4] r) { r = Neg(y) }>
}""", [(d, scalar(2), floats(1, 2, 4, 4).astype(np.float16)) for d in (TRUE, FALSE)],
     weights={"w": (floats(2, 2, 3, 3) / 9).astype(np.float16)})

# ---- Scan ----

case("""scans (float[3] h, float[T, 3] x) => (float[3] last, float[T, 3] all) {
  last, all = Scan <num_scan_inputs = 1, body = b (float[3] s, float[3] v) => (float[3] t, float[3] u) {
    a = Add(s, v)
    t = Tanh(a)
    u = Mul(t, v)
  }>(h, x)
}""", [(floats(3), floats(4, 3)), (floats(3), floats(1, 3)), (floats(3), floats(6, 3))])

case("""scans_along_other_axes (float[3] h, float[3, T] x, float[T, 3] z) => (float[3] last, float[3, T] p, float[T, 3] q) {
  last, p, q = Scan <num_scan_inputs = 2, scan_input_axes = [1, 0], scan_input_directions = [1, 0],
                     scan_output_axes = [-1, 0], scan_output_directions = [0, 1],
                     body = b (float[3] s, float[3] v, float[3] w) => (float[3] t, float[3] u, float[3] r) {
    a = Add(s, v)
    t = Tanh(a)
    u = Mul(t, w)
    r = Sub(t, w)
  }>(h, x, z)
}""", [(floats(3), floats(3, 5), floats(5, 3)), (floats(3), floats(3, 2), floats(2, 3))])

# ---- Sizes that a run finds ----

case("""indices (float[A, B] x) => (int64[2, K] i, float[2, K] f, int64[P, 2] t) {
  r = Relu(x)
  i = NonZero(r)
  f = Cast<to = 1>(i)
  t = Transpose<perm = [1, 0]>(i)
}""", [(floats(3, 4),), (np.zeros((2, 2), np.float32),), (floats(5, 1),)])

case("""gathered (float[A, B] x) => (float[K] y, float[S] s) {
  zero = Constant<value_float = 0.0>()
  c = Greater(x, zero)
  i = NonZero(c)
  m = Constant<value_ints = [-1]>()
  flat = Reshape(x, m)
  mask = Reshape(c, m)
  y = Compress(flat, mask)
  e = Exp(y)
  shape = Shape(e)
  two = Constant<value_int = 2>()
  d = Mul(shape, two)
  filled = ConstantOfShape(d)
  s = Concat<axis = 0>(filled, e)
}""", [(floats(3, 4),), (floats(3, 4),), (floats(8, 2),)])

case("""uniques (int64[N] x) => (int64[A] y, int64[B] first, int64[N] inverse, int64[C] counts, int64[D] u) {
  y, first, inverse, counts = Unique(x)
  u = Unique<sorted = 0>(x)
}""", [(ints(3, 1, 2, 3, 3, 1),), (ints(5, 5),), (ints(9, 8, 7, 8),)])

case("""unique_rows (float[N, 2] x) => (float[A, 2] y, int64[B] first, int64[N] inverse, int64[C] counts) {
  y, first, inverse, counts = Unique<axis = 0>(x)
}""", [(np.array([[1, 2], [0, 5], [1, 2], [0, 4]], np.float32),), (np.array([[3, 3]], np.float32),)])

BOXES = np.sort(random.uniform(0, 40, (2, 60, 2, 2)), axis=2).reshape(2, 60, 4).astype(np.float32)
SCORES = random.uniform(0, 1, (2, 3, 60)).astype(np.float32)
case("""suppressed (float[B, N, 4] boxes, float[B, C, N] scores, int64 most) => (int64[K, 3] chosen, float[K, 4] y) {
  overlap = Constant<value_float = 0.3>()
  least = Constant<value_float = 0.4>()
  chosen = NonMaxSuppression(boxes, scores, most, overlap, least)
  columns = Constant<value_ints = [2]>()
  one = Constant<value_ints = [1]>()
  end = Constant<value_ints = [3]>()
  picked = Slice(chosen, columns, end, one)
  flat = Squeeze(picked, one)
  first = Constant<value_int = 0>()
  image = Gather(boxes, first)
  y = Gather(image, flat)
}""", [(BOXES, SCORES, scalar(5)), (BOXES[:1, :10], SCORES[:1, :2, :10], scalar(100)), (BOXES, SCORES, scalar(0)),
       (BOXES, SCORES - 0.3, scalar(2))])

case("""centered (float[1, N, 4] boxes, float[1, 2, N] scores) => (int64[K, 3] y) {
  most = Constant<value_ints = [7]>()
  overlap = Constant<value_floats = [0.2]>()
  y = NonMaxSuppression<center_point_box = 1>(boxes, scores, most, overlap)
}""", [(np.abs(BOXES[:1]), SCORES[:1, :2])])

# ---- Operands that decide on a shape, computed from data ----

case("""computed_operands (float[4, 6] x, int64[2] s, int64[1] k) => (float[A, B] r, float[C, 6] p, float[D, E] t, float[F, 6] q,
                                                                   int64[G] range, float[H, 4, 6] e, float[I, 6] c) {
  d = Constant<value_ints = [2, 1]>()
  half = Mul(s, d)
  r = Reshape(x, half)
  zero = Constant<value_ints = [0]>()
  p = Slice(x, zero, k, zero)
  t = Tile(x, s)
  z = Constant<value_ints = [0, 0, 0]>()
  pads = Concat<axis = 0>(k, z)
  q = Pad(x, pads)
  n = Squeeze(k)
  start = Constant<value_int = 0>()
  step = Constant<value_int = 1>()
  range = Range(start, n, step)
  tail = Constant<value_ints = [4, 6]>()
  shape = Concat<axis = 0>(k, tail)
  e = Expand(x, shape)
  six = Constant<value_ints = [6]>()
  cs = Concat<axis = 0>(k, six)
  c = ConstantOfShape(cs)
}""", [(floats(4, 6), ints(2, 6), ints(3)), (floats(4, 6), ints(4, 3), ints(1)), (floats(4, 6), ints(2, 6), ints(3))])

case("""convolved_after_resizing (float[1, 3, 8, 8] x, int64[4] size) => (float[1, 5, H, W] y, float[1, 5, 1, 1] z) {
  n = Identity(size)
  r = Resize<mode = "linear">(x, , , n)
  a = Conv<pads = [1, 1, 1, 1]>(r, w)
  b = Relu(a)
  y = Conv<pads = [1, 1, 1, 1]>(b, v)
  z = GlobalAveragePool(y)
}""", [(floats(1, 3, 8, 8), ints(1, 3, h, h)) for h in (8, 12, 5, 12)],
     weights={"w": floats(5, 3, 3, 3), "v": floats(5, 5, 3, 3)})

case("""folded_shapes (float[A, B, C] x) => (float[D, E] y) {
  shape = Shape(x)
  i = Constant<value_ints = [0]>()
  first = Gather(shape, i)
  m = Constant<value_ints = [-1]>()
  wanted = Concat<axis = 0>(first, m)
  y = Reshape(x, wanted)
}""", [(floats(2, 3, 4),), (floats(5, 1, 2),)])

# A detector in small: a convolution, anchors, suppression, and a head that pools what is left.
case("""detector (float[1, 3, 16, 16] image) => (int64[K, 3] chosen, float[K, 4] found, float[L] best, float[M, 8] features) {
  f = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(image, w1)
  g = Relu(f)
  raw = Conv(g, w2)
  flat_shape = Constant<value_ints = [1, 6, -1]>()
  flat = Reshape(raw, flat_shape)
  sizes = Constant<value_ints = [4, 2]>()
  box, score = Split<axis = 1>(flat, sizes)
  boxes = Transpose<perm = [0, 2, 1]>(box)
  scores = Sigmoid(score)
  most = Constant<value_ints = [10]>()
  overlap = Constant<value_floats = [0.5]>()
  least = Constant<value_floats = [0.55]>()
  chosen = NonMaxSuppression(boxes, scores, most, overlap, least)
  two = Constant<value_int = 2>()
  which = Gather<axis = 1>(chosen, two)
  zero = Constant<value_int = 0>()
  image_boxes = Gather(boxes, zero)
  found = Gather(image_boxes, which)
  image_scores = Gather(scores, zero)
  top = ReduceMax<axes = [0], keepdims = 0>(image_scores)
  best = Gather(top, which)
  per_cell = Constant<value_ints = [1, 8, -1]>()
  cells = Reshape(g, per_cell)
  first_cells = Gather(cells, zero)
  by_cell = Transpose<perm = [1, 0]>(first_cells)
  features = Gather(by_cell, which)
}""", [(floats(1, 3, 16, 16),) for _ in range(4)], weights={"w1": floats(8, 3, 3, 3) / 5, "w2": floats(6, 8, 1, 1) / 3})


# ---- Comparing ----

def agree(ours, theirs):
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return f"{ours.dtype} {ours.shape}, not {theirs.dtype} {theirs.shape}"
    relative, absolute = (1e-2, 1e-2) if ours.dtype == np.float16 else (1e-4, 1e-5)
    close = np.allclose(ours, theirs, relative, absolute) if ours.dtype.kind == "f" else np.array_equal(ours, theirs)
    return None if close else f"{ours.ravel()[:6]}, not {theirs.ravel()[:6]}"


def reference(model, runs):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    return [session.run(None, dict(zip(names, inputs))) for inputs in runs]


def shapes(inputs):
    return [x.shape for x in inputs]


def compare(what, model, runs, wanted):
    problems, session, last = 0, None, None
    for i, (inputs, expected) in enumerate(zip(runs, wanted)):
        try:
            if session is None:
                session = Session(model, list(inputs))
            elif shapes(inputs) != last:
                session.resize(list(inputs))
            last = shapes(inputs)
            results = session.run(list(inputs))
        except Failure as failure:
            print(f"FAIL {what}, run {i}: {failure}")
            return problems + 1
        for k, (ours, theirs) in enumerate(zip(results, expected)):
            difference = agree(ours, theirs)
            if difference:
                problems += 1
                print(f"FAIL {what}, run {i}, output {k}: {difference}")
    return problems


def saved(model, path, optimized):
    """What the library writes of a model."""
    graph = library.tinyslim.Graph(model.SerializeToString())
    if optimized:
        graph.optimize()
    graph.save(path)
    with open(path, "rb") as file:
        return file.read()


def check_case(model, runs, folder):
    name = model.graph.name
    wanted = reference(model, runs)
    problems = compare(name, model, runs, wanted)
    for ending, optimized in (("onnx", False), ("tslim", False), ("tslim", True), ("onnx", True)):
        what = f"{name}, {'optimized ' if optimized else ''}.{ending}"
        try:
            written = saved(model, os.path.join(folder, f"model.{ending}"), optimized)
            problems += compare(what, written, runs, wanted)
            if ending == "onnx":
                for mine, theirs in zip(reference(onnx.load_from_string(written), runs), wanted):
                    if any(agree(*pair) for pair in zip(mine, theirs)):
                        problems += 1
                        print(f"FAIL {what}: ONNX Runtime has other results")
        except Exception as failure:
            problems += 1
            print(f"FAIL {what}: {failure}")
    return problems


def main():
    onnxruntime.set_default_logger_severity(3)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for model, runs in CASES:
            failed += check_case(model, runs, folder) > 0
    print(f"{len(CASES) - failed} of {len(CASES)} models agree with ONNX Runtime")
    return failed > 0


sys.exit(main())
