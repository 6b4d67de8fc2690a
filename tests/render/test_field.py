"""The picture of a cell: crop and field lie where the arithmetic says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from fullconv.render import canvas as on
from fullconv.render.field import _CROP, _FIELD, field_picture
from tests.cli.conftest import Run, net, run  # noqa: F401 - fixtures


def spread(picture: Image.Image, colour: tuple[int, int, int], least: int) -> tuple[int, int, int, int]:
    """(x0, y0, x1, y1) of long runs of a colour: a box's lines, not a mark's."""
    hits = (np.asarray(picture) == colour).all(axis=2)
    cols, rows = np.flatnonzero(hits.sum(axis=0) > least), np.flatnonzero(hits.sum(axis=1) > least)
    return cols[0], rows[0], cols[-1] + 1, rows[-1] + 1


def test_boxes_lie_where_they_should(quick) -> None:
    sampling = quick.sampling()
    grid = sampling.over((200, 240))
    offset = float(sampling.field.offset[0]), float(sampling.field.offset[1])
    picture = field_picture(grid, offset, None, "prob").flat()
    scale = on.start(None, grid).scale
    row, col = grid.rows // 2, grid.cols // 2
    for colour, box in (
        (_CROP, grid.box(row, col)),
        (_FIELD, (offset[1] + col * 8, offset[0] + row * 8)),
    ):
        x0, y0 = box[0], box[1]
        side = 32 if colour == _CROP else float(grid.field[0])
        found = spread(picture, colour, 20)
        expected = [on.MARGIN + v * scale for v in (x0, y0, x0 + side, y0 + side)]
        assert np.abs(np.array(found) - expected).max() <= 2, colour


def test_the_command_draws(run: Run, net, tmp_path: Path) -> None:  # noqa: F811
    prototxt, out = net[0], tmp_path / "cell.png"
    done = run("inspect", prototxt, "-o", out)
    assert f"wrote {out}" in done.out
    with Image.open(out) as picture:
        assert picture.size[0] > 640
    done = run("inspect", prototxt, "-o", tmp_path / "cell.jpg")
    assert done.status == 2
    assert "name it so" in done.err
