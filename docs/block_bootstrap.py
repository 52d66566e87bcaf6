"""Would another stretch of text have told the same? A sweep's runs against their controls.

    python docs/block_bootstrap.py record_policy_matched [--outputs outputs]

Each run and the control of its seed score every held-out character; the differences are averaged
over seeds and resampled in moving blocks, since neighbours depend on each other (Künsch 1989,
Annals of Statistics 17, §2). Prints JSON: mean, 95 % interval and two-sided p of each setting.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarl import load_runs
from avatarl.runs.folder import RunFolder
from avatarl.training.evaluation import facts_by_position
from avatarl.training.stored import load_policy

BLOCK = 1000  # characters, about a speech or two
RESAMPLES = 100_000
FIGURES = ("nats", "accuracy")


def told(folder: RunFolder) -> NDArray[np.float64]:
    """Return nats and hits of a run's policy at each held-out character: (2,M)."""
    learner, corpus = load_policy(folder)
    (facts,) = facts_by_position(
        lambda context, positions: [learner.headline(context, positions)],
        learner.held_out(corpus.heldout),
        device=learner.device,
    )
    return np.stack([facts["nll"].double().numpy(), facts["correct"].double().numpy()])


def resampled(differences: NDArray[np.float64], rng: np.random.Generator) -> dict[str, object]:
    """Return mean, 95 % interval and p of per-character differences (M,)."""
    total = np.concatenate([[0.0], differences.cumsum()])
    blocks = total[BLOCK:] - total[:-BLOCK]  # sums of every block
    drawn = rng.integers(len(blocks), size=(RESAMPLES, round(len(differences) / BLOCK)))
    means = blocks[drawn].mean(1) / BLOCK
    low, high = np.quantile(means, [0.025, 0.975])
    worse = 1 + min((means >= 0).sum(), (means <= 0).sum())
    return {
        "mean": round(float(differences.mean()), 5),
        "interval": [round(float(low), 5), round(float(high), 5)],
        "p": min(1.0, 2 * float(worse) / (RESAMPLES + 1)),
    }


def main() -> None:
    """Score each run, and resample its lead over the control of the same seed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sweep")
    parser.add_argument("--outputs", type=Path, default=Path("outputs"))
    asked = parser.parse_args()
    controls: dict[int, NDArray[np.float64]] = {}
    others: dict[str, dict[int, NDArray[np.float64]]] = defaultdict(dict)
    plan = json.loads((asked.outputs / "sweeps" / asked.sweep / "plan.json").read_text())
    for run in load_runs(asked.sweep, output_dir=asked.outputs):
        varied = [f"{key}={run.config[key]}" for key in plan["keys"] if key != "seed"]
        of = controls if run.is_control else others[" ".join(varied)]
        of[run.config["seed"]] = told(run.folder)
    rng = np.random.default_rng(0)
    for label, by_seed in others.items():
        lead = np.mean([scores - controls[seed] for seed, scores in by_seed.items()], 0)
        found = {name: resampled(row, rng) for name, row in zip(FIGURES, lead, strict=True)}
        print(
            json.dumps({"setting": label, "n": len(by_seed), "characters": lead.shape[1], **found})
        )


if __name__ == "__main__":
    main()
