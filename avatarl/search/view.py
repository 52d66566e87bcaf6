"""Optuna's study of a search as a file, for optuna-dashboard and whoever knows Optuna.

It is a view of what the sweep's files say, and is made anew where it is lost or says otherwise.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avatarl.search.proposals import Known, Proposer, load_optuna


class View:
    """A study in a journal, which several machines may read on a shared file system.

    Args:
        path: The file.
        name: Of the study.
        proposer: Knows trials in Optuna's words.
    """

    def __init__(self, path: Path, name: str, proposer: Proposer) -> None:
        self._path, self._name, self._proposer = path, name, proposer
        self._optuna = load_optuna()
        # Of each run: what was told of it, and its trial's number and id.
        self._told: dict[str, tuple[Known, int]] = {}
        self._study: Any = None

    def show(self, known: Sequence[Known]) -> None:
        """Tell what has changed; harmless where the file can't be written."""
        with contextlib.suppress(OSError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that what is used here is experimental
            if self._study is None and not self._open(known):
                self._make_anew(known)
                return
            told = self._told
            ended = ("done", "diverged", "failed", "paused")
            if any(one.run in told and told[one.run][0] != one and told[one.run][0].state in ended
                   for one in known):  # fmt: skip
                self._make_anew(known)  # a trial of Optuna's ends once, and a paused run goes on
                return
            for one in known:
                self._tell(one)

    def _open(self, known: Sequence[Known]) -> bool:
        """Open what is there; False: there is nothing, or it says something else."""
        if not self._path.exists():
            return False
        try:
            self._study = self._load()
            by_run = {one.run: one for one in known}
            for trial in self._study.get_trials(deepcopy=False):
                one = by_run[trial.user_attrs["run"]]
                wanted = self._proposer.trial(one)
                if trial.params != wanted.params or trial.distributions != wanted.distributions:
                    return False
                same = (trial.state, trial.value) == (wanted.state, wanted.value)
                if trial.state.is_finished() and not same:
                    return False
                self._told[one.run] = (one if same else _begun(one), trial.number)
        except Exception:  # whatever a damaged file brings up
            self._study = None
            return False
        return True

    def _make_anew(self, known: Sequence[Known]) -> None:
        self._path.unlink(missing_ok=True)
        self._study, self._told = self._load(), {}
        for one in known:
            self._tell(one)

    def _load(self) -> Any:
        journal = self._optuna.storages.journal
        lock = journal.JournalFileOpenLock(str(self._path))  # works on NFS from version 3 on
        backend = journal.JournalFileBackend(str(self._path), lock_obj=lock)
        storage = self._optuna.storages.JournalStorage(backend)
        try:
            return self._optuna.load_study(study_name=self._name, storage=storage)
        except KeyError:
            direction = self._proposer.direction
            return self._optuna.create_study(
                study_name=self._name, storage=storage, direction=direction
            )

    def _tell(self, one: Known) -> None:
        told = self._told.get(one.run)
        if told is not None and told[0] == one:
            return
        trial = self._proposer.trial(one)
        if told is None:
            self._study.add_trial(trial)
            number = len(self._told)
        else:
            number = told[1]
            open_one = self._optuna.trial.Trial(
                self._study, self._study.get_trials(deepcopy=False)[number]._trial_id
            )
            for step, value in trial.intermediate_values.items():
                open_one.report(value, step)
            if trial.state.is_finished():
                self._study.tell(number, trial.value, state=trial.state)
        self._told[one.run] = (one, number)


def _begun(known: Known) -> Known:
    return Known(known.run, known.words, "running")
