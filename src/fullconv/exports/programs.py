"""What other programs open in one step: a file of theirs, and beside it what brings names and colours there; for napari a script alone."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from fullconv.errors import BadInput
from fullconv.exports.export import Asked, Written, write
from fullconv.exports.gathered import Gathered, Result
from fullconv.exports.names import names_of
from fullconv.maps.classmap import ClassMap
from fullconv.render.palette import scale_colours
from fullconv.system.files import written_whole
from fullconv.system.guard import MARK, guarded, is_url, require_writable

PROGRAMS = ("qupath", "qgis", "napari")
_ENDS = {"qupath": (".geojson", ".groovy"), "qgis": (".tif", ".qml")}
_STEPS = 11  # colours of a scale


def write_for(
    result: Result, out: str | Path, program: str, asked: Asked, *, overwrite: bool = False
) -> tuple[Written, Path | None]:
    """Write a map for a program, and the script or style beside it.

    Args:
        program: ``qupath``: regions or winners as GeoJSON, and a script that imports them with their classes' colours; ``qgis``: a GeoTIFF of winners, or of
            one class's scores, and its style; ``napari``: a script that shows the result itself, with the image where that is given.

    Returns:
        What was written, and the file beside it, where there is one.

    Raises:
        BadInput: the name ends otherwise, or the program cannot show what is asked for.
    """
    target = Path(out)
    if program == "napari":
        return _for_napari(result, target, asked, overwrite), None
    end, beside = _ENDS[program]
    if target.suffix.lower() != end:
        raise BadInput(f"{target}: for {program} name a {end} file; its {beside} is written beside it")
    extra = target.with_suffix(beside)
    with guarded(asked.image, overwrite=overwrite):
        require_writable(extra)  # before the work
        gathered = Gathered.of(result, partial=asked.partial).coloured(asked.colours)
        found = gathered.only(target, f"what {program} opens")
        classes = gathered.classes(asked.name)
        if program == "qupath":
            if found.place.transform is not None:
                raise BadInput(
                    f"{target}: QuPath's coordinates are pixels, and this image has a place on the earth; QGIS shows it (--to qgis)"
                )
            asked = asked if asked.what or asked.name is not None else replace(asked, what="winners")
            text = _script(found, target)
        else:
            asked = replace(asked, what=asked.what or ("winners" if asked.name is None else "scores"))
            if asked.what == "scores" and len(classes) > 1:
                raise BadInput(
                    f"{target}: a style is of one class's scores; name it (--class), or take the winners (--what winners)"
                )
            text = _scores(found, classes[0]) if asked.what == "scores" else _winners(found, classes)
        written = write(result, target, asked, overwrite=overwrite)
        with written_whole(extra) as (part,):
            part.write_text(text, encoding="utf-8")
    return written, extra


def _for_napari(result: Result, target: Path, asked: Asked, overwrite: bool) -> Written:
    """A script in Python. What it holds of names of files is written as text is in Python, in ASCII."""
    if target.suffix.lower() != ".py":
        raise BadInput(f"{target}: for napari name a .py file, a script that shows the map")
    idle = [name for name in ("what", "threshold", "distance", "crs", "colours") if getattr(asked, name) is not None]
    if idle:
        raise BadInput(f"{target}: {idle[0]} has no effect on what napari shows; leave it out")
    with guarded(asked.image, overwrite=overwrite):
        require_writable(target)
        gathered = Gathered.of(result, partial=asked.partial)
        found = gathered.only(target, "what napari opens")
        path = getattr(found.scores, "name", None) if isinstance(result, ClassMap) else str(result)
        if path is None:
            raise BadInput(f"{target}: napari reads a file; save this map first, and export the file")
        classes = None if asked.name is None else list(gathered.classes(asked.name))
        image = None if asked.image is None else _full(str(asked.image))
        lines = [
            f"# {MARK}. Run it where napari and fullconv are installed: python {_plain(target.name)}",
            "from fullconv.viewer.napari import show", "",
            f"show({_full(path)!a}, image={image!a}, classes={classes})",
        ]  # fmt: skip
        with written_whole(target) as (part,):
            part.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return Written(target, "layers", notes=gathered.notes)


def _full(path: str) -> str:
    return path if is_url(path) else str(Path(path).absolute())


def _plain(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_.-]+", name) else "THIS-FILE"


def _script(found: ClassMap, target: Path) -> str:
    """Groovy for QuPath 0.4 and newer. It holds no name of a class: these and their colours it reads of the file."""
    height, width = found.grid.image
    lines = [
        f"// {MARK}. Open the image in QuPath, then run this: Automate > Script editor, or drag it onto the window.",
        "import static qupath.lib.scripting.QP.*", "import com.google.gson.JsonObject", "import qupath.lib.common.ColorTools",
        "import qupath.lib.io.GsonTools", "",
        f"def file = new File({_text(target.resolve().as_posix())})",
        "if (!file.exists()) throw new FileNotFoundException('Not there any more, write it anew: ' + file)",
        "def server = getCurrentServer()",
        f"if (server == null || server.getWidth() != {width} || server.getHeight() != {height})",
        f"    throw new IllegalStateException('Open the image of the map first: {width} x {height} px')",
        "GsonTools.getInstance().fromJson(file.getText('UTF-8'), JsonObject.class).getAsJsonArray('features').each {",
        "    def kind = it.getAsJsonObject().getAsJsonObject('properties').getAsJsonObject('classification')",
        "    def rgb = kind.getAsJsonArray('color').collect { it.getAsInt() }",
        "    getPathClass(kind.get('name').getAsString()).setColor(ColorTools.packRGB(rgb[0], rgb[1], rgb[2]))",
        "}",
        "importObjectsFromFile(file.getAbsolutePath())",
        "fireHierarchyUpdate()",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    """A text in Groovy: as it stands where it is plain, else encoded, so that no name of a folder is code."""
    if re.fullmatch(r"[A-Za-z0-9 _./:\-]+", value):
        return f"'{value}'"
    return f"new String('{base64.b64encode(value.encode()).decode()}'.decodeBase64(), 'UTF-8')"


def _winners(found: ClassMap, classes: Sequence[int]) -> str:
    names = names_of(found.labels)
    entries = [
        f'        <paletteEntry value="{i}" color="#{bytes(found.colour(i)).hex()}" alpha="255" label={_attribute(names[i])}/>'
        for i in classes
    ]
    inner = ["      <colorPalette>", *entries, "      </colorPalette>"]
    return _style('type="paletted" band="1" opacity="0.7" alphaBand="-1" nodataColor=""', inner)


def _scores(found: ClassMap, index: int) -> str:
    low, high = _ends(found, index)
    values = np.linspace(low, high, _STEPS)
    colours = scale_colours(np.linspace(0, 1, _STEPS))
    items = [
        f'          <item value="{value:.9g}" color="#{bytes(colour.tolist()).hex()}" alpha="255" label="{value:.4g}"/>'
        for value, colour in zip(values, colours, strict=True)
    ]
    ends = f'"{low:.9g}"', f'"{high:.9g}"'
    shader = f'        <colorrampshader colorRampType="INTERPOLATED" classificationMode="1" clip="0" minimumValue={ends[0]} maximumValue={ends[1]}>'
    inner = ["      <rastershader>", shader, *items, "        </colorrampshader>", "      </rastershader>"]
    about = f'type="singlebandpseudocolor" band="1" opacity="0.7" alphaBand="-1" nodataColor="" classificationMin={ends[0]} classificationMax={ends[1]}'
    return _style(about, inner)


def _ends(found: ClassMap, index: int) -> tuple[float, float]:
    """From where to where a class's scores go."""
    if found.score_kind == "probabilities":
        return 0.0, 1.0
    low, high = np.inf, -np.inf
    for _, _, scores in found.blocks(index):
        known = scores[np.isfinite(scores)]
        if known.size:
            low, high = min(low, float(known.min())), max(high, float(known.max()))
    return (low, high) if low < high else (0.0, 1.0) if low > high else (low - 0.5, low + 0.5)


def _style(renderer: str, inner: Sequence[str]) -> str:
    """QGIS's style of a raster; cells are not smoothed."""
    lines = [
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>", f"<!-- {MARK} -->", '<qgis version="3.22" styleCategories="Symbology">', "  <pipe>",
        f"    <rasterrenderer {renderer}>", "      <rasterTransparency/>", *inner, "    </rasterrenderer>", '    <brightnesscontrast brightness="0" contrast="0" gamma="1"/>',
        '    <rasterresampler maxOversampling="2"/>', "  </pipe>", "</qgis>",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _attribute(text: str) -> str:
    return quoteattr("".join(each if each.isprintable() else " " for each in text))
