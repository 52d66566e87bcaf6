"""The plan of a sweep: every run composed, named and written down before anything starts."""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from avatarl.errors import UserError, in_short
from avatarl.files import read_checked, write_checked
from avatarl.names import size_in_words
from avatarl.runs.find import PLAN_SCHEMA, outputs_of
from avatarl.runs.flatten import flatten
from avatarl.runs.folder import RunFolder
from avatarl.runs.outputs import Outputs, SweepFolder
from avatarl.sweep.plan.naming import CONTROL, Names
from avatarl.text import printable


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep.

    Attributes:
        id: 16 hex digits from the resolved configuration and the corpus.
        name: Readable prefix of the directory.
        overrides: What the user (or sweeper) asked for, beyond the defaults.
        config: The resolved configuration, plain data.
        is_control: A cross-entropy control run added by the launcher.
        structure_key: Runs with one key share one program, tables and compiled step.
        corpus_file: The text as stored before fan-out; ``None``: found as configured.
        label: What tells this run from its neighbours, for people.
        rungs: Steps at which a search looks at it, and its last; empty where none does.
    """

    id: str
    name: str
    overrides: tuple[str, ...]
    config: Mapping[str, Any] = field(repr=False)
    is_control: bool
    structure_key: str
    corpus_file: str | None = None
    label: str = ""
    rungs: tuple[int, ...] = ()

    @property
    def folder(self) -> RunFolder:
        """The run's folder, under whatever name it is there; where it would be made if it isn't."""
        return Outputs(self.config["output_dir"]).run(self.id, self.name)

    @property
    def path(self) -> Path:
        """The folder's path."""
        return self.folder.path

    @property
    def directory(self) -> str:
        """The same, from the output directory."""
        return self.path.relative_to(self.config["output_dir"]).as_posix()

    def to_json(self) -> dict[str, Any]:
        """The run as plan.json and packs hold it."""
        # Not asdict, which copies the whole configuration: for plan.json, and for each worker.
        raw = {one.name: getattr(self, one.name) for one in fields(self)}
        return {**raw, "directory": self.directory, "overrides": list(self.overrides)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any], output_dir: Path | None = None) -> PlannedRun:
        """Rebuild a run from :meth:`to_json`.

        Args:
            raw: What was written.
            output_dir: Where its outputs are by now, if they were moved.
        """
        known = {one.name: raw[one.name] for one in fields(cls) if one.name in raw}
        config = raw["config"]
        if output_dir is not None:
            config = {**config, "output_dir": str(output_dir)}
            text = Outputs(output_dir).here(known.get("corpus_file"))
            known["corpus_file"] = None if text is None else str(text)
        known |= {"config": config, "overrides": tuple(raw["overrides"])}
        known["rungs"] = tuple(raw.get("rungs", ()))
        known["label"] = printable(str(raw.get("label", "")))
        return cls(**known)


@dataclass(frozen=True)
class Candidate:
    """One combination that was asked for: overrides, configuration, identity, program, rungs."""

    overrides: tuple[str, ...]
    config: Mapping[str, Any]
    id: str
    structure_key: str
    rungs: tuple[int, ...] = ()


ControlOf = Callable[[Candidate], Candidate]


@dataclass(frozen=True)
class Plan:
    """An ordered list of distinct runs.

    Attributes:
        name: Name of the sweep, also of its directory.
        corpus: ``name``, ``sha256`` and ``fallback_reason`` of the text all runs read.
        keys: The configuration keys that differ between the runs asked for.
        runs: Distinct runs, in the order asked for, controls last.
        positions: For each combination asked for, its index in ``runs``.
        search: By what rules runs are put down and go on (:class:`avatarl.search.rules.Rules`);
            ``None``: each goes to its end.
    """

    name: str
    command: tuple[str, ...]
    corpus: Mapping[str, Any]
    keys: tuple[str, ...]
    runs: tuple[PlannedRun, ...]
    positions: tuple[int, ...] = ()
    created: float = 0.0
    search: Mapping[str, Any] | None = None

    @functools.cached_property
    def names(self) -> Names:
        """What tells its runs apart."""
        return Names(self.runs)

    @property
    def expected(self) -> int:
        """How many runs there will be, those that a search has yet to propose included."""
        controls = sum(run.is_control for run in self.runs)
        return max(len(self.runs), controls + int((self.search or {}).get("trials", 0)))

    @property
    def is_proposed(self) -> bool:
        """Whether its runs are proposed one by one, as workers are free."""
        return bool((self.search or {}).get("trials"))

    @property
    def size(self) -> str:
        """How many runs it has, in words: ``24 runs + 6 controls``."""
        controls = sum(run.is_control for run in self.runs)
        return size_in_words(len(self.runs) - controls, controls)

    def to_json(self, directory: Path) -> dict[str, Any]:
        """The plan as ``plan.json`` in a sweep's ``directory`` holds it."""
        first = next((run.config["output_dir"] for run in self.runs), None)
        return {
            "schema": PLAN_SCHEMA,
            # From here, so that it stays true where all of it is moved.
            "outputs": None if first is None else os.path.relpath(first, directory),
            "name": self.name,
            "created": self.created,
            "command": list(self.command),
            "corpus": dict(self.corpus),
            "keys": list(self.keys),
            **({"search": dict(self.search)} if self.search else {}),
            "runs": [run.to_json() for run in self.runs],
        }

    def write(self, directory: Path) -> Path:
        """Write ``plan.json`` into ``directory`` and return its path."""
        path = SweepFolder(directory).plan
        write_checked(path, self.to_json(directory))
        return path

    def with_corpora(self, files: Mapping[str, Path]) -> Plan:
        """The plan with each run pointed at its stored text; ``files`` by :func:`data_key`."""
        runs = tuple(
            replace(run, corpus_file=str(files[key]))
            if (key := data_key(run.config)) in files
            else run
            for run in self.runs
        )
        return replace(self, runs=runs)

    @classmethod
    def read(cls, directory: Path) -> Plan:
        """Read ``plan.json`` from ``directory``.

        Raises:
            FileNotFoundError: No plan there.
            UserError: It is damaged, or was written by a newer version.
        """
        sweep = SweepFolder(directory)
        try:
            return cls._read(sweep, read_checked(sweep.plan))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(
                f"{sweep.plan} can't be read ({in_short(error)}); valid: a plan as the sweep's "
                "command writes it: start it again, and what is done is found"
            ) from error

    @classmethod
    def _read(cls, sweep: SweepFolder, raw: Any) -> Plan:
        if raw.get("schema") != PLAN_SCHEMA:
            raise ValueError(f"schema {raw.get('schema')!r}")
        outputs = outputs_of(sweep, raw).root

        @functools.cache
        def moved(recorded: str) -> bool:
            return outputs != Path(recorded).resolve()

        runs = [
            PlannedRun.from_json(run, outputs if moved(run["config"]["output_dir"]) else None)
            for run in raw["runs"]
        ]
        return cls(
            name=raw["name"],
            command=tuple(raw["command"]),
            corpus=raw["corpus"],
            keys=tuple(raw["keys"]),
            runs=tuple(runs),
            created=raw["created"],
            search=raw.get("search"),
        )


def make_plan(
    name: str,
    candidates: Sequence[Candidate],
    *,
    corpus: Mapping[str, Any],
    command: Sequence[str] = (),
    control: ControlOf | None = None,
    before: Plan | None = None,
    search: Mapping[str, Any] | None = None,
    shared: frozenset[str] = frozenset(),
) -> Plan:
    """Turn the combinations asked for into distinct runs, and add their controls.

    Args:
        name: Name of the sweep.
        candidates: Combinations in the order asked for; equal ids become one run.
        corpus: Facts about the text, for the record.
        command: The command line that asked.
        control: Gives the matched cross-entropy run of a candidate, which may be that run itself;
            ``None`` adds no controls.
        before: The plan of earlier batches of the same sweep (a sweeper that proposes runs in
            rounds); its runs stay in the plan.
        search: As the plan holds it.
        shared: Overrides that tell no run from another.
    """
    runs: dict[str, PlannedRun] = {run.id: run for run in before.runs} if before else {}
    for candidate in candidates:
        planned = runs.get(candidate.id)
        if planned is None or planned.is_control:  # asked for by name now
            runs[candidate.id] = planned_run(candidate)
    if control is not None:
        for candidate in candidates:
            matched = control(candidate)
            if matched.id not in runs:
                overrides = _control_overrides(candidate.overrides)
                runs[matched.id] = planned_run(
                    replace(matched, overrides=overrides), is_control=True
                )
    names = Names(tuple(runs.values()), shared)
    for identity, run in runs.items():
        runs[identity] = replace(run, label=run.label or names.label(run))
    order = {identity: position for position, identity in enumerate(runs)}
    return Plan(
        name=name,
        command=tuple(command),
        corpus=dict(corpus),
        keys=swept_keys(run.config for run in runs.values() if not run.is_control),
        runs=tuple(runs.values()),
        positions=tuple(order[candidate.id] for candidate in candidates),
        created=before.created if before else time.time(),
        search=search,
    )


def planned_run(candidate: Candidate, *, is_control: bool = False) -> PlannedRun:
    """Make a run of a combination that was asked for."""
    name = str(candidate.config["name"])
    return PlannedRun(
        id=candidate.id,
        name=name,
        overrides=candidate.overrides,
        config=candidate.config,
        is_control=is_control,
        structure_key=candidate.structure_key,
        rungs=() if is_control else candidate.rungs,
    )


def _control_overrides(overrides: Iterable[str]) -> tuple[str, ...]:
    groups = ("reference", "explorer", "reward", "objective")
    kept = [o for o in overrides if o.lstrip("+~").split("=")[0].split(".")[0] not in groups]
    return (*kept, CONTROL)


def data_key(config: Mapping[str, Any]) -> str:
    """Equal for configurations that read the same text."""
    return json.dumps(config.get("data"), sort_keys=True, default=str)


def swept_keys(configs: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The dotted keys whose value differs between ``configs``; of a swapped group, its name."""
    flat = [flatten(config) for config in configs]
    if len(flat) < 2:
        return ()
    keys = list(dict.fromkeys(key for leaves in flat for key in leaves))
    absent = object()

    def differs(key: str) -> bool:
        first = flat[0].get(key, absent)
        return any(leaves.get(key, absent) != first for leaves in flat[1:])

    changed = [key for key in keys if differs(key) and key not in ("name", "output_dir")]
    swapped = {key.split(".")[0] for key in changed if key.endswith(".name")}

    def follows_from_the_group(key: str) -> bool:
        group = key.split(".")[0]
        if group not in swapped or key == f"{group}.name":
            return False
        # Within one option of the group the key is constant: it came with the option.
        per_option: dict[Any, set[str]] = {}
        for leaves in flat:
            value = json.dumps(leaves.get(key), sort_keys=True, default=str)
            per_option.setdefault(leaves.get(f"{group}.name"), set()).add(value)
        return all(len(values) == 1 for values in per_option.values())

    return tuple(key for key in changed if not follows_from_the_group(key))
