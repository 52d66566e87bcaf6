from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import rich.console

from avatarl.config import RunConfig
from avatarl.data import load
from avatarl.reference.levels import NgramLevel
from avatarl.runs.progress import Progress
from avatarl.runs.result import Result
from avatarl.training import precision
from avatarl.training.console import Console, screen, sparkline, standing, watched

LEVELS = {
    "unigram": NgramLevel(3.3, 0.1),
    "bigram": NgramLevel(2.5, 0.2),
    "trigram": NgramLevel(2.0, 0.3),
}


def test_a_sparkline_spans_its_own_range() -> None:
    assert sparkline([0.0, 0.5, 1.0]) == "▁▅█"
    assert sparkline([3.0, 3.0]) == "▁▁"
    assert sparkline([]) == ""


def test_where_a_loss_stands_on_the_ladder() -> None:
    assert standing(None, LEVELS) == ""
    assert standing(4.0, LEVELS) == "0.70 to unigram"
    assert standing(2.25, LEVELS) == "better than bigram, 0.25 to trigram"
    assert standing(1.5, LEVELS) == "better than trigram"


def test_the_live_lines_fit_a_narrow_terminal() -> None:
    moment = Progress(
        step=12_000,
        steps=15_000,
        rate=107.0,
        eta_s=136.0,
        loss=0.1,
        nats=2.25,
        warnings=("calibration", "confidence_collapse"),
        metrics={"reward/hit_probability": 0.5, "reward/expected": 1.0, "train/entropy": 2.0},
    )
    drawn = io.StringIO()
    terminal = rich.console.Console(file=drawn, width=80)
    terminal.print(screen(moment, [0.1] * 15 + [0.5], LEVELS))
    lines = drawn.getvalue().splitlines()
    assert "…" not in drawn.getvalue()
    assert [len(line) <= 80 for line in lines] == [True] * 4
    assert "step 12,000 of 15,000" in lines[0]
    assert "0:02:16 left, 107.0 steps/s" in lines[0]
    assert lines[0].count("━") > 10
    assert lines[1].startswith("nats 2.250  better than bigram, 0.25 to trigram")
    assert lines[2].startswith("hits 0.500 ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁█  reward 1.000  entropy 2.000")
    assert lines[3].startswith("alarms: calibration, confidence_collapse")


@pytest.mark.parametrize(
    ("overrides", "constant"),
    [
        (["reward=propensity", "objective=expected"], True),
        (["reward=propensity", "objective=expected", "reward.alpha=0.5"], False),
        (["reward=match"], False),
        (["reward=propensity", "objective=cross_entropy"], False),
        (["reward=propensity", "objective=expected", "opponent=population"], False),
    ],
)
def test_a_reward_that_is_constant_by_construction_is_said_to_be(
    tiny: Callable[..., RunConfig], overrides: list[str], constant: bool
) -> None:
    config, told = tiny(*overrides), io.StringIO()
    console = Console(rich.console.Console(file=told, width=200))
    console.introduce(config, "id", load(config.data))
    assert ("the expected reward is 1 times its weight by construction" in told.getvalue()) is (
        constant
    )


def test_long_lines_break_between_words_on_a_terminal_only() -> None:
    words = "word " * 30
    for terminal, breaks in ((True, 2), (False, 1)):
        told = io.StringIO()
        Console(rich.console.Console(file=told, force_terminal=terminal, width=80)).say(words)
        lines = told.getvalue().splitlines()
        assert len(lines) == breaks
        assert all(line.strip().endswith("word") for line in lines)


def test_on_a_terminal_the_run_shows_its_reward_and_standing(
    tiny: Callable[..., RunConfig],
) -> None:
    config = tiny()
    screen = io.StringIO()
    terminal = rich.console.Console(file=screen, force_terminal=True, width=200)
    corpus = load(config.data)
    result = watched(config, corpus, "id", lambda: False, Console(terminal))
    assert "steps/s" in screen.getvalue()
    assert "to unigram" in screen.getvalue()
    assert result["state"] == "done"


@pytest.mark.parametrize("terminal", [True, False])
def test_what_a_run_does_otherwise_than_asked_is_said_and_alarms_are_said_once(
    tiny: Callable[..., RunConfig], terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "slowdown", lambda device: 9.0)
    config = tiny("trainer.precision=bf16", "health.calibration_error=1e-6")
    told = io.StringIO()
    console = rich.console.Console(
        file=told, force_terminal=terminal, width=200, highlight=False, color_system=None
    )
    result = watched(config, load(config.data), "id", lambda: False, Console(console))
    assert told.getvalue().count("note: trainer.precision=bf16: products take 9.0 times") == 1
    assert "calibration" in result["alarms"]
    raised = [line for line in told.getvalue().splitlines() if "warning: calibration" in line]
    assert len(raised) == 1
    assert "note: step" not in told.getvalue()


def test_a_run_ends_with_what_to_type_next(
    tiny: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for directory, spoken in [
        (tmp_path / "outputs/runs/x-0", "x-0"),
        (Path("/else where/runs/x-0"), "'/else where/runs/x-0'"),
    ]:
        told = io.StringIO()
        Console(rich.console.Console(file=told, width=20)).conclude(Result(directory, {}))
        assert told.getvalue().splitlines() == [
            f"files:    {directory}",
            f"next:     avatarl sample {spoken}",
            f"          avatarl inspect {spoken} --text 'To be, or not to b'",
            f"          avatarl compare {spoken} --html run.html",
        ]
