"""Logits, probabilities and thresholds on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from fullconv.render.palette import class_colour
from tests.cli.conftest import Run
from tests.formats.onnx.nets import TRUNK, TRUNK_WEIGHTS, weights, write

BODY = TRUNK + "f = Flatten(p)\ny = Gemm <transB=1> (f, w, b)"
NUMBERS = weights(**TRUNK_WEIGHTS, w=(5, 196), b=(5,))


def test_a_threshold_on_logits_is_refused_before_the_work_and_ranked_without(run: Run, tmp_path: Path) -> None:
    net = write(tmp_path / "net.onnx", BODY, NUMBERS, outputs="float[1,5] y")
    image = tmp_path / "i.png"
    Image.fromarray(np.random.default_rng(2).integers(0, 255, (22, 26, 3), np.uint8)).save(image)
    for out in ("maps", "x.zarr"):
        start = ("map", net, image, "-o", tmp_path / out, "--class", "2")
        refused = run(*start, "--threshold", "0.5")
        assert refused.status == 2
        assert "--activation softmax" in refused.err
        assert not (tmp_path / out).exists()
        plain = run(*start)
        assert plain.status == 0
        assert plain.err.count("not probabilities") == 1
        assert "the strongest places of '2'" in plain.out
        other = run(
            *start[:-2], "--class", "1,3", "--activation", "softmax", "--restart" if out == "x.zarr" else "--overwrite"
        )
        assert other.status == 0, other.err
        assert "place" in other.out
    assert {"i.1.png", "i.3.png"} <= {path.name for path in (tmp_path / "maps").iterdir()}
    soft = run("map", net, image, "-o", tmp_path / "soft", "--activation", "softmax", "--json")
    assert json.loads(soft.out)["maps"][0]["score_kind"] == "probabilities"
    grid = json.loads(soft.out)["maps"][0]["grid"]
    assert all(isinstance(step, int) for step in grid["stride"])
    shares = run("map", net, image, "-o", tmp_path / "y.zarr")
    assert "winning class of 24 cells:" in shares.out
    with Image.open(tmp_path / "y.png") as picture:
        assert picture.width > 640
    (tmp_path / "z.png").write_bytes(b"somebody's own")
    kept = run("map", net, image, "-o", tmp_path / "z.zarr")
    assert kept.status == 0
    assert "no picture beside it" in kept.err
    assert (tmp_path / "z.png").read_bytes() == b"somebody's own"
    over = run("map", net, image, "-o", tmp_path / "i.zarr")  # its picture would be the image
    assert over.status == 0
    assert "no picture beside it" in over.err
    assert (
        run("export", tmp_path / "x.zarr", "-o", tmp_path / "x.csv", "--class", "1", "--threshold", "1.5").status == 2
    )
    checked = run("verify", net, image, "--activation", "sigmoid", "--blame", "2")
    assert checked.status == 0, checked.err


def test_a_class_has_its_colour_where_it_is_kept_alone(run: Run, tmp_path: Path) -> None:
    net = write(tmp_path / "net.onnx", BODY, NUMBERS, outputs="float[1,5] y")
    image = tmp_path / "i.npy"
    np.save(image, np.random.default_rng(2).integers(0, 255, (22, 26, 3), np.uint8))
    assert run("map", net, image, "-o", tmp_path / "x.zarr", "--keep", "3", "--activation", "softmax").status == 0
    about = json.loads((tmp_path / "x.zarr" / "zarr.json").read_text())["attributes"]
    (channel,) = about["ome"]["omero"]["channels"]
    assert bytes.fromhex(channel["color"]) == bytes(class_colour(3))
    assert run("export", tmp_path / "x.zarr", "-o", tmp_path / "x.geojson", "--threshold", "0").status == 0
    (colour,) = {tuple(f["properties"]["classification"]["color"]) for f in json.loads((tmp_path / "x.geojson").read_text())["features"]}  # fmt: skip
    assert colour == class_colour(3)
