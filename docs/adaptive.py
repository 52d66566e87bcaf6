"""How well does a finished policy read if it goes on learning as it reads; and an n-gram that does?

    python docs/adaptive.py RUN [--outputs outputs]

The step's size is chosen on the run's development slice. The n-gram is the run's own reference,
counted anew before each stretch of the held-out text, from the training text and everything before
that stretch. Prints JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from avatarl.reference.base import CountedConfig
from avatarl.runs.find import find_run
from avatarl.training.adaptive import evaluate_while_learning
from avatarl.training.stored import load_policy

RATES = (0.003, 0.01, 0.03, 0.1, 0.2)
STRETCHES = 16


def count_while_reading(
    config: CountedConfig, train: np.ndarray, text: np.ndarray, vocab_size: int, stretches: int
) -> dict[str, float]:
    """Score a text by a reference that is counted anew before each of ``stretches`` of it."""
    seen = np.concatenate([train, text])
    ids = torch.from_numpy(seen.astype(np.int64))
    nats, hits = [], []
    for part in np.array_split(np.arange(len(train), len(seen)), stretches):
        with TemporaryDirectory() as folder:
            own = dataclasses.replace(config, cross_fit=None, cache_dir=folder)
            reference = own.build(seen[: part[0]], vocab_size, torch.device("cpu"))
            before = ids[part[0] - reference.order + 1 : part[-1] + 1]
            contexts = before.unfold(0, reference.order - 1, 1)[: len(part)]  # (n,order-1)
            logprobs = reference.logprobs(contexts)  # (n,V)
        target = ids[part[0] : part[-1] + 1]
        nats.append(-logprobs.gather(1, target.unsqueeze(1)).squeeze(1))
        hits.append((logprobs.argmax(1) == target).double())
    return {
        "nats": round(torch.cat(nats).double().mean().item(), 4),
        "accuracy": round(torch.cat(hits).mean().item(), 4),
    }


def main() -> None:
    """Choose the step's size, read the held-out text with it, and let the n-gram read it, too."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--outputs", type=Path, default=Path("outputs"))
    asked = parser.parse_args()
    learner, corpus = load_policy(find_run(asked.run, asked.outputs))
    config = learner.config
    fit, dev = corpus.split_dev(config.data.dev_fraction, config.data.dev_from)

    def read(text: np.ndarray, rate: float) -> dict[str, float]:
        figures = evaluate_while_learning(
            learner.headline_by,
            learner.state.headline,
            learner.held_out(text),
            every=config.trainer.adapt_every,
            lr=rate,
            device=learner.device,
        )
        return {name.removeprefix("adaptive/"): round(figures[name], 4) for name in figures}

    tried = {rate: read(dev, rate)["nats"] for rate in (0.0, *RATES)}
    chosen = min(tried, key=tried.__getitem__)
    print(json.dumps({"on the slice, by rate": tried}), flush=True)
    for rate in (0.0, chosen):
        print(json.dumps({"rate": rate, **read(corpus.heldout, rate)}), flush=True)
    for stretches in (1, STRETCHES):
        found = count_while_reading(
            config.reference, fit, corpus.heldout, corpus.vocab_size, stretches
        )
        print(json.dumps({"n-gram counted": stretches, **found}), flush=True)


if __name__ == "__main__":
    main()
