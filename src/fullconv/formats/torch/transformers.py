"""Image classifiers of Hugging Face's transformers, by its own loader (extra ``transformers``), from a folder of this machine.

No code of a folder is run, and nothing is unpickled: ``trust_remote_code`` is off, and weights are safetensors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fullconv.errors import BadInput
from fullconv.formats.torch.quiet import quiet, told
from fullconv.system.libraries import library

LIBRARY = "transformers"
_LAYERS = 2000  # of a network, at most: its configuration comes from anyone
_ROOM = 1 << 20  # numbers that a network has beside those of its file: buffers that are made anew


def classifier_in(folder: Path) -> nn.Module:
    """The network of a folder with ``config.json`` and safetensors, from an image to its logits.

    Raises:
        MissingExtra: transformers is not installed.
        BadInput: it cannot be made, or the weights do not fill it.
    """
    hugging = library(LIBRARY, "transformers", "'fullconv[transformers]'")
    where = str(folder)
    _require_bounded(folder / "config.json")
    with quiet(), _in_silence(hugging):
        try:
            config = hugging.AutoConfig.from_pretrained(where, local_files_only=True, trust_remote_code=False)
            auto = hugging.AutoModelForImageClassification
            with torch.device("meta"):
                numbers = sum(each.numel() for each in auto.from_config(config, trust_remote_code=False).parameters())
            size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
            if numbers > size + _ROOM:  # a number takes a byte at least
                raise BadInput(
                    f"{folder}: its config.json is of a network of {numbers:,} numbers, and its weights have {size:,} bytes"
                )
            made, about = auto.from_pretrained(
                where, config=config, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32,
                output_loading_info=True, ignore_mismatched_sizes=True,
            )  # fmt: skip
        except BadInput:
            raise
        except Exception as error:  # its own, and those of the code that makes a network
            raise BadInput(f"{folder}: transformers {hugging.__version__} cannot load it ({told(error)})") from None
    wrong = [(what, name) for what in ("missing_keys", "mismatched_keys") for name in sorted(about[what], key=str)]
    if wrong:
        what, found = wrong[0]
        name = found if isinstance(found, str) else found[0]
        how = "missing" if what == "missing_keys" else f"of another shape ({tuple(found[1])} for {tuple(found[2])})"
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise BadInput(
            f"{folder}: its weights do not fill the network: {name!r} is {how}{more}; its config.json is of {config.num_labels} classes (id2label)"
        )
    return _Logits(made.eval())


class _Logits(nn.Module):
    """A classifier that gives the logits alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> Any:
        return self.model(pixel_values=x, return_dict=True).logits


def _require_bounded(config: Path) -> None:
    """BadInput where a configuration asks for more layers than any network has: they would be made one by one."""
    found = json.loads(config.read_text(encoding="utf-8-sig"))
    for key, value in found.items():
        if not re.search("layers|depth|blocks|repeats", str(key)):
            continue
        each = [number for number in (value if isinstance(value, list) else [value]) if isinstance(number, int | float)]
        if sum(each) > _LAYERS:
            raise BadInput(f"{config}: its {key} are {sum(each):,}, more than any network has")
    if "quantization_config" in found:
        raise BadInput(f"{config}: its network is quantised (quantization_config); give the one that was trained")


@contextmanager
def _in_silence(library: Any) -> Iterator[None]:
    """Neither bars nor warnings of what is told by errors here."""
    log = library.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()
