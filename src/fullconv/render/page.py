"""A picture as it is written: pixels, and text that stays text where the format has any.

PNG and PDF are drawn by Pillow; SVG holds the pixels as a PNG, and text as text.
"""

from __future__ import annotations

import base64
import io
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache
from html import escape
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from fullconv.errors import BadInput
from fullconv.system.files import written_whole
from fullconv.system.guard import MARK

Rgb = tuple[int, int, int]
SUFFIXES = (".png", ".svg", ".pdf")
DPI = 100.0  # pixels an inch where nobody says
_QUALITY = 95  # of the JPEG within a PDF
_ASCENT = 0.93  # of a line's size, from its top to the line that letters stand on
_ANCHORS = {"l": "start", "m": "middle", "r": "end"}
_PLAIN = str.maketrans({"×": "x", "µ": "u", "–": "-", "…": "..."})
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@lru_cache(maxsize=32)
def font(size: int, *, wide: bool = False) -> Font:
    """The built-in font at a size in pixels, which has ASCII alone; ``wide``: one of the system's with more, where there is one."""
    if wide:
        for name in ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf"):
            try:
                return ImageFont.truetype(name, size)
            except OSError:
                continue
    return ImageFont.load_default(size)


def _drawable(text: str, size: int) -> tuple[str, Font]:
    """The text as a font here has it: letters that it lacks in plain ASCII, or as a question mark."""
    if text.isascii():
        return text, font(size)
    wide = font(size, wide=True)
    if "Aileron" not in str(wide.getname()[0] if isinstance(wide, ImageFont.FreeTypeFont) else "Aileron"):
        return text, wide
    plain = unicodedata.normalize("NFKD", text.translate(_PLAIN))
    return "".join(c if c.isascii() else "?" for c in plain if not unicodedata.combining(c)), wide


def width_of(text: str, size: int) -> float:
    """Pixels that a text takes."""
    shown, chosen = _drawable(text, size)
    return float(chosen.getlength(shown))


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text: its left, middle or right end (``anchor`` l, m or r) and its top, in pixels."""

    x: float
    y: float
    text: str
    size: int
    ink: Rgb
    anchor: str = "l"


@dataclass
class Page:
    """A picture in the making: ``image`` without its text, and the text."""

    image: Image.Image
    texts: list[Text] = field(default_factory=list)

    @property
    def draw(self) -> ImageDraw.ImageDraw:
        return ImageDraw.Draw(self.image)

    def write(self, x: float, y: float, text: str, size: int, ink: Rgb, anchor: str = "l") -> None:
        self.texts.append(Text(x, y, text, size, ink, anchor))

    def flat(self) -> Image.Image:
        """Text and all as pixels."""
        out = self.image.copy()
        draw = ImageDraw.Draw(out)
        for each in self.texts:
            shown, chosen = _drawable(each.text, each.size)
            draw.text((each.x, each.y), shown, fill=each.ink, font=chosen, anchor=f"{each.anchor}a")
        return out

    def save(self, path: Path, dpi: float = DPI) -> None:
        """Write it, whole or not at all, by the name's suffix.

        Args:
            dpi: how many pixels an inch are printed; the picture has the same pixels whatever it is.
        """
        kind = path.suffix.lower()
        if kind not in SUFFIXES:
            raise BadInput(f"{path}: pictures are {', '.join(SUFFIXES)}, by the name of the file")
        if not 1 <= dpi <= 10_000:
            raise BadInput(f"dpi {dpi:g}: must be from 1 to 10,000")
        with written_whole(path) as (part,):
            if kind == ".png":
                self.flat().save(part, format="PNG", pnginfo=_marked(), dpi=(dpi, dpi))
            elif kind == ".pdf":
                self.flat().save(part, format="PDF", resolution=dpi, quality=_QUALITY)
                with part.open("ab") as file:
                    file.write(f"% {MARK}\n".encode())  # a comment: Pillow spells what it knows of a file in UTF-16
            else:
                part.write_text(self._svg(dpi), encoding="utf-8")

    def _svg(self, dpi: float) -> str:
        width, height = self.image.size
        buffer = io.BytesIO()
        self.image.save(buffer, "PNG")
        pixels = base64.b64encode(buffer.getvalue()).decode()
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width / dpi:g}in" height="{height / dpi:g}in" viewBox="0 0 {width} {height}">',
            f"<!-- {MARK} -->",
            f'<image width="{width}" height="{height}" href="data:image/png;base64,{pixels}"/>',
            *(_svg_text(each) for each in self.texts),
            "</svg>\n",
        ]
        return "\n".join(lines)


def _svg_text(text: Text) -> str:
    """A line as wide as it is drawn here, whichever font the viewer takes, so that none meets another."""
    ink = "#{:02x}{:02x}{:02x}".format(*text.ink)
    shown = "".join(c for c in text.text if c.isprintable())
    return (
        f'<text x="{text.x:g}" y="{text.y + _ASCENT * text.size:g}" font-family="sans-serif" font-size="{text.size}" fill="{ink}" '
        f'text-anchor="{_ANCHORS[text.anchor]}" textLength="{max(1.0, width_of(text.text, text.size)):g}" '
        f'lengthAdjust="spacingAndGlyphs">{escape(shown)}</text>'
    )


def _marked() -> PngInfo:
    about = PngInfo()
    about.add_text("Software", MARK)
    return about
