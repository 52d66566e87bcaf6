"""A study of a sweep: asked by whoever has a free worker, it says which run goes to which rung.

What it says follows from the ledger and the runs' folders. Each answer is an entry of the ledger
before it is acted on, so that two who ask at once are told different things, and whoever comes
after a crash finds what was under way.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from avatarl.errors import ConfigError
from avatarl.runs import journal, liveness, ownership
from avatarl.runs.folder import RunFolder
from avatarl.runs.outputs import SweepFolder
from avatarl.search.ledger import Entry, Event, Ledger
from avatarl.search.rules import Decision, Rules, Trial, decide, ranking, to_drop


class Ranked(Protocol):
    """A run as a study needs it: a run of a plan."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def label(self) -> str:
        """What tells it from others."""

    @property
    def folder(self) -> RunFolder:
        """Its folder."""

    @property
    def config(self) -> Mapping[str, Any]:
        """Its configuration, plain data."""

    @property
    def rungs(self) -> tuple[int, ...]:
        """Steps of its rungs, and its last."""


@dataclass(frozen=True)
class Errand:
    """What a worker is to do: bring a run to a step, or to its end.

    Attributes:
        pause_at: The step at which it is put down; None: its end.
    """

    run: str
    pause_at: int | None


class Study:
    """One who asks.

    Attributes:
        trials: What is known of each run, by id, in the plan's order.

    Args:
        sweep: The sweep's folder.
        runs: Those that compete, in the plan's order.
        rules: How to decide.
        say: Told what becomes of paused runs' checkpoints.
        read: Makes a run of what a proposal holds; None: there are none.
        takes: Ids of the runs that who asks here may work on; None: all.
    """

    def __init__(
        self,
        sweep: Path,
        runs: Sequence[Ranked],
        rules: Rules,
        say: Callable[[str], object] = lambda line: None,
        read: Callable[[Mapping[str, Any]], Ranked] | None = None,
        takes: Collection[str] | None = None,
    ) -> None:
        self.runs: dict[str, Ranked] = {run.id: run for run in runs}
        self.rules, self._say, self._read, self._takes = rules, say, read, takes
        self._exhausted = False
        self._ledger = Ledger(SweepFolder(sweep))
        self._me, self._asker = liveness.this_process(), uuid.uuid4().hex
        self._failed: set[str] = set()
        self._start_anew()
        self.look()

    def _start_anew(self) -> None:
        self.trials = {identity: Trial(identity) for identity in self.runs}
        self._holders: dict[str, Entry] = {}
        self._folded = 0

    def look(self) -> None:
        """Take in what others have written."""
        self._ledger.read_on()
        for entry in self._ledger.entries[self._folded :]:
            if entry is not None:
                self._fold(entry)
        self._folded = len(self._ledger.entries)

    def _fold(self, entry: Entry) -> None:
        for event in entry.events:
            trial, what = self.trials.get(event["run"]), event["event"]
            if what == "close":
                self._exhausted = True
            elif what == "propose" and trial is None and self._read is not None:
                self.runs[event["run"]] = self._read(event["planned"])
                self.trials[event["run"]] = Trial(event["run"])
            if trial is None:
                continue  # of a run that isn't in the plan any more
            if what in ("start", "promote", "continue"):
                trial.bracket, trial.target, trial.kept = event["bracket"], event["rung"], True
                self._holders[trial.id] = entry
            elif what == "report":
                trial.values[event["rung"]] = event["value"]
                trial.failed = event["state"] == "failed"
                self._failed.discard(trial.id)
                trial.spent += event["step"] - trial.at
                trial.at = event["step"]
            elif what == "leave":
                self._holders.pop(trial.id, None)
            elif what == "again":
                trial.values.pop(event["rung"], None)
                trial.failed = False
                self._holders.pop(trial.id, None)
            elif what == "drop":
                trial.kept, trial.at = False, 0

    def ask(self) -> Errand | None:
        """Return what to do next; None: nothing for now, and for good if none is out.

        Raises:
            ConfigError: A run logs no such metric.
            OSError: The ledger can't be read or written.
        """
        self._ledger.copy()
        while True:
            self.look()
            events = self._reports()
            if events:
                self._append(events)
                continue
            drops = self._drops()
            if drops and self._append(drops):
                for event in drops:
                    self._drop(event)
            if drops:
                continue
            decision = self._decide()
            if decision is None:
                return None
            steps = self.runs[decision.run].rungs
            event = {**asdict(decision), "step": steps[decision.rung]}
            if self._append([{key: value for key, value in event.items() if value is not None}]):
                last = decision.rung == self.rules.rungs
                return Errand(decision.run, None if last else steps[decision.rung])

    @property
    def over(self) -> bool:
        """Whether nothing is under way, and nothing will be."""
        trials = list(self.trials.values())
        if self.open or self.under_way:
            return False
        return decide(self.rules, trials) is None

    @property
    def left_to_others(self) -> bool:
        """Whether all that is left are runs that who asks may not take, and nobody is at work."""
        return self._takes is not None and not any(
            trial.out and self._is_held(trial.id) for trial in self.trials.values()
        )

    @property
    def open(self) -> bool:
        """Whether further runs are to be proposed."""
        return self.left > 0

    @property
    def left(self) -> int:
        """How many."""
        return 0 if self._exhausted else max(0, self.rules.trials - len(self.trials))

    @property
    def under_way(self) -> int:
        """How many runs are on their way to a rung."""
        return sum(trial.out for trial in self.trials.values())

    def propose(self, identity: str, planned: Mapping[str, Any], why: str) -> bool:
        """Add a run; False: another process has written something, and all is to be seen anew.

        Args:
            identity: Its id; that of no other.
            planned: What all who ask make the run of.
            why: How it was chosen.
        """
        event = {"event": "propose", "run": identity, "why": why, "planned": planned}
        return self._append([event])

    def close(self) -> None:
        """Write down that no further run can be proposed."""
        while not self._exhausted:
            self._append([{"event": "close", "run": ""}])

    @property
    def next(self) -> str | None:
        """The run that who asks now would be given; None: nothing to do for now."""
        decision = self._decide()
        return decision.run if decision else None

    def _decide(self) -> Decision | None:
        trials = list(self.trials.values())
        return decide(self.rules, trials, self._abandoned(), more=self.open, takes=self._takes)

    def failed(self, run: str) -> None:
        """Note that a run, held by who asks here, has failed for good."""
        self._failed.add(run)

    def leave(self) -> None:
        """Give back what is held here, for others to go on with; write all that is to be known."""
        while True:
            self.look()
            mine = [t.id for t in self.trials.values() if t.out and self._is_mine(t.id)]
            events = self._reports()
            known = {event["run"] for event in events}
            events += [{"event": "leave", "run": run} for run in mine if run not in known]
            if not events or self._append(events):
                break
        self._ledger.copy(now=True)

    def again(self) -> None:
        """Let runs that have failed be tried once more."""
        while True:
            self.look()
            failed = [trial for trial in self.trials.values() if trial.failed]
            events = [{"event": "again", "run": t.id, "rung": t.target} for t in failed]
            if not events or self._append(events):
                return

    def best(self) -> tuple[Ranked, float] | None:
        """Return the best run that has come to its end, and its value; None: none has."""
        last = self.rules.rungs
        ended = [trial for trial in self.trials.values() if trial.values.get(last) is not None]
        if not ended:
            return None
        first = ranking(self.rules, ended, last)[0]
        value = first.values[last]
        assert value is not None
        return self.runs[first.id], value

    def value(self, run: Ranked, rung: int) -> float | None:
        """Read what a run had at a rung; None where it wasn't finite.

        Of a run that is done it is its result's, of all the text that rungs see a sample of.

        Raises:
            ConfigError: The run logs no such metric.
        """
        result = run.folder.read_result() if rung == self.rules.rungs else None
        if result is not None and self.rules.metric in result:
            end = result[self.rules.metric]
            return None if end is None else float(end)
        try:
            return journal.value_at(run.folder.journal, self.rules.metric, run.rungs[rung])
        except KeyError:
            names = ", ".join(journal.metric_names(run.folder.journal))
            why = f"{run.label} logs no such metric"
            raise ConfigError("search.metric", self.rules.metric, names, why) from None

    def _append(self, events: Sequence[Event]) -> bool:
        written = self._ledger.append(self._me, self._asker, events, self._folded)
        self.look()
        return written

    def _is_mine(self, run: str) -> bool:
        return run in self._holders and self._holders[run].asker == self._asker

    def _abandoned(self) -> set[str]:
        """Runs on their way that nobody takes care of."""
        return {
            trial.id
            for trial in self.trials.values()
            if trial.out and not self._is_mine(trial.id) and not self._is_held(trial.id)
        }

    def _is_held(self, run: str) -> bool:
        entry = self._holders.get(run)
        return entry is not None and liveness.alive(entry.by, self.runs[run].folder)

    def _reports(self) -> list[dict[str, Any]]:
        """What has become of runs that were on their way."""
        events = []
        for trial in self.trials.values():
            if trial.out and (state := self._state(trial)):
                run, rung = self.runs[trial.id], trial.target
                value = None if state == "failed" else self.value(run, rung)
                events.append(
                    {
                        "event": "report",
                        "run": trial.id,
                        "rung": rung,
                        "step": run.rungs[rung],
                        "value": value,
                        "state": state,
                    }
                )
        return events

    def _state(self, trial: Trial) -> str | None:
        folder, step = self.runs[trial.id].folder, self.runs[trial.id].rungs[trial.target]
        if trial.id in self._failed:
            return "failed"
        if folder.read_result(strict=True) is not None:
            return "done"
        paused = folder.read_paused()
        return "paused" if paused is not None and paused >= step else None

    def _drops(self) -> list[dict[str, Any]]:
        return [
            {"event": "drop", "run": trial.id, "rung": trial.target}
            for trial in to_drop(self.rules, list(self.trials.values()))
        ]

    def _drop(self, event: Event) -> None:
        """Delete the checkpoints of a paused run, unless somebody works on it by now."""
        run = self.runs[event["run"]]
        with contextlib.suppress(ownership.Owned, ownership.ClaimLost):
            claim = ownership.claim(run.folder, self._me)
            try:
                claim.folder.prune(keep=0)
                claim.folder.write_paused(run.rungs[event["rung"]])
            finally:
                claim.release("paused")
            self._say(
                f"paused {run.label}: its checkpoint is deleted, as search.paused_checkpoints is "
                f"{self.rules.paused_checkpoints}; promoted, it would begin anew"
            )
