from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from avatarl.config import RunConfig
from avatarl.errors import ConfigError
from avatarl.runs.folder import RunFolder
from avatarl.training import Interrupted, execute
from avatarl.training.endings import Diverged

Tiny = Callable[..., RunConfig]

DOCUMENTED = [
    "run_id",
    "name",
    "state",
    "corpus",
    "corpus_sha256",
    "parameters",
    "steps",
    "characters_seen",
    "seconds",
    "val/nats",
    "val/perplexity",
    "val/bits",
    "val/accuracy",
    "val/ece",
    "val/entropy",
    "reward/expected",
    "track",
]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def records(directory: Path) -> list[dict[str, Any]]:
    """Metrics without the clock, which no two runs share."""
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.startswith("time/")} for line in lines]


def stop_after(polls: int) -> Callable[[], bool]:
    """Return a stop flag that is raised when asked for the n-th time."""
    count = 0

    def stop() -> bool:
        nonlocal count
        count += 1
        return count > polls

    return stop


def test_a_run_leaves_everything_that_is_documented(tiny: Tiny) -> None:
    result = execute(tiny())
    for key in DOCUMENTED:
        assert key in result, key
    for name in [
        "config.yaml",
        "config.json",
        "provenance.json",
        "metrics.jsonl",
        "progress.json",
        "result.json",
        "run.log",
        "samples.txt",
        "checkpoint-24.safetensors",
        "checkpoint-24.json",
    ]:
        assert (result.directory / name).stat().st_size >= 0
    assert json.loads((result.directory / "result.json").read_text()) == dict(result)
    assert result["val/perplexity"] == pytest.approx(math.exp(result["val/nats"]))
    assert result["val/bits"] == pytest.approx(result["val/nats"] / math.log(2))
    assert result["characters_seen"] == 24 * 16 * 8
    assert (result["val/stride"], result["val/least_context"]) == (1, 8)
    assert {sample["temperature"] for sample in result["samples"]} == {0.5, 0.8, 1.0}
    assert all(len(sample["text"]) == 20 for sample in result["samples"])
    assert all(math.isfinite(v) for v in result.values() if isinstance(v, float))


def test_a_run_that_is_done_is_not_computed_again(tiny: Tiny) -> None:
    first = execute(tiny())

    def never() -> bool:
        raise AssertionError("computed again")

    again = execute(tiny("name=renamed"), stop=never)
    assert dict(again) == dict(first)
    assert again.directory == first.directory


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("objective.sync_every=5", "objective.kl_target=0.1", "optimizer=muon"),
        ("explorer=temperature", "explorer.guidance=0.3"),
        ("explorer=temperature", "explorer.horizon=3", "explorer.positions=last"),
        ("model.dropout=0.2", "model.position=rotary", "objective.sync_every=3"),
        ("model.prior=true", "reference=kneser_ney", "reference.history=text"),
        (
            "trainer.average=ema",
            "trainer.average_start=0.3",
            "trainer.keep_best=true",
            "model.prior=true",
            "model.prior_gate=context",
            "model.prior_weight={shape: cosine, start: 1, end: 0, begin: 0, until: 1}",
        ),
    ],
)
@pytest.mark.parametrize("polls", [0, 6, 17])
def test_an_interrupted_run_ends_bit_for_bit_like_an_undisturbed_one(
    tiny: Tiny, overrides: tuple[str, ...], polls: int
) -> None:
    undisturbed = execute(tiny(*overrides))
    with pytest.raises(Interrupted) as caught:
        execute(tiny(*overrides, folder="cut"), stop=stop_after(polls))
    assert caught.value.step == polls
    assert not (caught.value.directory / "result.json").exists()
    resumed = execute(tiny(*overrides, folder="cut"))
    assert records(resumed.directory) == records(undisturbed.directory)
    unlike = {"seconds", "started", "finished", "claim"}
    for key in set(undisturbed) - unlike:
        if not key.startswith("time/"):
            assert resumed[key] == undisturbed[key], key


@pytest.mark.parametrize("part", ["weights", "numbers"])
def test_a_damaged_checkpoint_is_passed_over(tiny: Tiny, part: str) -> None:
    undisturbed = execute(tiny())
    config = tiny("trainer.checkpoint_every_s=0", folder="cut")
    with pytest.raises(Interrupted) as caught:
        execute(config, stop=stop_after(18))
    directory = caught.value.directory
    assert len(RunFolder(directory).checkpoint_steps()) == 2
    weights, numbers = RunFolder(directory).checkpoint(18)
    if part == "weights":
        weights.write_bytes(weights.read_bytes()[:100])
    else:
        stored = numbers.read_text()
        damaged = re.sub(r'"lr_factor": 1.0', '"lr_factor": 9.0', stored)
        assert damaged != stored
        numbers.write_text(damaged)
    resumed = execute(config)
    assert records(resumed.directory) == records(undisturbed.directory)


def test_old_checkpoints_are_pruned(tiny: Tiny) -> None:
    result = execute(tiny("trainer.checkpoint_every_s=0", "trainer.keep_checkpoints=2"))
    assert RunFolder(result.directory).checkpoint_steps() == [20, 24]


def test_a_run_that_raises_leaves_its_traceback_and_succeeds_later(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    from avatarl.training import monitors

    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("the cat sat on the disk")

    config = tiny()
    with monkeypatch.context() as patch:
        patch.setattr(monitors, "evaluate_all", broken)
        with pytest.raises(RuntimeError):
            execute(config)
    directory = next((Path(config.output_dir) / "runs").iterdir())
    failure = json.loads((directory / "failure.json").read_text())
    assert failure["error"] == "RuntimeError: the cat sat on the disk"
    assert "Traceback" in failure["traceback"]
    assert not (directory / "result.json").exists()
    execute(config)
    assert not (directory / "failure.json").exists()


def test_a_run_that_diverges_says_so(tiny: Tiny) -> None:
    with pytest.raises(Diverged, match=r"optimizer\.lr"):
        execute(tiny("optimizer.lr=1e30", "optimizer.grad_clip=1e30"))


def test_a_device_that_is_not_there_is_refused(tiny: Tiny) -> None:
    config = tiny("trainer.device=cuda:99")
    with pytest.raises(ConfigError, match=r"trainer\.device"):
        execute(config)
    assert not Path(config.output_dir).exists()


def test_an_unwritable_place_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ConfigError, match="output_dir"):
        execute(tiny(folder="file"))


def test_the_same_seed_gives_the_same_run_and_another_seed_another(tiny: Tiny) -> None:
    one, two = execute(tiny(folder="one")), execute(tiny(folder="two"))
    other = execute(tiny("seed=1", folder="three"))
    assert records(one.directory) == records(two.directory)
    assert one["val/nats"] != other["val/nats"]


def test_epochs_set_the_length(tiny: Tiny) -> None:
    result = execute(tiny("trainer.steps=null", "trainer.epochs=0.5"))
    per_epoch = (18_000 - 8) // 8 // 16
    assert result["steps"] == round(0.5 * per_epoch)
