"""How much of what a policy predicts would n-gram rules have said, checkpoint by checkpoint?

    python docs/explained.py RUN … [--outputs outputs]     # runs that kept their checkpoints

The rule of order n names the character that most often follows the last n - 1 in the training text;
where they never occurred it is silent. A prediction (the policy's first choice) is explained if a
rule names the same character. After Nguyen 2024, arXiv 2407.12034, with plain suffixes as contexts.
Writes docs/findings/explained.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatarl.runs.find import find_run
from avatarl.runs.folder import RunFolder
from avatarl.training.stored import load_policies

ORDERS = range(1, 9)
POSITIONS = 16_384
CHECKPOINTS = 24  # of a run, about, evenly
SILENT = -1


def rule(train: np.ndarray, windows: np.ndarray, order: int, vocab_size: int) -> np.ndarray:
    """Return what the rule of ``order`` names after each of ``windows`` (N,T): (N,), or SILENT."""
    powers = vocab_size ** np.arange(order - 1, -1, -1, dtype=np.int64)  # of the character before
    grams = np.lib.stride_tricks.sliding_window_view(train.astype(np.int64), order) @ powers
    keys, counts = np.unique(grams, return_counts=True)
    contexts, best = keys // vocab_size, np.lexsort((keys, -counts, keys // vocab_size))
    known, first = np.unique(contexts[best], return_index=True)
    names = keys[best][first] % vocab_size
    asked = windows[:, windows.shape[1] - order + 1 :].astype(np.int64) @ powers[1:]
    at = np.searchsorted(known, asked).clip(max=len(known) - 1)
    return np.where(known[at] == asked, names[at], SILENT)


def explain(folder: RunFolder) -> list[dict[str, Any]]:
    """Return what the rules explain of each checkpoint of a run."""
    rows = []
    said = None
    kept = folder.checkpoint_steps()
    steps = kept[:: max(1, len(kept) // CHECKPOINTS)]
    for step, (learner, corpus) in zip(steps, load_policies(folder, steps), strict=True):
        length, size = learner.config.model.context_length, corpus.vocab_size
        starts = np.linspace(0, len(corpus.heldout) - length - 1, POSITIONS).astype(np.int64)
        windows = corpus.heldout[starts[:, None] + np.arange(length)]
        targets = corpus.heldout[starts + length]
        if said is None:
            said = np.stack([rule(corpus.train, windows, order, size) for order in ORDERS])
        with torch.no_grad():
            parts = torch.from_numpy(windows.astype(np.int64)).split(1024)
            logits = torch.cat([learner.model(part)[:, -1].float() for part in parts])
        logprobs = torch.log_softmax(logits, -1).numpy()
        choice = logprobs.argmax(-1)
        agree = said == choice
        rows.append(
            {
                "characters": step * learner.config.trainer.batch_size * length,
                "nats": round(float(-logprobs[np.arange(POSITIONS), targets].mean()), 4),
                "accuracy": round(float((choice == targets).mean()), 4),
                "explained": round(float(agree.any(0).mean()), 4),
                "by_order": [round(float(share), 4) for share in agree.mean(1)],
            }
        )
    return rows


def main() -> None:
    """Read the runs' checkpoints and write what the rules explain of each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--outputs", type=Path, default=Path("outputs"))
    asked = parser.parse_args()
    told = [
        {"seed": folder.read_config()["seed"], "rows": explain(folder)}
        for folder in (find_run(run, asked.outputs) for run in asked.runs)
    ]
    text = json.dumps({"positions": POSITIONS, "orders": list(ORDERS), "runs": told})
    path = Path(__file__).parent / "findings" / "explained.json"
    path.write_text(text.replace('{"characters"', '\n{"characters"') + "\n")


if __name__ == "__main__":
    main()
