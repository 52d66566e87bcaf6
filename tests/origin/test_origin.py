"""Each trap does what it says, and can be switched on in the experiments that it belongs to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatarl import composition
from avatarl.data import Corpus
from avatarl.data.base import RawText
from avatarl.training.learner import Learner

ROOT = Path(__file__).parents[2]
TRAPS = {path.stem for path in (ROOT / "tests/origin/conf/trap").glob("*.yaml")}
ROLLOUTS = {"own_position_rollouts", "untempered"}
TINY = [
    "data=folio", "model=gpt2_tiny", "reference=bigram", "reward=mixed", "tracking=files",
    "trainer.batch_size=8", "trainer.steps=2", "objective=grpo",
]  # fmt: skip


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    text = RawText(name="toy", text="the cat sat on the mat; a bat ate the hat. " * 120)
    return Corpus.from_text(text, train_fraction=0.9, unseen="keep")


def explored(corpus: Corpus, *overrides: str) -> tuple[Learner, Any, Any]:
    learner = Learner(composition.compose([*TINY, *overrides]), corpus, torch.device("cpu"))
    learner.prepare_step()
    batch = learner.batches.cut()
    experience, _ = learner.step_function.collect(learner.inputs(batch))
    return learner, batch, experience


@pytest.mark.parametrize("positions", ["last", "all"])
def test_own_position_pays_for_repeating_what_was_read(corpus: Corpus, positions: str) -> None:
    _, batch, experience = explored(
        corpus, "+explorer.kind=tests.origin.own_position", f"explorer.positions={positions}"
    )
    hits = experience.exploration.matches.argmax(-1)  # (B,T)
    read = batch.context[:, -1:] if positions == "last" else batch.context
    assert torch.equal(hits, read)


def test_rollouts_are_compared_with_the_character_before(corpus: Corpus) -> None:
    rollouts = ["explorer=temperature", "explorer.horizon=3", "explorer.positions=last"]
    _, batch, experience = explored(
        corpus, *rollouts, "+explorer.kind=tests.origin.own_position_rollouts"
    )
    tried = experience.exploration.actions[:, 0]  # (B,K)
    hit = (tried == batch.context[:, -1:]).float()
    assert torch.equal(experience.exploration.matches[:, 0], hit)


def test_untempered_samples_count_alike_and_left_texts_are_compared_on(corpus: Corpus) -> None:
    rollouts = ["explorer=temperature", "explorer.horizon=3", "explorer.positions=last"]
    many = ["explorer.samples=64", "explorer.temperature=3"]
    learner, _, experience = explored(
        corpus, *rollouts, *many, "+explorer.kind=tests.origin.untempered"
    )
    told = experience.exploration
    torch.testing.assert_close(told.weights, torch.full_like(told.weights, 1 / 64))
    again = told.matches[:, 1:] > told.matches[:, :-1]  # a hit after a miss
    assert again.any()
    assert learner.config.explorer.steps_ahead == 3


@pytest.mark.parametrize(("kind", "earlier"), [("one_off", 1), ("reads_target", -1)])
def test_shifted_references_read_another_character(corpus: Corpus, kind: str, earlier: int) -> None:
    _, shifted, _ = explored(corpus, f"reference.kind=tests.origin.{kind}")
    learner, plain, _ = explored(corpus)
    reference = learner.reference_schedule.reference
    assert reference is not None and shifted.reference is not None
    moved = reference.train_logprobs(plain.positions - earlier, 1)
    torch.testing.assert_close(shifted.reference[:, 1:], moved[:, 1:])


def test_rare_characters_pay_most(corpus: Corpus) -> None:
    _, batch, experience = explored(corpus, "+reward.kind=tests.origin.rare_pays")
    best = experience.rewards.argmax(-1)
    assert torch.equal(best, batch.reference.argmin(-1))


def test_with_a_uniform_baseline_logits_have_no_optimum(corpus: Corpus) -> None:
    """The surrogate's weights sum to 0: adding the reward's direction to the logits always pays."""
    _, _, experience = explored(
        corpus, "reward=match", "objective.kl_coef=0", "explorer.action_weighting=uniform",
        "+objective.kind=tests.origin.uniform_baseline",
    )  # fmt: skip
    rewards = experience.rewards
    linear = rewards - rewards.mean(-1, keepdim=True)
    torch.testing.assert_close(linear.sum(-1), torch.zeros(linear.shape[:2]), atol=1e-5, rtol=0)
    assert torch.equal(experience.exploration.weights, torch.ones_like(rewards))


@pytest.mark.slow
@pytest.mark.parametrize("trap", sorted(TRAPS))
def test_every_trap_can_be_switched_on(tmp_path: Path, trap: str) -> None:
    experiment = "c" if trap.endswith("confident") else "a" if trap in ROLLOUTS else "b"
    words = [
        "hydra.searchpath=[file://tests/origin/conf]", f"+experiment=seed_{experiment}_small",
        f"+trap={trap}", "data=folio", "data.characters=20000", "model=gpt2_tiny",
        "trainer.steps=2", "trainer.batch_size=8", "tracking=files", f"output_dir={tmp_path}",
    ]  # fmt: skip
    done = subprocess.run([sys.executable, "run.py", *words], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    (result,) = tmp_path.glob("runs/*/result.json")
    assert np.isfinite(float(result.read_text().split('"val/nats": ')[1].split(",")[0]))


@pytest.mark.slow
@pytest.mark.parametrize("experiment", "abc")
def test_their_sweeps_can_be_planned(tmp_path: Path, experiment: str) -> None:
    """The traps' group is found through ``hydra.searchpath`` alone."""
    words = ["-cd", "tests/origin", "-cn", f"traps_{experiment}", "hydra.launcher.dry_run=true"]
    planned = subprocess.run(
        [sys.executable, "run.py", *words, f"output_dir={tmp_path}"], cwd=ROOT, capture_output=True
    )
    assert planned.returncode == 0, planned.stdout.decode() + planned.stderr.decode()
    # Three seeds of each trap, and a control; one with dropout has a control of its own.
    assert f"{33 if experiment == 'a' else 39} new" in planned.stdout.decode()
