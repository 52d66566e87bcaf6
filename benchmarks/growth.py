"""How costs grow: with the text, the vocabulary, the context, and the replicas of a stack.

Each cost is told per character (or position), with the exponent of the total: 1 is linear. A step
costs a + b·V a position (all V actions are scored), and attention adds a term linear in the
context; nothing else should grow faster than what it works on. The text is generated.
"""

from __future__ import annotations

import functools
import math
import string
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from harness import Entry, Options, entry, in_turns, learner, main, seconds

LINEAR, SORTED = 1.1, 1.25


def measure(options: Options) -> Iterator[Entry]:
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for measured in (of_text, of_vocabulary, of_context, of_replicas):
        yield from measured(options.quick, curves)
    if options.picture is not None:
        draw(curves, options)


def of_text(quick: bool, curves: dict[str, Any]) -> Iterator[Entry]:
    """Read a text, count its 4-grams, shuffle an epoch: seconds per million characters."""
    import torch

    from avatarl.composition import compose
    from avatarl.data import Windows
    from avatarl.data.corpus import Corpus
    from avatarl.reference.add_alpha import Config

    sizes = [1, 2, 4] if quick else [1, 4, 16, 64, 100]
    settings = compose(["data=folio", f"data.characters={1_000_000}"])
    raw = settings.data.read()
    reference = settings.reference
    assert isinstance(reference, Config)
    reading, counting, shuffling = [], [], []
    for million in sizes:
        longer = type(raw)(raw.name, raw.text * million)
        reading.append(
            seconds(functools.partial(Corpus.from_text, longer, train_fraction=0.9, unseen="keep"))
        )
        corpus = Corpus.from_text(longer, train_fraction=0.9, unseen="keep")
        windows = Windows(len(corpus.train), 8, 64, "last", 0)
        shuffling.append(seconds(functools.partial(windows.starts, 0)))
        # A multiple of a text has its n-grams: what grows is the counting, not the table.
        counting.append(
            seconds(
                functools.partial(
                    reference.build, corpus.train, corpus.vocab_size, torch.device("cpu")
                )
            )
        )
        del corpus, longer, windows
    for name, costs in {
        "reading": reading,
        "reference_ngram4": counting,
        "shuffling_an_epoch": shuffling,
    }.items():
        sorting = name == "shuffling_an_epoch"
        target, note = (SORTED, "a sort: n log n") if sorting else (LINEAR, "")
        yield from told(f"text/{name}", sizes, costs, "Mchar", curves, target, note)


def of_vocabulary(quick: bool, curves: dict[str, Any]) -> Iterator[Entry]:
    """A step's cost, by vocabulary: linear in it, beyond what the network costs anyway."""
    sizes = [65, 250, 1000]
    costs = [_step(_text_of(size), "gpt2_small", 8, 16, quick) for size in sizes]
    yield from told("vocabulary/step", sizes, costs, "V", curves)


def of_context(quick: bool, curves: dict[str, Any]) -> Iterator[Entry]:
    """A step's cost by context, at as many positions: only attention should notice."""
    sizes = [8, 32, 128] if quick else [8, 32, 128, 256]
    costs = [_step(None, "gpt2_small", size, 1024 // size, quick) * size for size in sizes]
    yield from told("context/step", sizes, costs, "T", curves)


def of_replicas(quick: bool, curves: dict[str, Any]) -> Iterator[Entry]:
    """A stacked step's cost by replicas; below 1, they share what a step costs anyway."""
    from avatarl.training.stack import Stack

    sizes = [1, 2, 4, 8] if quick else [1, 2, 4, 8, 16, 32]
    settings = ["model=gpt2_tiny", "trainer.batch_size=8", "optimizer=adamw", "data=folio"]
    costs = []
    for size in sizes:
        stack = Stack([learner(*settings, f"seed={seed}") for seed in range(size)])
        taken = in_turns({"step": functools.partial(stack.train_step, with_facts=False)}, 10, 2)
        costs.append(sorted(taken["step"])[5])
    yield from told("replicas/stacked_step", sizes, costs, "replica", curves)


def told(
    name: str,
    sizes: Sequence[float],
    costs: Sequence[float],
    unit: str,
    curves: dict[str, Any],
    target: float | None = None,
    note: str = "",
) -> Iterator[Entry]:
    """Tell the exponent of the total cost, and the cost of one at both ends."""
    curves[name] = (list(sizes), list(costs))
    logs = np.log(np.array([sizes, costs]))
    between = np.diff(logs[1]) / np.diff(logs[0])
    overall = float((logs[1, -1] - logs[1, 0]) / (logs[0, -1] - logs[0, 0]))
    bound = LINEAR if target is None else target
    yield Entry(
        f"growth/{name}/exponent",
        overall,
        "1",
        float(between.min()),
        float(between.max()),
        bound,
        note=note,
    )
    for place in (0, -1):
        each = 1e3 * costs[place] / sizes[place]
        yield entry(f"growth/{name}/{sizes[place]}", [each], f"ms/{unit}")


def _step(text: str | None, model: str, length: int, batch: int, quick: bool) -> float:
    """Seconds of a step at about as many positions, whatever its shape."""
    import tempfile
    from pathlib import Path

    settings = [f"model={model}", f"model.context_length={length}", f"trainer.batch_size={batch}"]
    settings += ["reference=bigram", "optimizer=adamw"]
    with tempfile.TemporaryDirectory() as folder:
        if text is None:
            settings.append("data=folio")
        else:
            path = Path(folder) / "text.txt"
            path.write_text(text, encoding="utf-8")
            settings += ["data=text", f"data.path={path}"]
        subject = learner(*settings)
    taken = in_turns({"step": lambda: subject.train_step(with_facts=True)}, 5 if quick else 20)
    return sorted(taken["step"])[len(taken["step"]) // 2]


def _text_of(vocabulary: int) -> str:
    """Text with so many different characters, as unevenly spread as in a language."""
    letters = string.printable + "".join(chr(0x4E00 + n) for n in range(vocabulary))
    ranks = np.arange(1, vocabulary + 1)
    shares = (1 / ranks) / (1 / ranks).sum()
    drawn = np.random.default_rng(0).choice(vocabulary, 60_000, p=shares)
    return letters[:vocabulary] + "".join(letters[n] for n in drawn) + letters[:vocabulary]


def draw(curves: dict[str, tuple[list[float], list[float]]], options: Options) -> None:
    """Draw every cost per unit over the size, both logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    columns = 3
    rows = math.ceil(len(curves) / columns)
    figure, axes = plt.subplots(rows, columns, figsize=(10, 3 * rows), layout="constrained")
    for axis, (name, (sizes, costs)) in zip(axes.flat, curves.items(), strict=False):
        each = [1e3 * cost / size for size, cost in zip(sizes, costs, strict=True)]
        axis.loglog(sizes, each, marker="o")
        axis.set_title(name, fontsize=9)
        axis.set_ylabel("ms per unit")
        axis.set_ylim(min(each) / 3, max(each) * 3)
        axis.grid(alpha=0.3)
    for axis in list(axes.flat)[len(curves) :]:
        axis.set_visible(False)
    assert options.picture is not None
    options.picture.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.picture / "growth.png", dpi=110)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))
