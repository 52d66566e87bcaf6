"""Measure every reference on one text: what to look at before choosing one."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch

from avatarl.reference import ensemble, infinigram, kneser_ney
from avatarl.reference.add_alpha import AddAlpha
from avatarl.reference.base import MISSING, CountedConfig, Reference, history_windows
from avatarl.reference.counted import tabulate
from avatarl.reference.counts import count_grams
from avatarl.reference.interpolated import Interpolated, tune
from avatarl.reference.kneser_ney import KneserNey
from avatarl.reference.schedule import Constant
from avatarl.reference.smoothing import Smoothing
from avatarl.reference.table import RowTable
from avatarl.reference.witten_bell import WittenBell

COUNTED = ("add_alpha", "witten_bell", "interpolated", "kneser_ney")
DEV_FRACTION = 0.05
BASE_ORDER = 7
"""Of the Kneser–Ney under the ∞-gram, as in its preset; lower if no such order is asked for."""
BATCH = 16384
SHORT_ORDER = 5
"""Of the ensemble's first Kneser–Ney; the second has the highest order asked for."""
BINS = 15
"""Of the calibration error; each holds equally many positions."""


@dataclass(frozen=True)
class Measurement:
    """One reference, measured.

    Attributes:
        reference: Option of the group.
        order: Longest context plus one.
        nats: Mean −log p of the held-out characters.
        perplexity: e to that.
        accuracy: Share of positions whose most probable character is the true one.
        ece: Calibration error over bins of equal mass of the highest probability.
        build_s: Seconds from text to table, without cross-fitting and without the cache.
        size_mib: Memory that look-ups need.
    """

    reference: str
    order: int
    nats: float
    perplexity: float
    accuracy: float
    ece: float
    build_s: float
    size_mib: float

    def as_dict(self) -> dict[str, Any]:
        """Give the row as JSON values."""
        return asdict(self)


def plan(orders: Sequence[int], text_length: int) -> list[tuple[str, int]]:
    """List what is measured: every counted reference at every order, then the longer ones.

    Args:
        orders: From 1 to 12.
        text_length: N; orders above it are left out.
    """
    fitting = [order for order in orders if order <= text_length]
    counted = [(name, order) for name in COUNTED for order in fitting]
    longest = max(fitting, default=1)
    return [*counted, ("infinigram", min(longest, BASE_ORDER)), ("ensemble", longest)]


def survey(
    train_ids: np.ndarray,
    heldout_ids: np.ndarray,
    vocab_size: int,
    orders: Sequence[int] = (2, 3, 4, 5, 6, 7, 8),
    starting: Callable[[str, int], None] | None = None,
) -> Iterator[Measurement]:
    """Build and measure one reference after another.

    Args:
        train_ids: (N,) integers in [0, V).
        heldout_ids: (M,) integers in [0, V).
        vocab_size: V.
        orders: Of the counted references; the ∞-gram and the ensemble build on the highest, the
            ∞-gram at most on ``BASE_ORDER``.
        starting: Is told name and order before each.

    Yields:
        One row for each entry of ``plan``.
    """
    for name, order in plan(orders, len(train_ids)):
        if starting is not None:
            starting(name, order)
        begin = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="avatarl-survey-") as folder:
            reference = _build(name, order, train_ids, vocab_size, folder)
            seconds = time.perf_counter() - begin
            nats, accuracy, ece = measure(reference, heldout_ids)
        yield Measurement(
            name,
            reference.order,
            nats,
            math.exp(nats),
            accuracy,
            ece,
            seconds,
            reference.nbytes() / 2**20,
        )


def measure(reference: Reference, ids: np.ndarray) -> tuple[float, float, float]:
    """Score a text that the reference hasn't seen.

    Args:
        reference: Scores each character after all those before it that it looks at.
        ids: (M,) integers.

    Returns:
        Mean −log p in nats, accuracy, and calibration error.
    """
    text = torch.from_numpy(ids.astype(np.int64))
    start = torch.full((1, 1), MISSING)
    shifted = torch.cat([start, text[None, :-1]], dim=1)
    contexts = history_windows(shifted, reference.order - 1)[0]  # (M, order - 1)
    loss, confidence, hits = 0.0, [], []
    for begin in range(0, len(text), BATCH):
        target = text[begin : begin + BATCH]
        logprobs = reference.logprobs(contexts[begin : begin + BATCH])
        loss -= logprobs.gather(1, target.unsqueeze(-1)).double().sum().item()
        top = logprobs.max(dim=1)
        confidence.append(top.values.exp())
        hits.append(top.indices == target)
    hit = torch.cat(hits).double().numpy()
    error = calibration_error(torch.cat(confidence).double().numpy(), hit)
    return loss / len(text), float(hit.mean()), error


def calibration_error(confidence: np.ndarray, hit: np.ndarray, bins: int = BINS) -> float:
    """Average |accuracy − confidence| over bins that hold equally many positions.

    Args:
        confidence: (M,) highest probabilities.
        hit: (M,) 1 where that character was the true one, else 0.
        bins: How many.
    """
    order = np.argsort(confidence, kind="stable")
    gaps = np.add.reduceat(
        (hit - confidence)[order], np.unique(np.linspace(0, len(order), bins + 1)[:-1].astype(int))
    )
    return float(np.abs(gaps).sum() / len(order))


def _build(name: str, order: int, train_ids: np.ndarray, vocab_size: int, folder: str) -> Reference:
    common: tuple[None, str, Constant, Literal["window"]]
    common = (None, folder, Constant("constant"), "window")
    if name == "infinigram":
        long = infinigram.Config(name, name, *common, 32, 1, order, DEV_FRACTION)
        return long.build(train_ids, vocab_size, torch.device("cpu"))
    if name == "ensemble":
        members: dict[str, CountedConfig] = {
            member: kneser_ney.Config(member, "kneser_ney", *common, own)
            for member, own in (("short", min(order, SHORT_ORDER)), ("long", order))
        }
        both = ensemble.Config(name, name, *common, members, None, DEV_FRACTION)
        return both.build(train_ids, vocab_size, torch.device("cpu"))
    counts = count_grams(train_ids, vocab_size, order)
    smoothing: Smoothing
    if name == "add_alpha":
        smoothing = AddAlpha(1.0, vocab_size)
    elif name == "witten_bell":
        smoothing = WittenBell()
    elif name == "interpolated":
        size = len(train_ids)
        smoothing = Interpolated(tune(counts, max(1, size - max(1, int(DEV_FRACTION * size)))))
    elif name == "kneser_ney":
        smoothing = KneserNey()
    else:
        raise ValueError(f"no reference {name!r}")
    return RowTable(tabulate(counts, smoothing, None))
