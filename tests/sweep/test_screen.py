"""The table of a sweep at any width: what differs, whole figures, what matters most."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from avatarl.runs.progress import Progress
from avatarl.runs.state import RunState
from avatarl.sweep.plan.planned import Candidate, Plan, make_plan
from avatarl.sweep.screen import RunTable, render
from avatarl.sweep.survey import Row, Survey

SHARED = ("data=folio", "trainer.epochs=3", "sweep_name=d2")


def plan(folder: Path | str = "outputs") -> Plan:
    """Four runs that differ in two keys and their seed, and a control for each seed."""

    def candidate(name: str, *words: str) -> Candidate:
        config = {"name": "x", "output_dir": str(folder), "trainer": {"steps": 100}}
        return Candidate(words, config, f"{name:0>16}", "")

    asked = [
        candidate(
            f"{seed}{weight[-1]}", *SHARED, f"reward.confidence_weight={weight}", f"seed={seed}"
        )
        for seed in (0, 1)
        for weight in ("0", "0.5")
    ]

    def control(run: Candidate) -> Candidate:
        return Candidate(run.overrides, run.config, f"c{run.overrides[-1][-1]}{'0' * 14}", "")

    return make_plan("d2", asked, corpus={}, control=control)


def drawn(rows: list[Row], width: int, names: Plan | None = None, **how: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(RunTable((names or plan()).names, rows, **how))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def running(at: int, **progress: object) -> Row:
    moment = Progress(step=12, steps=1003, rate=107.25, eta_s=3723.0, loss=-0.25, nats=2.125)
    run = plan().runs[at]
    return Row(run, RunState.RUNNING, job_id="1234_5", node="node17", gpu="0,1", progress=moment)


def test_what_runs_share_is_said_once_and_their_number_with_the_controls() -> None:
    console = Console(file=io.StringIO(), width=100, color_system=None)
    rows = [Row(run, RunState.NEW) for run in plan().runs]
    console.print(render(plan(), Survey(rows, reachable=True)))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert lines[:2] == ["d2: 4 runs + 2 controls: 6 new", "all: data=folio trainer.epochs=3"]
    assert [line.split() for line in lines[2:]] == [
        ["confidence_"], ["weight", "seed", "state"],
        ["0", "0", "new"], ["0.5", "0", "new"], ["0", "1", "new"], ["0.5", "1", "new"],
        ["control", "0", "new"], ["control", "1", "new"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("width", "headings"),
    [
        (120, "weight seed state step left nats steps/s loss job node gpu"),
        (80, "weight seed state step left nats steps/s job node"),
        (60, "weight seed state step left nats job"),
        (40, "weight seed state left"),
    ],
)
def test_columns_are_left_out_in_order_of_worth(width: int, headings: str) -> None:
    lines = drawn([running(0), running(1)], width)
    assert lines[1].split() == headings.split()
    assert max(map(cell_len, lines)) <= width


@given(st.integers(10, 160))
def test_no_figure_and_no_state_is_ever_cut(width: int) -> None:
    lines = drawn([running(0), running(1)], width)
    words = {"0", "0.5", "running", "12/1003", "1:02:03", "2.1250", "107.2", "-0.2500"}
    words |= {"1234_5", "node17", "0,1"}
    assert all(set(line.split()) <= words for line in lines[2:] if width >= 40)
    assert width < 40 or all("running" in line for line in lines[2:])


def test_failures_come_first_with_their_whole_reason() -> None:
    runs = plan().runs
    reason = "RuntimeError: " + "a long story " * 10 + "and its end"
    rows = [running(0), Row(runs[1], RunState.FAILED, reason=reason), Row(runs[2], RunState.DONE)]
    for width in (60, 120, 300):
        lines = drawn(rows, width)
        words = [word for line in lines for word in line.split()]
        assert words.index("failed") < words.index("running") < words.index("done")
        told = " ".join(" ".join(lines).split())
        assert reason in told
        assert max(map(cell_len, lines)) <= width


def test_wide_characters_keep_columns_straight_and_long_names_keep_their_ends() -> None:
    words = ["data.path=/家/文/" + "長" * 40 + "/a.txt", "data.path=/b.txt"]
    config = {"name": "x", "output_dir": "outputs"}
    asked = [Candidate((word,), config, f"{n:016x}", "") for n, word in enumerate(words)]
    named = make_plan("s", asked, corpus={})
    rows = [Row(run, RunState.FAILED, reason="no") for run in named.runs]
    lines = drawn(rows, 60, named)
    assert {cell_len(line.partition("failed")[0]) for line in lines if "failed" in line} == {
        cell_len(lines[0].partition("state")[0])
    }
    assert lines[1].startswith("/家")
    assert "/a.txt" in lines[1]
    assert max(map(cell_len, lines)) <= 60


def test_what_is_not_listed_is_counted() -> None:
    rows = [Row(run, RunState.NEW) for run in plan().runs]
    assert drawn([running(0), *rows[1:]], 80, most=2)[-1] == "… and 4 new"


def test_the_time_left_is_that_of_all_runs() -> None:
    runs = plan().runs
    done, failed = Row(runs[0], RunState.DONE), Row(runs[1], RunState.FAILED)
    waiting = [Row(run, RunState.NEW) for run in runs[4:]]
    assert Survey([done, failed, *waiting], True).left_s is None
    half = Progress(step=50, steps=100, rate=2.0)
    quarter = Progress(step=75, steps=100, rate=1.0)
    working = [
        Row(runs[2], RunState.RUNNING, progress=half),
        Row(runs[3], RunState.RUNNING, progress=quarter),
    ]
    # 50 steps at ½ s and 25 at 1 s are left; two runs of 100 at the mean ¾ s: 200 s for two.
    left = Survey([done, failed, *working, *waiting], True).left_s
    assert left == pytest.approx((50 * 0.75 + 25 * 0.75 + 2 * 100 * 0.75) / 2)
    # The last one takes as long as it takes.
    assert Survey([done, working[1]], True).left_s == pytest.approx(25.0)
