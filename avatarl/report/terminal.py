"""A comparison on the terminal."""

from __future__ import annotations

import io
from dataclasses import replace

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from avatarl.report.comparison import Comparison
from avatarl.report.remarks import footnotes
from avatarl.report.table import Grid, grid
from avatarl.text import printable

#: A longer cell is folded.
_WIDEST = 32


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print the tables and their footnotes; metrics that don't fit the width are named instead."""
    for section in comparison.sections:
        table, hidden = _fit(grid(comparison, section), console.width)
        printed = _rich_table(table)
        # Wider than the terminal is better than cut: every number is there.
        printed.width = _width(table) if _width(table) > console.width else None
        console.print(printed, crop=False, soft_wrap=True)
        if hidden:
            console.print(
                Text(f"not shown at this width: {', '.join(hidden)} (--metrics chooses)", "dim")
            )
    for note in footnotes(comparison):
        console.print(Text(printable(note), style="yellow" if note.startswith("note") else "dim"))


def _fit(table: Grid, width: int) -> tuple[Grid, list[str]]:
    """Leave out the last metrics until the table fits, but never the first."""
    hidden: list[str] = []
    metrics = [at for at, column in enumerate(table.columns) if column.kind == "metric"]
    while len(metrics) > 1 and _width(table) > width:
        at = metrics.pop()
        hidden.insert(0, table.columns[at].heading)
        table = replace(
            table,
            columns=table.columns[:at] + table.columns[at + 1 :],
            lines=tuple(
                replace(line, cells=line.cells[:at] + line.cells[at + 1 :]) for line in table.lines
            ),
        )
    return table, hidden


def _width(table: Grid) -> int:
    columns = zip(map(_broken, table.headings), *(line.cells for line in table.lines), strict=True)
    # Each column has a blank on either side; the marks and the edges take six more.
    return 6 + sum(2 + min(_WIDEST, max(map(_longest, cells))) for cells in columns)


def _longest(cell: str) -> int:
    return max(map(len, cell.split("\n")))


def _broken(heading: str) -> str:
    """Break a long heading after an underscore near its middle."""
    places = [at + 1 for at, letter in enumerate(heading[:-1]) if letter in "_."]
    if len(heading) <= 12 or not places:
        return heading
    middle = min(places, key=lambda at: abs(at - len(heading) / 2))
    return f"{heading[:middle]}\n{heading[middle:]}"


def _rich_table(table: Grid) -> Table:
    printed = Table(
        title=Text(table.title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD,
        pad_edge=False, padding=(0, 1, 0, 0), header_style="bold",
    )  # fmt: skip
    printed.add_column("")
    for column in table.columns:
        heading = _broken(column.heading)
        printed.add_column(
            Text(heading), justify="right" if column.numeric else "left", max_width=_WIDEST,
            min_width=min(_WIDEST, _longest(heading)),
            no_wrap=column.numeric or column.kind == "run",
            overflow="ellipsis" if column.numeric else "fold",
        )  # fmt: skip
    styles = {"run": "", "control": "magenta", "ngram": "italic cyan", "unfinished": "dim"}
    marks = {"run": " ", "control": "○", "ngram": "┄", "unfinished": "…"}
    for line in table.lines:
        cells: list[Text] = [Text("★" if line.best else marks[line.kind])]
        cells += [Text(cell) for cell in line.cells]
        printed.add_row(*cells, style="bold green" if line.best else styles[line.kind])
    return printed


def as_text(comparison: Comparison, width: int = 160) -> str:
    """Return the terminal's table without colours."""
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None, legacy_windows=False)
    print_comparison(comparison, console)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"
