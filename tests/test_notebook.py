"""How things show themselves in consoles and notebooks: short, with the numbers that count, and with strangers' names as text."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper as oh
from PIL import Image

import fullconv
from fullconv.demonstration import demo_files
from fullconv.maps.classmap import ClassMap
from fullconv.study.outcome import Outcome
from fullconv.study.run import Study
from fullconv.system.notebook import MOST, as_html
from tests.stream import runs

HOSTILE = "<script>alert('a&b')</script>"
HOW = {"preprocess": "unit"}


class Read(HTMLParser):
    """What a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.pictures: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, "every element is closed"
        assert set(self.tags) <= {"div", "strong", "table", "tr", "th", "td", "br", "img", "p"}

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        if tag == "img":
            self.pictures.append(dict(attrs)["src"])
        elif tag != "br":
            self.open.append(tag)
        assert {name for name, _ in attrs} <= {"style", "alt", "src"}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.png"
    with demo_files() as data, Image.open(data / "page.png") as image:
        image.crop((0, 0, 220, 160)).save(path)
    return path


@pytest.fixture(scope="module")
def found(page: Path) -> ClassMap:
    labels = (HOSTILE, *map(str, range(1, 11)))
    return fullconv.map(runs.digits(), page, labels=labels, **HOW)


def shown(page: Path, found: ClassMap) -> Iterator[tuple[Any, str, list[str]]]:
    """Each object, how it prints, and what its notebook form has as text."""
    model = runs.digits()
    plan = fullconv.plan(model)
    yield model, "1×32×32 -> prob 11, classifier)", ["one every 4 × 4 px, for a crop of 32 × 32 px", plan.exactness]
    yield fullconv.cast(model), "1×32×32 -> prob 11×1×1, fully convolutional)", ["fully convolutional"]
    yield plan, "Plan(2 edits, exact: every cell", ["ip1 (96, 1200) -> ip1-conv (96, 48, 5, 5)", plan.edits[0].reason]
    field = fullconv.receptive_field(model)
    yield field, "Field(size 32 × 32, stride 4 × 4, offset 0 × 0)", ["size (y × x)", "32 × 32 px"]
    yield found, "ClassMap(11 classes, 33 × 48 cells every 4 × 4 px, of 220 × 160 px, 'prob' by cast", [f"{HOSTILE}, 1"]
    report = fullconv.verify(model, page, cells=20, labels=found.labels, **HOW)
    yield (
        report,
        "20 of 1,584 cells compared, 100.00% agree, differences up to ",
        [HOSTILE, "take the map for the crops"],
    )
    streamed = fullconv.plan_raster(model, page, memory=8 << 30, **HOW)
    yield streamed, "StreamPlan(220 × 160 px, 1 tile, ", ["220×160 px (0 megapixels), 33 × 48 cells"]
    other = replace(found, scores=np.roll(found.scores, 1, axis=0))
    compared = fullconv.compare(found, other)
    yield compared, "Comparison(1,584 cells, 0.00% agree)", [HOSTILE, "0 of 1,584 cells (0.00%) have the same winner"]
    outcomes = (Outcome("a.svs", width=30, height=20, answered=1500, winner=HOSTILE), Outcome("b.svs", HOSTILE))
    yield Study(outcomes, 0, Path("out/summary.csv")), "Study(2 images, 1 failed, ", [HOSTILE, "1,500", "30 × 20 px"]


def test_objects_print_short_and_show_themselves(page: Path, found: ClassMap) -> None:
    for thing, short, texts in shown(page, found):
        assert short in repr(thing)
        assert repr(thing).startswith(f"{type(thing).__name__}(")
        assert len(repr(thing)) < 200
        read = Read(thing._repr_html_())
        text = "\n".join(read.texts)
        for each in texts:
            assert each in text, (type(thing).__name__, each)


def test_refusals_are_shown_with_their_nodes() -> None:
    """A network that no cast can serve, with a node of a stranger's name."""
    nodes = [
        oh.make_node("Transpose", ["x"], ["y"], "turned", perm=[0, 1, 3, 2]),
        oh.make_node("GlobalAveragePool", ["y"], ["z"], HOSTILE),
    ]
    floats = onnx.TensorProto.FLOAT
    x, z = oh.make_tensor_value_info("x", floats, [1, 2, 8, 8]), oh.make_tensor_value_info("z", floats, [1, 2, 1, 1])
    graph = oh.make_graph(nodes, "g", [x], [z])
    model = fullconv.load(oh.make_model(graph, opset_imports=[oh.make_opsetid("", 17)], ir_version=8))
    plan = fullconv.plan(model)
    assert plan.refusals
    assert repr(plan) == "Plan(1 refusal)"
    for each in (plan, model):
        read = Read(each._repr_html_())
        assert HOSTILE in read.texts
        assert plan.refusals[0].reason in read.texts


def test_pictures_are_of_the_map_and_left_out_where_there_are_none(found: ClassMap, tmp_path: Path) -> None:
    drawn = found._repr_png_()
    assert drawn is not None
    with Image.open(io.BytesIO(drawn)) as picture, found.overlay() as whole:
        assert max(picture.size) == min(700, max(whole.size))
        whole.thumbnail(picture.size)
        assert np.array_equal(np.asarray(picture), np.asarray(whole))
    assert len(Read(found._repr_html_()).pictures) == 1
    assert len(Read(fullconv.compare(found, found)._repr_html_()).pictures) == 1
    gone = replace(found, image=tmp_path / "moved.png", pixels=None)
    assert gone._repr_png_() is None
    assert not Read(gone._repr_html_()).pictures


def test_what_is_long_is_cut() -> None:
    read = Read(as_html("Many", {"empty": "", "lines": "one\ntwo"}, [("number",), *((i,) for i in range(MOST + 5))]))
    assert "empty" not in read.texts
    assert str(MOST - 1) in read.texts
    assert str(MOST) not in read.texts
    assert "and 5 more" in read.texts
    assert "br" in read.tags


def test_a_network_that_cannot_be_read_is_named_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with it is no error of whoever looks at it."""
    with demo_files() as data:
        model = fullconv.load(data / "digits.prototxt", weights=data / "digits.caffemodel")

    def broken(native: object) -> None:
        raise fullconv.BadInput("no graph")

    monkeypatch.setattr(model.format, "graph", broken, raising=False)
    assert repr(model) == f"Model({model.path}, caffe)"
    assert str(model.path) in Read(model._repr_html_()).texts
