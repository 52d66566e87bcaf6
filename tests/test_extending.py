"""Options of one's own: docs/extending.md is true, and what `avatarl new` writes works."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from avatarl import cli
from avatarl.errors import ConfigError
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[1]
GROUPS = ("reward", "explorer", "objective", "reference", "model", "optimizer", "opponent", "data")

#: As much of MLflow as the page calls: it writes down what it is told.
MLFLOW = """
import json
from types import SimpleNamespace


class MlflowClient:
    def __init__(self, uri):
        pass

    def get_experiment_by_name(self, name):
        return None

    def search_runs(self, places, words):
        return []

    def create_run(self, place, tags, run_name):
        data = SimpleNamespace(metrics={})
        return SimpleNamespace(info=SimpleNamespace(run_id="mlflow-1"), data=data)

    def __getattr__(self, method):
        def told(*words, **settings):
            with open("told.jsonl", "a") as file:
                file.write(json.dumps([method, *words]) + chr(10))
            return "1"
        return told
"""


def command(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "avatarl"] if words[0] == "avatarl" else [sys.executable]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*program, *words[1:]],
        cwd=cwd,
        env={**environment, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def ids(folder: Path, name: str) -> set[str]:
    return {path.name for path in folder.glob(f"outputs/runs/{name}-*")}


def config_of(folder: Path, name: str) -> str:
    return (folder / "outputs" / "runs" / name / "config.json").read_text()


@pytest.mark.slow
def test_the_page_on_extending_does_what_it_says(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", page, re.M | re.S)
    (tmp_path / "mlflow.py").write_text(MLFLOW)
    said = ""
    for language, name, content in blocks:
        if name:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content, encoding="utf-8")
        elif language == "bash":
            for line in content.splitlines():
                done = command(*shlex.split(line), cwd=tmp_path)
                assert done.returncode == 0, line + "\n" + done.stdout + done.stderr
                said += done.stdout
    assert "reward.gamma" in said
    told = [json.loads(line) for line in (tmp_path / "told.jsonl").read_text().splitlines()]
    assert told[0] == ["create_experiment", "first"]
    assert told[-1] == ["set_terminated", "mlflow-1", "FINISHED"]
    losses = [call for call in told if call[:3] == ["log_metric", "mlflow-1", "train/loss"]]
    (tracked,) = tmp_path.glob("outputs/runs/*/tensorboard/events.out.tfevents.*")
    lines = (tracked.parents[1] / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    logged = [record["train/loss"] for record in records if "train/loss" in record]
    assert [call[3] for call in losses] == logged
    # gamma=2 by hand and within the sweep is one run.
    before = ids(tmp_path, "focal-ngram4")
    assert len(before) == 2
    (code,) = tmp_path.glob("outputs/code/*/mylab/focal.py")
    assert code.read_text() == (tmp_path / "mylab" / "focal.py").read_text()
    # What is refused, and what an edit means.
    once = "avatarl run -cd conf reward=focal data=folio model=gpt2_tiny trainer.steps=40 "
    words = shlex.split(once + "tracking=files")
    refused = command(*words, "reward.gamma=-1", cwd=tmp_path)
    assert refused.returncode == 2
    assert "reward.gamma" in refused.stderr
    assert "focal" in command("avatarl", "run", "-cd", "conf", "--help", cwd=tmp_path).stdout
    with (tmp_path / "mylab" / "focal.py").open("a") as module:
        module.write("# edited\n")
    assert command(*words, cwd=tmp_path).returncode == 0
    assert len(ids(tmp_path, "focal-ngram4") - before) == 1
    # One of the sweep is reproduced from the frozen copy, whatever has become of the module.
    (other,) = (name for name in before if '"gamma": 0' in config_of(tmp_path, name))
    again = command("avatarl", "reproduce", other, cwd=tmp_path)
    assert "matches in every metric" in again.stdout, again.stdout + again.stderr


@pytest.mark.slow
def test_what_new_writes_passes_its_own_tests(tmp_path: Path) -> None:
    for group in (*GROUPS, "plot", "failure"):
        done = command("avatarl", "new", group, f"own_{group}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    done = command("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path)
    assert f"{len(GROUPS) + 2} passed" in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["rewards", "focal"], "did you mean 'reward'"),
        (["reward", "Focal"], "name="),
        (["reward", "class"], "name="),
        (["reward", "focal", "--like", "mach"], "did you mean 'match'"),
        (["reward", "focal", "--package", "../x"], "--package"),
    ],
)
def test_what_new_cannot_write_is_refused(
    words: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new", *words]) == ConfigError.exit_code
    assert named in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_new_overwrites_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_focal.py").write_text("mine")
    assert cli.main(["new", "reward", "focal"]) == ConfigError.exit_code
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["test_focal.py"]
