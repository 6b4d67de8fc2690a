"""Whatever needs a library that is not installed says which extra has it: one process in which all of them are hidden."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import tifffile

from tests import helpers as h

HIDDEN = """
import importlib.util, json, sys
hidden = set(json.loads(sys.argv[1])); lines = json.loads(sys.argv[2])
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hide())
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name.split(".")[0] in hidden else real(name, *rest)
from fullconv.cli.main import main
for line in lines:
    sys.argv = ["fullconv", *line]
    try:
        main()
    except SystemExit as end:
        print(f"ENDED {end.code}", file=sys.stderr)
"""
EXTRAS = (
    "rasterio", "tifffile", "imagecodecs", "openslide", "pyarrow", "pyogrio", "openvino", "shapely", "distributed", "dask", "obstore", "keras",
    "torch", "timm", "torchvision", "safetensors", "xarray", "starlette", "uvicorn",
)  # fmt: skip


def test_every_one_is_named(tmp_path: Path) -> None:
    net = h.model(h.LENET).save(tmp_path / "net.prototxt")
    model = [str(net[0]), "-w", str(net[1]), "--no-check", "-p", "unit"]
    rng = np.random.default_rng(0)
    tifffile.imwrite(
        tmp_path / "bands.tif",
        rng.integers(0, 9000, (4, 40, 40), np.uint16),
        photometric="minisblack",
        planarconfig="separate",
    )
    np.save(tmp_path / "x.npy", rng.integers(0, 256, (40, 40), np.uint8))
    for name in ("a.svs", "a.jp2", "a.nc", "a.vrt", "a.pt2", "a.keras"):
        (tmp_path / name).write_bytes(b"PK\x03\x04" + bytes(100))
    square = '{"type": "Polygon", "coordinates": [[[0, 0], [30, 0], [30, 30], [0, 0]]]}'
    (tmp_path / "where.geojson").write_text(square)
    maps = ["-o", str(tmp_path / "maps")]
    one = str(tmp_path / "x.npy")
    store = ["-o", str(tmp_path / "x.zarr")]
    scores = str(tmp_path / "maps" / "x.npz")
    told = {
        "a map": (["map", *model, one, *maps], None),
        **{
            name: (["map", *model, str(tmp_path / name), *maps], extra)
            for name, extra in (("bands.tif", "geo"), ("a.svs", "slide"), ("a.jp2", "geo"), ("a.nc", "geo"), ("a.vrt", "geo"))
        },
        "an address": (["map", *model, "https://127.0.0.1:9/a.tif", *maps], "remote"),
        "Zarr by address": (["map", *model, "s3://x/a.zarr", *maps], "remote"),
        "an object store": (["map", *model, one, "-o", "s3://x/a.zarr"], "dask"),
        "polygons": (["map", *model, one, *maps, "--where", str(tmp_path / "where.geojson")], "geo"),
        "workers": (["map", *model, one, *maps, "--workers", "1"], "dask"),
        "openvino": (["map", *model, one, *maps, "--runtime", "openvino"], "openvino"),
        "bf16": (["map", *model, one, *maps, "--precision", "bf16"], "torch"),
        **{
            f"{' '.join(how)} {command}": ([command, *model, one, *out, *how], how[1] if how[1] == "openvino" else "torch")
            for how in (("--device", "cuda"), ("--device", "mps"), ("--runtime", "torch"), ("--precision", "fp16"), ("--runtime", "openvino"))
            for command, out in (("map", maps), ("map", [*store, "--dry-run"]), ("map", store), ("verify", []))
        },
        "a program": (["inspect", str(tmp_path / "a.pt2")], "torch"),
        "a model by name": (["inspect", "timm:resnet18"], "torch"),
        "keras": (["inspect", str(tmp_path / "a.keras")], ""),
        "the viewer": (["view", scores], "view"),
        **{
            suffix: (["export", scores, "-o", str(tmp_path / f"x.{suffix}"), *more], "")
            for suffix, more in (("tif", ()), ("geojson", ("--threshold", "0.5")), ("parquet", ()))
        },
    }  # fmt: skip
    lines = json.dumps([line for line, _ in told.values()])
    done = subprocess.run(
        [sys.executable, "-c", HIDDEN, json.dumps(EXTRAS), lines],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    parts = done.stderr.split("ENDED ")
    for (name, (_, extra)), said, after in zip(told.items(), parts, parts[1:], strict=False):
        status = after.split("\n", 1)[0].strip()
        if extra is None:
            assert status == "0", (name, said)
        else:
            assert status == "2", (name, said)
            assert f"fullconv[{extra}" in said, (name, said)
            assert "No module named" not in said, (name, said)
    assert len(parts) == len(told) + 1
