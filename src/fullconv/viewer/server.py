"""What the page can ask for. Every name in an address is a number of something that was given: no address is a path."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from fullconv.errors import BadInput, FullconvError
from fullconv.maps.classmap import ClassMap
from fullconv.maps.summary import wins_of
from fullconv.maps.threshold import LARGEST
from fullconv.results.storage import Replaced
from fullconv.viewer.described import described, failed, of_difference, of_result
from fullconv.viewer.exhibit import Exhibit
from fullconv.viewer.gate import App, Framing, Gate
from fullconv.viewer.picture import Look, Picture
from fullconv.viewer.regions import ORDERS, Listing
from fullconv.viewer.shown import Shown
from fullconv.viewer.thumbnail import thumbnail

PAGE = Path(__file__).with_name("page")
FILES = {"": "index.html", "page.js": "page.js", "page.css": "page.css"}
_PEAKS = 2000
_AT_ONCE = 6  # answers that are made side by side: each takes the memory of what it reads
_COUNTED = 1 << 31  # scores that are all read because a page is opened


def application(
    shown: Shown, hosts: frozenset[str], token: str, page: Path = PAGE, framing: Framing | None = None
) -> App:
    """The server's application, behind its gate, which says what the arguments are."""
    routes = _Routes(shown, page)
    pages = [Route(f"/{name}", routes.file) for name in FILES]
    number = "/api/{result}"
    app = Starlette(routes=[
        *pages,
        Route("/api/about", routes.threaded(routes.about)),
        Route("/api/image/{result}/{z}/{row}/{col}", routes.threaded(routes.image)),
        Route(f"{number}/about", routes.threaded(routes.result)),
        Route(f"{number}/thumbnail", routes.threaded(routes.thumbnail)),
        Route(f"{number}/scores/{{z}}/{{row}}/{{col}}", routes.threaded(routes.scores)),
        Route(f"{number}/scores/{{z}}/{{row}}/{{col}}/{{plane}}", routes.threaded(routes.scores)),
        Route(f"{number}/winners/{{z}}/{{row}}/{{col}}", routes.threaded(routes.winners)),
        Route(f"{number}/cell/{{row}}/{{col}}", routes.threaded(routes.cell)),
        Route(f"{number}/crop/{{row}}/{{col}}", routes.threaded(routes.crop)),
        Route(f"{number}/state", routes.threaded(routes.state)),
        Route(f"{number}/areas", routes.threaded(routes.areas)),
        Route(f"{number}/peaks/{{plane}}", routes.threaded(routes.peaks)),
        Route(f"{number}/regions/{{plane}}", routes.threaded(routes.regions)),
        Route(f"{number}/verdicts", routes.threaded(routes.verdicts)),
        Route(f"{number}/verdicts.csv", routes.threaded(routes.table)),
        Route(f"{number}/verdicts", routes.posted(routes.say), methods=["POST"]),
        Route(f"{number}/ask", routes.posted(routes.ask), methods=["POST"]),
        Route(f"{number}/why", routes.posted(routes.why), methods=["POST"]),
    ])  # fmt: skip
    return Gate(app, hosts, token, framing)


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
        return _json(described(self._shown))

    def result(self, request: Request) -> Response:
        shown, text = self._shown, request.path_params["result"]
        difference = shown.difference(text)
        if difference is not None:
            return _json(of_difference(shown, difference, shown.number(text.partition("-")[2])))
        return _json(of_result(shown, shown.number(text)))

    def thumbnail(self, request: Request) -> Response:
        number = self._number(request)
        picture = self._shown.picture(number)
        return Response(thumbnail(self._shown.exhibit(number), picture), media_type="image/png")

    def image(self, request: Request) -> Response:
        picture = self._picture(request)
        z, row, col = _places(request, "z", "row", "col")
        data, kind = picture.tile(z, row, col, _look(request, picture))
        return Response(data, media_type=kind)

    def scores(self, request: Request) -> Response:
        level, row, col = _places(request, "z", "row", "col")
        plane = _places(request, "plane")[0] if "plane" in request.path_params else None
        difference = self._shown.difference(request.path_params["result"])
        if difference is not None:
            return _raw(difference.scores(level, row, col, -1 if plane is None else plane).astype("<f4").tobytes())
        exhibit = self._exhibit(request)
        if plane is None and not exhibit.stacked:
            raise IndexError("this map has too many classes for a tile of all")
        exhibit.require(_epoch(request))
        part = exhibit.scores(level, row, col, (0, len(exhibit.found.labels)) if plane is None else (plane, plane + 1))
        exhibit.require(_epoch(request))
        return _raw(part.astype(part.dtype.newbyteorder("<")).tobytes())

    def winners(self, request: Request) -> Response:
        place = _places(request, "z", "row", "col")
        difference = self._shown.difference(request.path_params["result"])
        if difference is not None:
            kinds = difference.kinds(*place)
            return _raw(np.ones(kinds.shape, "<f4").tobytes() + kinds.astype("<u2").tobytes())
        exhibit = self._exhibit(request)
        exhibit.require(_epoch(request))
        won, best = exhibit.winners(*place)
        exhibit.require(_epoch(request))
        return _raw(best.tobytes() + won.tobytes())

    def cell(self, request: Request) -> Response:
        difference, (row, col) = self._shown.difference(request.path_params["result"]), _places(request, "row", "col")
        if difference is not None:
            box, centre = difference.grid.box(row, col), difference.grid.centre(row, col)
            first, second = difference.cell(row, col)
            return _json(
                {
                    "row": row,
                    "col": col,
                    "box": box,
                    "centre": centre,
                    "scores": second,
                    "other": first,
                    "confirmed": None,
                }
            )
        exhibit, row, col = self._cell(request)
        found = exhibit.found
        scores = np.asarray(found.scores[:, row, col], np.float64).tolist()
        confirmed = (
            None if found.confirmed is None else bool(np.asarray(found.confirmed[row : row + 1, col : col + 1])[0, 0])
        )
        exhibit.require(_epoch(request))
        return _json({
            "row": row, "col": col, "box": list(found.box(row, col)), "centre": list(found.centre(row, col)),
            "scores": scores, "other": None, "confirmed": confirmed,
        })  # fmt: skip

    def crop(self, request: Request) -> Response:
        exhibit, row, col = self._cell(request)
        picture = self._picture(request)
        x0, y0, x1, y1 = exhibit.found.box(row, col)
        box = int(np.floor(x0)), int(np.floor(y0)), int(np.ceil(x1)), int(np.ceil(y1))
        return Response(picture.crop(box, _look(request, picture)), media_type="image/png")

    def state(self, request: Request) -> Response:
        exhibit = self._exhibit(request)
        exhibit.look()
        record, after = exhibit.found.record, _integer(request, "after")
        return _json({
            "finished": exhibit.finished, "epoch": exhibit.epoch, "done": exhibit.done[after : after + 5000], "count": len(exhibit.done),
            "of": 0 if record is None else len(record.tiles), "same": self._shown.same_image(self._number(request)), "failed": failed(exhibit.found),
            "range": list(exhibit.range()),
        })  # fmt: skip

    def areas(self, request: Request) -> Response:
        exhibit = self._exhibit(request)
        cells = wins_of(exhibit.found).tolist() if _scores(exhibit.found) <= _COUNTED else None
        exhibit.require(_epoch(request))
        return _json({"cells": cells})

    def peaks(self, request: Request) -> Response:
        exhibit, (plane,) = self._exhibit(request), _places(request, "plane")
        _require_searched(exhibit.found, plane, "peaks")
        every = exhibit.found.peaks(plane, _number(request, "threshold"))
        exhibit.require(_epoch(request))
        peaks = [
            {"row": p.row, "col": p.col, "score": p.score, "box": list(p.box), "region": None} for p in every[:_PEAKS]
        ]
        return _json({"count": len(every), "finds": peaks, "threshold": None})

    def regions(self, request: Request) -> Response:
        order = request.query_params.get("order", ORDERS[0])
        if order not in ORDERS:
            raise BadInput(f"order {order[:40]!r}: not one of {', '.join(ORDERS)}")
        (plane,), exhibit = _places(request, "plane"), self._exhibit(request)
        listing = self._listing(self._number(request), plane, _number(request, "threshold"))
        exhibit.require(_epoch(request))
        return _json(listing.first(order, exhibit.found.grid))

    def verdicts(self, request: Request) -> Response:
        return _json({"verdicts": self._shown.verdicts(self._number(request)).all()})

    def table(self, request: Request) -> Response:
        text = self._shown.verdicts(self._number(request)).table()
        return Response(
            text, media_type="text/csv", headers={"content-disposition": 'attachment; filename="verdicts.csv"'}
        )

    def say(self, request: Request, given: dict[str, Any]) -> Response:
        number, listing = self._number(request), None
        if given.get("cells") is not None and given.get("verdict") is not None:
            plane, threshold = given.get("class"), given.get("threshold")
            if type(plane) is not int or plane < 0 or not (threshold is None or _is_score(threshold)):
                raise BadInput("a region is of a class, by number, at a threshold")
            listing = self._listing(number, plane, threshold)
        return _json({"verdicts": self._shown.verdicts(number).say(self._exhibit(request).found, given, listing)})

    def ask(self, request: Request, given: dict[str, Any]) -> Response:
        cell = self._asked(request, given)
        return _json(self._shown.classifier(self._number(request)).ask(cell))

    def why(self, request: Request, given: dict[str, Any]) -> Response:
        cell = self._asked(request, given)
        return _json(self._shown.classifier(self._number(request)).why(cell))

    def _listing(self, number: int, plane: int, threshold: float | None) -> Listing:
        _require_searched(self._shown.exhibit(number).found, plane, "regions")
        return self._shown.listing(number, plane, threshold)

    def _number(self, request: Request) -> int:
        return self._shown.number(request.path_params["result"])

    def _exhibit(self, request: Request) -> Exhibit:
        return self._shown.exhibit(self._number(request))

    def _picture(self, request: Request) -> Picture:
        picture = self._shown.picture(self._number(request))
        if picture is None:
            raise IndexError("no image was given")
        return picture

    def _cell(self, request: Request) -> tuple[Exhibit, int, int]:
        exhibit, (row, col) = self._exhibit(request), _places(request, "row", "col")
        exhibit.found.centre(row, col)  # it is there
        return exhibit, row, col

    def _asked(self, request: Request, given: dict[str, Any]) -> tuple[int, int]:
        row, col = given.get("row"), given.get("col")
        if type(row) is not int or type(col) is not int:
            raise BadInput("a cell is row and col")
        self._exhibit(request).found.centre(row, col)
        return row, col


def _scores(found: ClassMap) -> int:
    return len(found.labels) * found.grid.rows * found.grid.cols


def _require_searched(found: ClassMap, plane: int, what: str) -> None:
    """Whether all of a class's scores may be read for what a page lists."""
    if not plane < len(found.labels):
        raise IndexError(f"no class {plane}")
    if found.grid.rows * found.grid.cols > _COUNTED:
        raise BadInput(f"the map is too large to look for its {what} here: fullconv export --what {what} writes them")


def _told(work: Callable[[], Response]) -> Response:
    try:
        return work()
    except IndexError as error:
        return _error(str(error), 404)
    except Replaced as error:
        return _error(str(error), 409)
    except BadInput as error:
        return _error(str(error), 400)
    except FullconvError as error:
        return _error(str(error), 409)
    except MemoryError:
        return _error("out of memory", 503)
    except (
        ArithmeticError,
        LookupError,
        OSError,
        TypeError,
        ValueError,
    ) as error:  # a store of strangers that no check foresaw
        return _error(f"cannot be read: {error!r}"[:300], 500)


def _json(data: Any, status: int = 200) -> Response:
    """JSON has no word for what is no number: it is null. Names of files may be bytes that are no UTF-8: all but ASCII is escaped."""
    return Response(
        json.dumps(_finite(data), separators=(",", ":"), allow_nan=False), status, media_type="application/json"
    )


def _finite(data: Any) -> Any:
    if isinstance(data, float):
        return data if isfinite(data) else None
    if isinstance(data, dict):
        return {key: _finite(each) for key, each in data.items()}
    return [_finite(each) for each in data] if isinstance(data, list | tuple) else data


def _raw(data: bytes) -> Response:
    return Response(data, media_type="application/octet-stream")


def _error(text: str, status: int) -> Response:
    return _json({"error": text}, status)


def _places(request: Request, *names: str) -> tuple[int, ...]:
    """Numbers of an address.

    Raises:
        IndexError: they are none that anything has.
    """
    texts = [request.path_params[name] for name in names]
    if not all(text.isascii() and text.isdigit() and len(text) < 13 for text in texts):
        raise IndexError("no such place")
    return tuple(map(int, texts))


def _epoch(request: Request) -> int | None:
    """Of which result what is asked for is meant to be a part, where the page says it."""
    return _integer(request, "epoch") if "epoch" in request.query_params else None


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
    if not _is_score(value):
        raise BadInput(f"{name} {text[:40]!r}: not a number")
    return value


def _is_score(value: Any) -> bool:
    """Whether it is a number that a score, of 32 bits, can be held to."""
    return type(value) in (int, float) and abs(value) <= LARGEST


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
