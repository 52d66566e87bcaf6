"""Several trackers at once."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest

from avatarl import cli, composition
from avatarl.config import RunConfig, run_id
from avatarl.errors import UserError
from avatarl.tracking import base
from avatarl.tracking.tracker import Tracker
from avatarl.training import Interrupted, execute
from tests.tracking.event_file import points
from tests.tracking.wandb_standin import Standin

Quick = Callable[..., RunConfig]
BOTH = "tracking=[wandb,tensorboard]"


def test_each_is_told_and_set_by_its_own_keys(quick: Quick) -> None:
    words = [BOTH, "tracking.mode=offline", "tracking.tensorboard.x=characters"]
    result = execute(quick(*words))
    assert len(list(result.directory.glob("wandb/offline-run-*"))) == 1
    found = points(result.directory / "tensorboard")
    assert result["characters_seen"] in {point.step for point in found}


def test_what_is_tracked_is_no_part_of_a_runs_identity(quick: Quick) -> None:
    one, two = (quick(word).raw for word in ("tracking=files", BOTH))
    assert run_id(one, "0" * 64) == run_id(two, "0" * 64)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["tracking=[wandb,tensorbord]"], "did you mean 'tensorboard'"),
        (["tracking=[files,wandb]"], "always written"),
        ([BOTH, "tracking.tensorboard.x=epoch"], r"tracking\.tensorboard\.x='epoch'"),
        ([BOTH, "tracking.mode=on"], r"tracking\.mode='on'"),
        ([BOTH, "tracking.tensorboard.y=1"], r"tracking\.tensorboard\.y='1'"),
        (["tracking=tensorboard", "+tracking.mode=auto"], r"tracking\.mode='auto'"),
    ],
)
def test_what_none_of_them_has_is_refused_as_it_was_typed(
    quick: Quick, words: list[str], named: str
) -> None:
    with pytest.raises(UserError, match=named) as caught:
        quick(*words)
    assert "\n" not in str(caught.value)


def test_the_control_is_tracked_by_all_under_a_name_of_its_own(quick: Quick) -> None:
    raw = composition.control_of(quick(BOTH, "tracking.run_name=mine")).raw["tracking"]
    assert raw["trackers"]["wandb"]["run_name"] is None
    assert set(raw["trackers"]) == {"wandb", "tensorboard"}


def test_one_that_fails_takes_no_other_with_it(caplog: pytest.LogCaptureFixture) -> None:
    class Sink:
        def __init__(self, broken: bool) -> None:
            self.broken, self.told = broken, []
            self.complete: bool | None = None

        def log(self, step: int, record: Any) -> None:
            self.told.append(step)
            if self.broken:
                raise OSError("no space")

        def finish(self, ended: str, complete: bool) -> None:
            self.complete = complete

    sinks = {name: Sink(name == "bad") for name in ("bad", "good")}
    opened = [(base.Config(name=name, kind=name), sink) for name, sink in sinks.items()]
    tracker = Tracker(opened)  # type: ignore[arg-type]
    tracker.log(1, {})
    tracker.log(2, {})
    tracker.finish("done")
    assert (sinks["bad"].told, sinks["bad"].complete) == ([1], False)
    assert (sinks["good"].told, sinks["good"].complete) == ([1, 2], True)
    assert [record.message for record in caplog.records] == [
        "bad failed, the run goes on: OSError: no space"
    ]


def test_one_of_anothers_package_is_found_by_its_entry_point(
    quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, Any]] = []

    class Config(base.Config):
        def open(self, raw: Any, run_id: str, directory: Path, history: Any = ()) -> Any:
            told.append(("open", run_id))
            return Sink()

    class Sink:
        def __getattr__(self, method: str) -> Callable[..., None]:
            return lambda *words, **settings: told.append((method, words or settings))

    module = ModuleType("mylab_tracking")
    Config.__module__ = module.__name__
    module.Config = Config  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(
        "avatarl.options.entry_points",
        lambda group: {"mine": module.__name__} if group == "avatarl.tracking" else {},
    )
    (tmp_path / "conf/tracking").mkdir(parents=True)
    settings = "# @package tracking.mine\nname: mine\nkind: mine\n"
    (tmp_path / "conf/tracking/mine.yaml").write_text(settings)
    place = f"hydra.searchpath=[file://{tmp_path / 'conf'}]"
    result = execute(quick(place, "tracking=[tensorboard,mine]"))
    assert told[0] == ("open", result["run_id"])
    assert [word for word, _ in told if word not in ("log", "alarm")] == [
        "open",
        "summary",
        "finish",
    ]
    assert points(result.directory / "tensorboard")


@pytest.mark.parametrize(
    ("ended", "how"),
    [
        ("done", {}),
        ("paused", {"pause_at": 4}),
        ("interrupted", {"stop": lambda: True}),
        ("failed", {"on_progress": lambda progress: 1 / 0}),
    ],
)
def test_each_is_told_how_the_run_has_ended(
    quick: Quick, monkeypatch: pytest.MonkeyPatch, ended: str, how: Mapping[str, Any]
) -> None:
    sink = MagicMock()
    monkeypatch.setattr("avatarl.tracking.files.Config.open", lambda *words: sink)
    with contextlib.suppress(Interrupted, ZeroDivisionError):
        execute(quick("tracking=files"), **how)
    sink.finish.assert_called_once_with(ended, complete=True)


def test_backfill_sends_what_wandb_was_to_have(
    server: Standin, quick: Quick, tmp_path: Path
) -> None:
    words = [BOTH, "tracking.mode=offline", "tracking.project=mine"]
    result = execute(quick(*words))
    words = ["backfill", "--output-dir", str(tmp_path / "out"), "--mode", "online"]
    assert cli.main(words) == 0
    assert server.runs[result["run_id"]].project == "mine"
