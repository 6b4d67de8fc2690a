"""Builds the viewer's page into what is packed: a hook of hatchling. Where it is built already, nothing is run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FILES = ("index.html", "page.js", "page.css")


class PageHook(BuildHookInterface):  # type: ignore[type-arg]
    """The page, for wheels and source archives; an editable install is a source checkout, where ``make web`` builds it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        web, page = Path(self.root) / "web", Path(self.root) / "src" / "fullconv" / "viewer" / "page"
        if version == "editable" or not _is_older(page, web):
            return
        npm = shutil.which("npm")
        if npm is None:
            if not all((page / name).is_file() for name in FILES):
                self.app.display_warning(
                    "no npm (Node.js 20): packed without the viewer's page, and `fullconv view` will say so"
                )
            return
        install = [npm, "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
        try:
            subprocess.run(install, cwd=web, check=True)
            subprocess.run([npm, "run", "--silent", "build"], cwd=web, check=True)
        except (subprocess.CalledProcessError, OSError) as error:  # a registry that is not reached, say
            self.app.display_warning(f"packed without the viewer's page, and `fullconv view` will say so ({error})")


def _is_older(page: Path, web: Path) -> bool:
    """Whether the page was built before its sources were changed, or not at all."""
    if not all((page / name).is_file() for name in FILES):
        return True
    sources = [*web.glob("*.*"), *(web / "src").glob("*.ts")]
    return max(path.stat().st_mtime for path in sources) > min((page / name).stat().st_mtime for name in FILES)
