"""How much the reference counts as training goes on: the schedule, and the slice that moves it.

Schedules that promote or hand over look at a development slice, cut from the end of the training
text. Then neither training nor the counts read that slice, and held-out text stays for evaluation
alone. Other schedules need no slice, and training keeps all of its text.
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
from avatarl.reference import Config, CountedConfig, Reference
from avatarl.reference.schedule import Gated, HandOver, Ladder, Promotion, ScheduleState
from avatarl.training.evaluation import HeldOut, Scorer, evaluate
from avatarl.training.step import Batch


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
        steered: Whether monitors need the slice, whatever the reference's schedule does.

    Raises:
        ConfigError: The slice is needed and would hold no full window.
    """
    if not (steered or needs_development(config)):
        return corpus.train, None
    fit, development = corpus.split_dev(data.dev_fraction)
    if len(development) <= context_length:
        raise ConfigError(
            "data.dev_fraction",
            data.dev_fraction,
            f"a larger share, so that the slice holds over {context_length} characters",
            "the reference's schedule or the monitors' actions follow figures of it",
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
        self.slice = None
        if development is not None:
            self.slice = HeldOut.of(development, context_length)

    @property
    def gates(self) -> bool:
        """Whether positions are weighed one by one."""
        return self.schedule is not None and isinstance(self.schedule.config, Gated)

    @property
    def reach(self) -> int | None:
        """Characters the reference may look back; None: as far as it can."""
        return None if self.schedule is None else self.schedule.history()

    def factor(self, characters_seen: int) -> float:
        """What the reference's coefficient is multiplied with now."""
        return 1.0 if self.schedule is None else self.schedule.coefficient(characters_seen)

    def gate(self, batch: Batch, logprobs: Tensor) -> Tensor | None:
        """Weigh each position of a batch: (B,T) in [0, 1], or None for all alike."""
        if self.schedule is None or self.reference is None or not self.gates:
            return None
        known = self.reference.train_reliability(batch.positions, batch.history)
        return self.schedule.gate(known, logprobs)

    def look(
        self, policy: Scorer, reference: Scorer, device: torch.device, limit: int
    ) -> tuple[dict[str, float], Promotion | None]:
        """Measure policy and reference on the slice, and let the schedule move.

        Returns:
            Figures for the log (``dev/nats``, ``dev/reference_nats``), and a promotion if one
            was due.
        """
        if self.slice is None or self.schedule is None or not self.moves:
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

    def state(self) -> dict[str, Any]:
        """What the schedule remembers, as JSON values."""
        return {} if self.schedule is None else self.schedule.state_dict()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Undo :meth:`state`."""
        if self.schedule is not None and state:
            self.schedule.load_state_dict(state)
