"""Help that can be read: options in groups, the most used first, ``-h`` on one screen and ``--help`` in full; and options' old names.

Every command is a ``Command``, made by ``as_command``, ``option`` and ``argument`` of this module.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from inspect import cleandoc
from textwrap import TextWrapper
from typing import Any

import click

from fullconv.cli.terminal import note, tell

MODEL, IMAGE, MAP, OUTPUT, SPEED, HELP = "Model", "Image", "Map", "Output", "Speed and memory", "Help"
GROUPS = (MODEL, IMAGE, MAP, OUTPUT, SPEED, HELP)
STATUS = (
    "Exit status: 0 done; 1 refused, a check failed, or some of several images failed; 2 bad input or usage; 3 a rule of --fail-if holds; "
    "70 a bug in fullconv; 130 stopped by Ctrl-C."
)
_COLUMN = 24  # where the texts of options begin
Old = (
    str | Callable[[Sequence[str], str | None], str | None]
)  # a new name, or what tells it from all arguments and the value


class Option(click.Option):
    """An option of a group.

    Attributes:
        group: under which it is listed, of ``GROUPS``.
        brief: one line for ``-h``; without one it is in ``--help`` alone.
    """

    def __init__(self, *args: Any, group: str = "", brief: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group, self.brief = group, brief

    def names(self, ctx: click.Context) -> str:
        """``-o, --output FILE``, as lists of options show it."""
        record = click.Option.get_help_record(self, ctx)
        return "" if record is None else record[0]


class Argument(click.Argument):
    """An argument with a line of help."""

    def __init__(self, *args: Any, about: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.about = about


class Formatter(click.HelpFormatter):
    """Lines that are broken between words alone, so that names of options and files stay whole."""

    def write_text(self, text: str) -> None:
        for i, part in enumerate(text.split("\n\n")):
            if i:
                self.write("\n")
            verbatim = part.startswith("\b")
            lines = (
                part.splitlines()[1:]
                if verbatim
                else _wrapped(" ".join(part.split()), self.width - self.current_indent)
            )
            for line in lines:
                self.write(f"{' ' * self.current_indent}{line}".rstrip() + "\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = _COLUMN, col_spacing: int = 2) -> None:
        rows = list(rows)
        column = min(col_max, max((len(first) for first, _ in rows), default=0) + col_spacing)
        for first, second in rows:
            lines = _wrapped(second, self.width - self.current_indent - column)
            head = f"{' ' * self.current_indent}{first}"
            if len(first) > column - col_spacing:
                self.write(f"{head}\n")
                head = " " * self.current_indent
            for i, line in enumerate(lines):
                self.write(f"{head if i == 0 else '':<{self.current_indent + column}}{line}\n")
            if not lines:
                self.write(f"{head}\n")


click.Context.formatter_class = Formatter


def _wrapped(text: str, width: int) -> list[str]:
    return TextWrapper(max(20, width), break_long_words=False, break_on_hyphens=False).wrap(text)


class Command(click.Command):
    """A command whose options lie in groups, with its old names.

    Attributes:
        old: names that options had in an earlier version; they are taken, with a note, and not listed.
    """

    def __init__(self, *args: Any, old: Mapping[str, Old] | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("epilog", STATUS)
        super().__init__(*args, **kwargs)
        self.old: Mapping[str, Old] = old or {}
        self.params += [
            _shows("--help", Command.get_help, "Show all options, and stop."),
            _shows("-h", Command.get_brief_help, "Show the options that are used most, and stop."),
        ]

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        return None  # they are parameters of their own

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._renamed(args))

    def _renamed(self, args: list[str]) -> list[str]:
        renamed = list(args)
        for i, text in enumerate(args):
            if text == "--":
                break
            name, equals, value = text.partition("=")
            if name not in self.old:
                continue
            rule = self.old[name]
            given = value if equals else args[i + 1] if i + 1 < len(args) else None
            new = rule if isinstance(rule, str) else rule(args, given)
            if new is not None:
                renamed[i] = new + equals + value
                note(f"{name} is called {new} now; the old name goes with the next version")
        return renamed

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        arguments = [
            (each.make_metavar(ctx), each.about) for each in self.params if isinstance(each, Argument) and each.about
        ]
        if arguments:
            with formatter.section("Arguments"):
                formatter.write_dl(arguments, col_max=_COLUMN)
        for group, options in self.grouped():
            records = [record for each in options if (record := each.get_help_record(ctx)) is not None]
            if records:
                with formatter.section(group):
                    formatter.write_dl(records, col_max=_COLUMN)

    def grouped(self) -> Iterator[tuple[str, list[Option]]]:
        """The options that are listed, by group, the most used first."""
        options = [each for each in self.params if isinstance(each, Option) and not each.hidden]
        for group in dict.fromkeys([*GROUPS, *(each.group for each in options)]):
            mine = [each for each in options if each.group == group]
            yield group, sorted(mine, key=lambda each: each.brief is None)

    def get_brief_help(self, ctx: click.Context) -> str:
        """What ``-h`` shows: one screen."""
        formatter = ctx.make_formatter()
        self.format_usage(ctx, formatter)
        about, _, rest = cleandoc(self.help or "").partition("\n\n")
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(about)
        rows = [(each.names(ctx), each.brief) for _, options in self.grouped() for each in options if each.brief]
        if rows:
            with formatter.section("Options"):
                formatter.write_dl(rows, col_max=_COLUMN)
        title, *examples = re.split(r"^(?=  fullconv)", rest.rpartition("\b\n")[2], flags=re.MULTILINE)
        if examples:
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(f"\b\n{title.replace('Examples', 'Example')}{examples[0].rstrip()}")
        count = sum(len(options) for _, options in self.grouped())
        formatter.write_paragraph()
        formatter.write_text(f"{ctx.command_path} --help shows all {count} options.")
        return formatter.getvalue().rstrip("\n")


def _shows(name: str, text: Callable[[Any, click.Context], str], about: str) -> Option:
    def show(ctx: click.Context, parameter: click.Parameter, given: bool) -> None:
        if given and not ctx.resilient_parsing:
            tell(text(ctx.command, ctx))
            ctx.exit()

    return Option([name], is_flag=True, is_eager=True, expose_value=False, callback=show, help=about, group=HELP)


def as_command(*, old: Mapping[str, Old] | None = None) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a function a command.

    Args:
        old: names that its options had in an earlier version, and their new ones.
    """
    return click.command(cls=Command, old=old)


def option(
    *names: str, group: str, brief: str | None = None, **how: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``click.option`` of a group, see ``Option``."""
    return click.option(*names, cls=Option, group=group, brief=brief, **how)


def argument(name: str, about: str, **how: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``click.argument`` with a line of help."""
    return click.argument(name, cls=Argument, about=about, **how)
