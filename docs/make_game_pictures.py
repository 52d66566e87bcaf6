"""Draw docs/images/game.png: where each reward and objective takes a policy on a toy source.

    python docs/make_game_pictures.py

A table of logits starts near uniform and follows the shipped loss on one context whose next
character is known to be a: 50 %, b: 25 %, c: 15 %, d: 8 %, e: 2 %. Bars are where it ends, dots the
truth, a line the reference where one is used; a population's members stand side by side.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import torch

from avatarl import composition
from avatarl.training.tabular import Tabular

matplotlib.use("Agg")
from matplotlib import pyplot as plt

COUNTS = torch.tensor([[50, 25, 15, 8, 2]])
REFERENCE = torch.tensor([[0.33, 0.32, 0.20, 0.148, 0.002]])
BARE = ["objective.kl_coef=0", "objective.ent_coef=0"]
BONUS = ["objective.kl_coef=0", "objective.ent_coef=0.1"]

# title, overrides, whether the reference matters
PANELS = [
    ("cross_entropy (control)", ["objective=cross_entropy", "reward=match"], False),
    ("expected · match", ["objective=expected", "reward=match", *BARE], False),
    ("expected · match, entropy 0.1", ["objective=expected", "reward=match", *BONUS], False),
    ("expected · propensity α = 1", ["objective=expected", "reward=propensity", *BARE], False),
    (
        "expected · propensity α = 0.5",
        ["objective=expected", "reward=propensity", "reward.alpha=0.5", *BARE],
        False,
    ),
    ("brier · match", ["objective=brier", "reward=match", *BARE], False),
    ("arcsin · match", ["objective=arcsin", "reward=match", *BARE], False),
    ("grpo · match (std)", ["objective=grpo", "reward=match", *BARE], False),
    (
        "dr_grpo · confidence w = 2, entropy 0.1",
        [
            "objective=dr_grpo",
            "reward=confidence_scaled",
            "reward.soft_weight=0",
            "reward.confidence_weight=2",
            "reward.scale_max=3",
            *BONUS,
        ],
        False,
    ),
    (
        "dr_grpo · match, KL 0.3",
        ["objective=dr_grpo", "reward=match", "objective.kl_coef=0.3", "objective.ent_coef=0"],
        True,
    ),
    (
        "dr_grpo · product of experts, entropy 0.1",
        ["objective=dr_grpo", "reward=product_of_experts", *BONUS],
        True,
    ),
    (
        "expected · rank-aware, rest beyond 2",
        ["objective=expected", "reward=rank_aware", "reward.top_k=2", *BARE],
        False,
    ),
    (
        "expected · gain over its past, entropy 0.1",
        ["objective=expected", "reward=gain", "opponent=past", "opponent.decay=0.9", *BONUS],
        False,
    ),
    (
        "expected · propensity, three by duels won",
        [
            "objective=expected",
            "reward=propensity",
            "opponent=population",
            "opponent.measure=win_share",
            *BARE,
        ],
        False,
    ),
    ("dr_grpo · origin, entropy 0.1", ["objective=dr_grpo", "reward=origin", *BONUS], True),
]


def reached(overrides: list[str]) -> torch.Tensor:
    """Follow the loss to its end and return each member's probabilities, (P,5)."""
    settings = ["data=folio", "tracking=files", "explorer=exhaustive", *overrides]
    config = composition.compose(settings)
    game, members = Tabular(config, COUNTS, REFERENCE), 1 + config.opponent.rivals
    start = 0.05 * torch.randn(members, 1, 5, generator=torch.Generator().manual_seed(0))
    if members > 1:
        return game.ascend_together(start, 1500, 0.03).softmax(-1)[:, 0]
    return game.ascend(start[0], 3000, 0.03).softmax(-1)


def draw(path: Path) -> None:
    """Write the figure."""
    plt.rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(3, 5, figsize=(13.5, 6.2), sharey=True, constrained_layout=True)
    truth = (COUNTS / COUNTS.sum())[0]
    letters = list("abcde")
    for axis, (title, overrides, uses_reference) in zip(
        axes.flat[: len(PANELS)], PANELS, strict=True
    ):
        ends = reached(overrides).tolist()
        width = 0.8 / len(ends)
        for member, end in enumerate(ends):
            shift = width * (member - (len(ends) - 1) / 2)
            places = [place + shift for place in range(len(letters))]
            label = "policy" if not member else None
            axis.bar(places, end, 0.92 * width, color="#7aa6c2", label=label)
        axis.set_xticks(range(len(letters)), letters)
        axis.plot(range(5), truth.tolist(), "o", color="#222222", markersize=4, label="truth")
        if uses_reference:
            axis.step(
                range(5), REFERENCE[0].tolist(), where="mid", color="#c25e3a", label="reference"
            )
        axis.set_title(title, fontsize=8.5, loc="left")
        axis.set_ylim(0, 1.03)
    for axis in axes[:, 0]:
        axis.set_ylabel("probability")
    handles, labels = axes.flat[len(PANELS) - 1].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="outside lower center", ncols=3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    torch.set_num_threads(1)
    draw(Path(__file__).resolve().parent / "images" / "game.png")
