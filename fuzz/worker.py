"""The process that reads cases: `python -m fuzz.worker TARGET FOLDER SEED FIRST`, or `TARGET --file PATH` for one."""

from __future__ import annotations

import json
import os
import sys
import traceback
import warnings
from pathlib import Path
from random import Random
from shutil import copyfile
from typing import Any, TextIO

from fullconv.errors import BrokenPromise, FullconvError
from fullconv.system.fallback import bound
from fuzz.readers import TARGETS
from fuzz.runner import kind_of
from fuzz.target import Target, Wrong


def outcome(target: Target, path: Path) -> dict[str, Any]:
    """How a case ended: read, refused, or a finding."""
    try:
        target.read(path)
    except Wrong as error:
        return {"outcome": "finding", "kind": kind_of(str(error)), "detail": str(error)}
    except BrokenPromise as error:
        return {"outcome": "finding", "kind": f"BrokenPromise {kind_of(str(error))}", "detail": str(error)}
    except FullconvError as error:
        return (
            {"outcome": "refused"} if str(error) else {"outcome": "finding", "kind": "no words", "detail": repr(error)}
        )
    except BaseException as error:  # what no reader may raise
        frames = traceback.extract_tb(error.__traceback__)
        ours = next((f for f in reversed(frames) if "/fullconv/" in f.filename), frames[-1])
        where = f"{type(error).__name__} at {Path(ours.filename).name} {ours.name}"
        return {"outcome": "finding", "kind": where, "detail": f"line {ours.lineno}: {error!r}"[:500]}
    return {"outcome": "read"}


def main(arguments: list[str]) -> None:
    target = TARGETS[arguments[0]]
    say = os.fdopen(os.dup(1), "w", buffering=1)  # engines print to the streams that they find
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    limit = int(target.gigabytes * 2**30)
    bounded = bound(limit)
    if bounded is not None:
        bounded()
    warnings.simplefilter("ignore")
    if arguments[1] == "--file":
        with_seeds(target, Path.cwd() / "seeds")
        say.write(json.dumps({"end": 0, **outcome(target, Path(arguments[2]))}) + "\n")
        return
    folder, seed, first = Path(arguments[1]), int(arguments[2]), int(arguments[3])
    _forever(target, folder, seed, first, say)


def with_seeds(target: Target, folder: Path) -> list[bytes]:
    """The contents of a target's seeds, made in a folder; those kept of earlier findings among them."""
    folder.mkdir(exist_ok=True)
    kept = Path(__file__).parent / "corpus" / target.name
    paths = [*target.seeds(folder), *(sorted(kept.glob("*")) if kept.is_dir() else [])]
    return [path.read_bytes() for path in paths]


def _forever(target: Target, folder: Path, seed: int, case: int, say: TextIO) -> None:
    seeds = with_seeds(target, folder / "seeds") or [b""]
    path = folder / f"case{target.suffix}"
    while True:
        random = Random(f"{target.name}/{seed}/{case}")
        path.write_bytes(target.mutate(random.choice(seeds), random, seeds))
        say.write(json.dumps({"start": case}) + "\n")
        found = outcome(target, path)
        if found["outcome"] == "finding":  # kept before the next case takes its place
            copyfile(path, path.with_stem(f"case-{case}"))
        say.write(json.dumps({"end": case, **found}) + "\n")
        case += 1


if __name__ == "__main__":
    main(sys.argv[1:])
