"""What a map is written as: the output's name says it, and nothing else does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fullconv.errors import BadInput
from fullconv.system.guard import is_url, same_name

NAME = "{name}"  # stands for each image's name without its suffix
PICTURES = (".png", ".svg", ".pdf")
_EXPORTS = (
    ".tif",
    ".tiff",
    ".geojson",
    ".json",
    ".csv",
    ".parquet",
    ".gpkg",
    ".fgb",
    ".jpg",
    ".jpeg",
    ".webp",
    ".html",
)


@dataclass(frozen=True, slots=True)
class Target:
    """The files that one image's map becomes; what is None is not written.

    Attributes:
        store: a Zarr store, on a disk or at an address.
        scores: an ``.npz``.
        picture: of one class or of the winners; of several classes one each, by their numbers.
    """

    store: str | None = None
    scores: Path | None = None
    picture: Path | None = None

    @property
    def files(self) -> list[str]:
        """What is written, the map first."""
        return [str(each) for each in (self.store, self.scores, self.picture) if each is not None]


def targets(out: str, images: Sequence[str]) -> dict[str, Target]:
    """What each image becomes, by the output's name.

    ``x.zarr`` is a store (with ``x.png`` beside it), ``x.npz`` scores, ``x.png``, ``x.svg`` and ``x.pdf`` a picture, and any other name a folder of
    ``<name>.npz`` and ``<name>.png``; ``{name}`` within it stands for each image's own.

    Raises:
        BadInput: the name is of what another command writes, or of one file for several images, or two images would be one file.
    """
    found = {image: target_of(out, image) for image in images}
    _require_apart(out, found)
    return found


def target_of(out: str, image: str) -> Target:
    """What one image becomes."""
    stem = Path(image.rstrip("/")).stem
    name = out.rstrip("/").replace(NAME, stem)
    suffix = Path(name).suffix.lower()
    if suffix == ".zarr":
        return Target(store=name, picture=None if is_url(name) else Path(name).with_suffix(".png"))
    if is_url(name):
        raise BadInput(f"{out}: at an address maps are stores; name it so: {out.rstrip('/')}/{NAME}.zarr")
    if suffix == ".npz":
        return Target(scores=Path(name))
    if suffix in PICTURES:
        return Target(picture=Path(name))
    if suffix in _EXPORTS:
        raise BadInput(
            f"{out}: map writes a folder, .npz, {', '.join(PICTURES)} or a store (.zarr); make {suffix} of a map by fullconv export"
        )
    return Target(scores=Path(name) / f"{stem}.npz", picture=Path(name) / f"{stem}.png")


def _refuse_several(out: str, count: int) -> None:
    path = Path(out.rstrip("/"))
    raise BadInput(
        f"{out}: is one result, and there are {count} images; name a folder, or each by its image: {path.with_suffix('') / (NAME + path.suffix)}"
    )


def _require_apart(out: str, found: dict[str, Target]) -> None:
    named: dict[str, str] = {}
    for image, target in found.items():
        for file in target.files:
            other = named.setdefault(file if is_url(file) else same_name(Path(file)), image)
            if other == image:
                continue
            if NAME in out or Path(out.rstrip("/")).suffix.lower() not in (".zarr", ".npz", *PICTURES):
                raise BadInput(f"{other} and {image} would both be written as {file}; map them into two folders")
            _refuse_several(out, len(found))
