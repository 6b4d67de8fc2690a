"""Pictures that are decoded whole, and what turns pixels into a network's channels, and into pictures for people."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from fullconv.errors import BadInput
from fullconv.system.guard import reads, require_file

_SAMPLED = 1024  # pixels a side that a stretch is measured on
Pixels = npt.NDArray[Any]  # (H, W, C)
_PHOTOMETRIC = 262
FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "PPM")  # never one whose reader runs another program
_ROWS = 64
GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601, as Pillow and Caffe's loaders


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture as it is stored.

    Attributes:
        pixels: (H, W, C); colours as RGB, upright.
        cover: (H, W), how much of each pixel is there, of 255; None where all of all is.
        inverted: 0 is white.
        remarks: what was decided or left alone, in words.
    """

    pixels: Pixels
    cover: npt.NDArray[np.uint8] | None = None
    inverted: bool = False
    remarks: tuple[str, ...] = ()


def decoded(source: Any) -> Decoded:
    """A path, a PIL image, or an array of (H, W) or (H, W, C), masked or not: EXIF's rotation applied, palettes resolved, numbers as they stand.

    Raises:
        BadInput: it is none of these, or damaged.
    """
    if isinstance(source, str | Path):
        return _read_file(Path(source))
    if isinstance(source, Image.Image):
        return _opened(source)
    if isinstance(source, np.ma.MaskedArray):
        return _masked(source)
    if isinstance(source, np.ndarray):
        pixels = _array(np.asarray(source))
        return Decoded(pixels, remarks=_of_one(pixels))
    way = "; give numpy.asarray(image), rows and columns first" if hasattr(source, "__array__") else ""
    raise BadInput(f"an image must be a path, a PIL image or an array, not {type(source).__name__}{way}")


def _opened(image: Image.Image) -> Decoded:
    """A PIL image, whose file may be read only now."""
    try:
        return _pixels(image, "the image")
    except BadInput:
        raise
    except Exception as error:  # it was closed, or its file does not decode
        raise BadInput(f"the image: cannot be read ({' '.join(str(error).split())[:200]})") from None


def _masked(array: np.ma.MaskedArray[Any, Any]) -> Decoded:
    """A masked array: pixels whose bands are all masked are missing, as those of a stated value are."""
    pixels, gone = _array(np.ma.getdata(array)), np.ma.getmaskarray(array)
    whole = np.asarray(gone if gone.ndim == 2 else gone.all(axis=2))
    return Decoded(pixels, np.where(whole, 0, 255).astype(np.uint8) if whole.any() else None, remarks=_of_one(pixels))


def _of_one(pixels: Pixels) -> tuple[str, ...]:
    """Of an array whose numbers are shares of 1, where preprocessings count to 255."""
    if pixels.dtype.kind != "f" or not 0 < np.nanmax(pixels, initial=0) <= 1:
        return ()
    return (
        "the image: no number of it is above 1, and they are taken as they stand, on 0..255; multiply by 255 where 1 is white",
    )


def _read_file(path: Path) -> Decoded:
    require_file(path, "image")
    reads(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata that it cannot read, say, and that nothing here needs
            with Image.open(path, formats=FORMATS) as image:
                return _pixels(image, str(path))
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise BadInput(
            f"{path}: declares more than {limit} megapixels, which may be a decompression bomb; if it is none, install rasterio, "
            "which reads it piece by piece: pip install 'fullconv[geo]'"
        ) from None
    except UnidentifiedImageError:
        raise BadInput(f"{path}: not an image that can be read (PNG, JPEG, TIFF and WebP can)") from None
    except MemoryError:
        raise BadInput(f"{path}: says that it is larger than what memory there is; it may be damaged") from None
    except BadInput:
        raise
    except Exception as error:  # Pillow's decoders have errors of many kinds
        raise BadInput(f"{path}: damaged or truncated image ({' '.join(str(error).split())[:200]})") from None


def _pixels(image: Image.Image, name: str) -> Decoded:
    remarks = []
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        remarks.append(f"{name}: holds {frames} pictures, the first is read")
    if image.info.get("icc_profile"):
        remarks.append(f"{name}: holds a colour profile, which is left alone")
    deep = image.format == "PNG" and image.mode == "I"  # 16 bits of grey, by older versions of Pillow
    white_is_zero = image.mode.startswith("I;16") and getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0
    upright: Image.Image = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16") or upright.mode in ("I", "F"):
        array = np.asarray(upright)
        if deep or upright.mode.startswith("I;16"):
            array = array.astype(np.uint16)
        return Decoded(_array(array), None, white_is_zero, tuple(remarks))
    if "transparency" in upright.info or upright.mode in ("LA", "PA", "La", "RGBa"):
        grey = upright.mode in ("L", "LA", "La", "1")
        upright = upright.convert("RGBA")
        bands = np.asarray(upright)
        return Decoded(bands[:, :, : 1 if grey else 3], bands[:, :, 3], False, tuple(remarks))
    if upright.mode == "RGBA":
        bands = np.asarray(upright)
        return Decoded(bands[:, :, :3], bands[:, :, 3], False, tuple(remarks))
    if upright.mode == "1":
        upright = upright.convert("L")
    if upright.mode not in ("L", "RGB"):
        if upright.mode != "P":
            remarks.append(f"{name}: holds colours as {upright.mode}, which are converted to RGB")
        upright = upright.convert("RGB")
    return Decoded(_array(np.asarray(upright)), None, False, tuple(remarks))


def _array(array: npt.NDArray[Any]) -> Pixels:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.size == 0:
        raise BadInput(f"an image array must have the shape (H, W) or (H, W, C), found {array.shape}")
    if array.dtype.kind not in "fiub":
        raise BadInput(f"an image array must hold numbers, found {array.dtype}")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


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


def to_channels(pixels: Pixels, channels: int, room: Pixels | None = None) -> tuple[Pixels, str | None]:
    """The image with the network's channels, and what was done, in words.

    Grey is repeated for a network of three channels, colour becomes luminance for one of one.

    Args:
        room: (rows, W, 1) float32, of as many rows at least, which luminance may be laid into.
    """
    have = pixels.shape[2]
    if have == channels:
        return pixels, None
    if have == 1 and channels == 3:
        return np.repeat(pixels, 3, axis=2), "grey image given to a colour network: its channel is repeated"
    if have == 3 and channels == 1:
        return _luminance(pixels, room), "colour image given to a grey network: its luminance (ITU-R 601) is used"
    raise BadInput(f"the image has {have} channels and the network takes {channels}; no rule turns one into the other")


def _luminance(pixels: Pixels, room: Pixels | None = None) -> Pixels:
    """(H, W, 3) to (H, W, 1) float32, a few rows at a time, which stay in the processor's cache."""
    height, width, _ = pixels.shape
    grey = np.empty((height, width, 1), np.float32) if room is None else room[:height]
    products = np.empty((min(height, _ROWS), width), np.result_type(pixels, np.float32))
    for row in range(0, height, _ROWS):
        part, into = pixels[row : row + _ROWS], grey[row : row + _ROWS, :, 0]
        np.multiply(part[:, :, 0], GREY[0], out=into)
        for channel in (1, 2):
            into += np.multiply(part[:, :, channel], GREY[channel], out=products[: len(part)])
    return grey


def to_picture(pixels: Pixels) -> Image.Image:
    """An RGB picture of the pixels, for people; of more than three bands the first three, of two the first.

    What is not 8 bits deep is stretched from its 2nd to its 98th percentile: a scene of 16 bits fills a tenth of its range.
    """
    shown = pixels[:, :, :3] if pixels.shape[2] >= 3 else pixels[:, :, :1]
    eight = shown if shown.dtype == np.uint8 else np.clip(np.rint(_stretched(shown)), 0, 255).astype(np.uint8)
    return Image.fromarray(eight[:, :, 0] if eight.shape[2] == 1 else eight).convert("RGB")


def _stretched(pixels: Pixels) -> Pixels:
    """On 0..255; whole numbers of that range are left as they are."""
    step = max(1, max(pixels.shape[:2]) // _SAMPLED)
    some = pixels[::step, ::step]
    some = some[np.isfinite(some).all(axis=2) & (some != 0).any(axis=2)]  # nothing but zeros is no data
    if not some.size or (some.min() >= 0 and some.max() <= 255 and (some == np.rint(some)).all()):
        return np.nan_to_num(pixels)
    low, high = (float(end) for end in np.percentile(some, (2, 98)))
    return np.nan_to_num((pixels - low) * (255 / max(high - low, 1e-12)))
