"""A look at the game itself: one context choice by choice, or a passage character by character."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatarl.data import Corpus
from avatarl.explorer import Config as Shared
from avatarl.explorer import exhaustive
from avatarl.interfaces import Batch
from avatarl.objective.grpo import ClippedObjective
from avatarl.reward import Text
from avatarl.training.evaluation import HeldOut
from avatarl.training.learner import Learner
from avatarl.training.step import Players, Step, StepInputs

_CONTEXTS = 64  # of a passage, in one forward pass
_FEW = 4  # characters, by which a place in the corpus is known


@dataclass(frozen=True)
class Choice:
    """One character that may come next.

    Attributes:
        character: Itself.
        probability: The policy's, which is its confidence.
        logprob: Its logarithm, in nats.
        reference: The reference's probability, or None without one.
        matches: Whether it is the text's.
        reward: What trying it pays; like the next two None where the text's character isn't known.
        advantage: What the objective makes of that.
        push: −∂loss/∂logit: where a step on this context alone would move it. They sum to 0.
    """

    character: str
    probability: float
    logprob: float
    reference: float | None
    matches: bool
    reward: float | None = None
    advantage: float | None = None
    push: float | None = None


@dataclass(frozen=True)
class Seen:
    """A character of the text, and what the policy thought would come there.

    Attributes:
        character: The text's.
        probability: What the policy gave it.
        choice: The policy's most probable character.
        confidence: What it gave that.
    """

    character: str
    probability: float
    choice: str
    confidence: float


def look(
    learner: Learner,
    corpus: Corpus,
    *,
    text: str | None = None,
    follows: str | None = None,
    characters: int = 0,
    member: int = 0,
) -> dict[str, Any]:
    """Return a view of a policy: its ``step``, and what was asked for.

    Args:
        learner: The policy.
        corpus: Its text.
        text: For ``choices``, with the ``text`` and the ``next`` character.
        follows: The text's next character; by default what follows it in the corpus.
        characters: For a held-out ``passage`` of so many, with its ``nats`` and ``accuracy``.
        member: Of a population.

    Raises:
        DataError: A character isn't in the vocabulary.
    """
    view: dict[str, Any] = {"step": learner.step, **({"member": member} if member else {})}
    if text is not None:
        after = follows or continuation(corpus, text)
        view |= {"text": text, "next": after}
        view["choices"] = choices(learner, corpus, text, after, member)
    if characters:
        view["passage"] = seen = passage(learner, corpus, characters, member)
        view["nats"], view["accuracy"] = summary(seen)
    return view


def choices(
    learner: Learner, corpus: Corpus, text: str, follows: str | None, member: int = 0
) -> list[Choice]:
    """Rank all characters that may follow a text, the most confident first.

    All are tried, whatever the run's explorer draws: rewards, advantages and pushes of a sampling
    run are those that its estimates are unbiased for, up to a group's own mean and spread.

    Args:
        learner: The policy. Its next step is prepared: opponents are refreshed where that is due.
        corpus: Its text.
        text: What the policy reads; its last L characters count.
        follows: The text's next character, or None where nobody knows.
        member: Of a population.

    Raises:
        DataError: A character isn't in the vocabulary.
    """
    ids = corpus.encode(text).tolist()[-learner.reads :]
    context = torch.tensor([ids], device=learner.device)  # (1,H+L)
    learner.prepare_step()
    reference = learner.score_reference
    ref_logprobs = None if reference is None else reference(context, 1)  # (1,1,V)
    logprobs = learner.scorer_of(member)(context, 1).detach()
    columns: dict[str, Tensor] = {"logprob": logprobs}
    if ref_logprobs is not None:
        columns["reference"] = ref_logprobs.exp()
    target = None if follows is None else int(corpus.encode(follows)[0])
    if target is not None:
        columns |= _played(learner, member, corpus, context, target, logprobs, ref_logprobs)
    rows = {name: column.flatten().tolist() for name, column in columns.items()}
    return [
        Choice(
            character=corpus.characters[at],
            probability=float(np.exp(rows["logprob"][at])),
            matches=at == target,
            reference=rows["reference"][at] if "reference" in rows else None,
            **{name: row[at] for name, row in rows.items() if name != "reference"},
        )
        for at in logprobs.flatten().argsort(descending=True, stable=True).tolist()
    ]


def _played(
    learner: Learner,
    member: int,
    corpus: Corpus,
    context: Tensor,
    target: int,
    logprobs: Tensor,
    reference: Tensor | None,
) -> dict[str, Tensor]:
    """Play one exhaustive step on one context: rewards, advantages, pushes, (1,1,V) each."""
    explorer = learner.config.explorer
    if not isinstance(explorer, exhaustive.Config):
        shared = {field.name: getattr(explorer, field.name) for field in dataclasses.fields(Shared)}
        explorer = exhaustive.Config(**shared, action_weighting="policy", horizon=1)
    explorer = dataclasses.replace(explorer, positions="last", select="all")
    config = dataclasses.replace(learner.config, explorer=explorer)
    text = Text(corpus.characters, learner.batches.ids.cpu().numpy(), learner.device)
    step = Step.build(config, text)
    scoring = dataclasses.replace(learner.scoring, last=True)
    members = learner.state.members
    olds = [None if one.old_model is None else scoring.network(one.old_model) for one in members]
    table = logprobs.clone().requires_grad_()
    players = Players(
        lambda context, prior: table.log_softmax(-1),
        olds[member],
        [scoring.functional(learner.model, one) for one in learner.state.league.players()],
    )
    schedule, parts = learner.reference_schedule, None
    if learner.config.model.gates_members and schedule.score_members is not None:
        parts = schedule.score_members(context, 1)  # (1,1,M,V)
    batch = Batch(
        context=context[:, -learner.config.model.context_length :],
        target=torch.tensor([[target]], device=context.device),
        positions=torch.zeros(1, 1, dtype=torch.int64, device=context.device),
        reference=reference,
        members=parts,
    )
    inputs = StepInputs(players, batch, learner.hparams, members[member].controller_state)
    acting, rivals = step.act(inputs), []
    with torch.no_grad():
        for rival, (one, acts) in enumerate(zip(members, olds, strict=True)):
            if rival != member:
                acts = acts or scoring.functional(learner.model, one.evaluated)
                rivals.append(acts(batch.context, acting.priors).exp())
    experience, played = step.explore(inputs, acting, rivals)
    output = step.compute_loss(inputs, experience, played, with_facts=False)
    (gradient,) = torch.autograd.grad(output.loss, table)
    rewards, group = experience.rewards, experience.exploration.group
    advantages = rewards - (group * rewards).sum(-1, keepdim=True)
    if isinstance(step.objective, ClippedObjective):
        advantages = step.objective.advantages(rewards, group, learner.hparams["objective"])
    return {"reward": rewards, "advantage": advantages, "push": -gradient}


@torch.no_grad()
def passage(learner: Learner, corpus: Corpus, characters: int, member: int = 0) -> list[Seen]:
    """Read the beginning of the held-out text, each character from a full window before it.

    Args:
        learner: The policy.
        corpus: Its text.
        characters: How many to predict; fewer where the text is shorter.
        member: Of a population.
    """
    length = learner.config.model.context_length
    before = learner.reference_schedule.before
    held_out = HeldOut(corpus.heldout[: length + characters], length, 1, before)
    # (N,H+L), (N,1)
    windows, wanted = (torch.from_numpy(ids.astype(np.int64)) for ids in held_out.cut(None))
    score = learner.scorer_of(member)
    scored = [
        score(part.to(learner.device), 1)[:, 0].cpu() for part in torch.split(windows, _CONTEXTS)
    ]
    logprobs, target = torch.cat(scored), wanted[:, 0]  # (N,V), (N,)
    confidence, choice = logprobs.exp().max(-1)
    own = logprobs.gather(-1, target.unsqueeze(-1)).squeeze(-1).exp()
    rows = (one.tolist() for one in (target, own, choice, confidence))
    return [
        Seen(corpus.characters[y], held, corpus.characters[a], most)
        for y, held, a, most in zip(*rows, strict=True)
    ]


def continuation(corpus: Corpus, text: str) -> str | None:
    """Return the character that first follows a text in the corpus, or None.

    Where it doesn't occur there, the longest end of it that does counts, down to a few characters.
    """
    for start in range(max(1, len(text) - _FEW + 1)):
        end = text[start:]
        at = corpus.text.find(end)
        if at >= 0 and (after := corpus.text[at + len(end) : at + len(end) + 1]):
            return after
    return None


def summary(seen: Sequence[Seen]) -> tuple[float, float]:
    """Return a passage's nats a character and accuracy."""
    nats = -float(np.mean(np.log([max(one.probability, 1e-300) for one in seen])))
    return nats, float(np.mean([one.choice == one.character for one in seen]))
