"""Weights in several files with an index, as Hugging Face's libraries save large ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

import fullconv
from fullconv.cards.read import read_card
from fullconv.cards.taken import fingerprint_of
from fullconv.cli.main import cli
from fullconv.errors import BadInput
from fullconv.formats.torch.checkpoint import read_tensors
from fullconv.system.guard import guarded
from tests.cards.carded import SIDE, net
from tests.cards.test_folders import TIMM, config, timm_net
from tests.cards.test_transformers import HAS, VIT, made
from tests.conftest import worst

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
INDEX = "model.safetensors.index.json"


def sharded(folder: Path, state: dict[str, torch.Tensor], pickled: bool = False) -> Path:
    """Two files of tensors and their index, as save_pretrained lays them."""
    stem, kind = ("pytorch_model", "bin") if pickled else ("model", "safetensors")
    names = list(state)
    where: dict[str, str] = {}
    for i, part in enumerate((names[::2], names[1::2]), 1):
        file = f"{stem}-{i:05}-of-00002.{kind}"
        tensors = {name: state[name] for name in part}
        torch.save(tensors, folder / file) if pickled else save_file(tensors, folder / file)
        where |= dict.fromkeys(part, file)
    size = sum(value.numel() * value.element_size() for value in state.values())
    index = folder / f"{stem}.{kind}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": size}, "weight_map": where}))
    return index


@pytest.mark.parametrize("pickled", [False, True])
def test_a_folder_of_timm(tmp_path: Path, pickled: bool) -> None:
    own = timm_net(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    config(tmp_path, TIMM)
    sharded(tmp_path, own.state_dict(), pickled)
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = own(image).numpy()
    assert worst(next(iter(fullconv.load(tmp_path, check=False).run(image.numpy()).values())), expected) < 1e-5


def test_a_card_is_put_beside_what_it_names(tmp_path: Path) -> None:
    """A card's files lie in its own folder, and into a folder that is MODEL nothing was written."""
    own = timm_net(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    config(tmp_path, TIMM)
    index = sharded(tmp_path, own.state_dict())
    with guarded():  # as the command line's own entry does
        done = CliRunner().invoke(cli, ["card", str(tmp_path), "-o", str(tmp_path / "mine.toml")])
        assert done.exit_code == 0, done.exception
        shard = tmp_path / "model-00001-of-00002.safetensors"
        done = CliRunner().invoke(cli, ["cast", str(tmp_path), "-o", str(shard), "--overwrite"])
        assert "is read, and what is read is never written over" in str(done.exception)
    card = read_card(tmp_path / "mine.toml")
    assert card.weights == str(index)
    assert card.fingerprint == fingerprint_of(index)
    save_file({name: value + 1 for name, value in load_file(shard).items()}, shard)
    with pytest.raises(BadInput, match=r"is not the file that .*mine\.toml is about"):
        fullconv.load(tmp_path / "mine.toml")


@pytest.mark.skipif(not HAS, reason="transformers (extra) is not installed")
def test_a_folder_of_transformers(tmp_path: Path) -> None:
    own = made(tmp_path, VIT)
    state = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    for name in list(state):
        state[name] = state[name].contiguous()
    sharded(tmp_path, state)
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = own(image).logits.numpy()
    assert worst(next(iter(fullconv.load(tmp_path).run(image.numpy()).values())), expected) < 1e-5
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(BadInput, match=r"model-00002-of-00002\.safetensors is not beside it; put it there"):
        fullconv.load(tmp_path)


def test_weights_by_their_index(tmp_path: Path) -> None:
    state = net().state_dict()
    index = sharded(tmp_path, state)
    found = read_tensors(index)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], value) for name, value in state.items())
    model = fullconv.load("tests.cards.carded:net", index, input_shape=(3, SIDE, SIDE))
    shards = [tmp_path / f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    assert {index, *shards} <= set(model.files)  # nothing is written over them
    before = fingerprint_of(index)
    save_file({**load_file(shards[0]), "more": torch.zeros(1)}, shards[0])
    assert fingerprint_of(index) != before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"a": "../other.safetensors"}, r"names '\.\./other\.safetensors'.*lie beside it; refused"),
        ({"a": "/etc/hostname"}, "lie beside it; refused"),
        ({"a": "model.bin"}, r"are \.safetensors and lie beside it"),
        ({"a": 3}, "has no weight_map of tensors to files"),
        ({"a": "model-00003-of-00003.safetensors"}, r"model-00003-of-00003\.safetensors is not beside it"),
        ({"absent": "model-00001-of-00002.safetensors"}, "does not hold 'absent', which"),
    ],
)
def test_an_index_that_is_wrong(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    index = sharded(tmp_path, net().state_dict())
    data = json.loads(index.read_text())
    data["weight_map"] |= change
    index.write_text(json.dumps(data))
    with pytest.raises(BadInput, match=said) as told:
        fullconv.load("tests.cards.carded:net", index, input_shape=(3, SIDE, SIDE))
    assert INDEX in str(told.value)


def test_shards_that_do_not_belong_together(tmp_path: Path) -> None:
    state = net().state_dict()
    index = sharded(tmp_path, state)
    save_file(state, tmp_path / "model-00002-of-00002.safetensors")
    with pytest.raises(BadInput, match=r"as another file does, where model\.safetensors\.index\.json says otherwise"):
        read_tensors(index)
    for text in ("", "[]", "{}"):
        index.write_text(text)
        with pytest.raises(BadInput, match=r"not valid JSON|has no weight_map"):
            read_tensors(index)
    index.unlink()
    config(tmp_path, TIMM)
    with pytest.raises(BadInput, match=r"their index is missing: put model\.safetensors\.index\.json beside it"):
        fullconv.load(tmp_path)


def test_no_pickled_code_of_a_shard_is_run(tmp_path: Path) -> None:
    index = sharded(tmp_path, net().state_dict(), pickled=True)
    torch.save(net(), tmp_path / "pytorch_model-00002-of-00002.bin")
    with pytest.raises(BadInput, match=r"00002-of-00002\.bin: holds pickled Python objects"):
        read_tensors(index)
