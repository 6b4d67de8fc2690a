"""What the page can ask for. Every name in an address is a number of something that was given: no address is a path."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import isfinite
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from fullconv.errors import BadInput, FullconvError
from fullconv.maps.classmap import ClassMap
from fullconv.maps.summary import wins_of
from fullconv.model import Model
from fullconv.rasters.access import Access
from fullconv.viewer.classifier import Classifier, is_same_image
from fullconv.viewer.described import described, failed
from fullconv.viewer.exhibit import Exhibit
from fullconv.viewer.gate import App, Gate
from fullconv.viewer.picture import Look, Picture
from fullconv.viewer.verdicts import Verdicts

PAGE = Path(__file__).with_name("page")
FILES = {"": "index.html", "page.js": "page.js", "page.css": "page.css"}
_PEAKS = 2000
_AT_ONCE = 6  # answers that are made side by side: each takes the memory of what it reads
_COUNTED = 1 << 31  # scores that are all read because a page is opened
_ASK_MODEL = "give the network that made the map: fullconv view RESULT --image FILE --model MODEL"
_ASK_IMAGE = "give the image of the map: fullconv view RESULT --image FILE"


class Shown:
    """All that a server shows.

    Attributes:
        exhibits: the results, in the order given.
        picture: the image, where it was given.
    """

    def __init__(
        self, sources: list[str], image: str | None = None, model: Model | None = None, access: Access | None = None
    ) -> None:
        access = access or Access()
        self.exhibits = [Exhibit(source) for source in sources]
        self.picture = None if image is None else Picture(image, access)
        self.verdicts = [Verdicts(source) for source in sources]
        self._image, self._model, self._access = image, model, access
        self._lock = Lock()
        self._asked: dict[int, Classifier] = {}
        self._pool = ThreadPoolExecutor(1)
        for exhibit in self.exhibits:
            self._require_size(exhibit)
        self._same = [self._pool.submit(self._is_same, exhibit) for exhibit in self.exhibits]

    def why_not(self, number: int) -> str:
        """Why the classifier cannot be asked of a result's cells; empty where it can."""
        if self._image is None:
            return _ASK_IMAGE
        if self._model is None:
            return _ASK_MODEL
        return (
            ""
            if self.exhibits[number].found.record is not None
            else "only a map in a store (.zarr) says how it was made"
        )

    def same_image(self, number: int) -> bool | None:
        """Whether the image is the one that a map was made of; None where that is not known, or not yet."""
        return self._same[number].result() if self._same[number].done() else None

    def classifier(self, number: int) -> Classifier:
        """Who is asked of a result's cells.

        Raises:
            BadInput: nobody can be.
        """
        if self._image is None or self._model is None or self.why_not(number):
            raise BadInput(self.why_not(number))
        with self._lock:
            if self._same[number].result() is not True:  # waits for it
                raise BadInput("the image is not the file that this map was made of, or has changed since")
            if number not in self._asked:
                self._asked[number] = Classifier(self._model, self.exhibits[number], self._image, self._access)
            return self._asked[number]

    def close(self) -> None:
        self._pool.shutdown(wait=True)
        if self.picture is not None:
            self.picture.close()

    def _require_size(self, exhibit: Exhibit) -> None:
        if self.picture is not None and self.picture.about.size != exhibit.found.grid.image:
            (height, width), (own, wide) = self.picture.about.size, exhibit.found.grid.image
            raise BadInput(
                f"{self._image}: has {width}×{height} px, and {exhibit.source} is of an image of {wide}×{own} px"
            )

    def _is_same(self, exhibit: Exhibit) -> bool | None:
        record = exhibit.found.record
        if record is None or self.picture is None or self._image is None:
            return None
        about = self.picture.about
        try:
            return is_same_image(record.request, self._image, about.size, about.bands, self._access.subdataset)
        except (OSError, FullconvError):
            return None


def application(shown: Shown, hosts: frozenset[str], token: str, page: Path = PAGE) -> App:
    """The server's application."""
    routes = _Routes(shown, page)
    pages = [Route(f"/{name}", routes.file) for name in FILES]
    number = "/api/{result:int}"
    app = Starlette(routes=[
        *pages,
        Route("/api/about", routes.threaded(routes.about)),
        Route("/api/image/{z:int}/{row:int}/{col:int}", routes.threaded(routes.image)),
        Route(f"{number}/scores/{{z:int}}/{{row:int}}/{{col:int}}", routes.threaded(routes.scores)),
        Route(f"{number}/scores/{{z:int}}/{{row:int}}/{{col:int}}/{{plane:int}}", routes.threaded(routes.scores)),
        Route(f"{number}/winners/{{z:int}}/{{row:int}}/{{col:int}}", routes.threaded(routes.winners)),
        Route(f"{number}/cell/{{row:int}}/{{col:int}}", routes.threaded(routes.cell)),
        Route(f"{number}/crop/{{row:int}}/{{col:int}}", routes.threaded(routes.crop)),
        Route(f"{number}/state", routes.threaded(routes.state)),
        Route(f"{number}/areas", routes.threaded(routes.areas)),
        Route(f"{number}/peaks/{{plane:int}}", routes.threaded(routes.peaks)),
        Route(f"{number}/verdicts", routes.threaded(routes.verdicts)),
        Route(f"{number}/verdicts.csv", routes.threaded(routes.table)),
        Route(f"{number}/verdicts", routes.posted(routes.say), methods=["POST"]),
        Route(f"{number}/ask", routes.posted(routes.ask), methods=["POST"]),
        Route(f"{number}/why", routes.posted(routes.why), methods=["POST"]),
    ])  # fmt: skip
    return Gate(app, hosts, token)


class _Routes:
    """One method an address."""

    def __init__(self, shown: Shown, page: Path) -> None:
        self._shown, self._page = shown, page
        self._room = CapacityLimiter(_AT_ONCE)

    def threaded(self, work: Callable[[Request], Response]) -> Callable[[Request], Any]:
        """Work that reads, in a thread, with what is wrong as an answer."""

        async def answer(request: Request) -> Response:
            return await to_thread.run_sync(_told, lambda: work(request), limiter=self._room)

        return answer

    def posted(self, work: Callable[[Request, dict[str, Any]], Response]) -> Callable[[Request], Any]:
        """The same, of a body of JSON."""

        async def answer(request: Request) -> Response:
            if request.headers.get("content-type", "").partition(";")[0] != "application/json":
                return _error("a body is JSON", 415)
            try:
                given = json.loads(await request.body())
            except ClientDisconnect:
                return _error("too long", 413)
            except (ValueError, RecursionError):
                return _error("a body that is no JSON", 400)
            if not isinstance(given, dict):
                return _error("a body that is no object", 400)
            return await run_in_threadpool(_told, lambda: work(request, given))

        return answer

    async def file(self, request: Request) -> Response:
        return FileResponse(self._page / FILES[request.url.path.removeprefix("/")])

    def about(self, request: Request) -> Response:
        shown = self._shown
        return _json(described(shown.exhibits, shown.picture, [shown.why_not(i) for i in range(len(shown.exhibits))]))

    def image(self, request: Request) -> Response:
        path, picture = request.path_params, self._picture()
        data, kind = picture.tile(path["z"], path["row"], path["col"], _look(request, picture))
        return Response(data, media_type=kind)

    def scores(self, request: Request) -> Response:
        path, exhibit = request.path_params, self._exhibit(request)
        if "plane" not in path and not exhibit.stacked:
            raise IndexError("this map has too many classes for a tile of all")
        classes = (path["plane"], path["plane"] + 1) if "plane" in path else (0, len(exhibit.found.labels))
        part = exhibit.scores(path["z"], path["row"], path["col"], classes)
        return _raw(part.astype(part.dtype.newbyteorder("<")).tobytes())

    def winners(self, request: Request) -> Response:
        path, exhibit = request.path_params, self._exhibit(request)
        won, best = exhibit.winners(path["z"], path["row"], path["col"])
        return _raw(best.tobytes() + won.tobytes())

    def cell(self, request: Request) -> Response:
        exhibit, row, col = self._cell(request)
        found = exhibit.found
        scores = np.asarray(found.scores[:, row, col], np.float64)
        confirmed = (
            None if found.confirmed is None else bool(np.asarray(found.confirmed[row : row + 1, col : col + 1])[0, 0])
        )
        return _json({
            "row": row, "col": col, "box": list(found.box(row, col)), "centre": list(found.centre(row, col)),
            "scores": [float(score) if np.isfinite(score) else None for score in scores], "confirmed": confirmed,
        })  # fmt: skip

    def crop(self, request: Request) -> Response:
        exhibit, row, col = self._cell(request)
        picture = self._picture()
        x0, y0, x1, y1 = exhibit.found.box(row, col)
        box = int(np.floor(x0)), int(np.floor(y0)), int(np.ceil(x1)), int(np.ceil(y1))
        return Response(picture.crop(box, _look(request, picture)), media_type="image/png")

    def state(self, request: Request) -> Response:
        exhibit = self._exhibit(request)
        exhibit.look()
        record, after = exhibit.found.record, _integer(request, "after")
        return _json({
            "finished": exhibit.finished, "epoch": exhibit.epoch, "done": exhibit.done[after : after + 5000], "count": len(exhibit.done),
            "of": 0 if record is None else len(record.tiles), "same": self._shown.same_image(request.path_params["result"]), "failed": failed(exhibit.found),
        })  # fmt: skip

    def areas(self, request: Request) -> Response:
        found = self._exhibit(request).found
        return _json({"cells": wins_of(found).tolist() if _scores(found) <= _COUNTED else None})

    def peaks(self, request: Request) -> Response:
        exhibit, plane = self._exhibit(request), request.path_params["plane"]
        if not plane < len(exhibit.found.labels):
            raise IndexError(f"no class {plane}")
        if exhibit.found.grid.rows * exhibit.found.grid.cols > _COUNTED:
            raise BadInput("the map is too large to look for its peaks here: fullconv export --what peaks writes them")
        every = exhibit.found.peaks(plane, _number(request, "threshold"))
        peaks = [{"row": p.row, "col": p.col, "score": p.score, "box": list(p.box)} for p in every[:_PEAKS]]
        return _json({"count": len(every), "peaks": peaks})

    def verdicts(self, request: Request) -> Response:
        self._exhibit(request)
        return _json({"verdicts": self._shown.verdicts[request.path_params["result"]].all()})

    def table(self, request: Request) -> Response:
        self._exhibit(request)
        text = self._shown.verdicts[request.path_params["result"]].table()
        return Response(
            text, media_type="text/csv", headers={"content-disposition": 'attachment; filename="verdicts.csv"'}
        )

    def say(self, request: Request, given: dict[str, Any]) -> Response:
        found = self._exhibit(request).found
        return _json({"verdicts": self._shown.verdicts[request.path_params["result"]].say(found, given)})

    def ask(self, request: Request, given: dict[str, Any]) -> Response:
        return _json(self._shown.classifier(request.path_params["result"]).ask(self._asked(request, given)))

    def why(self, request: Request, given: dict[str, Any]) -> Response:
        return _json(self._shown.classifier(request.path_params["result"]).why(self._asked(request, given)))

    def _exhibit(self, request: Request) -> Exhibit:
        exhibit: Exhibit = self._shown.exhibits[request.path_params["result"]]
        return exhibit

    def _picture(self) -> Picture:
        if self._shown.picture is None:
            raise IndexError("no image was given")
        return self._shown.picture

    def _cell(self, request: Request) -> tuple[Exhibit, int, int]:
        exhibit, path = self._exhibit(request), request.path_params
        exhibit.found.centre(path["row"], path["col"])  # it is there
        return exhibit, path["row"], path["col"]

    def _asked(self, request: Request, given: dict[str, Any]) -> tuple[int, int]:
        row, col = given.get("row"), given.get("col")
        if type(row) is not int or type(col) is not int:
            raise BadInput("a cell is row and col")
        self._exhibit(request).found.centre(row, col)
        return row, col


def _scores(found: ClassMap) -> int:
    return len(found.labels) * found.grid.rows * found.grid.cols


def _told(work: Callable[[], Response]) -> Response:
    try:
        return work()
    except IndexError as error:
        return _error(str(error), 404)
    except BadInput as error:
        return _error(str(error), 400)
    except FullconvError as error:
        return _error(str(error), 409)
    except MemoryError:
        return _error("out of memory", 503)


def _json(data: Any) -> Response:
    """JSON has no word for what is no number: it is null."""
    return JSONResponse(_finite(data))


def _finite(data: Any) -> Any:
    if isinstance(data, float):
        return data if isfinite(data) else None
    if isinstance(data, dict):
        return {key: _finite(each) for key, each in data.items()}
    return [_finite(each) for each in data] if isinstance(data, list | tuple) else data


def _raw(data: bytes) -> Response:
    return Response(data, media_type="application/octet-stream")


def _error(text: str, status: int) -> Response:
    return JSONResponse({"error": text}, status)


def _integer(request: Request, name: str) -> int:
    text = request.query_params.get(name, "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _number(request: Request, name: str) -> float | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise BadInput(f"{name} {text[:40]!r}: not a number")
    return value


def _look(request: Request, picture: Picture) -> Look:
    """What is to be seen of an image, by ``bands`` and ``cut``."""
    plain, bands, cut = picture.plain, request.query_params.get("bands"), request.query_params.get("cut")
    numbers = (
        plain.bands
        if bands is None
        else tuple(int(part) for part in bands.split(",") if part.isascii() and part.isdigit() and len(part) < 6)
    )
    if not all(1 <= band <= picture.about.bands for band in numbers):
        raise BadInput(f"bands {numbers}: the image has 1 to {picture.about.bands}")
    return Look(numbers, plain.cut if cut is None else None if cut == "none" else _number(request, "cut"))
