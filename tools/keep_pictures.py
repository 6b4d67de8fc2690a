"""Keep the pictures that the tests compare with, once somebody has looked at them.

    python -m tools.keep_pictures FOLDER

Writes every picture into FOLDER, to be looked at, and their thumbnails into tests/render/kept.png.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image
from tests.render.test_kept import ACROSS, KEPT, PICTURES, SIDE, thumbnail


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    sheet = Image.new("RGB", (ACROSS * SIDE, -(-len(PICTURES) // ACROSS) * SIDE))
    for i, (name, draw) in enumerate(PICTURES.items()):
        picture = draw()
        picture.save(folder / f"{name}.png")
        sheet.paste(thumbnail(picture), (i % ACROSS * SIDE, i // ACROSS * SIDE))
    sheet.save(KEPT)


if __name__ == "__main__":
    main()
