"""What a reader asked to see, resolved to full names: metrics, columns and the sort key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from avatarl.errors import UserError, did_you_mean
from avatarl.report.identity import SEED, differing_keys, full_key, matters
from avatarl.report.metrics import DEFAULT
from avatarl.runs.result import NO_METRICS
from avatarl.runs.run import Run


def result_metrics(runs: Sequence[Run]) -> dict[str, None]:
    """Return every number that the results hold, in order met."""
    known: dict[str, None] = {}
    for run in runs:
        known.update(dict.fromkeys(key for key in run.result if run.number(key) is not None))
    return known


def metrics_shown(metrics: Sequence[str], runs: Sequence[Run]) -> tuple[str, ...]:
    """Return the metrics to show: those asked for, else the usual ones that the runs have.

    Raises:
        UserError: No finished run has one of ``metrics``.
    """
    known = [
        name
        for name in result_metrics(runs)
        if name not in NO_METRICS and not name.startswith("ngram/")
    ]
    if not metrics:
        return tuple(metric for metric in DEFAULT if metric in known) or DEFAULT[:2]
    metrics = [full_key(metric, known) for metric in metrics]
    unknown = next((metric for metric in metrics if metric not in known), None)
    if known and unknown is not None:
        raise UserError(
            f"no finished run has the metric {unknown!r}{did_you_mean(unknown, known)}; "
            f"valid: {', '.join(sorted(known))}"
        )
    return tuple(metrics)


def columns(runs: Sequence[Run], swept: Sequence[str], group_by: Sequence[str]) -> list[str]:
    """Return the keys that tell rows apart: those of ``group_by``, else all that differ.

    Raises:
        UserError: No run has one of the keys of ``group_by``.
    """
    configs = [run.config for run in runs]
    if not group_by:
        # A control is named as such; what sets it apart from the rest needs no column.
        differ = [
            key
            for controls in (False, True)
            for key in differing_keys(
                [run.config for run in runs if run.is_control is controls], swept
            )
        ]
        ordered = differing_keys(configs, [*swept, *differ])
        return [key for key in ordered if key in differ]
    names = dict.fromkeys(key for config in configs for key in config if matters(key))
    names |= {SEED: None}
    keys = []
    for key in group_by:
        full = _resolve(key, names, ".")
        if full not in names:
            raise UserError(
                f"--group-by {key}: no run has this key{did_you_mean(key, names)}; valid: "
                f"{', '.join(differing_keys(configs, swept)) or 'nothing differs'}"
            )
        keys.append(full)
    return keys


def sort_key(
    sort: str, metrics: Sequence[str], keys: Sequence[str], runs: Sequence[Run]
) -> tuple[str, bool]:
    """Return the metric or key to sort by, and whether a leading ``-`` turns it round.

    Raises:
        UserError: No run has this metric or key.
    """
    reverse, name = sort.startswith("-"), sort.removeprefix("-")
    if not name:
        return metrics[0], reverse
    known = dict.fromkeys([*metrics, *keys]) | result_metrics(runs)
    for run in runs:
        known.update(dict.fromkeys(key for key in run.config if matters(key)))
    full = _resolve(name, known, "./")
    if full not in known:
        raise UserError(
            f"--sort {name}: no run has this metric or key{did_you_mean(name, known)}; "
            f"valid: {', '.join([*metrics, *keys])}"
        )
    return full, reverse


def _resolve(name: str, known: Mapping[str, None], marks: str) -> str:
    """Return the full key: by its group or heading, else by its end where that is unambiguous."""
    full = full_key(name, known)
    if full in known:
        return full
    ends = [key for key in known if key.endswith(tuple(f"{mark}{name}" for mark in marks))]
    return ends[0] if len(ends) == 1 else full
