"""Networks by their names in public zoos, as cards: weights by the zoo's own downloader from its own cache, and what it says of them.

``torchvision:NAME@WEIGHTS``, ``timm:NAME.TAG``, ``hf-hub:OWNER/NAME``, ``wsinfer:NAME``, ``tiatoolbox:NAME-DATASET`` and ``keras:NAME@imagenet``. Where a file is neither in the
cache nor to be had, it is told which, and where to put it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

from fullconv.cards.card import Card, Kind
from fullconv.cards.folder import WEIGHTS, card_of_folder
from fullconv.cards.transformers import ONNX
from fullconv.errors import BadInput, MissingExtra
from fullconv.formats.torch.quiet import quiet
from fullconv.formats.torch.shards import is_index, shards_of
from fullconv.maps.labelfiles import labels_in
from fullconv.rasters.preprocess import NAMED, Preprocess
from fullconv.system.libraries import library

Found = tuple[Card, tuple[str, ...]]
_HUB = re.compile(r"[\w.\-]+/[\w.\-]+", re.ASCII)
_HUBS = ("hf", "hfhub", "huggingface", "hugging-face")  # what people call it beside its name
# TIAToolbox's patch classifiers: what its configuration has of each data set.
_TIATOOLBOX: Mapping[str, tuple[int, float, tuple[str, ...]]] = {
    "kather100k": (224, 0.5, ("BACK", "NORM", "DEB", "TUM", "ADI", "MUC", "MUS", "STR", "LYM")),
    "pcam": (96, 1.0, ("no tumour", "tumour")),
}


def card_of_name(name: str, weights: Any) -> Found | None:
    """The card of a name in a zoo; None where it is none, or names an architecture alone, whose weights are given apart.

    Raises:
        BadInput: there is no such name; its files are neither in the cache nor to be had; or weights are given for a name that has its own.
    """
    zoo, colon, rest = name.partition(":")
    if colon and (
        rest.startswith("hf-hub:") or zoo.replace("_", "-") in (*_HUBS, *(["hf-hub"] if "_" in zoo else ()))
    ):  # as timm and others write them
        raise BadInput(f"{name}: repositories of the hub are named so: hf-hub:{rest.rpartition(':')[2]}")
    if zoo in _ZOOS and colon and not rest.strip():
        raise BadInput(f"{name}: names nothing; write {zoo}:NAME (docs/cards.md has the names of zoos)")
    if not colon or zoo not in _ZOOS or (zoo == "timm" and ("." not in rest or weights is not None)):
        return None
    if zoo == "torchvision" and "@" not in rest:
        return None
    if weights is not None:
        raise BadInput(f"{name}: has weights of its own; leave out --weights, or name the architecture alone")
    return _ZOOS[zoo](name, rest)


def _torchvision(name: str, rest: str) -> Found:
    models = library("torchvision.models", "torchvision")
    model, _, which = rest.partition("@")
    known = models.list_models(module=models)
    if model not in known:
        raise BadInput(f"{name}: torchvision has no classifier of this name{_near(model, known)}")
    kinds = models.get_model_weights(model)
    if which not in kinds.__members__:
        raise BadInput(f"{name}: torchvision's {model} has the weights {', '.join(kinds.__members__)}, not {which!r}")
    own = kinds[which]
    preset = own.transforms()
    crop = preset.crop_size[0]
    card = Card(
        name, network=f"torchvision:{model}", weights=str(_by_torch_hub(name, own.url)), input_shape=(3, crop, crop),
        preprocess=Preprocess("RGB", 1 / 255, tuple(preset.mean), tuple(preset.std)), classes=tuple(map(Kind, own.meta.get("categories", ()))),
        source=own.url,
    )  # fmt: skip
    return card, ()


def _timm(name: str, rest: str) -> Found | None:
    timm = library("timm", "timm")
    if not timm.is_model(rest):
        return None  # which the reader tells, with near names
    try:
        own = timm.get_pretrained_cfg(rest, allow_unregistered=False)
    except RuntimeError:  # no such tag
        own = None
    if own is None or not (own.hf_hub_id or own.url):
        raise BadInput(f"{name}: timm has no weights of this tag{_near(rest, timm.list_pretrained())}")
    path = _by_hub(name, own.hf_hub_id, WEIGHTS) if own.hf_hub_id else _by_torch_hub(name, own.url)
    labels = own.label_names or (labels_in("imagenet1k") if own.num_classes == 1000 and rest.endswith("in1k") else ())
    channels, height, width = own.input_size
    card = Card(
        name, network=f"timm:{rest.partition('.')[0]}", weights=str(path), input_shape=(channels, height, width),
        preprocess=Preprocess("RGB" if channels == 3 else "grey", 1 / 255, tuple(own.mean), tuple(own.std)), classes=tuple(map(Kind, labels)),
        licence=own.license, source=own.hf_hub_id or own.url,
    )  # fmt: skip
    return card, ()


def _hub(name: str, rest: str) -> Found:
    if not _HUB.fullmatch(rest):
        raise BadInput(f"{name}: is no repository of the hub; write hf-hub:OWNER/NAME")
    return _snapshot(name, rest, None)


def _snapshot(name: str, repository: str, revision: str | None) -> Found:
    """The card of a repository's folder in the hub's cache."""
    config = _by_hub(name, repository, ("config.json",), revision)
    data = _json(config)
    script = "patch_size_pixels" in data or "spacing_um_px" in data
    faces = "architectures" in data and "architecture" not in data  # of transformers, whose preprocessing lies apart
    if not script and not faces and "architecture" not in data:
        card_of_folder(config)  # which says that it is of no kind that is known
    others = (*WEIGHTS, *ONNX) if faces else WEIGHTS
    weights = _by_hub(name, repository, ("torchscript_model.pt",) if script else others, revision)
    for shard in shards_of(weights) if is_index(weights) else ():
        _by_hub(name, repository, (shard,), revision)
    gone: tuple[str, ...] = ()
    if faces:
        try:
            _by_hub(name, repository, ("preprocessor_config.json", "processor_config.json"), revision)
        except BadInput as error:  # some have none, which the folder's reader tells
            gone = (str(error),)
    card, notes = card_of_folder(config)
    return replace(card, origin=name, source=card.source or repository), (*gone, *notes)


def _wsinfer(name: str, rest: str) -> Found:
    registry = Path.home() / ".wsinfer-zoo" / "wsinfer-zoo-registry.json"
    if not registry.is_file():
        raise BadInput(
            f"{name}: WSInfer's list of models is not here ({registry}); pip install wsinfer-zoo and run `wsinfer-zoo ls` once, or name the "
            "model's repository: hf-hub:OWNER/NAME"
        )
    models = _json(registry).get("models")
    if not isinstance(models, dict) or not isinstance(models.get(rest), dict):
        raise BadInput(
            f"{name}: WSInfer's zoo has no such model{_near(rest, list(models) if isinstance(models, dict) else [])}"
        )
    repository, revision = models[rest].get("hf_repo_id"), models[rest].get("hf_revision")
    if not isinstance(repository, str) or not _HUB.fullmatch(repository) or not isinstance(revision, str | None):
        raise BadInput(f"{registry}: its entry of {rest!r} names no repository of the hub")
    return _snapshot(name, repository, revision)


def _tiatoolbox(name: str, rest: str) -> Found:
    model, _, data = rest.rpartition("-")
    if data not in _TIATOOLBOX or not model:
        raise BadInput(
            f"{name}: write tiatoolbox:NAME-DATASET, resnet18-kather100k say; data sets are {', '.join(_TIATOOLBOX)}"
        )
    path = Path.home() / ".tiatoolbox" / "models" / f"{rest}.pth"
    if not path.is_file():
        raise BadInput(
            f"{name}: its weights are not here; put {rest}.pth of TIAToolbox (huggingface.co/TIACentre/TIAToolbox_pretrained_weights) at {path}"
        )
    side, mpp, labels = _TIATOOLBOX[data]
    card = Card(
        name, network=f"torchvision:{model.replace('-', '_')}", weights=str(path), input_shape=(3, side, side), preprocess=NAMED["unit"],
        classes=tuple(map(Kind, labels)), activation="softmax", pixel_size=mpp, source="TIAToolbox",
    )  # fmt: skip
    return card, ()


def _keras(name: str, rest: str) -> Found:
    reader, applications = (import_module(f"fullconv.formats.keras.{part}") for part in ("read", "applications"))
    maker = applications.maker_of(reader.keras_by_torch(), name)
    source = f"keras.applications.{rest.partition('@')[0]}"
    notes: tuple[str, ...] = ()
    try:
        labels = tuple(map(Kind, labels_in("imagenet1k")))
    except MissingExtra as error:  # the network is whole without
        labels, notes = (), (f"{name}: classes have their numbers alone: {error}",)
    card = Card(name, network=name, preprocess=applications.preprocessing_of(maker), classes=labels, source=source)
    return card, notes


_ZOOS: Mapping[str, Callable[[str, str], Found | None]] = {
    "torchvision": _torchvision,
    "timm": _timm,
    "hf-hub": _hub,
    "wsinfer": _wsinfer,
    "tiatoolbox": _tiatoolbox,
    "keras": _keras,
}


def _by_torch_hub(name: str, url: str) -> Path:
    """A file by PyTorch's downloader, from its cache where it is there."""
    hub = import_module("torch.hub")
    path = Path(hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = re.search(r"-([a-f0-9]{8,})\.", path.name)
        hub.download_url_to_file(url, str(path), digest[1] if digest is not None else None, progress=False)
    except Exception as error:  # of the network, or of a file that is not what its name says
        raise BadInput(f"{name}: its weights are not here and cannot be had ({error}); put {url} at {path}") from None
    return path


def _by_hub(name: str, repository: str, files: tuple[str, ...], revision: str | None = None) -> Path:
    """The first of these files that a repository has, by the hub's own downloader, from its cache where it is there."""
    hub = library("huggingface_hub", "huggingface_hub")
    reason, cached = "", False
    for file in files:
        try:
            with quiet():  # it tells of every try
                return Path(hub.hf_hub_download(repository, file, revision=revision, local_files_only=cached))
        except Exception as error:  # of the network, of the hub, or because it is offline
            lines = str(error).strip().splitlines()
            reason = reason or (lines[0].partition(". ")[0] if lines else type(error).__name__)
            cached = isinstance(error, FileNotFoundError)  # no answer: it is not asked for the next, but its cache is
    cache = Path(import_module("huggingface_hub.constants").HF_HUB_CACHE)
    raise BadInput(
        f"{name}: {files[0]} is neither in the hub's cache ({cache}) nor to be had ({reason[:200]}). Where there is a network: hf download {repository}; "
        "then copy the cache here, or give the downloaded folder as MODEL"
    )


def _json(path: Path) -> Mapping[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not valid JSON: {error}") from None
    return data if isinstance(data, dict) else {}


def _near(name: str, names: list[str]) -> str:
    close = get_close_matches(name, names, 3)
    return f"; did you mean {', '.join(close)}?" if close else ""
