"""Runs of one sweep that ask SLURM for different things, by conditions on their keys."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from avatarl.errors import ConfigError, did_you_mean
from avatarl.options import read
from avatarl.runs.flatten import flatten
from avatarl.runs.where import Filter
from avatarl.sweep.launch import LauncherSettings
from avatarl.sweep.plan.planned import PlannedRun
from avatarl.sweep.slurm.settings import SlurmSettings

_KEY = "hydra.launcher.resources"
#: What concerns the sweep as a whole, and can't differ between its jobs.
_OF_A_SWEEP = {
    *(field.name for field in dataclasses.fields(LauncherSettings)), "wait", "poll_s", "resources",
}  # fmt: skip
_OF_A_JOB = [
    field.name for field in dataclasses.fields(SlurmSettings) if field.name not in _OF_A_SWEEP
]


@dataclass(frozen=True)
class Kind:
    """What jobs of one kind ask for.

    Attributes:
        settings: The launcher's, as these jobs have them.
        conditions: Those that hold for their runs.
        asked: What they ask for instead of the usual.
    """

    settings: SlurmSettings
    conditions: tuple[str, ...] = ()
    asked: str = ""


class Resources:
    """Finds the kind of each run of a plan.

    Args:
        runs: All of the plan's.
        settings: The launcher's.

    Raises:
        UserError: A condition can't be read or names no run's key; what it asks for isn't a job's,
            or isn't valid; or two that hold for one run contradict each other.
    """

    def __init__(self, runs: Sequence[PlannedRun], settings: SlurmSettings) -> None:
        self._usual = Kind(settings)
        rules = _rules(settings)
        if not rules:
            self._of: dict[str, Kind] = {}
            return
        rows = {run.id: {**flatten(run.config), "is_control": run.is_control} for run in runs}
        known = dict.fromkeys(key for row in rows.values() for key in row)
        filters = [Filter(condition, known, place=_KEY) for condition, _ in rules]
        for condition, asked in rules:
            _with(settings, asked, condition)
        kinds: dict[tuple[int, ...], Kind] = {(): self._usual}
        self._of = {}
        for run in runs:
            hold = tuple(at for at, keeps in enumerate(filters) if keeps(rows[run.id]))
            if hold not in kinds:
                kinds[hold] = self._kind([rules[at] for at in hold], run)
            self._of[run.id] = kinds[hold]

    def _kind(self, rules: Sequence[tuple[str, dict[str, Any]]], run: PlannedRun) -> Kind:
        asked: dict[str, Any] = {}
        source: dict[str, str] = {}
        for condition, settings in rules:
            for name, value in settings.items():
                if name in asked and asked[name] != value:
                    both = f"{source[name]!r} says {asked[name]!r}, {condition!r} {value!r}"
                    why = f"both hold for {run.label or run.name}, and {both}"
                    raise ConfigError(f"{_KEY}.{name}", value, "one value for each run", why)
                asked[name], source[name] = value, condition
        conditions = tuple(condition for condition, _ in rules)
        words = " ".join(f"{name}={value}" for name, value in asked.items())
        return Kind(_with(self._usual.settings, asked, " and ".join(conditions)), conditions, words)

    def of(self, run: PlannedRun) -> Kind:
        """The kind of a run."""
        return self._of.get(run.id, self._usual)

    def takes(self, kind: Kind, runs: Sequence[PlannedRun]) -> list[str] | None:
        """Ids of those of some runs that jobs of a kind are for; None: of all there will be."""
        if not self._of:
            return None
        return [run.id for run in runs if self.of(run).settings == kind.settings]

    def split(self, runs: Sequence[PlannedRun]) -> list[tuple[Kind, list[PlannedRun]]]:
        """Split runs by what they ask for, in the order in which each is met first."""
        groups: dict[str, tuple[Kind, list[PlannedRun]]] = {}
        for run in runs:
            kind = self.of(run)
            alike = json.dumps(dataclasses.asdict(kind.settings), sort_keys=True)
            groups.setdefault(alike, (kind, []))[1].append(run)
        return list(groups.values())


def _rules(settings: SlurmSettings) -> list[tuple[str, dict[str, Any]]]:
    if isinstance(settings.resources, dict):
        return [(condition, dict(asked)) for condition, asked in settings.resources.items()]
    rules = []
    for at, rule in enumerate(settings.resources or ()):
        asked = dict(rule)
        condition = asked.pop("where", None)
        if not isinstance(condition, str):
            raise ConfigError(f"{_KEY}.{at}.where", condition, "a condition; it is missing")
        rules.append((condition, asked))
    return rules


def _with(settings: SlurmSettings, asked: dict[str, Any], condition: str) -> SlurmSettings:
    """The settings with what is asked for instead, checked."""
    if not asked:
        raise ConfigError(f"{_KEY}.{condition!r}", asked, "what these runs ask for instead")
    for name, value in asked.items():
        if name not in _OF_A_JOB:
            valid = f"one of {', '.join(_OF_A_JOB)}{did_you_mean(name, _OF_A_JOB)}"
            why = "it is the whole sweep's" if name in _OF_A_SWEEP else "no such key"
            raise ConfigError(f"{_KEY}.{condition!r}.{name}", value, valid, why)
    try:
        raw = {**dataclasses.asdict(settings), **asked, "resources": None}
        found = read(SlurmSettings, raw, "hydra.launcher")
        found.check()
    except ConfigError as error:
        key = error.key.replace("hydra.launcher", f"{_KEY}.{condition!r}", 1)
        raise ConfigError(key, error.value, error.valid, error.why) from None
    return found
