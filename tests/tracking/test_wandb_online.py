"""wandb online, for real, but for the server: a stand-in on the loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wandb

from avatarl import cli
from avatarl.config import RunConfig
from avatarl.runs.progress import Progress
from avatarl.tracking import delivery
from avatarl.tracking import tracker as recorder
from avatarl.training import Interrupted, Result, execute
from avatarl.training.stacked import execute_stacked
from tests import tiny
from tests.tracking.wandb_standin import ENTITY, Standin, StoredRun
from tests.waiting import PATIENCE_S, wait_until

Quick = Callable[..., RunConfig]
ROOT = Path(__file__).resolve().parents[2]


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


@pytest.mark.parametrize(
    ("words", "axis"),
    [([], "characters_seen"), (["tracking.x=epochs"], "epoch"), (["tracking.x=steps"], None)],
)
def test_every_metric_is_drawn_against_the_axis_that_is_chosen(
    server: Standin, quick: Quick, words: list[str], axis: str | None
) -> None:
    execute(quick(*words))
    (run,) = server.runs.values()
    # Metrics are numbered: 1 is a name, 2 a pattern, 5 the number of the metric on the x-axis.
    metrics = run.config["_wandb"]["value"]["m"]
    places = {metric.get("1"): place for place, metric in enumerate(metrics, 1)}
    patterns = {metric["2"]: metric.get("5") for metric in metrics if "2" in metric}
    assert patterns == ({} if axis is None else {"*": places[axis]})
    # Both are in every row, so that either can be chosen in the browser.
    assert all({"characters_seen", "epoch"} <= set(row) for row in run.history[:-1])


def test_the_machine_and_the_log_are_told_as_the_run_goes_on(
    server: Standin, quick: Quick, monkeypatch: pytest.MonkeyPatch, interrupted: Callable[..., None]
) -> None:
    monkeypatch.setenv("WANDB_X_STATS_SAMPLING_INTERVAL", "0.1")
    polls = iter(range(100))

    def look() -> bool:
        if next(polls) == 9:  # something was said after step 8
            wait_until(lambda: server.runs and all(map(told, server.runs.values())), "figures")
        return False

    def told(run: StoredRun) -> bool:
        measured = {name for event in run.events for name in event}
        return {"system.proc.memory.rssMB", "system.cpu"} <= measured and bool(run.output)

    result = execute(quick("health.calibration_error=0.0001"), stop=look)
    (run,) = server.runs.values()
    lines = "".join(run.output[number] for number in sorted(run.output))
    log = (result.directory / "run.log").read_text().splitlines()
    assert log
    assert [line for line in log if line not in lines] == []
    assert len(run.output) == len(log)


def test_what_an_interrupted_run_said_is_told_once(
    server: Standin, quick: Quick, interrupted: Callable[..., None]
) -> None:
    interrupted(6, "health.calibration_error=0.0001")
    result = execute(quick("health.calibration_error=0.0001"))
    (run,) = server.runs.values()
    log = (result.directory / "run.log").read_text().splitlines()
    assert any("continuing after step" in line for line in log)
    assert len(run.output) == len(log)


def test_machine_and_log_are_left_out_where_they_are_not_wanted(
    server: Standin, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_X_STATS_SAMPLING_INTERVAL", "0.1")
    execute(quick("tracking.system=false", "tracking.console=false"))
    (run,) = server.runs.values()
    assert run.events == []
    assert run.output == {}


def test_notes_and_source_are_sent_where_they_are_wanted(
    server: Standin, quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mylab").mkdir()
    own = (ROOT / "avatarl" / "reward" / "match.py").read_text()
    (tmp_path / "mylab" / "focal.py").write_text(own)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("WANDB_NOTES", "said by the shell")
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", str(PATIENCE_S))
    execute(quick("tracking.notes=said here", "tracking.code=true", "reward=match",
                  "+reward.kind=mylab.focal"))  # fmt: skip
    (run,) = server.runs.values()
    assert run.notes == "said here"
    (code,) = (each for each in server.artifacts.values() if each.kind == "code")
    assert code.committed
    assert code.files["mylab/focal.py"].decode() == own
    for name in ("avatarl/training/step.py", "conf/config.yaml"):
        assert code.files[name] == (ROOT / name).read_bytes()


def test_a_control_is_told_by_its_job_type(server: Standin, quick: Quick) -> None:
    execute(quick("objective=cross_entropy"))
    (run,) = server.runs.values()
    assert run.job_type == "control"


def test_an_interrupted_run_stays_one_run(
    server: Standin, quick: Quick, interrupted: Callable[..., None]
) -> None:
    interrupted(6)
    (run,) = server.runs.values()
    assert run.exit_code == 255  # as its own client tells it of Ctrl-C
    assert [row["_step"] for row in run.history] == [4]
    assert run.summary["best/nats"] == run.history[0]["val/nats"]
    # What is tracked may change meanwhile; the run is the same.
    result = execute(quick("tracking.tags=[later]"))
    assert list(server.runs) == [result["run_id"]]
    assert_holds_once(run, result)
    assert run.exit_code == 0
    assert "later" in run.tags
    assert run.summary["best/nats"] == pytest.approx(result["best/nats"])


def test_a_run_that_failed_is_told_as_failed(server: Standin, quick: Quick, tmp_path: Path) -> None:
    def fail(progress: Progress) -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        execute(quick(), on_progress=fail)
    (run,) = server.runs.values()
    assert run.exit_code == 1
    run.exit_code = None
    assert cli.main(["backfill", "--mode", "online", "--output-dir", str(tmp_path / "out")]) == 0
    assert run.exit_code == 1


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
    monkeypatch.setattr(recorder, "_avoid_until", {})
    result = execute(quick("seed=1"))
    assert_holds_once(server.runs[result["run_id"]], result)


@pytest.mark.slow
def test_an_agent_is_answered_by_runs_that_it_starts_and_by_those_that_are_done(
    server: Standin, quick: Quick, tmp_path: Path
) -> None:
    words = [*tiny.TINY, "trainer.steps=8", "trainer.log_every=4", "trainer.eval_every=4"]
    words += [f"output_dir={tmp_path / 'out'}", "trainer.sample_characters=10"]
    settings = dict(word.split("=", 1) for word in words)
    server.proposed = [{**settings, "optimizer.lr": lr} for lr in (0.01, 0.02, 0.01)]
    agent = [sys.executable, "-m", "wandb", "agent", f"{ENTITY}/avatarl/some-sweep"]
    environment = {**os.environ, "WANDB_FINISH_TIMEOUT": str(PATIENCE_S), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        agent, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    first, second, again = server.runs.values()
    assert [run.id for run in (first, second, again)] == ["proposed0", "proposed1", "proposed2"]
    assert {run.sweep for run in (first, second, again)} == {"some-sweep"}
    trained = {path.name for path in (tmp_path / "out" / "runs").iterdir()}
    assert len(trained) == 2
    for run, lr in ((first, 0.01), (second, 0.02), (again, 0.01)):
        assert run.exit_code == 0
        assert config_of(run)["optimizer.lr"] == config_of(run)["optimizer"]["lr"] == lr
        assert [row["_step"] for row in run.history] == [4, 8, 9]
        assert isinstance(run.summary["val/nats"], float)
    # What was done is told, not computed again.
    assert again.summary["val/nats"] == first.summary["val/nats"] != second.summary["val/nats"]
    assert again.history[0]["train/loss"] == first.history[0]["train/loss"]
    # Nor is anything left that a later upload would send under another name.
    for path in (tmp_path / "out" / "runs").iterdir():
        assert not delivery.is_left(path)
