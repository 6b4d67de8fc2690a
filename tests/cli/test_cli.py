"""The commands as a person types them: what they print, write, and say when something is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from fullconv import demonstration
from fullconv.loading import load
from fullconv.maps.classmap import ClassMap
from tests import helpers as h
from tests.cli.conftest import Run
from tests.formats.onnx.nets import TRUNK, TRUNK_WEIGHTS, weights, write


@pytest.fixture
def gated(tmp_path: Path) -> tuple[Path, Path]:
    """A net that cannot be cast."""
    text = (
        h.data(1, 1, 12, 12)
        + h.conv("c", "data", 3, 3, "stride: 2")
        + h.layer("spp", "SPP", "c", "spp", "spp_param { pyramid_height: 2 }")
        + h.fc("ip", "spp", 4)
    )
    prototxt, weights = h.model(text).save(tmp_path / "gated.prototxt")
    return prototxt, weights


def test_inspect_shows_nodes_and_the_verdict(run: Run, net) -> None:
    found = run("inspect", net[0])
    assert found.status == 0
    assert "ip1 (12, 96) -> ip1-conv (12, 6, 4, 4)" in found.out
    assert "whole, linear" in found.out
    assert "one cell every 4 × 4 px, for a crop of 28 × 28 px" in found.out
    assert "exact: every cell equals" in found.out


def test_inspect_json(run: Run, net) -> None:
    data = json.loads(run("inspect", net[0], "--json").out)
    assert data["castable"] is True
    assert data["outputs"]["prob"]["stride"] == ["4", "4"]
    assert [n["name"] for n in data["nodes"]][:3] == ["data", "conv1", "pool1"]


def test_inspect_of_what_cannot_be_cast_names_it_and_exits_1(run: Run, gated) -> None:
    found = run("inspect", gated[0])
    assert found.status == 1
    assert "spp: spatial pyramid pooling" in found.out


def test_cast_writes_what_it_says(run: Run, net, tmp_path: Path) -> None:
    out = tmp_path / "new" / "full.prototxt"
    found = run("cast", net[0], "--weights", net[1], "-o", out, "--input-size", "60x72")
    assert found.status == 0
    assert f"wrote {out}" in found.out
    full = load(out, out.with_suffix(".caffemodel"))
    assert full.is_fully_convolutional
    assert full.image_shape == (1, 60, 72)


def test_cast_tells_of_a_size_that_hides_the_crop(run: Run, net, tmp_path: Path) -> None:
    found = run("cast", net[0], "-w", net[1], "-o", tmp_path / "f.prototxt", "--input-size", "62x72")
    assert "60×72 has as many cells and keeps the crop" in found.err
    assert "note" not in run("cast", net[0], "-w", net[1], "-o", tmp_path / "f.prototxt", "--input-size", "60x72").err


def test_cast_chooses_where_the_weights_go(run: Run, net, tmp_path: Path) -> None:
    data = json.loads(
        run(
            "cast", net[0], "-w", net[1], "-o", tmp_path / "f.prototxt", "--out-weights", tmp_path / "w.h5", "--json"
        ).out
    )
    assert data["written"] == [str(tmp_path / "f.prototxt"), str(tmp_path / "w.h5")]
    assert load(tmp_path / "f.prototxt", tmp_path / "w.h5").is_fully_convolutional


def test_cast_dry_run_writes_nothing(run: Run, net, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    found = run("cast", net[0], "--dry-run")
    assert found.status == 0
    assert "ip1-conv" in found.out
    assert set(tmp_path.iterdir()) == before


def test_cast_of_a_fully_convolutional_net_writes_it_as_it_is(run: Run, net, tmp_path: Path) -> None:
    run("cast", net[0], "-w", net[1], "-o", tmp_path / "f.prototxt")
    found = run("cast", tmp_path / "f.prototxt", "-w", tmp_path / "f.caffemodel", "-o", tmp_path / "g.prototxt")
    assert found.status == 0
    assert "nothing to change" in found.out
    assert f"wrote {tmp_path / 'g.caffemodel'}" in found.out
    a, b = (load(tmp_path / f"{name}.prototxt", tmp_path / f"{name}.caffemodel") for name in "fg")
    image = np.random.default_rng(0).standard_normal((1, 1, 36, 40), np.float32)
    np.testing.assert_array_equal(a.run(image)["prob"], b.run(image)["prob"])


def test_only_a_network_without_weights_is_told_to_be_one(run: Run, net, tmp_path: Path) -> None:
    told = "no --weights given"
    assert told in run("cast", net[0], "-o", tmp_path / "a.prototxt").err
    assert told not in run("cast", net[0], "-w", net[1], "-o", tmp_path / "b.prototxt").err
    assert told not in run("cast", net[0], "-w", net[1], "--stride", 2, "-o", tmp_path / "b.onnx").err
    assert told not in run("cast", tmp_path / "b.onnx", "--input-shape", "1,28,28", "-o", tmp_path / "c.onnx").err
    assert (tmp_path / "c.onnx").exists()


def test_a_net_without_an_image_has_no_cell_to_draw(run: Run, tmp_path: Path) -> None:
    text = '<ir_version: 8, opset_import: ["" : 17]> net (float[n,12] x) => (float[n,3] y) { y = Softmax(x) }'
    onnx.save(onnx.parser.parse_model(text), tmp_path / "vector.onnx")
    found = run("inspect", tmp_path / "vector.onnx", "-o", tmp_path / "cell.png")
    assert (found.status, "no image input, so there is no cell to draw" in found.err) == (2, True)
    assert "crops give no map either" in found.out
    assert "crops give no map either" in run("cast", tmp_path / "vector.onnx", "-o", tmp_path / "f.onnx").err
    assert run("bench", tmp_path / "vector.onnx").status == 1


def test_a_net_of_several_inputs_is_cast_and_told_to_have_no_map(run: Run, tmp_path: Path) -> None:
    two = write(
        tmp_path / "two.onnx",
        TRUNK + "a = Add(p, z)\nf = Flatten(a)\ny = Gemm(f, w)",
        weights(**TRUNK_WEIGHTS, w=(196, 5)),
        inputs="float[n,3,16,16] x, float[n,4,7,7] z",
        outputs="float[n,5] y",
    )
    found = run("cast", two, "-o", tmp_path / "full.onnx")
    assert "2 inputs (x, z)" in found.err
    assert found.err.count("x, z") == 1
    assert "its inputs are x, z" in run("inspect", two).out


def test_cast_refuses_by_name_and_crops_still_map(run: Run, gated, image: Path, tmp_path: Path) -> None:
    found = run("cast", gated[0], "-w", gated[1], "-o", tmp_path / "x.prototxt")
    assert found.status == 1
    assert "refused: spp: " in found.err
    assert not (tmp_path / "x.prototxt").exists()
    refused = run("map", gated[0], "-w", gated[1], image, "-o", tmp_path / "maps")
    assert refused.status == 1
    assert "--by crops" in refused.err
    assert not (tmp_path / "maps").exists()
    crops = run("map", gated[0], "-w", gated[1], image, "-o", tmp_path / "maps", "--by", "crops")
    assert crops.status == 0
    assert ClassMap.load(tmp_path / "maps" / "scene.npz").by == "crops"


def test_map_writes_scores_and_picture(run: Run, net, image: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\ndog\nbird\n")
    found = run(
        "map",
        net[0],
        "-w",
        net[1],
        image,
        "-o",
        tmp_path / "maps",
        "--labels",
        labels,
        "--class",
        "dog",
        "--threshold",
        0,
        "-p",
        "unit",
    )
    assert found.status == 0, found.err
    assert "5 × 9 cells of 3 classes" in found.out
    assert "places of 'dog'" in found.out
    result = ClassMap.load(tmp_path / "maps" / "scene.npz")
    assert result.labels == ("cat", "dog", "bird")
    with Image.open(tmp_path / "maps" / "scene.png") as picture:
        assert picture.format == "PNG"


def test_map_json_is_one_object(run: Run, net, image: Path, tmp_path: Path) -> None:
    found = run("map", net[0], "-w", net[1], image, "-o", tmp_path / "maps", "--json")
    data = json.loads(found.out)
    assert data["failed"] == []
    assert data["maps"][0]["grid"]["rows"] == 5
    assert len(data["maps"][0]["found"]) == 3
    assert "no --preprocess given" in found.err


def test_a_bad_image_stops_no_other(run: Run, net, image: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no image")
    found = run("map", net[0], "-w", net[1], tmp_path / "bad.png", image, "-o", tmp_path / "maps", "-p", "unit")
    assert found.status == 1
    assert "bad.png: not an image" in found.err
    assert "1 of 2 images failed" in found.err
    assert (tmp_path / "maps" / "scene.npz").exists()


def test_verify_compares_and_writes_a_page(run: Run, net, image: Path, tmp_path: Path) -> None:
    found = run("verify", net[0], "-w", net[1], image, "-p", "unit", "--cells", 20, "-o", tmp_path / "r.html")
    assert found.status == 0, found.err
    assert "top-1 agrees in 100.00% (20 of 20)" in found.out
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    data = json.loads(run("verify", net[0], "-w", net[1], image, "-p", "unit", "--json").out)
    assert data["reports"][0]["failed"] is False
    assert "a number from 1" in usage(run, "verify", net[0], "-w", net[1], image, "--cells", "few")


def test_bench_prints_a_ratio(run: Run, net) -> None:
    found = run("bench", net[0], "-w", net[1], "--size", "44x60", "--runs", 1)
    assert found.status == 0
    assert "times as fast as crops" in found.out
    data = json.loads(run("bench", net[0], "-w", net[1], "--runs", 1, "--json").out)
    assert data["cells"] == 64
    assert data["ratio"] > 0


def test_demo_finds_the_digits(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def once(jobs, runs: int) -> dict[str, float]:
        """Each job once: `make demo` times them."""
        for job in jobs.values():
            job()
        return dict.fromkeys(jobs, 1.0)

    monkeypatch.setattr(demonstration, "interleaved", once)
    found = run("demo", "-o", tmp_path / "demo", "--json")
    data = json.loads(found.out)
    assert data["digits"] == 160
    assert data["read_right"] / data["digits"] >= 0.95
    assert data["false_finds"] / data["finds"] <= 0.02
    assert data["largest_difference"] <= 1e-5
    assert {p.name for p in (tmp_path / "demo").iterdir()} == {"page.npz", "page.png", "page-7.png"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(run: Run, shell: str) -> None:
    assert "_FULLCONV_COMPLETE" in run("completion", shell).out


def usage(run: Run, *args: object) -> str:
    found = run(*args)
    assert found.status == 2
    assert "Traceback" not in found.err
    return found.err


def test_bad_input_is_told_with_status_2(run: Run, net, image: Path, tmp_path: Path) -> None:
    prototxt, weights = net
    maps = tmp_path / "maps"
    small = tmp_path / "small.png"
    Image.new("L", (20, 30)).save(small)
    labels = tmp_path / "two.txt"
    labels.write_text("a\nb\n")
    model = (prototxt, "-w", weights)
    assert "no such file" in usage(run, "map", tmp_path / "none.prototxt", image, "-o", maps)
    assert "no such file" in usage(run, "map", *model, tmp_path / "none.png", "-o", maps)
    assert "not a format that fullconv reads" in usage(run, "inspect", image)
    assert "least size is 28×28" in usage(run, "map", *model, small, "-o", maps)
    assert "holds 2 labels" in usage(run, "map", *model, image, "-o", maps, "--labels", labels)
    assert "no class is named 'dragon'" in usage(run, "map", *model, image, "-o", maps, "--class", "dragon")
    assert "needs its weights" in usage(run, "map", prototxt, image, "-o", maps)
    assert "not HxW" in usage(run, "cast", *model, "-o", maps / "x.prototxt", "--input-size", "451")
    assert "name the network to write" in usage(run, "cast", *model)
    assert "written as .prototxt" in usage(run, "cast", *model, "-o", tmp_path / "x.pt2")
    assert "written as .caffemodel or .h5" in usage(
        run, "cast", *model, "-o", tmp_path / "x.prototxt", "--out-weights", tmp_path / "x.bin"
    )
    assert "smaller than one crop" in usage(run, "bench", *model, "--size", "20x20")
    assert "map them into two folders" in usage(run, "map", *model, image, tmp_path / "other" / "scene.png", "-o", maps)
    assert "No such option" in usage(run, "map", *model, image, "-o", maps, "--wat")
    assert not maps.exists()


def test_a_folder_that_cannot_be_written(run: Run, net, image: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    for args in (
        ("map", net[0], "-w", net[1], image, "-o", blocked),
        ("cast", net[0], "-w", net[1], "-o", blocked / "x.prototxt"),
    ):
        assert "cannot be written" in usage(run, *args)
    assert blocked.read_text() == "in the way"


def test_a_full_disk_leaves_nothing_half_written(
    run: Run, net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fullconv.formats.caffe import write

    def full(file, *rest) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, "write_caffemodel", full)
    out = tmp_path / "out"
    assert "No space left on device" in usage(run, "cast", net[0], "-w", net[1], "-o", out / "x.prototxt")
    assert list(out.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
def test_output_to_a_full_device_is_told(net) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "fullconv", "inspect", str(net[0])], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 2
    assert done.stderr == "fullconv: cannot write the output: No space left on device\n"


def test_a_closed_pipe_is_no_error(net) -> None:
    line = f"{sys.executable} -m fullconv inspect {net[0]} | head -n 1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert done.stdout.startswith("name")
    assert done.stderr == ""


def test_help_loads_no_heavy_library() -> None:
    code = "import sys; sys.argv = ['fullconv', '--help']\ntry:\n  import fullconv.cli.main as m; m.main()\nexcept SystemExit: pass\n"
    code += "print([n for n in ('numpy', 'onnx', 'onnxruntime', 'PIL', 'rich', 'h5py', 'google') if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "COLUMNS": "100"}
    )
    assert done.stdout.splitlines()[-1] == "[]"


class TestTheCheckOfACast:
    def test_it_is_told(self, run: Run, net, tmp_path: Path) -> None:
        found = run("cast", net[0], "-w", net[1], "-o", tmp_path / "full.prototxt")
        assert found.status == 0
        assert "checked at 28×28, 32×36 and 37×35: 6 cells equal their crops, worst" in found.out

    def test_in_json(self, run: Run, net) -> None:
        data = json.loads(run("cast", net[0], "-w", net[1], "--dry-run", "--json").out)
        assert data["checked"]["sizes"] == [[28, 28], [32, 36], [37, 35]]
        assert data["checked"]["cells"] == 6
        assert 0 <= data["checked"]["worst"] < 1e-5

    def test_put_off(self, run: Run, net) -> None:
        found = run("cast", net[0], "-w", net[1], "--dry-run", "--no-check")
        assert "not checked: put off by --no-check" in found.out

    def test_without_weights(self, run: Run, net) -> None:
        assert "not checked: " in run("cast", net[0], "--dry-run").out

    def test_what_fails_writes_nothing(self, run: Run, net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import fullconv.model
        from fullconv.errors import BrokenPromise

        def fails(*_: object) -> None:
            raise BrokenPromise("they part at conv1")

        monkeypatch.setattr(fullconv.model, "check", fails)
        found = run("cast", net[0], "-w", net[1], "-o", tmp_path / "full.prototxt")
        assert found.status not in (0, 2)
        assert "they part at conv1" in found.err
        assert list(tmp_path.glob("full*")) == []
