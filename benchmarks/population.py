"""What a population of P policies costs, in runs of one: a step, and an evaluation."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from typing import Any

from harness import Entry, Options, entry, in_turns, learner, main, ratios

from avatarl.training.evaluation import HeldOut, evaluate_all
from avatarl.training.population import members_and_ensemble

KINDS = {
    "default": ["reference=ngram4"],
    "bandit": ["explorer=bandit", "objective=expected", "reward=propensity", "reference=ngram4"],
    "context_64": ["model.context_length=64", "trainer.batch_size=32", "reference=bigram"],
}


def measure(options: Options) -> Iterator[Entry]:
    sizes = (3,) if options.quick else (2, 3, 5)
    for (name, words), size in ((kind, size) for kind in KINDS.items() for size in sizes):
        alone = learner(*words)
        several = learner(*words, "opponent=population", f"opponent.size={size}")
        calls = {
            "alone": functools.partial(alone.train_step, with_facts=False),
            "several": functools.partial(several.train_step, with_facts=False),
        }
        steps = in_turns(calls, 10 if options.quick else 30, 3)
        cost = [ratio / size for ratio in ratios(steps, "several", "alone")]
        yield entry(f"population/step/{name}/{size}", cost, "x", 1.0, note="of as many runs")
        if name == "default":
            text = HeldOut.of(alone.batches.ids[:20_000].numpy(), 8)
            looks = in_turns(
                {
                    "alone": functools.partial(_evaluate, alone, text),
                    "several": functools.partial(_evaluate, several, text),
                },
                5,
            )
            cost = [ratio / size for ratio in ratios(looks, "several", "alone")]
            yield entry(f"population/evaluation/{size}", cost, "x", note="of as many runs")


def _evaluate(subject: Any, text: HeldOut) -> None:
    scorers = [subject.scorer_of(member) for member in range(len(subject.state.members))]
    evaluate_all(
        members_and_ensemble(scorers),
        text,
        device=subject.device,
        reference=subject.score_reference,
        limit=4096,
    )


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))
