"""The ∞-gram: what followed the longest ending of the context that the text holds.

Plain relative frequencies after the longest match are sharp and often wrong, so they are mixed with
a Kneser–Ney of moderate order. How far they are trusted depends on the match's length and count,
tuned by expectation–maximisation on a development slice, the end of the training text.

Source: Liu et al. 2024, infini-gram, §4.2 (interpolation); Jelinek & Mercer 1980 (tuning).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor
from typing_extensions import override

from avatarl.errors import ConfigError
from avatarl.reference.base import CountedConfig, Reliability
from avatarl.reference.counted import build_counted, tabulate
from avatarl.reference.counts import check_order, count_grams, longest_key
from avatarl.reference.cross_fit import CrossFit, fold_bounds, resolve
from avatarl.reference.free_memory import require_memory
from avatarl.reference.kneser_ney import KneserNey
from avatarl.reference.store import cached, fingerprint
from avatarl.reference.suffixes import SuffixIndex, pack_histories, sort_histories
from avatarl.reference.table import RowTable

LENGTHS, COUNTS = 32, 8
"""Matches of length 0-31 (and beyond), seen 1, 2-3, … times, have weights of their own."""

ROUNDS = 40
PRIOR = 10.0
"""Positions' worth of the length's average weight that each weight starts from."""

BATCH = 32768


@dataclass(frozen=True)
class Config(CountedConfig):
    """Settings of the ∞-gram.

    Attributes:
        max_context: Longest ending looked for, in characters.
        min_count: How often the ending must occur.
        base_order: Order of the Kneser–Ney it is mixed with.
        dev_fraction: Share of the training text, cut from its end, that tunes the weights.
    """

    max_context: Annotated[int, Ge(1), Le(1024)]
    min_count: Annotated[int, Ge(1), Le(16)]
    base_order: Annotated[int, Ge(1), Le(12)]
    dev_fraction: Annotated[float, Gt(0), Le(0.5)]

    @override
    def check_text(self, length: int, vocab_size: int) -> None:
        check_order(self.base_order, length, vocab_size)
        if length < 2:
            raise ConfigError("reference", self.name, "a text of at least 2 characters")

    @override
    def build(self, train_ids: np.ndarray, vocab_size: int, device: torch.device) -> InfiniGram:
        size = len(train_ids)
        self.check_text(size, vocab_size)
        need = size * ((0 if self.cross_fit is None else 4 * vocab_size) + 120)
        require_memory(need, "reference", self.name, "the longest matches of every position")
        base = build_counted(self, self.base_order, KneserNey(), train_ids, vocab_size, device)
        setting = resolve(self.cross_fit, self.max_context + 1)
        if isinstance(setting, int):
            setting = min(setting, size)
        settings = {
            "rule": "InfiniGram",
            "max_context": self.max_context,
            "min_count": self.min_count,
            "base_order": self.base_order,
            "dev_fraction": self.dev_fraction,
            "cross_fit": setting,
        }
        words = torch.from_numpy(pack_histories(train_ids, vocab_size, longest_key(vocab_size)))
        text = torch.from_numpy(train_ids.astype(np.int64)).to(device)

        def assemble(ranks: Tensor, weights: Tensor) -> InfiniGram:
            return InfiniGram(
                self,
                text,
                words.to(device),
                ranks.to(device),
                weights.to(device),
                base,
                setting,
            )

        def make() -> dict[str, Tensor]:
            ranks = torch.from_numpy(sort_histories(train_ids, vocab_size))
            weights = tune(self, train_ids, vocab_size)
            found = {"ranks": ranks, "weights": weights}
            # Scored by the whole text, training positions say nothing worth keeping.
            return found if setting is None else {**found, **assemble(ranks, weights).precompute()}

        found = dict(cached(self.cache_dir, fingerprint(train_ids, vocab_size, settings), make))
        reference = assemble(found.pop("ranks"), found.pop("weights"))
        reference.keep(found)
        return reference


def bucket(length: Tensor, count: Tensor) -> Tensor:
    """Number the weight of matches (...,) by length and ⌊log₂ count⌋."""
    # Exact for counts below 2^24, and those are long past the last bucket.
    magnitude = count.clamp(min=1).float().log2().long().clamp(max=COUNTS - 1)
    return length.clamp(max=LENGTHS - 1) * COUNTS + magnitude


class InfiniGram:
    """See ``Reference``.

    Args:
        config: The settings.
        text: (N,) int64, the training text.
        words: (N + 1,) int64 from ``pack_histories``.
        ranks: (N,) int64 from ``sort_histories``.
        weights: (LENGTHS · COUNTS,) fp32.
        base: The Kneser–Ney underneath.
        setting: How training positions are scored.
    """

    def __init__(
        self,
        config: Config,
        text: Tensor,
        words: Tensor,
        ranks: Tensor,
        weights: Tensor,
        base: RowTable,
        setting: CrossFit,
    ) -> None:
        self.order = config.max_context + 1
        self.vocab_size = base.vocab_size
        self._config, self._text, self._words, self._ranks = config, text, words, ranks
        self._weights, self._base, self._setting = weights, base, setting
        self._index = SuffixIndex(text, words, ranks, self.vocab_size)
        self._folds: dict[int, SuffixIndex] = {}
        self._train: dict[str, Tensor] = {}

    def logprobs(self, contexts: Tensor) -> Tensor:
        """Score arbitrary contexts (..., L) → (..., V) fp32; see ``Reference``."""
        flat = self._visible(contexts)
        match = self._index.match(flat, self._config.min_count)
        counts = self._index.count(match)
        scored = self._blend(match.length, counts, self._base.logprobs(flat))
        return scored.reshape(*contexts.shape[:-1], self.vocab_size)

    def reliability(self, contexts: Tensor) -> Reliability:
        """Give length (plus one) and count of the match; see ``Reference``."""
        match = self._index.match(self._visible(contexts), self._config.min_count)
        shape = contexts.shape[:-1]
        return Reliability(
            (match.length + 1).reshape(shape), (match.high - match.low).reshape(shape)
        )

    def train_logprobs(self, positions: Tensor, history: Tensor | int | None = None) -> Tensor:
        """Score training positions (...,) → (..., V) fp32; see ``Reference``.

        With the whole history it is one gather; cut short, the text is searched anew.
        """
        flat = positions.reshape(-1)
        if self._train and self._whole(history):
            scored = self._train["logprobs"].index_select(0, flat)
        else:
            scored = self._score(flat, _flatten(history, positions))[0]
        return scored.reshape(*positions.shape, self.vocab_size)

    def train_reliability(
        self, positions: Tensor, history: Tensor | int | None = None
    ) -> Reliability:
        """Give the evidence at training positions (...,); see ``Reference``."""
        flat = positions.reshape(-1)
        if self._train and self._whole(history):
            length = self._train["length"].index_select(0, flat)
            count = self._train["count"].index_select(0, flat)
        else:
            _, length, count = self._score(flat, _flatten(history, positions))
        shape = positions.shape
        return Reliability(length.long().reshape(shape) + 1, count.long().reshape(shape))

    def precompute(self) -> dict[str, Tensor]:
        """Score every training position once → logprobs (N, V), length (N,), count (N,)."""
        size = len(self._text)
        found = {
            "logprobs": torch.empty(size, self.vocab_size),
            "length": torch.empty(size, dtype=torch.int32),
            "count": torch.empty(size, dtype=torch.int32),
        }
        bounds = [(0, size)]
        if isinstance(self._setting, int):
            bounds = fold_bounds(size, self._setting)
        for begin, end in bounds:
            # Block by block: one index of the rest at a time.
            for start in range(begin, end, BATCH):
                stop = min(start + BATCH, end)
                positions = torch.arange(start, stop, device=self._text.device)
                parts = self._score(positions, None)
                for name, part in zip(found, parts, strict=True):
                    found[name][start:stop] = part.cpu()
            self._folds.clear()
        return found

    def keep(self, train: dict[str, Tensor]) -> None:
        """Answer whole histories of training positions from ``precompute``'s tensors."""
        self._train = {name: tensor.to(self._text.device) for name, tensor in train.items()}

    def nbytes(self) -> int:
        """Count the bytes of the index, the base and the precomputed scores."""
        index = self._index
        parts = [index.ids, index.words, index.ranks, index.follow, index.tally, self._weights]
        return self._base.nbytes() + sum(part.nbytes for part in (*parts, *self._train.values()))

    def _whole(self, history: Tensor | int | None) -> bool:
        return history is None or (isinstance(history, int) and history >= self.order - 1)

    def _visible(self, contexts: Tensor) -> Tensor:
        """Flatten contexts (..., L) and cut them to what is looked at → (n, ≤ order - 1)."""
        known = min(self.order - 1, contexts.shape[-1])
        count = contexts.shape[:-1].numel()
        return contexts[..., contexts.shape[-1] - known :].reshape(count, known)

    def _score(
        self, positions: Tensor, history: Tensor | int | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Search for training positions (n,) → logprobs (n, V), match length (n,), count (n,)."""
        back = torch.arange(self.order - 1, 0, -1, device=positions.device)
        index = positions.unsqueeze(-1) - back
        visible = index >= 0
        if history is not None:
            visible &= back <= torch.as_tensor(history, device=positions.device).unsqueeze(-1)
        contexts = torch.where(visible, self._text[index.clamp(min=0)], -1)
        base = self._base.train_logprobs(positions, history)
        least = self._config.min_count
        length = torch.empty_like(positions)
        counts = torch.empty(len(positions), self.vocab_size, device=positions.device)
        if isinstance(self._setting, int):
            bounds = fold_bounds(len(self._text), self._setting)
            for fold, (begin, end) in enumerate(bounds):
                mine = torch.nonzero((positions >= begin) & (positions < end))[:, 0]
                if len(mine):
                    rest = self._without(fold, begin, end)
                    match = rest.match(contexts[mine], least)
                    length[mine], counts[mine] = match.length, rest.count(match)
        else:
            # Left out, a position has an ending that occurs once more with it than without.
            alone = int(self._setting == "loo")
            match = self._index.match(contexts, least + alone)
            length, counts = match.length, self._index.count(match)
            if alone:
                own = self._text[positions].unsqueeze(-1)
                counts.scatter_add_(1, own, -counts.new_ones(own.shape))
        scored = self._blend(length, counts, base)
        return scored, length, counts.sum(dim=-1)

    def _without(self, fold: int, begin: int, end: int) -> SuffixIndex:
        if fold not in self._folds:
            kept = self._ranks[(self._ranks < begin) | (self._ranks >= end)]
            self._folds[fold] = SuffixIndex(self._text, self._words, kept, self.vocab_size)
        return self._folds[fold]

    def _blend(self, length: Tensor, counts: Tensor, base: Tensor) -> Tensor:
        """Mix relative frequencies (n, V) into log-probabilities (n, V)."""
        total = counts.sum(dim=-1)
        weight = self._weights[bucket(length, total)] * (total > 0)
        own = counts * (weight / total.clamp(min=1)).unsqueeze(-1)
        return (own + (1 - weight).unsqueeze(-1) * base.exp()).log()


def _flatten(history: Tensor | int | None, positions: Tensor) -> Tensor | int | None:
    """Bring a tensor of histories into the shape of flattened ``positions`` (...,) → (n,)."""
    if isinstance(history, Tensor):
        return history.to(positions.device).expand(positions.shape).reshape(-1)
    return history


def tune(config: Config, train_ids: np.ndarray, vocab_size: int) -> Tensor:
    """Fit the weights on the end of the training text, searched for in the rest.

    Returns:
        (LENGTHS · COUNTS,) fp32.
    """
    size = len(train_ids)
    begin = max(1, size - max(1, int(config.dev_fraction * size)))
    text = torch.from_numpy(train_ids.astype(np.int64))
    order = min(config.base_order, begin)
    counts = count_grams(train_ids[:begin], vocab_size, order)
    base = RowTable(tabulate(counts, KneserNey(), None))
    words = torch.from_numpy(pack_histories(train_ids, vocab_size, longest_key(vocab_size)))
    ranks = torch.from_numpy(sort_histories(train_ids[:begin], vocab_size))
    index = SuffixIndex(text, words, ranks, vocab_size)
    back = torch.arange(config.max_context, 0, -1)
    buckets, own, lower = [], [], []
    for start in range(begin, size, BATCH):
        positions = torch.arange(start, min(start + BATCH, size))
        place = positions.unsqueeze(-1) - back
        contexts = torch.where(place >= 0, text[place.clamp(min=0)], -1)
        match = index.match(contexts, config.min_count)
        following, target = index.count(match), text[positions].unsqueeze(-1)
        total = following.sum(dim=-1)
        buckets.append(bucket(match.length, total))
        own.append((following.gather(1, target)[:, 0] / total.clamp(min=1)).double())
        lower.append(base.logprobs(contexts).gather(1, target)[:, 0].double().exp())
    number, share, below = torch.cat(buckets), torch.cat(own), torch.cat(lower)
    weight = torch.full((LENGTHS * COUNTS,), 0.5, dtype=torch.float64)
    sizes = torch.bincount(number, minlength=len(weight)).double()
    for _ in range(ROUNDS):
        mixed = weight[number] * share
        sums = torch.zeros_like(weight).index_add_(
            0, number, mixed / (mixed + (1 - weight[number]) * below)
        )
        by_length = sums.view(LENGTHS, COUNTS).sum(dim=1) + 0.5
        by_length /= sizes.view(LENGTHS, COUNTS).sum(dim=1) + 1
        prior = by_length.repeat_interleave(COUNTS)
        weight = ((sums + PRIOR * prior) / (sizes + PRIOR)).clamp(1e-3, 1 - 1e-3)
    return weight.float()
