"""A guard against slips of several times: the ratio benchmarks, tiny, with generous bounds.

Only ratios of processor time within one process are judged; absolute times never are.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted(
    path
    for path in (ROOT / "benchmarks").glob("*.py")
    if path.stem not in ("harness", "profile_run")
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.delenv("AVATARL_DATA_DIR", raising=False)
    import harness

    return harness


TINY = [
    "data=folio",
    "model=gpt2_tiny",
    "trainer.batch_size=32",
    "data.characters=20000",
    "optimizer=adamw",
]


def test_a_reward_step_costs_little_more_than_cross_entropy(script: ModuleType) -> None:
    bare = script.bare_step(script.learner(*TINY))
    on = script.learner(*TINY, "objective=grpo")
    old = script.learner(*TINY, "objective=grpo", "objective.sync_every=5")
    taken = script.in_turns(
        {
            "bare": bare,
            "on": lambda: on.train_step(with_facts=True),
            "old": lambda: old.train_step(with_facts=True),
        },
        15,
        3,
    )
    # At this size Python is most of a step: 1.15 and 1.45 are for networks worth training.
    assert statistics.median(script.ratios(taken, "on", "bare")) < 4
    assert statistics.median(script.ratios(taken, "old", "bare")) < 5


def test_one_forward_pass_beats_one_an_action(script: ModuleType) -> None:
    import naive_forward

    subject = script.learner(*TINY, "trainer.batch_size=64", "explorer.positions=last")
    found = list(naive_forward.compare(subject, 8, 5, "tiny"))
    assert found[0].name == "naive_forward/speedup/tiny"
    assert found[0].value > 8  # 65 times the arithmetic; measured about 30 at this size


def test_a_stack_of_small_runs_isnt_slower_than_one_by_one(script: ModuleType) -> None:
    from avatarl.training.stack import Stack

    settings = [*TINY, "trainer.batch_size=8"]
    alone = [script.learner(*settings, f"seed={seed}") for seed in range(6)]
    stack = Stack([script.learner(*settings, f"seed={seed}") for seed in range(6)])
    taken = script.in_turns(
        {
            "alone": lambda: [single.train_step(with_facts=False) for single in alone],
            "stacked": lambda: stack.train_step(with_facts=False),
        },
        10,
        2,
    )
    assert statistics.median(script.ratios(taken, "stacked", "alone")) < 1.5


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_benchmark_explains_itself_and_takes_the_common_options(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(path), "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "--quick" in done.stdout
    assert "--json" in done.stdout


def test_an_entry_is_one_json_line_with_its_machine() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/h200.py", "--quick", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for line in done.stdout.splitlines():
        entry = json.loads(line)
        assert entry.keys() >= {"name", "value", "unit", "min", "max", "target", "ok", "machine"}
        assert entry["min"] <= entry["value"] <= entry["max"]
        assert entry["machine"]["cores"] >= 1
