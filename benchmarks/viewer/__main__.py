"""Prints how long a person waits for the viewer's first picture of a large slide, in a real browser.

    python -m benchmarks.viewer [--side 100000] [--folder /tmp/viewer] [--times 5]

The slide and a map of ten classes, a cell every 32 pixels, are made once in the folder (2.4 GB and 0.4 GB). The server is the command's own, started anew each time;
the clock starts with the page's request, a fresh profile's first. *picture*: the middle of the canvas shows the image. *whole*: its tiles and the map's are there, at the screen's own resolution.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.viewer.slide import slide

# The canvas is looked at in every frame: ground and map are of few colours, and the image of many.
_LOOK = """(() => {
  window.__first = null;
  const look = () => {
    const canvas = document.getElementById("canvas");
    if (canvas && canvas.width > 300) {
      const [w, h] = [canvas.width, canvas.height];
      const context = canvas.getContext("2d");
      const data = context.getImageData(w / 2 - 40, h / 2 - 40, 80, 80).data;
      const seen = new Set();
      for (let i = 0; i < data.length; i += 4) seen.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]);
      if (seen.size > 200) { window.__first = performance.now(); return; }
    }
    requestAnimationFrame(look);
  };
  document.addEventListener("DOMContentLoaded", () => requestAnimationFrame(look));
})()"""
_ASKED = """() => performance.getEntriesByType("resource").map((e) => [e.name.replace(/^.*?:\\d+/, "").replace(/\\?.*/, ""), Math.round(e.startTime), Math.round(e.responseStart), Math.round(e.responseEnd)])"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/viewer"))
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--screen", default="1400x900", help="of the browser's page, in px")
    parser.add_argument("--asked", action="store_true", help="print what the page asked for, and when")
    options = parser.parse_args()
    options.folder.mkdir(exist_ok=True)
    image, store = slide(options.folder / "slide.tif", options.side), options.folder / "slide.zarr"
    if not store.exists():
        subprocess.run([sys.executable, "-m", "benchmarks.stream.free", str(image), str(store)], check=True)
    found = [_once(image, store, options.screen, options.asked) for _ in range(options.times)]
    for name in ("server", "picture", "whole"):
        values = sorted(each[name] for each in found)
        print(f"{name:8} {statistics.median(values):5.2f} s   {values[0]:.2f} to {values[-1]:.2f}")


def _once(image: Path, store: Path, screen: str, asked: bool) -> dict[str, float]:
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    began = perf_counter()
    command = [sys.executable, "-m", "fullconv", "view", str(store), "--image", str(image), "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as running:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        started = perf_counter() - began
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page: Any = browser.new_context(
            viewport=dict(zip(("width", "height"), map(int, screen.split("x")), strict=True))
        ).new_page()
        page.add_init_script(_LOOK)
        page.goto(address)
        page.wait_for_function("() => window.__first !== null", timeout=60_000)
        page.wait_for_load_state("networkidle")
        every = page.evaluate(_ASKED)
        tiles = [line[3] for line in every if "/image/" in line[0] or "/scores/" in line[0] or "/winners/" in line[0]]
        if asked:
            print(*map(json.dumps, every), sep="\n")
        found = {"server": started, "picture": page.evaluate("() => window.__first") / 1000, "whole": max(tiles) / 1000}
        browser.close()
        server.terminate()
    return found


if __name__ == "__main__":
    main()
