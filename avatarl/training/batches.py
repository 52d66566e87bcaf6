"""Where a run's batches come from: its text, cut as it asks for, window by window."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from avatarl.config import RunConfig
from avatarl.data import Corpus, Windows
from avatarl.explorer import Explorer
from avatarl.interfaces import Batch
from avatarl.model import Policy
from avatarl.training.reference_schedule import ReferenceSchedule, split_training_text


def cut_text(
    config: RunConfig, corpus: Corpus
) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None, Windows]:
    """Cut a text the way a run asks for.

    Returns:
        Ids (N,) of the part that trains, those of the development slice where one is needed, and
        the windows of the former.

    Raises:
        DataError: The training text is too short for the context.
        ConfigError: It has fewer windows than a batch, or no room for a development slice.
    """
    text, development = split_training_text(
        config.reference,
        config.data,
        corpus,
        config.model.context_length,
        steered=(
            config.health.steers_by_evaluation
            or config.trainer.keep_best
            or config.trainer.eval_dev
        ),
    )
    windows = Windows(
        len(text) - (config.explorer.steps_ahead - 1),
        config.model.context_length,
        config.trainer.batch_size,
        config.explorer.positions,
        config.seed,
    )
    return text, development, windows


def steps_of(config: RunConfig, windows: Windows) -> int:
    """Return a run's length in optimiser steps."""
    epochs, a_pass = config.trainer.epochs, windows.steps_per_epoch
    return config.trainer.steps or max(1, round(epochs * a_pass))


def check_text(config: RunConfig, corpus: Corpus) -> None:
    """Refuse a text that a run can't be trained on; quick, so that a plan can check all its runs.

    Raises:
        DataError: The text is too short for the context.
        ConfigError: The text has fewer windows than a batch, or no room for a development slice or
            for the reference's order.
    """
    corpus.check_context(config.model.context_length)
    text, _, _ = cut_text(config, corpus)
    config.reference.check_text(len(text), corpus.vocab_size)


class Batches:
    """Makes each step's batch; windows and random draws follow from seed and step.

    What follows from the step alone is written to fixed places, and everything else is computed
    from there on the device: a recorded step can then be replayed for other windows.

    Args:
        config: The run's.
        text: (N,) ids of the part that trains.
        windows: Of that text.
        reference_schedule: Scores and weighs positions.
        explorer: Says what random numbers it needs.
        model: Says what dropout needs.
        device: Where.
    """

    def __init__(
        self,
        config: RunConfig,
        text: npt.NDArray[Any],
        windows: Windows,
        reference_schedule: ReferenceSchedule,
        explorer: Explorer,
        model: Policy,
        device: torch.device,
    ) -> None:
        self.windows, self.device = windows, device
        self._gates_members = config.model.gates_members
        self._seed, self._reference_schedule = config.seed, reference_schedule
        self._length, self._horizon = config.model.context_length, config.explorer.steps_ahead
        self.last = config.explorer.positions == "last"
        self.ids = torch.from_numpy(text.astype(np.int64)).to(device)
        self._span = torch.arange(self._length + self._horizon, device=device)
        # How many characters of the window each scored position has read.
        first = self._length if self.last else 1
        self.history = torch.arange(first, self._length + 1, device=device)  # (T,)
        self._starts = torch.zeros(config.trainer.batch_size, dtype=torch.int64, device=device)
        members = 1 + config.opponent.rivals
        shape = explorer.uniforms(config.trainer.batch_size, len(self.history))
        self._uniforms = [torch.zeros(shape, device=device) for _ in range(members) if shape]
        # Rollouts have contexts of their own, R of each window.
        rollouts = explorer.config.actions_a_position if self._horizon > 1 else None
        size, contexts = config.trainer.batch_size, rollouts or 1
        mask = model.mask_shape(size * contexts)
        shape = (size, contexts, *mask[1:])  # (B,R,…)
        self._masks = [
            torch.zeros(shape, dtype=torch.bool, device=device) for _ in range(members) if mask
        ]
        self._kept_share = 1 - model.dropout

    def place(self, step: int) -> None:
        """Write down where a step's windows start, and its random draws."""
        starts = torch.from_numpy(self.windows.starts(step))  # (B,)
        if self.device.type == "cuda":
            starts = starts.pin_memory()  # else the copy would wait for the device
        self._starts.copy_(starts, non_blocking=True)
        for member, uniforms in enumerate(self._uniforms):
            own = self._generator(step, 0, member) if member else self._generator(step)
            uniforms.uniform_(generator=own)
        for member, masks in enumerate(self._masks):
            own = self._generator(step, 1, *([member] if member else []))
            masks.bernoulli_(self._kept_share, generator=own)

    def _generator(self, step: int, *stream: int) -> torch.Generator:
        mixed = np.random.SeedSequence([self._seed, step, *stream]).generate_state(1, np.uint64)
        return torch.Generator(self.device).manual_seed(int(mixed[0] >> np.uint64(1)))

    def cut(self) -> Batch:
        """Make the batch of the step that was placed last."""
        starts = self._starts.unsqueeze(-1)
        text = self.ids[starts + self._span]  # (B,L+H)
        positions = starts + self.history  # (B,T)
        reference = gate = members = None
        if self._horizon == 1:  # rollouts have contexts of their own
            reference, gate = self._reference_schedule.look_up(positions, self.history)
            if self._gates_members:
                members = self._reference_schedule.look_up_members(positions, self.history)
        return Batch(
            context=text[:, : self._length],
            target=text[:, self._length :] if self.last else text[:, 1:],
            positions=positions,
            reference=reference,
            gate=gate,
            uniforms=self._uniforms[0] if self._uniforms else None,
            masks=self._masks[0] if self._masks else None,
            members=members,
        )

    def of(self, member: int, batch: Batch) -> Batch:
        """Return a batch that was cut with the draws of a population's member."""
        if not member:
            return batch
        uniforms = self._uniforms[member] if self._uniforms else None
        masks = self._masks[member] if self._masks else None
        return dataclasses.replace(batch, uniforms=uniforms, masks=masks)

    def at(self, step: int) -> Batch:
        """Make the batch of any step."""
        self.place(step)
        return self.cut()
