"""Names of a module's numbers, and what is told of a state that does not fit them."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

from fullconv.errors import BadInput
from fullconv.loading import load
from tests import helpers as h
from tests.formats.onnx.nets import ints, weights, write

torch = pytest.importorskip("torch")

from tests.runtimes.test_module import TIGHT, answer, images, mnist, run, worst  # noqa: E402


def test_numbers_that_are_the_lowerings_own_are_no_part_of_a_state() -> None:
    """Caffe's LRN is a convolution with a band of ones; copies of a module keep it out too."""
    text = (
        h.data(1, 3, 8, 8)
        + h.conv("c", "data", 6, 3)
        + h.layer("n", "LRN", "c", "n", "lrn_param { local_size: 3 alpha: 0.5 }")
    )
    model = h.model(text)
    module = copy.deepcopy(copy.deepcopy(model.module))
    assert list(module.state_dict()) == ["c.weight", "c.bias"]
    assert len(list(module.buffers())) > 0
    assert worst(answer(module, images(model)), run(model, images(model))) < TIGHT


def test_names_that_no_module_can_have_are_changed_and_found_again() -> None:
    text = h.data(1, 3, 8, 8) + "".join(
        h.conv(name, bottom, 3, 3) for name, bottom in (("a", "data"), ("a.weight", "a"), ("training", "a.weight"))
    )
    model = h.model(text)
    module = copy.deepcopy(model.module)
    assert list(module.state_dict()) == [
        "a.weight",
        "a.bias",
        "a.weight_.weight",
        "a.weight_.bias",
        "training_.weight",
        "training_.bias",
    ]
    assert worst(answer(module, images(model)), run(model, images(model))) < TIGHT
    with torch.no_grad():
        module.get_parameter("a.weight_.weight").mul_(2)
    trained = model.with_weights(module.state_dict())
    assert np.array_equal(trained.native.weights["a.weight"][0], 2 * model.native.weights["a.weight"][0])


def test_a_network_of_one_batch_size_says_so(tmp_path: Path) -> None:
    path = write(
        tmp_path / "one.onnx", "c = Conv <kernel_shape=[16,16]> (x, w)\ny = Reshape(c, s)", weights(w=(5, 3, 16, 16)) | ints(s=[1, 5]), outputs="float[1,5] y"
    )  # fmt: skip
    module = load(path).module
    assert module(torch.zeros(1, 3, 16, 16)).shape == (1, 5)
    with pytest.raises(ValueError, match=r"takes inputs of 1 × any × any × any, found \(2, 3, 16, 16\)"):
        module(torch.zeros(2, 3, 16, 16))


def test_a_state_that_does_not_fit_is_told_by_name(tmp_path: Path) -> None:
    for model, key in ((h.model(h.LENET), "ip1.bias"), (mnist(tmp_path), "Parameter88")):
        state = dict(model.module.state_dict())
        wrapped = {f"_orig_mod.{name}": value for name, value in state.items()}
        assert worst(run(model.with_weights(wrapped), images(model)), run(model, images(model))) == 0
        value = state[key]
        for wrong, told in (
            ({key: value.flatten()[:2]}, rf"{key} is \(2,\), the network's \("),
            ({key: value * float("nan")}, f"{key} holds NaN or infinite"),
            ({key: value.to(torch.int64)}, f"{key} is of int64"),
            ({"head.weight": value}, "has unknown head.weight"),
        ):
            with pytest.raises(BadInput, match=told):
                model.with_weights(state | wrong)
        del state[key]
        with pytest.raises(BadInput, match=f"the state_dict lacks {key}"):
            model.with_weights(state)


def test_shared_parameters_of_caffe_stay_one(tmp_path: Path) -> None:
    shared = 'param { name: "w" } param { name: "b" }'
    text = h.data(1, 3, 8, 8) + "".join(
        h.layer(f"c{i}", "Convolution", f"c{i - 1}" if i else "data", f"c{i}", f"{shared} convolution_param {{ num_output: 3 kernel_size: 3 }}")
        for i in range(2)
    )  # fmt: skip
    (tmp_path / "n.prototxt").write_text(text)
    model = h.model(text)
    module = model.module
    assert list(module.state_dict()) == ["c0.weight", "c0.bias"]
    with torch.no_grad():
        module.c0.weight.mul_(0.5)
    trained = model.with_weights(module.state_dict())
    assert worst(run(trained, images(model)), answer(module, images(model))) < TIGHT
    again = load(*trained.save(tmp_path / "t.prototxt"))
    assert worst(run(again, images(model)), answer(module, images(model))) < TIGHT
