"""How well do finished policies read together, and with an n-gram that they never trained with?

    python docs/mixing.py RUN [RUN …] [--outputs outputs] [--share 0.15] [--tempered]

The mixture of probabilities is ``(1 - share) mean(policies) + share reference``, by the first run's
reference as it was counted. The share is chosen on the development slice, where all runs have one
and none has trained on it; else it is to be given. So is the temperature of the whole, where it is
asked for: that is what calibrates a finished policy without a teacher. Prints JSON.
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
TEMPERATURES = (1.0, 1.05, 1.1, 1.15, 1.2, 1.25)
FIGURES = ("nats", "accuracy", "ece", "entropy")


def read(
    learners: Sequence[Learner], text: np.ndarray, share: float, temperature: float = 1.0
) -> dict[str, float]:
    """Score a text by the mixture; 0 is the policies and 1 the reference by itself."""
    first = learners[0]
    weighted = [((1 - share) / len(learners), learner.headline) for learner in learners]
    if share:
        assert first.score_reference is not None, "the first run has no reference"
        weighted.append((share, first.score_reference))

    def score(context: Tensor, positions: int) -> Tensor:
        parts = [math.log(w) + scorer(context, positions) for w, scorer in weighted if w]
        mixed = torch.logsumexp(torch.stack(parts), 0)  # (B,n,V)
        return mixed if temperature == 1 else (mixed / temperature).log_softmax(-1)

    found = evaluate(score, first.held_out(text), device=first.device).metrics
    return {name: round(found[f"val/{name}"], 4) for name in FIGURES}


def main() -> None:
    """Choose the share, and read the held-out text by each, by all, and with the n-gram."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--outputs", type=Path, default=Path("outputs"))
    parser.add_argument("--share", type=float)
    parser.add_argument("--tempered", action="store_true", help="choose a temperature, too")
    asked = parser.parse_args()
    if asked.share is not None and not 0 <= asked.share <= 1:
        parser.error(f"--share {asked.share} can't be used; valid: 0 to 1")
    loaded = [load_policy(find_run(run, asked.outputs)) for run in asked.runs]
    learners, corpus = [learner for learner, _ in loaded], loaded[0][1]
    slices = [cut_text(learner.config, corpus)[1] for learner in learners]

    def choose(*tried: tuple[float, float]) -> tuple[float, float]:
        """Take the share and temperature that predict the development slice best."""
        text = slices[0]
        if text is None or not all(one is not None and np.array_equal(one, text) for one in slices):
            parser.error("no development slice in common: --share is needed, without --tempered")
        nats = [read(learners, text, *one)["nats"] for one in tried]
        for one, value in zip(tried, nats, strict=True):
            tell(one, slice_nats=value)
        return tried[nats.index(min(nats))]

    def tell(one: tuple[float, float], **figures: float) -> None:
        print(json.dumps({"share": one[0], "temperature": one[1], **figures}), flush=True)

    share, temperature = asked.share, 1.0
    if share is None:
        share, _ = choose(*((one, 1.0) for one in SHARES))
    if asked.tempered:
        _, temperature = choose(*((share, one) for one in TEMPERATURES))
    for run, learner in zip(asked.runs, learners, strict=True):
        print(json.dumps({"run": run, **read([learner], corpus.heldout, 0.0)}), flush=True)
    mixtures = {(0.0, 1.0), (share, 1.0), (share, temperature)}
    if learners[0].score_reference is not None:  # a control may have none
        mixtures.add((1.0, 1.0))
    for one in sorted(mixtures):
        tell(one, **read(learners, corpus.heldout, *one))


if __name__ == "__main__":
    main()
