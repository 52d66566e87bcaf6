from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from avatarl import composition
from avatarl.config import RunConfig, structure_key
from avatarl.files import read_json, write_json
from avatarl.sweep.plan.cost import estimate
from avatarl.sweep.plan.planned import Candidate, make_plan
from avatarl.training import execute
from tests.tiny import TINY


def candidate(config: RunConfig) -> Candidate:
    return Candidate((), config.raw, f"{config.seed:016x}", structure_key(config))


def test_a_run_costs_what_a_finished_one_of_the_same_program_took(tmp_path: Path) -> None:
    short = [*TINY, "tracking=files", f"output_dir={tmp_path}", "trainer.sample_characters=0"]
    seconds = execute(composition.compose([*short, "trainer.steps=4"]))["seconds"]
    alike = composition.compose([*short, "trainer.steps=8", "seed=1", "optimizer.lr=0.01"])
    other = composition.compose([*short, "trainer.steps=8", "seed=2", "model.n_layer=1"])
    runs = make_plan("s", [candidate(alike), candidate(other)], corpus={}).runs
    found = estimate(runs, tmp_path)
    assert (found.known, found.unknown) == (1, 1)
    assert abs(found.hours * 3600 - 2 * seconds) < 1e-6
    # A run whose settings are refused by now tells nothing, and stops nobody.
    [file] = tmp_path.glob("runs/*/config.json")
    write_json(file, {**read_json(file), "reward": {"name": "gone"}})
    assert replace(estimate(runs, tmp_path), hours=0.0).known == 0
