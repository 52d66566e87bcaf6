"""How well does a finished policy read with an n-gram mixed in that it never trained with?

    python docs/mixing.py RUN [--outputs outputs] [--share 0.15]

The mixture of probabilities is ``(1 - share) policy + share reference``, by the run's own reference
as it was counted. Where the run has a development slice the share is chosen on it; where it has
none, it is to be given. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avatarl.runs.find import find_run
from avatarl.training.batches import cut_text
from avatarl.training.evaluation import evaluate
from avatarl.training.learner import Learner
from avatarl.training.stored import load_policy

SHARES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
FIGURES = ("nats", "accuracy", "ece", "entropy")


def read(learner: Learner, text: np.ndarray, share: float) -> dict[str, float]:
    """Score a text by the mixture; 0 is the policy and 1 the reference by itself."""
    policy, reference = learner.headline, learner.score_reference
    assert reference is not None, "the run has no reference"

    def score(context: Tensor, positions: int) -> Tensor:
        parts = [
            math.log(weight) + scorer(context, positions)
            for weight, scorer in ((1 - share, policy), (share, reference))
            if weight
        ]
        return torch.logsumexp(torch.stack(parts), 0)  # (B,n,V)

    found = evaluate(score, learner.held_out(text), device=learner.device).metrics
    return {name: round(found[f"val/{name}"], 4) for name in FIGURES}


def main() -> None:
    """Choose the share, and read the held-out text with it, with none, and by the n-gram alone."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--outputs", type=Path, default=Path("outputs"))
    parser.add_argument("--share", type=float)
    asked = parser.parse_args()
    learner, corpus = load_policy(find_run(asked.run, asked.outputs))
    _, development, _ = cut_text(learner.config, corpus)
    share = asked.share
    if share is None:
        if development is None:
            parser.error("the run has no development slice to choose by: --share is needed")
        tried = {one: read(learner, development, one)["nats"] for one in (0.0, *SHARES)}
        share = min(tried, key=tried.__getitem__)
        print(json.dumps({"on the slice, by share": tried}), flush=True)
    for one in (0.0, share, 1.0):
        print(json.dumps({"share": one, **read(learner, corpus.heldout, one)}), flush=True)


if __name__ == "__main__":
    main()
