"""Legends that name configurations by the keys that tell them apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from avatarl.report.comparison import Comparison, Configuration, Section
from avatarl.report.metrics import describe, format_number
from avatarl.report.plots.canvas import wrapped
from avatarl.report.words import row_name

#: Most entries of a legend.
ROWS = 24
#: Right of the levels' names: from the axis's edge, in its own letters.
_BESIDE: dict[str, Any] = {
    "loc": "center left", "bbox_to_anchor": (1, 0.5), "borderaxespad": 6, "handlelength": 2.4,
    "title_fontsize": 7.5, "alignment": "left",
}  # fmt: skip
_WIDTH = 34


def legend_beside(
    axis: Axes,
    comparison: Comparison,
    section: Section,
    handles: Sequence[Any],
    labels: Sequence[str],
) -> None:
    """Put a legend right of the axis, headed by the keys whose values its labels are."""
    title = ", ".join(comparison.headings[key] for key in section.keys)
    axis.legend(handles[:ROWS], labels[:ROWS], title=wrapped(title, _WIDTH), **_BESIDE)


def legend_label(section: Section, row: Configuration, metric: str) -> str:
    """Return a configuration's name and its final metric, as a legend has them."""
    label = wrapped(row_name(section, row), _WIDTH)
    average = row.estimates.get(metric)
    if average is not None:
        label += f"  {format_number(average.mean, min(3, describe(metric).digits))}"
        label += f" (n={average.n})" if average.n > 1 else ""
    if row.unfinished and not row.done:
        label += f"  ({row.unfinished[0].describe_state()})"
    return label
