"""What a default run spends on anything but training, and what memory a large one needs.

Shares are computed from the parts, each timed on its own: a step, a step that is described, a
training record, a periodic evaluation, how sparse updates are, and the final pass over all
held-out text.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness import ROOT, Entry, Options, entry, in_turns, learner, main, seconds

PERIODIC, FINAL, MEMORY_GIB = 0.05, 0.15, 2.0


def measure(options: Options) -> Iterator[Entry]:
    import torch

    from avatarl.data import load
    from avatarl.runs.journal import JournalWriter
    from avatarl.training.evaluation import HeldOut, evaluate
    from avatarl.training.health import Health
    from avatarl.training.sparsity import update_facts

    subject = learner()
    trainer = subject.config.trainer
    held_out = HeldOut(load(subject.config.data).heldout, subject.config.model.context_length, 1)
    limits = subject.config.health
    health = Health(limits)
    before = {name: weight.detach().clone() for name, weight in subject.parameters.items()}

    def evaluation(limit: int | None) -> None:
        evaluate(
            subject.score,
            held_out,
            device=torch.device("cpu"),
            reference=subject.score_reference,
            limit=limit,
        )

    with tempfile.TemporaryDirectory() as folder:
        journal = JournalWriter(Path(folder) / "metrics.jsonl", {"run_id": "0" * 16}, None)

        def record() -> None:
            # What the loop does at a record, on figures as many as a run has.
            facts = subject.train_step(with_facts=True)
            values = torch.stack([fact.float() for fact in facts.values()]).tolist()
            figures = dict(zip(facts, values, strict=True))
            figures |= health.gradients([values[0]] * trainer.log_every, 1.0)
            health.check_gradients(figures)
            journal.write({"step": subject.step, "characters_seen": 0, **figures})

        taken = in_turns(
            {
                "step": lambda: subject.train_step(with_facts=False),
                "record": record,
            },
            12 if options.quick else 60,
        )
        journal.close()
    watched = in_turns(
        {
            "evaluation": lambda: evaluation(trainer.eval_positions),
            "sparsity": lambda: update_facts(subject.parameters, before, before),
        },
        3 if options.quick else 10,
    )
    passes = 1 if options.quick else 3
    final = [seconds(lambda: evaluation(None)) for _ in range(passes)]

    steps = subject.steps
    training = [steps * step for step in taken["step"]]
    extra = [max(0.0, b - a) for a, b in zip(taken["step"], taken["record"], strict=True)]
    typical = sorted(training)[len(training) // 2]
    logging = sorted(extra)[len(extra) // 2] * (steps // trainer.log_every)
    others = [
        logging
        + evaluated * (steps // trainer.eval_every)
        + compared * (steps // limits.sparsity_every if limits.sparsity_every else 0)
        for evaluated, compared in zip(watched["evaluation"], watched["sparsity"], strict=True)
    ]
    yield entry(
        "run_costs/periodic_share",
        [one / (one + typical) for one in others],
        "share",
        PERIODIC,
        note="evaluation, monitors, records of a default run",
    )
    yield entry("run_costs/final_share", [one / (one + typical) for one in final], "share", FINAL)
    yield entry("run_costs/logging_share", [logging / typical], "share")
    yield entry("run_costs/training", training, "s", note="steps of a default run")
    yield entry("run_costs/final_pass", final, "s")
    yield entry("run_costs/peak_memory/gpt2_20m", [peak_gib(options.threads)], "GiB", MEMORY_GIB)


def peak_gib(threads: int) -> float:
    """Peak resident memory of a gpt2_20m process that steps, evaluates, saves a checkpoint."""
    done = subprocess.run(
        [sys.executable, __file__, "--as-child", str(threads)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(json.loads(done.stdout.splitlines()[-1])["peak_gib"])


def child(threads: int) -> None:
    """Do what a gpt2_20m run does, then print the most memory that took."""
    import resource

    import torch

    from avatarl.data import load
    from avatarl.runs.folder import RunFolder
    from avatarl.training import checkpoint
    from avatarl.training.evaluation import HeldOut, evaluate

    torch.set_num_threads(threads)
    subject = learner("model=gpt2_20m")
    subject.train_step(with_facts=True)
    subject.train_step(with_facts=True)
    heldout = HeldOut(load(subject.config.data).heldout, subject.config.model.context_length, 1)
    # As many contexts as any forward pass of an evaluation has.
    evaluate(
        subject.score,
        heldout,
        device=torch.device("cpu"),
        reference=subject.score_reference,
        limit=1024,
    )
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.write_checkpoint(RunFolder(Path(folder)), subject.state.state_dict())
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"peak_gib": kib / 2**20}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as-child"]:
        child(int(sys.argv[2]))
    else:
        sys.exit(main(__doc__, measure))
