"""fullconv casts a trained image classifier into a fully convolutional network and maps inputs of any size.

>>> import fullconv
>>> model = fullconv.load("deploy.prototxt", weights="net.caffemodel")
>>> result = fullconv.map(model, "page.png", preprocess="unit")
>>> result.overlay("7").save("seven.png")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fullconv.errors import (
    BadInput,
    BrokenPromise,
    CannotCast,
    CannotRun,
    FullconvError,
    MissingExtra,
    NothingToAdapt,
    Refusal,
    Refused,
    SomeFailed,
)
from fullconv.version import __version__

if TYPE_CHECKING:
    from fullconv.adaptation.adapt import adapt
    from fullconv.adaptation.report import Adapted
    from fullconv.api import cast, plan, receptive_field
    from fullconv.demonstration import demo
    from fullconv.exports.export import export
    from fullconv.geometry.field import Field
    from fullconv.geometry.grid import Grid
    from fullconv.loading import load
    from fullconv.maps.classmap import ClassMap, Peak
    from fullconv.maps.comparison import Comparison, compare
    from fullconv.maps.pca import pca
    from fullconv.model import Model
    from fullconv.rasters.preprocess import Preprocess
    from fullconv.render.components import Components
    from fullconv.reports.report import report
    from fullconv.stream.run import map_raster, plan_raster
    from fullconv.stream.whole import map_whole as map
    from fullconv.study.run import Study, run
    from fullconv.surgery.plan import Plan
    from fullconv.trust.agreement import Agreement, agreement
    from fullconv.trust.blame import Blame, blame
    from fullconv.trust.verified import Report
    from fullconv.trust.verify import verify
    from fullconv.viewer.view import Viewer, view

# Heavy libraries are imported when a name that needs them is first used: `import fullconv` and
# `fullconv --help` stay quick.
_WHERE = {
    "Adapted": "fullconv.adaptation.report:Adapted",
    "adapt": "fullconv.adaptation.adapt:adapt",
    "Agreement": "fullconv.trust.agreement:Agreement",
    "agreement": "fullconv.trust.agreement:agreement",
    "ClassMap": "fullconv.maps.classmap:ClassMap",
    "Comparison": "fullconv.maps.comparison:Comparison",
    "compare": "fullconv.maps.comparison:compare",
    "Components": "fullconv.render.components:Components",
    "Field": "fullconv.geometry.field:Field",
    "Grid": "fullconv.geometry.grid:Grid",
    "Model": "fullconv.model:Model",
    "Peak": "fullconv.maps.classmap:Peak",
    "Plan": "fullconv.surgery.plan:Plan",
    "Preprocess": "fullconv.rasters.preprocess:Preprocess",
    "cast": "fullconv.api:cast",
    "export": "fullconv.exports.export:export",
    "demo": "fullconv.demonstration:demo",
    "load": "fullconv.loading:load",
    "map": "fullconv.stream.whole:map_whole",
    "map_raster": "fullconv.stream.run:map_raster",
    "plan_raster": "fullconv.stream.run:plan_raster",
    "pca": "fullconv.maps.pca:pca",
    "plan": "fullconv.api:plan",
    "Study": "fullconv.study.run:Study",
    "report": "fullconv.reports.report:report",
    "run": "fullconv.study.run:run",
    "receptive_field": "fullconv.api:receptive_field",
    "Blame": "fullconv.trust.blame:Blame",
    "blame": "fullconv.trust.blame:blame",
    "Report": "fullconv.trust.verified:Report",
    "verify": "fullconv.trust.verify:verify",
    "Viewer": "fullconv.viewer.view:Viewer",
    "view": "fullconv.viewer.view:view",
}

__all__ = [
    "Adapted",
    "Agreement",
    "BadInput",
    "Blame",
    "BrokenPromise",
    "CannotCast",
    "CannotRun",
    "ClassMap",
    "Comparison",
    "Components",
    "Field",
    "FullconvError",
    "Grid",
    "MissingExtra",
    "Model",
    "NothingToAdapt",
    "Peak",
    "Plan",
    "Preprocess",
    "Refusal",
    "Refused",
    "Report",
    "SomeFailed",
    "Study",
    "Viewer",
    "__version__",
    "adapt",
    "agreement",
    "blame",
    "cast",
    "compare",
    "demo",
    "export",
    "load",
    "map",
    "map_raster",
    "pca",
    "plan",
    "plan_raster",
    "receptive_field",
    "report",
    "run",
    "verify",
    "view",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'fullconv' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _WHERE[name].split(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
