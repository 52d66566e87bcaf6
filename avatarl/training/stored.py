"""A run's policy, loaded from its own folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from avatarl.config import RunConfig, parse
from avatarl.data import Corpus
from avatarl.data import load as load_corpus
from avatarl.errors import ConfigError, DataError, UserError
from avatarl.runs.folder import RunFolder
from avatarl.runs.outputs import Outputs
from avatarl.training.checkpoint import Checkpoint, read_checkpoint, read_latest
from avatarl.training.learner import Learner


def load_policy(folder: RunFolder, step: int | None = None) -> tuple[Learner, Corpus]:
    """Load a run's policy from a checkpoint, onto the CPU.

    Args:
        folder: The run's.
        step: Of the checkpoint; the newest by default.

    Raises:
        UserError: No such checkpoint, or the text it learned from isn't the one at hand.
    """
    problems: list[str] = []
    raw, provenance = folder.read_config(problems), folder.read_provenance(problems)
    if problems or not (raw and provenance):
        missing = folder.provenance if raw else folder.config
        raise UserError("; ".join(problems) or f"{folder.path} is no run: it has no {missing.name}")
    config = parse(raw)
    corpus = _corpus(folder, config, str(provenance.get("corpus_sha256")))
    found = _stored(folder, step)
    learner = Learner(config, corpus, torch.device("cpu"))
    learner.load(found)
    return learner, corpus


def load_policies(
    folder: RunFolder, steps: Sequence[int | None]
) -> Iterator[tuple[Learner, Corpus]]:
    """Load a run's policy as :func:`load_policy` does, from several checkpoints in turn.

    It is one and the same learner, so that its reference is built once.
    """
    learner, corpus = load_policy(folder, steps[0])
    yield learner, corpus
    for step in steps[1:]:
        learner.load(_stored(folder, step))
        yield learner, corpus


def _stored(folder: RunFolder, step: int | None) -> Checkpoint:
    kept = folder.checkpoint_steps()
    if step is not None and kept and step not in kept:
        raise ConfigError("--step", step, f"one that is kept: {', '.join(map(str, kept))}")
    found = read_latest(folder) if step is None else read_checkpoint(folder, step)
    if found is None:
        raise UserError(f"{folder.path.name} has no whole checkpoint yet; it gets one as it trains")
    return found


def _corpus(folder: RunFolder, config: RunConfig, known: str) -> Corpus:
    stored = sorted(Outputs(folder.path.parent.parent).corpora.glob(f"{known}-*.json"))
    corpus = load_corpus(config.data, stored[0] if stored else None)
    if corpus.text_sha256 != known:
        why = "the run learned from another text"
        raise DataError("data", corpus.name, f"the text with sha256 {known}", why)
    return corpus
