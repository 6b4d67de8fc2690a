"""Adapted networks over images of any size and at finer steps, on random padded networks, against plain arithmetic on the cast network's values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fullconv
from fullconv.formats.head import FittedHead
from fullconv.model import Model
from fullconv.surgery.head import Head, Level
from tests.formats.onnx.nets import write
from tests.heads import expected, fitted, weights


@dataclass(frozen=True)
class Layer:
    kernel: int
    stride: int
    pad: int
    kind: str


LAYERS = st.builds(
    lambda kernel, stride, pad, kind: Layer(kernel, stride, min(pad, kernel - 1), kind),
    st.sampled_from([1, 2, 3, 5]), st.sampled_from([1, 1, 2]), st.integers(0, 2), st.sampled_from(["Conv", "Conv", "MaxPool", "AveragePool"]),
)  # fmt: skip


def network(folder: Path, layers: list[Layer], size: int) -> Model:
    body, numbers, channels, value = "", {}, 3, "x"
    for i, each in enumerate(layers):
        window = f"kernel_shape=[{each.kernel},{each.kernel}], strides=[{each.stride},{each.stride}], pads=[{each.pad},{each.pad},{each.pad},{each.pad}]"
        if each.kind == "Conv":
            numbers |= {f"w{i}": (4, channels, each.kernel, each.kernel), f"b{i}": (4,)}
            body += f"c{i} = Conv <{window}> ({value}, w{i}, b{i})\nv{i} = Relu(c{i})\n"
            channels = 4
        else:
            body += f"v{i} = {each.kind} <{window}> ({value})\n"
        value = f"v{i}"
    body += f"g = GlobalAveragePool({value})\nf = Flatten(g)\ny = Gemm(f, w, b)"
    made = weights(**numbers, w=(channels, 3), b=(3,))
    return fullconv.load(write(folder / "net.onnx", body, made, f"float[1,3,{size},{size}] x", "float[1,3] y"))


def split(count: int, parts: int) -> tuple[int, ...]:
    """So many blocks in up to so many regions, the middle one the largest."""
    parts = min(parts, count)
    return (1,) * (parts // 2) + (count - parts + 1,) + (1,) * (parts - parts // 2 - 1)


def head_of(full: Model, layers: list[Layer], draw: st.DataObject) -> FittedHead | None:
    levels, step = [], int(full.sampling().stride[0])
    at = 1
    for i, each in enumerate(layers):
        at *= each.stride
        axes = full.graph.values[f"v{i}"]
        wide = step // at  # cells of the level from one cell of the map to the next
        block = draw.draw(st.sampled_from([b for b in range(1, wide + 1) if wide % b == 0]))
        count = axes.map_size[0] // block
        if (
            count
            and (count * block + 0 <= axes.map_size[0])
            and (axes.map_size[0] // block - count) // (wide // block) == 0
        ):
            regions = split(count, draw.draw(st.integers(1, 3))), split(count, draw.draw(st.integers(1, 3)))
            levels.append(Level(f"v{i}", axes.shape[1], (block, block), (wide // block, wide // block), *regions))
    return fitted(Head("y", "y", 3, tuple(levels[-2:]))) if levels else None


@settings(max_examples=5, deadline=None, derandomize=True)
@given(st.data())
def test_any_size_and_any_step(data: st.DataObject) -> None:
    layers = data.draw(st.lists(LAYERS, min_size=2, max_size=4))
    size = data.draw(st.integers(13, 18))
    extra = data.draw(st.integers(0, 9)), data.draw(st.integers(3, 12))
    with TemporaryDirectory() as folder:
        model = network(Path(folder), layers, size)
        full = model.cast()
        head = head_of(full, layers, data)
        if head is None:
            return
        made = model.adapted(head)
        (path,) = made.save(Path(folder) / "adapted.onnx")
        session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        image = np.random.default_rng(0).standard_normal((1, 3, size + extra[0], size + extra[1])).astype(np.float32)
        height, width = made.fitting(image.shape[2:], "y")
        cut = image[:, :, :height, :width]
        rows, cols = made.sampling().cells(image.shape[2:])
        cells = [(row, col) for row in range(rows) for col in range(cols)]
        want = expected(full, head, cut, cells)
        near = 1e-5 * float(np.abs(want).max())
        for answers in (made.run(cut)["y"], session.run(None, {"x": cut})[0]):
            assert np.array([answers[0, :, row, col] for row, col in cells]) == pytest.approx(want, abs=near)
        step = int(full.sampling().stride[0])
        if step == 1:
            return
        finer = made.refined(step // 2)
        (path,) = finer.save(Path(folder) / "finer.onnx")
        again = fullconv.load(path)
        assert [each.head for each in again.heads] == [head.head]
        assert finer.classifier is model
        if finer.fitting((height, width), "y") != (height, width):
            return
        answers = again.run(cut)["y"][:, :, ::2, ::2]
        assert np.array([answers[0, :, row, col] for row, col in cells]) == pytest.approx(want, abs=near)
