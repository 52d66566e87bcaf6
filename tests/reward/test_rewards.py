"""Each reward on cases worked out by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import avatarl.reward
from avatarl import composition
from avatarl.interfaces import Exploration, RewardInputs, hyperparameters_of

CPU = torch.device("cpu")
V = 4
OLD = torch.tensor([[[0.1, 0.2, 0.6, 0.1]]])
REF = torch.tensor([[[0.4, 0.3, 0.2, 0.1]]])
PAST = torch.tensor([[[0.25, 0.25, 0.5, 0.0]]])
HITS = torch.tensor([[[0.0, 1.0, 0.0, 0.0]]])
TEXT = avatarl.reward.Text(tuple("abcd"), np.array([0, 1, 2, 3] * 10), CPU)


def inputs(old: torch.Tensor = OLD) -> RewardInputs:
    exploration = Exploration(
        actions=None, weights=old, group=old, matches=HITS,
        contexts=torch.zeros(1, 1, dtype=torch.int64), old_logprobs=old.log(), old_probs=old,
    )  # fmt: skip
    return RewardInputs(exploration, old, REF.log(), PAST.log())


def paid(*overrides: str, of: RewardInputs | None = None, progress: float = 0.0) -> torch.Tensor:
    config = composition.compose(["data=folio", "opponent=past", "tracking=files", *overrides])
    reward = config.reward.build(TEXT)
    hparams = hyperparameters_of(config.raw["reward"], CPU)
    hparams["progress"].fill_(progress)
    return reward(of or inputs(), hparams)[0, 0]


def close(actual: torch.Tensor, expected: list[float]) -> None:
    wanted = torch.tensor(expected, dtype=torch.float32)
    torch.testing.assert_close(actual, wanted, rtol=1e-5, atol=1e-6)


def test_match() -> None:
    close(paid("reward=match"), [0, 1, 0, 0])
    close(paid("reward=match", "reward.weight=2.5"), [0, 2.5, 0, 0])


def test_reference() -> None:
    close(paid("reward=reference"), REF[0, 0].tolist())
    close(paid("reward=reference", "reward.signal=logprob"), REF[0, 0].log().tolist())
    ratio = (REF / OLD)[0, 0].log().tolist()
    close(paid("reward=reference", "reward.signal=log_ratio"), ratio)


def test_mixed_and_confidence_scaled() -> None:
    close(paid("reward=mixed"), [0.2, 1.15, 0.1, 0.05])
    scaled = ["reward=confidence_scaled", "reward.confidence_weight=2"]
    close(paid(*scaled), [0.2, 1.15 * 1.4, 0.1, 0.05])
    close(paid(*scaled, "reward.scale_max=1.25"), [0.2, 1.15 * 1.25, 0.1, 0.05])
    close(paid(*scaled, "reward.confidence_weight=-9"), [0.2, 1.15 * 0.5, 0.1, 0.05])


def test_the_overconfidence_penalty_costs_wrong_characters_held_above_the_threshold() -> None:
    penal = ["reward=confidence_scaled", "reward.confidence_weight=0", "reward.penalty=0.1"]
    close(paid(*penal), [0.2, 1.15, 0.1 - 0.06, 0.05])
    close(paid(*penal, "reward.penalty_threshold=0.7"), [0.2, 1.15, 0.1, 0.05])


def test_propensity() -> None:
    close(paid("reward=propensity"), [0, 5, 0, 0])
    close(paid("reward=propensity", "reward.alpha=0.5"), [0, 5**0.5, 0, 0])
    close(paid("reward=propensity", "reward.alpha=0"), [0, 1, 0, 0])
    close(paid("reward=propensity", "reward.cap=3"), [0, 3, 0, 0])
    never = torch.tensor([[[0.5, 0.0, 0.5, 0.0]]])
    assert bool(paid("reward=propensity", of=inputs(never)).isfinite().all())


def test_improvement() -> None:
    behind = np.log(0.2 / 0.3)
    close(paid("reward=improvement"), [0, 1 + 0.5 * behind, 0, 0])
    close(paid("reward=improvement", "reward.low=-0.1"), [0, 0.95, 0, 0])


def test_product_of_experts() -> None:
    real = np.array([0.01 / 4, 0.99 + 0.01 / 4, 0.01 / 4, 0.01 / 4])
    expected = real**0.7 * REF[0, 0].numpy() ** 0.3
    close(paid("reward=product_of_experts"), expected.tolist())


def test_opponent() -> None:
    close(paid("reward=opponent"), [0, 0.75, 0, 0])
    close(paid("reward=opponent", "reward.strength=0.5"), [0, 0.875, 0, 0])


def test_gain_pays_what_the_policy_is_ahead_of_its_past() -> None:
    behind = np.log(0.2 / 0.25)
    close(paid("reward=gain"), [0, 1 + 0.5 * behind, 0, 0])
    close(paid("reward=gain", "reward.base=0", "reward.gain=2"), [0, 2 * behind, 0, 0])
    close(paid("reward=gain", "reward.low=-0.1"), [0, 0.95, 0, 0])
    never = torch.tensor([[[0.5, 0.0, 0.5, 0.0]]])
    close(paid("reward=gain", of=inputs(never)), [0, 0.5, 0, 0])


def test_rank_aware_pays_hits_by_doubt_and_misses_by_rank() -> None:
    ranked = ["reward=rank_aware", "reward.top_k=2", "reward.top=0.3"]
    # 0.6 and 0.2 lead; the hit is among them.
    close(paid(*ranked), [-0.1, 0.8**-0.25 / 0.2, 0.3, -0.1])
    close(paid(*ranked, "reward.scale=2", "reward.rest=0"), [0, 0.8**2 / 0.2, 0.3, 0])
    close(paid(*ranked, "reward.cap=3"), [-0.1, 3, 0.3, -0.1])
    close(paid(*ranked, "reward.top_k=9"), [0.3, 0.8**-0.25 / 0.2, 0.3, 0.3])
    likelihood = ["reward=rank_aware", "reward.scale=0", "reward.top=0", "reward.rest=0"]
    assert torch.equal(paid(*likelihood), paid("reward=propensity"))
    never = torch.tensor([[[1.0, 0.0, 0.0, 0.0]]])
    assert bool(paid("reward=rank_aware", of=inputs(never)).isfinite().all())


def test_sampled_characters_are_ranked_among_all_of_them() -> None:
    actions = torch.tensor([[[3, 1, 2]]])
    sampled = Exploration(
        actions=actions, weights=torch.full((1, 1, 3), 1 / 3), group=torch.full((1, 1, 3), 1 / 3),
        matches=torch.zeros(1, 1, 3), contexts=torch.zeros(1, 1, dtype=torch.int64),
        old_logprobs=OLD.log(), old_probs=OLD,
    )  # fmt: skip
    shown = RewardInputs(sampled, OLD.gather(-1, actions), None, None)
    close(paid("reward=rank_aware", "reward.top_k=1", "reward.top=1", of=shown), [-0.1, -0.1, 1])


def test_origin_is_the_published_formula() -> None:
    """Worked out line by line, as the origin's code does it."""
    log_ref, old = REF[0, 0].log().numpy(), OLD[0, 0].numpy()
    base = 3.0 * -log_ref
    base = base + np.clip(np.log(old) - log_ref, -1.0, 2.0)
    base[1] += 5.0 * 3.0
    base[1] *= np.clip(1 + 0.5 * old[1], 1.0, 2.0)
    expected = base - base.mean()
    close(paid("reward=origin"), expected.tolist())
    base[2] += -0.1 * old[2]
    close(paid("reward=origin", "reward.penalty=0.1"), (base - base.mean()).tolist())


def test_origin_can_pay_a_rare_wrong_character_more_than_the_right_one() -> None:
    rare = torch.tensor([[[0.3, 0.6, 0.0995, 0.0005]]])
    shown = RewardInputs(inputs().exploration, OLD, rare.log(), None)
    rewards = paid("reward=origin", of=shown)
    assert rewards.argmax() == 3
    assert paid("reward=confidence_scaled", of=shown).argmax() == 1
    assert rewards.mean().abs() < 1e-5


def test_a_sum_adds_its_components_by_weight() -> None:
    total = paid("reward=sum", "+reward@reward.components.past=opponent",
                 "reward.components.past.weight=-0.5", "reward.weight=2")  # fmt: skip
    expected = 2 * (HITS + 0.5 * REF - 0.5 * HITS * (1 - PAST))[0, 0]
    close(total, expected.tolist())


@pytest.mark.parametrize(
    ("shape", "values"),
    [("linear", [1, 1, 2, 3, 3]), ("cosine", [1, 1, 2, 3, 3]), ("step", [1, 1, 1, 3, 3])],
)
def test_each_component_follows_its_own_schedule(shape: str, values: list[float]) -> None:
    ramp = f"{{shape: {shape}, start: 1, end: 3, begin: 0.25, until: 0.75}}"
    for progress, value in zip([0.0, 0.25, 0.5, 0.75, 1.0], values, strict=True):
        given = paid("reward=sum", f"reward.components.match.weight={ramp}", progress=progress)
        close(given, (value * HITS + 0.5 * REF)[0, 0].tolist())


Judge = Callable[[str, str], float]


@pytest.fixture
def curriculum() -> Callable[..., Judge]:
    """What a curriculum of one term pays for a character after a context."""
    text = "ROMEO:\nThe cat sat. The cat, the hat.\n\nJULIET:\nThe sat cat; the hat!\n\n" * 20
    characters = tuple(sorted(set(text)))
    ids = np.array([characters.index(char) for char in text])

    def make(term: str, **settings: object) -> Judge:
        terms = ("match", "frequency", "transitions", "words", "punctuation", "lines")
        overrides = [f"reward.{name}={float(name == term)}" for name in terms]
        overrides += [f"reward.{key}={value}" for key, value in settings.items()]
        config = composition.compose(["data=folio", "reward=curriculum", *overrides])
        reward = config.reward.build(avatarl.reward.Text(characters, ids, CPU))
        hparams = hyperparameters_of(config.raw["reward"], CPU)

        def judge(context: str, char: str) -> float:
            size = len(characters)
            read = torch.tensor([[characters.index(c) for c in context]])
            flat = torch.full((1, 1, size), 1 / size)
            shown = Exploration(None, flat, flat, torch.zeros_like(flat), read, flat.log(), flat)
            rewards = reward(RewardInputs(shown, flat, None, None), hparams)
            return float(rewards[0, 0, characters.index(char)])

        return judge

    return make


def test_curriculum_counts(curriculum: Callable[..., Judge]) -> None:
    frequency, transitions = curriculum("frequency"), curriculum("transitions")
    assert frequency("cat", " ") > frequency("cat", "R") > 0
    assert transitions("t", "h") > transitions("t", "R")
    assert transitions("c", "a") > 0.5


def test_curriculum_spelling(curriculum: Callable[..., Judge]) -> None:
    words = curriculum("words")
    assert words(" c", "a") == 0.5
    assert words(" c", "t") == 0
    assert words(" cat", " ") == 1
    assert words(" ca", " ") == 0
    assert words(" Th", "e") == 0.5
    assert words("cat", " ") == 0  # the window began within the word: unknown
    assert words(". ", " ") == 0  # no word to end
    assert curriculum("words", word_count=10_000)(" cat", " ") == 0


def test_curriculum_punctuation(curriculum: Callable[..., Judge]) -> None:
    marks = curriculum("punctuation")
    assert marks("at.", " ") == marks("at,", "\n") == 1
    assert marks("at.", "t") == 0
    assert marks("t. ", "T") == 1
    assert marks("t, ", "T") == marks("t. ", "t") == 0


def test_curriculum_lines(curriculum: Callable[..., Judge]) -> None:
    lines = curriculum("lines", line_min=3, line_max=5)
    assert lines("t.\n\n", "R") == 1
    assert lines("t.\n\n", "t") == 0
    assert lines("ROMEO:", "\n") == 1
    assert lines("\nThe", "\n") == 1
    assert lines("\nTh", "\n") == lines("\nThe cat", "\n") == 0
    assert lines("The", "\n") == 0  # where the line began isn't seen


def test_curriculum_judges_every_position_and_rollout_alike() -> None:
    """A window's positions pay what each prefix pays alone."""
    text = "ROMEO:\nThe cat sat. The cat, the hat.\n\n" * 30
    characters = tuple(sorted(set(text)))
    ids = np.array([characters.index(char) for char in text])
    config = composition.compose(["data=folio", "reward=curriculum"])
    reward = config.reward.build(avatarl.reward.Text(characters, ids, CPU))
    hparams = hyperparameters_of(config.raw["reward"], CPU)
    hparams["progress"].fill_(0.7)
    size, length = len(characters), 12
    window = torch.from_numpy(ids[7 : 7 + length]).unsqueeze(0)

    def rewards(context: torch.Tensor, positions: int) -> torch.Tensor:
        flat = torch.full((1, positions, size), 1 / size)
        shown = Exploration(None, flat, flat, torch.zeros_like(flat), context, flat.log(), flat)
        return reward(RewardInputs(shown, flat, None, None), hparams)

    together = rewards(window, length)
    for position in range(length):
        alone = rewards(window[:, : position + 1], 1)
        torch.testing.assert_close(together[:, position : position + 1], alone)
