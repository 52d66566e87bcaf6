"""The one training loop: from a configuration to a finished, documented run."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from avatarl.config import RunConfig, parse
from avatarl.data import Corpus
from avatarl.data import load as load_corpus
from avatarl.errors import ConfigError, UserError
from avatarl.runs.folder import RunFolder
from avatarl.runs.outputs import Outputs
from avatarl.runs.progress import Progress
from avatarl.runs.result import Result
from avatarl.training.attempt import Attempt
from avatarl.training.ending import write_failure
from avatarl.training.learner import Learner
from avatarl.training.run_log import RunLog, informed

log = logging.getLogger("avatarl")


def run_directory(config: RunConfig, identity: str) -> Path:
    """Where a run lives; a run known under another name stays where it is."""
    return Outputs(config.output_dir).run(identity, config.name).path


def execute_raw(
    raw: Mapping[str, Any],
    *,
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] | None = None,
    prepared_corpus: Path | None = None,
) -> dict[str, Any]:
    """Execute a run given as plain data and return its result as plain data."""
    config = parse(raw)
    corpus = load_corpus(config.data, prepared_corpus)
    return dict(execute(config, stop=stop, on_progress=on_progress, corpus=corpus))


def execute(
    config: RunConfig,
    *,
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] | None = None,
    corpus: Corpus | None = None,
) -> Result:
    """Run to the end, from wherever an earlier attempt left off.

    Args:
        config: What to run.
        stop: Asked between two steps; True writes a checkpoint and raises :class:`Interrupted`.
        on_progress: Told about each logged step.
        corpus: The text, if it is loaded already.

    Returns:
        The result; the stored one if the run is done.

    Raises:
        Interrupted: ``stop`` said so.
        ConfigError: The text doesn't fit the model, or the device isn't there.
        Exception: Whatever went wrong; ``failure.json`` then holds the traceback.
    """
    corpus = corpus if corpus is not None else load_corpus(config.data)
    with informed():
        begun = begin(config, corpus, on_progress)
        if isinstance(begun, Result):
            return begun
        (outcome,) = drive([begun], _alone, stop)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def begin(
    config: RunConfig,
    corpus: Corpus,
    on_progress: Callable[[Progress], None] | None = None,
) -> Attempt | Result:
    """Open a run, from wherever an earlier attempt left off; its stored result if it is done.

    Raises:
        ConfigError: The text doesn't fit the model, or the device isn't there.
        Exception: Whatever went wrong; ``failure.json`` then holds the traceback.
    """
    identity = Outputs(config.output_dir).identify(config.raw, corpus.text_sha256)
    directory = run_directory(config, identity)
    finished = RunFolder(directory).read_result()
    if finished is not None:
        return finished
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
        directory = Outputs(config.output_dir).make_run(identity, config.name).path
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(
            "output_dir", config.output_dir, "a folder that can be written to", reason
        ) from error
    run_log = RunLog(RunFolder(directory).log)
    try:
        with run_log.attended():
            if isinstance(learner, Exception):
                raise learner
            for level, remark in learner.remarks:
                log.log(level, "%s", remark)
            return Attempt(config, corpus, identity, directory, learner, run_log, on_progress)
    except BaseException as error:
        with run_log.attended():
            if isinstance(error, Exception):
                write_failure(config, identity, directory, error)
        run_log.close()
        raise


def drive(
    attempts: Sequence[Attempt],
    advance: Callable[[list[Learner], bool], list[dict[str, torch.Tensor]]],
    stop: Callable[[], bool],
) -> list[Result | Exception]:
    """Take attempts to their ends, step by step together: the one training loop.

    What goes wrong with one of them ends that one alone.

    Args:
        attempts: Each at a step of its own.
        advance: Takes one step of every given learner, described where the flag says so.
        stop: Asked between two steps; True puts all of them down.

    Returns:
        A result, :class:`Interrupted`, or what went wrong, for each attempt.
    """
    outcomes: dict[Attempt, Result | Exception] = {}

    def attend(attempt: Attempt, act: Callable[[], Result | None]) -> None:
        try:
            with attempt.run_log.attended():
                result = act()
            if result is not None:
                outcomes[attempt] = result
        except Exception as error:
            outcomes[attempt] = error
            attempt.fail(error)

    try:
        while True:
            for attempt in attempts:
                if attempt not in outcomes and attempt.learner.step >= attempt.learner.steps:
                    attend(attempt, attempt.conclude)
            going = [attempt for attempt in attempts if attempt not in outcomes]
            if not going:
                return [outcomes[attempt] for attempt in attempts]
            if stop():
                for attempt in going:
                    attend(attempt, attempt.put_down)
                continue
            with_facts = any(attempt.describes_next_step for attempt in going)
            try:
                found = advance([attempt.learner for attempt in going], with_facts)
            except Exception as error:
                for attempt in going:
                    outcomes[attempt] = error
                    attempt.fail(error)
                continue
            for attempt, facts in zip(going, found, strict=True):
                attend(attempt, functools.partial(attempt.took_step, facts))
    finally:
        for attempt in attempts:
            attempt.close()


def _alone(learners: list[Learner], with_facts: bool) -> list[dict[str, torch.Tensor]]:
    return [learner.train_step(with_facts=with_facts) for learner in learners]


def pick_device(name: str) -> torch.device:
    """Turn ``trainer.device`` into a device that is there.

    Raises:
        ConfigError: No such GPU.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise ConfigError("trainer.device", name, "auto or cpu", f"{found} GPU(s) found")
    return device
