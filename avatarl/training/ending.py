"""How a run ends: what it writes as a sample of itself, or why it went no further."""

from __future__ import annotations

import contextlib
import datetime
import logging
import traceback
from pathlib import Path
from typing import Any

import torch

from avatarl.config import RunConfig
from avatarl.data import Corpus
from avatarl.files import write_atomic
from avatarl.runs.folder import RunFolder
from avatarl.training.evaluation import Scorer
from avatarl.training.sampling import generate

log = logging.getLogger("avatarl")

TEMPERATURES = (0.5, 0.8, 1.0)


class Interrupted(Exception):
    """A run was asked to stop; it left a checkpoint and goes on when started again."""

    def __init__(self, directory: Path, step: int) -> None:
        super().__init__(f"interrupted after step {step}; {directory} holds a checkpoint")
        self.directory, self.step = directory, step

    def __reduce__(self) -> tuple[type[Interrupted], tuple[Path, int]]:
        """Survive the way between processes."""
        return type(self), (self.directory, self.step)


class Diverged(Exception):
    """The loss or gradient is no longer finite."""


class Stopped(Exception):
    """An alarm was raised whose action is to stop."""


def write_samples(
    score: Scorer, config: RunConfig, corpus: Corpus, directory: Path, device: torch.device
) -> list[dict[str, Any]]:
    """Let a policy go on from the first held-out window, and store what it wrote.

    Args:
        score: The policy.
        config: Of the run; the seed decides what is drawn.
        corpus: Its text.
        directory: Of the run; gets ``samples.txt``.
        device: Where to compute.

    Returns:
        ``temperature`` and ``text`` of each sample.
    """
    prompt = corpus.heldout[: config.model.context_length].tolist()
    texts: list[list[int]] = [[] for _ in TEMPERATURES]
    for chosen, _ in generate(
        score,
        prompt,
        context_length=config.model.context_length,
        temperatures=TEMPERATURES,
        characters=config.trainer.sample_characters,
        seed=config.seed,
        device=device,
    ):
        for text, character in zip(texts, chosen.tolist(), strict=True):
            text.append(character)
    samples = [
        {"temperature": temperature, "text": corpus.decode(text)}
        for temperature, text in zip(TEMPERATURES, texts, strict=True)
    ]
    shown = (f"--- temperature {item['temperature']} ---\n{item['text']}\n" for item in samples)
    write_atomic(RunFolder(directory).samples, "\n".join(shown))
    return samples


def write_failure(config: RunConfig, identity: str, directory: Path, error: BaseException) -> None:
    """Log what broke a run, and write it down in ``failure.json``."""
    trace = "".join(traceback.format_exception(error))
    log.error("%s", trace)
    # Whatever broke the run (a full disk, say) may break this too; the first error matters more.
    with contextlib.suppress(OSError):
        told = f"{type(error).__name__}: {error}"
        RunFolder(directory).write_failure(identity, config.name, told, trace)


def now() -> str:
    """The time in UTC, to the second (ISO 8601)."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
