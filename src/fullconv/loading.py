"""Reading a network from wherever it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fullconv.cards.card import Card
from fullconv.cards.carried import beside_tensors, carried
from fullconv.cards.read import read_card
from fullconv.cards.said import as_said, of_loading
from fullconv.cards.taken import asked_beside, card_at, filled, require_same
from fullconv.errors import BadInput
from fullconv.formats.format import Reading
from fullconv.formats.registry import format_of
from fullconv.model import Model
from fullconv.surgery.plan import GlobalPooling, make_plan
from fullconv.system.guard import guarded, reads, require_file


def load(
    source: Any,
    weights: str | Path | None = None,
    input_shape: Sequence[int] | None = None,
    stages: Sequence[str] = (),
    ignore_unused_weights: bool = False,
    global_pooling: GlobalPooling | None = None,
    isolate: bool = False,
    check: bool | None = None,
    weights_prefix: str | None = None,
    rename: Sequence[str] = (),
    card: str | Path | None = None,
) -> Model:
    """Read a network.

    Args:
        source: a Caffe ``.prototxt`` (deploy or train_val; V0, V1 or V2), an ``.onnx`` or ``.pt2`` file, a name
            (``torchvision:resnet18``, ``timm:efficientnet_b0``, ``package.module:function``; with weights of a zoo: ``torchvision:resnet50@DEFAULT``,
            ``timm:resnet18.a1_in1k``, ``hf-hub:owner/name``, ``wsinfer:name``, ``tiatoolbox:resnet18-kather100k``, ``keras:ResNet50@imagenet``), a model card
            or folder, or an ``nn.Module``, an ``ExportedProgram`` or a ``ModelProto`` in memory.
        weights: a prototxt's ``.caffemodel`` or ``.caffemodel.h5``; without them it can be inspected, not run. Of a name, a
            ``.safetensors`` or ``.pth`` file (weights only: pickled code is never run).
        input_shape: (C, H, W) that it was trained on, where the file does not say.
        stages: stages whose layers take part, for networks with stage rules (DIGITS writes ``deploy``).
        ignore_unused_weights: go on where the weights file has layers that the network does not.
        global_pooling: what a cast makes of statistics pooled over the whole map that act on the map (squeeze-and-excite): ``local``
            pools the training-size window around each cell, ``global`` the whole input. Both differ from crops. ``local`` by default; a
            Model keeps its own.
        isolate: load, cast and run an ONNX network in a process of its own first, of bounded memory and time, since a hostile one may
            end the process that runs it; about a second. ``FULLCONV_ISOLATE=1`` asks for it everywhere.
        weights_prefix: where a PyTorch checkpoint holds the network's weights more than once (``model_ema``, ``student``), under which name.
        rename: ``OLD=NEW`` each: parts of names of a PyTorch checkpoint that are the network's under another name (``classifier=fc``).
        card: a model card (``.toml``) that says more of the network; what is given here wins. A card is a source by itself too, and so is a folder with
            a ``config.json`` (WSInfer, timm).
        check: whether a cast is run at several sizes and compared with this network before it is used; True by default.

    Raises:
        BadInput: the file is missing, damaged, or not what it claims to be.
        CannotRun: it has layers that nothing here can compute.
    """
    if global_pooling not in (None, "local", "global"):
        raise BadInput(f"global_pooling {global_pooling!r}: not local or global")
    if isinstance(source, Model):
        model = source if global_pooling is None else source.pooling(global_pooling)
        return model if check is None else model.checking(check)
    asked: dict[str, Any] = {
        "weights": weights, "input_shape": input_shape, "stages": stages, "ignore_unused_weights": ignore_unused_weights,
        "global_pooling": global_pooling, "isolate": isolate, "check": check, "weights_prefix": weights_prefix, "rename": rename,
    }  # fmt: skip
    found = (read_card(Path(card)), ()) if card is not None else card_at(source, weights)
    if found is None:
        model = _load(source, **asked)
        model.card, model.remarks = _own_card(model, weights)
        model.remarks = (*model.remarks, *_assumed(model, weights))
        return model
    about, remarks = found
    network = about.network if card is None else source
    if network is None:
        raise BadInput(f"{about.origin}: names no network; write it there (network = ...), or give MODEL with --card")
    with as_said(about.origin, of_loading(about, asked, names_network=card is None)):
        inner = card_at(network, weights or about.weights)
        if inner is not None:  # a folder, or a name of a zoo, within a card or beside one
            network = inner[0].network
            about = replace(filled(about, inner[0]), network=network, weights=inner[0].weights)
            remarks = (*remarks, *inner[1])
        given = asked_beside(about, asked)
        require_same(about, network, given["weights"])
        model = _load(network, **given)
        own, more = _own_card(model, given["weights"])
    model.card, model.remarks = about if own is None else filled(about, own), (*remarks, *more)
    model.remarks = (*model.remarks, *_assumed(model, given["weights"]))
    if model.origin is not None:
        whole = None if card is None else str(Path(card).resolve())
        model.origin = {**model.origin, **asked, "source": str(source), "card": whole}
        model.origin.pop("check"), model.origin.pop("isolate")
    model.files = (*model.files, *(path for path in (Path(about.origin),) if path.is_file()))
    return model


def _own_card(model: Model, weights: str | Path | None) -> tuple[Card | None, tuple[str, ...]]:
    """What a network's own file says of it, and the file of its weights; and what is to be known of that."""
    card, remarks = carried(model.format.metadata(model.native), str(model.path or "the network"))
    if weights is not None and Path(weights).suffix == ".safetensors":
        other, more = carried(beside_tensors(Path(weights)), str(weights))
        if other is not None:
            card = other if card is None else filled(card, other)
        remarks = (*remarks, *more)
    return card, remarks


def _assumed(model: Model, weights: Any) -> tuple[str, ...]:
    """What nobody says of weights, and is taken to be as for the library's own: how pixels go in."""
    library = model.format.preprocess(model.native)
    if weights is None or library is None or (model.card is not None and model.card.preprocess is not None):
        return ()
    return (
        f"nothing says how pixels go in with {weights}: where --preprocess does not, it is as with the library's own weights: {library.in_words()}",
    )


def _load(
    source: Any,
    *,
    weights: str | Path | None,
    input_shape: Sequence[int] | None,
    stages: Sequence[str],
    ignore_unused_weights: bool,
    global_pooling: GlobalPooling | None,
    isolate: bool,
    check: bool | None,
    weights_prefix: str | None,
    rename: Sequence[str],
) -> Model:
    """A network from its own file, name or object."""
    shape = None
    if input_shape is not None:
        if len(input_shape) != 3 or min(input_shape) < 1:
            raise BadInput(f"input_shape {tuple(input_shape)}: must be C, H, W, each at least 1")
        shape = (input_shape[0], input_shape[1], input_shape[2])
    beside = None if weights is None else Path(weights)
    if beside is not None:
        require_file(beside, "weights")
    kind = format_of(source)
    if kind.name != "torch" and (weights_prefix is not None or rename):
        raise BadInput(f"{source}: --weights-prefix and --rename are for weights files of PyTorch")
    reading = Reading(beside, shape, tuple(stages), ignore_unused_weights, isolate, weights_prefix, tuple(rename))
    path = Path(source) if isinstance(source, str | Path) else None
    with guarded(path, beside) as files:
        native = kind.read(source if path is None or kind.name == "torch" else path, reading)
    reads(*files)
    pooling: GlobalPooling = global_pooling or "local"
    if not kind.dialect.pools_locally and make_plan(kind.graph(native), kind.dialect, pooling).refusals:
        from fullconv.formats.in_onnx import with_gates

        kind, native = with_gates(kind, native, str(source), pooling)
    origin = {
        "source": str(source), "weights": None if beside is None else str(beside), "input_shape": shape,
        "stages": tuple(stages), "ignore_unused_weights": ignore_unused_weights, "global_pooling": pooling,
        "weights_prefix": weights_prefix, "rename": tuple(rename),
    }  # fmt: skip
    return Model(native, kind, path, pooling, files, origin=None if path is None else origin, checks=check is not False)
