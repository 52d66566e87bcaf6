"""A mixture of several references: their probabilities, averaged.

Weights are given, or fitted by expectation–maximisation on a development slice, the end of the
training text, which members built on the rest score.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Gt, Le
from torch import Tensor
from typing_extensions import override

from avatarl.errors import ConfigError
from avatarl.reference.base import CountedConfig, Reference, Reliability
from avatarl.reference.schedule import Constant
from avatarl.reference.store import cached, fingerprint

ROUNDS = 60
BATCH = 16384
LEAST = 1e-4
"""No tuned weight is smaller, so that no member is switched off for good."""


@dataclass(frozen=True)
class Config(CountedConfig):
    """Settings of an ensemble.

    Attributes:
        members: Options of this group by a name of one's own; their ``cross_fit``, ``cache_dir``
            ``schedule`` and ``history`` give way to the ensemble's.
        weights: One positive number per member, in any unit; ``null`` tunes them.
        dev_fraction: Share of the training text, cut from its end, that tunes the weights.
    """

    members: dict[str, CountedConfig]
    weights: tuple[Annotated[float, Gt(0)], ...] | None
    dev_fraction: Annotated[float, Gt(0), Le(0.5)]

    def __post_init__(self) -> None:
        """Refuse an ensemble of nobody, and weights that don't match the members."""
        super().__post_init__()
        if not self.members:
            raise ConfigError("members", {}, "one member or more")
        if self.weights is not None and len(self.weights) != len(self.members):
            raise ConfigError(
                "weights",
                list(self.weights),
                f"{len(self.members)} numbers, one for each of {', '.join(self.members)}, or null",
            )

    @property
    @override
    def parts(self) -> int:
        return len(self.members)

    @override
    def check_text(self, length: int, vocab_size: int) -> None:
        members = self.shared_members()
        if self.weights is None and len(members) > 1:
            length = tuning_begin(length, self.dev_fraction)
        for member in members:
            member.check_text(length, vocab_size)

    def shared_members(self) -> list[CountedConfig]:
        """Give the members in order, with the ensemble's own cross-fitting and cache."""
        shared: dict[str, Any] = {"cross_fit": self.cross_fit, "cache_dir": self.cache_dir}
        # How far back they read is asked of the ensemble.
        shared |= {"schedule": Constant("constant"), "history": "window"}
        return [dataclasses.replace(member, **shared) for member in self.members.values()]

    @override
    def build(self, train_ids: np.ndarray, vocab_size: int, device: torch.device) -> Ensemble:
        configs = self.shared_members()
        if self.weights is not None:
            given = torch.tensor(self.weights)
            weights = given / given.sum()
        elif len(configs) == 1:
            weights = torch.ones(1)
        else:
            weights = _tuned(self, configs, train_ids, vocab_size)
        members = [member.build(train_ids, vocab_size, device) for member in configs]
        return Ensemble(members, weights)


class Ensemble:
    """See ``Reference``.

    Args:
        members: The references.
        weights: Shares that add up to one.
    """

    def __init__(self, members: Sequence[Reference], weights: Tensor) -> None:
        self.members, self.weights = list(members), weights
        self._shares: list[float] = weights.log().tolist()
        self.order = max(member.order for member in members)
        self.vocab_size = members[0].vocab_size

    def logprobs(self, contexts: Tensor) -> Tensor:
        """Score arbitrary contexts (..., L) → (..., V) fp32; see ``Reference``."""
        return self._mix([member.logprobs(contexts) for member in self.members])

    def train_logprobs(self, positions: Tensor, history: Tensor | int | None = None) -> Tensor:
        """Score training positions (...,) → (..., V) fp32; see ``Reference``."""
        return self._mix([member.train_logprobs(positions, history) for member in self.members])

    def reliability(self, contexts: Tensor) -> Reliability:
        """Give the evidence of the member that knows the longest ending of each context."""
        return _longest([member.reliability(contexts) for member in self.members])

    def train_reliability(
        self, positions: Tensor, history: Tensor | int | None = None
    ) -> Reliability:
        """Give the evidence of the member that knows the longest ending at each position."""
        return _longest([member.train_reliability(positions, history) for member in self.members])

    def nbytes(self) -> int:
        """Count the bytes of all members."""
        return sum(member.nbytes() for member in self.members)

    def _mix(self, scored: list[Tensor]) -> Tensor:
        total = scored[0] + self._shares[0]
        for share, logprobs in zip(self._shares[1:], scored[1:], strict=True):
            total = torch.logaddexp(total, logprobs + share)
        return total


def members_of(reference: Reference) -> list[Reference]:
    """Return a mixture's members, or the reference itself."""
    return reference.members if isinstance(reference, Ensemble) else [reference]


def _longest(found: list[Reliability]) -> Reliability:
    order, count = found[0].order, found[0].count
    for other in found[1:]:
        # At the same length the larger count stands behind the better known one.
        better = (other.order > order) | ((other.order == order) & (other.count > count))
        order = torch.where(better, other.order, order)
        count = torch.where(better, other.count, count)
    return Reliability(order, count)


def tuning_begin(length: int, dev_fraction: float) -> int:
    """Give the position where the slice of a text begins that tunes the weights."""
    return length - max(1, int(dev_fraction * length))


def tune(
    configs: Sequence[CountedConfig], train_ids: np.ndarray, vocab_size: int, begin: int
) -> Tensor:
    """Fit the weights on positions ``begin`` … N - 1, scored by members built on those before.

    Returns:
        (members,) fp32, adding up to one.
    """
    text = torch.from_numpy(train_ids.astype(np.int64))
    columns = []
    for config in configs:
        # The slice isn't part of what the member saw: nothing to cross-fit.
        unfitted = dataclasses.replace(config, cross_fit=None)
        member = unfitted.build(train_ids[:begin], vocab_size, torch.device("cpu"))
        back = torch.arange(member.order - 1, 0, -1)
        scores = []
        for start in range(begin, len(text), BATCH):
            positions = torch.arange(start, min(start + BATCH, len(text)))
            index = positions.unsqueeze(-1) - back
            contexts = torch.where(index >= 0, text[index.clamp(min=0)], -1)
            scored = member.logprobs(contexts).gather(1, text[positions].unsqueeze(-1))
            scores.append(scored[:, 0].double().exp())
        columns.append(torch.cat(scores))
    probability = torch.stack(columns, dim=1)  # (n, members)
    weights = torch.full((len(configs),), 1.0 / len(configs), dtype=torch.float64)
    for _ in range(ROUNDS):
        shares = probability * weights
        weights = (shares / shares.sum(dim=1, keepdim=True)).mean(dim=0)
    weights = weights.clamp(min=LEAST)
    return (weights / weights.sum()).float()


def _tuned(
    config: Config, members: Sequence[CountedConfig], train_ids: np.ndarray, vocab_size: int
) -> Tensor:
    """Tune once per text and settings; the members that served it aren't worth keeping."""

    def make() -> dict[str, Tensor]:
        begin = tuning_begin(len(train_ids), config.dev_fraction)
        with tempfile.TemporaryDirectory(prefix="avatarl-ensemble-") as folder:
            passing = [dataclasses.replace(member, cache_dir=folder) for member in members]
            return {"weights": tune(passing, train_ids, vocab_size, begin)}

    settings = [{**dataclasses.asdict(member), "cache_dir": None} for member in members]
    for setting in settings:
        del setting["history"]  # it doesn't count here
    rule = {"rule": "Ensemble", "members": settings, "dev_fraction": config.dev_fraction}
    name = fingerprint(train_ids, vocab_size, rule)
    return cached(config.cache_dir, name, make)["weights"]
