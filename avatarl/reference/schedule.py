"""How much a reference counts as training goes on, and how far back it may look.

The state lives on the host as a few plain numbers, saved with a checkpoint. The training loop asks
``coefficient`` and ``history`` at each step, weighs positions with ``gate``, and reports the
losses it has anyway when it logs or evaluates; nothing here makes it wait for a device. Losses that
promote or hand over come from training text: never from the held-out text.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Lt, MinLen
from torch import Tensor

from avatarl.errors import ConfigError

if TYPE_CHECKING:
    from avatarl.reference.base import Reliability


@dataclass(frozen=True)
class Constant:
    """The reference keeps its weight."""

    kind: Literal["constant"]


@dataclass(frozen=True)
class Annealed:
    """The weight goes from 1 to ``final``.

    Attributes:
        kind: ``annealed``.
        shape: Along a straight line or half a cosine.
        start: Characters seen before it begins to change.
        characters: Characters seen from there until it has arrived.
        final: Weight from then on.
    """

    kind: Literal["annealed"]
    shape: Literal["linear", "cosine"]
    start: Annotated[int, Ge(0)]
    characters: Annotated[int, Gt(0)]
    final: Annotated[float, Ge(0)]


@dataclass(frozen=True)
class Gated:
    """Each position weighs the reference by how much it knows there.

    Attributes:
        kind: ``gated``.
        by: ``count``: count / (count + half), the count being that of the longest seen context;
            ``entropy``: 1 - entropy / ln V, what the reference knows of what could be known.
        half: Count at which the gate is half open.
        hand_over: Close every gate once the policy beats the reference; see ``HandOver``.
        margin: As in ``HandOver``.
        decay: As in ``HandOver``.
    """

    kind: Literal["gated"]
    by: Literal["count", "entropy"]
    half: Annotated[float, Gt(0)]
    hand_over: bool
    margin: Annotated[float, Ge(0)]
    decay: Annotated[float, Ge(0), Lt(1)]


@dataclass(frozen=True)
class Ladder:
    """The reference begins with a short context, and is promoted when learning stalls.

    Attributes:
        kind: ``ladder``.
        rungs: Orders to climb, rising; ``null`` as the last is the reference's own.
        patience: Evaluations on the development slice without improvement before a promotion.
        least: Improvement in nats that counts as one.
    """

    kind: Literal["ladder"]
    rungs: Annotated[tuple[Annotated[int, Ge(1)] | None, ...], MinLen(1)]
    patience: Annotated[int, Ge(1)]
    least: Annotated[float, Ge(0)]

    def __post_init__(self) -> None:
        """Refuse rungs that don't rise."""
        numbers = [math.inf if rung is None else rung for rung in self.rungs]
        if any(b <= a for a, b in itertools.pairwise(numbers)):
            raise ConfigError("rungs", list(self.rungs), "rising orders, null only last")


@dataclass(frozen=True)
class HandOver:
    """The reference is dropped for good once the policy predicts better than it does.

    Attributes:
        kind: ``hand_over``.
        margin: Nats by which the policy's smoothed loss must be lower.
        decay: Of the moving averages, per reported pair of losses.
    """

    kind: Literal["hand_over"]
    margin: Annotated[float, Ge(0)]
    decay: Annotated[float, Ge(0), Lt(1)]


ScheduleConfig = Constant | Annealed | Gated | Ladder | HandOver


@dataclass(frozen=True)
class Promotion:
    """A step of the schedule worth a line in the journal and a mark on the curves.

    Attributes:
        source: What guided so far: an order, as in ``order 3``.
        target: What guides from now on: an order, or ``text`` after a hand-over.
    """

    source: str
    target: str


class ScheduleState:
    """The running state of a ``ScheduleConfig``.

    Args:
        config: What to follow.
        order: The reference's own order.

    Raises:
        ConfigError: A rung is above ``order``.
    """

    def __init__(self, config: ScheduleConfig, order: int) -> None:
        self.config, self.order = config, order
        check_rungs(config, order)
        self._rung = 0
        self._best = math.inf
        self._waited = 0
        self._handed_over = False
        self._policy = self._reference = 0.0
        self._weight = 0.0  # of the averages: they start from nothing, not from 0 nats

    def coefficient(self, characters: int) -> float:
        """Give the factor on the reference's weight after ``characters`` characters seen."""
        config = self.config
        if self._handed_over:
            return 0.0
        if isinstance(config, Annealed):
            done = min(max((characters - config.start) / config.characters, 0.0), 1.0)
            if config.shape == "cosine":
                done = (1 - math.cos(math.pi * done)) / 2
            return 1.0 + (config.final - 1.0) * done
        return 1.0

    def history(self) -> int | None:
        """Give how many characters the reference may look back; ``None``: as far as it can.

        Goes to ``Reference.train_logprobs`` as ``history``; for arbitrary contexts see ``shorten``.
        """
        if isinstance(self.config, Ladder):
            rung = self.config.rungs[self._rung]
            return None if rung is None else rung - 1
        return None

    def gate(self, reliability: Reliability, logprobs: Tensor) -> Tensor | None:
        """Weigh each position.

        Args:
            reliability: Evidence behind each position, (...,).
            logprobs: (..., V) the reference's log-probabilities.

        Returns:
            (...,) in [0, 1], or ``None`` where every position counts fully.
        """
        if not isinstance(self.config, Gated):
            return None
        if self.config.by == "count":
            count = reliability.count.to(logprobs.dtype)
            opened: Tensor = count / (count + self.config.half)
            return opened
        entropy: Tensor = torch.special.entr(logprobs.exp()).sum(dim=-1)
        known: Tensor = 1 - entropy / math.log(logprobs.shape[-1])
        return known.clamp(0, 1)

    def report_losses(self, policy: float, reference: float) -> Promotion | None:
        """Take note of the losses of both on the same training positions.

        Args:
            policy: Mean -log p of the true characters, in nats.
            reference: The same, of the (cross-fitted) reference.

        Returns:
            The hand-over, at the moment it happens.
        """
        config = self.config
        wanted = isinstance(config, HandOver) or (isinstance(config, Gated) and config.hand_over)
        if not wanted or self._handed_over or not math.isfinite(policy + reference):
            return None
        assert isinstance(config, HandOver | Gated)
        keep = config.decay
        self._policy = keep * self._policy + (1 - keep) * policy
        self._reference = keep * self._reference + (1 - keep) * reference
        self._weight = keep * self._weight + (1 - keep)
        if (self._reference - self._policy) / self._weight <= config.margin:
            return None
        self._handed_over = True
        return Promotion(f"order {self.order}", "text")

    def report_development(self, loss: float) -> Promotion | None:
        """Take note of the policy's loss on the development slice, in nats.

        Returns:
            The promotion, if the loss hasn't improved for long enough and a rung is left.
        """
        config = self.config
        if not isinstance(config, Ladder) or self._rung + 1 == len(config.rungs):
            return None
        if loss < self._best - config.least:
            self._best, self._waited = loss, 0
            return None
        self._waited += 1
        if self._waited < config.patience:
            return None
        # The next rung starts from the loss it finds, however the last one ended.
        self._rung, self._waited, self._best = self._rung + 1, 0, math.inf
        source, target = (rung or self.order for rung in config.rungs[self._rung - 1 :][:2])
        return Promotion(f"order {source}", f"order {target}")

    def state_dict(self) -> dict[str, Any]:
        """Give the state as JSON values."""
        return {
            "rung": self._rung,
            "best": self._best if math.isfinite(self._best) else None,
            "waited": self._waited,
            "handed_over": self._handed_over,
            "policy": self._policy,
            "reference": self._reference,
            "weight": self._weight,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``."""
        self._rung, self._waited = int(state["rung"]), int(state["waited"])
        self._best = math.inf if state["best"] is None else float(state["best"])
        self._handed_over = bool(state["handed_over"])
        self._policy, self._reference = float(state["policy"]), float(state["reference"])
        self._weight = float(state["weight"])


def check_rungs(config: ScheduleConfig, order: int) -> None:
    """Refuse a rung above the reference's order.

    Raises:
        ConfigError: Names the rungs and the order.
    """
    if isinstance(config, Ladder) and any(rung and rung > order for rung in config.rungs):
        raise ConfigError(
            "schedule.rungs",
            list(config.rungs),
            f"orders up to {order}, the reference's own",
        )


def shorten(contexts: Tensor, history: int | None) -> Tensor:
    """Cut contexts (..., L) to their last ``history`` characters; ``None`` leaves them whole."""
    if history is None:
        return contexts
    return contexts[..., max(0, contexts.shape[-1] - history) :]
