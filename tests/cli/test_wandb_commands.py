from __future__ import annotations

import json
import sys

import pytest

from avatarl import cli
from avatarl.training import Result


def test_backfill_writes_the_journal_into_wandb_once(
    run: Result, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["backfill", str(run.directory), "--mode", "offline"]
    assert cli.main(words) == 0
    assert cli.main(words) == 0
    (folder,) = run.directory.glob("wandb/offline-run-*")
    assert folder.name.endswith(run["run_id"])
    lines = (run.directory / "metrics.jsonl").read_text().splitlines()[1:]
    assert f"{len([json.loads(line) for line in lines])} records" in capsys.readouterr().out


def test_sync_says_what_is_waiting_and_what_is_left(
    run: Result, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = str(run.directory.parents[1])
    assert cli.main(["sync", "--output-dir", outputs]) == 0
    assert "nothing to upload" in capsys.readouterr().out
    assert cli.main(["backfill", str(run.directory), "--mode", "offline"]) == 0
    capsys.readouterr()
    assert cli.main(["sync", "--output-dir", outputs, "--dry-run"]) == 0
    assert run["run_id"] in capsys.readouterr().out
    # No server answers on this port, so the upload fails and must be told.
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert cli.main(["sync", "--output-dir", outputs, "--timeout", "5"]) == 1
    assert "0 uploaded, 1 left" in capsys.readouterr().out


def test_a_run_marked_as_uploaded_is_not_uploaded_again(
    run: Result, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["backfill", str(run.directory), "--mode", "offline"]) == 0
    (folder,) = run.directory.glob("wandb/offline-run-*")
    (folder / f"run-{run['run_id']}.wandb.synced").touch()
    capsys.readouterr()
    assert cli.main(["sync", str(run.directory)]) == 0
    assert "nothing to upload" in capsys.readouterr().out


def test_a_report_needs_its_library_or_holds_the_table(
    run: Result, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["wandb-report", str(run.directory), "--dry-run"]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "wandb_workspaces", None)
        patch.setitem(sys.modules, "wandb_workspaces.reports.v2", None)
        assert cli.main(words) == 2
        assert "pip install wandb-workspaces" in capsys.readouterr().err
    assert cli.main(words) == 0
    assert f"{run['val/nats']:.4f}" in capsys.readouterr().out
