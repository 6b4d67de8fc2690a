"""Caffe's text files: prototxts."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from fullconv.errors import BadInput
from fullconv.formats.caffe.proto import caffe_pb2 as pb
from fullconv.formats.spelt import as_text, text_of

_MAX_BYTES = 64 << 20  # the largest known prototxts are below 1 MB

_TOP = 10  # lines of comment
_CEIL_MODE = re.compile(r"""("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\#[^\n]*)|\bceil_mode\s*:\s*(\w+)""")
_ROUNDING = dict.fromkeys(("true", "t", "1"), "CEIL") | dict.fromkeys(("false", "f", "0"), "FLOOR")
_UNKNOWN = "has no field named"


def read_prototxt(path: Path) -> Any:
    """A NetParameter as written, not upgraded."""
    if path.stat().st_size > _MAX_BYTES:
        raise BadInput(f"{path}: {path.stat().st_size >> 20} MB is no prototxt; are network and weights exchanged?")
    raw = path.read_bytes()
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise BadInput(f"{path}: is text in UTF-16, which Caffe does not read; save it as UTF-8")
    text = text_of(raw)
    if text is None:
        raise BadInput(
            f"{path}: this is a binary file, not a prototxt; give the network (.prototxt) here and the weights with --weights"
        )
    return parse_prototxt(text, str(path))


def comment(path: Path, key: str) -> str | None:
    """What a comment at the top says behind ``# key: ``; None where there is none."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for _ in range(_TOP):
            line = file.readline(_MAX_BYTES)
            if not line.startswith("#"):
                return None
            if line.startswith(f"# {key}: "):
                return line.partition(": ")[2].strip()
    return None


def parse_prototxt(text: str, name: str = "prototxt") -> Any:
    """A NetParameter from text; ``name`` is told in errors, with line and column."""
    net = pb.NetParameter()
    try:
        text_format.Parse(_with_rounding(text), net)
    except text_format.ParseError as error:
        line, column = error.GetLine(), error.GetColumn()
        what = str(error).split(" : ", 1)[-1].replace("fullconv.caffe.", "")
        where = f"{name}:{line}:{column}" if line else name
        lines = text.split("\n")  # as protobuf counts them
        near = lines[line - 1].strip()[:80] if line and line <= len(lines) else ""
        way = (
            "; Caffe 1.0 has none, another version wrote it: leave it out if it changes nothing at test time"
            if _UNKNOWN in what
            else ""
        )
        what = what.rstrip(".") + way if way else what
        raise BadInput(f"{where}: not a valid prototxt: {what}" + (f"\n  at: {near}" if near else "")) from None
    as_text(net)
    if not net.layer and not net.layers:
        raise BadInput(f"{name}: holds no layers; a network's deploy.prototxt or train_val.prototxt is needed")
    return net


def _with_rounding(text: str) -> str:
    """How pools round as Caffe 1.0 says it, where another version wrote ``ceil_mode: false`` for ``round_mode: FLOOR``."""

    def respelt(found: re.Match[str]) -> str:
        if found[1] is not None:  # a text or a comment
            return found[0]
        return f"round_mode: {_ROUNDING.get(found[2].lower(), found[2])}"

    return _CEIL_MODE.sub(respelt, text) if "ceil_mode" in text else text


def print_prototxt(message: Any) -> str:
    """The text of a message."""
    return text_format.MessageToString(message)
