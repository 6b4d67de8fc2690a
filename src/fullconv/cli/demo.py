"""``fullconv demo``."""

from __future__ import annotations

import click

from fullconv.cli.help import OUTPUT, as_command, option
from fullconv.cli.options import json_option, overwrite_option
from fullconv.cli.terminal import print_json, tell, waiting


@as_command(old={"--output-dir": "--output"})
@option(
    "--output", "-o", "out", group=OUTPUT, type=click.Path(), default="demo", show_default=True, metavar="FOLDER",
    brief="Folder for the pictures.", help="Folder for the pictures.",
)  # fmt: skip
@overwrite_option
@json_option
def command(out: str, as_json: bool) -> None:
    """Cast the packaged digit network, map a page of handwritten digits, and count what was read.

    \b
    Example:
      fullconv demo -o demo
    """
    from fullconv.demonstration import demo

    with waiting("mapping the page, and every crop of it for comparison"):
        result = demo(out)
    if as_json:
        print_json(result.to_json())
    else:
        tell(str(result))
