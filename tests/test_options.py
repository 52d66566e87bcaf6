"""Every option of every group composes, instantiates and takes two steps."""

from __future__ import annotations

import functools
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from avatarl import composition
from avatarl.config import GROUPS
from avatarl.data import Corpus
from avatarl.data import load as load_corpus
from avatarl.data.base import RawText
from avatarl.training.learner import Learner
from tests import tiny

TINY = [
    *tiny.TEXT_AND_MODEL,
    "tracking=files",
    "trainer.batch_size=8",
    "trainer.steps=2",
]
# What an option needs to be valid, beside the defaults.
NEEDS: dict[str, list[str]] = {
    "reward=opponent": ["opponent=past"],
    "reward=gain": ["opponent=past"],
    "model=gpt2_20m": ["trainer.batch_size=2"],
    "model=nanogpt_char": ["trainer.batch_size=2"],
    "reference=none": ["reward=match", "objective.kl_coef=0"],
}

OPTIONS = [
    f"{group}={path.stem}"
    for group in sorted(GROUPS)
    for path in sorted((composition.CONF / group).glob("*.yaml"))
]


@functools.cache
def folio() -> Corpus:
    return load_corpus(composition.compose(TINY).data)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_takes_two_finite_steps(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = folio()
    overrides = [*TINY, option, *NEEDS.get(option, [])]
    if option == "data=text":
        path = tmp_path / "some.txt"
        path.write_text(corpus.text, encoding="utf-8")
        overrides = [o for o in overrides if o != "data.characters=20000" and o != "data=folio"]
        overrides.append(f"data.path={path}")
    elif option == "data=tinyshakespeare":
        pytest.importorskip("avatarl.data.tinyshakespeare")
        overrides = [o for o in overrides if o != "data.characters=20000" and o != "data=folio"]
    if option.startswith("reference="):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    config = composition.compose(overrides)
    if option == "data=text":
        corpus = load_corpus(config.data)
    learner = Learner(config, corpus, torch.device("cpu"))
    for _ in range(2):
        facts = learner.train_step(with_facts=True)
        for name, value in facts.items():
            assert bool(value.isfinite()), f"{option}: {name} is {value}"
    for name, weight in learner.parameters.items():
        assert bool(weight.isfinite().all()), f"{option}: {name}"


def test_every_option_folder_has_options() -> None:
    counts = {group: len(list((composition.CONF / group).glob("*.yaml"))) for group in GROUPS}
    assert all(counts.values()), counts


def test_a_policy_learns_a_source_whose_entropy_is_known() -> None:
    """A Markov text of entropy H: the held-out loss of the control and of a reward run."""
    rng = np.random.default_rng(0)
    table = np.array([[0.9, 0.1, 0.0], [0.0, 0.8, 0.2], [0.7, 0.0, 0.3]])
    state, letters = 0, []
    for draw in rng.random(30_000):
        state = int((table[state].cumsum() < draw).sum())
        letters.append("abc"[state])
    corpus = Corpus.from_text(
        RawText(name="markov", text="".join(letters)), train_fraction=0.9, unseen="error"
    )
    share = np.linalg.matrix_power(table, 200)[0]
    entropy = -sum(share[i] * p * math.log(p) for i, row in enumerate(table) for p in row if p)
    accuracy = float((share * table.max(1)).sum())
    held = torch.tensor(corpus.heldout.astype(np.int64)).unfold(0, 9, 1)[:2500]
    common = [*TINY, "trainer.steps=200", "trainer.batch_size=32", "optimizer.lr=0.01"]
    for overrides in (
        ["objective=cross_entropy"],
        ["objective=dr_grpo", "reward=match", "reference=none", "objective.kl_coef=0"],
    ):
        learner = Learner(composition.compose([*common, *overrides]), corpus, torch.device("cpu"))
        for _ in range(200):
            learner.train_step(with_facts=False)
        with torch.no_grad():
            logprobs = learner.score(held[:, :-1], 1)[:, 0]
        hit = (logprobs.argmax(-1) == held[:, -1]).float().mean().item()
        assert hit == pytest.approx(accuracy, abs=0.03)
        if overrides == ["objective=cross_entropy"]:
            nats = -logprobs.gather(-1, held[:, -1:]).mean().item()
            assert nats == pytest.approx(entropy, abs=0.03)
