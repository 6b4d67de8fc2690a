"""Options of how pixels become a network's input: --preprocess, --mean and --std; the command gets ``preprocess``."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from fullconv.cli.help import IMAGE, option
from fullconv.cli.options import Input
from fullconv.cli.reading import numbers_of
from fullconv.cli.terminal import note

_OPTIONS = (
    option(
        "--preprocess", "-p", group=IMAGE, type=Input(), metavar="HOW", brief="raw, unit, signed, imagenet, caffe, or a file.",
        help="Pixels to the network's input: raw (0..255), unit (0..1), signed (-1..1), imagenet, caffe (BGR less 104, 117, 123), or a file: JSON (channels, scale, "
        "mean, std; albumentations', Hugging Face's or timm's), text that a transform of torchvision printed (.txt), or Caffe's mean.binaryproto.",
    ),
    option(
        "--mean", group=IMAGE, metavar="N,...",
        help="Mean that is taken off, one number or one a channel: 0.7,0.6,0.7 of pixels on 0..1, 178,153,178 of pixels on 0..255. Instead of --preprocess's own.",
    ),
    option("--std", group=IMAGE, metavar="N,...", help="What is divided by then, on the same scale as --mean. Instead of --preprocess's own."),
)  # fmt: skip


def preprocess_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """All three."""

    @wraps(command)
    def with_pixels(preprocess: str | None, mean: str | None, std: str | None, **rest: Any) -> Any:
        return command(preprocess=_asked(preprocess, mean, std), **rest)

    wrapped: Callable[..., Any] = with_pixels
    for each in reversed(_OPTIONS):
        wrapped = each(wrapped)
    return wrapped


def _asked(preprocess: str | None, mean: str | None, std: str | None) -> Any:
    if mean is None and std is None:
        return preprocess
    from fullconv.rasters.preprocess import normalized

    made = normalized(preprocess, _typed("--mean", mean), _typed("--std", std))
    if preprocess is None:
        scale = "0..1" if made.scale != 1 else "0..255"
        note(
            f"--mean and --std are taken of pixels on {scale}, colours as RGB; -p unit or -p raw says it, -p caffe is BGR"
        )
    return made


def _typed(name: str, text: str | None) -> tuple[float, ...] | None:
    return None if text is None else tuple(numbers_of(name, text))
