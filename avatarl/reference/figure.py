"""Draw held-out nats against order, one line per smoothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from avatarl.files import replace_atomically
from avatarl.reference.survey import COUNTED, Measurement

# Source: Okabe & Ito 2008, "Color Universal Design"; shapes and dashes tell the lines apart too.
LOOKS = {
    "add_alpha": ("#D55E00", "s", "--"),
    "witten_bell": ("#CC79A7", "^", "-."),
    "interpolated": ("#009E73", "D", ":"),
    "kneser_ney": ("#0072B2", "o", "-"),
    "infinigram": ("#000000", "v", "-"),
    "ensemble": ("#7F7F7F", "P", "-"),
}
WIDTH, HEIGHT, DPI = 6.3, 3.9, 200
"""Inches of a text column in print, and dots per inch."""


def draw(rows: Sequence[Measurement], path: Path, title: str) -> None:
    """Write the figure as PNG.

    Args:
        rows: From ``survey``.
        path: Where to; replaced as a whole.
        title: Above the plot.

    Raises:
        OSError: The file can't be written.
    """
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    best = min(row.nats for row in rows)
    # Add-α of high order is so bad that it would flatten all the others.
    top = max(best + 0.75, min(best + 1.3, max(row.nats for row in rows)) + 0.03)
    for name in COUNTED:
        line = sorted((row.order, row.nats) for row in rows if row.reference == name)
        if not line:
            continue
        colour, marker, dash = LOOKS[name]
        orders, nats = zip(*line, strict=True)
        axes.plot(orders, nats, dash, color=colour, marker=marker, markersize=5, label=name)
    last = max((row.order for row in rows if row.reference in COUNTED), default=1)
    for offset, name in enumerate(("infinigram", "ensemble"), 1):
        for row in rows:
            if row.reference == name:
                colour, marker, _ = LOOKS[name]
                place = last + 0.6 * offset
                axes.plot(place, row.nats, marker, color=colour, markersize=6, label=name)
    axes.set_ylim(best - 0.06, top)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xticks(sorted({row.order for row in rows if row.reference in COUNTED}))
    axes.set_xlabel("order (characters of context + 1)")
    axes.set_ylabel("held-out nats per character")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="upper right")
    replace_atomically(path, lambda file: figure.savefig(file, format="png"))
