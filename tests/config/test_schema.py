from __future__ import annotations

import pytest

from avatarl import composition

REWARD_ALONE = ["explorer=bandit", "reward=match", "reference=none", "objective.kl_coef=0",
                "explorer.reference_share=0"]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "feedback", "statistics"),
    [
        (REWARD_ALONE, "bandit", "none"),
        (["reward=match", "reference=none", "objective=cross_entropy"], "label_revealing", "none"),
        (REWARD_ALONE[1:4], "label_revealing", "none"),
        ([*REWARD_ALONE[1:4], "reward=propensity"], "label_revealing", "none"),
        # Counts of the text by a KL, a reward's soft signal, proposals, a stand-in, tables.
        (["reward=match", "reference=bigram"], "label_revealing", "training"),
        (["reward=mixed", "objective.kl_coef=0"], "label_revealing", "training"),
        ([*REWARD_ALONE[:2], "objective.kl_coef=0"], "bandit", "training"),
        ([*REWARD_ALONE, "reward=curriculum"], "bandit", "training"),
        (["objective.kl_coef=0", "reward=sum", "~reward.components.reference",
          "+reward@reward.components.one=curriculum"], "label_revealing", "training"),
        # And at prediction.
        (["reward=match", "model.prior=true"], "label_revealing", "prediction"),
    ],
)  # fmt: skip
def test_a_run_says_by_which_channel_labels_reach_it(
    options: list[str], feedback: str, statistics: str
) -> None:
    config = composition.compose(["data=folio", "tracking=files", *options])
    assert (config.explorer.track, config.label_statistics) == (feedback, statistics)
