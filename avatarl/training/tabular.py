"""The game for a policy that is a table: the theory, made runnable.

A source with known probabilities, a policy that is one row of logits for each context, and the very
step that networks are trained with. Expectations over the text are exact, since a batch holds each
next character as often as the source says; so closed forms can be compared to the last digit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from avatarl.config import RunConfig
from avatarl.interfaces import Batch, Exploration, dynamic_values
from avatarl.objective import LossOutput
from avatarl.reward import Text
from avatarl.training.scoring import Network
from avatarl.training.step import Players, Step, StepInputs, step_hyperparameters


class Tabular:
    """One configured game over a table of logits.

    Args:
        config: Explorer, reward and objective are taken from it.
        counts: (C,V) int64, how often each character follows each of C contexts (C ≤ V).
        reference: (C,V) probabilities, or None.
        replays: How often the batch holds the whole source; more for sampled exploration.
    """

    def __init__(
        self,
        config: RunConfig,
        counts: Tensor,
        reference: Tensor | None = None,
        replays: int = 1,
    ) -> None:
        self.vocab_size = counts.shape[1]
        contexts, targets = counts.nonzero(as_tuple=True)
        times = counts[contexts, targets] * replays
        context = contexts.repeat_interleave(times)  # (B,)
        target = targets.repeat_interleave(times)  # (B,)
        cpu = torch.device("cpu")
        text = Text(tuple(map(chr, range(97, 97 + self.vocab_size))), target.numpy(), cpu)
        self.step = Step.build(config, text)
        self._past_decay: float | None = None
        if config.reward.needs_opponent:
            self._past_decay = float(config.raw["opponent"].get("decay", 0.0))
        self._uniforms = self.step.explorer.uniforms(len(context), 1)
        self.batch = Batch(
            context=context.unsqueeze(-1),
            target=target.unsqueeze(-1),
            positions=torch.arange(len(context)).unsqueeze(-1),
            reference=None if reference is None else reference.log()[context].unsqueeze(1),
        )
        self.dynamic = dynamic_values(cpu)
        self.dynamic["characters_seen"].fill_(1e12)  # warm-ups are over
        self.hparams = step_hyperparameters(config, cpu, self.dynamic)
        self.controller_state: Mapping[str, Tensor] = self.step.objective.initial_controller_state(
            self.hparams["objective"]
        )

    def loss(
        self,
        logits: Tensor,
        old_logits: Tensor | None = None,
        seed: int = 0,
        past_logits: Tensor | None = None,
        rival_logits: Sequence[Tensor] = (),
    ) -> tuple[LossOutput, Exploration, Tensor]:
        """Compute the loss of a table of logits.

        Args:
            logits: (C,V).
            old_logits: Those of the policy that acts, where it is another.
            seed: Of the draws.
            past_logits: Those of the opponent, or None without one.
            rival_logits: Those of a population's other members.

        Returns:
            The loss, what was explored, and its rewards (B,T,K).
        """

        def network(table: Tensor) -> Network:
            return lambda context, prior: table[context[:, -1:]].log_softmax(-1)  # (B,1,V)

        batch = self.batch
        if self._uniforms:
            generator = torch.Generator().manual_seed(seed)
            uniforms = torch.rand(self._uniforms, generator=generator)
            batch = dataclasses.replace(batch, uniforms=uniforms)
        old_policy = None if old_logits is None else network(old_logits)
        opponents = [] if past_logits is None else [network(past_logits)]
        players = Players(network(logits), old_policy, opponents)
        inputs = StepInputs(players, batch, self.hparams, self.controller_state)
        rivals = [network(one)(batch.context, None).exp() for one in rival_logits]
        experience, logprobs = self.step.explore(inputs, self.step.act(inputs), rivals)
        output = self.step.compute_loss(inputs, experience, logprobs, with_facts=True)
        return output, experience.exploration, experience.rewards

    def gradient(self, logits: Tensor, old_logits: Tensor | None = None, seed: int = 0) -> Tensor:
        """Return ∂loss/∂logits, (C,V)."""
        table = logits.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(self.loss(table, old_logits, seed)[0].loss, table)
        return gradient

    def ascend(self, logits: Tensor, steps: int, lr: float) -> Tensor:
        """Follow the gradient (Adam) from ``logits``; returns the table reached.

        Where the reward reads an opponent, that is the moving average of the table's own past.
        """
        table = logits.clone().requires_grad_()
        past = logits.clone() if self._past_decay is not None else None
        optimizer = torch.optim.Adam([table], lr=lr)
        for step in range(steps):
            self.dynamic["progress"].fill_(step / steps)
            output, _, _ = self.loss(table, seed=step, past_logits=past)
            self.controller_state = output.controller_state
            optimizer.zero_grad()
            output.loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if past is not None and self._past_decay is not None:
                past = torch.lerp(table.detach(), past, self._past_decay)
        return table.detach()

    def ascend_together(self, tables: Tensor, steps: int, lr: float) -> Tensor:
        """Let a population's members follow their gradients at the same time, from (P,C,V)."""
        members = [table.clone().requires_grad_() for table in tables]
        optimizers = [torch.optim.Adam([table], lr=lr) for table in members]
        for step in range(steps):
            self.dynamic["progress"].fill_(step / steps)
            acting = [table.detach().clone() for table in members]
            for member, table in enumerate(members):
                rivals = acting[:member] + acting[member + 1 :]
                output, _, _ = self.loss(
                    table, seed=step * len(members) + member, rival_logits=rivals
                )
                optimizers[member].zero_grad()
                output.loss.backward()  # type: ignore[no-untyped-call]
                optimizers[member].step()
        return torch.stack(members).detach()
