"""``fullconv view``."""

from __future__ import annotations

import webbrowser
from contextlib import closing

import click

from fullconv.cli.help import IMAGE, OUTPUT, argument, as_command, option
from fullconv.cli.idle import require_of
from fullconv.cli.options import Input, maker_options, opened_model
from fullconv.cli.terminal import note, tell


@as_command()
@argument(
    "results",
    type=Input(),
    metavar="RESULT...",
    nargs=-1,
    required=True,
    about="Maps (x.zarr, x.npz), whose runs may be in progress, or folders that fullconv run filled.",
)
@option(
    "--image",
    group=IMAGE,
    type=Input(),
    metavar="FILE",
    brief="The image that was mapped, or a folder of images.",
    help="The image that was mapped, to be seen under its map; or the folder in which the images of a study lie, by the names that they had.",
)
@option("--subdataset", group=IMAGE, metavar="NAME", help="Which image of a file of several.")
@maker_options("what it says of a crop alone can be asked in the page.")
@option(
    "--no-open",
    "opens",
    group=OUTPUT,
    is_flag=True,
    flag_value=False,
    default=True,
    brief="Print the address alone.",
    help="Print the address, and open no browser.",
)
@option(
    "--port",
    group=OUTPUT,
    type=click.IntRange(0, 65535),
    default=0,
    metavar="N",
    help="Port to listen at; a free one by default.",
)
@option(
    "--host",
    group=OUTPUT,
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Address to listen at; one that other machines reach needs --expose.",
)
@option(
    "--expose",
    group=OUTPUT,
    is_flag=True,
    help="Listen where other machines reach it: all who have the address and its token see image and map, unencrypted.",
)
def command(
    results: tuple[str, ...], image: str | None, trust: bool, allow_remote: bool, subdataset: str | None, model: str | None, weights: str | None,
    input_shape: str | None, opens: bool, port: int, host: str, expose: bool,
) -> None:  # fmt: skip
    """Look at maps in the browser, over their image: classes, scores, cells, and what the classifier says of a crop alone.

    A server of this machine alone, until Ctrl-C. The page asks nothing of other machines.

    \b
    Examples:
      fullconv view slide.zarr --image slide.svs
      fullconv view slide.zarr --image slide.svs --model net.onnx
      fullconv view old.zarr new.zarr --image slide.svs
      fullconv view results/ --image slides/
    """
    from fullconv.errors import BadInput
    from fullconv.rasters.access import Access
    from fullconv.viewer.extra import require_extra

    require_extra()
    from fullconv.viewer.serve import is_loopback, require_page, serve
    from fullconv.viewer.shown import Shown

    require_page()
    if not is_loopback(host):
        if not expose:
            raise BadInput(f"--host {host}: other machines could reach it; say --expose if that is meant")
        note(
            "other machines can reach the viewer: who has its address with the token sees image and map, and it is not encrypted"
        )
    for called, key in (("--weights", "weights"), ("--input-shape", "input_shape")):
        require_of(called, key, used=model is not None, of="the network (--model)")
    network = None if model is None else opened_model(model, weights, input_shape)
    with closing(Shown(list(results), image, network, Access(trust, allow_remote, subdataset))) as shown:

        def ready(address: str) -> None:
            tell(address)
            if opens and not webbrowser.open(address):
                note("no browser could be opened; open the address above")

        serve(shown, host, port, ready)
