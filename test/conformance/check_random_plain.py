#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Operators that pick, place, order and combine elements, and ONNX Runtime's fused ones, with random shapes, axes and
types against ONNX Runtime: the cases of check_random_operators.py for another list of operators.
    check_random_plain.py [seed [rounds [name of a function]]]"""
import sys

import numpy as np

import check_random_operators as base
from check_random_operators import Case, chance, number, pick

MICROSOFT = "com.microsoft"
REALS = (np.float32, np.float64)
WHOLES = (np.int32, np.int64)


def shape(low=1, high=4):
    return [number(1, 5) for _ in range(number(low, high))]


def data(dims, dtype=None, types=REALS + WHOLES):
    dtype = dtype or pick(*types)
    if np.dtype(dtype).kind == "b":
        return base.random.random(dims) < 0.5
    if np.dtype(dtype).kind in "iu":
        low = 0 if np.dtype(dtype).kind == "u" else -9
        return base.random.integers(low, 10, dims).astype(dtype)
    return (base.random.standard_normal(dims) * 2).astype(dtype)


def axis_of(dims):
    axis = number(0, len(dims) - 1)
    return axis, axis - len(dims) if chance(0.5) else axis


def indices_within(dims, size):
    return base.random.integers(-size, size, dims).astype(pick(*WHOLES))


# ---- By index ----

def gather_elements():
    dims = shape()
    axis, written = axis_of(dims)
    picked = [number(1, 7) if i == axis else number(1, d) for i, d in enumerate(dims)]
    return Case("GatherElements", [("x", data(dims)), ("i", indices_within(picked, dims[axis]))], axis=written)


def gather_nd():
    dims = shape()
    batch = number(0, len(dims) - 1)
    length = number(1, len(dims) - batch)
    places = [number(1, 4) for _ in range(number(0, 2))]
    columns = [base.random.integers(-d, d, dims[:batch] + places) for d in dims[batch:batch + length]]
    return Case("GatherND", [("x", data(dims)), ("i", np.stack(columns, -1).astype(np.int64))], batch_dims=batch)


def scatter_elements():
    dims = shape()
    axis, written = axis_of(dims)
    reduction = pick(None, "add", "mul", "max", "min")
    x = data(dims)
    if reduction is None:  # which of several updates wins is not defined
        order = np.argsort(base.random.random(dims), axis)
        updated = order.take(range(number(1, dims[axis])), axis).astype(np.int64)
    else:
        updated = indices_within([number(1, 7) if i == axis else number(1, d) for i, d in enumerate(dims)], dims[axis])
    return Case("ScatterElements", [("x", x), ("i", updated), ("u", data(updated.shape, x.dtype))], axis=written,
                reduction=reduction, opset=18)


def scatter_nd():
    dims = shape()
    length = number(1, len(dims))
    reduction = pick(None, "add", "mul", "max", "min")
    cells = int(np.prod(dims[:length]))
    picked = base.random.permutation(cells)[:number(1, cells)] if reduction is None else \
        base.random.integers(0, cells, number(1, 7))
    places = np.stack(np.unravel_index(picked, dims[:length]), -1).astype(np.int64)
    x = data(dims)
    return Case("ScatterND", [("x", x), ("i", places), ("u", data([len(picked)] + dims[length:], x.dtype))],
                reduction=reduction, opset=18)


def top_k():
    dims = shape()
    axis, written = axis_of(dims)
    k = np.array([number(0, dims[axis])], np.int64)
    return Case("TopK", [("x", data(dims)), ("k", k)], n_outputs=2, axis=written, largest=number(0, 1),
                constant=["k"] if chance(0.7) else [])


def one_hot():
    dims, depth = shape(0, 3), number(1, 6)
    kind = pick(np.int64, np.float32, np.int32)
    return Case("OneHot", [("i", base.random.integers(-depth - 2, depth + 2, dims).astype(kind)),
                           ("d", np.array([depth], np.int64)), ("v", data([2], types=(np.float32, np.int64)))],
                axis=number(-len(dims) - 1, len(dims)), constant=["d"] if chance(0.7) else [])


def cum_sum():
    dims = shape()
    written = axis_of(dims)[1]
    return Case("CumSum", [("x", data(dims)), ("a", np.array(written, pick(*WHOLES)))], exclusive=number(0, 1),
                reverse=number(0, 1))


def reverse_sequence():
    dims, batch = shape(2, 4), number(0, 1)
    lengths = base.random.integers(1, dims[1 - batch] + 1, dims[batch]).astype(np.int64)
    return Case("ReverseSequence", [("x", data(dims)), ("l", lengths)], batch_axis=batch, time_axis=1 - batch)


def trilu():
    dims = shape(2, 4)
    k = np.array(number(-6, 6), np.int64) if chance(0.7) else None
    return Case("Trilu", [("x", data(dims, types=(np.float32, np.int64))), ("k", k)], upper=number(0, 1))


def eye_like():
    return Case("EyeLike", [("x", data(shape(2, 2), types=(np.float32, np.int32)))], k=number(-5, 5),
                dtype=pick(None, 1, 7, 11))


# ---- Products and losses ----

EQUATIONS = ["ij,jk->ik", "bij,bjk->bik", "bhid,bhjd->bhij", "bhij,bhjd->bihd", "...ij,...jk->...ik", "ij,kj", "i,j->ij",
             "ij->ji", "ii->i", "ij->", "bij,bj->bi", "ijk,lk->ijl", "ij,ij->i", "abc,cbd->da", "ij,jk,kl->il", "...ii->...i",
             "bij,bjk,bk->bi", "ab,cd->abcd", "ij,i->j"]


def einsum():
    equation = pick(*EQUATIONS)
    sizes, dots = {c: number(1, 6) for c in "abcdhijkl"}, shape(0, 2)
    kind = pick(np.float32, np.float32, np.float64, np.int64)
    terms = equation.split("->")[0].split(",")
    operands = [(f"x{n}", data((dots if "..." in term else []) + [sizes[c] for c in term if c.isalpha()], kind))
                for n, term in enumerate(terms)]
    return Case("Einsum", operands, equation=equation, constant=["x1"] if len(terms) > 1 and chance(0.4) else [])


def det():
    n = number(1, 5)
    return Case("Det", [("x", data(shape(0, 2) + [n, n], np.float32))], tolerance=1e-4)


def loss():
    dims = [number(1, 4), number(1, 5)] + shape(0, 2)
    softmax, kind = chance(0.5), np.float32
    targets = base.random.integers(0, dims[1], dims[:1] + dims[2:]).astype(pick(*WHOLES))
    weights = abs(data([dims[1]], kind)) + np.float32(0.1) if chance(0.5) else None
    return Case("SoftmaxCrossEntropyLoss" if softmax else "NegativeLogLikelihoodLoss",
                [("x", data(dims, kind)), ("t", targets), ("w", weights)], n_outputs=number(1, 2) if softmax else 1,
                reduction=pick("none", "sum", "mean"), ignore_index=pick(None, 0, -1))


# ---- Elements ----

def unary():
    op = pick("Tan", "Sinh", "Cosh", "Asin", "Acos", "Atan", "Asinh", "Acosh", "Atanh", "IsNaN", "IsInf", "Shrink", "Sign",
              "Round", "Ceil", "Floor", "Hardmax")
    x = data(shape(), np.float32)
    if op in ("Asin", "Acos", "Atanh"):
        x = np.tanh(x) * np.float32(0.9)
    if op == "Acosh":
        x = abs(x) + np.float32(1)
    if op in ("IsNaN", "IsInf") and chance(0.7):
        x.flat[0] = pick(np.nan, np.inf, -np.inf)
    more = {"lambd": 0.4, "bias": 0.2} if op == "Shrink" else {}
    return Case(op, [("x", x)], **more)


def clip():
    kind = pick(np.float32, np.float64, np.int8, np.uint8, np.int32, np.int64, np.uint64)
    low, high = sorted(data([2], kind))
    return Case("Clip", [("x", data(shape(0), kind)), ("l", np.array(low) if chance(0.7) else None),
                         ("h", np.array(high) if chance(0.7) else None)])


def of_two():
    op = pick("BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Mod", "Max", "Min", "Equal", "Greater", "LessOrEqual")
    kind = pick(np.uint8, np.uint32, np.uint64) if op == "BitShift" else pick(np.int32, np.int64, np.uint32, np.uint64)
    a = data(shape(0), kind)
    b = data([d if chance(0.7) else 1 for d in a.shape][number(0, a.ndim):], kind)
    if op == "Mod":
        b[b == 0] = 3
    more = {"direction": pick("LEFT", "RIGHT")} if op == "BitShift" else {}
    return Case(op, [("a", a), ("b", b)], opset=18, **more)


def reduce():
    op = pick("Mean", "Sum", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp")
    dims, kind = shape(0), pick(np.float32, np.float64, np.int32, np.int64, np.uint64)
    x = data(dims, kind)
    if op == "LogSum":
        x = abs(x) + 1
    if op == "LogSumExp" and kind not in REALS:  # ONNX Runtime rounds each step to the type, we the result
        kind, x = np.float32, x.astype(np.float32)
    if op == "Prod" and kind not in REALS:  # what does not fit is not defined
        x = x % 2 + 1
    axes = None
    if chance(0.7):
        axes = base.random.permutation(len(dims))[:number(0, len(dims))].astype(np.int64)
        axes = np.where(base.random.random(axes.shape) < 0.5, axes, axes - len(dims))
    return Case("Reduce" + op, [("x", x.astype(kind)), ("a", axes)], opset=18, keepdims=number(0, 1),
                noop_with_empty_axes=number(0, 1), constant=["a"], tolerance=1e-4)


def pad():
    dims = shape()
    axes = base.random.permutation(len(dims))[:number(1, len(dims))].astype(np.int64)
    mode = pick("constant", "edge", "reflect", "wrap")
    most = [max(dims[a] - 1, 0) for a in axes]
    pads = np.array([number(0, m) for m in most + most], np.int64)
    value = data([], np.float32) if mode == "constant" and chance(0.5) else None
    return Case("Pad", [("x", data(dims, np.float32)), ("p", pads), ("v", value), ("a", axes)], mode=mode, opset=19,
                constant=["p", "a"])


def split():
    dims = shape()
    axis, written = axis_of(dims)
    parts = number(1, 3)
    return Case("Split", [("x", data(dims))], n_outputs=parts, axis=written, num_outputs=parts, opset=18)


# ---- ONNX Runtime's own ----

def gelus():
    op = pick("Gelu", "FastGelu", "BiasGelu", "QuickGelu")
    dims = shape()
    bias = data(dims[-1:], np.float32) if op == "BiasGelu" or (op == "FastGelu" and chance(0.5)) else None
    return Case(op, [("x", data(dims, np.float32)), ("b", bias)], domain=MICROSOFT,
                opset=pick(13, 20), alpha=pick(None, 1.0, 1.5) if op == "QuickGelu" else None, tolerance=1e-4)


def fused_matmul():
    m, k, n, batch = number(1, 6), number(1, 6), number(1, 6), shape(0, 2)
    flip_a, flip_b = number(0, 1), number(0, 1)
    return Case("FusedMatMul", [("a", data(batch + ([k, m] if flip_a else [m, k]), np.float32)),
                                ("b", data(batch + ([n, k] if flip_b else [k, n]), np.float32))],
                domain=MICROSOFT, transA=flip_a, transB=flip_b, alpha=pick(None, 0.5),
                constant=["b"] if chance(0.5) else [])


def fused_conv():
    channels, filters, activation = number(1, 5), number(1, 5), pick("Relu", "Sigmoid", "Tanh", "LeakyRelu", "Clip", None)
    x, size = data([1, channels, 6, 6], np.float32), pick(1, 3)
    params = {"LeakyRelu": [0.2], "Clip": [-0.5, 0.7]}.get(activation)
    z = data([1, filters, 6, 6], np.float32) if activation == "Relu" and chance(0.5) else None
    bias = data([filters], np.float32) if z is not None or chance(0.5) else None
    return Case("FusedConv", [("x", x), ("w", data([filters, channels, size, size], np.float32)), ("b", bias), ("z", z)],
                domain=MICROSOFT, pads=[size // 2] * 4, activation=activation, activation_params=params, constant=["w", "b"])


def fused_gemm():
    m, k, n, activation = number(1, 6), number(1, 6), number(1, 6), pick("Relu", "Sigmoid", "Tanh", "LeakyRelu")
    return Case("FusedGemm", [("a", data([m, k], np.float32)), ("b", data([k, n], np.float32)),
                              ("c", data([n], np.float32) if chance(0.5) else None)], domain=MICROSOFT,
                activation=activation, activation_alpha=0.3 if activation == "LeakyRelu" else None, tolerance=1e-4)


def skip_normalization():
    dims = [number(1, 3), number(1, 4), number(2, 9)]
    last = dims[-1:]
    return Case("SkipLayerNormalization",
                [("x", data(dims, np.float32)), ("s", data(dims, np.float32)), ("g", data(last, np.float32)),
                 ("b", data(last, np.float32) if chance(0.7) else None),
                 ("o", data(last, np.float32) if chance(0.5) else None)], domain=MICROSOFT, epsilon=1e-5, opset=pick(13, 17),
                tolerance=1e-4)


def mask_of(batch, queries, keys):
    kind = number(0, 3)
    if kind == 0:
        return None
    if kind == 1:
        return base.random.integers(1, keys + 1, [batch]).astype(np.int32)
    mask = (base.random.random([batch, keys] if kind == 2 else [batch, queries, keys]) < 0.7).astype(np.int32)
    mask[..., 0] = 1
    return mask


def attention():
    batch, length, heads = number(1, 3), number(1, 6), number(1, 3)
    given, width, value_width = number(1, 9), heads * number(1, 4), heads * number(1, 4)
    sizes = [width, width, value_width] if chance(0.4) else None
    columns = sum(sizes) if sizes else 3 * width
    return Case("Attention", [("x", data([batch, length, given], np.float32)), ("w", data([given, columns], np.float32)),
                              ("b", data([columns], np.float32)), ("m", mask_of(batch, length, length))],
                domain=MICROSOFT, opset=pick(11, 13, 17), num_heads=heads, qkv_hidden_sizes=sizes, tolerance=1e-4,
                unidirectional=pick(None, 1), scale=pick(None, 0.3), constant=["w", "b"])


def multi_head_attention():
    batch, length, keys, heads = number(1, 3), number(1, 6), number(1, 6), number(1, 3)
    width, value_width = heads * number(1, 4), heads * number(1, 4)
    bias = data([2 * width + value_width], np.float32) if chance(0.5) else None
    mask = (base.random.random([batch, keys]) < 0.7).astype(np.int32) if chance(0.5) else None
    if mask is not None:
        mask[:, 0] = 1
    scores = data([pick(1, batch), pick(1, heads), length, keys], np.float32) if chance(0.4) else None
    return Case("MultiHeadAttention",
                [("q", data([batch, length, width], np.float32)), ("k", data([batch, keys, width], np.float32)),
                 ("v", data([batch, keys, value_width], np.float32)), ("b", bias), ("m", mask), ("s", scores)],
                domain=MICROSOFT, opset=pick(13, 17), num_heads=heads, tolerance=1e-4, scale=pick(None, 0.3))


def embeddings():
    batch, length, width = number(1, 3), number(1, 6), number(2, 9)

    def ids(limit):
        return base.random.integers(0, limit, [batch, length]).astype(np.int32)

    segments = chance(0.6)
    return Case("EmbedLayerNormalization",
                [("i", ids(7)), ("s", ids(2) if segments else None), ("w", data([7, width], np.float32)),
                 ("p", data([9, width], np.float32)), ("t", data([2, width], np.float32) if segments else None),
                 ("g", data([width], np.float32)), ("b", data([width], np.float32)), ("m", ids(2))],
                domain=MICROSOFT, opset=pick(11, 13, 17), epsilon=1e-5, tolerance=1e-4, n_outputs=2)


def simplified_normalization():
    dims = [number(1, 3), number(1, 4), number(2, 9)]
    skip = chance(0.5)
    operands = [("x", data(dims, np.float32))] + ([("s", data(dims, np.float32))] if skip else [])
    operands.append(("g", data(dims[-1:], np.float32)))
    if skip and chance(0.5):
        operands.append(("b", data(dims[-1:], np.float32)))
    return Case("SkipSimplifiedLayerNormalization" if skip else "SimplifiedLayerNormalization", operands,
                domain=MICROSOFT if skip else "", opset=pick(13, 17, 18), epsilon=1e-5, tolerance=1e-4)


MAKERS = [gather_elements, gather_nd, scatter_elements, scatter_nd, top_k, one_hot, cum_sum, reverse_sequence, trilu,
          eye_like, einsum, det, loss, unary, clip, of_two, reduce, pad, split, gelus, fused_matmul, fused_conv, fused_gemm,
          skip_normalization, attention, multi_head_attention, embeddings, simplified_normalization]

sys.exit(base.main(MAKERS))
