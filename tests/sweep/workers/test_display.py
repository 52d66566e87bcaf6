from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from avatarl.sweep.outcome import Event, RunOutcome
from avatarl.sweep.workers.display import Display


@pytest.mark.parametrize(
    ("cached", "seconds", "told"),
    [(False, 38.0, "0:38"), (False, 0.0, "0:26"), (True, 38.0, "already done")],
)
def test_a_run_is_told_from_start_to_end_where_that_is_known(
    cached: bool, seconds: float, told: str
) -> None:
    result = {"val/nats": 2.0, "val/accuracy": 0.5, "seconds": 26.0}
    run: Any = SimpleNamespace(id="a", label="seed=0", path=Path("a"))
    lines = io.StringIO()
    display = Display(Console(file=lines, width=200), 1, "sweep")
    display.event(
        Event("finished", run, outcome=RunOutcome("done", cached, result, seconds=seconds))
    )
    assert lines.getvalue().rstrip().endswith(told)
