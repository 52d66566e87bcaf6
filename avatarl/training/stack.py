"""Replicas of one program, trained as one program along a leading dimension.

R learners keep their own optimisers, controllers, opponents and text order; what they share is the
arithmetic of a step. Their weights are moved into one storage, (R,…) per weight, of which each
learner's own weights are views: the forward and backward pass run once for all of them, and each
learner then updates its slice exactly as it does alone.

Shapes: R replicas, B windows, T scored positions, V vocabulary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from avatarl.training.compiled import evaluate_of
from avatarl.training.cuda_graph import GraphRecorder
from avatarl.training.functional import TensorInputs
from avatarl.training.learner import Learner

Weights = dict[str, Tensor]


class Stack:
    """Learners whose steps are computed together.

    Args:
        learners: At the same or different steps; of one :func:`structure_key`. Their weights
            become views of the stack's.
    """

    def __init__(self, learners: Sequence[Learner]) -> None:
        self.learners = list(learners)
        self.template = self.learners[0]
        self.weights = _gather([learner.parameters for learner in self.learners])
        for weight in self.weights.values():
            weight.requires_grad_(True)
        self.old_weights: Weights | None = None
        if self.template.old_model is not None:
            self.old_weights = _gather(
                [learner.weights()["old_policy"] for learner in self.learners]
            )
        recorded = all(learner.recorder is not None for learner in self.learners)
        self.recorder = GraphRecorder() if recorded else None
        self._evaluate = evaluate_of(self.template.mode, replicas=True)
        assert self.template.functional_step is not None
        self._step = self.template.functional_step
        for learner in self.learners:
            learner.moved()
        self._opponents: list[Weights] = []
        self._met: list[Tensor | None] = []  # one weight of each league that is stacked

    def release(self) -> None:
        """Give each learner weights of its own again."""
        for learner in self.learners:
            for weight in learner.parameters.values():
                weight.data = weight.data.clone()
            if learner.old_model is not None:
                for weight in learner.old_model.parameters():
                    weight.data = weight.data.clone()
            learner.moved()

    def train_step(self, *, with_facts: bool) -> list[dict[str, Tensor]]:
        """Take one step of every learner; see :meth:`Learner.train_step`."""
        for learner in self.learners:
            learner.prepare_step()
        if self.recorder is None:
            found = self._advance(with_facts or self.template.mode.step)
        else:
            key = tuple(learner.reference_schedule.reach for learner in self.learners)
            found = self.recorder(lambda: self._advance(True), key)
        for learner in self.learners:
            learner.state.step += 1
        facts = zip(*(value.unbind() for value in found.values()), strict=True)
        return [dict(zip(found, own, strict=True)) for own in facts]

    def _advance(self, with_facts: bool) -> dict[str, Tensor]:
        """Everything of a step that happens on the device; facts (R,) each."""
        with _attention(self.template.device):
            losses, facts, state = self._evaluate(self._step, self._inputs(), with_facts)
            gradients = torch.autograd.grad(losses.sum(), list(self.weights.values()))
        norms = []
        for replica, learner in enumerate(self.learners):
            own = [gradient[replica] for gradient in gradients]
            remembered = {name: value[replica] for name, value in state.items()}
            norms.append(learner.update(own, remembered))
        return {"grad_norm": torch.stack(norms), **facts}

    def _inputs(self) -> TensorInputs:
        """Gather what all learners' steps read, (R,…) each."""
        weights: dict[str, Any] = {"policy": self.weights, "opponents": self._players()}
        if self.old_weights is not None:
            weights["old_policy"] = self.old_weights
        tensors = [learner.tensors(learner.batches.cut()) for learner in self.learners]
        return weights | _stack_each(tensors)

    def _players(self) -> list[Weights]:
        """Stack the opponents, newest first; again only after one of them was refreshed."""
        leagues = [learner.state.league for learner in self.learners]
        met = [next(iter(league.weights.values()), None) for league in leagues]
        # A refresh replaces the tensors.
        if len(self._met) != len(met) or any(
            a is not b for a, b in zip(met, self._met, strict=True)
        ):
            teams = [league.players() for league in leagues]
            self._opponents = [_stack_each(players) for players in zip(*teams, strict=True)]
            self._met = met
        return self._opponents


def _stack_each(maps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Stack tensors of one name, in maps within maps too."""
    stacked: dict[str, Any] = {}
    for name, first in maps[0].items():
        parts = [one[name] for one in maps]
        if isinstance(first, Tensor):
            stacked[name] = torch.stack([part.detach() for part in parts])
        else:
            stacked[name] = _stack_each(parts)
    return stacked


def _gather(maps: Sequence[Mapping[str, Tensor]]) -> Weights:
    """Move weights into one storage each, (R,…), and leave views of it in their place."""
    stacked = _stack_each(maps)
    for replica, weights in enumerate(maps):
        for name, weight in weights.items():
            weight.data = stacked[name][replica]
    return stacked


@contextlib.contextmanager
def _attention(device: torch.device) -> Iterator[None]:
    """On a CPU take attention apart: its fused kernel can't be mapped over replicas."""
    if device.type != "cpu":
        yield
        return
    with sdpa_kernel(SDPBackend.MATH):
        yield
