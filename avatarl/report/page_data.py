"""What the page shows, as data: everything that needs no reader's choice is computed here."""

from __future__ import annotations

import hashlib
import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from avatarl.report.alarms import HEALTH, thresholds
from avatarl.report.comparison import Comparison, Configuration, Section
from avatarl.report.curves import Journals
from avatarl.report.identity import short_names
from avatarl.report.load import Runs, facts
from avatarl.report.metrics import AXES, Axis, describe, format_number, metric_heading
from avatarl.report.page_run import MORE_HEALTH, newest, run_data
from avatarl.report.page_search import search_data
from avatarl.report.remarks import legend, shared_keys
from avatarl.report.requested import result_metrics
from avatarl.report.scale import scale_of
from avatarl.report.statistics import t_quantile
from avatarl.report.style import PALETTE, RAMP, looks
from avatarl.report.table import Column, Grid, grid, level_cell
from avatarl.report.words import LEVEL_NAMES, row_name, show, word, words
from avatarl.runs.run import Run
from avatarl.runs.state import RunState
from avatarl.runs.where import LANGUAGE, spoken_names

_LARGEST_DEGREES = 60
_MOST_PROBLEMS = 20


def page_data(
    runs: Runs, comparison: Comparison, journals: Journals, metrics: Sequence[str], axis: Axis
) -> dict[str, Any]:
    """Return all of the page's data but the runs' curves.

    Args:
        runs: The runs.
        comparison: The same, aggregated.
        journals: Their curves and events.
        metrics: Metrics whose curves the page holds.
        axis: What they are drawn against until a reader chooses.
    """
    known = dict.fromkeys(["val/nats", "val/accuracy", "val/ece"]) | result_metrics(runs.runs)
    known |= dict.fromkeys([*metrics, *comparison.metrics])
    health = dict.fromkeys([*HEALTH, *MORE_HEALTH])
    health |= dict.fromkeys(name for name in metrics if name.startswith("health/"))
    best_by = comparison.sort if describe(comparison.sort).better else "val/nats"
    places = {run.run_id: place for place, run in enumerate(runs)}
    sections: list[dict[str, Any]] = []
    groups: list[dict[str, Any]] = []
    shown: dict[str, dict[str, Any]] = {}
    for index, section in enumerate(comparison.sections):
        table, first = grid(comparison, section), len(groups)
        columns = _run_columns(table.columns)
        sections.append(_section(comparison, section, table, columns, first))
        sections[-1]["search"] = search_data(section, comparison.headings, best_by)
        groups += _groups(section, table, index, first, best_by, places)
        for group, row in enumerate(section.configurations, first):
            for run in row.runs:
                shown[run.run_id] = {
                    **run_data(run, journals),
                    "section": index, "group": group, "title": _run_title(section, row, run),
                    "cells": [_run_cell(row, run, column) for column in columns],
                }  # fmt: skip
    rows = [shown[run.run_id] for run in runs]
    return {
        "schema": 4,
        "title": comparison.title,
        "generated": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "summary": _summary(runs, len(groups)),
        "metrics": list(comparison.metrics),
        "curves": list(metrics),
        "info": {name: _info(name) for name in known},
        "axes": {word: one.title for word, one in AXES.items()},
        "axis": next(word for word, one in AXES.items() if one == axis),
        "sort": comparison.sort,
        "descending": comparison.descending,
        "best_by": best_by,
        "quantiles": [0.0, *(t_quantile(n) for n in range(1, _LARGEST_DEGREES + 1))],
        "palette": PALETTE,
        "ramp": RAMP,
        "health": list(health),
        "warnings": [*comparison.warnings, *_problems([*runs.problems, *journals.problems])],
        "footer": "Written by avatarl compare from the runs' own files.",
        "level_names": LEVEL_NAMES,
        "language": LANGUAGE,
        "names": spoken_names((key for run in runs for key in facts(run)), comparison.headings),
        "sections": sections,
        "groups": groups,
        "base": _factor_out(rows, "config"),
        "prov": _factor_out(rows, "prov"),
        "facts": _factor_out(rows, "facts"),
        "runs": rows,
    }


def _problems(problems: Iterable[str]) -> list[str]:
    once = list(dict.fromkeys(problems))
    more = len(once) - _MOST_PROBLEMS
    ending = [f"and {more} more files had something wrong with them"] if more > 0 else []
    return once[:_MOST_PROBLEMS] + ending


def _summary(runs: Runs, groups: int) -> str:
    counts = Counter(run.state for run in runs)
    states = dict.fromkeys([RunState.DONE, *RunState])
    counted = [f"{counts[state]} {state}" for state in states if counts[state] or state == "done"]
    return (
        f"{len(runs)} run{'' if len(runs) == 1 else 's'} in {groups} "
        f"configuration{'' if groups == 1 else 's'}: {', '.join(counted)}."
    )


def _info(name: str) -> dict[str, Any]:
    return {**asdict(describe(name)), "heading": metric_heading(name)}


def _section(
    comparison: Comparison, section: Section, table: Grid, columns: Sequence[Column], first: int
) -> dict[str, Any]:
    """Return a section; ``columns`` are those of single runs, ``first`` its first group's place."""
    groups = {row.key: first + at for at, row in enumerate(section.configurations)}
    having = {
        key: [row for row in section.configurations if key in row.values] for key in section.keys
    }
    return {
        "title": section.title,
        "corpus": section.corpus,
        "track": section.track,
        "levels": section.levels,
        "thresholds": thresholds(section),
        "order": [groups.get(line.key, line.key) for line in table.lines],
        "words": {key: words(rows, key) for key, rows in having.items()},
        "scales": _scales(section, table.columns),
        "notes": [*shared_keys(comparison, section), *legend(comparison, section.configurations)],
        "tables": {
            mode: {
                "columns": [asdict(column) for column in shown],
                "levels": {
                    level: [level_cell(section, level, column) for column in shown]
                    for level in section.levels
                },
            }
            for mode, shown in {"groups": table.columns, "runs": columns}.items()
        },
    }


def _scales(section: Section, columns: Sequence[Column]) -> dict[str, str]:
    """Return the scale of each key and metric that isn't shown on a linear one."""
    rows, scales = section.configurations, {}
    for key in (column.name for column in columns if column.kind == "key" and column.numeric):
        having = [row for row in rows if key in row.values]
        scales[key] = scale_of([float(word) for word in words(having, key)], chosen=True)
    runs = [run for row in rows for run in row.runs]
    for metric in result_metrics(runs):
        values = [value for run in runs if (value := run.number(metric)) is not None]
        scales[metric] = scale_of([value for value in values if math.isfinite(value)])
    return {name: scale for name, scale in scales.items() if scale != "linear"}


def _groups(
    section: Section, table: Grid, index: int, first: int, best_by: str, places: Mapping[str, int]
) -> list[dict[str, Any]]:
    styles, ranks = looks(section.configurations, section.keys), _ranks(section, best_by)
    cells = {line.key: line.cells for line in table.lines}
    return [
        {
            "id": number,
            # Stable over reloads, unlike its place.
            "key": hashlib.sha256(row.key.encode()).hexdigest()[:12],
            "section": index,
            "name": row_name(section, row, keyed=True),
            "label": row.label,
            "cells": cells[row.key],
            "notes": row.notes(),
            "control": row.is_control,
            "best": row.best,
            "look": {**asdict(styles[row.key]), "rank": ranks.get(row.key, 0)},
            "est": {
                metric: [average.n, average.mean, average.low, average.high]
                for metric, average in row.estimates.items()
            },
            "runs": [places[run.run_id] for run in row.runs],
        }
        for number, row in enumerate(section.configurations, first)
    ]


def _ranks(section: Section, metric: str) -> dict[str, float]:
    """Return where each configuration stands, from 0 for the best to 1."""
    ranked = [row for row in section.configurations if metric in row.estimates]
    ranked.sort(key=lambda row: -describe(metric).better * row.estimates[metric].mean)
    return {row.key: at / max(1, len(ranked) - 1) for at, row in enumerate(ranked)}


def _run_columns(columns: Sequence[Column]) -> list[Column]:
    """Return the columns of single runs: seed and state instead of n, and no test."""
    kept = []
    for column in columns:
        if column.kind == "n":
            kept.append(Column("seed", "seed", "seed", numeric=True))
            kept.append(Column("state", "state", "state", numeric=False))
        elif column.kind not in ("difference", "p"):
            kept.append(column)
    return kept


def _run_cell(row: Configuration, run: Run, column: Column) -> str:
    match column.kind:
        case "run":
            return run.name
        case "key":
            return word(row, column.name)
        case "seed":
            return show(run.seed)
        case "state":
            return run.describe_state()
        case "code":
            return run.code[:8] or "unknown"
    value = run.number(column.name) if run.done else newest(run).get(column.name)
    cell = format_number(value, describe(column.name).digits)
    return cell if run.done or value is None else f"{cell} so far"


def _run_title(section: Section, row: Configuration, run: Run) -> str:
    own = {key: name for key, name in short_names(section.keys).items() if key in row.values}
    values = ", ".join(f"{name}={show(row.values[key])}" for key, name in own.items())
    seed = "" if run.seed is None else f"seed {show(run.seed)}"
    return " · ".join(part for part in (run.name, values, seed) if part)


def _factor_out(rows: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """Take what all rows' tables share out of them, and return it."""
    tables = [row[name] for row in rows if row[name]]
    if not tables:
        return {}
    shared = {
        key: value
        for key, value in tables[0].items()
        if all(
            key in table and table[key] == value and type(table[key]) is type(value)
            for table in tables[1:]
        )
    }
    for table in tables:
        for key in shared:
            del table[key]
    return shared
