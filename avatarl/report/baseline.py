"""Each configuration against a baseline: a paired test over the seeds that both have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from avatarl.errors import UserError
from avatarl.report.comparison import Configuration, Section
from avatarl.report.identity import short_names
from avatarl.report.load import apply_filter
from avatarl.report.statistics import Paired, holm, paired
from avatarl.report.words import describe_configuration
from avatarl.runs.where import FilterError


def hold_against(
    sections: Sequence[Section], against: str, metric: str
) -> tuple[list[Section], str]:
    """Test every row on ``metric`` against the configuration that ``against`` names.

    Returns:
        The sections with the tests in their rows, and the baseline in words. A section without
        the baseline stays untested.

    Raises:
        UserError: No section has the baseline, or several of its rows fit.
    """
    tested, baseline, reasons = [], "", []
    for section in sections:
        try:
            base = _baseline(section, against)
        except UserError as error:
            reasons.append(str(error))
            tested.append(section)
            continue
        name = "the control" if base.is_control else describe_configuration(base, section.keys)
        baseline = baseline or name
        pairs = [_pair(row, base, metric) for row in section.configurations]
        adjusted = holm([pair.p if pair else None for pair in pairs])
        rows = [
            replace(
                row,
                baseline=row is base,
                against=replace(pair, adjusted_p=p) if pair else None,
            )
            for row, pair, p in zip(section.configurations, pairs, adjusted, strict=True)
        ]
        tested.append(replace(section, configurations=tuple(rows)))
    if not baseline and reasons:
        raise UserError(reasons[0])
    return tested, baseline


def _baseline(section: Section, against: str) -> Configuration:
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
            names = short_names(section.keys)
            try:
                kept = {run.run_id for run in apply_filter(against, members, members, names)}
            except FilterError as error:
                if against.replace("-", "_").isidentifier():
                    raise _no_baseline(against, [], section) from None
                raise UserError(str(error).replace("--where", "--against", 1)) from None
            fit = [row for row in rows if any(run.run_id in kept for run in row.runs)]
    if len(fit) == 1:
        return fit[0]
    raise _no_baseline(against, fit, section)


def _no_baseline(against: str, fit: Sequence[Configuration], section: Section) -> UserError:
    rows = fit or section.configurations
    some = "; ".join(describe_configuration(row, section.keys) for row in rows[:6])
    what = f"fits {len(fit)} configurations" if fit else "fits no configuration"
    return UserError(
        f"--against {against}: {what} of {section.title}; valid: control, best, a run's name or "
        f"id, or a filter that fits one of: {some}{'; …' if len(rows) > 6 else ''}"
    )


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
