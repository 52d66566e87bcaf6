"""A run's folder as one object: the only place that knows what its files are called.

Reading never raises for what a file holds: a file that is missing or damaged is nothing, and what
is wrong with it is told where somebody collects problems. Writing is atomic, and whoever owns the
folder looks at his claim before each write that others rely on.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarl import storage
from avatarl.files import read_object, write_atomic, write_json
from avatarl.runs.progress import Progress
from avatarl.runs.result import Result

_CHECKPOINT = re.compile(r"checkpoint-(\d+)\.json")


@dataclass(frozen=True)
class Failure:
    """Why a run went no further, as whoever noticed it first wrote it down.

    Attributes:
        error: What went wrong; may have several lines.
        traceback: Whole, or empty where there is none.
        step: Steps done by then, if known.
        time: In Unix seconds; None where the file doesn't say.
    """

    error: str
    traceback: str = ""
    step: int | None = None
    time: float | None = None

    @property
    def reason(self) -> str:
        """The error's first line; empty where nothing was told."""
        return (self.error.strip().splitlines() or [""])[0]


class Inside:
    """The path of what a folder holds, made when asked for: of a thousand folders few files are."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, folder: RunFolder, _: type) -> Path:
        return folder.path / self._name


class RunFolder:
    """Where a run's files are, what they hold, and how they are written.

    Attributes:
        path: The folder itself; it need not exist.
        config: The resolved configuration as JSON; ``config_yaml`` is the same for people.
        provenance: What produced the run.
        progress: How far it has come, rewritten every few seconds.
        result: Written last; its presence means the run is done.
        failure: Why the latest attempt went no further.
        paused: At which step it was put down by those who rank it among others.
        journal: Metrics and events, one JSON object a line.
        log: What the run logged and printed.
        samples: What the policy wrote at the end.
        owner: The current claim, for people; ``claims`` holds the chain of them.
        wandb: wandb's own files.
        tensorboard: TensorBoard's event files.

    Args:
        path: The folder.
        guard: For its owner: called before each write, it returns the number of the claim, which
            is written along, or raises because another process has taken the run over.
    """

    config = Inside("config.json")
    config_yaml = Inside("config.yaml")
    provenance = Inside("provenance.json")
    progress = Inside("progress.json")
    result = Inside("result.json")
    failure = Inside("failure.json")
    paused = Inside("paused.json")
    journal = Inside("metrics.jsonl")
    log = Inside("run.log")
    samples = Inside("samples.txt")
    owner = Inside("owner.json")
    claims = Inside(".owners")
    wandb = Inside("wandb")
    tensorboard = Inside("tensorboard")

    def __init__(self, path: Path, guard: Callable[[], int] | None = None) -> None:
        self.path, self.guard = path, guard

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    @property
    def exists(self) -> bool:
        """Whether any file makes this a run's folder."""
        known = (self.result, self.journal, self.failure, self.progress, self.config)
        return any(path.is_file() for path in known)

    @property
    def watched(self) -> tuple[Path, ...]:
        """The files that change as a run goes on."""
        return self.result, self.journal, self.failure, self.progress

    def last_sign(self) -> float:
        """When the run last wrote something that shows it alive, in Unix seconds; 0 if never."""
        times = [0.0]
        for path in (self.progress, self.journal, self.owner):
            with contextlib.suppress(OSError):
                times.append(path.stat().st_mtime)
        return max(times)

    def read_config(self, problems: list[str] | None = None) -> dict[str, Any]:
        """Return the resolved configuration; empty where there is none."""
        return read_object(self.config, problems)

    def read_provenance(self, problems: list[str] | None = None) -> dict[str, Any]:
        """Return what produced the run; empty where nobody knows."""
        return read_object(self.provenance, problems)

    def read_result(self, problems: list[str] | None = None, strict: bool = False) -> Result | None:
        """Return the result, or None: the run isn't done, or what it left is damaged.

        Raises:
            OSError: Storage refuses for now, and ``strict`` was asked for.
        """
        values = read_object(self.result, problems, strict)
        if not values or self._disowned(values):
            return None
        nats, run_id = values.get("val/nats", "missing"), values.get("run_id", "")
        if isinstance(nats, bool | str | list | dict) or not isinstance(run_id, str):
            if problems is not None:
                problems.append(f"{self.result} is damaged (val/nats is {nats!r}): not counted")
            return None
        return Result(self.path, values)

    def read_failure(self, problems: list[str] | None = None) -> Failure | None:
        """Return why the run last failed, or None."""
        raw = read_object(self.failure, problems)
        if not raw:
            return None
        when, step = raw.get("time"), raw.get("step")
        return Failure(
            error=str(raw.get("error") or ""),
            traceback=str(raw.get("traceback") or ""),
            step=step if isinstance(step, int) else None,
            time=float(when) if isinstance(when, int | float) else None,
        )

    def read_progress(self, problems: list[str] | None = None) -> Progress | None:
        """Return how far the run has come, or None: it never began."""
        raw = read_object(self.progress, problems)
        return Progress.from_json(raw) if raw else None

    def stamp(self) -> dict[str, int]:
        """Look at the owner's claim, and return what a file says of it; without one, nothing."""
        return {} if self.guard is None else {"claim": self.guard()}

    def claim_numbers(self) -> list[int]:
        """The numbers of all claims there have been, in no order."""
        try:
            names = [entry.name for entry in os.scandir(self.claims)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [int(name[:-5]) for name in names if name.endswith(".json") and name[:-5].isdigit()]

    def claim_file(self, number: int) -> Path:
        """Where a claim is kept."""
        return self.claims / f"{number}.json"

    def _disowned(self, values: Mapping[str, Any]) -> bool:
        """Whether a result was written by a process that had lost the run by then."""
        number = values.get("claim")
        if not isinstance(number, int) or max(self.claim_numbers(), default=0) <= number:
            return False
        return read_object(self.claim_file(number)).get("outcome") != "done"

    def describe(self, raw: Mapping[str, Any], provenance: Mapping[str, Any]) -> None:
        """Write down what the run is made from, before it begins."""
        self.stamp()
        write_atomic(self.config_yaml, _to_yaml(raw))
        write_json(self.config, raw)
        write_json(self.provenance, provenance)

    def write_progress(self, progress: Progress) -> None:
        """Replace the account of how far the run has come."""
        write_json(self.progress, {**progress.to_json(), **self.stamp()})

    def write_result(self, values: Mapping[str, Any]) -> Result:
        """Write the result: the run is done, and earlier failures count no more."""
        values = {**values, **self.stamp()}
        write_json(self.result, values)
        storage.persist(lambda: self.failure.unlink(missing_ok=True))
        return Result(self.path, values)

    def write_failure(self, run_id: str, name: str, error: str, traceback: str = "") -> None:
        """Write down what ended the run.

        Args:
            run_id: Its identity.
            name: Its name.
            error: What went wrong; the first line is what tables show.
            traceback: Whole, or empty where there is none.

        Raises:
            OSError: The folder can't be written.
        """
        progress = self.read_progress()
        content = {
            "run_id": run_id,
            "name": name,
            "error": error,
            "traceback": traceback,
            "step": progress.step if progress else None,
            "host": socket.gethostname(),
            "time": time.time(),
            **self.stamp(),
        }
        write_json(self.failure, content)

    def write_paused(self, step: int) -> None:
        """Write down that the run was put down after a step, with its checkpoint."""
        write_json(self.paused, {"step": step, "time": time.time(), **self.stamp()})

    def read_paused(self) -> int | None:
        """Return the step that the run was put down at; None if it went on since, or never was."""
        raw = read_object(self.paused)
        step, claim = raw.get("step"), raw.get("claim")
        if not isinstance(step, int):
            return None
        # Who was killed before it went on has changed nothing.
        later = (n for n in self.claim_numbers() if isinstance(claim, int) and n > claim)
        went_on = any(
            read_object(self.claim_file(n)).get("resumed_from") is not None for n in later
        )
        return None if went_on else step

    def failed_since(self, moment: float) -> bool:
        """Whether a failure was written at or after ``moment``, in Unix seconds."""
        failure = self.read_failure()
        return failure is not None and failure.time is not None and failure.time >= moment

    def checkpoint(self, step: int) -> tuple[Path, Path]:
        """Where a checkpoint's tensors and its numbers are; the numbers are written last."""
        stem = f"checkpoint-{step}"
        return self.path / f"{stem}.safetensors", self.path / f"{stem}.json"

    def checkpoint_steps(self) -> list[int]:
        """Steps of the checkpoints whose numbers are there, ascending."""
        found = (_CHECKPOINT.fullmatch(path.name) for path in self.path.glob("checkpoint-*.json"))
        return sorted(int(match.group(1)) for match in found if match)

    def prune(self, keep: int) -> None:
        """Delete all but the newest ``keep`` checkpoints."""
        self.stamp()
        steps = self.checkpoint_steps()
        for step in steps[: max(0, len(steps) - keep)]:
            weights, description = self.checkpoint(step)
            # The description goes first, so that what is left never looks whole.
            description.unlink(missing_ok=True)
            weights.unlink(missing_ok=True)


def _to_yaml(raw: Mapping[str, Any]) -> str:
    import yaml

    # The C emitter writes the same, ten times as fast, where libyaml is there.
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(dict(raw), Dumper=dumper, sort_keys=False, allow_unicode=True))
