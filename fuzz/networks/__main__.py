"""`python -m fuzz.networks FILE...`: what is wrong with networks that the fuzzer kept, each made as small as it gets."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import onnx

from fuzz.networks.oracle import judge
from fuzz.networks.reduce import TRIES, reduced
from fuzz.networks.target import packed, unpacked


def main(paths: list[str]) -> None:
    for path in map(Path, paths):
        drawn = unpacked(path.read_bytes())
        verdicts = [judge(drawn.model, drawn.shape, drawn.last, Random(i)) for i in range(TRIES)]
        verdict = next((v for v in verdicts if v.is_finding), verdicts[0])
        print(f"{path}: {verdict.kind}: {verdict.detail}")
        if verdict.is_finding:
            drawn = reduced(drawn, verdict)
            small = path.with_name(f"{path.stem}-small.onnx")
            small.write_bytes(packed(drawn))
            print(f"{small}, trained at {drawn.shape}\n{onnx.printer.to_text(drawn.model)}")


if __name__ == "__main__":
    main(sys.argv[1:])
