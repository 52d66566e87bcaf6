"""Seeds into configurations: means with intervals, never over unlike or unfinished runs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from avatarl.report import requested
from avatarl.report.baseline import hold_against
from avatarl.report.comparison import Comparison, Configuration, Section
from avatarl.report.identity import configuration_key, short_names
from avatarl.report.metrics import describe
from avatarl.report.remarks import warnings
from avatarl.report.statistics import Interval, estimate
from avatarl.runs.result import NGRAM_LEVELS
from avatarl.runs.run import Run

#: What plots need whatever the table shows.
_ALWAYS = ("val/nats", "val/accuracy", "val/ece")


def compare(
    runs: Sequence[Run],
    *,
    swept: Sequence[str] = (),
    metrics: Sequence[str] = (),
    sort: str = "",
    group_by: Sequence[str] = (),
    against: str = "",
    interval: Interval = "t",
    title: str = "runs",
    shared: str = "",
) -> Comparison:
    """Aggregate ``runs`` over their seeds.

    Args:
        runs: The runs.
        swept: Keys a sweep varies; they come first among the columns.
        metrics: Metrics of ``result.json`` to show.
        sort: A metric or key, its worse end first with a leading ``-``; the first metric by
            default.
        group_by: Average over everything but these keys (never over corpora, tracks, strides or
            code).
        against: A baseline for a paired test over shared seeds: ``control``, ``best``, a run's
            name or id, or a filter expression that fits one configuration.
        interval: ``t`` or ``bootstrap``.
        title: What is compared, in words.
        shared: What all of it has in common, in one line.

    Raises:
        UserError: An unknown metric, key or baseline.
    """
    shown = requested.metrics_shown(metrics, runs)
    keys = requested.columns(runs, swept, group_by)
    sort_key, reverse = requested.sort_key(sort, shown, keys, runs)
    # Best first where one end is better; a leading "-" turns that round.
    descending = (describe(sort_key).better > 0) != reverse
    averaged = dict.fromkeys([*shown, *_ALWAYS, *([sort_key] if "/" in sort_key else [])])
    by_section: dict[tuple[str, str, int | None], list[Run]] = {}
    for run in runs:
        by_section.setdefault((run.corpus_sha256, run.track, run.own_stride), []).append(run)
    sections = []
    for (corpus_sha256, track, stride), members in by_section.items():
        own = keys if len(by_section) == 1 else requested.columns(members, swept, group_by)
        rows = _configurations(members, keys, group_by, tuple(averaged), interval)
        rows = _sorted(rows, sort_key, descending)
        rows = _mark_best(rows, sort_key if describe(sort_key).better else "val/nats")
        fallback = next((run.result.get("corpus_fallback") for run in members if run.done), None)
        sections.append(
            Section(
                corpus=next((run.corpus for run in members if run.corpus), ""),
                corpus_sha256=corpus_sha256,
                track=track,
                stride=stride,
                fallback=fallback or "",
                keys=tuple(key for key in keys if key in own),
                levels=_levels(members),
                configurations=tuple(rows),
            )
        )
    # The section with most to show comes first.
    sections.sort(key=lambda section: -sum(len(row.runs) for row in section.configurations))
    baseline = ""
    if against:
        sections, baseline = hold_against(sections, against, shown[0])
    return Comparison(
        title=title,
        sections=tuple(sections),
        keys=tuple(keys),
        headings=short_names(keys),
        metrics=shown,
        sort=sort_key,
        descending=descending,
        interval=interval,
        baseline=baseline,
        warnings=tuple(warnings(sections, group_by)),
        shared=shared,
    )


def _configurations(
    runs: Sequence[Run],
    keys: Sequence[str],
    group_by: Sequence[str],
    metrics: Sequence[str],
    interval: Interval,
) -> list[Configuration]:
    groups: dict[tuple[str, str], list[Run]] = {}
    own = {run.run_id: configuration_key(run.config) for run in runs}
    for run in runs:
        key = own[run.run_id]
        if group_by:
            values = json.dumps([run.config.get(key) for key in keys], default=str)
            key = f"{run.is_control} {values}"
        groups.setdefault((key, run.code), []).append(run)
    rows = []
    for (key, code), members in groups.items():
        ordered = sorted(members, key=_by_seed)
        done = tuple(run for run in ordered if run.done)
        estimates = {
            metric: average
            for metric in metrics
            if (average := estimate(_numbers(done, metric), interval)) is not None
        }
        config = members[0].config
        rows.append(
            Configuration(
                key=f"{key} {code}",
                label=_label(members),
                values={name: config.get(name) for name in keys if name in config},
                done=done,
                unfinished=tuple(run for run in ordered if not run.done),
                estimates=estimates,
                is_control=all(run.is_control for run in members),
                code=code,
                mixed=len({own[run.run_id] for run in members}),
            )
        )
    return rows


def _numbers(runs: Sequence[Run], metric: str) -> list[float]:
    return [value for run in runs if (value := run.number(metric)) is not None]


def _by_seed(run: Run) -> tuple[bool, float, str]:
    seed = run.seed
    number = isinstance(seed, int | float)
    return (not number, float(seed) if number else 0.0, run.run_id)


def _label(runs: Sequence[Run]) -> str:
    names = list(dict.fromkeys(run.name for run in runs))
    if len(names) == 1:
        return names[0]
    common = names[0]
    for name in names[1:]:
        while not name.startswith(common):
            common = common[:-1]
    common = common.rstrip("-_ ")
    return common or f"{names[0]} and {len(names) - 1} more"


def _levels(runs: Sequence[Run]) -> dict[str, dict[str, float]]:
    levels: dict[str, dict[str, float]] = {}
    for run in runs:
        for level in NGRAM_LEVELS:
            for metric in ("nats", "accuracy"):
                value = run.number(f"ngram/{level}/{metric}")
                if value is not None:
                    levels.setdefault(level, {}).setdefault(f"val/{metric}", value)
    for values in levels.values():
        if (nats := values.get("val/nats")) is not None:
            values |= {"val/bits": nats / math.log(2), "val/perplexity": math.exp(nats)}
    return levels


def _sort_value(row: Configuration, sort_key: str) -> tuple[int, float, str]:
    """Return what a row sorts by: numbers, then words, then rows that have neither."""
    mean = row.mean(sort_key)
    value: Any = mean if mean is not None else row.values.get(sort_key)
    if value is None and "/" not in sort_key:
        value = row.runs[0].config.get(sort_key)
    if isinstance(value, bool):
        return (1, 0.0, str(value))
    if isinstance(value, int | float):
        return (0, float(value), "")
    return (2, 0.0, "") if value is None else (1, 0.0, str(value))


def _sorted(rows: Sequence[Configuration], sort_key: str, descending: bool) -> list[Configuration]:
    values = [(_sort_value(row, sort_key), row) for row in rows]
    present = [pair for pair in values if pair[0][0] < 2]
    absent = [row for value, row in values if value[0] == 2]
    present.sort(key=lambda pair: pair[0], reverse=descending)
    return [*(row for _, row in present), *absent]


def _mark_best(rows: list[Configuration], metric: str) -> list[Configuration]:
    better = describe(metric).better or -1
    ranked = [row for row in rows if metric in row.estimates and not row.is_control]
    if not ranked:
        return rows
    top = max(ranked, key=lambda row: better * row.estimates[metric].mean)
    return [replace(row, best=row is top) for row in rows]
