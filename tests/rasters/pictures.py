"""Images on disk, of every kind that is read, made from one array."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
import tifffile
import zarr
from PIL import Image
from rasterio.transform import from_origin

PLACE = from_origin(500_000, 4_600_000, 10, 10)


def scene(height: int = 700, width: int = 900, bands: int = 3, seed: int = 0) -> np.ndarray:
    """Smooth shapes with noise, (H, W, bands) uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    planes = [
        127 + 80 * np.sin(x / (17 + 5 * i)) * np.cos(y / (23 + 3 * i)) + rng.normal(0, 9, (height, width))
        for i in range(bands)
    ]
    return np.clip(np.stack(planes, axis=2), 0, 255).astype(np.uint8)


def geotiff(path: Path, pixels: np.ndarray, **extra) -> Path:
    height, width, bands = pixels.shape
    overviews = extra.pop("overviews", ())
    alpha = extra.pop("alpha", False)
    profile = {
        "driver": "GTiff", "height": height, "width": width, "count": bands, "dtype": str(pixels.dtype), "tiled": True, "blockxsize": 256,
        "blockysize": 256, "compress": "deflate", "crs": "EPSG:32631", "transform": PLACE, **extra,
    }  # fmt: skip
    if alpha:
        profile |= {"photometric": "rgb", "ALPHA": "yes"}
    with rasterio.open(path, "w", **profile) as file:
        file.write(pixels.transpose(2, 0, 1))
        if overviews:
            file.build_overviews(overviews, rasterio.enums.Resampling.average)
    return path


def svs(path: Path, pixels: np.ndarray, mpp: float = 0.5, tile: int = 256) -> Path:
    """A slide as Aperio's scanners write it: JPEG tiles, levels of a quarter of the size."""
    about = f"Aperio Image Library v11.2.1\n{pixels.shape[1]}x{pixels.shape[0]} (256x256) JPEG/RGB Q=90|AppMag = 20|MPP = {mpp}"
    with tifffile.TiffWriter(path) as file:
        level = pixels
        for i in range(3):
            file.write(
                level, tile=(tile, tile), photometric="rgb", compression="jpeg", compressionargs={"level": 95}, subifds=0,
                description=about if i == 0 else about + "|level", metadata=None,
            )  # fmt: skip
            height, width = level.shape[0] // 4 * 4, level.shape[1] // 4 * 4
            blocks = level[:height, :width].reshape(height // 4, 4, width // 4, 4, 3)
            level = np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)
    return path


def ome_tiff(path: Path, pixels: np.ndarray, mpp: float = 0.25) -> Path:
    with tifffile.TiffWriter(path, ome=True) as file:
        about = {
            "axes": "YXS",
            "PhysicalSizeX": mpp,
            "PhysicalSizeY": mpp,
            "PhysicalSizeXUnit": "µm",
            "PhysicalSizeYUnit": "µm",
        }
        file.write(pixels, tile=(128, 128), photometric="rgb", compression="deflate", metadata=about, subifds=1)
        file.write(pixels[::2, ::2], tile=(128, 128), photometric="rgb", compression="deflate", subfiletype=1)
    return path


def ome_zarr(path: Path, pixels: np.ndarray, version: str = "0.5", mpp: float = 0.25) -> Path:
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    datasets = []
    for level, part in enumerate((pixels, pixels[::2, ::2])):
        planes = np.ascontiguousarray(part.transpose(2, 0, 1))
        array = group.create_array(str(level), shape=planes.shape, chunks=(1, 128, 128), dtype=planes.dtype)
        array[...] = planes
        scale = [1.0, mpp * 2**level, mpp * 2**level]
        datasets.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space", "unit": "micrometer"} for n in "yx")]
    about = {"multiscales": [{"axes": axes, "datasets": datasets, "version": version}]}
    group.attrs.update(about if version == "0.4" else {"ome": {"version": "0.5", **about}})
    return path


def png(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def pages(
    page: np.ndarray, height: int, width: int, places: list[tuple[int, int]], background: int = 243
) -> np.ndarray:
    """Pages (H, W) laid on glass, (height, width, 3)."""
    out = np.full((height, width, 3), background, np.uint8)
    for top, left in places:
        out[top : top + page.shape[0], left : left + page.shape[1]] = page[:, :, None]
    return out


def examples(page: np.ndarray, folder: Path) -> tuple[Path, Path]:
    """What the guides map: a slide of three pages on glass, and a scanned sheet with its place on the earth."""
    sheet = pages(page, 2600, 3400, [(120, 150), (1500, 700), (700, 2250)])
    slide = svs(folder / "slide.svs", sheet, mpp=0.25)
    scene = geotiff(folder / "scene.tif", np.tile(page[:, :, None], (2, 2, 1)), overviews=(2, 4))
    return slide, scene
