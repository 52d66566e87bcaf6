"""A comparison's tables as words, ready for a terminal, a page or a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from avatarl.report.comparison import Comparison, Configuration, Section
from avatarl.report.metrics import describe, format_number, metric_heading
from avatarl.report.statistics import Estimate
from avatarl.report.words import LEVEL_NAMES, word
from avatarl.text import printable

Kind = Literal["run", "key", "n", "seed", "state", "metric", "difference", "p", "code"]


#: How lines are set off.
MARKS = {"best": "★", "run": "", "control": "○", "ngram": "┄", "unfinished": "…"}


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        name: The key, or the metric (which a test is about, too); else the kind.
        numeric: Whether it is of numbers, which are set flush right.
    """

    kind: Kind
    name: str
    heading: str
    numeric: bool


@dataclass(frozen=True)
class Line:
    """One line of a table; ``kind`` says how it is set off.

    Attributes:
        entry: The configuration, or the n-gram level's name.
        cells: A word a column, empty where a level has none.
    """

    kind: Literal["run", "control", "ngram", "unfinished"]
    entry: Configuration | str
    cells: tuple[str, ...]
    best: bool = False

    @property
    def key(self) -> str:
        """The configuration's key, or the n-gram level's name."""
        return self.entry if isinstance(self.entry, str) else self.entry.key


@dataclass(frozen=True)
class Grid:
    """One section's table as words."""

    title: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]

    @property
    def headings(self) -> tuple[str, ...]:
        """The columns' headings."""
        return tuple(column.heading for column in self.columns)


def grid(comparison: Comparison, section: Section) -> Grid:
    """Lay a section out as words: sorted configurations with the n-gram levels among them."""
    columns = _columns(comparison, section)
    lines = []
    for entry in with_levels(comparison, section):
        if isinstance(entry, str):
            cells = tuple(level_cell(section, entry, column) for column in columns)
            lines.append(Line("ngram", entry, cells))
            continue
        kind: Literal["run", "control"] = "control" if entry.is_control else "run"
        # Names and settings come from files.
        cells = tuple(printable(_cell(entry, column), keep="\n") for column in columns)
        lines.append(Line(kind if entry.done else "unfinished", entry, cells, entry.best))
    return Grid(section.title, columns, tuple(lines))


def _columns(comparison: Comparison, section: Section) -> tuple[Column, ...]:
    rows, first = section.configurations, comparison.metrics[0]
    columns = [Column("run", "run", "run", numeric=False)]
    for key in section.keys:
        columns.append(Column("key", key, comparison.headings[key], _numeric(section, key)))
    columns.append(Column("n", "n", "n", numeric=True))
    for metric in comparison.metrics:
        columns.append(Column("metric", metric, metric_heading(metric), numeric=True))
    if any(row.against or row.baseline for row in rows):
        # The test is about the first metric.
        columns.append(Column("difference", first, f"Δ {metric_heading(first)}", numeric=True))
        columns.append(Column("p", first, "p", numeric=True))
    if len({row.code for row in rows}) > 1:
        columns.append(Column("code", "code", "code", numeric=False))
    return tuple(columns)


def _numeric(section: Section, key: str) -> bool:
    values = [row.values[key] for row in section.configurations if key in row.values]
    return bool(values) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in values
    )


def with_levels(comparison: Comparison, section: Section) -> list[str | Configuration]:
    """Put each n-gram level where it ranks among the rows, or below them all."""
    entries: list[str | Configuration] = list(section.configurations)
    levels = {
        name: values[comparison.sort]
        for name, values in section.levels.items()
        if comparison.sort in values
    }
    descending = comparison.descending
    for name, value in sorted(levels.items(), key=lambda item: item[1], reverse=descending):
        place = 0
        for at, entry in enumerate(entries):
            other = levels[entry] if isinstance(entry, str) else entry.mean(comparison.sort)
            if other is not None and ((other <= value) != descending or other == value):
                place = at + 1
        entries.insert(place, name)
    return entries + [name for name in section.levels if name not in levels]


def level_cell(section: Section, level: str, column: Column) -> str:
    """Return an n-gram level's cell: its name, a metric, or nothing."""
    if column.kind == "run":
        return f"{LEVEL_NAMES[level]} level"
    value = section.levels[level].get(column.name) if column.kind == "metric" else None
    return "" if value is None else format_number(value, describe(column.name).digits)


def _cell(row: Configuration, column: Column) -> str:
    match column.kind:
        case "run":
            return row.label
        case "key":
            return word(row, column.name)
        case "n":
            return f"{len(row.done)} of {len(row.runs)}" if row.unfinished else str(len(row.done))
        case "metric":
            return _estimate_cell(row, column.name)
        case "difference":
            return _difference_cell(row, describe(column.name).digits)
        case "p":
            return _p_cell(row)
        case _:
            return row.code[:8] or "unknown"


def _estimate_cell(row: Configuration, metric: str) -> str:
    digits = describe(metric).digits
    if metric in row.estimates:
        return _mean_and_width(row.estimates[metric], digits)
    if not row.done:
        # Of several, the one that has come furthest.
        for run in sorted(row.unfinished, key=lambda run: -(run.step or 0)):
            value = run.latest.get(metric)
            if isinstance(value, int | float):
                return f"{format_number(value, digits)} so far"
    return "–"


def _mean_and_width(average: Estimate, digits: int) -> str:
    mean, half = format_number(average.mean, digits), average.half_width
    if half is None or (half == 0 and digits == 0):
        return mean
    return f"{mean} ±{half:,.{digits}f}"


def _difference_cell(row: Configuration, digits: int) -> str:
    if row.baseline:
        return "baseline"
    pair = row.against
    if pair is None:
        return "–"
    half = ""
    if pair.low is not None and pair.high is not None:
        half = f" ±{(pair.high - pair.low) / 2:.{digits}f}"
    return f"{pair.difference:+.{digits}f}{half}"


def _p_cell(row: Configuration) -> str:
    """Return Holm's adjusted p; the number of pairs where it isn't that of the row's seeds."""
    pair = row.against
    if pair is None:
        return "" if row.baseline else "–"
    p = "–"
    if pair.adjusted_p is not None:
        p = "<0.001" if pair.adjusted_p < 0.001 else f"{pair.adjusted_p:.3f}"
    if pair.n == len(row.done):
        return p
    return f"{p} ({pair.n} pair{'' if pair.n == 1 else 's'})"
