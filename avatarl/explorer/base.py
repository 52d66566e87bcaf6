"""What every explorer is told and what it answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from annotated_types import Ge, Lt
from torch import Tensor

from avatarl.interfaces import Exploration, Hyperparameters, Schedule
from avatarl.options import Later, Option

# (actions (B,T,K) or None for all V, steps ahead) → matches (B,T,K); the text itself stays unseen.
Query = Callable[[Tensor | None, int], Tensor]
# One character after the other: character (N,1) just written, or None → log-probs (N,1,V) of the
# next one. N is B·K: every window's context was read once and is shared by its K rollouts.
Decoder = Callable[[Tensor | None], Tensor]


@dataclass(frozen=True)
class Config(Option, ABC):
    """Settings that every explorer has."""

    positions: Literal["last", "all"]  # which positions of a window are scored
    # Which of the scored positions are trained on, judged by the acting policy's entropy.
    # highest_entropy divides by what is left; a dropped position counts 0 in the mean instead.
    select: Literal["all", "highest_entropy", "drop_lowest", "drop_random"]
    select_share: Annotated[float, Ge(0), Lt(1)] | Schedule  # kept (highest_entropy) or dropped
    # nats; drops these instead of a share
    select_below: Annotated[Annotated[float, Ge(0)] | Schedule | None, Later(None)]

    @abstractmethod
    def build(self) -> Explorer:
        """Make the explorer."""

    @property
    def weighting(self) -> str:
        """How actions count: ``policy``, ``uniform`` or ``sampled``."""
        return "sampled"

    @property
    def steps_ahead(self) -> int:
        """How many characters are explored one after another."""
        return 1

    @property
    def actions_a_position(self) -> int | None:
        """K, the actions whose rewards are seen; None for all V."""
        return None

    @property
    def weighs_samples_together(self) -> bool:
        """Whether a sample's weight comes of the other samples' proposals, too."""
        return False

    @property
    def needs_reference(self) -> bool:
        """Whether proposals read the reference."""
        return False

    @property
    def track(self) -> str:
        """``label_revealing`` where rewards of unsampled characters are seen, else ``bandit``."""
        return "label_revealing" if self.actions_a_position is None else "bandit"


@dataclass(frozen=True)
class Rollouts:
    """What can score contexts that come about only as rollouts are written.

    Attributes:
        decode: Starts rollouts of the acting policy: (prompt (B,P) int64, K) → a decoder.
        reference: (context (N,L), n) → the reference's log-probs (N,n,V) of the last n positions,
            or None without one.
        prior: Likewise, what the networks add their logits to.
    """

    decode: Callable[[Tensor, int], Decoder]
    reference: Callable[[Tensor, int], Tensor] | None
    prior: Callable[[Tensor, int], Tensor] | None = None


@dataclass(frozen=True)
class Observation:
    """What an explorer has to work with at one step.

    Attributes:
        context: (B,L) int64 what the policy has read.
        query: The text's answer to tried characters; the target itself isn't shown.
        old_logprobs: (B,T,V) of the policy that acts, at the scored positions; None where rollouts
            are to be written instead.
        reference: (B,T,V) log-probabilities of the reference there, or None.
        rollouts: What writes on from a context; None for explorers of single characters.
    """

    context: Tensor
    query: Query
    old_logprobs: Tensor | None
    reference: Tensor | None = None
    rollouts: Rollouts | None = None


class Explorer(Protocol):
    """Chooses the actions of a step."""

    @property
    def config(self) -> Config:
        """What it was built from."""

    def uniforms(self, windows: int, positions: int) -> tuple[int, ...]:
        """Shape of the uniform random numbers that ``explore`` wants; empty for none."""

    def explore(
        self, observation: Observation, hparams: Hyperparameters, uniforms: Tensor | None
    ) -> Exploration:
        """Try actions and ask the text about them; nothing here carries a gradient."""
