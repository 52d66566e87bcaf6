from __future__ import annotations

import io

import pytest
from rich.console import Console

from avatarl.runs.state import RunState
from avatarl.sweep.outcome import Event, RunOutcome
from avatarl.sweep.plan.planned import Candidate, Plan, make_plan
from avatarl.sweep.workers.display import Display


@pytest.mark.parametrize(
    ("cached", "seconds", "told"),
    [(False, 38.0, "0:38"), (False, 0.0, "0:26"), (True, 38.0, "already done")],
)
def test_a_run_is_told_from_start_to_end_where_that_is_known(
    cached: bool, seconds: float, told: str
) -> None:
    result = {"val/nats": 2.0, "val/accuracy": 0.5, "seconds": 26.0}
    plan = one_run()
    lines = io.StringIO()
    display = Display(Console(file=lines, width=200), plan, lambda drawn: None)
    outcome = RunOutcome("done", cached, result, seconds=seconds)
    display.event(Event("finished", plan.runs[0], outcome=outcome))
    assert lines.getvalue().rstrip().endswith(told)


def one_run() -> Plan:
    config = {"name": "a", "output_dir": "outputs"}
    return make_plan("sweep", [Candidate(("seed=0",), config, "0" * 16, "")], corpus={})


def test_the_table_follows_the_events() -> None:
    plan = one_run()
    [run] = plan.runs
    display = Display(Console(file=io.StringIO()), plan, lambda drawn: None)
    for event, state in [
        (Event("waiting", run, reason="owned"), RunState.QUEUED),
        (Event("started", run), RunState.RUNNING),
        (Event("retried", run, reason="died"), RunState.NEW),
        (Event("finished", run, outcome=RunOutcome("failed")), RunState.FAILED),
    ]:
        display.event(event)
        assert [row.state for row in display.survey().rows] == [state]
