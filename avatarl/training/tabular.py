"""The game for a policy that is a table: the theory, made runnable.

A source with known probabilities, a policy that is one row of logits for each context, and the very
step that networks are trained with. Expectations over the text are exact, since a batch holds each
next character as often as the source says; so closed forms can be compared to the last digit.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

import avatarl.reward
from avatarl.config import RunConfig, structure_of
from avatarl.interfaces import Exploration, dynamic_values, hyperparameters_of
from avatarl.objective import LossOutput
from avatarl.reference import Reliability
from avatarl.training.step import Batch, Program


class TableReference:
    """A reference that is a table of log-probabilities, one row a character just read."""

    order = 2

    def __init__(self, probs: Tensor, contexts: Tensor) -> None:
        self.table = probs.log()  # (C,V)
        self.vocab_size = probs.shape[1]
        self._contexts = contexts  # (B,) what was read before each position of the text

    def logprobs(self, contexts: Tensor) -> Tensor:
        """Score (…,L) contexts by their last character: (…,V)."""
        return self.table[contexts[..., -1]]

    def reliability(self, contexts: Tensor) -> Reliability:
        """Say that every context is known well."""
        known = torch.full_like(contexts[..., -1], self.order)
        return Reliability(known, torch.full_like(known, 1000))

    def train_logprobs(self, positions: Tensor, history: Tensor | int | None = None) -> Tensor:
        """Score positions of the text by number."""
        return self.table[self._contexts[positions]]

    def train_reliability(
        self, positions: Tensor, history: Tensor | int | None = None
    ) -> Reliability:
        """Say that every position is known well."""
        return self.reliability(self._contexts[positions].unsqueeze(-1))

    def nbytes(self) -> int:
        """Count the bytes of the table."""
        return self.table.nbytes


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
        self.batch = Batch(
            context=context.unsqueeze(-1),
            target=target.unsqueeze(-1),
            positions=torch.arange(len(context)).unsqueeze(-1),
            history=torch.ones(1, dtype=torch.int64),
        )
        structure = structure_of(config)
        self.program = Program(
            explorer=structure.explorer.build(),
            reward=structure.reward.build(
                avatarl.reward.Text(
                    tuple(map(chr, range(97, 97 + self.vocab_size))),
                    target.numpy(),
                    torch.device("cpu"),
                )
            ),
            objective=structure.objective.build(),
            reference=None if reference is None else TableReference(reference, context),
            vocab_size=self.vocab_size,
            prior=False,
        )
        cpu = torch.device("cpu")
        self.dynamic = dynamic_values(cpu)
        self.dynamic["characters_seen"].fill_(1e12)  # warm-ups are over
        self.hparams = {
            group: hyperparameters_of(config.raw[group], cpu, self.dynamic)
            for group in ("explorer", "reward", "objective")
        }
        self.control: Mapping[str, Tensor] = self.program.objective.initial_control(
            self.hparams["objective"]
        )

    def collect(
        self, logits: Tensor, old_logits: Tensor | None = None, seed: int = 0
    ) -> tuple[LossOutput, Exploration, Tensor]:
        """Compute the loss of a table (C,V) of logits; ``old_logits`` acts where given."""

        def network(table: Tensor, context: Tensor) -> Tensor:
            return table[context[:, -1:]].log_softmax(-1)  # (B,1,V)

        shape = self.program.explorer.uniforms(len(self.batch.context), 1)
        generator = torch.Generator().manual_seed(seed)
        return self.program.loss(
            lambda context, prior: network(logits, context),
            None if old_logits is None else lambda context, prior: network(old_logits, context),
            self.batch,
            self.hparams,
            self.control,
            torch.rand(shape, generator=generator) if shape else None,
        )

    def gradient(self, logits: Tensor, old_logits: Tensor | None = None, seed: int = 0) -> Tensor:
        """Return ∂loss/∂logits, (C,V)."""
        table = logits.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(self.collect(table, old_logits, seed)[0].loss, table)
        return gradient

    def ascend(self, logits: Tensor, steps: int, lr: float) -> Tensor:
        """Follow the gradient (Adam) from ``logits``; returns the table reached."""
        table = logits.clone().requires_grad_()
        optimizer = torch.optim.Adam([table], lr=lr)
        for step in range(steps):
            self.dynamic["progress"].fill_(step / steps)
            terms, _, _ = self.collect(table, seed=step)
            self.control = terms.control
            optimizer.zero_grad()
            terms.loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return table.detach()
