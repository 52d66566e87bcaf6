"""The process that works through runs, one after another, staying warm in between.

It lives inside a process pool (:mod:`avatarl.sweep.workers.pool`): :func:`start` is called once,
then :func:`work` for each run. Signals only set a flag, which training polls between two steps; a
worker whose parent is gone stops in the same way, so that no run is ever computed by an orphan.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avatarl import storage, terminal
from avatarl.runs import liveness, ownership
from avatarl.runs.folder import RunFolder
from avatarl.runs.outputs import Outputs
from avatarl.signals import SignalFlag
from avatarl.sweep.failure import faults

#: ``module:function`` that executes one run: ``f(raw, *, stop, on_progress, prepared_corpus)``; in
#: a search it takes ``pause_at`` as well.
DEFAULT_EXECUTE = "avatarl.training:execute_raw"

#: The same for runs that are trained as one program; it takes ``stack`` as well.
STACKED_EXECUTE = "avatarl.training.stacked:execute_stacked"

#: Seconds between two looks at whether the parent still lives.
_LOOK_EVERY_S = 0.5


@dataclass
class _Process:
    """What :func:`prepare` and :func:`start` tell this process about itself.

    Attributes:
        parent: Process id of the pool it works for.
        threads: CPU threads it may use.
        told_to_stop: Set by signals.
        working: Held while runs are being executed.
    """

    parent: int = 0
    threads: int | None = None
    told_to_stop: SignalFlag = field(default_factory=SignalFlag)
    working: threading.Lock = field(default_factory=threading.Lock)


_process = _Process()


def stopping() -> bool:
    """Whether this worker was told to stop, or has lost the process it works for."""
    return _process.told_to_stop() or os.getppid() != _process.parent


def prepare(parent: int) -> None:
    """Install the flag-only signal handlers, before anything slow is imported."""
    _process.parent = parent
    terminal.secure()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent acts
    _process.told_to_stop.install(signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """End this process once its parent is gone and the current run has its checkpoint."""
    while os.getppid() == _process.parent:
        time.sleep(_LOOK_EVERY_S)
    with _process.working:
        os._exit(1)


def start(execute: str, threads: int) -> int:
    """Warm up: import what executes runs, and return the process id."""
    _process.threads = threads
    function = _resolve(execute)
    if "torch" in sys.modules or getattr(function, "__module__", "").startswith("avatarl.training"):
        import torch

        torch.set_num_threads(threads)
    return os.getpid()


def work(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Execute one run, or several as a stack, and say how each ended.

    Args:
        request: ``runs`` (:meth:`PlannedRun.to_json` each), ``execute``, ``submission``, ``code``,
            ``patience_s``, with several ``stack``, and for one that is to be put down ``pause_at``.

    Returns:
        For each run its ``state``: ``done`` (with ``result``, ``cached``), ``interrupted``,
        ``paused``, ``owned`` (by another process, with ``reason``) or ``failed`` (with ``reason``,
        ``kind``, ``traceback``).
    """
    root = Path(str(request["runs"][0]["config"]["output_dir"]))
    with _process.working, storage.patient(request.get("patience_s", 0.0), root):
        return _work(request)


def _work(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    runs = request["runs"]
    died = {"state": "failed", "reason": "worker died", "kind": "infrastructure"}
    answers: list[dict[str, Any]] = [died for _ in runs]
    claims: dict[int, ownership.Claim] = {}
    try:
        for number, run in enumerate(runs):
            claimed = _claim(run, request)
            if isinstance(claimed, dict):
                answers[number] = claimed
                continue
            claims[number] = ownership.offer(claimed)
            # Finished by the previous owner while we were claiming?
            done = _stored(_folder(run))
            if done is not None:
                answers[number] = {"state": "done", "cached": True, "result": done}
        left = [number for number in claims if answers[number]["state"] != "done"]
        if len(left) == 1:
            answers[left[0]] = _execute(runs[left[0]], _folder(runs[left[0]]), request)
        elif left:
            together = _execute_stacked([runs[number] for number in left], request)
            for number, answer in zip(left, together, strict=True):
                answers[number] = answer
    finally:
        for number, claim in claims.items():
            claim.release(answers[number]["state"], answers[number].get("reason"))
    return answers


def _folder(run: Mapping[str, Any]) -> RunFolder:
    return Outputs(str(run["config"]["output_dir"])).run(str(run["id"]), str(run["name"]))


def _stored(folder: RunFolder) -> dict[str, Any] | None:
    """The result of a run that is done, as plain data, else ``None``."""
    result = folder.read_result(strict=True)
    return None if result is None else dict(result)


def _claim(run: Mapping[str, Any], request: Mapping[str, Any]) -> ownership.Claim | dict[str, Any]:
    """Claim a run; or the answer for one that is done, or can't be claimed."""
    try:
        outputs = Outputs(str(run["config"]["output_dir"]))
        storage.require(outputs.root)  # never made anew: what was there would be computed again
        done = _stored(_folder(run))
        if done is not None:
            ownership.close_done(_folder(run))
            return {"state": "done", "cached": True, "result": done}
        if stopping():
            return {"state": "interrupted"}
        threads = (run["config"].get("trainer") or {}).get("threads") or _process.threads
        me = liveness.this_process(request.get("submission", ""), request.get("code"), threads)
        return ownership.claim(outputs.make_run(str(run["id"]), str(run["name"])), me)
    except ownership.Owned as owned:
        return {"state": "owned", "reason": str(owned)}
    except OSError as error:
        return _failed(error, "")


def _execute_stacked(
    runs: list[Mapping[str, Any]], request: Mapping[str, Any]
) -> list[dict[str, Any]]:
    started = time.time()
    corpus = runs[0].get("corpus_file")
    try:
        # What is printed rather than logged can't be told apart: it goes to the first run's log.
        with _output_to(_folder(runs[0]).log):
            outcomes: Any = _resolve(STACKED_EXECUTE)(
                [dict(run["config"]) for run in runs],
                stop=stopping,
                prepared_corpus=Path(corpus) if corpus else None,
                stack=request["stack"],
            )
    except BaseException as error:
        outcomes = [error for _ in runs]
    answers = []
    for run, outcome in zip(runs, outcomes, strict=True):
        if isinstance(outcome, BaseException):
            answers.append(_ended(run, outcome, started))
        else:
            answers.append({"state": "done", "cached": False, "result": dict(outcome)})
    return answers


def _ended(run: Mapping[str, Any], error: BaseException, started: float) -> dict[str, Any]:
    """Describe and record what ended a run early."""
    if type(error).__name__ in ("Interrupted", "Paused"):
        return {"state": type(error).__name__.lower()}
    if isinstance(error, ownership.ClaimLost):
        return {"state": "owned", "reason": str(error)}
    text = "".join(traceback.format_exception(error))
    first_line = f"{type(error).__name__}: {error}"
    with contextlib.suppress(OSError):
        record_failure(run, _folder(run), first_line, text, since=started)
    return _failed(error, text)


def _execute(
    run: Mapping[str, Any], folder: RunFolder, request: Mapping[str, Any]
) -> dict[str, Any]:
    started = time.time()
    corpus = run.get("corpus_file")
    pause = {} if request.get("pause_at") is None else {"pause_at": request["pause_at"]}
    try:
        with _output_to(folder.log):
            function = _resolve(request.get("execute", DEFAULT_EXECUTE))
            result = function(
                dict(run["config"]),
                stop=stopping,
                on_progress=None,
                prepared_corpus=Path(corpus) if corpus else None,
                **pause,
            )
        return {"state": "done", "cached": False, "result": dict(result)}
    except BaseException as error:
        return _ended(run, error, started)


def _failed(error: BaseException, text: str) -> dict[str, Any]:
    first_line = (str(error).splitlines() or [""])[0]
    return {
        "state": "failed",
        "reason": f"{type(error).__name__}: {first_line}",
        "kind": faults.classify(error),
        "passes": storage.passes(error),
        "traceback": text or repr(error),
    }


def record_failure(
    run: Mapping[str, Any], folder: RunFolder, error: str, text: str, since: float
) -> None:
    """Write a failure down unless the training itself already told this attempt's."""
    storage.require(folder.path.parent.parent)
    if not folder.failed_since(since):
        folder.write_failure(run["id"], run["name"], error, text)


@contextlib.contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Send everything the run prints, from Python or below it, to its own log."""
    storage.require(path.parent)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, original in enumerate(saved, start=1):
            os.dup2(original, number)
            os.close(original)
        os.close(log)


def _resolve(name: str) -> Callable[..., Mapping[str, Any]]:
    module, _, attribute = name.partition(":")
    function: Callable[..., Mapping[str, Any]] = getattr(importlib.import_module(module), attribute)
    return function
