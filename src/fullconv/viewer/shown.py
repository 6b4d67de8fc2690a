"""All that a server shows: results and their images, each opened when it is looked at, and who is asked of them."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, RLock
from typing import TYPE_CHECKING, Any

from fullconv.errors import BadInput, FullconvError
from fullconv.maps.classmap import ClassMap
from fullconv.maps.summary import image_name
from fullconv.rasters.access import Access
from fullconv.stream.origin import is_same_image
from fullconv.system.guard import is_url
from fullconv.viewer.catalogue import Catalogue, is_plain_folder, last_part
from fullconv.viewer.difference import Difference
from fullconv.viewer.exhibit import Exhibit
from fullconv.viewer.picture import Picture
from fullconv.viewer.regions import Listing
from fullconv.viewer.verdicts import Verdicts

if TYPE_CHECKING:
    from fullconv.model import Model
    from fullconv.viewer.classifier import Classifier

_OPEN = 12  # results that stay open
_PICTURES = 3  # images that stay open
_LISTINGS = 2  # lists of regions that are kept
_FIRST = 1.5  # seconds that belong to what is seen first, before the bytes of an image are looked through
_NUMBER = re.compile(r"[0-9]{1,6}")
_ASK_MODEL = "give the network that made the map: fullconv view RESULT --image FILE --model MODEL, in Python model="
_ASK_IMAGE = "give the image of the map: fullconv view RESULT --image FILE, in Python image="


class Shown:
    """Results by number, differences of two by two numbers (``1-0``), and images by the number of a result that is of them.

    Attributes:
        catalogue: what there is.
    """

    def __init__(
        self,
        sources: Sequence[str | ClassMap],
        image: Any = None,
        model: Model | None = None,
        access: Access | None = None,
    ) -> None:
        """Open what was named; of a folder nothing yet.

        Args:
            sources: paths, addresses, folders, or maps.
            image: the image of all results, a path or pixels, or the folder that theirs lie in; a map's own by default.

        Raises:
            BadInput: a result is none, or the image is of another size.
        """
        self.catalogue = Catalogue.of(sources)
        self._image, self._model, self._access = image, model, access or Access()
        self._in_folder = isinstance(image, str) and not is_url(image) and is_plain_folder(Path(image))
        self._lock = RLock()
        self._opened: OrderedDict[int, Exhibit] = OrderedDict()
        self._pictures: OrderedDict[str | int, Picture] = OrderedDict()
        self._differences: dict[tuple[int, int], tuple[tuple[int, int], Difference]] = {}
        self._asked: dict[int, tuple[int, Classifier]] = {}
        self._asking = Lock()
        self._pool, self._closing = ThreadPoolExecutor(1), Event()
        self._same: dict[int, Future[bool | None]] = {}
        self._kept: dict[int, Verdicts] = {}
        self._finding = Lock()
        self._listings: OrderedDict[tuple[Any, ...], Listing] = OrderedDict()
        self.is_study = self.catalogue.is_study
        if not self.is_study:
            about = {self._of(self.exhibit(i)) for i in range(len(self.catalogue.entries))}
            self.is_study = len(about) > 1
            for i in range(len(self.catalogue.entries)):
                self.opened(i)

    @staticmethod
    def _of(exhibit: Exhibit) -> tuple[Any, ...]:
        return exhibit.found.grid.image, image_name(exhibit.found) or None

    def number(self, text: str) -> int:
        """A result by what an address says.

        Raises:
            IndexError: there is none.
        """
        if _NUMBER.fullmatch(text) is None or int(text) >= len(self.catalogue.entries):
            raise IndexError(f"no result {text[:20]}")
        return int(text)

    def exhibit(self, number: int) -> Exhibit:
        """A result.

        Raises:
            BadInput: it is none, or damaged, or there is none of this image.
        """
        entry = self.catalogue.entries[number]
        if not entry.source:
            raise BadInput(f"{entry.image}: {entry.error}")
        with self._lock:
            if number not in self._opened:
                self._opened[number] = Exhibit(entry.source, entry.held)
                while len(self._opened) > max(_OPEN, 0 if self.catalogue.is_study else len(self.catalogue.entries)):
                    self._opened.popitem(last=False)
            self._opened.move_to_end(number)
            return self._opened[number]

    def difference(self, text: str) -> Difference | None:
        """A second result less a first, by ``second-first``; None where the address names one result alone."""
        second, dash, first = text.partition("-")
        if not dash:
            return None
        key = self.number(first), self.number(second)
        one, other = (self.exhibit(number) for number in key)
        for each in (one, other):
            each.require(None)
        epochs = one.epoch, other.epoch
        with self._lock:
            made = self._differences.get(key)
            if made is None or made[0] != epochs or (made[1].first, made[1].second) != (one, other):
                self._differences[key] = made = epochs, Difference(one, other)
            return made[1]

    def image_of(self, number: int) -> Any:
        """A result's image, a path or pixels; None where none was given."""
        own = self.catalogue.entries[number].own
        if self._image is None and (not isinstance(own, str) or is_url(own) or Path(own).exists()):
            return own  # one that moved is no reason to show nothing
        if self._image is None or not self._in_folder:
            return self._image
        name = last_part(image_name(self.exhibit(number).found) or self.catalogue.entries[number].image)
        path = Path(self._image) / name
        return str(path) if name and path.exists() else None

    def picture(self, number: int) -> Picture | None:
        """A result's image, None where none was given.

        Raises:
            BadInput: it is none, or of another size.
        """
        image = self.image_of(number)
        if image is None:
            return None
        key = image if isinstance(image, str) else id(image)
        with self._lock:
            if key not in self._pictures:
                self._pictures[key] = Picture(image, self._access)
                while len(self._pictures) > _PICTURES:
                    self._pictures.popitem(last=False)[1].close()
            self._pictures.move_to_end(key)
            found = self._pictures[key]
            exhibit = self.exhibit(number)
            if found.about.size != exhibit.found.grid.image:
                (height, width), (own, wide) = found.about.size, exhibit.found.grid.image
                raise BadInput(
                    f"{found.about.name}: has {width}×{height} px, and {exhibit.source} is of an image of {wide}×{own} px"
                )
            return found

    def opened(self, number: int) -> Picture | None:
        """The image of a result that is looked at by now: what is seen first is made ready, and then whether it is the map's own is found out."""
        found = self.picture(number)
        with self._lock:
            if found is not None and number not in self._same:
                exhibit = self.exhibit(number)
                self._pool.submit(_ready, found)
                self._same[number] = self._pool.submit(self._is_same, exhibit, found)
        return found

    def why_not(self, number: int) -> str:
        """Why the classifier cannot be asked of a result's cells; empty where it can."""
        if self.exhibit(number).found.record is None:
            return "only a map in a store (.zarr) says how it was made"
        if self.image_of(number) is None:
            return _ASK_IMAGE
        return _ASK_MODEL if self._model is None else ""

    def same_image(self, number: int) -> bool | None:
        """Whether the image is the one that a map was made of; None where that is not known, or not yet."""
        found = self._same.get(number)
        return found.result() if found is not None and found.done() else None

    def classifier(self, number: int) -> Classifier:
        """Who is asked of a result's cells.

        Raises:
            BadInput: nobody can be.
        """
        from fullconv.viewer.classifier import Classifier

        image, why_not = self.image_of(number), self.why_not(number)
        if image is None or self._model is None or why_not:
            raise BadInput(why_not)
        self.opened(number)
        exhibit = self.exhibit(number)
        with self._asking:
            if self._same[number].result() is not True:  # waits for it
                raise BadInput("the image is not the file that this map was made of, or has changed since")
            if number not in self._asked or self._asked[number][0] != exhibit.epoch:
                self._asked[number] = exhibit.epoch, Classifier(self._model, exhibit, image, self._access)
            return self._asked[number][1]

    def listing(self, number: int, plane: int, threshold: float | None) -> Listing:
        """The regions of a class of a result, as it is now.

        Raises:
            BadInput: there is no threshold, or there are too many.
        """
        exhibit = self.exhibit(number)
        least = exhibit.found.least_score(threshold)
        key = number, exhibit.epoch, exhibit.finished, len(exhibit.done), plane, least
        with self._finding:  # one after the other: each reads all of a map
            if key not in self._listings:
                self._listings[key] = Listing.of(exhibit.found, plane, least)
                while len(self._listings) > _LISTINGS:
                    self._listings.popitem(last=False)
            self._listings.move_to_end(key)
            return self._listings[key]

    def verdicts(self, number: int) -> Verdicts:
        """What a person says of a result."""
        entry = self.catalogue.entries[number]
        return self._kept.setdefault(number, Verdicts(entry.source, entry.held is None))

    def close(self) -> None:
        self._closing.set()
        self._pool.shutdown(wait=True)
        with self._lock:
            for picture in self._pictures.values():
                picture.close()
            self._pictures.clear()

    def _is_same(self, exhibit: Exhibit, picture: Picture) -> bool | None:
        record = exhibit.found.record
        if record is None:
            return None
        self._closing.wait(_FIRST)
        about = picture.about
        try:
            return is_same_image(record.request, picture.image, about.size, about.bands, self._access.subdataset)
        except (OSError, FullconvError):
            return None


def _ready(picture: Picture) -> None:
    """Make what is seen first while the browser still starts: libraries are loaded by their first use."""
    with suppress(FullconvError, OSError, MemoryError, ValueError):  # whoever asks for it is told
        picture.prepare()
