"""The runs of a search: proposed, composed and written down one by one, as workers are free."""

from __future__ import annotations

import contextlib
import functools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from avatarl.composition.space import check_same
from avatarl.composition.steering import steering
from avatarl.composition.sweep import OF_ALL, Composer, compose_all
from avatarl.errors import ConfigError, UserError
from avatarl.files import read_object, write_json
from avatarl.report import metrics
from avatarl.runs.flatten import flatten
from avatarl.runs.folder import RunFolder
from avatarl.runs.outputs import Outputs, SweepFolder
from avatarl.search.proposals import Known, Proposer, Settings
from avatarl.search.rules import Trial
from avatarl.search.space import Space, to_json, words_of
from avatarl.search.study import Study
from avatarl.search.view import View
from avatarl.sweep.plan.planned import Candidate, Plan, PlannedRun, data_key, planned_run
from avatarl.sweep.plan.request import SweepRequest
from avatarl.terminal import say

if TYPE_CHECKING:
    from avatarl.data import Corpus

#: Proposals in a row that can't be composed, after which the space is taken to be wrong.
_MOST_REFUSED = 20


class Search:
    """Proposes the runs of a sweep.

    Args:
        composer: Of the sweep.
        directory: The sweep's.
        fixed: Overrides of all runs.
        space: What is chosen, by key.
        settings: By what, and how often.
        console: Where to say what is left out.

    Attributes:
        fixed: As given.
        settings: As given.

    Raises:
        ConfigError: The sampler is unknown, or the search began with another space.
    """

    def __init__(
        self,
        composer: Composer,
        directory: Path,
        fixed: Sequence[str],
        space: Space,
        settings: Settings,
        console: Console,
    ) -> None:
        self._composer, self._directory = composer, directory
        self.fixed, self._space, self.settings = tuple(fixed), space, settings
        self._console, self._folder = console, SweepFolder(directory)
        self._spaces = to_json(space)
        before = read_object(self._folder.space)
        if before:
            check_same(self._spaces, before["space"])
        # Any of its combinations says what steers, and which way is better.
        middle = {key: one.at(0.5) for key, one in space.items()}
        aim = steering(composer.compose(self.overrides(middle)))
        assert aim is not None  # this sweeper isn't a grid
        self._aim = aim
        better = metrics.describe(aim.metric).better
        self._proposer = Proposer(space, settings, minimise=better < 0)
        self._view: View | None = None
        self._refused: list[Known] = []
        self._texts: dict[str, str] = {}

    def overrides(self, words: Mapping[str, str]) -> tuple[str, ...]:
        """Return what a run is composed of."""
        return (*self.fixed, *(f"{key}={word}" for key, word in words.items()))

    def bounded(self, request: SweepRequest) -> SweepRequest:
        """Return what is asked for with no more runs than the space has combinations."""
        assert request.search is not None  # whoever proposes decides, too
        most = math.prod(one.size for one in self._space.values())
        trials = int(min(request.search["trials"], most))
        return replace(request, search={**request.search, "trials": trials})

    def first(self) -> tuple[str, ...]:
        """Return the overrides of the plan's first run: as before, or as proposed.

        Raises:
            UserError: Nothing of the space can be run.
        """
        if self._folder.plan.exists():
            planned = Plan.read(self._directory).runs
            return next(run.overrides for run in planned if not run.is_control)
        found = self._next(self._before)
        if found is None:
            done, lost = len(self._before), len(self._refused)
            raise ConfigError(
                "hydra/sweeper",
                "search",
                "a larger space; hydra.sweeper.known=false plans what is there, and shows it",
                f"nothing is left to try: earlier sweeps have {done} of it, {lost} can't be run",
            )
        overrides: tuple[str, ...] = found[0].overrides
        return overrides

    def grow(self, study: Study) -> PlannedRun | None:
        """Propose another run to a study, and keep plan and view up to date; None: there is none.

        Raises:
            UserError: Nothing of the space can be run.
        """
        while study.open:
            study.look()
            known = self.known(study)
            self._show(known)
            found = self._next(known)
            if found is None:
                say(self._console, "Every combination of the space has been tried.")
                study.close()
                return None
            candidate, files = found
            if candidate.id in study.runs:  # other words for what is there
                self._refused.append(self._as_known(candidate, "failed"))
                continue
            run = self._planned(candidate, files)
            states = Counter(one.state for one in known)
            seen = ", ".join(f"{count} {state}" for state, count in states.items()) or "nothing"
            why = f"{self.settings.sampler}, number {len(known)}, having seen {seen}"
            if study.propose(run.id, run.to_json(), why):
                self.write_plan(study)
                return run
        return None

    def write_plan(self, study: Study) -> None:
        """Copy the proposed runs of the ledger to the plan."""
        plan = Plan.read(self._directory)
        there = {run.id for run in plan.runs}
        new = [run for run in study.runs.values() if run.id not in there]
        if new:
            keys = tuple(key.lstrip("+") for key in self._space)
            runs = (*plan.runs, *(run for run in new if isinstance(run, PlannedRun)))
            replace(plan, runs=runs, keys=keys).write(self._directory)

    def finish(self, study: Study) -> None:
        """Bring plan and view up to date."""
        study.look()
        self.write_plan(study)
        self._show(self.known(study))

    def known(self, study: Study) -> list[Known]:
        """Return all that a sampler can learn from: of this search, and of runs before it."""
        here = [
            self._of_trial(study, trial)
            for trial in study.trials.values()
            if words_of(self._space, study.runs[trial.id].overrides)  # type: ignore[attr-defined]
        ]
        there = {one.run for one in here}
        return [one for one in self._before if one.run not in there] + here + self._refused

    def _of_trial(self, study: Study, trial: Trial) -> Known:
        run, last = study.runs[trial.id], study.rules.rungs
        words = words_of(self._space, run.overrides)  # type: ignore[attr-defined]
        assert words is not None
        reached = {run.rungs[rung]: v for rung, v in trial.values.items() if v is not None}
        if trial.failed:
            state = "diverged" if _diverged(run.folder) else "failed"
        elif trial.target in trial.values:
            lost = trial.values[trial.target] is None
            state = "diverged" if lost else "done" if trial.target == last else "paused"
        else:
            state = "running"
        return Known(trial.id, words, state, trial.values.get(last), reached)  # type: ignore[arg-type]

    def _as_known(self, candidate: Candidate, state: Any) -> Known:
        words = words_of(self._space, candidate.overrides)
        assert words is not None
        return Known(candidate.id, words, state)

    def _show(self, known: Sequence[Known]) -> None:
        if self._view is None:
            began = {"space": self._spaces, "settings": asdict(self.settings)}
            write_json(self._folder.space, began)
            self._view = View(self._folder.optuna, self._directory.name, self._proposer)
        self._view.show([one for one in known if one not in self._refused])

    def _next(self, known: Sequence[Known]) -> Any:
        """Return the candidate that is tried next, and its text; None: there is nothing new."""
        refused = 0
        while True:
            words = self._proposer.propose(known)
            if words is None:
                return None
            overrides = self.overrides(words)
            try:
                request = self._composed(overrides)
            except UserError as error:
                refused += 1
                of_all = isinstance(error, ConfigError) and error.key.startswith(OF_ALL)
                if of_all or refused == _MOST_REFUSED:
                    raise
                say(self._console, f"left out {error}", "yellow")
                lost = Known(f"refused-{len(self._refused)}", words, "diverged")
                self._refused.append(lost)
                known = [*known, lost]
                continue
            return request.candidates[0], request.corpora

    def _composed(self, overrides: tuple[str, ...]) -> SweepRequest:
        return compose_all(
            self._composer,
            [overrides],
            self._directory,
            control=False,
            later_batch=True,
            shared=self.fixed,
        )

    def _planned(self, candidate: Candidate, corpora: Mapping[str, Corpus]) -> PlannedRun:
        from avatarl.data import prepare as store_text

        store, key = Outputs(candidate.config["output_dir"]).corpora, data_key(candidate.config)
        if key not in self._texts:
            self._texts[key] = str(store_text(corpora[key], store))
        words = words_of(self._space, candidate.overrides) or {}
        label = " ".join(f"{key}={word}" for key, word in words.items())
        return replace(planned_run(candidate), label=label, corpus_file=self._texts[key])

    @functools.cached_property
    def _before(self) -> list[Known]:
        """Runs of other sweeps that are done, of this space, and the same in all else."""
        found: dict[str, Known] = {}
        if not self.settings.known:
            return []
        for plan in self._directory.parent.glob("*/plan.json"):
            if plan.parent.name == self._directory.name:
                continue
            with contextlib.suppress(UserError, OSError):
                for run in Plan.read(plan.parent).runs:
                    if run.id not in found and (known := self._taken_in(run)):
                        found[run.id] = known
        if found:
            say(self._console, f"{len(found)} runs of earlier sweeps are taken in as known")
        return list(found.values())

    def _taken_in(self, run: PlannedRun) -> Known | None:
        words: dict[str, str] = {}
        leaves: dict[str, Any] = dict(flatten(run.config))
        for key, dimension in self._space.items():
            plain = key.lstrip("+")
            typed: Any = leaves.get(plain, leaves.get(f"{plain}.name"))
            word = dimension.find(typed)
            if word is None:
                return None
            words[key] = word
        value = dict(run.folder.read_result() or {}).get(self._aim.metric)
        if value is None:
            return None
        with contextlib.suppress(UserError):
            request = self._composed(self.overrides(words))
            if request.candidates[0].id == run.id:
                return Known(run.id, words, "done", float(value))
        return None


def _diverged(folder: RunFolder) -> bool:
    failure = folder.read_failure()
    return failure is not None and failure.error.startswith(("Diverged", "Stopped"))
