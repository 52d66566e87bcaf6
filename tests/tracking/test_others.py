"""The trackers of docs/extending.md beside the real MLflow and Trackio, where installed."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"
RAW = {"name": "match-none", "seed": 0, "trainer": {"steps": 20}}
RECORDS = [
    {"step": step, "characters_seen": 64 * step, "train/loss": 1 / step, "val/nats": None}
    for step in (5, 10, 15, 20)
]
RESULT = {"run_id": "0123", "steps": 20, "val/nats": 2.5}


def told(
    module: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> Iterator[str]:
    """Tell a run to the page's tracker, interrupted after two records and taken up again.

    Yields:
        Each time it has ended, how.
    """
    (source,) = re.findall(
        rf"^```python file=mylab/{module}.py\n(.*?)^```", PAGE.read_text(), re.M | re.S
    )
    (folder / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(str(folder))
    tracker = importlib.import_module(module).Config(name=module, kind=module, **settings)
    for first, last, ended in ((0, 2, "interrupted"), (2, 4, "done")):
        sink = tracker.open(RAW, "0123", folder / "match-none-0123", RECORDS[:first])
        for record in RECORDS[first:last]:
            sink.log(record["step"], record)
        if last == len(RECORDS):
            sink.alarm("calibration raised", True)
            sink.summary(RESULT)
        sink.finish(ended, True)
        yield ended


def test_mlflow_has_each_point_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    store = f"sqlite:///{tmp_path / 'store.db'}"
    client = mlflow.MlflowClient(store)
    statuses = {"interrupted": "KILLED", "done": "FINISHED"}
    for ended in told("mlflow_runs", tmp_path, monkeypatch, uri=store, experiment="avatarl"):
        (run,) = client.search_runs([client.get_experiment_by_name("avatarl").experiment_id])
        assert run.info.status == statuses[ended]
    points = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(point.step, point.value) for point in points] == losses()
    assert run.data.metrics["result/val/nats"] == 2.5
    assert run.data.params["trainer.steps"] == "20"
    assert run.data.tags["alarm"] == "calibration raised"


def test_trackio_has_each_point_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio")
    storage = importlib.import_module("trackio.sqlite_storage").SQLiteStorage
    assert len(list(told("trackio_runs", tmp_path, monkeypatch, project="avatarl"))) == 2
    *logged, result = storage.get_logs("avatarl", "match-none-0123")
    assert [(record["step"], record["train/loss"]) for record in logged] == losses()
    assert result["result/val/nats"] == 2.5
    (alert,) = storage.get_alerts("avatarl")
    assert alert["title"] == "calibration raised"


def losses() -> list[tuple[Any, Any]]:
    return [(record["step"], record["train/loss"]) for record in RECORDS]
