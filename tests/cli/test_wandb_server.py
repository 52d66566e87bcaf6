"""The commands that talk to wandb's server, against a stand-in on the loopback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from avatarl import cli, composition
from avatarl.runs import ownership
from avatarl.runs.folder import RunFolder
from avatarl.tracking import delivery
from avatarl.training import Interrupted, Result, execute
from tests import tiny
from tests.tracking.wandb_standin import Standin, StoredRun

SMALL = [
    *tiny.TINY,
    "trainer.steps=8",
    "trainer.log_every=2",
    "trainer.eval_every=4",
    "trainer.eval_positions=64",
    "trainer.sample_characters=5",
]


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    return tmp_path / "out"


def train(outputs: Path, *overrides: str) -> Result:
    return execute(composition.compose([*SMALL, f"output_dir={outputs}", *overrides]))


def losses(directory: Path) -> dict[int, float]:
    lines = (directory / "metrics.jsonl").read_text().splitlines()[1:]
    records: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return {each["step"]: each["train/loss"] for each in records if "train/loss" in each}


def assert_holds_once(run: StoredRun, result: Result) -> None:
    steps = [row["_step"] for row in run.history]
    assert steps == sorted(set(steps))
    sent = {row["_step"]: row["train/loss"] for row in run.history if "train/loss" in row}
    assert sent == pytest.approx(losses(result.directory))
    assert run.summary["val/nats"] == pytest.approx(result["val/nats"])
    assert run.summary["best/nats"] == pytest.approx(result["best/nats"])
    samples = [[item["temperature"], item["text"]] for item in result["samples"]]
    assert run.table("samples")["data"] == samples


def test_sync_uploads_offline_runs_and_says_what_is_left(
    server: Standin, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = [train(outputs, "tracking.mode=offline", f"seed={seed}") for seed in range(3)]
    words = ["sync", "--output-dir", str(outputs), "--timeout", "60"]
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    assert "3 uploaded, 0 left" in said
    assert len(server.runs) == 3
    for result in results:
        run = server.runs[result["run_id"]]
        assert_holds_once(run, result)
        assert run.display_name == f"{result['name']}-seed{result['seed']}"
        assert run.job_type == "train"
        assert delivery.state(result.directory) == "complete"
    assert cli.main(words) == 0
    assert "nothing to upload" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["gone", "error", "silence"])
def test_a_failing_server_leaves_runs_for_the_next_time(
    server: Standin, outputs: Path, capsys: pytest.CaptureFixture[str], trouble: str
) -> None:
    results = [train(outputs, "tracking.mode=offline", f"seed={seed}") for seed in range(2)]
    port = server.port
    if trouble == "gone":
        server.stop()
    else:
        server.trouble = trouble
    words = ["sync", "--output-dir", str(outputs), "--timeout", "6"]
    assert cli.main(words) == 1
    said = capsys.readouterr().out
    assert "0 uploaded, 2 left" in said
    assert all(result.directory.name in said for result in results)
    assert all(delivery.is_left(result.directory) for result in results)
    assert cli.main([*words, "--dry-run"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2

    back = Standin(port) if trouble == "gone" else server
    back.trouble = None
    try:
        assert cli.main([*words[:-1], "60"]) == 0
        assert "2 uploaded, 0 left" in capsys.readouterr().out
        for result in results:
            assert_holds_once(back.runs[result["run_id"]], result)
    finally:
        back.stop()


def test_sync_sends_the_rest_of_a_run_that_lost_its_server(
    server: Standin, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    polls = iter([False] * 5 + [True])
    config = composition.compose([*SMALL, f"output_dir={outputs}"])
    with pytest.raises(Interrupted):
        execute(config, stop=lambda: next(polls))
    (run,) = server.runs.values()
    assert [row["_step"] for row in run.history] == [2, 4]
    server.trouble = "error"
    result = execute(config)
    assert [row["_step"] for row in run.history] == [2, 4]
    server.trouble = None
    assert cli.main(["sync", "--output-dir", str(outputs), "--timeout", "60"]) == 0
    assert "1 uploaded, 0 left" in capsys.readouterr().out
    assert list(server.runs) == [result["run_id"]]
    assert_holds_once(run, result)


def test_an_offline_run_that_went_on_after_its_upload_is_not_sent_twice(
    server: Standin, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    polls = iter([False] * 5 + [True])
    config = composition.compose([*SMALL, f"output_dir={outputs}", "tracking.mode=offline"])
    with pytest.raises(Interrupted):
        execute(config, stop=lambda: next(polls))
    words = ["sync", "--output-dir", str(outputs), "--timeout", "60"]
    assert cli.main(words) == 0
    result = execute(config)
    assert cli.main(words) == 0
    assert capsys.readouterr().out.count("1 uploaded, 0 left") == 2
    assert_holds_once(server.runs[result["run_id"]], result)


def test_a_run_that_still_runs_is_not_uploaded(
    server: Standin, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = train(outputs, "tracking.mode=offline")
    (result.directory / "result.json").unlink()
    ownership.claim(RunFolder(result.directory))
    assert cli.main(["sync", "--output-dir", str(outputs)]) == 0
    said = capsys.readouterr().out
    assert "1 still running" in said
    assert "nothing to upload" in said
    assert server.runs == {}


def test_backfill_re_creates_runs_online_as_they_were_meant(
    server: Standin, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracked = train(outputs, "tracking.mode=offline", "tracking.project=mine", "tracking.group=g")
    plain = train(outputs, "tracking=files", "seed=1")
    words = ["backfill", "--output-dir", str(outputs), "--mode", "online"]
    assert cli.main(words) == 0
    capsys.readouterr()
    for result, project, group in ((tracked, "mine", "g"), (plain, "avatarl", None)):
        run = server.runs[result["run_id"]]
        assert (run.project, run.group or None) == (project, group)
        assert_holds_once(run, result)
        assert not delivery.is_left(result.directory)
    # Once more adds nothing.
    assert cli.main([*words, "--artifact"]) == 0
    for result in (tracked, plain):
        assert_holds_once(server.runs[result["run_id"]], result)
    weights = [each for each in server.artifacts.values() if each.kind == "model"]
    assert sorted(each.run for each in weights) == sorted([tracked["run_id"], plain["run_id"]])
    assert all(each.committed for each in weights)


def test_backfill_to_a_server_that_is_down_says_so(
    server: Standin, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = train(outputs, "tracking=files")
    server.stop()
    assert cli.main(["backfill", str(result.directory), "--mode", "online"]) == 1
    err = capsys.readouterr().err
    assert result.directory.name in err
    assert err.count("\n") == 1
    assert delivery.is_left(result.directory)


def test_a_report_is_saved_as_a_draft(
    server: Standin, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = train(outputs, "tracking.group=some-sweep")
    assert cli.main(["wandb-report", "--output-dir", str(outputs), "--title", "Sweep"]) == 0
    (view,) = server.views
    assert (view["type"], view["displayName"]) == ("runs/draft", "Sweep")
    assert (view["entityName"], view["projectName"]) == ("someone", "avatarl")
    spec = json.loads(view["spec"])
    (table,) = (each for each in spec["blocks"] if each["type"] == "markdown-block")
    assert f"{result['val/nats']:.4f}" in table["content"]
    (grid,) = (each for each in spec["blocks"] if each["type"] == "panel-grid")
    assert "characters_seen" in json.dumps(grid)
    assert f"{server.url}/someone/avatarl/reports/Sweep" in capsys.readouterr().out
