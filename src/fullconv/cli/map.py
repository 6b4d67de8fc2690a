"""``fullconv map``."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import click

from fullconv.cli.adapting import require_adaptable
from fullconv.cli.batch import Batch, table_at
from fullconv.cli.help import MAP, OUTPUT, argument, as_command, option
from fullconv.cli.images import images_of
from fullconv.cli.mapper import Mapper
from fullconv.cli.mapping import OLD, mapping_options, output_option
from fullconv.cli.options import model_options
from fullconv.cli.outputs import targets
from fullconv.cli.viewing import require_viewable, viewing


@as_command(old=OLD)
@model_options
@argument(
    "images", nargs=-1, required=True, type=click.Path(), metavar="IMAGE...",
    about="Pictures, slides or scenes; folders, lists (.txt) and tables (.csv) stand for the images in them.",
)  # fmt: skip
@output_option(
    "What is written, by its name: a folder of <image>.npz (scores) and <image>.png; x.npz; a picture x.png, x.svg or x.pdf; or x.zarr, a "
    "store for images of any size, with x.png beside it. {name} in it stands for each image's own.",
    "A folder, x.npz, x.png, or x.zarr (any size).",
)
@option(
    "--dry-run",
    group=OUTPUT,
    is_flag=True,
    help="Print how it would be mapped and the memory that it would take, and stop.",
)
@option(
    "--summary", group=OUTPUT, type=click.Path(), metavar="FILE", brief="A table (.csv) of one row an image.",
    help="Write a table (.csv) of one row an image: size, cells, each class's share, best score and place, or why it failed.",
)  # fmt: skip
@option(
    "--no-verify", "verify", group=MAP, flag_value=False, is_flag=True, default=True,
    help="Do not compare some cells with their crops after a map that is not exact. What is written is the same.",
)  # fmt: skip
@option(
    "--adapt", group=MAP, type=click.IntRange(1), metavar="N",
    help="Bring a padded network's map nearer to its crops first, by a head that is fitted to N crops of these images, as fullconv adapt does. Beside "
    "a store x.zarr the network is kept as x.adapted.onnx, and the same command goes on with it.",
)  # fmt: skip
@option(
    "--view", "viewed", group=OUTPUT, is_flag=True,
    help="Look at the run in the browser while it fills a store, and at the map behind it until Ctrl-C, as with fullconv view.",
)  # fmt: skip
@mapping_options
def command(
    images: tuple[str, ...],
    out: str,
    name: str | None,
    threshold: float | None,
    as_json: bool,
    dry_run: bool,
    summary: str | None,
    adapt: int | None,
    viewed: bool,
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
    found = images_of(images)
    aims = targets(out, found)
    mapper = Mapper(options, name, threshold, as_json)
    for target in aims.values():
        mapper.require(target)
    if adapt is not None:
        require_adaptable(options, aims)
    shown = require_viewable(aims) if viewed else None
    if dry_run:
        for image, target in aims.items():
            mapper.plan(image, target)
        return
    if adapt is not None:
        mapper.adapt(aims, adapt)
    batch = Batch(mapper, table_at(summary, mapper), as_json)
    with nullcontext() if shown is None else viewing(*shown):
        for image, target in aims.items():
            batch.map(image, target, alone=len(aims) == 1)
    if as_json and any(target.store is None for target in aims.values()):
        batch.print_maps()
    batch.end(len(aims))
