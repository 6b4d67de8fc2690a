"""Pictures within a page: as large as what is left of its bytes allows, so that a page is bounded whatever is drawn."""

from __future__ import annotations

import base64
import io

from PIL import Image, features

from fullconv.reports.html import Html, tag

TOTAL = 2_700_000  # bytes of a page's pictures; as text they take a third more
_QUALITIES = (88, 65)
_SHARP = 96  # px: smaller pictures keep their pixels, however large they are shown
_EXACT = 640  # px: larger pictures are not even tried without loss
_LEAST = 48  # px, the longer side below which what was larger shows nothing


class Pictures:
    """The pictures of one page."""

    def __init__(self, total: int = TOTAL) -> None:
        self.left = total

    def uri(self, picture: Image.Image, most: int) -> str | None:
        """A picture as an address that holds it; None where there is no room left.

        Args:
            most: bytes that it may take.
        """
        found = encoded(picture, min(most, self.left))
        if found is None:
            return None
        kind, data = found
        self.left -= len(data)
        return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"

    def image(self, picture: Image.Image | None, alt: str, most: int, kind: str = "") -> Html | None:
        """An ``img``."""
        uri = None if picture is None else self.uri(picture, most)
        if uri is None or picture is None:
            return None
        width, height = picture.size
        classes = f"{kind} pixels".strip() if max(picture.size) <= _SHARP else kind or None
        return tag("img", alt=alt, src=uri, width=width, height=height, class_=classes)


def encoded(picture: Image.Image, most: int) -> tuple[str, bytes] | None:
    """A picture in at most so many bytes, and how: without loss where that fits, else with as little as it takes, smaller where that is not enough."""
    picture = picture if picture.mode in ("RGB", "RGBA", "L") else picture.convert("RGB")
    if max(picture.size) <= _EXACT:
        exact = _saved(picture, "PNG")
        if len(exact) <= (most if max(picture.size) <= _SHARP else most // 4):
            return "png", exact
    kind = "webp" if features.check("webp") else "jpeg"
    least = min(_LEAST, max(picture.size))
    while max(picture.size) >= least:
        for quality in _QUALITIES:
            data = _saved(picture if kind == "webp" else flat(picture), kind, quality=quality)
            if len(data) <= most:
                return kind, data
        share = max(0.3, 0.9 * (most / len(data)) ** 0.5)
        width, height = (max(1, int(side * share)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    return None


def flat(picture: Image.Image) -> Image.Image:
    """Over white."""
    if picture.mode != "RGBA":
        return picture.convert("RGB")
    out = Image.new("RGB", picture.size, "white")
    out.paste(picture, mask=picture.getchannel("A"))
    return out


def _saved(picture: Image.Image, kind: str, **how: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **how)
    return buffer.getvalue()
