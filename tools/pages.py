"""What MkDocs is told beyond ``mkdocs.yml``: pages that lie outside ``docs/``, the README first, and where links lead then.

The files stay plain Markdown with links that work where they lie; this moves both. Nothing that is built asks other machines for anything.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DOCS = "docs"
_LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
_ASKS = re.compile(
    r"<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=\"?(?:https?:)?//[^>]*>|<link\b[^>]*\bhref=\"?(?:https?:)?//[^>]*>"
)


def outside() -> dict[str, str]:
    """Pages by their path in the repository: where each stands on the built pages."""
    named = {"README.md": "index.md"}
    for path in sorted((*ROOT.glob("[A-Z]*.md"), *ROOT.glob("benchmarks/**/README.md"))):
        name = path.relative_to(ROOT).as_posix()
        named.setdefault(
            name, f"project/{name.removesuffix('/README.md').removesuffix('.md').replace('/', '-').lower()}.md"
        )
    return named


def moved(text: str, source: str) -> str:
    """A page's links, which are relative to ``source`` in the repository, as they are among the built pages."""
    here = posixpath.dirname(_built(source))

    def lead(match: re.Match[str]) -> str:
        target = match[2]
        if "://" in target or target.startswith("mailto:"):
            return match[0]
        to = _built(posixpath.normpath(posixpath.join(posixpath.dirname(source), target)))
        return f"{match[1]}{posixpath.relpath(to, here or '.')}{match[3]}"

    return _LINK.sub(lead, text)


def _built(path: str) -> str:
    return outside().get(path, path.removeprefix(f"{DOCS}/"))


def requests(html: str) -> list[str]:
    """Elements of a page for which a browser would ask another machine; links that a reader follows are none."""
    return _ASKS.findall(html)


def on_config(config: Any) -> Any:
    """MkDocs's hook: headings get GitHub's anchors."""
    from pymdownx.slugs import slugify

    config.mdx_configs.setdefault("toc", {})["slugify"] = slugify(case="lower")
    return config


def on_files(files: Any, config: Any) -> Any:
    """MkDocs's hook: pages from outside its folder."""
    from mkdocs.structure.files import File

    for path, page in outside().items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """MkDocs's hook: links as they are among the built pages."""
    source = {page: path for path, page in outside().items()}.get(page.file.src_uri, f"{DOCS}/{page.file.src_uri}")
    return moved(markdown, source)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """MkDocs's hook: a page that would ask other machines for something ends the build."""
    from mkdocs.exceptions import PluginError

    if asked := requests(output):
        raise PluginError(f"{page.file.src_uri}: would ask another machine: {asked[0][:200]}")
    return output
