"""One forward pass for all V actions against the naive method: one forward pass an action.

Both compute the same log-probabilities (checked here) and take the same training step on them. The
naive method is measured on a few contexts, which is kind to it: its cost is proportional to them,
and what a batch shares (clipping, the optimiser) is counted once a batch for both.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import torch
from harness import Entry, Options, entry, in_turns, learner, main

from avatarl.interfaces import Batch
from avatarl.training.learner import Learner
from avatarl.training.step import Players, StepInputs

TARGET = 60
BATCH = 64


def measure(options: Options) -> Iterator[Entry]:
    settings = [
        f"trainer.batch_size={BATCH}",
        "explorer.positions=last",
        "objective=grpo",
        "optimizer=adamw",
    ]
    sizes = [("gpt2_20m", 1, 5 if options.quick else 20)]
    if not options.quick:
        sizes.insert(0, ("gpt2_small", 4, 20))
    for model, contexts, rounds in sizes:
        subject = learner(f"model={model}", *settings)
        yield from compare(subject, contexts, rounds, model)


def compare(subject: Learner, contexts: int, rounds: int, name: str) -> Iterator[Entry]:
    """Compare contexts per second at one size, ``contexts`` of them at a time for the naive."""
    batch = subject.batches.at(0)
    few = Batch(**{name: values[:contexts] for name, values in batch.tensors().items()})

    def naive(context: torch.Tensor, prior: torch.Tensor | None) -> torch.Tensor:
        count, vocab = len(context), subject.step_function.vocab_size
        repeated = context.repeat_interleave(vocab, dim=0)  # (B·V,L)
        logits = subject.model(repeated)[:, -1]  # (B·V,V)
        action = torch.arange(vocab).repeat(count).unsqueeze(-1)  # (B·V,1)
        logprobs: torch.Tensor = logits.log_softmax(-1).gather(-1, action)
        return logprobs.view(count, 1, vocab)

    with torch.no_grad():
        torch.testing.assert_close(
            naive(few.context, None),
            subject.scoring(subject.model, few.context, None),
            rtol=1e-4,
            atol=1e-4,
        )

    controllers = subject.state.controller_state
    inputs = StepInputs(Players(naive), few, subject.hparams, controllers)

    def learn_naively() -> None:
        subject.step_function(inputs, with_facts=False).loss.backward()  # type: ignore[no-untyped-call]

    def update() -> None:
        torch.nn.utils.clip_grad_norm_(list(subject.parameters.values()), 1.0)
        for optimizer in subject.state.optimizers:
            optimizer.step()

    taken = in_turns(
        {
            "naive": learn_naively,
            "update": update,
            "step": lambda: subject.train_step(with_facts=True),
        },
        rounds,
    )
    batches = BATCH / contexts
    gains = [
        (one * batches + update) / step
        for one, update, step in zip(taken["naive"], taken["update"], taken["step"], strict=True)
    ]
    speeds = [BATCH / seconds for seconds in taken["step"]]
    yield entry(f"naive_forward/speedup/{name}", gains, "x", TARGET, at_least=True)
    yield entry(f"naive_forward/contexts_per_s/{name}", speeds, "1/s")
    slow = [contexts / seconds for seconds in taken["naive"]]
    yield entry(f"naive_forward/contexts_per_s_naive/{name}", slow, "1/s")


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))
