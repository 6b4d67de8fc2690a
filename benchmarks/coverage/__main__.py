"""Goes through the models and writes docs/coverage.md.

    python -m benchmarks.coverage [--only WORDS] [--rows FILE.jsonl] [--table docs/coverage.md]

Rows lie in a file of one JSON object a line; what is there already is not run again, so that a run can go on.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.coverage.check import check
from benchmarks.coverage.models import declare_torchvision, timm_names, torchvision_names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="models whose name holds this")
    parser.add_argument("--rows", type=Path, default=Path("coverage.jsonl"))
    parser.add_argument("--table", type=Path, default=Path("docs/coverage.md"))
    parser.add_argument("--again", default="", help="verdicts to run again, by their first letters; commas between")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    declare_torchvision()
    rows: dict[str, dict[str, Any]] = {}
    if options.rows.exists():
        again = tuple(word for word in options.again.split(",") if word)
        found = [json.loads(line) for line in options.rows.read_text().splitlines()]
        rows = {row["model"]: row for row in found if not (again and row["verdict"].startswith(again))}
    for name in [*torchvision_names(), *timm_names()]:
        if name in rows or options.only not in name:
            continue
        row = check(name).to_json()
        rows[name] = row
        with options.rows.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(
            f"{name:50} {row['verdict']:10} {row['exactness']} {row['reason'][:100]} {row['seconds']:.1f} s", flush=True
        )
    options.table.write_text(table(list(rows.values())))
    print(Counter(row["verdict"] for row in rows.values()))


def table(rows: list[dict[str, Any]]) -> str:
    """The page."""
    cast = [r for r in rows if r["verdict"] == "cast"]
    refused = [r for r in rows if r["verdict"] == "refused"]
    rough = [r for r in rows if r["verdict"] == "ROUNDS MORE"]
    other = [r for r in rows if r not in cast and r not in refused and r not in rough]
    lines = [
        "# Coverage",
        "",
        f"What `python -m benchmarks.coverage` found over {len(rows)} models with random weights: every classifier of torchvision up to 120 "
        "million parameters or so, and the smallest model of every entry of timm, each at its own input size.",
        "",
        f"- **{len(cast)} cast.** In double precision, cast and untouched module answer alike at training size: they differ by at most "
        f"{max((r['cast_error'] for r in cast), default=0):.0e} of the largest logit. The engine's float32 answer is within 1e-5 of the double-precision one in "
        f"{sum(r['crop_error'] <= 1e-5 for r in cast)} of them; in the others the untouched network's own is about as far (random weights can be that "
        "ill-conditioned), the cast's never more than twice as far. Over an image three cells high and two wide, every cell was compared with the "
        "untouched network's answer for its crop: *gap* is the largest difference, as a share of the largest logit. Random weights make it "
        "larger than trained ones do; `fullconv verify` tells it for yours.",
        f"- **{len(refused)} refused**, by node and reason, and mapped by crops: attention, windows that cut the map, position embeddings.",
    ]
    if rough:
        told = ", ".join(f"{r['model']} ({r['crop_error']:.0e}, untouched {r['noise']:.0e})" for r in rough)
        lines.append(
            f"- **{len(rough)} cast and rounding more**: equal in double precision too, but the float32 answer is more than twice as far from it "
            f"as the untouched network's: {told}."
        )
    if other:
        lines.append(f"- **{len(other)} failed**: {', '.join(r['model'] for r in other)}.")
    lines += [
        "",
        "## Cast",
        "",
        "| model | input | stride | field | exactness | gap | engine |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in sorted(cast, key=lambda r: r["model"]):
        lines.append(
            f"| {r['model']} | {r['size']} | {r['stride']} | {r['field']} | {r['exactness']} | {r['gap']:.0e} | {r['engine']} |"
        )
    lines += ["", "## Refused", "", "| model | input | node: reason |", "|---|---|---|"]
    for r in sorted(refused, key=lambda r: r["model"]):
        reason = r["reason"].replace("|", "\\|")
        lines.append(f"| {r['model']} | {r['size']} | {reason} |")
    if other:
        lines += ["", "## Failed", "", "| model | verdict | reason |", "|---|---|---|"]
        lines += [
            f"| {r['model']} | {r['verdict']} | {r['reason'].splitlines()[0] if r['reason'] else ''} |" for r in other
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
