"""A network stated at another size is the same one, or is not given."""

from __future__ import annotations

from dataclasses import replace

import pytest

import fullconv
from fullconv.formats.caffe.format import Caffe


@pytest.mark.parametrize("size", [(28, 28), (60, 92), (31, 45), (400, 300)])
def test_the_same_network_passes(lenet: fullconv.Model, size: tuple[int, int]) -> None:
    assert lenet.cast().resized(*size).image_shape[1:] == size


def test_another_size_is_seen_without_a_run(lenet: fullconv.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    resize = Caffe.resize
    monkeypatch.setattr(Caffe, "resize", lambda self, native, height, width: resize(self, native, height, width + 4))
    with pytest.raises(fullconv.BrokenPromise, match=r"at 400×300: \S+ is \(\d+, \d+\) where the cast has"):
        lenet.cast().resized(400, 300)
    assert lenet.checking(False).cast().resized(400, 300).image_shape == (1, 400, 304)


def test_other_answers_are_seen(lenet: fullconv.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    resize = Caffe.resize

    def other(self: Caffe, native, height: int, width: int):
        made = resize(self, native, height, width)
        conv1 = [made.weights["conv1"][0] * 1.001, *made.weights["conv1"][1:]]
        return replace(made, weights={**made.weights, "conv1": conv1})

    monkeypatch.setattr(Caffe, "resize", other)
    with pytest.raises(fullconv.BrokenPromise, match="at 60×52: ip2 is not what the cast answers"):
        lenet.cast().resized(60, 52)
