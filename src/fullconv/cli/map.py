"""``fullconv map``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fullconv.cli.options import (
    PICTURED,
    Input,
    Real,
    activation_option,
    engine_options,
    json_option,
    model_options,
    overwrite_option,
    picture_options,
)
from fullconv.cli.places import peaks_of, require_threshold, tell_peaks
from fullconv.cli.raster import access_options, images_of, is_raster, raster_options, run
from fullconv.cli.terminal import complain, note, noted_once, print_json, progress, say, tell, waiting

if TYPE_CHECKING:
    from fullconv.maps.classmap import ClassMap, Peak
    from fullconv.model import Model


@click.command()
@model_options
@click.argument("images", nargs=-1, required=True, type=click.Path(), metavar="IMAGE...")
@click.option(
    "--output-dir",
    "-o",
    "out",
    required=True,
    type=click.Path(),
    help="Folder for <stem>.npz and <stem>.png of every image; or, by the suffix .zarr, a store for one image of any size.",
)
@click.option(
    "--preprocess",
    "-p",
    type=Input(),
    help="raw, unit, signed, imagenet, caffe, a JSON file (channels, scale, mean, std), or Caffe's mean.binaryproto.",
)
@click.option("--labels", type=Input(), help="One label a line, in the network's order.")
@click.option(
    "--class",
    "name",
    help="Class to picture and to find: a label, words of one, or a number; several with commas between.",
)
@picture_options
@click.option(
    "--threshold", type=Real(), help="Least score of the places listed for --class; 0.5 of probabilities by default."
)
@click.option(
    "--by",
    type=click.Choice(["cast", "crops"]),
    default="cast",
    show_default=True,
    help="The cast network, or crop by crop.",
)
@click.option(
    "--stride",
    type=click.IntRange(1),
    help="Pixels between cells: a divisor of the network's own stride; any with --by crops.",
)
@click.option(
    "--finer",
    type=click.Choice(["auto", "dilation", "shifts"]),
    default="auto",
    show_default=True,
    help="How --stride is had: dilated windows in one run, or one run a shift of the image.",
)
@click.option("--scales", help="Map the image at each of these sizes, 0.5,0.71,1,1.41 say, and fuse the maps.")
@click.option(
    "--fuse",
    type=click.Choice(["max", "mean"]),
    default="max",
    show_default=True,
    help="Of each class over the scales.",
)
@click.option("--batch", type=click.IntRange(1), default=16, show_default=True, help="Crops a run (--by crops only).")
@click.option("--output", help="Which output, where the network has several.")
@access_options
@activation_option
@overwrite_option
@raster_options
@engine_options
@json_option
@click.pass_context
def command(
    context: click.Context, /, images: tuple[str, ...], out: str, name: str | None, as_json: bool, **options: Any
) -> None:
    """Map images: where the classifier sees what.

    Writes <stem>.npz (scores, grid, labels) and <stem>.png (one class as heat with --class, else the winning
    class of every cell), and prints what was seen and where. Folders, lists (.txt) and tables (.csv) stand for the images in them.

    With -o x.zarr, or any of the options from --memory on, images of any size are mapped tile by tile into a Zarr store: slides, scenes,
    big pictures. Stopped at any moment, the same command goes on. `fullconv export` turns a store into other formats.

    \b
    Examples:
      fullconv map deploy.prototxt -w net.caffemodel photo.jpg -o maps -p caffe \\
        --labels synset_words.txt --class tabby
      fullconv map model.onnx slide.svs -o slide.zarr -p imagenet --mpp 0.5 \\
        --where auto --activation softmax
    """
    from fullconv.errors import BadInput, SomeFailed
    from fullconv.system.guard import require_writable

    images = tuple(images_of(images))
    _check_stems(images)
    if is_raster(images, out, context):
        if options["preprocess"] is None and (opened := options["model"]()).preprocess is None:
            _note_raw(opened)
            options["model"] = lambda: opened
        run(images, out, name, options["threshold"], as_json, options)
        return
    folder = Path(out)
    for path in (folder / f"{Path(image).stem}{suffix}" for image in images for suffix in (".npz", ".png")):
        require_writable(path)  # before the work
    mapper = _mapper(name, options)
    done, failed = [], []
    for image in images:
        try:
            found = mapper(image)
            done.append(_write(found, Path(image), folder, name, options, as_json))
        except BadInput as error:
            if len(images) == 1:
                raise
            failed.append(str(error))  # the others are still worth their time
            complain(f"fullconv: {error}")
    if as_json:
        print_json({"maps": done, "failed": failed})
    if failed:
        raise SomeFailed(f"{len(failed)} of {len(images)} images failed:\n  " + "\n  ".join(failed))


def _check_stems(images: tuple[str, ...]) -> None:
    from fullconv.errors import BadInput

    stems: dict[str, str] = {}
    for image in images:
        other = stems.setdefault(Path(image).stem, image)
        if other != image:
            raise BadInput(
                f"{other} and {image} would both be written as {Path(image).stem!r}; map them into two folders"
            )


def _mapper(name: str | None, options: dict[str, Any]) -> Callable[[str], ClassMap]:
    from fullconv.maps.labels import classes_named
    from fullconv.maps.ways import class_labels
    from fullconv.stream.whole import map_whole

    model = options["model"]()
    if name is not None:  # an unknown class is told before the work
        classes_named(class_labels(model, options["labels"], options["output"], options["by"]), name)
    require_threshold(model, options)
    chosen = options["preprocess"] or model.preprocess
    if chosen is None:
        _note_raw(model)
    steps = {"cast": "shifts", "crops": "crops"}[options["by"]]
    scales = None if options["scales"] is None else _numbers(options["scales"])
    once = noted_once()
    counted = options["by"] == "crops" or (options["stride"] is not None and options["finer"] == "shifts")

    def run(image: str) -> ClassMap:
        keep = {
            key: options[key]
            for key in (
                "labels",
                "by",
                "stride",
                "finer",
                "fuse",
                "output",
                "activation",
                "runtime",
                "precision",
                "batch",
                "trust",
                "allow_remote",
                "subdataset",
            )
        }
        if counted:
            with progress(Path(image).name, steps) as told:
                return map_whole(model, image, preprocess=chosen, scales=scales, notes=once, progress=told, **keep)
        with waiting(f"mapping {Path(image).name}"):
            return map_whole(model, image, preprocess=chosen, scales=scales, notes=once, **keep)

    return run


def _note_raw(model: Model) -> None:
    if model.graph.image is not None:
        colours = "RGB on 0..255" if model.image_shape[0] == 3 else "0..255"
        note(f"no --preprocess given: pixels go in raw, {colours}")


def _numbers(text: str) -> list[float]:
    from fullconv.errors import BadInput

    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise BadInput(f"--scales {text!r}: numbers with commas between, 0.5,1,1.41 say") from None


def _write(
    found: ClassMap, image: Path, folder: Path, name: str | None, options: dict[str, Any], as_json: bool
) -> dict[str, Any]:
    from fullconv.maps.labels import classes_named

    threshold = options["threshold"]
    classes = () if name is None else classes_named(found.labels, name)
    scores, overlay = folder / f"{image.stem}.npz", folder / f"{image.stem}.png"
    found.save(scores)
    # Of several classes a picture each, by the class's number: names may be no file names.
    pictures: dict[Path, int | None] = {folder / f"{image.stem}.{i}.png": i for i in classes}
    if len(classes) < 2:
        pictures = {overlay: classes[0] if classes else None}
    for path, index in pictures.items():
        found.save_picture(path, index, **{key: options[key] for key in PICTURED})
    peaks = peaks_of(found, classes, threshold)
    if not as_json:
        _print(found, image, name, threshold, peaks)
        tell(f"wrote {scores} and {', '.join(map(str, pictures))}")
    grid = found.grid
    return {
        "image": str(image),
        "scores": str(scores),
        "overlay": str(next(iter(pictures))),
        "overlays": [str(path) for path in pictures],
        "output": found.output,
        "by": found.by,
        "exactness": found.exactness,
        "score_kind": found.score_kind,
        "classes": len(found.labels),
        "grid": grid.in_numbers(),
        "scales": list(found.scales),
        "found": [{"label": p.label, "score": p.score, "row": p.row, "col": p.col, "box": list(p.box)} for p in peaks],
    }


def _print(found: ClassMap, image: Path, name: str | None, threshold: float | None, peaks: list[Peak]) -> None:
    from fullconv.maps.labels import classes_named

    grid = found.grid
    tell(
        f"{image}: {grid.rows} × {grid.cols} cells of {len(found.labels)} classes, one every {grid.stride[1]} px, "
        f"each for a crop of {grid.crop[1]} × {grid.crop[0]} px"
    )
    say(f"  {found.exactness}")
    classes = () if name is None else classes_named(found.labels, name)
    tell_peaks(found, classes, threshold, peaks, "all are in the scores, or printed with --json")
