"""Write docs/options.md from the help of every command: ``python -m tools.options_page``. A test holds it to what they say."""

from __future__ import annotations

from pathlib import Path

import click

from fullconv.cli.help import Argument, Command
from fullconv.cli.main import cli

PAGE = Path(__file__).parents[1] / "docs" / "options.md"
_HEAD = """# Every option of every command

As `fullconv COMMAND --help` has them; `-h` shows those that are used most. What they are for is told in [Command line and Python](use.md).
This page is written by `python -m tools.options_page`.
"""


def page() -> str:
    """The page's text."""
    parts = [_HEAD]
    with click.Context(cli, info_name="fullconv") as top:
        for name in cli.list_commands(top):
            command = cli.get_command(top, name)
            assert isinstance(command, Command), f"{name} is made by as_command"
            with click.Context(command, info_name=name, parent=top) as context:
                parts.append(f"## {name}\n")
                rows = [
                    (each.make_metavar(context), each.about) for each in command.params if isinstance(each, Argument)
                ]
                if rows:
                    parts.append(_table("argument", rows))
                for group, options in command.grouped():
                    records = [record for each in options if (record := each.get_help_record(context)) is not None]
                    if records:
                        parts.append(_table(group, records))
    return "\n".join(parts)


def _table(title: str, rows: list[tuple[str, str]]) -> str:
    lines = [f"| {title} | |", "|---|---|"]
    for names, text in rows:
        plain = text.replace("|", "\\|").replace("<", "&lt;")
        lines.append(f"| `{names.replace(chr(124), chr(92) + chr(124))}` | {' '.join(plain.split())} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
