"""``fullconv map ... -o x.zarr``: images of any size, tile by tile."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fullconv.cli.options import PICTURED, Input, Real
from fullconv.cli.places import peaks_of, require_threshold, tell_peaks
from fullconv.cli.terminal import complain, note, noted_once, print_json, say, shown, tell
from fullconv.system.guard import is_folder, is_url, reads, reads_images_of, require_writable

if TYPE_CHECKING:
    from fullconv.maps.classmap import ClassMap

Report = Callable[[str, Mapping[str, Any]], None]
_DRAWING = 256 << 20  # bytes that a picture takes while it is drawn
_UNITS = {
    "": 1,
    "K": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "KI": 1 << 10,
    "MI": 1 << 20,
    "GI": 1 << 30,
    "TI": 1 << 40,
}
_COLUMNS = ("image", "path", "file", "filename", "slide")
_OPTIONS = (
    click.option("--memory", help="What the process may take, 2GB say; at most half of what is free by default."),
    click.option("--level", type=click.IntRange(0), help="Level of the image's pyramid that the network reads, 0 the finest."),
    click.option("--mpp", type=Real(0), help="Pixel size that the network reads: micrometres of a slide, metres of a scene."),
    click.option("--bands", help="Bands from 1 on, in the network's order: 4,3,2 say."),
    click.option("--nodata", type=float, help="Value that stands for no data; the image's own where it states one."),
    click.option(
        "--missing", type=click.FloatRange(0, 1), default=0.5, show_default=True,
        help="Share of a crop without data above which its cell has no answer.",
    ),
    click.option("--where", type=Input(), help="Map only here: a mask picture, GeoJSON polygons, or auto (not where the image is blank)."),
    click.option("--keep", default="all", show_default=True, help="Scores that are stored: all, top1, or classes with commas between."),
    click.option(
        "--type", "stored", type=click.Choice(["float32", "float16", "uint8"]), default="float32", show_default=True,
        help="Type of the stored scores.",
    ),
    click.option(
        "--on-error", type=click.Choice(["stop", "skip"]), default="stop", show_default=True, help="At pixels that do not decode."
    ),
    click.option("--restart", is_flag=True, help="Start anew where the output holds another result."),
    click.option("--dry-run", is_flag=True, help="Print the tiles, the memory that they will take, and stop."),
    click.option("--workers", type=click.IntRange(1), help="Do the tiles in so many processes of this machine (Dask)."),
    click.option("--dask", "scheduler", help="Do the tiles on the workers of this Dask scheduler, tcp://host:8786 say."),
)  # fmt: skip
_NAMES = (
    "memory", "level", "mpp", "bands", "nodata", "missing", "where", "keep", "stored", "on_error", "restart", "dry_run", "workers", "scheduler",
)  # fmt: skip


def raster_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of images of any size."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def access_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What an image may lead to beside itself, and which of several in one file is meant."""
    for option in (
        click.option("--subdataset", help="Which image of a file of several (HDF5, NetCDF, NITF, Zarr); the error that lists them has their names."),
        click.option(
            "--allow-remote", is_flag=True,
            help="Let a mosaic (VRT) name files on other machines. An image given by its own https://, s3:// or gs:// address needs no leave.",
        ),
        click.option(
            "--trust", is_flag=True, help="Let a mosaic (VRT) name files outside its folder, and compute bands by GDAL's own functions."
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def is_raster(images: Sequence[str], out: str, context: click.Context) -> bool:
    """Whether a result is a store: its name says so, or an option that only stores have was given, or an image that only rasters are."""
    from fullconv.rasters.open import TILED

    given = any(context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE for name in _NAMES)
    tiled = any(Path(image.rstrip("/")).suffix.lower() in TILED for image in images)
    return given or tiled or out.rstrip("/").endswith(".zarr") or "://" in out


def images_of(given: Sequence[str]) -> list[str]:
    """Images by name: folders, lists (``.txt``) and tables (``.csv``) stand for those that they hold."""
    found: list[str] = []
    for name in given:
        path = Path(name)
        if is_folder(path) and not name.rstrip("/").endswith(".zarr"):
            reads_images_of(path)
            found += _of_folder(path)
        elif path.suffix.lower() in (".txt", ".csv") and not _is_missing(path):
            reads(path)
            found += _of_list(path)
        else:
            found.append(name)
    reads(*found)
    return list(dict.fromkeys(found))


def _is_missing(path: Path) -> bool:
    try:
        return not path.exists()
    except OSError:  # a name that no file can have
        return True


def _of_folder(path: Path) -> list[str]:
    from fullconv.errors import BadInput
    from fullconv.rasters.open import SUFFIXES

    found = sorted(
        str(each) for each in path.iterdir() if each.suffix.lower() in SUFFIXES and not each.name.startswith(".")
    )
    if not found:
        raise BadInput(f"{path}: holds no image (of {', '.join(SUFFIXES)})")
    return found


def _of_list(path: Path) -> list[str]:
    from fullconv.errors import BadInput

    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not a readable list of images ({error})") from None
    if path.suffix.lower() == ".csv":
        rows = [row for row in csv.reader(lines) if row]
        titles = [title.strip().lower() for title in rows[0]] if rows else []
        column = next((titles.index(name) for name in _COLUMNS if name in titles), None)
        names = [row[column or 0].strip() for row in (rows if column is None else rows[1:]) if len(row) > (column or 0)]
    else:
        names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not names:
        raise BadInput(f"{path}: names no image")
    return [name if "://" in name or not _is_missing(Path(name)) else str(path.parent / name) for name in names]


def bytes_of(text: str | None) -> int | None:
    """``2GB``, ``1.5GiB``, ``800M`` or a number of bytes."""
    from fullconv.errors import BadInput

    if text is None:
        return None
    match = re.fullmatch(r"\s*([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([KMGT]?I?)B?\s*", text.upper())
    if match is None or match[2] not in _UNITS or float(match[1]) == 0:
        raise BadInput(f"--memory {text!r}: an amount of memory, 2GB or 800MB say")
    return int(float(match[1]) * _UNITS[match[2]])


def run(
    images: Sequence[str], out: str, name: str | None, threshold: float | None, as_json: bool, options: dict[str, Any]
) -> None:
    """Map each image into a store; several go into a folder, the finished ones are left as they are."""
    from fullconv.errors import BadInput, FullconvError, SomeFailed
    from fullconv.maps.labels import classes_named
    from fullconv.maps.ways import class_labels

    _require_no(options, "scales")
    single = len(images) == 1
    if out.rstrip("/").endswith(".zarr") and not single:
        raise BadInput(f"{out}: is one result, and there are {len(images)} images; name a folder")
    model = options["model"]()
    options["notes"] = noted_once()
    require_threshold(model, options)
    if name is not None:  # an unknown class is told before the work
        classes_named(class_labels(model, options["labels"], options["output"], options["by"]), name)
    failed: list[dict[str, str]] = []
    for image in images:
        target = out if out.rstrip("/").endswith(".zarr") else f"{out.rstrip('/')}/{Path(image.rstrip('/')).stem}.zarr"
        try:
            _one(model, image, target, name, threshold, as_json, options)
        except FullconvError as error:
            if single:
                raise
            failed.append({"image": image, "reason": str(error)})  # the others are still worth their time
            _event(as_json, "failed", failed[-1])
            complain(f"fullconv: {error}")
    if failed:
        raise SomeFailed(
            f"{len(failed)} of {len(images)} images failed:\n  "
            + "\n  ".join(f["reason"] if f["image"] in f["reason"] else f"{f['image']}: {f['reason']}" for f in failed)
        )


def _require_no(options: Mapping[str, Any], key: str) -> None:
    from fullconv.errors import BadInput

    if options.get(key) is not None:
        raise BadInput(
            f"--{key} maps images that fit in memory; give --level or --mpp, and a result for each resolution"
        )


def _one(
    model: Any,
    image: str,
    target: str,
    name: str | None,
    threshold: float | None,
    as_json: bool,
    options: dict[str, Any],
) -> None:
    from fullconv.stream.run import map_raster, plan_raster

    keys = (
        "labels",
        "by",
        "stride",
        "finer",
        "output",
        "activation",
        "runtime",
        "precision",
        "batch",
        "preprocess",
        "trust",
        "allow_remote",
        "subdataset",
    )
    of_rasters = ("level", "mpp", "bands", "nodata", "missing", "where", "keep", "stored", "on_error")
    how = {key: options[key] for key in (*keys, *of_rasters)}
    memory = bytes_of(options["memory"])
    picture = overview_of(target)
    if options["dry_run"]:
        plan = plan_raster(model, image, memory=memory, notes=options["notes"], **how)
        _event(as_json, "plan", {"image": image, **plan.to_json()})
        if not as_json:
            tell(f"{image}: {plan}")
        return
    cluster = {key: options[key] for key in ("restart", "workers", "scheduler")}
    with _watching(image, as_json) as (report, seen):
        try:
            found = map_raster(
                model, image, target, memory=memory, report=report, notes=options["notes"], **cluster, **how
            )
        except KeyboardInterrupt:
            complain("fullconv: stopped; what is done is kept, and the same command goes on from there")
            raise click.exceptions.Exit(130) from None
    wanted = picture is not None and "finished" not in seen and _has_room(picture, memory)
    drawn = wanted and picture is not None and _draw(found, picture, name, options)
    if drawn:
        _event(as_json, "picture", {"image": image, "picture": str(picture)})
    if not as_json:
        _print(found, image, target, name, threshold, seen)
        if drawn:
            tell(f"wrote {picture}")


def overview_of(target: str) -> Path | None:
    """The picture beside a store on a disk, ``x.png`` of ``x.zarr``; none where a file of somebody's is there, the image itself say."""
    from fullconv.errors import BadInput

    if is_url(target):
        return None
    picture = Path(target.rstrip("/")).with_suffix(".png")
    try:
        require_writable(picture)
    except BadInput as error:
        note(f"the map has no picture beside it ({error})")
        return None
    return picture


def _has_room(picture: Path, memory: int | None) -> bool:
    """Whether a picture can be drawn within the memory that was set; what it takes does not depend on the image."""
    from fullconv.system.memory import resident_bytes

    if memory is None or resident_bytes() + _DRAWING <= memory:
        return True
    note(
        f"{picture}: not drawn, since that takes some {_DRAWING >> 20} MB more than --memory leaves; fullconv export makes it"
    )
    return False


def _draw(found: ClassMap, picture: Path, name: str | None, options: Mapping[str, Any]) -> bool:
    """The first class named as heat, else the winning classes; a picture that cannot be is said, and spoils no map."""
    from fullconv.errors import FullconvError
    from fullconv.maps.labels import classes_named

    try:
        index = None if name is None else classes_named(found.labels, name)[0]
        found.save_picture(picture, index, **{key: options[key] for key in PICTURED})
    except FullconvError as error:
        note(f"{picture}: not drawn ({error})")
        return False
    return True


def _event(as_json: bool, event: str, what: Mapping[str, Any]) -> None:
    """One line an event."""
    if as_json:
        print_json({"event": event, **{key: value for key, value in what.items() if key != "text"}}, indent=None)


@contextmanager
def _watching(image: str, as_json: bool) -> Iterator[tuple[Report, dict[str, Any]]]:
    """A progress bar on a terminal, lines of JSON where these are asked for; and the last of each kind of event."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TextColumn("tiles"), TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(), TextColumn("{task.fields[peak]}"),
    )  # fmt: skip
    seen: dict[str, Any] = {}
    with Progress(*columns, console=console, disable=as_json or not console.is_terminal) as bar:
        task = bar.add_task(shown(Path(image).name), total=None, rate="", peak="")

        def report(event: str, what: Mapping[str, Any]) -> None:
            seen[event] = what
            _event(as_json, event, {"image": image, **what})
            if event == "plan":
                if not as_json:
                    bar.console.print(shown(what["text"]), markup=False, highlight=False, soft_wrap=True)
                bar.update(task, total=what["tiles"], completed=what["done"])
            elif event == "tile":
                rate, peak = (
                    f"{what['megapixels_per_second']:.3g} megapixels/s",
                    f"peak {what['peak_bytes'] / 1e6:,.0f} MB",
                )
                bar.update(task, completed=what["done"], rate=rate, peak=peak)
            elif event == "levels":
                bar.update(task, description=shown(f"{Path(image).name}: coarser levels"))

        yield report, seen


def _print(
    found: ClassMap, image: str, target: str, name: str | None, threshold: float | None, seen: Mapping[str, Any]
) -> None:
    from fullconv.maps.labels import classes_named

    grid = found.grid
    step = " × ".join(f"{float(s):g}" for s in dict.fromkeys(grid.stride))
    crop = " × ".join(f"{float(s):g}" for s in grid.crop)
    tell(
        f"{image}: {grid.rows} × {grid.cols} cells of {len(found.labels)} classes, one every {step} px, each for a crop of {crop} px"
    )
    say(f"  {found.exactness}")
    if "finished" in seen:
        tell(f"  {target} was finished before; --restart makes it anew")
        return
    classes = () if name is None else classes_named(found.labels, name)
    where = f"fullconv export {target} -o peaks.csv --class ... writes them all"
    tell_peaks(found, classes, threshold, peaks_of(found, classes, threshold), where)
    done = seen["done"]
    if done["left_out"]:
        tell(
            f"  {done['left_out']:,} of {done['cells']:,} cells ({done['left_out'] / done['cells']:.1%}) left out: outside --where, or without data"
        )
    for tile in done["failed"]:
        tell(f"  tile {tile['tile']}: {tile['reason']}; these pixels are missing")
    tell(
        f"wrote {target}: {done['tiles']} tiles in {done['seconds']:,.1f} s, peak memory {done['peak_bytes'] / 1e6:,.0f} MB "
        f"(predicted {done['predicted_bytes'] / 1e6:,.0f} MB)"
    )
