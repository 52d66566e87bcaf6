"""Every shipped recipe composes, says what it expects, and takes steps."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

from avatarl import composition
from avatarl.data import Corpus
from avatarl.data import load as load_corpus
from avatarl.errors import UserError
from avatarl.source import CONF, ROOT
from avatarl.training.learner import Learner

RECIPES = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
SMALL = [
    "model=gpt2_tiny",
    "model.n_embd=32",
    "model.n_head=4",
    "trainer.batch_size=8",
    "trainer.micro_batch_size=4",
    "trainer.device=cpu",
    "data=folio",
    "data.characters=20000",
    "tracking=files",
]


@functools.cache
def folio() -> Corpus:
    return load_corpus(composition.compose(SMALL).data)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_takes_two_finite_steps(recipe: str) -> None:
    torch.set_num_threads(1)
    config = composition.compose([f"+experiment={recipe}", *SMALL, "trainer.precision=fp32"])
    assert config.name == recipe
    assert config.trainer.steps is not None  # a recipe's length is in steps
    learner = Learner(config, folio(), torch.device("cpu"))
    for _ in range(2):
        for name, value in learner.train_step(with_facts=True).items():
            assert bool(value.isfinite()), name


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_states_the_curve_it_expects(recipe: str) -> None:
    text = (CONF / "experiment" / f"{recipe}.yaml").read_text()
    assert "# Expected: " in text


def test_the_published_settings_are_those_of_the_seed() -> None:
    common = {
        "clip_coef": 0.5, "kl_coef": 0.001, "kl_warmup_characters": 50_000, "kl_target": 0.02,
        "kl_window": 10, "std_floor": 0.1, "sync_every": 5,
    }  # fmt: skip
    facts = {
        "seed_a": ("temperature", 32, 512, 64, 500, 0.01),
        "seed_b": ("exhaustive", 8, 4096, 512, 272, 0.01),
        "seed_c": ("exhaustive", 8, 4096, 512, 816, 0.08),
    }
    for recipe, expected in facts.items():
        raw = composition.compose([f"+experiment={recipe}"]).raw
        assert {key: raw["objective"][key] for key in common} == common
        assert (raw["model"]["n_layer"], raw["model"]["n_head"], raw["model"]["n_embd"]) == (
            6,
            8,
            512,
        )
        optimizer = raw["optimizer"]
        assert (optimizer["lr"], optimizer["weight_decay"]) == (3e-5, 0.01)
        assert (optimizer["beta1"], optimizer["beta2"], optimizer["grad_clip"]) == (0.9, 0.95, 1.0)
        trainer = raw["trainer"]
        found = (
            raw["explorer"]["name"], raw["model"]["context_length"], trainer["batch_size"],
            trainer["micro_batch_size"], trainer["steps"], raw["objective"]["ent_coef"],
        )  # fmt: skip
        assert found == expected
        assert raw["trainer"]["precision"] == "bf16"
    explorer_a = composition.compose(["+experiment=seed_a"]).raw["explorer"]
    assert (explorer_a["samples"], explorer_a["temperature"], explorer_a["horizon"]) == (4, 1.2, 8)
    reward = composition.compose(["+experiment=seed_c"]).raw["reward"]
    assert (reward["confidence_weight"], reward["scale_min"], reward["scale_max"]) == (0.5, 1, 2)


def test_what_is_typed_beside_a_recipe_counts() -> None:
    config = composition.compose(
        ["+experiment=seed_b_small", "reference=trigram", "trainer.steps=3", "objective.ent_coef=0"]
    )
    assert config.reference.name == "trigram"
    assert (config.trainer.steps, config.raw["objective"]["ent_coef"]) == (3, 0)


def test_an_experiment_is_told_how_to_be_named() -> None:
    with pytest.raises(UserError, match=r"valid: \+experiment=seed_a"):
        composition.compose(["experiment=seed_a"])
    with pytest.raises(UserError, match="did you mean 'seed_a'"):
        composition.compose(["+experiment=seed_aa"])


@pytest.mark.parametrize(("sweep", "runs"), [("seed_a", 3), ("seed_b", 3), ("seed_c", 6)])
def test_each_sweep_is_three_seeds_of_the_small_one_with_its_control(
    sweep: str, runs: int, tmp_path: Path
) -> None:
    words = ["-cn", sweep, "hydra.launcher.dry_run=json", *SMALL, f"output_dir={tmp_path / 'out'}"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *words],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    planned = [Path(one["run"]).name.rpartition("-")[0] for one in json.loads(done.stdout)["runs"]]
    assert Counter(planned) == {f"{sweep}_small": runs, "control": 3}
