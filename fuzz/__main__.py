"""`python -m fuzz TARGET --seconds N --seed S`: damaged files and random networks for one reader, or for `all`."""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fuzz.readers import TARGETS
from fuzz.runner import CORPUS, Tally, fuzz, replay


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("target", choices=[*TARGETS, "all"])
    parser.add_argument("--seconds", type=float, default=60, help="a target")
    parser.add_argument(
        "--budget", type=float, default=0, help="seconds for all targets together; less for each where it is short"
    )
    parser.add_argument("--seed", type=int, default=0, help="case i of a seed is always the same")
    parser.add_argument("--first", type=int, default=0, help="the case to begin with")
    parser.add_argument("--cases", type=int, default=0, help="the most for a target; 0: as many as there is time for")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time")
    parser.add_argument("--replay", type=Path, nargs="+", help="read these files alone")
    given = parser.parse_args()
    names = list(TARGETS) if given.target == "all" else [given.target]
    seconds = min(given.seconds, given.budget * given.jobs / len(names)) if given.budget else given.seconds
    bad = 0

    def one(name: str) -> tuple[str, Tally, float]:
        start = time.monotonic()
        tally = Tally() if given.replay else fuzz(TARGETS[name], seconds, given.seed, given.first, given.cases)
        kept = CORPUS / name
        for path in given.replay or (sorted(kept.iterdir()) if kept.is_dir() else []):
            tally.cases += 1
            wrong = replay(TARGETS[name], path)
            if wrong is not None:
                tally.findings[wrong[0]] = (path, wrong[1])
                tally.counts[wrong[0]] += 1
        return name, tally, time.monotonic() - start

    with ThreadPoolExecutor(given.jobs) as pool:
        for name, tally, took in pool.map(one, names):
            print(f"{name}: {tally.cases} cases, {tally.refused} refused, {took:.0f} s")
            for kind, (path, detail) in tally.findings.items():
                print(f"  {tally.counts[kind]}× {kind}\n    {detail[:300]}\n    python -m fuzz {name} --replay {path}")
                bad += 1
    print("nothing found" if not bad else f"{bad} findings")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
