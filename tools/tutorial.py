"""Files to try the tutorials and notebooks with: ``python -m tools.tutorial slides`` writes ``try/``; so do ``scenes`` and ``inspection``.

The networks stand in for trained ones: each says of a patch which of some colours it is most of. They are small, padded as most networks are, and ONNX.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

ROOT = Path(__file__).parents[1]
FOLDER = "try"
Pixels = npt.NDArray[np.uint8]
Rgb = tuple[float, float, float]
_CELL = 8  # px from one answer to the next
_SHARP = 60.0  # how far a pixel goes by the nearest colour alone
_SURE = 14.0  # how far a patch goes by the colour of most pixels

_CARD = """\
network = "glands.onnx"
preprocess = "unit"
pixel_size = 0.5
threshold = 0.8
source = "by hand, from the colours of one section"

[[classes]]
name = "gland"

[[classes]]
name = "stroma"

[[classes]]
name = "glass"
background = true
"""


def network(path: Path, classes: Mapping[str, Rgb], crop: int, most: Mapping[str, float] | None = None) -> None:
    """A classifier of patches by their colours, and its labels beside it.

    Args:
        classes: name and colour, red, green and blue on 0..1.
        crop: pixels a side.
        most: how many times a class's share of the pixels counts.
    """
    colours = np.array(list(classes.values()), np.float32)
    blur = np.zeros((3, 3, 3, 3), np.float32)
    blur[range(3), range(3)] = 1 / 9
    gains = _SURE * np.array([(most or {}).get(name, 1.0) for name in classes], np.float32)
    side = crop // _CELL
    weigh = np.zeros((len(classes), len(classes), side, side), np.float32)
    weigh[range(len(classes)), range(len(classes))] = (gains / side**2)[:, None, None]
    arrays = {
        "blur": blur,
        "near": 2 * _SHARP * colours[:, :, None, None],
        "far": -_SHARP * (colours**2).sum(axis=1),
        "weigh": weigh.reshape(len(classes), -1),
    }
    nodes = [
        helper.make_node("Conv", ["image", "blur"], ["soft"], "blur", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["soft", "near", "far"], ["colours"], "colours"),
        helper.make_node("Softmax", ["colours"], ["nearest"], "nearest", axis=1),
        helper.make_node(
            "AveragePool", ["nearest"], ["shares"], "shares", kernel_shape=[_CELL] * 2, strides=[_CELL] * 2
        ),
        helper.make_node("Flatten", ["shares"], ["flat"], "flat"),
        helper.make_node("Gemm", ["flat", "weigh"], ["logits"], "fc", transB=1),
        helper.make_node("Softmax", ["logits"], ["prob"], "softmax", axis=1),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, crop, crop])
    scores = helper.make_tensor_value_info("prob", TensorProto.FLOAT, [1, len(classes)])
    graph = helper.make_graph(
        nodes, path.stem, [image], [scores], [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    path.with_suffix(".txt").write_text("\n".join(classes) + "\n", encoding="utf-8")


def slides(folder: Path) -> None:
    """Two stained sections with glass around them, half a micrometre a pixel."""
    import tifffile

    glands = np.asarray(Image.open(ROOT / "docs" / "images" / "glands.jpg"))
    (folder / "slides").mkdir(exist_ok=True)
    for name, tissue in {"case-1": np.concatenate([glands, glands[:, ::-1]], 1), "case-2": glands[::-1]}.items():
        height, width, _ = tissue.shape
        whole = np.full((height + 300, width + 300, 3), 244, np.uint8)
        whole[150 : 150 + height, 150 : 150 + width] = tissue
        about = {"resolution": (20_000, 20_000), "resolutionunit": 3}  # pixels a centimetre
        path = folder / "slides" / f"{name}.tif"
        tifffile.imwrite(path, whole, tile=(256, 256), photometric="rgb", compression="deflate", **about)
    colours = {"gland": (0.56, 0.44, 0.33), "stroma": (0.76, 0.75, 0.77), "glass": (0.95, 0.95, 0.94)}
    network(folder / "glands.onnx", colours, 64, {"stroma": 1.3})
    (folder / "glands.toml").write_text(_CARD, encoding="utf-8")


def scenes(folder: Path) -> None:
    """Water, forest and fields as they could lie, ten metres a pixel."""
    import rasterio
    from rasterio.transform import from_origin

    colours = {"water": (0.10, 0.22, 0.33), "forest": (0.16, 0.30, 0.12), "field": (0.62, 0.56, 0.34)}
    size = (600, 800)
    kinds = np.digitize(_hills(size, 60, 3), (-0.25, 0.45))
    noise = np.random.default_rng(0).normal(0, 0.03, (*size, 1))
    land = np.array(list(colours.values()))[kinds] * (1 + 0.1 * _hills(size, 12, 5)[:, :, None]) + noise
    land[:40, :200] = 0  # where the satellite saw nothing
    bands = _bytes(land).transpose(2, 0, 1)
    about = {"crs": "EPSG:32631", "transform": from_origin(500_000, 4_600_000, 10, 10), "nodata": 0, "tiled": True}
    with rasterio.open(
        folder / "scene.tif", "w", driver="GTiff", height=size[0], width=size[1], count=3, dtype="uint8",
        blockxsize=256, blockysize=256, compress="deflate", photometric="rgb", **about,
    ) as file:  # fmt: skip
        file.write(bands)
    network(folder / "land.onnx", colours, 32)


def inspection(folder: Path) -> None:
    """Photographs of brushed metal plates; two of the three have scratches."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:480, :640]
    (folder / "plates").mkdir(exist_ok=True)
    for name, marks in {"plate-1": 0, "plate-2": 1, "plate-3": 2}.items():
        plate = 0.62 + 0.03 * rng.normal(size=(480, 1)) + 0.02 * rng.normal(size=(480, 640))
        for _ in range(marks):
            (row, col), turn = rng.uniform(120, 360, 2), rng.uniform(0.4, 1.2)
            along, across = (
                (x - col) * np.cos(turn) + (y - row) * np.sin(turn),
                (y - row) * np.cos(turn) - (x - col) * np.sin(turn),
            )
            plate[(abs(across) < 3) & (abs(along) < 70)] = 0.2
        Image.fromarray(_bytes(plate[:, :, None] * (1.0, 1.0, 1.03))).save(folder / "plates" / f"{name}.png")
    network(folder / "scratch.onnx", {"good": (0.62, 0.62, 0.64), "scratch": (0.2, 0.2, 0.2)}, 32, {"scratch": 9.0})


def _hills(size: tuple[int, int], step: int, seed: int) -> npt.NDArray[np.float64]:
    """Smooth heights around 0."""
    small = np.random.default_rng(seed).normal(size=(size[0] // step + 2, size[1] // step + 2)).astype(np.float32)
    whole = Image.fromarray(small).resize((small.shape[1] * step, small.shape[0] * step), Image.Resampling.BICUBIC)
    return np.asarray(whole, np.float64)[: size[0], : size[1]]


def _bytes(values: npt.NDArray[np.float64]) -> Pixels:
    return (np.clip(values, 0, 1) * 255).astype(np.uint8)


KINDS = {"slides": slides, "scenes": scenes, "inspection": inspection}


def main(kinds: list[str]) -> None:
    folder = Path(FOLDER)
    for kind in kinds:
        if kind not in KINDS:
            raise SystemExit(f"{kind!r}: {', '.join(KINDS)} are there")
        folder.mkdir(exist_ok=True)
        KINDS[kind](folder)
    print(f"{folder}/: {', '.join(sorted(path.name for path in folder.iterdir()))}")


if __name__ == "__main__":
    main(sys.argv[1:] or list(KINDS))
