"""The game itself on the comparison's page: what kept checkpoints of the best runs think."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from avatarl.errors import UserError
from avatarl.report.comparison import Comparison
from avatarl.runs.run import Run
from avatarl.text import printable, visible

#: Loading and asking a policy takes seconds: so many runs, checkpoints of each, and characters.
MOST_RUNS, MOST_CHECKPOINTS, _CHARACTERS = 6, 5, 300


def inspected(comparison: Comparison, text: str) -> tuple[dict[str, Any], list[str]]:
    """Ask the best runs' kept checkpoints what follows a text, and read a passage with them.

    Args:
        comparison: The best configurations' first seeds with checkpoints are asked.
        text: What the policies read.

    Returns:
        What the page shows, and what couldn't be asked, in words.
    """
    from avatarl.training.inspection import look
    from avatarl.training.stored import load_policies

    found, problems = _runs_with_checkpoints(comparison), []
    if not found:
        problems.append("nothing to inspect: no run has a checkpoint")
    if len(found) > MOST_RUNS:
        problems.append(f"inspected are the best {MOST_RUNS} of {len(found)} configurations")
    runs: dict[str, Any] = {}
    for run in found[:MOST_RUNS]:
        steps = _spread(run.folder.checkpoint_steps())
        try:
            views = [
                look(learner, corpus, text=text, characters=_CHARACTERS)
                for learner, corpus in load_policies(run.folder, steps)
            ]
        except UserError as error:
            problems.append(f"{run.name} isn't inspected: {error}")
            continue
        runs[run.run_id] = [_plain(view) for view in views]
    return {"text": text, "runs": runs}, problems


def _runs_with_checkpoints(comparison: Comparison) -> list[Run]:
    """Return the first such run of each configuration, the best first."""
    rows = [row for section in comparison.sections for row in section.configurations]
    first = [next((run for run in row.runs if run.folder.checkpoint_steps()), None) for row in rows]
    return [run for run in first if run is not None]


def _spread(steps: Sequence[int]) -> list[int]:
    """Return a few of the steps, evenly, the first and the last among them."""
    if len(steps) <= MOST_CHECKPOINTS:
        return list(steps)
    last = len(steps) - 1
    return [steps[round(at * last / (MOST_CHECKPOINTS - 1))] for at in range(MOST_CHECKPOINTS)]


def _plain(view: dict[str, Any]) -> dict[str, Any]:
    """Return a view as the page holds it: a list a choice and a list a character."""
    names = ("probability", "logprob", "reference", "reward", "advantage", "push")
    return {
        "step": view["step"],
        "nats": view["nats"],
        "accuracy": view["accuracy"],
        "choices": [
            [visible(one.character), one.matches, *(_short(getattr(one, name)) for name in names)]
            for one in view["choices"]
        ],
        "passage": [
            [
                printable(one.character, keep="\n"), _short(one.probability),
                visible(one.choice), _short(one.confidence), one.choice == one.character,
            ]
            for one in view["passage"]
        ],
    }  # fmt: skip


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")
