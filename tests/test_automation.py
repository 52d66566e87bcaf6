"""docs/automation.md says what commands print for programs, key by key."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from avatarl import cli
from tests.tiny import TINY
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[1]
SHORT = [*TINY, "tracking=files", "trainer.steps=4", "trainer.eval_positions=64"]
SHORT += ["trainer.sample_characters=0", "sweep_name=s"]
TYPES: dict[str, Any] = {
    "integer": int,
    "string": str,
    "list": list,
    "object": dict,
    "boolean": bool,
    "number": (int, float),
    "string or null": (str, type(None)),
    "number or null": (int, float, type(None)),
}


def tables(heading: str) -> list[dict[str, str]]:
    """The tables of a section: the type of each key."""
    page = (ROOT / "docs" / "automation.md").read_text(encoding="utf-8")
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [
        dict(re.findall(r"^\| `(\w+)` \| ([a-z ]+) \|", part, re.M))
        for part in section.split("\n\n")
        if part.startswith("| key")
    ]


def check(told: Mapping[str, Any], keys: Mapping[str, str], *, more: bool = False) -> None:
    assert keys.keys() <= told.keys() if more else keys.keys() == told.keys()
    for key, kind in keys.items():
        assert isinstance(told[key], TYPES[kind]), (key, told[key])


def run(cwd: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), "-m", *SHORT, *words],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("automation")
    run(folder, "seed=0,1", "hydra/launcher=basic")
    return folder


def test_a_plan(tmp_path: Path) -> None:
    """Nothing else is on standard output, not that two combinations are one run."""
    plan, of_a_run = tables("Plan")
    told = json.loads(run(tmp_path, "seed=0,0,1", "hydra.launcher.dry_run=json"))
    check(told, plan)
    assert [run["is_control"] for run in told["runs"]] == [False, False, True, True]
    for one in told["runs"]:
        check(one, of_a_run)
    assert list(tmp_path.iterdir()) == []


def test_status(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert cli.main(["status", "s", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for line in lines:
        check(json.loads(line), *tables("Status"))


def test_a_comparison(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert cli.main(["compare", "s", "--json"]) == 0
    whole, row = tables("Comparison")
    told = json.loads(capsys.readouterr().out)
    check(told, whole)
    for one in told["rows"]:
        check(one, row if one["kind"] != "ngram" else dict(list(row.items())[:5]), more=True)


def test_an_inspection(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    (name, *_) = (path.name for path in (folder / "outputs" / "runs").iterdir())
    assert cli.main(["inspect", name, "--json"]) == 0
    check(json.loads(capsys.readouterr().out), *tables("Inspection"))


def test_references(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["references", "--data", "folio", "--orders", "2", "--json"]) == 0
    whole, row = tables("References")
    told = json.loads(capsys.readouterr().out)
    check(told, whole)
    for one in told["references"]:
        check(one, row)
