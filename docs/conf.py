"""The documentation site (``make docs``): Sphinx, with what is generated from code and settings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import site_pages  # noqa: E402

import avatarl  # noqa: E402

project = "avatarl"
release = version = avatarl.__version__
copyright = "the avatarl authors; Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "avatarl"
myst_heading_anchors = 3
autodoc_typehints = "description"
autodoc_member_order = "bysource"
# Hydra's and omegaconf's docs aren't reachable while building; names of ours are.
nitpicky = False


def setup(app: Any) -> None:
    """Let pages that are made from something else be read as if they were written."""
    app.connect("source-read", _fill)
    app.connect("build-finished", _show)


def _fill(app: Any, page: str, source: list[str]) -> None:
    made = site_pages.PAGES.get(page)
    if made is not None:
        source[0] += "\n" + made()


def _show(app: Any, error: Exception | None) -> None:
    if error is None:
        site_pages.write_gallery(Path(app.outdir))
