"""``fullconv map``."""

from __future__ import annotations

from typing import Any

import click

from fullconv.cli.help import OUTPUT, argument, as_command, option
from fullconv.cli.images import images_of
from fullconv.cli.mapper import Mapper, print_event
from fullconv.cli.mapping import OLD, mapping_options, output_option
from fullconv.cli.options import model_options
from fullconv.cli.outputs import targets
from fullconv.cli.terminal import complain, print_json


@as_command(old=OLD)
@model_options
@argument(
    "images", nargs=-1, required=True, type=click.Path(), metavar="IMAGE...",
    about="Pictures, slides or scenes; folders, lists (.txt) and tables (.csv) stand for the images in them.",
)  # fmt: skip
@output_option(
    "What is written, by its name: a folder of <image>.npz (scores) and <image>.png; x.npz; a picture x.png, x.svg or x.pdf; or x.zarr, a "
    "store for images of any size, with x.png beside it. {name} in it stands for each image's own."
)
@option(
    "--dry-run",
    group=OUTPUT,
    is_flag=True,
    help="Print how it would be mapped and the memory that it would take, and stop.",
)
@mapping_options
def command(
    images: tuple[str, ...],
    out: str,
    name: str | None,
    threshold: float | None,
    as_json: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    """Map images: where the classifier sees what.

    What is written follows from the name after -o alone, and is said. What was seen is printed: the classes that win with their shares and
    best places, or the places of --class. A bad image stops no other.

    A store (-o x.zarr) is mapped tile by tile: slides, scenes, big pictures. Stopped at any moment, the same command goes on. `fullconv
    export` turns a map into other formats.

    \b
    Examples:
      fullconv map deploy.prototxt -w net.caffemodel photo.jpg -o maps \\
        -p caffe --labels synset_words.txt --class tabby
      fullconv map model.onnx slide.svs -o slide.zarr -p imagenet \\
        --mpp 0.5 --where auto --activation softmax
    """
    from fullconv.errors import FullconvError, SomeFailed

    found = images_of(images)
    aims = targets(out, found)
    mapper = Mapper(options, name, threshold, as_json)
    for target in aims.values():
        mapper.require(target)
    done: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    for image, target in aims.items():
        try:
            if dry_run:
                mapper.plan(image, target)
            else:
                made = mapper.map(image, target)
                if target.store is None:
                    done.append(mapper.to_json(made))
        except FullconvError as error:
            if len(aims) == 1:
                raise
            failed.append({"image": image, "reason": str(error)})  # the others are still worth their time
            complain(f"fullconv: {error}")
            if as_json and target.store is not None:
                print_event("failed", failed[-1])
    if as_json and not dry_run and any(target.store is None for target in aims.values()):
        print_json({"maps": done, "failed": [each["reason"] for each in failed]})
    if failed:
        raise SomeFailed(
            f"{len(failed)} of {len(aims)} images failed:\n  "
            + "\n  ".join(f["reason"] if f["image"] in f["reason"] else f"{f['image']}: {f['reason']}" for f in failed)
        )
