"""Legends that name configurations by the keys that tell them apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from avatarl.report.comparison import Configuration, Section
from avatarl.report.identity import short_names
from avatarl.report.plots.canvas import style, wrapped
from avatarl.report.words import row_name

#: Most entries of a legend.
ROWS = 24
#: Right of the levels' names: from the axis's edge, in its own letters.
_BESIDE: dict[str, Any] = {
    "loc": "center left", "bbox_to_anchor": (1, 0.5), "borderaxespad": 6, "handlelength": 3.2,
    "alignment": "left",
}  # fmt: skip
_BELOW: dict[str, Any] = _BESIDE | {
    "loc": "upper left", "bbox_to_anchor": (0, 0), "borderaxespad": 9,
}  # fmt: skip
_WIDTH = 34


def legend_beside(
    axis: Axes, section: Section, handles: Sequence[Any], labels: Sequence[str]
) -> None:
    """Put a legend right of the axis, or below it where the picture is narrow."""
    place = _BELOW if style().legend_below else _BESIDE
    axis.legend(handles[:ROWS], labels[:ROWS], title=heading(section), **place)


def legend_height(section: Section) -> float:
    """Return the height that a legend of the section's configurations takes, in inches."""
    labels = [legend_label(section, row) for row in section.configurations[:ROWS]]
    lines = "\n".join([heading(section), *labels]).count("\n") + 1
    # In lines, half of one between the entries.
    return 0.5 + (1.2 * lines + 0.5 * len(labels)) * style().font / 72


def heading(section: Section) -> str:
    """Return what a legend is headed by: the keys, where labels hold values only, and seeds."""
    names = short_names(section.keys)
    keys = "" if _keyed(section) else wrapped(", ".join(names[key] for key in section.keys), _WIDTH)
    return "\n".join(part for part in (keys, _seeds(section)) if part)


def name(section: Section, row: Configuration) -> str:
    """Return a configuration as ``key=value``, or as values where those would fill the picture."""
    return row_name(section, row, keyed=_keyed(section))


def _keyed(section: Section) -> bool:
    longest = max(len(row_name(section, row, keyed=True)) for row in section.configurations)
    return longest <= 3 * _WIDTH


def _seeds(section: Section) -> str:
    """Say how many seeds every configuration has, where all have as many."""
    numbers = {len(row.done) for row in section.configurations if row.done}
    return f"n = {numbers.pop()} seeds" if len(numbers) == 1 and max(numbers) > 1 else ""


def legend_label(section: Section, row: Configuration) -> str:
    """Return a configuration's name, with what a reader must know of its seeds."""
    label = name(section, row)
    if row.unfinished and not row.done:
        label += f" ({row.unfinished[0].describe_state()})"
    elif not _seeds(section) and len(row.done) > 1:
        label += f" (n={len(row.done)})"
    return wrapped(label, _WIDTH)
