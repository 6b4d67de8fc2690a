"""Pictures as PNG files."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fullconv.system.files import written_whole
from fullconv.system.guard import MARK


def save_png(picture: Image.Image, path: Path) -> None:
    """Write a picture, whole or not at all."""
    about = PngInfo()
    about.add_text("Software", MARK)
    with written_whole(path) as (part,):
        picture.save(part, format="PNG", pnginfo=about)
