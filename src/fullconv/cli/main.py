"""``fullconv``: the group of commands, each imported when it is called, and errors as messages."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from io import StringIO

import click

from fullconv import __version__
from fullconv.cli.help import STATUS
from fullconv.cli.terminal import complain, never_fail_to_encode
from fullconv.errors import BadInput, FullconvError
from fullconv.system.guard import guarded
from fullconv.system.parse import threads

_COMMANDS = {
    "inspect": "what a network is, whether it can be cast, how exact its map will be",
    "card": "write down what a network's file says of it, to be filled in: a model card",
    "cast": "write the fully convolutional network in the model's own format",
    "adapt": "bring a padded network's map nearer to its crops",
    "map": "map images of any size: scores as .npz or .zarr, pictures as .png",
    "run": "map a whole study: a map of each image, exports, one table",
    "watch": "map the images that arrive in a folder",
    "compare": "compare two maps of one image",
    "info": "what a map holds, and whether it is finished",
    "report": "write a page of a map, or of a study, that opens anywhere",
    "view": "look at maps in the browser, over their image",
    "export": "write a map as GeoTIFF, GeoJSON, CSV, Parquet or a picture",
    "verify": "compare the map with crop-by-crop answers",
    "bench": "time the map against batched crops",
    "demo": "find handwritten digits on a page with the packaged network",
    "completion": "print a completion script for your shell",
}


class _Lazy(click.Group):
    """Commands by name; their modules, and the libraries behind them, load on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"fullconv.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(
    cls=_Lazy, epilog=STATUS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="fullconv")
def cli() -> None:
    """Cast a trained image classifier into a fully convolutional network and map images of any size.

    \b
    Example:
      fullconv map deploy.prototxt -w net.caffemodel photo.jpg -o maps -p caffe
    """


def main() -> None:
    """Entry point. Exit statuses are those of ``help.STATUS``; docs/use.md has them in a table."""
    never_fail_to_encode()
    try:
        threads()  # a setting that is none is told before the work
        with guarded():
            status = cli.main(prog_name="fullconv", standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _say("stopped")
        sys.exit(130)
    except click.ClickException as error:
        text = StringIO()
        error.show(text)
        complain(text.getvalue().rstrip())
        sys.exit(2)
    except BadInput as error:
        _say(str(error))
        sys.exit(2)
    except FullconvError as error:
        _say(str(error))
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output went away (| head): nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if os.environ.get("FULLCONV_DEBUG"):
            raise
        if error.filename is not None:
            _say(f"{error.filename}: {error.strerror}")
        else:
            _say(f"cannot write the output: {error.strerror}")
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - nothing more is flushed into the full device
        sys.exit(2)
    except MemoryError:
        _say("out of memory; map a smaller image, or cut it into parts")
        sys.exit(1)
    except Exception as error:
        if os.environ.get("FULLCONV_DEBUG"):
            raise
        _say(
            f"unexpected {type(error).__name__}: {error}\nThis is a bug in fullconv; set FULLCONV_DEBUG=1 for its trace and report it."
        )
        sys.exit(70)


def _say(message: str) -> None:
    complain(f"fullconv: {message}")


if __name__ == "__main__":
    main()
