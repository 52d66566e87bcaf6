"""Variance of bandit feedback: the second moment of a gradient from one sample, by proposal.

With ``reward=propensity`` at α = 1 the gradient in a position's logits from one draw a of μ is
(π/μ)(a) · (r − c) · (e_a − π), r = 1[a = y]/π(a), c the baseline. Its second moment is a sum over
a, so it is exact at each position; the mean is over the held-out text's, for policies in three
stages of learning (uniform, add-1 bigram, order-5 Kneser–Ney) and two references. ``matched`` is a
policy that is the truth itself, an order-7 Kneser–Ney. The shipped explorer makes the proposals.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import torch
from harness import Entry, Options, entry, main, text_overrides
from torch import Tensor

from avatarl.composition import compose
from avatarl.data import load
from avatarl.explorer.sampling import Sampling
from avatarl.interfaces import hyperparameters_of

PROPOSALS = {
    "shipped": [],
    "0.45 policy, 0.5 reference": ["proposal=policy", "reference_share=0.5"],
    "policy": ["proposal=policy", "reference_share=0", "uniform_share=0"],
    "0.95 policy": ["proposal=policy", "reference_share=0"],
    "0.6 policy": ["proposal=policy", "reference_share=0", "uniform_share=0.4"],
    "temperature 1.5": ["proposal=tempered", "policy_temperature=1.5", "reference_share=0",
                        "uniform_share=0"],
    "temperature 2": ["proposal=tempered", "policy_temperature=2", "reference_share=0",
                      "uniform_share=0"],
    "optimal by policy": ["reference_share=0", "uniform_share=0"],
    "0.45 optimal by policy, 0.5 reference": ["reference_share=0.5"],
    "0.95 optimal by reference": ["stand_in=reference", "reference_share=0"],
}  # fmt: skip


def measure(options: Options) -> Iterator[Entry]:
    text, scores = scored(2_000 if options.quick else 30_000)
    known = scores["kneser_ney 7"]
    uniform = torch.full_like(known, 1 / known.shape[-1]).log()
    policies = {"uniform": uniform, "bigram": scores["bigram 2"], "order 5": scores["kneser_ney 5"]}
    for strength, reference in {"ngram4": scores["ngram4 4"], "kneser_ney": known}.items():
        for stage, policy in policies.items():
            yield from compared(f"{stage}/{strength}", text, policy, reference)
    yield from compared("matched", known.exp(), known, known)


def compared(where: str, truth: Tensor, policy: Tensor, reference: Tensor) -> Iterator[Entry]:
    """Tell the moment of each proposal, with what a constant baseline of 1 makes of it."""
    for name, words in PROPOSALS.items():
        proposal = proposals(policy, reference, *words)
        plain, constant = (moments(truth, policy, proposal, by).mean().item() for by in (0.0, 1.0))
        note = f"baseline 1: {constant:.4g}"
        yield entry(f"bandit_variance/{where}/{name}", [plain], "1", note=note)
    if where == "matched":
        least = (truth * _apart(policy)).sqrt().sum(-1).square().mean().item()
        yield entry(f"bandit_variance/{where}/least", [least], "1")
    seen = (truth * _apart(policy)).sum(-1).mean().item()
    yield entry(f"bandit_variance/{where}/label seen", [seen], "1")


def scored(count: int) -> tuple[Tensor, dict[str, Tensor]]:
    """The text's characters at held-out positions as (N,1,V) of 0 and 1, and log-probabilities."""
    corpus = load(compose(["tracking=files", *text_overrides()]).data)
    windows = torch.from_numpy(corpus.heldout.astype("int64")).unfold(0, 9, 1)
    draw = torch.Generator().manual_seed(0)
    chosen = windows[torch.randint(0, len(windows), (count,), generator=draw)]
    scores = {}
    for words in ("kneser_ney 7", "kneser_ney 5", "ngram4 4", "bigram 2"):
        kind, order = words.split()
        told = [f"reference={kind}", f"reference.order={order}"]
        reference = compose(["tracking=files", *text_overrides(), *told]).reference
        built = reference.build(corpus.train, corpus.vocab_size, torch.device("cpu"))
        assert built is not None
        scores[words] = built.logprobs(chosen[:, :8]).unsqueeze(1).double()
    return torch.eye(corpus.vocab_size).double()[chosen[:, 8:]], scores


def proposals(policy: Tensor, reference: Tensor, *words: str) -> Tensor:
    """What the shipped explorer draws from, (N,1,V)."""
    told = [f"explorer.{word}" for word in words]
    config = compose(["data=folio", "tracking=files", "explorer=bandit", *told])
    explorer = config.explorer.build()
    assert isinstance(explorer, Sampling)
    hparams = hyperparameters_of(config.raw["explorer"], torch.device("cpu"))
    exact = {name: value.double() for name, value in hparams.items()}
    return explorer.proposals(policy, reference, exact)


def moments(truth: Tensor, policy: Tensor, proposal: Tensor, baseline: float) -> Tensor:
    """Second moment of the gradient at each position, from probabilities of the truth: (N,1)."""
    own = policy.exp()
    centred = truth * (1 / own - baseline).square() + (1 - truth) * baseline**2
    return (own.square() / proposal * _apart(policy) * centred).sum(-1)


def _apart(policy: Tensor) -> Tensor:
    own = policy.exp()
    return 1 - 2 * own + own.square().sum(-1, keepdim=True)  # ‖e_a − π‖²


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))
