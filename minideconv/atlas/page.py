"""The page: one HTML file with its script and style inside; data and pictures lie beside it, or inside, too."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SOURCES = ("atlas.html", "atlas.css", "atlas.js")


def page(summary: dict[str, Any], inline: dict[str, str] | None = None, scripts=()) -> str:
    """Fill in the template; every value is escaped.

    Args:
        summary: what the script calls SUMMARY.
        inline: {path in the folder: data URI} and scripts: layers' data, for a page that stands alone.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in SOURCES[1:])
    return environment.get_template(SOURCES[0]).render(
        title=summary["title"], summary=summary, layers=summary["layers"], style=style, script=script,
        inline=inline or {}, inline_data=list(scripts),
    )  # fmt: skip


def made_by() -> str:
    """A sha256 of all that makes an atlas, to tell whether an older one would come out the same."""
    found = hashlib.sha256()
    for path in [*sorted(HERE.parent.rglob("*.py")), *(HERE / name for name in SOURCES)]:
        found.update(path.read_bytes())
    return found.hexdigest()
