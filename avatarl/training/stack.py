"""Replicas of one program, trained as one program along a leading dimension.

R learners keep their own optimisers, controllers, opponents and text order; what they share is the
arithmetic of a step. Their weights are moved into one storage, (R,…) per weight, of which each
learner's own weights are views: the forward and backward pass run once for all of them, and each
learner then updates its slice exactly as it does alone.

Shapes: R replicas, B windows, T scored positions, V vocabulary.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from avatarl.config import RunConfig
from avatarl.reference import Reliability
from avatarl.training.learner import Learner
from avatarl.training.step import Batch, Network, reward_facts

Weights = dict[str, Tensor]


def why_not(config: RunConfig) -> str | None:
    """Say what keeps a run out of any stack, naming the setting; None if nothing does."""
    if config.explorer.steps_ahead > 1:
        return f"explorer.horizon={config.explorer.steps_ahead} reads back what it wrote"
    if config.objective.inner_steps > 1:
        return f"objective.inner_epochs={config.objective.inner_steps} repeats a batch"
    return None


def program_key(config: RunConfig) -> str:
    """Equal for runs whose steps are one program, whatever their numbers are.

    Numbers that are tensors in the step don't count, only whether they are 0: terms with a
    coefficient of 0 are left out. Optimisers, references, seeds and lengths are each replica's own.
    """
    raw = config.raw
    structure = {
        group: _structure(raw[group]) for group in ("explorer", "reward", "objective", "opponent")
    }
    structure["model"] = raw["model"]
    structure["trainer"] = {
        key: raw["trainer"].get(key) for key in ("batch_size", "precision", "device", "compile")
    }
    structure["data"] = raw["data"]
    structure["reference"] = config.reference.name != "none"
    gated = raw["reference"].get("schedule") or {}
    structure["gated"] = gated.get("kind") == "gated"
    return repr(structure)


def _structure(settings: Any) -> Any:
    if isinstance(settings, Mapping):
        return {key: _structure(settings[key]) for key in sorted(settings)}
    if isinstance(settings, float):
        return "number" if settings else "nothing"
    return settings


@dataclasses.dataclass
class _Known:
    """A reference that has been looked up already, at the positions of this step."""

    scored: Tensor  # (B,T,V)
    order: int
    vocab_size: int

    def train_logprobs(self, positions: Tensor, history: Tensor | int | None = None) -> Tensor:
        return self.scored

    def logprobs(self, contexts: Tensor) -> Tensor:
        raise NotImplementedError("a stacked step scores the batch's own windows alone")

    def reliability(self, contexts: Tensor) -> Reliability:
        raise NotImplementedError("a stacked step scores the batch's own windows alone")

    def train_reliability(
        self, positions: Tensor, history: Tensor | int | None = None
    ) -> Reliability:
        raise NotImplementedError("a stacked step scores the batch's own windows alone")

    def nbytes(self) -> int:
        return 0


class Stack:
    """Learners whose steps are computed together.

    Args:
        learners: At the same or different steps; of one :func:`program_key`. Their weights
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
                [dict(_old(learner).named_parameters()) for learner in self.learners]
            )
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

    def train_step(self, *, with_facts: bool) -> list[dict[str, Tensor]]:
        """Take one step of every learner; see :meth:`Learner.train_step`."""
        for learner in self.learners:
            learner.prepare_step()
        inputs = self._inputs()
        with _attention(self.template.device):
            losses, facts, control = torch.func.vmap(
                lambda one: self._loss(one, with_facts), randomness="error"
            )(inputs)
            losses.sum().backward()  # type: ignore[no-untyped-call]
        found = []
        for replica, learner in enumerate(self.learners):
            for name, weight in learner.parameters.items():
                gradient = self.weights[name].grad
                weight.grad = None if gradient is None else gradient[replica]
            own = {name: value[replica] for name, value in control.items()}
            norm = learner.update(own)
            learner.step += 1
            described = {name: value[replica] for name, value in facts.items()}
            found.append({"grad_norm": norm, **described})
        for weight in self.weights.values():
            weight.grad = None
        return found

    def _inputs(self) -> dict[str, Any]:
        """Gather what the learners' steps differ in, (R,…) each."""
        batches = [learner.batch(learner.step) for learner in self.learners]
        inputs: dict[str, Any] = {
            "weights": self.weights,
            "opponents": self._players(),
            "context": torch.stack([batch.context for batch in batches]),
            "target": torch.stack([batch.target for batch in batches]),
            "positions": torch.stack([batch.positions for batch in batches]),
            "knobs": {
                group: _stack_each([learner.knobs[group] for learner in self.learners])
                for group in self.template.knobs
            },
            "control": _stack_each([learner.control for learner in self.learners]),
        }
        if self.old_weights is not None:
            inputs["old_weights"] = self.old_weights
        drawn = [learner.uniforms(learner.step) for learner in self.learners]
        if drawn[0] is not None:
            inputs["uniforms"] = torch.stack([one for one in drawn if one is not None])
        # Tables differ in shape from replica to replica, so they are looked up outside.
        scored, gates = [], []
        for learner, batch in zip(self.learners, batches, strict=True):
            reference = learner.program.reference_policy(batch)
            if reference is None:
                continue
            scored.append(reference(batch.context))
            if learner.program.gate is not None:
                gate = learner.program.gate(batch, scored[-1])
                if gate is not None:
                    gates.append(gate)
        if scored:
            inputs["reference"] = torch.stack(scored)  # (R,B,T,V)
        if gates:
            inputs["gate"] = torch.stack(gates)  # (R,B,T)
        return inputs

    def _loss(
        self, one: Mapping[str, Any], with_facts: bool
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """Compute one replica's loss, facts and controllers' memory; mapped over replicas."""
        template = self.template
        batch = Batch(one["context"], one["target"], one["positions"], template.history)
        gate = one.get("gate")
        program = dataclasses.replace(
            template.program,
            reference=_Known(one["reference"], 1, template.program.vocab_size)
            if "reference" in one
            else None,
            gate=None if gate is None else lambda batch, scored: gate,
        )
        network = self._network(one["weights"])
        old = self._network(one["old_weights"]) if "old_weights" in one else None
        played, logprobs = program.play(
            network,
            old,
            batch,
            one["knobs"],
            one.get("uniforms"),
            [self._network(weights) for weights in one["opponents"]],
        )
        terms = program.judge(
            network, played, logprobs, one["knobs"], one["control"], with_facts=with_facts
        )
        facts: dict[str, Tensor] = {}
        if with_facts:
            facts = terms.facts | played.facts
            facts |= reward_facts(played.exploration, played.rewards)
        control = {name: value.detach() for name, value in terms.control.items()}
        return terms.loss, facts, control

    def _network(self, weights: Weights) -> Network:
        def call(context: Tensor, **options: Any) -> Tensor:
            logits: Tensor = torch.func.functional_call(
                self.template.model, weights, (context,), options
            )
            return logits

        def network(context: Tensor, prior: Tensor | None) -> Tensor:
            return self.template.network(call, context, prior)

        return network

    def _players(self) -> list[Weights]:
        """Stack the opponents, newest first; again only after one of them was refreshed."""
        leagues = [learner.league for learner in self.learners]
        met = [next(iter(league.weights.values()), None) for league in leagues]
        # A refresh replaces the tensors.
        if len(self._met) != len(met) or any(
            a is not b for a, b in zip(met, self._met, strict=True)
        ):
            teams = [league.players() for league in leagues]
            self._opponents = [_stack_each(players) for players in zip(*teams, strict=True)]
            self._met = met
        return self._opponents


def _old(learner: Learner) -> torch.nn.Module:
    assert learner.old_model is not None
    return learner.old_model


def _stack_each(maps: Sequence[Mapping[str, Tensor]]) -> Weights:
    return {name: torch.stack([one[name].detach() for one in maps]) for name in maps[0]}


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
