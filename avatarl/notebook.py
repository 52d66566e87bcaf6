"""What a notebook shows: tables in HTML, and a place in a cell's output that is drawn again."""

from __future__ import annotations

import html
import importlib
import io
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from avatarl.text import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

_WIDTH, _HEIGHT = 110, 40
_PRE = "white-space:pre;overflow-x:auto;line-height:normal;font-family:monospace"


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    title: str = "",
    notes: Iterable[str] = (),
) -> str:
    """Return a table in HTML; all text is escaped."""
    head = "".join(f"<th>{_escaped(heading)}</th>" for heading in headings)
    body = "".join(
        f"<tr>{''.join(f'<td>{_escaped(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    caption = f"<p><b>{_escaped(title)}</b></p>" if title else ""
    below = "<br>".join(map(_escaped, notes))
    drawn = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return caption + drawn + (f"<small>{below}</small>" if below else "")


def _escaped(text: str) -> str:
    return html.escape(printable(text))


def place() -> Callable[[RenderableType | None], None]:
    """Take a place in the output of the running cell; what it returns draws there, over and over.

    It needs no widgets, so that it works wherever notebooks are shown, and what was drawn last is
    kept with the notebook. None clears the place.
    """
    shown: Any = importlib.import_module("IPython.display")
    handle = shown.display(shown.HTML(""), display_id=True)

    def draw(drawn: RenderableType | None) -> None:
        handle.update(shown.HTML("" if drawn is None else as_html(drawn)))

    return draw


def as_html(drawn: RenderableType) -> str:
    """Return what a terminal would show, as HTML."""
    from rich.console import Console

    console = Console(
        file=io.StringIO(), record=True, width=_WIDTH, height=_HEIGHT, force_jupyter=False
    )
    console.print(drawn, markup=False, emoji=False, highlight=False)
    frame = f'<div style="{_PRE}">{{code}}</div>'
    return console.export_html(inline_styles=True, code_format=frame)
