"""What a sweep was asked to do, and the plan made of it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from avatarl.errors import UserError
from avatarl.process import command_line
from avatarl.runs.state import RunState, status_of
from avatarl.sweep.plan import snapshot
from avatarl.sweep.plan.cost import estimate
from avatarl.sweep.plan.planned import Candidate, ControlOf, Plan, make_plan
from avatarl.sweep.plan.study import study_of
from avatarl.sweep.screen import RunTable
from avatarl.sweep.survey import Row
from avatarl.terminal import say

#: Files named at most.
_MOST_LEFT_OUT = 10


@dataclass(frozen=True)
class SweepRequest:
    """What a sweep was asked to do.

    Attributes:
        directory: The sweep's directory, ``<output_dir>/sweeps/<name>``.
        candidates: Composed and validated combinations.
        corpus: ``name``, ``sha256`` and ``fallback_reason`` of the (first) text.
        corpora: Each distinct text, by :func:`avatarl.sweep.plan.planned.data_key`.
        control: Matched control of a candidate; ``None``: add no controls.
        later_batch: The sweeper has launched earlier batches of this sweep.
        multirun: What Hydra keeps of the command; empty where it does so itself.
        search: By what rules runs are put down and go on; ``None``: each goes to its end.
        shared: Overrides that tell no run from another.
    """

    directory: Path
    candidates: Sequence[Candidate]
    corpus: Mapping[str, Any]
    corpora: Mapping[str, Any]
    control: ControlOf | None
    later_batch: bool = False
    multirun: str = ""
    search: Mapping[str, Any] | None = None
    shared: frozenset[str] = frozenset()


def plan_sweep(request: SweepRequest) -> Plan:
    """Make the plan of what was asked for; nothing is written.

    Of a search only the winner gets a control, once there is one.
    """
    before = None
    if request.later_batch:
        with contextlib.suppress(OSError, UserError):
            before = Plan.read(request.directory)
    plan = make_plan(
        request.directory.name,
        request.candidates,
        corpus=request.corpus,
        command=command_line(),
        control=None if request.search else request.control,
        before=before,
        search=request.search,
        shared=request.shared,
    )
    study, control = study_of(plan, request.directory), request.control
    if study is None or control is None or not study.over or not (best := study.best()):
        return plan
    winner = next(run for run in plan.runs if run.id == best[0].id)
    found = Candidate(winner.overrides, winner.config, winner.id, winner.structure_key)
    with_control = make_plan(
        plan.name,
        [found],
        corpus=plan.corpus,
        command=plan.command,
        control=control,
        before=plan,
        search=plan.search,
        shared=request.shared,
    )
    return replace(with_control, positions=plan.positions)


def show_left_out(console: Console) -> None:
    """Name the files beside the source that workers won't find."""
    left = snapshot.left_out()
    if left:
        some = ", ".join([*left[:_MOST_LEFT_OUT], *["…"][: len(left) > _MOST_LEFT_OUT]])
        say(console, f"{len(left)} files aren't copied with the source: {some}", "yellow")


def plan_record(plan: Plan) -> dict[str, Any]:
    """What a launch would do, as JSON values; docs/automation.md says what each means."""
    runs = [(run, status_of(run.folder).state) for run in plan.runs]
    ahead = [run for run, state in runs if state is not RunState.DONE]
    return {
        "schema": 1,
        "sweep": plan.name,
        "command": list(plan.command),
        "corpus": dict(plan.corpus),
        "keys": list(plan.keys),
        "runs": [
            {
                "id": run.id,
                "run": run.directory,
                "label": run.label,
                "state": str(state),
                "is_control": run.is_control,
                "overrides": list(run.overrides),
                "config": dict(run.config),
            }
            for run, state in runs
        ],
        "estimate": dataclasses.asdict(estimate(ahead, Path(plan.runs[0].config["output_dir"]))),
    }


def show_plan(plan: Plan, console: Console, workers: int) -> None:
    """Print what a launch would do: each run and its state, and an estimate of hours."""
    runs = [(run, status_of(run.folder).state) for run in plan.runs]
    for line in filter(None, (f"{plan.name}: {plan.size}", plan.names.said_once)):
        say(console, line)
    console.print(RunTable(plan.names, [Row(run, state) for run, state in runs]), soft_wrap=True)
    counts = Counter(state for _, state in runs)
    say(console, ", ".join(f"{count} {state}" for state, count in counts.items()))
    output_dir = Path(plan.runs[0].config["output_dir"])
    ahead = [run for run, state in runs if state is not RunState.DONE]
    say(console, estimate(ahead, output_dir).sentence(workers))
