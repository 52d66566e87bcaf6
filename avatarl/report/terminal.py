"""A comparison on the terminal."""

from __future__ import annotations

import io
from dataclasses import replace

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from avatarl.report.comparison import Comparison, Configuration, headline
from avatarl.report.remarks import failures, footnotes
from avatarl.report.table import MARKS, Grid, grid
from avatarl.text import in_two, printable

#: A longer cell is folded.
_WIDEST = 32


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print the tables and their footnotes; metrics that don't fit the width are named instead."""
    _print_head(comparison, console)
    failed = failures(comparison)
    for failure in failed:
        console.print(Text(printable(failure), style="bold red"), soft_wrap=True)
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
        if note in failed:
            continue
        console.print(Text(printable(note), style="yellow" if note.startswith("note") else "dim"))


def _print_head(comparison: Comparison, console: Console) -> None:
    """Say how many runs are compared, in which state, and what all of them share."""
    head = headline(comparison.title, comparison.runs)
    console.print(Text(printable(head), style="bold"), soft_wrap=True)
    if comparison.shared:
        console.print(Text(comparison.shared, style="dim"), soft_wrap=True)


def _fit(table: Grid, width: int) -> tuple[Grid, list[str]]:
    """Leave out what keys tell as well, then the last metrics, until the table fits."""
    hidden: list[str] = []
    if _width(table) > width and any(column.kind == "key" for column in table.columns):
        table = _without_names(table)
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


def _without_names(table: Grid) -> Grid:
    """Tell runs by their keys alone; controls and n-grams say what they are in the first."""
    at = next(n for n, column in enumerate(table.columns) if column.kind == "key")
    lines = []
    for line in table.lines:
        cells = list(line.cells)
        if line.kind == "ngram":
            cells[at] = cells[0]
        elif isinstance(line.entry, Configuration) and line.entry.is_control:
            cells[at] = "control" if cells[at] == "–" else f"{cells[at]} (control)"
        lines.append(replace(line, cells=tuple(cells[1:])))
    return replace(table, columns=table.columns[1:], lines=tuple(lines))


def _width(table: Grid) -> int:
    columns = zip(
        ("\n".join(in_two(heading)) for heading in table.headings),
        *(line.cells for line in table.lines),
        strict=True,
    )
    # Each column has a blank on either side; the marks and the edges take six more.
    return 6 + sum(2 + min(_WIDEST, max(map(_longest, cells))) for cells in columns)


def _longest(cell: str) -> int:
    return max(map(cell_len, cell.split("\n")))


def _rich_table(table: Grid) -> Table:
    printed = Table(
        title=Text(table.title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD,
        pad_edge=False, padding=(0, 1, 0, 0), header_style="bold",
    )  # fmt: skip
    printed.add_column("")
    for column in table.columns:
        heading = "\n".join(in_two(column.heading))
        printed.add_column(
            Text(heading), justify="right" if column.numeric else "left", max_width=_WIDEST,
            min_width=min(_WIDEST, _longest(heading)),
            no_wrap=column.numeric or column.kind == "run",
            overflow="ellipsis" if column.numeric else "fold",
        )  # fmt: skip
    styles = {"run": "", "control": "magenta", "ngram": "italic cyan", "unfinished": "dim"}
    for line in table.lines:
        cells: list[Text] = [Text(MARKS["best" if line.best else line.kind])]
        cells += [Text(cell) for cell in line.cells]
        printed.add_row(*cells, style="bold green" if line.best else styles[line.kind])
    return printed


def as_text(comparison: Comparison, width: int = 160) -> str:
    """Return the terminal's table without colours."""
    out = io.StringIO()
    # In a notebook, too: rich would show it there, whatever its file.
    console = Console(
        file=out, width=width, color_system=None, legacy_windows=False, force_jupyter=False
    )
    print_comparison(comparison, console)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"
