"""The winning classes as a raster: one band of class numbers with colours and names, which QGIS and GDAL show as they are."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.exports.bands import winners_in
from fullconv.exports.geotiff import write_bands
from fullconv.exports.names import names_of
from fullconv.maps.classmap import ClassMap
from fullconv.system.guard import MARK

Winners = npt.NDArray[np.integer]


def write_winners(found: ClassMap, out: Path, classes: tuple[int, ...], threshold: float | None) -> None:
    """Write a cloud-optimised GeoTIFF of class indices, and beside it ``.aux.xml``, in which GDAL keeps names.

    Cells without an answer, of other classes than those, or below a threshold are no data: 255, or 65535 of more than 255 classes.
    """
    count = len(found.labels)
    kind, missing = ("uint8", 255) if count <= 255 else ("uint16", 65535)
    if count > 65535:
        raise BadInput(f"{out}: {count} classes, and a raster of classes holds 65535 at most")
    if threshold is not None:
        found.least_score(threshold)
    kept = np.zeros(count + 1, bool)  # the last is -1's, of cells without an answer
    kept[list(classes)] = True
    names = names_of(found.labels)

    def read(rows: slice, cols: slice) -> Winners:
        winners, best = winners_in(found, rows, cols)
        known = kept[winners] if threshold is None else kept[winners] & (best >= threshold)
        return np.where(known, winners, missing).astype(kind)

    colours = {i: (*found.colour(i), 255) for i in range(count)} | {missing: (0, 0, 0, 0)}
    write_bands(
        found, out, ["winning class"], kind, missing, lambda rows, cols: iter([(0, read(rows, cols)[None])]),
        resampling="mode", colours=colours, beside=(".aux.xml", _names(found, names)),
    )  # fmt: skip


def _names(found: ClassMap, names: tuple[str, ...]) -> str:
    """Names of classes, and a table of them with their colours, as GDAL's PAM has them."""
    categories = "".join(f"      <Category>{escape(_printable(name))}</Category>\n" for name in names)
    fields = (("Value", 0, 5), ("Class", 2, 2), ("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8))
    head = "".join(
        f'      <FieldDefn index="{i}"><Name>{name}</Name><Type>{kind}</Type><Usage>{usage}</Usage></FieldDefn>\n'
        for i, (name, kind, usage) in enumerate(fields)
    )
    rows = "".join(
        f'      <Row index="{i}">{"".join(f"<F>{escape(_printable(str(value)))}</F>" for value in (i, name, *found.colour(i)))}</Row>\n'
        for i, name in enumerate(names)
    )
    return (
        f'<PAMDataset>\n  <Metadata><MDI key="SOFTWARE">{MARK}</MDI></Metadata>\n  <PAMRasterBand band="1">\n    <CategoryNames>\n{categories}    </CategoryNames>\n'
        f'    <GDALRasterAttributeTable tableType="thematic">\n{head}{rows}    </GDALRasterAttributeTable>\n  </PAMRasterBand>\n</PAMDataset>\n'
    )


def _printable(text: str) -> str:
    """Text without what XML cannot hold."""
    return "".join(each if each.isprintable() else " " for each in text)
