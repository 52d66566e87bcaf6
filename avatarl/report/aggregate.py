"""Seeds into configurations: means with intervals, never over unlike or unfinished runs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from avatarl.errors import UserError, did_you_mean
from avatarl.report.identity import (
    SEED,
    configuration_key,
    differing_keys,
    full_key,
    matters,
    short_names,
)
from avatarl.report.metrics import DEFAULT, describe
from avatarl.report.statistics import Estimate, Interval, Paired, estimate, holm, paired
from avatarl.runs.run import NGRAM_LEVELS, Run

#: What plots need whatever the table shows.
_ALWAYS = ("val/nats", "val/accuracy", "val/ece")
#: Numbers of a result that measure nothing.
_NO_METRIC = ("schema", "seed")
#: The level names as they are written on a line or in a row.
LEVEL_NAMES = {
    "unigram": "unigram",
    "bigram": "bigram",
    "trigram": "trigram",
    "ngram4": "4-gram",
}


@dataclass(frozen=True)
class Configuration:
    """Runs that differ by their seed at most (or that ``--group-by`` puts together).

    Attributes:
        values: The differing keys' values; a key that varies inside the group says how often.
        done: The finished runs, which alone are averaged.
        unfinished: Running, failed, interrupted or queued runs, which are only named.
        estimates: Mean and interval of each metric over ``done``.
        against: The paired comparison with the baseline, where one was asked for.
        mixed: How many configurations were put together (1 unless grouped).
    """

    key: str
    label: str
    values: Mapping[str, Any]
    done: tuple[Run, ...]
    unfinished: tuple[Run, ...]
    estimates: Mapping[str, Estimate]
    is_control: bool
    code: str
    mixed: int = 1
    best: bool = False
    baseline: bool = False
    against: Paired | None = None

    @property
    def runs(self) -> tuple[Run, ...]:
        """All its runs."""
        return self.done + self.unfinished

    def notes(self) -> list[str]:
        """Name every seed that isn't in the means, and why."""
        alike: dict[str, list[Run]] = {}
        for run in self.unfinished:
            why = f": {run.reason}" if run.reason else ""
            alike.setdefault(f"{run.describe_state()}{why}", []).append(run)
        notes = [f"{_seeds(runs)} {what}" for what, runs in alike.items()]
        notes += [
            f"{metric} is of {told.n} of the {len(self.done)} finished seeds, "
            "the rest has no finite value"
            for metric, told in self.estimates.items()
            if told.n < len(self.done)
        ]
        if self.mixed > 1:
            notes.append(f"over {self.mixed} configurations")
        return notes


def _seeds(runs: Sequence[Run]) -> str:
    if any(run.seed is None for run in runs):
        return "a run" if len(runs) == 1 else f"{len(runs)} runs"
    seeds = list(dict.fromkeys(str(run.seed) for run in runs))
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(seeds)}"


@dataclass(frozen=True)
class Section:
    """Runs that may be held against each other: one corpus, one track.

    Attributes:
        keys: The keys that differ among its rows; those of other sections aren't its columns.
        levels: Held-out metrics of the corpus's n-gram models.
        configurations: Sorted rows.
    """

    corpus: str
    corpus_sha256: str
    track: str
    fallback: str
    keys: tuple[str, ...]
    levels: Mapping[str, Mapping[str, float]]
    configurations: tuple[Configuration, ...]

    @property
    def title(self) -> str:
        """Corpus and track in words."""
        name = self.corpus or "unknown corpus"
        sha = f" ({self.corpus_sha256[:8]})" if self.corpus_sha256 else ""
        track = {
            "label_revealing": "label-revealing feedback",
            "bandit": "bandit feedback",
            "": "track not known yet",
        }.get(self.track, self.track)
        return f"{name}{sha} · {track}"


@dataclass(frozen=True)
class Comparison:
    """Everything a table or a plot shows.

    Attributes:
        keys: The keys that differ among all rows, dotted.
        headings: A short heading for each key.
        metrics: Metrics shown.
        sort: The metric or key sorted by.
        warnings: Whatever keeps runs from being compared plainly.
    """

    title: str
    sections: tuple[Section, ...]
    keys: tuple[str, ...]
    headings: Mapping[str, str]
    metrics: tuple[str, ...]
    sort: str
    interval: Interval
    baseline: str = ""
    warnings: tuple[str, ...] = field(default=())


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
) -> Comparison:
    """Aggregate ``runs`` over their seeds.

    Args:
        runs: The runs.
        swept: Keys a sweep varies; they come first among the columns.
        metrics: Metrics of ``result.json`` to show.
        sort: A metric or key, its worse end first with a leading ``-``; ``val/nats`` by default.
        group_by: Average over everything but these keys (never over corpora, tracks or code).
        against: A baseline for a paired test over shared seeds: ``control``, ``best``, a run's
            name or id, or a filter expression that fits one configuration.
        interval: ``t`` or ``bootstrap``.
        title: What is compared, in words.

    Raises:
        UserError: An unknown metric, key or baseline.
    """
    metrics = _checked_metrics(metrics, runs)
    keys = _columns(runs, swept, group_by)
    sort_key, reverse = _sort_key(sort, metrics, keys, runs)
    wanted = tuple(dict.fromkeys([*metrics, *_ALWAYS, *([sort_key] if "/" in sort_key else [])]))
    sections = []
    apart = _by_section(runs)
    for (corpus_sha256, track), members in apart.items():
        own = keys if len(apart) == 1 else _columns(members, swept, group_by)
        rows = _configurations(members, keys, group_by, wanted, sort_key, interval)
        rows = _sorted(rows, sort_key, reverse)
        rows = _mark_best(rows, sort_key if describe(sort_key).better else "val/nats")
        fallback = next((r.result.get("corpus_fallback") for r in members if r.done), None)
        name = next((run.corpus for run in members if run.corpus), "")
        sections.append(
            Section(
                corpus=name,
                corpus_sha256=corpus_sha256,
                track=track,
                fallback=fallback or "",
                keys=tuple(key for key in keys if key in own),
                levels=_levels(members),
                configurations=tuple(rows),
            )
        )
    # The section with most to show comes first.
    sections.sort(key=lambda section: -sum(len(row.runs) for row in section.configurations))
    baseline = ""
    metric = metrics[0] if metrics else "val/nats"
    if against:
        sections, baseline = _against(sections, against, metric)
    return Comparison(
        title=title,
        sections=tuple(sections),
        keys=tuple(keys),
        headings=short_names(keys),
        metrics=tuple(metrics),
        sort=sort_key,
        interval=interval,
        baseline=baseline,
        warnings=tuple(_warnings(sections, group_by)),
    )


def _checked_metrics(metrics: Sequence[str], runs: Sequence[Run]) -> list[str]:
    known: dict[str, None] = {}
    for run in runs:
        known.update(dict.fromkeys(k for k in run.result if run.number(k) is not None))
    for name in [name for name in known if name in _NO_METRIC or name.startswith("ngram/")]:
        del known[name]
    if not metrics:
        shown = [metric for metric in DEFAULT if metric in known]
        return shown or list(DEFAULT[:2])
    metrics = [full_key(metric, known) for metric in metrics]
    if known:
        for metric in metrics:
            if metric not in known:
                raise UserError(
                    f"no finished run has the metric {metric!r}{did_you_mean(metric, known)}; "
                    f"valid: {', '.join(sorted(known))}"
                )
    return metrics


def _columns(runs: Sequence[Run], swept: Sequence[str], group_by: Sequence[str]) -> list[str]:
    configs = [run.config for run in runs]
    names = dict.fromkeys(key for config in configs for key in config if matters(key))
    names |= {SEED: None}
    if not group_by:
        # A control is named as such; what sets it apart from the rest needs no column.
        differ = [
            key
            for controls in (False, True)
            for key in differing_keys(
                [run.config for run in runs if run.is_control is controls], swept
            )
        ]
        return [key for key in differing_keys(configs, [*swept, *differ]) if key in differ]
    keys = []
    for key in group_by:
        full = full_key(key, names)
        ends = [name for name in names if name.endswith(f".{key}")]
        if full not in names and len(ends) == 1:
            full = ends[0]
        if full not in names:
            raise UserError(
                f"--group-by {key}: no run has this key{did_you_mean(key, names)}; valid: "
                f"{', '.join(differing_keys(configs, swept)) or 'nothing differs'}"
            )
        keys.append(full)
    return keys


def _sort_key(
    sort: str, metrics: Sequence[str], keys: Sequence[str], runs: Sequence[Run]
) -> tuple[str, bool]:
    reverse, name = sort.startswith("-"), sort.removeprefix("-")
    if not name:
        return (metrics[0] if metrics else "val/nats"), reverse
    known: dict[str, None] = dict.fromkeys([*metrics, *keys])
    for run in runs:
        known.update(dict.fromkeys(k for k in run.result if run.number(k) is not None))
        known.update(dict.fromkeys(k for k in run.config if matters(k)))
    full = full_key(name, known)
    if full not in known:
        ends = [key for key in known if key.endswith((f".{name}", f"/{name}"))]
        full = ends[0] if len(ends) == 1 else full
    if full not in known:
        raise UserError(
            f"--sort {name}: no run has this metric or key{did_you_mean(name, known)}; "
            f"valid: {', '.join([*metrics, *keys])}"
        )
    return full, reverse


def _by_section(runs: Sequence[Run]) -> dict[tuple[str, str], list[Run]]:
    sections: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        sections.setdefault((run.corpus_sha256, run.track), []).append(run)
    return sections


def _configurations(
    runs: Sequence[Run],
    keys: Sequence[str],
    group_by: Sequence[str],
    metrics: Sequence[str],
    sort_key: str,
    interval: Interval,
) -> list[Configuration]:
    groups: dict[tuple[str, str], list[Run]] = {}
    own = {run.run_id: configuration_key(run.config) for run in runs}
    for run in runs:
        if group_by:
            values = json.dumps([run.config.get(key) for key in keys], default=str)
            key = f"{run.is_control} {values}"
        else:
            key = own[run.run_id]
        groups.setdefault((key, run.code), []).append(run)
    rows = []
    for (key, code), members in groups.items():
        done = tuple(sorted((run for run in members if run.done), key=_by_seed))
        rest = tuple(sorted((run for run in members if not run.done), key=_by_seed))
        estimates = {}
        for metric in metrics:
            numbers = [value for run in done if (value := run.number(metric)) is not None]
            told = estimate(numbers, interval)
            if told is not None:
                estimates[metric] = told
        config = members[0].config
        rows.append(
            Configuration(
                key=f"{key} {code}",
                label=_label(members),
                values={name: config.get(name) for name in keys if name in config},
                done=done,
                unfinished=rest,
                estimates=estimates,
                is_control=all(run.is_control for run in members),
                code=code,
                mixed=len({own[run.run_id] for run in members}),
            )
        )
    return rows


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


def sort_value(row: Configuration, sort_key: str) -> tuple[int, float, str]:
    """Return what a row sorts by: numbers, then words, then rows that have neither."""
    told = row.estimates.get(sort_key)
    value: Any = told.mean if told is not None else row.values.get(sort_key)
    if value is None and row.runs and "/" not in sort_key:
        value = row.runs[0].config.get(sort_key)
    if isinstance(value, bool):
        return (1, 0.0, str(value))
    if isinstance(value, int | float):
        return (0, float(value), "")
    return (2, 0.0, "") if value is None else (1, 0.0, str(value))


def _sorted(rows: list[Configuration], sort_key: str, reverse: bool) -> list[Configuration]:
    # Best first where one end is better; a leading "-" turns that round.
    down = (describe(sort_key).better > 0) != reverse
    present = [row for row in rows if sort_value(row, sort_key)[0] < 2]
    absent = [row for row in rows if sort_value(row, sort_key)[0] == 2]
    present.sort(key=lambda row: sort_value(row, sort_key), reverse=down)
    return present + absent


def _mark_best(rows: list[Configuration], metric: str) -> list[Configuration]:
    better = describe(metric).better or -1
    ranked = [row for row in rows if metric in row.estimates and not row.is_control]
    if not ranked:
        return rows
    top = max(ranked, key=lambda row: better * row.estimates[metric].mean)
    return [replace(row, best=row is top) for row in rows]


def _against(sections: list[Section], against: str, metric: str) -> tuple[list[Section], str]:
    tested, told, reasons = [], "", []
    for section in sections:
        try:
            base = _baseline(section, against)
        except UserError as error:
            reasons.append(str(error))
            tested.append(section)
            continue
        name = "the control" if base.is_control else describe_configuration(base, section.keys)
        told = told or name
        rows = [
            replace(row, baseline=row is base, against=_pair(row, base, metric))
            for row in section.configurations
        ]
        adjusted = holm([row.against.p if row.against else None for row in rows])
        rows = [
            replace(row, against=replace(row.against, adjusted_p=p)) if row.against else row
            for row, p in zip(rows, adjusted, strict=True)
        ]
        tested.append(replace(section, configurations=tuple(rows)))
    if not told and reasons:
        raise UserError(reasons[0])
    return tested, told


def _baseline(section: Section, against: str) -> Configuration:
    from avatarl.report.load import apply_filter
    from avatarl.report.where import FilterError

    rows = section.configurations
    if against == "control":
        fit = [row for row in rows if row.is_control]
    elif against == "best":
        fit = [row for row in rows if row.best]
    else:
        fit = [
            row
            for row in rows
            if any(against in (run.run_id, run.name, run.directory.name) for run in row.runs)
        ]
        if not fit:
            members = [run for row in rows for run in row.runs]
            try:
                kept = {run.run_id for run in apply_filter(against, members, members)}
            except FilterError as error:
                if against.replace("-", "_").isidentifier():
                    raise UserError(_no_baseline(against, [], section)) from None
                raise UserError(str(error).replace("--where", "--against", 1)) from None
            fit = [row for row in rows if any(run.run_id in kept for run in row.runs)]
    if len(fit) == 1:
        return fit[0]
    raise UserError(_no_baseline(against, fit, section))


def _no_baseline(against: str, fit: Sequence[Configuration], section: Section) -> str:
    rows = fit or section.configurations
    some = "; ".join(describe_configuration(row, section.keys) for row in rows[:6])
    what = f"fits {len(fit)} configurations" if fit else "fits no configuration"
    return (
        f"--against {against}: {what} of {section.title}; valid: control, best, a run's name or "
        f"id, or a filter that fits one of: {some}{'; …' if len(rows) > 6 else ''}"
    )


def describe_configuration(row: Configuration, keys: Sequence[str]) -> str:
    """Return a row in words: its differing keys, else its name."""
    headings = short_names(keys)
    told = [f"{headings[key]}={show(row.values[key])}" for key in keys if key in row.values]
    return " ".join(told) or row.label


def show(value: Any) -> str:
    """Return a configuration value as it would be typed on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _pair(row: Configuration, base: Configuration, metric: str) -> Paired | None:
    if row is base:
        return None
    mine = {run.seed: run.number(metric) for run in row.done}
    theirs = {run.seed: run.number(metric) for run in base.done}
    if len(mine) < len(row.done) or len(theirs) < len(base.done):
        # Several runs share a seed (after --group-by): there is no one pair to a seed.
        return None
    differences = [
        value - other
        for seed, value in mine.items()
        if value is not None and (other := theirs.get(seed)) is not None
    ]
    return paired(differences)


def _warnings(sections: Sequence[Section], group_by: Sequence[str]) -> list[str]:
    warnings = []
    corpora = {section.corpus_sha256 for section in sections}
    tracks = {section.track for section in sections}
    if len(corpora) > 1:
        warnings.append(
            f"these runs learned from {len(corpora)} different corpora: one table for each, "
            "numbers from different tables don't compare"
        )
    if len(tracks) > 1:
        warnings.append(
            "label-revealing and bandit runs are separate tracks: one table for each"
            if tracks == {"label_revealing", "bandit"}
            else f"these runs are on {len(tracks)} tracks: one table for each"
        )
    for section in sections:
        # Runs that haven't started have no code yet; that is no other version.
        codes = sorted({row.code[:8] for row in section.configurations if row.code})
        if len(codes) > 1:
            warnings.append(
                f"{section.title}: the runs come from {len(codes)} versions of the code "
                f"({', '.join(codes)}), which are kept in rows of their own"
            )
        if section.fallback:
            warnings.append(
                f"{section.corpus} stands in for the corpus asked for: {section.fallback}"
            )
    if group_by and any(row.mixed > 1 for section in sections for row in section.configurations):
        warnings.append(
            f"grouped by {', '.join(group_by)}: means run over whatever else differs, "
            "seeds and configurations alike"
        )
    return warnings
