"""TensorBoard's event files, read back by a reader of our own."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avatarl.config import RunConfig
from avatarl.errors import ConfigError
from avatarl.tracking.tensorboard import TensorBoardSink
from avatarl.training import Interrupted, execute
from avatarl.training.stacked import execute_stacked
from tests.tracking.event_file import Point, points

Quick = Callable[..., RunConfig]


def assert_holds_the_journal(found: list[Point], directory: Path, axis: str = "step") -> None:
    """Every figure of the journal is there once, and nothing else but the result."""
    lines = (directory / "metrics.jsonl").read_text().splitlines()[1:]
    expected: dict[tuple[str, int], float] = {}
    for record in map(json.loads, lines):
        for name, value in record.items():
            if "event" not in record and name != "step" and value is not None:
                expected.setdefault((name, record[axis]), value)
    told = [p for p in found if p.value is not None and not p.tag.startswith("result/")]
    assert max(Counter((point.tag, point.step) for point in told).values()) == 1
    assert {(p.tag, p.step): p.value for p in told} == pytest.approx(expected, rel=1e-6)


def test_every_figure_of_the_journal_is_a_point(quick: Quick) -> None:
    result = execute(quick("tracking=tensorboard"))
    found = points(result.directory / "tensorboard")
    assert_holds_the_journal(found, result.directory)
    values = {point.tag: point.value for point in found}
    for name in ("val/nats", "val/accuracy", "best/nats"):
        assert values[f"result/{name}"] == pytest.approx(result[name], rel=1e-6)
    assert {"_hparams_/experiment", "_hparams_/session_start_info"} <= set(values)
    assert any(tag.startswith("samples/temperature 0.8") for tag in values)
    assert not (result.directory / "wandb").exists()


@pytest.mark.parametrize("axis", ["steps", "characters"])
def test_a_resumed_run_repeats_no_point(quick: Quick, axis: str) -> None:
    words = ["tracking=tensorboard", f"tracking.tensorboard.x={axis}"]
    polls = iter([False] * 10 + [True])
    with pytest.raises(Interrupted):
        execute(quick(*words), stop=lambda: next(polls))
    result = execute(quick(*words))
    found = points(result.directory / "tensorboard")
    key = "step" if axis == "steps" else "characters_seen"
    assert_holds_the_journal(found, result.directory, key)
    times = [point.wall_time for point in found if point.tag == "train/loss"]
    assert times == sorted(times)


def test_a_run_that_goes_back_leaves_nothing_of_what_came_after(tmp_path: Path) -> None:
    def record(step: int, loss: float) -> dict[str, Any]:
        return {"step": step, "characters_seen": 9 * step, "time/elapsed_s": 0.1, "loss": loss}

    journal = tmp_path / "metrics.jsonl"
    sink = TensorBoardSink(tmp_path / "tb", {}, tmp_path, [record(1, 3.0)], "steps")
    sink.log(2, record(2, 2.0))
    sink.log(3, record(3, float("nan")))
    kept = [{"schema": 1}, record(1, 3.0), record(2, 1.5)]
    journal.write_text("".join(json.dumps(one) + "\n" for one in kept))
    sink.log(2, kept[-1])
    sink.finish("done", complete=True)
    losses = [(p.step, p.value) for p in points(tmp_path / "tb") if p.tag == "loss"]
    assert losses == [(1, 3.0), (2, 1.5)]


def test_runs_trained_as_one_program_have_each_its_own(quick: Quick, tmp_path: Path) -> None:
    words = ["tracking=tensorboard", f"tracking.tensorboard.dir={tmp_path / 'tb'}"]
    raws = [quick(f"seed={seed}", *words).raw for seed in range(2)]
    for outcome in execute_stacked(raws, stack=2):
        assert not isinstance(outcome, Exception)
        (directory,) = (tmp_path / "out" / "runs").glob(f"*-{outcome['run_id']}")
        assert_holds_the_journal(points(tmp_path / "tb" / directory.name), directory)


def test_without_its_library_it_is_refused_with_what_to_type(
    quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(
        ConfigError, match=r"tracking\.tensorboard\.kind.*pip install 'avatarl\[tens"
    ):
        quick("tracking=[wandb,tensorboard]")
