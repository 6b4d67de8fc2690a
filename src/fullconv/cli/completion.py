"""``fullconv completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from fullconv.cli.help import argument, as_command
from fullconv.cli.terminal import tell


@as_command()
@argument("shell", type=click.Choice(["bash", "zsh", "fish"]), about="Your shell.")
def command(shell: str) -> None:
    """Print a completion script for your shell.

    \b
    Example (bash):
      fullconv completion bash > \\
        ~/.local/share/bash-completion/completions/fullconv
    """
    from fullconv.cli.main import cli

    found = get_completion_class(shell)
    assert found is not None, f"click completes {shell}"
    tell(found(cli, {}, "fullconv", "_FULLCONV_COMPLETE").source())
