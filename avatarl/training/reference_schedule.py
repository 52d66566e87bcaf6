"""How much the reference counts as training goes on: the schedule, and the slice that moves it.

Schedules that promote or hand over look at a development slice, cut off the training text. Then
neither training nor the counts read that slice, and held-out text stays for evaluation alone. Other
schedules need no slice, and training keeps all of its text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from avatarl.data import Corpus
from avatarl.data.base import Config as DataConfig
from avatarl.errors import ConfigError
from avatarl.reference import Config, CountedConfig, Reference, history_windows
from avatarl.reference.ensemble import members_of
from avatarl.reference.schedule import Gated, HandOver, Ladder, Promotion, ScheduleState
from avatarl.training.evaluation import HeldOut, Scorer, evaluate


def needs_development(config: Config) -> bool:
    """Whether the reference's schedule looks at a development slice."""
    if not isinstance(config, CountedConfig):
        return False
    schedule = config.schedule
    return isinstance(schedule, Ladder | HandOver) or (
        isinstance(schedule, Gated) and schedule.hand_over
    )


def split_training_text(
    config: Config,
    data: DataConfig,
    corpus: Corpus,
    context_length: int,
    *,
    steered: bool = False,
) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    """Return what trains, and the development slice where one is needed.

    Args:
        config: Of the reference.
        data: Of the text.
        corpus: The text.
        context_length: L of the policy.
        steered: Whether anything else needs the slice, whatever the reference's schedule does.

    Raises:
        ConfigError: The slice is needed and would hold no full window.
    """
    if not (steered or needs_development(config)):
        return corpus.train, None
    fit, development = corpus.split_dev(data.dev_fraction, data.dev_from)
    if len(development) <= context_length:
        raise ConfigError(
            "data.dev_fraction",
            data.dev_fraction,
            f"a larger share, so that the slice holds over {context_length} characters",
            "a search, the reference's schedule, keep_best or the monitors' actions follow it",
        )
    return fit, development


class ReferenceSchedule:
    """A schedule with its slice.

    Args:
        config: Of the reference.
        reference: The reference, or None.
        development: Ids of the slice, or None where the schedule needs none.
        context_length: L of the policy.
    """

    def __init__(
        self,
        config: Config,
        reference: Reference | None,
        development: npt.NDArray[Any] | None,
        context_length: int,
    ) -> None:
        self.reference = reference
        self.schedule: ScheduleState | None = None
        if reference is not None and isinstance(config, CountedConfig):
            self.schedule = ScheduleState(config.schedule, reference.order)
        self.moves = needs_development(config)
        # Characters before the window that it reads.
        self.before = 0
        if reference is not None and config.reads_before_window:
            self.before = reference.order - 1
        self.slice = None
        if development is not None:
            self.slice = HeldOut.of(development, context_length, before=self.before)

    @property
    def reach(self) -> int | None:
        """Characters the reference may look back; None: as far as it can."""
        return None if self.schedule is None else self.schedule.history()

    def factor(self, characters_seen: int) -> float:
        """What the reference's coefficient is multiplied with now."""
        return 1.0 if self.schedule is None else self.schedule.coefficient(characters_seen)

    def look_up_members(self, positions: Tensor, history: Tensor) -> Tensor:
        """Score positions of the training text by each member of the reference: (B,T,M,V)."""
        assert self.reference is not None
        seen = self._seen(history)
        members = members_of(self.reference)
        return torch.stack([one.train_logprobs(positions, seen) for one in members], dim=-2)

    def _seen(self, history: Tensor) -> Tensor | int | None:
        if self.before:  # as much as there is
            return self.reach
        return history if self.reach is None else history.clamp_max(self.reach)

    def look_up(self, positions: Tensor, history: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Score positions of the training text.

        Args:
            positions: (B,T) int64 index of each predicted character.
            history: (T,) int64 how many characters before it the policy has read.

        Returns:
            The reference's log-probabilities (B,T,V), None without one; and how much they count at
            each position, (B,T) in [0, 1], or None for all alike.
        """
        if self.reference is None:
            return None, None
        logprobs = self.reference.train_logprobs(positions, self._seen(history))
        if self.schedule is None or not isinstance(self.schedule.config, Gated):
            return logprobs, None
        known = self.reference.train_reliability(positions, None if self.before else history)
        return logprobs, self.schedule.gate(known, logprobs)

    @property
    def score(self) -> Scorer | None:
        """The reference as a scorer of any contexts, or None without one."""
        reference = self.reference
        if reference is None:
            return None
        return lambda context, positions: reference.logprobs(self._read(context, positions))

    @property
    def score_members(self) -> Scorer | None:
        """Its members as a scorer, (B,L) to (B,n,M,V), or None without a reference."""
        if self.reference is None:
            return None
        members = members_of(self.reference)

        def score(context: Tensor, positions: int) -> Tensor:
            read = self._read(context, positions)
            return torch.stack([one.logprobs(read) for one in members], dim=-2)

        return score

    def _read(self, context: Tensor, positions: int) -> Tensor:
        """Return what the reference reads before each of the last positions, (N,positions,·)."""
        assert self.reference is not None
        reach = self.reference.order - 1 if self.reach is None else self.reach
        return history_windows(context, reach)[:, -positions:]

    def look(
        self, policy: Scorer, device: torch.device, limit: int
    ) -> tuple[dict[str, float], Promotion | None]:
        """Measure policy and reference on the slice, and let the schedule move.

        Returns:
            Figures for the log (``dev/nats``, ``dev/reference_nats``), and a promotion if one
            was due.
        """
        reference = self.score
        if self.slice is None or self.schedule is None or reference is None or not self.moves:
            return {}, None
        figures = {
            name: evaluate(score, self.slice, device=device, limit=limit).metrics["val/nats"]
            for name, score in (("dev/nats", policy), ("dev/reference_nats", reference))
        }
        promotion = self.schedule.report_development(figures["dev/nats"])
        if promotion is None:
            promotion = self.schedule.report_losses(
                figures["dev/nats"], figures["dev/reference_nats"]
            )
        return figures, promotion

    def state_dict(self) -> dict[str, Any]:
        """Return what the schedule remembers, as JSON values."""
        return {} if self.schedule is None else self.schedule.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what :meth:`state_dict` returned."""
        if self.schedule is not None and state:
            self.schedule.load_state_dict(state)
