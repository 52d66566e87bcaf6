"""What is proposed follows from what is known, the seed and the number alone."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from typing import Any

import optuna
import optuna.storages.journal  # mypy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarl.errors import ConfigError
from avatarl.search.proposals import SAMPLERS, Known, Proposer, Settings
from avatarl.search.space import Choice, Dimension, Interval, words_of
from avatarl.search.view import View

SPACE: dict[str, Dimension] = {
    "lr": Interval(1e-4, 1e-1, log=True),
    "width": Interval(1, 64, integer=True, log=True),
    "order": Interval(0.0, 9.0, integer=True, step=3.0),
    "share": Interval(0.0, 1.0),
    "reference": Choice(("bigram", "none", "0.5")),
}
SETTINGS = Settings(n_trials=10, sampler="tpe", sampler_args={}, seed=3, known=True)


def loss(words: dict[str, str]) -> float:
    """Least at lr 0.01, share 0.3, with bigram."""
    away = abs(math.log10(float(words["lr"])) + 2) + abs(float(words["share"]) - 0.3)
    return away + (words["reference"] != "bigram")


def searched(sampler: str, count: int, seed: int = 3) -> list[Known]:
    proposer = Proposer(SPACE, replace(SETTINGS, sampler=sampler, seed=seed), minimise=True)
    known: list[Known] = []
    for number in range(count):
        words = proposer.propose(known)
        assert words is not None
        known.append(Known(str(number), words, "done", loss(words)))
    return known


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_each_sampler_proposes_what_is_in_the_space_and_never_twice(sampler: str) -> None:
    known = searched(sampler, 12)
    assert len({tuple(one.words.items()) for one in known}) == 12
    for one in known:
        assert words_of(SPACE, [f"{key}={word}" for key, word in one.words.items()]) == one.words
        for key, word in one.words.items():
            dimension = SPACE[key]
            if isinstance(dimension, Choice):
                assert word in dimension.words
            else:
                assert dimension.find(int(word) if dimension.integer else float(word)) is not None
    assert known == searched(sampler, 12)  # whatever this process has proposed before
    assert known != searched(sampler, 12, seed=4)


@pytest.mark.parametrize("sampler", ["random", "qmc"])
def test_samplers_that_learn_nothing_propose_the_same_whatever_the_timing(sampler: str) -> None:
    proposer = Proposer(SPACE, replace(SETTINGS, sampler=sampler), minimise=True)
    ended = searched(sampler, 6)
    for count in range(6):
        states: list[Any] = ["running", "paused", "failed", "diverged", "done", "running"]
        known = [
            replace(one, state=state) for one, state in zip(ended[:count], states, strict=False)
        ]
        assert proposer.propose(known) == ended[count].words


def test_what_is_learned_is_used() -> None:
    best = {
        sampler: statistics.median(
            statistics.mean(sorted(one.value or 0.0 for one in searched(sampler, 40, seed))[:5])
            for seed in range(3)
        )
        for sampler in ("tpe", "random")
    }
    assert best["tpe"] < best["random"]


def test_points_that_fill_the_space_are_dealt_out_evenly() -> None:
    shares = [float(one.words["share"]) for one in searched("qmc", 16)]
    assert sorted(math.floor(share * 16) for share in shares) == list(range(16))


def test_a_space_that_holds_nothing_new_is_said_so() -> None:
    space: dict[str, Dimension] = {"a": Choice(("1", "2")), "b": Interval(0.0, 1.0, integer=True)}
    proposer = Proposer(space, SETTINGS, minimise=True)
    known: list[Known] = []
    while (words := proposer.propose(known)) is not None:
        known.append(Known(str(len(known)), words, "failed"))
    assert len(known) == math.prod(one.size for one in space.values()) == 4


@pytest.mark.parametrize("dimension", SPACE.values(), ids=str)
def test_the_size_of_a_space_is_how_many_words_it_has(dimension: Dimension) -> None:
    words = {dimension.at(at / 10_000) for at in range(10_000)}
    assert len(words) == dimension.size or (len(words) > 5000 and dimension.size == math.inf)


@given(
    low=st.floats(1e-3, 10), width=st.floats(0.1, 1e3), share=st.floats(0, 1, exclude_max=True),
    log=st.booleans(), integer=st.booleans(),
)  # fmt: skip
def test_every_point_of_an_interval_is_a_word_that_is_read_back(
    low: float, width: float, share: float, log: bool, integer: bool
) -> None:
    low, high = (math.ceil(low), math.ceil(low + width)) if integer else (low, low + width)
    interval = Interval(low, high, integer=integer, log=log)
    word = interval.at(share)
    number = int(word) if integer else float(word)
    assert low <= number <= high
    assert interval.find(number) == word


def test_optuna_sees_a_paused_run_as_pruned_and_a_diverged_one_as_worst() -> None:
    proposer = Proposer(SPACE, SETTINGS, minimise=True)
    words = searched("random", 1)[0].words
    states = optuna.trial.TrialState
    for state, wanted in {
        "running": states.RUNNING, "done": states.COMPLETE, "paused": states.PRUNED,
        "diverged": states.PRUNED, "failed": states.FAIL,
    }.items():  # fmt: skip
        known: Any = Known("a", words, state, 1.5 if state == "done" else None, {10: 2.0})  # type: ignore[arg-type]
        trial = proposer.trial(known)
        assert trial.state is wanted
        assert trial.intermediate_values == ({} if state == "diverged" else {10: 2.0})
        assert trial.params["width"] == int(words["width"])
    diverging = [
        Known(str(number), {**words, "lr": repr(0.05 + number / 1e3)}, "diverged")
        for number in range(12)
    ]
    fine = [
        Known(f"f{number}", {**words, "lr": repr(0.001 + number / 1e6)}, "done", 1.0)
        for number in range(12)
    ]
    rates = [
        float((Proposer(SPACE, replace(SETTINGS, seed=seed), True).propose([*diverging, *fine])
               or {})["lr"])
        for seed in range(5)
    ]  # fmt: skip
    assert statistics.median(rates) < 0.01


def test_the_view_is_optunas_study_and_is_made_anew_when_it_is_lost_or_stale(tmp_path: Any) -> None:
    proposer = Proposer(SPACE, SETTINGS, minimise=True)
    path = tmp_path / "optuna.log"

    def load() -> Any:
        backend = optuna.storages.journal.JournalFileBackend(str(path))
        return optuna.load_study(study_name="s", storage=optuna.storages.JournalStorage(backend))

    first, second, *_ = searched("random", 3)
    view = View(path, "s", proposer)
    view.show([replace(first, state="running", value=None)])
    assert load().trials[0].state is optuna.trial.TrialState.RUNNING
    view.show([first, replace(second, state="paused", value=None, reached={10: 2.0})])
    study = load()
    assert study.best_value == first.value
    assert study.trials[1].intermediate_values == {10: 2.0}
    assert [trial.user_attrs["run"] for trial in study.trials] == ["0", "1"]
    # A paused run went on; another client opens it; it is damaged.
    view.show([first, second])
    assert [trial.value for trial in load().trials] == [first.value, second.value]
    before = path.read_bytes()
    View(path, "s", proposer).show([first, second])
    assert path.read_bytes() == before
    path.write_text("no journal\n")
    View(path, "s", proposer).show([first, second])
    assert load().best_value == min(first.value or 0, second.value or 0)


def test_what_no_sampler_is_or_takes_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"sampler='tpi' .* did you mean 'tpe'"):
        Proposer(SPACE, replace(SETTINGS, sampler="tpi"), True)
    with pytest.raises(ConfigError, match="arguments of Optuna's TPESampler"):
        Proposer(SPACE, replace(SETTINGS, sampler_args={"speed": 3}), True)
    with pytest.raises(ConfigError, match="qmc has none"):
        Proposer(SPACE, replace(SETTINGS, sampler="qmc", sampler_args={"a": 1}), True)
    assert Proposer(SPACE, replace(SETTINGS, sampler="TPESampler"), True).direction == "minimize"
