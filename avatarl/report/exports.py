"""A comparison as CSV, JSON, Markdown, LaTeX or HTML."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Callable
from typing import Any

from avatarl import notebook
from avatarl.report.comparison import Comparison, Configuration, headline
from avatarl.report.remarks import footnotes
from avatarl.report.table import MARKS, grid, with_levels
from avatarl.report.words import LEVEL_NAMES, show
from avatarl.text import printable


def as_markdown(comparison: Comparison) -> str:
    """Return the tables in GitHub's Markdown."""

    def quote(cell: str) -> str:
        safe = printable(cell.replace("\n", " ")).replace("\\", "\\\\").replace("|", "\\|")
        return safe.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    parts = []
    for section in comparison.sections:
        table = grid(comparison, section)
        rules = ["---:" if column.numeric else "---" for column in table.columns]
        rows = [[quote(cell) for cell in table.headings], rules]
        for line in table.lines:
            cells = [quote(cell) for cell in line.cells]
            if line.best:
                cells = [f"**{cell}**" if cell else "" for cell in cells]
            elif line.kind == "ngram":
                cells = [f"*{cell}*" if cell else "" for cell in cells]
            rows.append(cells)
        body = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
        parts.append(f"### {quote(table.title)}\n\n{body}\n")
    notes = "".join(f"- {quote(note)}\n" for note in footnotes(comparison))
    return "\n".join([*parts, notes]) if notes else "\n".join(parts)


def as_html(comparison: Comparison) -> str:
    """Return the tables for a notebook."""
    tables = [grid(comparison, section) for section in comparison.sections]
    drawn = [
        notebook.table(
            ("", *table.headings),
            [(MARKS["best" if line.best else line.kind], *line.cells) for line in table.lines],
            table.title,
        )
        for table in tables
    ]
    notes = "<br>".join(html.escape(printable(note)) for note in footnotes(comparison))
    title = html.escape(printable(headline(comparison.title, comparison.runs)))
    return f"<p>{title}</p>{''.join(drawn)}<small>{notes}</small>"


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "Δ": r"$\Delta$", "–": "--", "·": r"$\cdot$", "<": r"$<$", ">": r"$>$",
    "…": r"\ldots{}", "−": "$-$",
}  # fmt: skip


def latex_escape(text: str) -> str:
    """Return ``text`` so that LaTeX prints it as it is."""
    safe = printable(text, keep="\n")
    return "".join(_LATEX.get(character, character) for character in safe)


def as_latex(comparison: Comparison) -> str:
    """Return the tables for LaTeX with the booktabs package."""
    parts = []
    for section in comparison.sections:
        table = grid(comparison, section)
        columns = "".join("r" if column.numeric else "l" for column in table.columns)
        lines = [
            f"% {printable(table.title)}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            " & ".join(map(latex_escape, table.headings)) + r" \\",
            r"\midrule",
        ]
        for line in table.lines:
            face = r"\textbf" if line.best else r"\textit" if line.kind == "ngram" else ""
            cells = [latex_escape(cell) for cell in line.cells]
            lines.append(
                " & ".join(f"{face}{{{cell}}}" if face and cell else cell for cell in cells)
                + r" \\"
            )
        parts.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}"]))
    notes = "".join(f"% {printable(note)}\n" for note in footnotes(comparison))
    return "\n\n".join(parts) + "\n" + notes


def records(comparison: Comparison) -> list[dict[str, Any]]:
    """Return one flat record a row, n-gram levels included, as CSV and JSON have them."""
    rows: list[dict[str, Any]] = []
    for section in comparison.sections:
        for entry in with_levels(comparison, section):
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
            rows.append(row | {"stride": section.stride})
    return rows


def _record(comparison: Comparison, row: Configuration) -> dict[str, Any]:
    record: dict[str, Any] = {
        "kind": "control" if row.is_control else "run",
        "run": row.label,
        "code": row.code,
        "best": row.best,
        **{key: row.values.get(key) for key in comparison.keys},
        "n": len(row.done),
        "seeds": [run.seed for run in row.done],
    }
    for metric in comparison.metrics:
        average = row.estimates.get(metric)
        record[metric] = average.mean if average else None
        for name in ("low", "high", "std"):
            record[f"{metric}/{name}"] = getattr(average, name, None)
    if comparison.baseline:
        for name in ("difference", "low", "high", "p", "adjusted_p"):
            record[f"against/{name}"] = getattr(row.against, name, None)
        record["against/pairs"] = row.against.n if row.against else None
    record["not_in_the_mean"] = row.notes()
    record["run_ids"] = [run.run_id for run in row.runs]
    return record


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
        return printable("; ".join(map(show, value)))
    if isinstance(value, float):
        # Twelve digits hide the last bit's noise and lose nothing that was measured.
        return float(f"{value:.12g}")
    if isinstance(value, str):
        return printable(value)
    return show(value) if isinstance(value, bool) else value


def as_json(comparison: Comparison) -> str:
    """Return ``{"schema", "rows", "notes"}`` as indented JSON."""
    record = {"schema": 1, "rows": records(comparison), "notes": footnotes(comparison)}
    return json.dumps(record, indent=2, allow_nan=False, default=str) + "\n"


RENDERERS: dict[str, Callable[[Comparison], str]] = {
    "csv": as_csv,
    "json": as_json,
    "markdown": as_markdown,
    "latex": as_latex,
}
