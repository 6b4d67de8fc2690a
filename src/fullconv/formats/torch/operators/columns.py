"""Windows as columns, and columns laid back: ``unfold`` and ``fold``, convolutions whose kernels have one weight of one each."""

from __future__ import annotations

from typing import Any

import numpy as np

from fullconv.formats.torch.operators.call import Call, Emitter, Spelling, spells


@spells("im2col", reads="self kernel_size dilation padding stride")
def im2col(call: Call) -> Spelling:
    """(n, c, h, w) to (n, c·k·k, windows), channels outermost."""
    channels = call.shape(call["self"])[1]
    named = _window(call, channels)

    def emit(b: Emitter, x: str) -> str:
        columns = b.op("Conv", x, _ones(b, channels, named["kernel_shape"]), **named)
        return b.op("Reshape", columns, b.ints(0, 0, -1))

    return Spelling("Im2Col", (call["self"],), emit=emit)


@spells("col2im", reads="self output_size kernel_size dilation padding stride")
def col2im(call: Call) -> Spelling:
    """(n, c·k·k, windows) to (n, c, h, w): where windows overlap, their sum."""
    size = [call.number(v) for v in call["output_size"]]
    channels = call.out[0][1]
    named = _window(call, channels)
    pads = named["pads"][:2]
    reach = [d * (k - 1) + 1 for d, k in zip(named["dilations"], named["kernel_shape"], strict=True)]
    cells = [(n + 2 * p - r) // s + 1 for n, p, r, s in zip(size, pads, reach, named["strides"], strict=True)]
    left = [
        n - ((m - 1) * s + r - 2 * p) for n, m, s, r, p in zip(size, cells, named["strides"], reach, pads, strict=True)
    ]

    def emit(b: Emitter, x: str) -> str:
        laid = b.op("Reshape", x, b.ints(0, 0, *cells))
        return b.op("ConvTranspose", laid, _ones(b, channels, named["kernel_shape"]), output_padding=left, **named)

    return Spelling("Col2Im", (call["self"],), emit=emit)


def _window(call: Call, channels: int) -> dict[str, Any]:
    return {
        "kernel_shape": call.pair(call["kernel_size"]),
        "strides": call.pair(call["stride"]),
        "pads": call.pair(call["padding"]) * 2,
        "dilations": call.pair(call["dilation"]),
        "group": channels,
    }


def _ones(b: Emitter, channels: int, kernel: list[int]) -> str:
    """(c·k·k, 1, k, k): each kernel reads one place of its window."""
    places = kernel[0] * kernel[1]
    one = np.eye(places, dtype=np.float32).reshape(places, 1, *kernel)
    return b.floats(np.tile(one, (channels, 1, 1, 1)))
