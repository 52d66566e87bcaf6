"""wandb offline, for real: the files are read back with wandb's own reader."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wandb

from avatarl.composition import compose
from avatarl.config import RunConfig
from avatarl.errors import ConfigError, in_short
from avatarl.tracking import delivery
from avatarl.tracking.base import Config
from avatarl.tracking.tracker import Tracker
from avatarl.tracking.wandb import resolve_mode
from avatarl.training import Interrupted, execute
from tests.waiting import wait_until

Quick = Callable[..., RunConfig]


@pytest.fixture(autouse=True)
def nobody_is_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def records_of(directory: Path) -> list[dict[str, Any]]:
    """Every record of every offline file of a run, in wandb's own words."""
    found = []
    for folder in sorted(directory.glob("wandb/offline-run-*")):
        command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(folder)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found += [json.loads(line) for line in said.splitlines()]
    return found


def history_of(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record["history"]["item"] for record in records if record["type"] == "history"]


def test_without_an_account_it_logs_offline_what_the_journal_holds(quick: Quick) -> None:
    result = execute(quick("tracking.group=some-sweep", "tracking.tags=[mine]"))
    records = records_of(result.directory)
    run = next(record["run"] for record in records if record["type"] == "run")
    assert run["run_id"] == result["run_id"]
    assert run["run_group"] == "some-sweep"
    assert {"confidence_scaled", "bigram", "mine"} <= set(run["tags"])
    assert run["config"]["update"]["reward"]["confidence_weight"] == 0.5
    logged = {row["_step"]: row for row in history_of(records) if "train/loss" in row}
    lines = (result.directory / "metrics.jsonl").read_text().splitlines()[1:]
    written = [json.loads(line) for line in lines]
    losses = {line["step"]: line["train/loss"] for line in written if "train/loss" in line}
    assert {step: row["train/loss"] for step, row in logged.items()} == losses


def test_a_resumed_run_stays_one_run_with_monotone_steps(quick: Quick) -> None:
    polls = iter([False] * 6 + [True])
    with pytest.raises(Interrupted):
        execute(quick(), stop=lambda: next(polls))
    result = execute(quick())
    records = records_of(result.directory)
    runs = [record["run"] for record in records if record["type"] == "run"]
    assert {run["run_id"] for run in runs} == {result["run_id"]}
    steps = [row["_step"] for row in history_of(records)]
    assert steps == sorted(steps)
    assert len(set(steps)) == len(steps)
    # wandb can't continue an offline run: it is written anew, and there is only one.
    assert len(list(result.directory.glob("wandb/offline-run-*"))) == 1
    losses = [row["_step"] for row in history_of(records) if "train/loss" in row]
    assert losses == [4, 8, 12]


@pytest.mark.parametrize(
    ("words", "project", "name", "tag"),
    [
        ((), "theirs", "their name", "their tag"),
        (("tracking.project=ours", "tracking.run_name=our-name", "tracking.tags=[ours]"),
         "ours", "our-name", "ours"),
    ],
)  # fmt: skip
def test_wandbs_own_variables_say_what_the_configuration_does_not(
    quick: Quick,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    project: str,
    name: str,
    tag: str,
) -> None:
    variables = {"PROJECT": "theirs", "NAME": "their name", "TAGS": "their tag, another"}
    variables |= {"NOTES": "why not", "DIR": str(tmp_path / "elsewhere"), "MODE": "offline"}
    for key, value in variables.items():
        monkeypatch.setenv(f"WANDB_{key}", value)
    polls = iter([False] * 6 + [True])
    with pytest.raises(Interrupted):
        execute(quick(*words), stop=lambda: next(polls))
    result = execute(quick(*words))
    records = records_of(tmp_path / "elsewhere")
    assert not list(result.directory.glob("wandb/*run-*"))
    runs = [record["run"] for record in records if record["type"] == "run"]
    assert len({run["run_id"] for run in runs}) == 1
    found = runs[0]["project"], runs[0]["display_name"], runs[0]["notes"], tag in runs[0]["tags"]
    assert found == (project, name, "why not", True)
    # What is to be uploaded is found without the variable, and no other run's.
    monkeypatch.delenv("WANDB_DIR")
    (tmp_path / "elsewhere/wandb/offline-run-20260101_000000-another").mkdir()
    (folder,) = delivery.waiting(result.directory)
    assert folder.name.endswith(result["run_id"])
    assert delivery.state(result.directory) == "never"
    assert delivery.is_left(result.directory)


@pytest.mark.parametrize(
    ("variable", "value", "valid"),
    [
        ("WANDB_MODE", "bogus", "online, offline, disabled, shared, run, dryrun"),
        *[
            (variable, value, "a number of seconds, 0 or more")
            for variable in ("WANDB_INIT_TIMEOUT", "WANDB_FINISH_TIMEOUT")
            for value in ("soon", "nan", "inf", "-1")
        ],
    ],
)
@pytest.mark.parametrize("tracking", ["wandb", "[tensorboard,wandb]"])
def test_a_variable_of_wandb_that_cant_be_used_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, valid: str, tracking: str
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as refused:
        compose([f"tracking={tracking}"])
    assert str(refused.value) == f"{variable}='{value}' can't be used; valid: {valid}"
    compose(["tracking=files"])  # nobody asks


def test_what_a_worker_alone_has_wrong_in_its_environment_costs_its_run_nothing(
    quick: Quick, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = quick()
    monkeypatch.setenv("WANDB_MODE", "bogus")
    assert execute(config)["steps"]
    assert "wandb is off for this run: ConfigError: WANDB_MODE='bogus'" in caplog.text


def test_a_folder_of_wandb_that_cant_be_made_is_told_as_typed(
    quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    inside = tmp_path / "file" / "wandb"
    execute(quick(f"tracking.dir={inside}"))
    monkeypatch.setenv("WANDB_DIR", str(inside))
    execute(quick("seed=1"))
    why = f"='{inside}' can't be used (not a directory); valid: a folder that can be written to"
    assert f"tracking.dir{why}" in caplog.text
    assert f"WANDB_DIR{why}" in caplog.text


def test_what_wandb_itself_refuses_is_told_by_its_name() -> None:
    with pytest.raises(ValueError) as refused:
        wandb.Settings(base_url="bogus")
    told = "ValidationError: base_url='bogus': Input should be a valid URL"
    assert in_short(refused.value).startswith(told)


def test_what_is_said_and_measured_is_kept_offline_once(quick: Quick) -> None:
    words = ["health.calibration_error=0.0001"]
    polls = iter([False] * 6 + [True])
    with pytest.raises(Interrupted):
        execute(quick(*words), stop=lambda: next(polls))
    result = execute(quick(*words))
    records = records_of(result.directory)
    said = [record["output_logger"]["line"] for record in records if "output_logger" in record]
    log = (result.directory / "run.log").read_text()
    assert "continuing after step" in log
    assert "".join(said) == log
    assert any(record["type"] == "stats" for record in records)


def test_runs_of_a_sweep_lie_in_one_folder_of_wandb(
    quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "sweep"
    results = [execute(quick(f"seed={seed}", f"tracking.dir={place}")) for seed in range(2)]
    found = {path.name.rpartition("-")[2] for path in place.glob("wandb/offline-run-*")}
    assert found == {result["run_id"] for result in results}
    for result in results:
        (folder,) = delivery.waiting(result.directory)
        assert folder.parent == place / "wandb"
    # wandb's viewer shows them side by side.
    assert "[2 items]" in seen_by_leet(place / "wandb", "[2 items]")


def seen_by_leet(folder: Path, expected: str) -> str:
    """What wandb's viewer has drawn by the time that it shows what is expected."""
    mine, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
    command = [sys.executable, "-m", "wandb", "leet", str(folder)]
    terminal = {**os.environ, "TERM": "xterm-256color"}
    viewer = subprocess.Popen(
        command, stdin=its, stdout=its, stderr=its, env=terminal, start_new_session=True
    )
    os.close(its)
    drawn = ""

    def shows() -> bool:
        nonlocal drawn
        while select.select([mine], [], [], 0)[0]:
            drawn += re.sub(
                r"\x1b\[[0-9;?]*[A-Za-z]", "", os.read(mine, 1 << 16).decode(errors="replace")
            )
        return expected in drawn

    try:
        wait_until(shows, f"{expected!r} of {drawn!r}")
    finally:
        os.killpg(viewer.pid, signal.SIGKILL)  # wandb's Python has started another program
        viewer.wait()
        os.close(mine)
    return drawn


def test_disabled_leaves_no_files(quick: Quick) -> None:
    result = execute(quick("tracking.mode=disabled"))
    assert not (result.directory / "wandb").exists()


def test_a_sink_that_fails_is_dropped_and_the_run_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing:
        calls = 0
        complete: bool | None = None

        def log(self, step: int, record: object) -> None:
            self.calls += 1
            raise ConnectionError("no network")

        def finish(self, ended: str, complete: bool) -> None:
            self.complete = complete

    sink = Failing()
    recorder = Tracker([(Config(name="mine", kind="mine"), sink)])  # type: ignore[list-item]
    recorder.log(1, {"a": 1.0})
    recorder.log(2, {"a": 2.0})
    recorder.finish("done")
    assert sink.calls == 1
    assert sink.complete is False
    assert "the run goes on" in caplog.text
    assert "ConnectionError: no network" in caplog.text


def test_auto_is_online_only_where_a_key_is_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert resolve_mode("auto") == "offline"
    (tmp_path / "netrc").write_text("machine api.wandb.ai\n  login user\n  password key\n")
    assert resolve_mode("auto") == "online"
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert resolve_mode("auto") == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "key")
    assert resolve_mode("auto") == "online"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert resolve_mode("auto") == "disabled"
    assert resolve_mode("offline") == "offline"
