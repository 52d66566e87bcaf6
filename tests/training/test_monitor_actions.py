"""What follows on an alarm: a line, a stop, or something done about it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from avatarl import composition
from avatarl.config import RunConfig
from avatarl.data import load as load_corpus
from avatarl.errors import ConfigError
from avatarl.training import execute
from avatarl.training.endings import Diverged, Stopped
from avatarl.training.learner import Learner

Tiny = Callable[..., RunConfig]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def journal(directory: Path) -> list[dict[str, Any]]:
    lines = (directory / "metrics.jsonl").read_text().splitlines()[1:]
    return [json.loads(line) for line in lines]


def only(config: RunConfig) -> Path:
    (directory,) = (Path(config.output_dir) / "runs").iterdir()
    return directory


def test_logged_alarms_are_in_the_journal_and_nowhere_else(
    tiny: Tiny, caplog: pytest.LogCaptureFixture
) -> None:
    quiet = ["health.calibration_error=0.0001", "health.on_calibration=log"]
    result = execute(tiny(*quiet))
    assert "calibration" in result["alarms"]
    assert any(r.get("alarm") == "calibration" for r in journal(result.directory))
    assert "calibration raised" not in caplog.text


def test_a_stop_ends_the_run_and_says_why(tiny: Tiny) -> None:
    config = tiny("health.on_gradient_stability=stop", "health.gradient_ratio=1.0001",
                  "trainer.steps=80")  # fmt: skip
    with pytest.raises(Stopped, match="gradient_stability raised"):
        execute(config)
    assert "Stopped" in json.loads((only(config) / "failure.json").read_text())["error"]


def test_unsteady_gradients_cut_the_learning_rate(tiny: Tiny) -> None:
    config = tiny("health.on_gradient_stability=act", "health.gradient_ratio=1.0001",
                  "trainer.steps=80", "optimizer.schedule=constant",
                  "optimizer.warmup_fraction=0", "health.lr_cut=0.1")  # fmt: skip
    records = journal(execute(config).directory)
    raised = next(r["step"] for r in records if r.get("alarm") == "gradient_stability")
    rates = {r["step"]: r["train/lr"] for r in records if "train/lr" in r}
    assert rates[raised] == pytest.approx(config.optimizer.lr)
    assert rates[80] == pytest.approx(0.1 * config.optimizer.lr)


def test_collapse_raises_the_entropy_bonus_judged_on_training_text(tiny: Tiny) -> None:
    config = tiny("health.on_confidence_collapse=act", "health.entropy_gap=0.0001",
                  "health.collapse_gap=0.0001", "health.ent_boost=0.3", "optimizer.lr=0.01",
                  "trainer.steps=48", "objective=grpo", "reward=match")  # fmt: skip
    result = execute(config)
    records = journal(result.directory)
    assert any("dev/entropy_gap" in r for r in records)
    bonus = [r["train/ent_coef"] for r in records if "train/ent_coef" in r]
    assert bonus[0] == pytest.approx(0.01)
    assert max(bonus) >= 0.3


def test_what_steers_is_cut_from_the_training_text(tiny: Tiny) -> None:
    warned, acting = tiny(), tiny("health.on_calibration=act")
    corpus = load_corpus(warned.data)
    whole = Learner(warned, corpus, torch.device("cpu"))
    less = Learner(acting, corpus, torch.device("cpu"))
    assert len(whole.batches.ids) == len(corpus.train)
    assert whole.reference_schedule.slice is None
    assert less.reference_schedule.slice is not None
    together = torch.cat(
        [torch.tensor(less.reference_schedule.slice.ids.astype(int)), less.batches.ids]
    )
    assert torch.equal(together, whole.batches.ids)


def test_acting_on_entropy_needs_entropy_in_the_loss(tiny: Tiny) -> None:
    with pytest.raises(ConfigError, match=r"health\.on_calibration"):
        tiny("objective=cross_entropy", "health.on_calibration=act")


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Spoils weights before the tenth step, as often as asked for."""

    def make(times: int) -> None:
        take, poisoned = Learner.train_step, []

        def faulty(self: Learner, *, with_facts: bool) -> dict[str, torch.Tensor]:
            if self.step == 9 and len(poisoned) < times:
                poisoned.append(self.step)
                with torch.no_grad():
                    self.model.norm.weight.fill_(float("nan"))
            return take(self, with_facts=with_facts)

        monkeypatch.setattr(Learner, "train_step", faulty)

    return make


def test_a_poisoned_step_is_rolled_back_and_the_run_ends_well(
    tiny: Tiny, poison: Callable[[int], None]
) -> None:
    config = tiny("health.on_nonfinite=act", "optimizer.schedule=constant",
                  "optimizer.warmup_fraction=0", "trainer.checkpoint_every_s=0")  # fmt: skip
    poison(1)
    result = execute(config)
    records = journal(result.directory)
    (event,) = [r for r in records if r.get("event") == "rollback"]
    assert (event["from"], event["to"]) == (12, 8)
    rates = {r["step"]: r["train/lr"] for r in records if "train/lr" in r}
    assert rates[8] == pytest.approx(config.optimizer.lr)
    assert rates[12] == pytest.approx(config.optimizer.lr / 2)
    steps = [r["step"] for r in records if "train/loss" in r]
    assert steps == [4, 8, 12, 16, 20, 24]
    assert result["steps"] == 24


def test_after_so_many_rollbacks_the_run_fails(tiny: Tiny, poison: Callable[[int], None]) -> None:
    config = tiny("health.on_nonfinite=act", "health.max_rollbacks=2",
                  "trainer.checkpoint_every_s=0")  # fmt: skip
    poison(3)
    with pytest.raises(Diverged):
        execute(config)
    assert (only(config) / "run.log").read_text().count("learning rate cut") == 2


def test_by_default_a_diverged_run_fails_at_once(tiny: Tiny, poison: Callable[[int], None]) -> None:
    poison(1)
    with pytest.raises(Diverged):
        execute(tiny())


def test_update_sparsity_and_rank_are_measured_and_survive_a_resume(tiny: Tiny) -> None:
    result = execute(tiny("health.sparsity_every=10"))
    found = [r for r in journal(result.directory) if "health/update_sparsity" in r]
    assert [r["step"] for r in found] == [10, 20]
    assert 0 <= found[0]["health/update_sparsity"] < 1
    assert found[0]["health/update_sparsity"] == found[0]["health/update_sparsity_window"]
    assert found[1]["health/update_sparsity"] != found[1]["health/update_sparsity_window"]
    assert 0 < found[1]["health/update_rank"] <= 1
    assert any(key.startswith("rank/blocks.0") for key in found[0])
    composed = composition.compose(["data=folio", "health.sparsity_every=0"])
    assert composed.health.sparsity_every == 0
