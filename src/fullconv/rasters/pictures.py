"""Images of any kind as (H, W, C) pixels, colours as RGB, on a scale of 0..255."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from fullconv.errors import BadInput
from fullconv.system.guard import reads, require_file

Pixels = npt.NDArray[Any]  # (H, W, C), uint8 or float32
_ROWS = 64
_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601, as Pillow and Caffe's loaders


def read_image(source: Any) -> Pixels:
    """A path, a PIL image, or an array of (H, W) or (H, W, C).

    Rotation by EXIF is applied, palettes are resolved, 16 bits are scaled to 0..255, transparency is laid over
    white. Arrays of uint8 are taken as they are, uint16 is scaled, floats are taken to be on 0..255 already.
    """
    if isinstance(source, str | Path):
        return _read_file(Path(source))
    if isinstance(source, Image.Image):
        return _pixels(source)
    if isinstance(source, np.ndarray):
        return _array(source)
    raise BadInput(f"an image must be a path, a PIL image or an array, not {type(source).__name__}")


def _read_file(path: Path) -> Pixels:
    require_file(path, "image")
    reads(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return _pixels(image)
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise BadInput(
            f"{path}: declares more than {limit} megapixels, which may be a decompression bomb; if it is none, map it tile by tile: -o x.zarr"
        ) from None
    except UnidentifiedImageError:
        raise BadInput(f"{path}: not an image that can be read (PNG, JPEG, TIFF and WebP can)") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise BadInput(f"{path}: damaged or truncated image ({error})") from None


def _pixels(image: Image.Image) -> Pixels:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode == "I":
        return _array(np.asarray(image).astype(np.float32) / 257.0)
    if image.mode == "F":
        return _array(np.asarray(image))
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode in ("LA", "RGBA", "PA", "La", "RGBa"):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if image.mode == "1":
        image = image.convert("L")
    if image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    return _array(np.asarray(image))


def _array(array: npt.NDArray[Any]) -> Pixels:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.size == 0:
        raise BadInput(f"an image array must have the shape (H, W) or (H, W, C), found {array.shape}")
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    if array.dtype == np.uint16:
        return array.astype(np.float32) / 257.0
    if array.dtype.kind not in "fiu":
        raise BadInput(f"an image array must hold numbers, found {array.dtype}")
    out = array.astype(np.float32, copy=False)
    if not np.isfinite(out).all():
        raise BadInput("an image array must be finite, found NaN or infinite values")
    return out


def resized(pixels: Pixels, height: int, width: int) -> Pixels:
    """The image at another size, antialiased (a triangle filter over what a pixel covers), its dtype kept."""
    planes = [
        np.asarray(
            Image.fromarray(pixels[:, :, i].astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
        )
        for i in range(pixels.shape[2])
    ]
    found = np.stack(planes, axis=2)
    return np.rint(found).astype(np.uint8) if pixels.dtype == np.uint8 else found


def to_channels(pixels: Pixels, channels: int) -> tuple[Pixels, str | None]:
    """The image with the network's channels, and what was done, in words.

    Grey is repeated for a network of three channels, colour becomes luminance for one of one.
    """
    have = pixels.shape[2]
    if have == channels:
        return pixels, None
    if have == 1 and channels == 3:
        return np.repeat(pixels, 3, axis=2), "grey image given to a colour network: its channel is repeated"
    if have == 3 and channels == 1:
        return _luminance(pixels), "colour image given to a grey network: its luminance (ITU-R 601) is used"
    raise BadInput(f"the image has {have} channels and the network takes {channels}; no rule turns one into the other")


def _luminance(pixels: Pixels) -> Pixels:
    """(H, W, 3) to (H, W, 1) float32, a few rows at a time, which stay in the processor's cache."""
    grey = np.empty((*pixels.shape[:2], 1), np.float32)
    for row in range(0, len(pixels), _ROWS):
        part, into = pixels[row : row + _ROWS], grey[row : row + _ROWS, :, 0]
        np.multiply(part[:, :, 0], _GREY[0], out=into)
        for channel in (1, 2):
            into += part[:, :, channel] * _GREY[channel]
    return grey


def to_picture(pixels: Pixels) -> Image.Image:
    """An RGB picture of the pixels, for people."""
    eight = np.clip(np.rint(pixels), 0, 255).astype(np.uint8) if pixels.dtype != np.uint8 else pixels
    if eight.shape[2] not in (1, 3):
        eight = eight[:, :, :1]
    return Image.fromarray(eight[:, :, 0] if eight.shape[2] == 1 else eight).convert("RGB")
