"""From a configuration to a finished, documented run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from avatarl import storage
from avatarl.config import RunConfig, parse
from avatarl.data import Corpus
from avatarl.data import load as load_corpus
from avatarl.errors import ConfigError, UserError, in_short, unwritable
from avatarl.runs import liveness, ownership
from avatarl.runs.folder import RunFolder
from avatarl.runs.outputs import Outputs
from avatarl.runs.progress import Progress
from avatarl.runs.result import Result
from avatarl.tracking.tracker import Tracker
from avatarl.training.checkpoint import read_latest
from avatarl.training.device import pick_device
from avatarl.training.endings import Interrupted
from avatarl.training.learner import Learner
from avatarl.training.monitors import Monitors
from avatarl.training.recording import Recording, now, write_failure
from avatarl.training.run_log import RunLog, informed
from avatarl.training.trainer import Trainer, train

log = logging.getLogger("avatarl")

#: Seconds between two looks at a run that another process computes.
_LOOK_EVERY_S = 0.5


def execute_raw(
    raw: Mapping[str, Any],
    *,
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] | None = None,
    prepared_corpus: Path | None = None,
    pause_at: int | None = None,
) -> dict[str, Any]:
    """Execute a run given as plain data and return its result as plain data."""
    config = parse(raw)
    corpus = load_corpus(config.data, prepared_corpus)
    return dict(
        execute(config, stop=stop, on_progress=on_progress, corpus=corpus, pause_at=pause_at)
    )


def execute(
    config: RunConfig,
    *,
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] | None = None,
    corpus: Corpus | None = None,
    identity: str | None = None,
    pause_at: int | None = None,
) -> Result:
    """Run to the end, from wherever an earlier attempt left off.

    Args:
        config: What to run.
        stop: Asked between two steps; True writes a checkpoint and raises :class:`Interrupted`.
        on_progress: Told about each logged step.
        corpus: The text, if it is loaded already.
        identity: The run's id, if it is known and the text was found to fit.
        pause_at: The step after which the run is put down with a checkpoint, as the whole run that
            it is; None: it goes on to its end.

    Returns:
        The result; the stored one if the run is done.

    Raises:
        Interrupted: ``stop`` said so.
        Paused: ``pause_at`` is reached.
        ConfigError: The text doesn't fit the model, or the device isn't there.
        Exception: Whatever went wrong; ``failure.json`` then holds the traceback.
    """
    corpus = corpus if corpus is not None else load_corpus(config.data)
    with informed():
        opened = open_run(config, corpus, identity, on_progress, stop, pause_at)
        if isinstance(opened, Result):
            return opened
        (outcome,) = train([opened], _take_step, stop)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _take_step(learners: list[Learner], with_facts: bool) -> list[dict[str, torch.Tensor]]:
    return [learner.train_step(with_facts=with_facts) for learner in learners]


def open_run(
    config: RunConfig,
    corpus: Corpus,
    identity: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    pause_at: int | None = None,
) -> Trainer | Result:
    """Open a run where an earlier attempt left it; return its stored result if it is done.

    A run that another process computes is waited for, with that process's progress.

    Args:
        config: What to run.
        corpus: Its text.
        identity: Its id, if that is known and the text was found to fit.
        on_progress: Told about each logged step.
        stop: Asked while waiting.
        pause_at: As for :func:`execute`.

    Raises:
        ConfigError: The text doesn't fit the model, or the device isn't there, or another process
            computes the run and ``trainer.if_running`` is ``fail``.
        Interrupted: ``stop`` said so.
        Exception: Whatever went wrong; ``failure.json`` then holds the traceback.
    """
    outputs, fits = Outputs(config.output_dir), identity is not None
    identity = identity or outputs.identify(config.raw, corpus.text_sha256)
    finished = _finished(outputs.run(identity, config.name), config, on_progress, stop)
    if finished is not None:
        Tracker.answer(config.tracking, config.raw, identity, finished.directory)
        return finished
    if not fits:
        corpus.check_context(config.model.context_length)
    if config.trainer.threads is not None:
        torch.set_num_threads(config.trainer.threads)
    learner: Learner | Exception
    try:
        # Before anything is written: what the user can't have is refused without a trace.
        learner = Learner(config, corpus, pick_device(config.trainer.device))
    except UserError:
        raise
    except Exception as error:
        learner = error
    try:
        folder = outputs.make_run(identity, config.name)
    except OSError as error:
        raise unwritable("output_dir", config.output_dir, error) from error
    offered = ownership.offered(folder)
    try:
        me = liveness.this_process(threads=torch.get_num_threads())
        claim = offered or ownership.claim(folder, me)
    except ownership.Owned:  # another process was faster
        return open_run(config, corpus, identity, on_progress, stop, pause_at)
    folder = claim.folder
    run_log = RunLog(folder.log)
    try:
        with run_log.attended():
            if isinstance(learner, Exception):
                raise learner
            for level, remark in learner.remarks:
                log.log(level, "%s", remark)
            _resume(learner, folder)
            claim.begin(learner.step)
            release = None if offered else claim.release
            recording = Recording(claim, identity, learner, corpus, run_log, on_progress, release)
            trainer = Trainer(learner, recording, Monitors(learner, corpus, recording), pause_at)
            if learner.step == 0 and config.health.on_nonfinite == "act":
                trainer.checkpoint()  # something to go back to
            return trainer
    except BaseException as error:
        with run_log.attended():
            if isinstance(error, Exception):
                write_failure(folder, config, identity, error)
        run_log.close()
        if not offered:
            claim.release("failed", in_short(error))
        raise


def _finished(
    folder: RunFolder,
    config: RunConfig,
    on_progress: Callable[[Progress], None] | None,
    stop: Callable[[], bool],
) -> Result | None:
    """Return the result of a run that is done, by now or once its owner has computed it."""
    told: float | None = None

    def look() -> tuple[Result | None, liveness.Owner | None]:
        if told is not None:  # it was there: what can't be seen isn't gone
            storage.require(folder.path)
        result = folder.read_result(strict=told is not None)
        return result, None if result else ownership.current_owner(folder)

    while True:
        result, owner = look() if told is None else storage.persist(look)
        if result is not None:
            return result
        if owner is None or ownership.is_offered(folder) or not liveness.alive(owner, folder):
            return folder.read_result()  # it may have ended between the two looks
        if config.trainer.if_running == "fail":
            raise ConfigError(
                "trainer.if_running", "fail", "wait, or another run", str(ownership.Owned(owner))
            )
        progress = folder.read_progress() or Progress()
        if told is None:
            log.warning("%s: %s; waiting for its result", folder.path, ownership.Owned(owner))
        if on_progress is not None and progress.steps and progress.updated != told:
            on_progress(progress)
        told = progress.updated
        if stop():
            raise Interrupted(folder.path, progress.step)
        time.sleep(_LOOK_EVERY_S)


def _resume(learner: Learner, folder: RunFolder) -> None:
    found = read_latest(folder)
    if found is None:
        learner.state.started = now()
    else:
        learner.load(found)
        log.info("continuing after step %d of %d", learner.step, learner.steps)
