"""How well do finished policies read together, and with an n-gram that they never trained with?

    python docs/mixing.py RUN [RUN …] [--outputs outputs] [--share 0.15]

The mixture of probabilities is ``(1 - share) mean(policies) + share reference``, by the first run's
reference as it was counted. The share is chosen on the development slice, where all runs have one
and none has trained on it; else it is to be given. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avatarl.runs.find import find_run
from avatarl.training.batches import cut_text
from avatarl.training.evaluation import evaluate
from avatarl.training.learner import Learner
from avatarl.training.stored import load_policy

SHARES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
FIGURES = ("nats", "accuracy", "ece", "entropy")


def read(learners: Sequence[Learner], text: np.ndarray, share: float) -> dict[str, float]:
    """Score a text by the mixture; 0 is the policies and 1 the reference by itself."""
    first = learners[0]
    weighted = [((1 - share) / len(learners), learner.headline) for learner in learners]
    if share:
        assert first.score_reference is not None, "the first run has no reference"
        weighted.append((share, first.score_reference))

    def score(context: Tensor, positions: int) -> Tensor:
        parts = [math.log(w) + scorer(context, positions) for w, scorer in weighted if w]
        return torch.logsumexp(torch.stack(parts), 0)  # (B,n,V)

    found = evaluate(score, first.held_out(text), device=first.device).metrics
    return {name: round(found[f"val/{name}"], 4) for name in FIGURES}


def main() -> None:
    """Choose the share, and read the held-out text by each, by all, and with the n-gram."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--outputs", type=Path, default=Path("outputs"))
    parser.add_argument("--share", type=float)
    asked = parser.parse_args()
    if asked.share is not None and not 0 <= asked.share <= 1:
        parser.error(f"--share {asked.share} can't be used; valid: 0 to 1")
    loaded = [load_policy(find_run(run, asked.outputs)) for run in asked.runs]
    learners, corpus = [learner for learner, _ in loaded], loaded[0][1]
    slices = [cut_text(learner.config, corpus)[1] for learner in learners]
    share, development = asked.share, slices[0]
    if share is None:
        if development is None or not all(
            one is not None and np.array_equal(one, development) for one in slices
        ):
            parser.error("the runs have no development slice in common: --share is needed")
        tried = {one: read(learners, development, one)["nats"] for one in SHARES}
        share = min(tried, key=tried.__getitem__)
        print(json.dumps({"on the slice, by share": tried}), flush=True)
    for run, learner in zip(asked.runs, learners, strict=True):
        print(json.dumps({"run": run, **read([learner], corpus.heldout, 0.0)}), flush=True)
    alone = [1.0] if learners[0].score_reference is not None else []  # a control has none
    for one in dict.fromkeys((0.0, share, *alone)):
        figures = read(learners, corpus.heldout, one)
        print(json.dumps({"policies": len(learners), "share": one, **figures}), flush=True)


if __name__ == "__main__":
    main()
