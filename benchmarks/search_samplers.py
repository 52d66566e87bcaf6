"""What proposing by TPE and stopping early by ASHA find, against random search at equal steps.

Five keys of a small run are searched: by TPE with ASHA, by random proposals with ASHA, and by
random proposals that each go to their ends, until as many steps are spent. ``lead`` is by how many
nats what was found is better than what random search found, on the slice that steers, by seed.

Some ten minutes a seed with one thread.

    python benchmarks/search_samplers.py [--quick] [--json]
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness import ROOT, Entry, Options, entry, main

from avatarl.search.summary import steps_spent
from avatarl.sweep.plan.planned import Plan
from avatarl.sweep.plan.study import study_of

SEEDS, SEEDS_QUICK = 5, 1
TRIALS, TRIALS_QUICK = 48, 6
STEPS, STEPS_QUICK = 270, 54
SETTINGS = [
    "data=folio", "data.characters=200000", "model=gpt2_tiny", "trainer.batch_size=64",
    "trainer.eval_positions=4096", "trainer.sample_characters=5", "trainer.threads=1",
    "trainer.device=cpu", "tracking=files", "optimizer=adamw", "sweep_name=s",
    "hydra/sweeper=search", "hydra.launcher.workers=1", "hydra.launcher.control=false",
    "hydra.launcher.compare=false",
]  # fmt: skip
SPACE = [
    "optimizer.lr=tag(log,interval(1e-4,1e-1))", "optimizer.weight_decay=tag(log,interval(1e-3,1))",
    "objective.ent_coef=tag(log,interval(1e-4,1))", "objective.kl_coef=tag(log,interval(1e-4,1))",
    "reference=choice(unigram,bigram,trigram)",
]  # fmt: skip


def measure(options: Options) -> Iterator[Entry]:
    leads: dict[str, list[float]] = {"tpe with asha": [], "random with asha": []}
    steps = STEPS_QUICK if options.quick else STEPS
    trials = TRIALS_QUICK if options.quick else TRIALS
    for seed in range(SEEDS_QUICK if options.quick else SEEDS):
        most = 0
        found = {}
        for way in leads:
            spent, found[way] = search(way, trials, steps, seed)
            most = max(most, spent)
        count = math.ceil(most / steps)
        spent, alone = search("random", count, steps, seed)
        for way, value in found.items():
            leads[way].append(alone - value)
        told = ", ".join(f"{way} {value:.4f}" for way, value in found.items())
        told += f" in {most} steps; random {alone:.4f} in {spent}"
        print(f"seed {seed}: {told}", file=sys.stderr)
    for way, lead in leads.items():
        yield entry(f"search/{way.replace(' ', '_')}/lead", lead, "nats", 0.0, at_least=True)


def search(way: str, trials: int, steps: int, seed: int) -> tuple[int, float]:
    """Search; the steps that were spent, and the best value."""
    with tempfile.TemporaryDirectory() as place:
        sampler, _, stops = way.partition(" with ")
        words = [
            *SETTINGS, *SPACE, f"trainer.steps={steps}", f"trainer.eval_every={steps // 27}",
            f"seed={seed}", f"search={stops or 'none'}", f"hydra.sweeper.sampler={sampler}",
            f"hydra.sweeper.seed={seed}", f"hydra.sweeper.n_trials={trials}",
            f"output_dir={place}",
        ]  # fmt: skip
        command = [sys.executable, str(ROOT / "run.py"), "-m", *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        sweep = Path(place) / "sweeps" / "s"
        study = study_of(Plan.read(sweep), sweep)
        assert study is not None, done.stdout + done.stderr
        best = study.best()
        assert best is not None, done.stdout + done.stderr
        return steps_spent(study), best[1]


if __name__ == "__main__":
    raise SystemExit(main(__doc__, measure))
