"""Bands by the names that an image gives them: red, nir, B04, DAPI. A band is never taken by its place where its name says another.

Names are compared by their letters and digits: ``B04``, ``Band 4`` and ``b4`` are one. What a satellite's numbers mean is known where the names say the
satellite: Sentinel-2, by a band 8A among them or GDAL's description, and, of numbers with two digits (``B04``), what Sentinel-2 and the harmonised series share.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fullconv.errors import BadInput

RGB = ("red", "green", "blue")
_SHOWN = 20
_NUMBER = re.compile(r"(?:sr)?b(?:and)?0*([0-9]{1,2}a?)")
_SAME = {"gray": "grey", "nearinfrared": "nir", "swir16": "swir1", "swir22": "swir2", "coastalaerosol": "coastal"}
_SENTINEL = {
    "b1": "coastal", "b2": "blue", "b3": "green", "b4": "red", "b5": "rededge1", "b6": "rededge2", "b7": "rededge3", "b8": "nir", "b8a": "nir08",
    "b9": "nir09", "b10": "cirrus", "b11": "swir1", "b12": "swir2",
}  # fmt: skip
_SHARED = ("b2", "b3", "b4", "b8")


def places_of(wanted: Sequence[int | str], names: Sequence[str], where: str) -> tuple[int, ...]:
    """Places of bands, from 1 on, by number or by name.

    Args:
        names: of the image's bands, empty where it does not say one.
        where: the image, for messages.

    Raises:
        BadInput: no band has such a name, or several have.
    """
    meant = _meanings([each if isinstance(each, str) else "" for each in wanted])
    have = _meanings(names)
    return tuple(
        each if isinstance(each, int) else _place(each, meant[i], names, have, where) for i, each in enumerate(wanted)
    )


def listed(names: Sequence[str]) -> str:
    """An image's bands with their names, for messages."""
    shown = [f"{i} {name!r}" if name else f"{i}" for i, name in enumerate(names[:_SHOWN], 1)]
    return ", ".join(shown) + (", ..." if len(names) > _SHOWN else "")


def contradiction(names: Sequence[str]) -> str:
    """Why three bands that are taken as red, green and blue are none in this order, in words; empty where nothing says so."""
    if len(names) != len(RGB):
        return ""
    found = [next((colour for colour in RGB if colour in each), "") for each in _meanings(names)]
    if sorted(found) != sorted(RGB) or tuple(found) == RGB:
        return ""
    own = ", ".join(names)
    return f"names its bands {own}, and they go in in this order, though networks take red, green, blue; --bands red,green,blue takes them by name"


def may_be_alpha(name: str | None) -> bool:
    """Whether a band that a file calls transparency may be that, by its name. GDAL writes the fourth of four bands of bytes as transparency where nobody
    says what it is; one that is described as something else is that."""
    return re.search("alpha|mask|opacity|transparen|^$", (name or "").strip().casefold()) is not None


def _place(name: str, meant: frozenset[str], names: Sequence[str], have: Sequence[frozenset[str]], where: str) -> int:
    if not any(names):
        raise BadInput(
            f"{where}: does not name its bands, so that {name!r} is not found; give their numbers, from 1 on: --bands 3,2,1 (bands=)"
        )
    same = [i for i, each in enumerate(names, 1) if each and _plain(each) == _plain(name)]
    found = same or [i for i, each in enumerate(have, 1) if each & meant]
    if len(found) != 1:
        what = "has several bands" if found else "has no band"
        raise BadInput(
            f"{where}: {what} that {'are' if found else 'is'} {name!r}; its bands are {listed(names)}; give names of these or numbers with --bands (bands=)"
        )
    return found[0]


def _meanings(names: Sequence[str]) -> list[frozenset[str]]:
    """What each of some bands of one image may be called, in plain letters; nothing of one without a name."""
    sure = any(_plain(name) == "b8a" for name in names) or any("central wavelength" in name for name in names)
    found = []
    for name in names:
        parts = {_plain(part) for part in (name, *re.split(r"[(),;:|/]|\s-\s", name))} - {""}
        for part in tuple(parts):
            padded = re.search(rf"\b[Bb]0{part[1:]}\b", name) if part[1:].isdigit() else None
            if part in _SENTINEL and (sure or (padded and part in _SHARED)):
                parts.add(_SENTINEL[part])
        found.append(frozenset(parts))
    return found


def _plain(name: str) -> str:
    text = re.sub(r"[^a-z0-9]", "", name.partition(",")[0].casefold())
    number = _NUMBER.fullmatch(text)
    return f"b{number[1]}" if number else _SAME.get(text, text)
