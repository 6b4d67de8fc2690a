"""Model cards: what they say is what a map does, what is given wins, and what does not fit is told."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import fullconv
from fullconv.cards.read import read_card
from fullconv.cards.taken import fingerprint_of
from fullconv.cli.main import cli
from fullconv.errors import BadInput
from tests.cards.carded import BARE, CARD, SIDE, net, scores
from tests.conftest import worst


def cells_are_the_crops_own(result: fullconv.ClassMap, pixels: np.ndarray) -> None:
    assert result.labels == ("tumour", "stroma", "fat")
    step = int(result.grid.stride[0])
    got = np.asarray(result.scores[:, :, :])
    for row, col in ((0, 0), (2, 3), (got.shape[1] - 1, got.shape[2] - 1)):
        crop = pixels[row * step : row * step + SIDE, col * step : col * step + SIDE]
        assert worst(got[:, row, col], scores(crop)) < 1e-4


def test_a_card_is_all_that_a_map_needs(folder: Path) -> None:
    model = fullconv.load(folder / "model.toml")
    pixels = np.asarray(Image.open(folder / "image.png"))
    cells_are_the_crops_own(fullconv.map(model, folder / "image.png"), pixels)
    cells_are_the_crops_own(fullconv.map(folder / "model.toml", folder / "image.png", by="crops"), pixels)
    stored = fullconv.map_raster(model, folder / "image.png", folder / "out.zarr")
    cells_are_the_crops_own(stored, pixels)
    assert stored.score_kind == "probabilities"
    assert stored.colours == {2: (1, 226, 3)} == fullconv.map(model, folder / "image.png").colours
    # What is given wins.
    other = fullconv.map(model, folder / "image.png", labels=["a", "b", "c"], preprocess="unit", activation="none")
    assert other.labels == ("a", "b", "c")
    assert other.score_kind != "probabilities"
    # A cast, and what was made of the model, has its card.
    cells_are_the_crops_own(fullconv.map(fullconv.cast(model), folder / "image.png"), pixels)


def test_the_command_line_needs_nothing_else(folder: Path) -> None:
    usual = fullconv.map(folder / "model.toml", folder / "image.png").scores[0]
    least = float(np.median(usual))
    (folder / "model.toml").write_text(CARD.replace("threshold = 0.4", f"threshold = {least}"))
    (folder / "images").mkdir()
    (folder / "image.png").rename(folder / "images" / "image.png")
    arguments = ["map", str(folder / "model.toml"), str(folder / "images"), "-o", str(folder / "out")]
    done = CliRunner().invoke(cli, [*arguments, "--class", "tumour", "--json"])
    assert done.exit_code == 0, done.output
    with np.load(folder / "out" / "image.npz") as saved:
        crop = np.asarray(Image.open(folder / "images" / "image.png"))[:SIDE, :SIDE]
        assert worst(saved["scores"][:, 0, 0], scores(crop)) < 1e-4
    places = (
        json.loads(done.stdout)["maps"][0]["found"] if "maps" in done.stdout else json.loads(done.stdout)[0]["found"]
    )
    assert usual.max() < 0.5  # which is what counts where nobody says
    assert places
    assert all(place["score"] >= least for place in places)
    shown = CliRunner().invoke(cli, ["inspect", str(folder / "model.toml")])
    assert "classes: tumour, stroma (background), fat #01e203" in shown.output
    assert "activation: softmax" in shown.output


def test_a_cast_file_carries_its_card(folder: Path) -> None:
    done = CliRunner().invoke(cli, ["cast", str(folder / "model.toml"), "-o", str(folder / "cast.onnx")])
    assert done.exit_code == 0, done.output
    (text,) = [p.value for p in onnx.load(folder / "cast.onnx").metadata_props if p.key == "fullconv.card"]
    assert "network" not in text
    for name in ("net.onnx", "model.toml"):
        (folder / name).unlink()
    model = fullconv.load(folder / "cast.onnx")
    cells_are_the_crops_own(fullconv.map(model, folder / "image.png"), np.asarray(Image.open(folder / "image.png")))
    again = CliRunner().invoke(cli, ["cast", str(folder / "cast.onnx"), "-o", str(folder / "again.onnx")])
    assert again.exit_code == 0, again.output
    assert fullconv.load(folder / "again.onnx").card.labels == ("tumour", "stroma", "fat")


def test_classes_that_other_tools_leave_in_a_file(folder: Path) -> None:
    message = onnx.load(folder / "net.onnx")
    message.metadata_props.add(key="names", value="{0: 'cat', 1: 'dog', 2: 'fox'}")
    onnx.save(message, folder / "named.onnx")
    model = fullconv.load(folder / "named.onnx", input_shape=(3, SIDE, SIDE))
    assert fullconv.map(model, folder / "image.png", preprocess="unit").labels == ("cat", "dog", "fox")


def test_card_writes_what_is_known_and_asks_for_the_rest(folder: Path) -> None:
    torch.save(
        {"model_ema": net().state_dict(), "model": {k: v + 1 for k, v in net().state_dict().items()}}, folder / "w.pth"
    )
    name = "tests.cards.carded:net"
    arguments = [
        name,
        "-w",
        str(folder / "w.pth"),
        "--weights-prefix",
        "model_ema",
        "--input-shape",
        f"3,{SIDE},{SIDE}",
    ]
    done = CliRunner().invoke(cli, ["card", *arguments, "-o", str(folder / "mine.toml")])
    assert done.exit_code == 0, done.output
    assert "code of your own" in done.output
    assert "left to fill in where it matters: preprocess, classes" in done.output
    text = (folder / "mine.toml").read_text()
    assert 'weights = "w.pth"' in text
    assert "# [[classes]]" in text
    model = fullconv.load(name, card=folder / "mine.toml")
    image = np.random.default_rng(0).random((1, 3, SIDE, SIDE), np.float32)
    with torch.no_grad():
        assert worst(next(iter(model.run(image).values())), net()(torch.from_numpy(image)).numpy()) < 1e-5
    done = CliRunner().invoke(cli, ["card", str(folder / "model.toml"), "-o", str(folder / "again.toml")])
    assert done.exit_code == 0, done.output
    one, other = read_card(folder / "model.toml"), read_card(folder / "again.toml")
    assert (one.classes, one.preprocess, one.threshold) == (other.classes, other.preprocess, other.threshold)
    assert other.fingerprint == fingerprint_of(folder / "net.onnx")
    # Every comment that is filled in as it stands is a card's.
    whole = "\n".join(line.removeprefix("# ") for line in text.splitlines()[1:] if "sha256" not in line)
    whole = whole.replace('rename = ["classifier=fc"]', "")
    (folder / "whole.toml").write_text(whole)
    assert read_card(folder / "whole.toml").labels == ("tumour",)


def test_another_file_than_the_cards_is_refused(folder: Path) -> None:
    own = fingerprint_of(folder / "net.onnx")
    (folder / "model.toml").write_text(f'fingerprint = "{own}"\n{CARD}')
    fullconv.load(folder / "model.toml")
    message = onnx.load(folder / "net.onnx")
    message.doc_string = "another"
    onnx.save(message, folder / "net.onnx")
    with pytest.raises(BadInput, match=r"net\.onnx: is not the file that .*model\.toml is about"):
        fullconv.load(folder / "model.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('activaton = "softmax"', r"unknown key 'activaton'; did you mean 'activation'\?"),
        ('activation = "relu"', "not one of softmax, sigmoid, none"),
        ('labels = ["a", "b"]', r"names 2 classes, and the network has 3"),
        ('labels = "a"\n[[classes]]\nname="b"', "has both classes and labels"),
        ("pixel_size = 0", "must be a number above 0"),
        ("pixel_size = true", "pixel_size is True, not a number"),
        ("bands = [0]", "whole numbers from 1 on"),
        ("tolerance = 2", "a share, from 0 to below 1"),
        ('[[classes]]\nname = "a"\ncolor = "#ffffff"', r"unknown key 'color'; did you mean 'colour'\?"),
        ('[[classes]]\nname = "a"\ncolour = "red"', "write it as #rrggbb"),
        ("[preprocess]\nmeen = [1]", r"unknown key 'meen'; did you mean 'mean'\?"),
        ("[preprocess]\nstd = [0]", "std not 0"),
        ("network = ", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_told(folder: Path, text: str, said: str) -> None:
    (folder / "bad.toml").write_text(f"{text}\n" if "network" in text else f"{BARE}\n{text}\n")
    with pytest.raises(BadInput, match=said) as told:
        fullconv.map(folder / "bad.toml", folder / "image.png", preprocess="unit")
    assert "bad.toml" in str(told.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('network = "gone.onnx"', [r"gone\.onnx: no such file", 'network = "gone.onnx"', "MODEL with --card"]),
        (f'{BARE}\nweights = "gone.pth"', ["gone.pth", 'weights = "gone.pth"', "--weights"]),
        (f'{BARE}\nlabels = "gone.txt"', ["gone.txt: no such file", 'labels = "gone.txt"', "mend it there"]),
        (f'{BARE}\npreprocess = "gone.json"', ["preprocess = 'gone.json': no such file", "mend it there"]),
        (f"{BARE}\n[preprocess]\nmean = [1, 2]", ["2 values, and the network takes 3", r"mean = \[1.0, 2.0\]", "--preprocess"]),
        (BARE.replace("[3", "[1"), ["takes 3 channels", rf"input_shape = \[1, {SIDE}, {SIDE}\]", "--input-shape"]),
        (f'{BARE}\noutput = "logitz"', ["no output is named", 'output = "logitz"', "--head"]),
        (f'{BARE}\nbands = ["nir", 1, 2]', ["has no band that is 'nir'", r"bands = \['nir', 1, 2\] of", "--bands"]),
        (f"{BARE}\nbands = [1, 2]", ["has 2 bands and the network takes 3", r"bands = \[1, 2\] of", "--bands"]),
        (f'fingerprint = "sha256:{"a" * 64}"\n{BARE}', ["its fingerprint is sha256", "write it anew"]),
        ('network = " "', ["network is empty"]),
        ('network = "."', ["without a model.toml", 'network = "."']),
    ],
)  # fmt: skip
def test_what_goes_wrong_names_the_card_and_its_key(folder: Path, text: str, said: list[str]) -> None:
    (folder / "model.toml").unlink()
    (folder / "bad.toml").write_text(f"{text}\n")
    for out in ("out", "out.zarr"):
        done = CliRunner().invoke(
            cli, ["map", str(folder / "bad.toml"), str(folder / "image.png"), "-o", str(folder / out)]
        )
        assert isinstance(done.exception, BadInput)
        for each in (*said, r"bad\.toml"):
            assert re.search(each, str(done.exception)), done.exception


def test_what_is_given_is_not_the_cards_fault(folder: Path) -> None:
    (folder / "bad.toml").write_text('network = "gone.onnx"\nweights = "gone.pth"\n')
    with pytest.raises(BadInput) as told:
        fullconv.load(folder / "bad.toml", weights=folder / "mine.pth")
    assert "weights =" not in str(told.value)
    # Names and files of a card are of its folder, and not of the one where a command runs.
    (folder / "gone.json").write_text('{"scale": 2}')
    (folder / "inner").mkdir()
    (folder / "inner" / "bad.toml").write_text('network = "net.onnx"\npreprocess = "gone.json"')
    with contextlib.chdir(folder), pytest.raises(BadInput, match=r"preprocess = 'gone\.json': no such file"):
        fullconv.load(folder / "inner" / "bad.toml")


def test_a_card_runs_no_code(folder: Path) -> None:
    (folder / "bad.toml").write_text('network = "os:getcwd"')
    with pytest.raises(BadInput, match=r"code of one's own, which a card does not run"):
        fullconv.load(folder / "bad.toml")
    (folder / "bad.toml").write_text('network = "hf-hub:me/mine"')
    with pytest.raises(BadInput, match=r"of other machines, which a card does not ask"):
        fullconv.load(folder / "bad.toml")
    (folder / "inner").mkdir()
    for text in (
        'network = "../net.onnx"',
        f'network = "{folder}/net.onnx"',
        'labels = "../model.toml"',
        'preprocess = "/etc/passwd"',
        'weights = "../w"',
    ):
        (folder / "inner" / "bad.toml").write_text(text)
        with pytest.raises(BadInput, match="lies outside the card's folder"):
            fullconv.load(folder / "inner" / "bad.toml")
    message = onnx.load(folder / "net.onnx")
    message.metadata_props.add(key="fullconv.card", value='network = "os:getcwd"')
    onnx.save(message, folder / "bad.onnx")
    with pytest.raises(BadInput, match="says nothing of network"):
        fullconv.load(folder / "bad.onnx", input_shape=(3, SIDE, SIDE))


class TestPixelSize:
    def write(self, path: Path, mpp: float, side: int = 96) -> np.ndarray:
        """A picture with a pixel size, as an OME-TIFF."""
        tifffile = pytest.importorskip("tifffile")
        pixels = np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)
        pixels = np.asarray(Image.fromarray(pixels[::8, ::8]).resize((side, side), Image.Resampling.BICUBIC))
        size = {"PhysicalSizeX": mpp, "PhysicalSizeY": mpp, "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
        tifffile.imwrite(path, pixels, photometric="rgb", metadata={"axes": "YXS", **size})
        return pixels

    def test_an_image_of_another_is_read_at_the_cards(self, folder: Path) -> None:
        (folder / "model.toml").write_text("pixel_size = 0.5\n" + CARD)
        pixels = self.write(folder / "same.ome.tif", 0.51)
        model = fullconv.load(folder / "model.toml")
        notes: list[str] = []
        cells_are_the_crops_own(fullconv.map(model, folder / "same.ome.tif", notes=notes.append), pixels)
        assert not notes
        self.write(folder / "fine.ome.tif", 0.25)
        result = fullconv.map(model, folder / "fine.ome.tif", notes=notes.append)
        assert any("read at 0.5 a pixel, as model.toml says" in note for note in notes)
        asked = fullconv.map(model, folder / "fine.ome.tif", mpp=0.5)
        assert np.array_equal(result.scores, asked.scores)
        assert float(result.grid.stride[0]) == 2 * float(fullconv.map(model, folder / "same.ome.tif").grid.stride[0])
        stored = fullconv.map_raster(model, folder / "fine.ome.tif", folder / "fine.zarr")
        assert np.array_equal(np.asarray(stored.scores[:, :, :]), result.scores)
        finest = fullconv.map(model, folder / "fine.ome.tif", level=0)
        assert finest.scores.shape[1] > result.scores.shape[1]

    def test_one_without_is_asked_about(self, folder: Path) -> None:
        (folder / "model.toml").write_text("pixel_size = 0.5\n" + CARD)
        model = fullconv.load(folder / "model.toml")
        for run in (fullconv.map, lambda *given: fullconv.map_raster(*given, folder / "out.zarr")):
            with pytest.raises(BadInput, match=r"does not say how large a pixel is, and model\.toml says.*--level 0"):
                run(model, folder / "image.png")
        pixels = np.asarray(Image.open(folder / "image.png"))
        cells_are_the_crops_own(fullconv.map(model, folder / "image.png", level=0), pixels)
