"""``fullconv watch``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fullconv.cli.batch import Batch, table_at
from fullconv.cli.help import OUTPUT, argument, as_command, option
from fullconv.cli.mapper import Mapper
from fullconv.cli.mapping import mapping_options, output_option
from fullconv.cli.options import Real, model_options
from fullconv.cli.outputs import NAME, Target, target_of
from fullconv.cli.terminal import complain, note, print_event
from fullconv.errors import BadInput, FullconvError
from fullconv.system.guard import guarded, is_folder, is_url, reads_images_of

if TYPE_CHECKING:
    from fullconv.exports.images import ImageTable


@as_command()
@model_options
@argument("folder", type=click.Path(), metavar="FOLDER", about="The folder in which images arrive.")
@output_option(
    "What each image becomes, by its name, as for fullconv map: a folder of <image>.npz and <image>.png, or {name}.zarr, {name}.npz or "
    "{name}.png within one. A folder below FOLDER is fine.",
    "A folder, or {name}.zarr for stores.",
)
@option(
    "--summary", group=OUTPUT, type=click.Path(), metavar="FILE",
    help="The table (.csv) that gets a row an image; watch.csv beside the maps by default.",
)  # fmt: skip
@option(
    "--once",
    group=OUTPUT,
    is_flag=True,
    brief="Map what is there, and end.",
    help="Map what is there and stands still, and end.",
)
@option(
    "--still", group=OUTPUT, type=Real(0), default=2.0, show_default=True, metavar="SECONDS",
    help="An image is whole once its file has not changed for so long.",
)  # fmt: skip
@option(
    "--every", group=OUTPUT, type=Real(0), default=1.0, show_default=True, metavar="SECONDS", help="Time between looks at the folder.",
)  # fmt: skip
@mapping_options
def command(
    folder: str,
    out: str,
    summary: str | None,
    once: bool,
    still: float,
    every: float,
    name: str | None,
    threshold: float | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Map the images that arrive in a folder, each as fullconv map would.

    An image is mapped once its file stands still, and again when it changes. A bad image stops nothing. Each gets a row in a table; what has its
    row and its result is not mapped again after a restart, unless it, the network or an option has changed. Where a rule of --fail-if holds it
    is said, and stands in the table. Ctrl-C ends it.

    \b
    Example:
      fullconv watch model.onnx incoming -o maps -p imagenet \\
        --fail-if 'crack > 0.9'
    """
    from fullconv.stream.arrivals import Arrivals
    from fullconv.system.lock import locked

    source = Path(folder)
    if not is_folder(source):
        raise BadInput(f"{folder}: is no folder; name the one in which images arrive")
    target = target_of(out, "image.png")
    if NAME not in out and Path(out.rstrip("/")).suffix.lower() in (".zarr", ".npz", ".png", ".svg", ".pdf"):
        raise BadInput(
            f"{out}: is one result, and many images may arrive; name a folder, or each by its image: {NAME}.zarr"
        )
    if summary is None and is_url(out):
        raise BadInput(f"{out}: give the table of images a place on a disk with --summary")
    path = summary or str(Path(target.files[0]).parent / "watch.csv")
    reads_images_of(source)
    mapper = Mapper(options, name, threshold, as_json, renews=True)
    mapper.require(target)
    with locked(Path(f"{path}.lock"), path):
        table = table_at(path, mapper, goes_on=True)
        assert table is not None, "it has a name"
        watcher = _Watcher(mapper, table, out, as_json, anew=bool(options["restart"]))
        complain(f"watching {folder}: maps go to {out}, a row of each to {path}" + ("" if once else "; Ctrl-C ends it"))
        try:
            for image in _arriving(Arrivals(source, still), every, once):
                watcher.map(image)
        except KeyboardInterrupt:
            raise click.exceptions.Exit(130) from None
        finally:
            complain(f"fullconv: {watcher}")
    watcher.batch.end(watcher.count)


def _arriving(arrivals: Any, every: float, once: bool) -> Iterator[Path]:
    """Images as they are ready; with ``once`` until none that is there waits any more."""
    gone = False
    while True:
        try:
            ready = arrivals.look()
            gone = False
        except OSError as error:
            if once:
                raise
            ready = []
            if not gone:
                note(f"the folder cannot be read ({error.strerror}); it is looked at again")
            gone = True
        yield from ready
        if once and not arrivals.waits:
            return
        time.sleep(every)


class _Watcher:
    """What was done of what arrived."""

    def __init__(self, mapper: Mapper, table: ImageTable, out: str, as_json: bool, *, anew: bool) -> None:
        """Args:
        anew: results of earlier runs do not count.
        """
        self._mapper, self._out, self._as_json = mapper, out, as_json
        self.batch = Batch(mapper, table, as_json)
        self.count = self.before = self.failed = 0
        self._done: dict[str, str] = {}  # image to the request that its result is of
        self._of: dict[str, str] = {}  # result to the image that it is of
        for row in () if anew else table.rows():
            if row["status"] == "mapped":
                self._done[row["image"]] = row["request"]
                self._of[row["result"]] = row["image"]
            else:
                self._done.pop(row["image"], None)

    def __str__(self) -> str:
        before = f", {self.before} done before" if self.before else ""
        return f"{self.batch.mapped} mapped{before}, {self.failed} failed"

    def map(self, path: Path) -> None:
        """One image."""
        from fullconv.exports.table import plain

        image, target = str(path), target_of(self._out, path.name)
        self.count += 1
        with guarded():  # what is read is not remembered for ever
            try:
                self._require_own(image, target)
                request = self._mapper.request(image)
            except FullconvError as error:
                self.failed += 1
                self.batch.fail(image, target, str(error))
                return
            if self._done.get(plain(image)) == request and all(Path(file).exists() for file in target.files[:1]):
                self.before += 1
                return
            made = self.batch.map(image, target, {"request": request})
            if made is None:
                self.failed += 1
                self._done.pop(plain(image), None)
                return
        self._done[plain(image)] = request
        self._of[plain(target.files[0])] = plain(image)
        if self._as_json:
            print_event(
                "mapped", self.batch.maps.pop() if self.batch.maps else {"image": image, "files": list(made.files)}
            )
        self.batch.maps.clear()

    def _require_own(self, image: str, target: Target) -> None:
        """BadInput where another image of the folder has this name, and its map."""
        from fullconv.exports.table import plain

        other = self._of.get(plain(target.files[0]))
        if other is not None and other != plain(image) and Path(other.removeprefix("'")).exists():
            raise BadInput(f"{image}: would be written over the map of {other}; give one of them another name")
