"""Small ONNX networks as text, one a structure, and ONNX Runtime's answers for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

HEAD = '<ir_version: 8, opset_import: ["" : {opset}]>\nnet ({inputs}) => ({outputs}) {{\n{body}\n}}'


def weights(**shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Random numbers of sane size under these names, the same for the same shapes whatever ran before."""
    rng, made = np.random.default_rng(list(repr(shapes).encode())), {}
    for name, shape in shapes.items():
        fan = max(1, int(np.prod(shape[1:]))) if len(shape) > 1 else 4
        made[name] = (rng.standard_normal(shape) / np.sqrt(fan)).astype(np.float32)
        if name.startswith("var"):
            made[name] = np.abs(made[name]) + 0.5
    return made


def write(
    path: Path,
    body: str,
    numbers: Mapping[str, np.ndarray],
    inputs: str = "float[1,3,16,16] x",
    outputs: str = "float[1,5] y",
    opset: int = 17,
) -> Path:
    model = onnx.parser.parse_model(HEAD.format(opset=opset, inputs=inputs, outputs=outputs, body=body))
    model.graph.initializer.extend(onnx.numpy_helper.from_array(v, k) for k, v in numbers.items())
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


TRUNK = "c = Conv <kernel_shape=[3,3]> (x, w1, b1)\nr = Relu(c)\np = MaxPool <kernel_shape=[2,2], strides=[2,2]> (r)\n"  # 16 -> 14 -> 7
TRUNK_WEIGHTS = {"w1": (4, 3, 3, 3), "b1": (4,)}
INT = np.int64


def ints(**values: list[int]) -> dict[str, np.ndarray]:
    return {name: np.array(v, INT) for name, v in values.items()}


EXACT = {
    "gemm of a flatten": (TRUNK + "f = Flatten(p)\ny = Gemm <transB=1> (f, w, b)", weights(**TRUNK_WEIGHTS, w=(5, 196), b=(5,)), 17),
    "gemm with factors": (TRUNK + "f = Flatten(p)\ny = Gemm <alpha=0.5, beta=2.0> (f, w, b)", weights(**TRUNK_WEIGHTS, w=(196, 5), b=(1, 5)), 17),
    "matmul and add": (
        TRUNK + "f = Reshape(p, s)\nm = MatMul(f, w)\na = Add(m, b)\nh = Tanh(a)\nm2 = MatMul(h, w2)\ny = Add(b2, m2)",
        weights(**TRUNK_WEIGHTS, w=(196, 7), b=(7,), w2=(7, 5), b2=(5,)) | ints(s=[0, -1]), 17,
    ),
    "batch norm between dense layers": (
        TRUNK + "f = Flatten(p)\ng = Gemm(f, w, b)\nn = BatchNormalization(g, s, o, mean, var)\ny = Gemm(n, w2, b2)",
        weights(**TRUNK_WEIGHTS, w=(196, 6), b=(6,), s=(6,), o=(6,), mean=(6,), var=(6,), w2=(6, 5), b2=(5,)), 13,
    ),
    "softmax from the end": (TRUNK + "f = Flatten(p)\ng = Gemm(f, w, b)\ny = Softmax <axis=-1> (g)", weights(**TRUNK_WEIGHTS, w=(196, 5), b=(5,)), 13),
    "softmax of old operator sets": (TRUNK + "f = Flatten(p)\ng = Gemm(f, w, b)\ny = Softmax(g)", weights(**TRUNK_WEIGHTS, w=(196, 5), b=(5,)), 9),
    "layer norm of a vector": (
        TRUNK + "m = GlobalAveragePool(p)\nf = Flatten(m)\nl = LayerNormalization <axis=-1> (f, s, o)\ny = Gemm(l, w, b)",
        weights(**TRUNK_WEIGHTS, s=(4,), o=(4,), w=(4, 5), b=(5,)), 17,
    ),
    "mean over axes": (
        TRUNK + "m = ReduceMean <axes=[2,3], keepdims=0> (p)\ny = Gemm(m, w, b)", weights(**TRUNK_WEIGHTS, w=(4, 5), b=(5,)), 13,
    ),
    "mean and max joined": (
        TRUNK + "m = GlobalAveragePool(p)\nn = GlobalMaxPool(p)\nj = Concat <axis=1> (m, n)\nf = Flatten(j)\ny = Gemm(f, w, b)",
        weights(**TRUNK_WEIGHTS, w=(8, 5), b=(5,)), 13,
    ),
    "flatten of (w h c)": (
        TRUNK + "t = Transpose <perm=[0,3,2,1]> (p)\nf = Flatten(t)\ny = Gemm(f, w, b)", weights(**TRUNK_WEIGHTS, w=(196, 5), b=(5,)), 13,
    ),
    "flatten with a computed shape": (
        TRUNK + "z = Shape(p)\nn = Gather <axis=0> (z, i)\nu = Unsqueeze <axes=[0]> (n)\ns = Concat <axis=0> (u, m1)\nf = Reshape(p, s)\ny = Gemm(f, w, b)",
        weights(**TRUNK_WEIGHTS, w=(196, 5), b=(5,)) | {"i": np.array(0, INT)} | ints(m1=[-1]), 11,
    ),
    "channel shuffle": (
        TRUNK + "a = Reshape(p, s1)\nt = Transpose <perm=[0,2,1,3,4]> (a)\nz = Reshape(t, s2)\nf = Flatten(z)\ny = Gemm(f, w, b)",
        weights(**TRUNK_WEIGHTS, w=(196, 5), b=(5,)) | ints(s1=[1, 2, 2, 7, 7], s2=[1, 4, 7, 7]), 13,
    ),
    "strided slice and padded channels": (
        TRUNK + "k = Slice(p, z2, e2, a2, t2)\nd = Pad(k, pads)\nf = Flatten(d)\ny = Gemm(f, w, b)",
        weights(**TRUNK_WEIGHTS, w=(96, 5), b=(5,)) | ints(z2=[0, 0], e2=[2**31 - 1] * 2, a2=[2, 3], t2=[2, 2], pads=[0, 1, 0, 0, 0, 1, 0, 0]), 13,
    ),
    "a constant a channel": (
        TRUNK + "a = Mul(p, k)\nf = Flatten(a)\ng = Gemm(f, w, b)\nq = PRelu(g, k2)\ny = Div(q, temperature)",
        weights(**TRUNK_WEIGHTS, k=(4, 1, 1), w=(196, 5), b=(5,), k2=(5,)) | {"temperature": np.array(2.5, np.float32)}, 13,
    ),
    "channels last inside": (
        TRUNK + "t = Transpose <perm=[0,2,3,1]> (p)\nl = LayerNormalization <axis=-1> (t, s, o)\nm = MatMul(l, w2)\ng = Add(m, b2)\nf = Flatten(g)\ny = Gemm(f, w, b)",
        weights(**TRUNK_WEIGHTS, s=(4,), o=(4,), w2=(4, 3), b2=(3,), w=(147, 5), b=(5,)), 17,
    ),
}  # fmt: skip


def original(path: Path, image: np.ndarray, optimised: bool = True) -> list[np.ndarray]:
    """ONNX Runtime's answers; ``optimised`` off, every operator is computed as it is defined."""
    options = ort.SessionOptions()
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: image})
