"""What cannot be cast still gets a map: every refused structure, crop by crop, against ONNX Runtime on each crop alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from fullconv.errors import BadInput, CannotCast
from fullconv.loading import load
from fullconv.maps.mapping import map_image
from tests import helpers as h
from tests.formats.onnx.nets import TRUNK, TRUNK_WEIGHTS, ints, weights, write

POSITIONS = "s = Softmax <axis=3> (p)\n"  # refused: it mixes positions of the map
GEMM = weights(w=(196, 5))

# body behind the trunk, its numbers, the output as the file declares it
REFUSED = {
    "a row of classes": (POSITIONS + "f = Flatten(s)\ny = Gemm(f, w)", GEMM, "float[n,5] y"),
    "no batch axis": (POSITIONS + "f = Flatten(s)\ng = Gemm(f, w)\ny = Reshape(g, all)", GEMM | ints(all=[-1]), "float[k] y"),
    "no batch axis for one crop": (POSITIONS + "f = Flatten(s)\ng = Gemm(f, w)\ny = Squeeze(g)", GEMM, "float[k] y"),
    "classes along the last axis": (
        POSITIONS + "f = Flatten(s)\ng = Gemm(f, w)\ny = Reshape(g, last)", GEMM | ints(last=[0, 1, 1, -1]), "float[n,1,1,5] y",
    ),
    "one crop only": (POSITIONS + "f = Reshape(s, one)\ny = Gemm(f, w)", GEMM | ints(one=[1, 196]), "float[n,5] y"),
    "crops of a batch mixed": (
        "m = ReduceMax <axes=[0]> (p)\na = Add(p, m)\nf = Flatten(a)\ny = Gemm(f, w)", GEMM, "float[n,5] y",
    ),
    "attention": (
        "a = Reshape(p, s)\nb = Transpose <perm=[0,2,1]> (a)\nm = MatMul(b, a)\nf = Flatten(m)\ny = Gemm(f, v)",
        weights(v=(2401, 5)) | ints(s=[0, 4, 49]), "float[n,5] y",
    ),
    "one place of the map": (
        "k = Slice(p, z, e, a)\nf = Flatten(k)\ny = Gemm(f, v)", weights(v=(112, 5)) | ints(z=[0], e=[4], a=[2]), "float[n,5] y",
    ),
    "a branch": (
        "a = Abs(p)\nm = ReduceMax <keepdims=0> (a)\nyes = Greater(m, low)\nq = If (yes) <then_branch = g1 () => (float[n,4,7,7] t) { t = Relu(p) }, else_branch = g2 () => (float[n,4,7,7] e) { e = Neg(p) }>\n"
        "f = Flatten(q)\ny = Gemm(f, w)", GEMM | {"low": np.float32(-1)}, "float[n,5] y",
    ),
}  # fmt: skip


def net(path: Path, body: str, numbers: dict[str, np.ndarray], output: str, batch: str = "n") -> Path:
    return write(
        path, TRUNK + body, weights(**TRUNK_WEIGHTS) | numbers, inputs=f"float[{batch},3,16,16] x", outputs=output
    )


@pytest.mark.parametrize("batch", ["n", "1"])
@pytest.mark.parametrize("structure", REFUSED)
def test_every_cell_is_its_crop_alone(tmp_path: Path, structure: str, batch: str) -> None:
    path = net(tmp_path / "net.onnx", *REFUSED[structure], batch)
    model = load(path)
    with pytest.raises(CannotCast, match="crops still give a map: --by crops"):
        map_image(model, np.zeros((16, 16, 3), np.uint8))
    image = np.random.default_rng(1).integers(0, 256, (25, 31, 3), np.uint8)
    notes: list[str] = []
    found = map_image(model, image, preprocess="unit", by="crops", stride=3, batch=5, notes=notes.append)
    if structure in ("no batch axis", "one crop only", "crops of a batch mixed") and batch == "n":
        assert any("crops run one at a time" in note for note in notes)
    assert found.scores.shape == (5, 4, 6)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    for row in range(4):
        for col in range(6):
            crop = image[3 * row : 3 * row + 16, 3 * col : 3 * col + 16].transpose(2, 0, 1)[None] / np.float32(255)
            (expected,) = session.run(None, {"x": crop.astype(np.float32)})
            few = 2e-6 * float(np.abs(expected).max())
            np.testing.assert_allclose(found.scores[:, row, col], expected.reshape(-1), rtol=0, atol=few)


def test_a_stated_batch_that_is_folded_into_the_classes_is_not_cut() -> None:
    text = (
        h.data(4, 1, 12, 12) + h.conv("c", "data", 3, 3, "stride: 2") + h.layer("spp", "SPP", "c", "spp", "spp_param { pyramid_height: 2 }")
        + h.fc("ip", "spp", 5) + h.layer("y", "Reshape", "ip", "y", "reshape_param { shape { dim: -1 } }")
    )  # fmt: skip
    model = h.model(text)
    image = np.random.default_rng(1).integers(0, 256, (16, 20), np.uint8)
    with pytest.raises(
        BadInput, match="'y' of \\(20,\\) has no axis of the batch, and the network takes batches of 4 only"
    ):
        map_image(model, image, preprocess="unit", by="crops", stride=4)
    with pytest.raises(BadInput, match="no axis of the batch"):
        model.run(np.zeros((2, 1, 12, 12), np.float32))


def test_a_network_without_an_image_is_promised_nothing(tmp_path: Path) -> None:
    path = tmp_path / "vector.onnx"
    text = '<ir_version: 8, opset_import: ["" : 17]> net (float[n,12] x) => (float[n,3] y) { y = Softmax(x) }'
    onnx.save(onnx.parser.parse_model(text), path)
    for by in ("cast", "crops"):
        with pytest.raises((BadInput, CannotCast), match="no image input") as told:
            map_image(load(path), np.zeros((16, 16, 3), np.uint8), by=by)
        assert "still give" not in str(told.value)


def test_a_network_that_needs_more_than_an_image_says_so(tmp_path: Path) -> None:
    body = TRUNK + "a = Add(p, z)\nf = Flatten(a)\ny = Gemm(f, w)"
    path = write(
        tmp_path / "two.onnx",
        body,
        weights(**TRUNK_WEIGHTS, w=(196, 5)),
        inputs="float[n,3,16,16] x, float[n,4,7,7] z",
        outputs="float[n,5] y",
    )
    for by in ("cast", "crops"):
        with pytest.raises((BadInput, CannotCast), match="more than an image: its inputs are x, z"):
            map_image(load(path), np.zeros((16, 16, 3), np.uint8), by=by)
