"""A comparison as a table: for a terminal, and as CSV, JSON, Markdown or LaTeX."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from avatarl.report.aggregate import (
    LEVEL_NAMES,
    Comparison,
    Configuration,
    Section,
    describe_configuration,
    show,
    sort_value,
)
from avatarl.report.metrics import describe, format_number, metric_heading
from avatarl.report.statistics import Estimate, Paired

Format = Literal["rich", "csv", "json", "markdown", "latex"]
#: A longer cell is folded.
_WIDEST = 32


@dataclass(frozen=True)
class Line:
    """One line of the table as words; ``kind`` says how it is set off."""

    kind: Literal["run", "control", "ngram", "unfinished"]
    cells: tuple[str, ...]
    best: bool = False


@dataclass(frozen=True)
class Grid:
    """One section's table as words."""

    title: str
    headings: tuple[str, ...]
    numeric: tuple[bool, ...]
    lines: tuple[Line, ...]


def grid(comparison: Comparison, section: Section) -> Grid:
    """Lay a section out as words: sorted configurations with the n-gram levels among them."""
    coded = len({row.code for row in section.configurations}) > 1
    tested = any(row.against or row.baseline for row in section.configurations)
    key_headings = [comparison.headings[key] for key in section.keys]
    headings = ["run", *key_headings, "n", *map(metric_heading, comparison.metrics)]
    numeric = [False, *(_numeric_key(section, key) for key in section.keys), True]
    numeric += [True] * len(comparison.metrics)
    if tested:
        # The test is about the first metric.
        headings += [f"Δ {metric_heading(comparison.metrics[0])}", "p"]
        numeric += [True, True]
    if coded:
        headings.append("code")
        numeric.append(False)
    lines = []
    for entry in _with_levels(comparison, section):
        if isinstance(entry, str):
            cells = [f"{LEVEL_NAMES[entry]} level", *("" for _ in section.keys), ""]
            for metric in comparison.metrics:
                value = section.levels[entry].get(metric)
                cells.append("" if value is None else format_number(value, describe(metric).digits))
            cells += [""] * (len(headings) - len(cells))
            lines.append(Line("ngram", tuple(cells)))
            continue
        lines.append(_line(comparison, section, entry, tested, coded))
    return Grid(section.title, tuple(headings), tuple(numeric), tuple(lines))


def _numeric_key(section: Section, key: str) -> bool:
    values = [row.values[key] for row in section.configurations if key in row.values]
    return bool(values) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in values
    )


def _with_levels(comparison: Comparison, section: Section) -> list[str | Configuration]:
    """Put each n-gram level where it ranks among the rows, or below them all."""
    rows: list[str | Configuration] = list(section.configurations)
    levels = {
        name: values[comparison.sort]
        for name, values in section.levels.items()
        if comparison.sort in values
    }
    ranked = [row for row in section.configurations if comparison.sort in row.estimates]
    means = [sort_value(row, comparison.sort)[1] for row in ranked]
    ascending = describe(comparison.sort).better <= 0
    if len(means) > 1 and means[0] != means[-1]:
        ascending = means[0] < means[-1]
    for name, value in sorted(levels.items(), key=lambda item: item[1], reverse=not ascending):
        place = 0
        for at, entry in enumerate(rows):
            other = levels[entry] if isinstance(entry, str) else _mean(entry, comparison.sort)
            if other is not None and ((other <= value) == ascending or other == value):
                place = at + 1
        rows.insert(place, name)
    return rows + [name for name in section.levels if name not in levels]


def _mean(row: Configuration, metric: str) -> float | None:
    told = row.estimates.get(metric)
    return None if told is None else told.mean


def _line(
    comparison: Comparison, section: Section, row: Configuration, tested: bool, coded: bool
) -> Line:
    cells = [
        row.label,
        *(show(row.values[key]) if key in row.values else "–" for key in section.keys),
        str(len(row.done)) if not row.unfinished else f"{len(row.done)} of {len(row.runs)}",
    ]
    for metric in comparison.metrics:
        cells.append(_estimate_cell(row, metric))
    if tested:
        cells += _paired_cells(row, describe(comparison.metrics[0]).digits)
    if coded:
        cells.append(row.code[:8] or "unknown")
    kind: Literal["run", "control", "unfinished"] = "control" if row.is_control else "run"
    return Line("unfinished" if not row.done else kind, tuple(cells), row.best)


def _estimate_cell(row: Configuration, metric: str) -> str:
    digits = describe(metric).digits
    told = row.estimates.get(metric)
    if told is not None:
        return _mean_and_width(told, digits)
    if not row.done:
        # Of several, the one that has come furthest.
        for run in sorted(row.unfinished, key=lambda run: -(run.step or 0)):
            value = run.latest.get(metric)
            if isinstance(value, int | float):
                return f"{format_number(value, digits)} so far"
    return "–"


def _mean_and_width(told: Estimate, digits: int) -> str:
    mean = format_number(told.mean, digits)
    half = told.half_width
    if half is None or (half == 0 and digits == 0):
        return mean
    return f"{mean} ±{half:,.{digits}f}"


def _paired_cells(row: Configuration, digits: int) -> list[str]:
    if row.baseline:
        return ["baseline", ""]
    told = row.against
    if told is None:
        return ["–", "–"]
    half = (
        ""
        if told.low is None or told.high is None
        else f" ±{(told.high - told.low) / 2:.{digits}f}"
    )
    return [f"{told.difference:+.{digits}f}{half}", format_p(told, len(row.done))]


def format_p(told: Paired, seeds: int) -> str:
    """Return Holm's adjusted p; the number of pairs where it isn't that of the row's seeds."""
    p = "–"
    if told.adjusted_p is not None:
        p = "<0.001" if told.adjusted_p < 0.001 else f"{told.adjusted_p:.3f}"
    if told.n == seeds:
        return p
    return f"{p} ({told.n} pair{'' if told.n == 1 else 's'})"


def footnotes(comparison: Comparison) -> list[str]:
    """Return what a reader must know to read the numbers."""
    notes = [f"note: {warning}" for warning in comparison.warnings]
    rows = [row for section in comparison.sections for row in section.configurations]
    for section in comparison.sections:
        notes += shared_keys(comparison, section)
        for row in section.configurations:
            notes += [f"{_name(section, row)}: {note}" for note in row.notes()]
    if any(told.low is not None for row in rows for told in row.estimates.values()):
        how = "t" if comparison.interval == "t" else "bootstrap"
        notes.append(f"± is half the 95 % interval of the mean over the n finished seeds ({how})")
    if comparison.baseline:
        notes.append(
            f"Δ and p against {comparison.baseline}: paired t-test over shared seeds, "
            "p adjusted for the number of rows (Holm)"
        )
        if any(row.mixed > 1 for row in rows):
            notes.append("rows over several configurations aren't tested: their seeds don't pair")
    if any(row.is_control for row in rows):
        notes.append("control: ordinary next-character training of the same network")
    return notes


def shared_keys(comparison: Comparison, section: Section) -> list[str]:
    """Say which keys tell this table from the others: the same all over it, so no column."""
    learners = [row for row in section.configurations if not row.is_control]
    told = []
    for key in comparison.keys:
        words = {show(row.values[key]) for row in learners if key in row.values}
        if key not in section.keys and len(words) == 1:
            told.append(f"{comparison.headings[key]}={words.pop()}")
    return [f"{section.title}: {' '.join(told)} throughout"] if told else []


def _name(section: Section, row: Configuration) -> str:
    told = describe_configuration(row, section.keys)
    if not row.is_control:
        return told
    several = sum(other.is_control for other in section.configurations) > 1
    return f"control {told}" if several else "control"


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print the tables and their footnotes; metrics that don't fit the width are named instead."""
    for section in comparison.sections:
        told, hidden = _fit(grid(comparison, section), comparison, section, console.width)
        # Wider than the terminal is better than cut: every number is there.
        table = _rich_table(told)
        table.width = _width(told) if _width(told) > console.width else None
        console.print(table, crop=False, soft_wrap=True)
        if hidden:
            console.print(
                Text(f"not shown at this width: {', '.join(hidden)} (--metrics chooses)", "dim")
            )
    for note in footnotes(comparison):
        console.print(Text(note, style="yellow" if note.startswith("note") else "dim"))


def _fit(
    told: Grid, comparison: Comparison, section: Section, width: int
) -> tuple[Grid, list[str]]:
    """Leave out the last metrics until the table fits, but never the first."""
    hidden: list[str] = []
    names = [metric_heading(metric) for metric in comparison.metrics]
    while len(names) > 1 and _width(told) > width:
        hidden.insert(0, names.pop())
        # Before the metrics: the run, its keys and n.
        place = 1 + len(section.keys) + 1 + len(names)

        def without(cells: tuple[Any, ...], place: int = place) -> tuple[Any, ...]:
            return cells[:place] + cells[place + 1 :]

        lines = tuple(replace(line, cells=without(line.cells)) for line in told.lines)
        told = replace(
            told, headings=without(told.headings), numeric=without(told.numeric), lines=lines
        )
    return told, hidden


def _width(told: Grid) -> int:
    columns = zip(map(_broken, told.headings), *(line.cells for line in told.lines), strict=True)
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


def _rich_table(told: Grid) -> Table:
    from rich import box

    table = Table(
        title=escape(told.title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD,
        pad_edge=False, padding=(0, 1, 0, 0), header_style="bold",
    )  # fmt: skip
    table.add_column("")
    for heading, numeric in zip(told.headings, told.numeric, strict=True):
        table.add_column(
            Text(_broken(heading)), justify="right" if numeric else "left", max_width=_WIDEST,
            min_width=min(_WIDEST, _longest(_broken(heading))),
            no_wrap=numeric or heading == "run", overflow="ellipsis" if numeric else "fold",
        )  # fmt: skip
    styles = {"run": "", "control": "magenta", "ngram": "italic cyan", "unfinished": "dim"}
    marks = {"run": " ", "control": "○", "ngram": "┄", "unfinished": "…"}
    for line in told.lines:
        cells: list[Text] = [Text("★" if line.best else marks[line.kind])]
        cells += [Text(cell) for cell in line.cells]
        table.add_row(*cells, style="bold green" if line.best else styles[line.kind])
    return table


def as_markdown(comparison: Comparison) -> str:
    """Return the tables in GitHub's Markdown."""

    def quote(cell: str) -> str:
        safe = cell.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
        return safe.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    parts = []
    for section in comparison.sections:
        told = grid(comparison, section)
        rules = ["---:" if numeric else "---" for numeric in told.numeric]
        rows = [[quote(cell) for cell in told.headings], rules]
        for line in told.lines:
            cells = [quote(cell) for cell in line.cells]
            if line.best:
                cells = [f"**{cell}**" if cell else "" for cell in cells]
            elif line.kind == "ngram":
                cells = [f"*{cell}*" if cell else "" for cell in cells]
            rows.append(cells)
        body = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
        parts.append(f"### {quote(told.title)}\n\n{body}\n")
    notes = "".join(f"- {quote(note)}\n" for note in footnotes(comparison))
    return "\n".join([*parts, notes]) if notes else "\n".join(parts)


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "Δ": r"$\Delta$", "–": "--", "·": r"$\cdot$", "<": r"$<$", ">": r"$>$",
    "…": r"\ldots{}", "−": "$-$",
}  # fmt: skip


def latex_escape(text: str) -> str:
    """Return ``text`` so that LaTeX prints it as it is."""
    return "".join(_LATEX.get(character, character) for character in text)


def as_latex(comparison: Comparison) -> str:
    """Return the tables for LaTeX with the booktabs package."""
    parts = []
    for section in comparison.sections:
        told = grid(comparison, section)
        columns = "".join("r" if numeric else "l" for numeric in told.numeric)
        lines = [
            f"% {told.title}".replace("\n", " "),
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            " & ".join(map(latex_escape, told.headings)) + r" \\",
            r"\midrule",
        ]
        for line in told.lines:
            face = r"\textbf" if line.best else r"\textit" if line.kind == "ngram" else ""
            cells = [latex_escape(cell) for cell in line.cells]
            lines.append(
                " & ".join(f"{face}{{{cell}}}" if face and cell else cell for cell in cells)
                + r" \\"
            )
        parts.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}"]))
    notes = "".join(f"% {note}\n" for note in footnotes(comparison))
    return "\n\n".join(parts) + "\n" + notes


def records(comparison: Comparison) -> list[dict[str, Any]]:
    """Return one flat record a row, n-gram levels included, as CSV and JSON have them."""
    rows: list[dict[str, Any]] = []
    for section in comparison.sections:
        for entry in _with_levels(comparison, section):
            row: dict[str, Any] = {
                "corpus": section.corpus,
                "corpus_sha256": section.corpus_sha256,
                "track": section.track,
            }
            if isinstance(entry, str):
                row |= {"kind": "ngram", "run": f"{LEVEL_NAMES[entry]} level"}
                row |= section.levels[entry]
            else:
                row |= _record(comparison, entry)
            rows.append(row)
    return rows


def _record(comparison: Comparison, row: Configuration) -> dict[str, Any]:
    told: dict[str, Any] = {
        "kind": "control" if row.is_control else "run",
        "run": row.label,
        "code": row.code,
        "best": row.best,
        **{key: row.values.get(key) for key in comparison.keys},
        "n": len(row.done),
        "seeds": [run.seed for run in row.done],
    }
    for metric in comparison.metrics:
        value = row.estimates.get(metric)
        told[metric] = value.mean if value else None
        told[f"{metric}/low"] = value.low if value else None
        told[f"{metric}/high"] = value.high if value else None
        told[f"{metric}/std"] = value.std if value else None
    if comparison.baseline:
        pair = row.against
        told["against/difference"] = pair.difference if pair else None
        told["against/low"] = pair.low if pair else None
        told["against/high"] = pair.high if pair else None
        told["against/p"] = pair.p if pair else None
        told["against/adjusted_p"] = pair.adjusted_p if pair else None
        told["against/pairs"] = pair.n if pair else None
    told["not_in_the_mean"] = row.notes()
    told["run_ids"] = [run.run_id for run in row.runs]
    return told


def as_csv(comparison: Comparison) -> str:
    """Return one line a row, with the numbers in full and empty cells where there is none."""
    rows = records(comparison)
    # The longest first: the order is the same whatever kind of row leads.
    columns = list(dict.fromkeys(key for row in sorted(rows, key=len, reverse=True) for key in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _csv_cell(value) for key, value in row.items()})
    return out.getvalue()


def _csv_cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, list):
        return "; ".join(map(show, value))
    if isinstance(value, float):
        # Twelve digits hide the last bit's noise and lose nothing that was measured.
        return float(f"{value:.12g}")
    return show(value) if isinstance(value, bool) else value


def as_json(comparison: Comparison) -> str:
    """Return ``{"schema", "rows", "notes"}`` as indented JSON."""
    told = {"schema": 1, "rows": records(comparison), "notes": footnotes(comparison)}
    return json.dumps(told, indent=2, allow_nan=False, default=str) + "\n"


RENDERERS: dict[str, Callable[[Comparison], str]] = {
    "csv": as_csv,
    "json": as_json,
    "markdown": as_markdown,
    "latex": as_latex,
}


def as_text(comparison: Comparison, width: int = 160) -> str:
    """Return the terminal's table without colours."""
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None, legacy_windows=False)
    print_comparison(comparison, console)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"
