"""What a person sees of a map that is made tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

from fullconv.cli.terminal import print_event, shown

Report = Callable[[str, Mapping[str, Any]], None]


@contextmanager
def watching(image: str, as_json: bool) -> Iterator[tuple[Report, dict[str, Any]]]:
    """A progress bar on a terminal, lines of JSON where these are asked for; and the last of each kind of event."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.text import Text

    class Left(ProgressColumn):
        """Counts down within a tile too, first by what a crop took."""

        def render(self, task: Task) -> Text:
            ends = task.fields["ends"]
            return Text("" if ends is None else f"about {timedelta(seconds=max(0, round(ends - monotonic())))} left")

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[unit]}"), TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(), Left(), TextColumn("{task.fields[peak]}"),
    )  # fmt: skip
    seen: dict[str, Any] = {}
    with Progress(*columns, console=console, disable=as_json or not console.is_terminal) as bar:
        task = bar.add_task(shown(Path(image).name), total=None, rate="", peak="", ends=None, unit="tiles")

        def report(event: str, what: Mapping[str, Any]) -> None:
            if event == "sample":
                bar.update(task, total=what["of"], completed=what["done"], unit="random crops")
                return
            seen[event] = what
            if as_json:
                print_event(event, {"image": image, **what})
            if event == "plan":
                if not as_json:
                    bar.console.print(shown(what["text"]), markup=False, highlight=False, soft_wrap=True)
                ends = monotonic() + what["seconds_expected"] * (1 - what["done"] / what["tiles"])
                bar.update(task, total=what["tiles"], completed=what["done"], ends=ends, unit="tiles")
            elif event == "tile":
                rate, peak = (
                    f"{what['megapixels_per_second']:.3g} megapixels/s",
                    f"peak {what['peak_bytes'] / 1e6:,.0f} MB",
                )
                ends = monotonic() + what["seconds_left"]
                bar.update(task, completed=what["done"], rate=rate, peak=peak, ends=ends)
            elif event == "levels":
                bar.update(task, description=shown(f"{Path(image).name}: coarser levels"), ends=None)

        yield report, seen
