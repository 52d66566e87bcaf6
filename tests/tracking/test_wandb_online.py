"""wandb online, for real, but for the server: a stand-in on the loopback."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wandb

from avatarl.config import RunConfig
from avatarl.tracking import delivery
from avatarl.tracking import tracker as recorder
from avatarl.training import Interrupted, Result, execute
from avatarl.training.stacked import execute_stacked
from tests.tracking.wandb_standin import Standin, StoredRun

Quick = Callable[..., RunConfig]


def journal_of(directory: Path) -> list[dict[str, Any]]:
    lines = (directory / "metrics.jsonl").read_text().splitlines()[1:]
    return [json.loads(line) for line in lines]


def figures(directory: Path) -> dict[int, dict[str, float]]:
    """What the journal holds for each step, but for events."""
    rows: dict[int, dict[str, float]] = {}
    for record in journal_of(directory):
        if "event" not in record:
            rows.setdefault(record["step"], {}).update(record)
    return rows


def assert_holds_once(run: StoredRun, result: Result) -> None:
    """Every record is on the server, once, in order, with the journal's figures."""
    rows = {row["_step"]: row for row in run.history}
    assert list(rows) == sorted(rows)
    assert len(rows) == len(run.history)
    assert run.rewritten == []
    written = figures(result.directory)
    assert list(rows) == [*written, result["steps"] + 1]
    for step, record in written.items():
        for name, value in record.items():
            if name != "step":
                assert rows[step][name] == pytest.approx(value), (step, name)
    assert {"samples", "reliability_table"} <= set(rows[result["steps"] + 1])


def config_of(run: StoredRun) -> dict[str, Any]:
    return {key: entry["value"] for key, entry in run.config.items() if key != "_wandb"}


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What avatarl itself says about wandb."""
    return [
        record.message
        for record in caplog.records
        if record.name == "avatarl" and "wandb" in record.message
    ]


@pytest.fixture
def interrupted(quick: Quick) -> Callable[..., None]:
    def after(steps: int, *overrides: str, then: Callable[[], None] = lambda: None) -> None:
        polls = iter(range(100))

        def stop() -> bool:
            if next(polls) < steps:
                return False
            then()
            return True

        with pytest.raises(Interrupted):
            execute(quick(*overrides), stop=stop)

    return after


def test_a_run_arrives_whole(server: Standin, quick: Quick) -> None:
    wanted = ["tracking.group=some-sweep", "tracking.tags=[mine]", "tracking.artifact=true"]
    result = execute(quick(*wanted))
    (run,) = server.runs.values()
    assert run.id == result["run_id"]
    assert (run.project, run.group, run.job_type) == ("avatarl", "some-sweep", "train")
    assert run.display_name == f"{result['name']}-seed0"
    assert run.tags == ["confidence_scaled", "bigram", "mine"]
    assert config_of(run) == json.loads((result.directory / "config.json").read_text())
    assert_holds_once(run, result)
    assert run.exit_code == 0
    assert delivery.state(result.directory) == "complete"
    assert not delivery.is_left(result.directory)

    for name in ("val/nats", "val/ece", "best/nats", "best/step", "characters_seen"):
        assert run.summary[name] == pytest.approx(result[name]), name
    samples = [[item["temperature"], item["text"]] for item in result["samples"]]
    assert run.table("samples")["data"] == samples
    assert len(run.table("reliability_table")["data"]) == len(result["reliability"]["weight"])

    raised = [
        record["alarm"]
        for record in journal_of(result.directory)
        if record.get("state") == "raised"
    ]
    assert raised
    assert [alert["title"] for alert in run.alerts] == [f"{name} raised" for name in raised]

    (weights,) = (each for each in server.artifacts.values() if each.kind == "model")
    assert weights.name == f"checkpoint-{run.id}"
    assert weights.committed
    for path in result.directory.glob("checkpoint-12.*"):
        assert weights.files[path.name] == path.read_bytes()


def test_the_x_axis_of_every_metric_is_characters_seen(server: Standin, quick: Quick) -> None:
    execute(quick())
    (run,) = server.runs.values()
    # Metrics are numbered: 1 is a name, 2 a pattern, 5 the number of the metric on the x-axis.
    metrics = run.config["_wandb"]["value"]["m"]
    place = next(i for i, metric in enumerate(metrics, 1) if metric.get("1") == "characters_seen")
    axis = {metric["2"]: metric.get("5") for metric in metrics if "2" in metric}
    assert axis == dict.fromkeys(("train/*", "val/*", "reward/*", "health/*"), place)


def test_a_control_is_told_by_its_job_type(server: Standin, quick: Quick) -> None:
    execute(quick("objective=cross_entropy"))
    (run,) = server.runs.values()
    assert run.job_type == "control"


def test_an_interrupted_run_stays_one_run(
    server: Standin, quick: Quick, interrupted: Callable[..., None]
) -> None:
    interrupted(6)
    (run,) = server.runs.values()
    assert [row["_step"] for row in run.history] == [4]
    assert run.summary["best/nats"] == run.history[0]["val/nats"]
    # What is tracked may change meanwhile; the run is the same.
    result = execute(quick("tracking.tags=[later]"))
    assert list(server.runs) == [result["run_id"]]
    assert_holds_once(run, result)
    assert "later" in run.tags
    assert run.summary["best/nats"] == pytest.approx(result["best/nats"])


def test_what_was_logged_offline_before_is_sent_along(
    server: Standin, quick: Quick, interrupted: Callable[..., None]
) -> None:
    interrupted(6, "tracking.mode=offline")
    result = execute(quick())
    assert_holds_once(server.runs[result["run_id"]], result)
    # Or else a later upload would repeat it.
    assert not delivery.is_left(result.directory)


def test_runs_trained_as_one_program_stay_apart(
    server: Standin, quick: Quick, tmp_path: Path
) -> None:
    done = execute_stacked([quick("seed=0").raw, quick("seed=1").raw], stack=2)
    assert len(server.runs) == 2
    for outcome in done:
        assert not isinstance(outcome, Exception)
        run = server.runs[outcome["run_id"]]
        (directory,) = (tmp_path / "out" / "runs").glob(f"*-{run.id}")
        assert_holds_once(run, Result(directory, outcome))


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["gone", "silence"])
def test_a_server_lost_midway_neither_ends_nor_holds_the_run(
    server: Standin, quick: Quick, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    polls = iter(range(100))

    def lose() -> bool:
        if next(polls) == 6:
            if trouble == "gone":
                server.stop()
            else:
                server.trouble = trouble
        return False

    result = execute(quick(), stop=lose)
    assert list(figures(result.directory)) == [4, 8, 12]
    assert result["steps"] == 12
    said = messages(caplog)
    assert len(said) == 1
    assert "avatarl sync" in said[0]
    if trouble == "silence":
        assert f"no answer within {os.environ['WANDB_FINISH_TIMEOUT']} s" in said[0]
    assert delivery.is_left(result.directory)


def test_a_server_that_is_down_is_left_alone(
    server: Standin,
    quick: Quick,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.stop()
    result = execute(quick())
    assert len(messages(caplog)) == 1
    assert "avatarl sync" in messages(caplog)[0]
    assert delivery.is_left(result.directory)
    # The next run of this process doesn't try it again.
    tried: list[object] = []
    monkeypatch.setattr(wandb, "init", lambda **settings: tried.append(settings))
    other = execute(quick("seed=1"))
    assert tried == []
    assert delivery.is_left(other.directory)
    assert len(messages(caplog)) == 1


def test_a_process_recovers_when_the_server_does(
    server: Standin, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.trouble = "error"
    assert delivery.is_left(execute(quick()).directory)
    server.trouble = None
    monkeypatch.setattr(recorder, "_avoid_until", time.monotonic())
    result = execute(quick("seed=1"))
    assert_holds_once(server.runs[result["run_id"]], result)
