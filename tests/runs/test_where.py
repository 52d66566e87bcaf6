from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarl.runs.where import LANGUAGE, Filter, FilterError, spoken_names

ROW = {
    "reference.name": "ngram4",
    "reward.confidence_weight": 0.5,
    "objective.name": "grpo",
    "objective.std": True,
    "optimizer.lr": 0.003,
    "train/lr": 0.001,
    "optimizer.betas": [0.9, 0.95],
    "data.path": None,
    "val/nats": 1.9,
    "seed": 2,
    "state": "done",
}
HEADINGS = {
    "optimizer.lr": "lr", "reward.confidence_weight": "weight", "reference.name": "wide",
    "gone": "seed",
}  # fmt: skip


CASES: list[tuple[str, bool]] = [
    ('reward.confidence_weight>0 and reference.name=="ngram4"', True),
    ("reward.confidence_weight>0.5 or seed==2", True),
    ("not (seed==2)", False),
    ("0 < reward.confidence_weight <= 0.5", True),
    ("val/nats < 1.95", True),
    ("val/nats < 1.95 and not val/nats < 1.8", True),
    ("reference == 'ngram4'", True),
    ("confidence_weight == 0.5", True),
    ("reference in ('bigram', 'ngram4')", True),
    ("reference not in ['bigram']", True),
    ("'gram' in reference", True),
    ("data.path is None", True),
    ("data.path == null", True),
    ("data.path < 3", False),
    ("objective.std", True),
    ("objective.std == true", True),
    ("optimizer.betas == [0.9, 0.95]", True),
    ("optimizer.lr > -1e-3", True),
    ("reference.name > 3", False),
    ("  seed == 2  ", True),
    ("lr > 0.002", True),
    ("weight == 0.5 and wide == 'ngram4'", True),
    ("objective.std == 1 and objective.std < 2", True),
    ("reference not in 'ngram4 or so'", False),
    ("3 not in reference", False),
    ("seed in {1, 2} and 1_000 > seed", True),
    ("'it\\'s' != \"it's\"", False),
    ("[seed, 2] == (2, seed,)", True),
    ("optimizer.betas in ([0.9, 0.95],)", True),
    ("(seed > 1) == (lr < 1)", True),
    ("() or [0]", True),
    ("not not seed and +2 == seed", True),
    (".5e0==confidence_weight!=5e-1", False),
]


@pytest.mark.parametrize(("text", "kept"), CASES)
def test_it_keeps_what_it_says(text: str, kept: bool) -> None:
    assert Filter(text, ROW, HEADINGS)(ROW) is kept


def test_a_comparison_with_a_missing_key_never_holds() -> None:
    other = {key: value for key, value in ROW.items() if key != "reward.confidence_weight"}
    assert not Filter("reward.confidence_weight >= 0", ROW)(other)
    assert not Filter("reward.confidence_weight < 0", ROW)(other)
    assert Filter("reward.confidence_weight is None", ROW)(other)


REFUSED: list[tuple[str, str]] = [
    ("seed = 2", "equality is =="),
    ("seed ==", "'seed ==⟨here⟩': it ends too early"),
    ("", "it ends too early"),
    ("(seed == 2", "a syntax error"),
    ("sed == 2", "did you mean 'seed'?"),
    ("reference == ngram4", "needs quotes"),
    ("name == 'x'", "could be any of objective.name, reference.name"),
    ("__import__('os').system('true')", "isn't allowed"),
    ("seed.__class__ == 2", "no run has the key"),
    ("[x for x in (1,)] == seed", "isn't allowed"),
    ("(lambda: 1)() == seed", "isn't allowed"),
    ("seed ** 9 == 2", "isn't allowed"),
    ("f'{seed}' == 2", "isn't allowed"),
    ("seed == 2 and " * 3000 + "seed == 2 + 1", "isn't allowed"),
    ("(" * 400 + "seed" + ")" * 400 + " == 2", "valid:"),
    ("not " * 5000 + "seed", "valid:"),
    ("seed\x00 == 2", "valid:"),
]


@pytest.mark.parametrize(("text", "told"), REFUSED)
def test_what_cannot_be_understood_is_told(text: str, told: str) -> None:
    with pytest.raises(FilterError) as caught:
        Filter(text, ROW)
    assert told in str(caught.value)
    assert "valid: comparisons joined by and, or, not" in str(caught.value)
    assert caught.value.exit_code == 2


def some_filter(rng: random.Random, depth: int = 3) -> str:
    """Return a filter over ``ROW`` of any shape the language has."""

    def value(depth: int) -> str:
        if depth and rng.random() < 0.25:
            parts = ", ".join(value(depth - 1) for _ in range(rng.randrange(1, 4)))
            return rng.choice(["({},)", "[{}]", "{{{}}}"]).format(parts)
        plain = ["2", "-1", ".5", "1e-3", "True", "null", "'ngram4'", '"gram"', "'done'"]
        return rng.choice([*plain, *ROW, "lr", "weight", "confidence_weight", "reference"])

    if depth and rng.random() < 0.6:
        joined = f" {rng.choice(['and', 'or'])} ".join(
            some_filter(rng, depth - 1) for _ in range(rng.randrange(1, 3))
        )
        return rng.choice(["({})", "not ({})", "not {}", "{}"]).format(joined)
    signs = [sign for _, signs in LANGUAGE["levels"][3:] for sign in signs]
    chain = value(2)
    for _ in range(rng.randrange(3)):
        chain += f" {rng.choice(signs)} {value(2)}"
    return chain


def expressions() -> st.SearchStrategy[str]:
    number = st.integers(-3, 3).map(str)
    operator = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
    simple = st.tuples(st.sampled_from(["a", "b"]), operator, number).map(" ".join)
    chained = st.tuples(number, operator, st.sampled_from(["a", "b"]), operator, number).map(
        " ".join
    )
    return st.recursive(
        simple | chained,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(" ".join),
            inner.map(lambda text: f"not ({text})"),
            inner.map(lambda text: f"({text})"),
        ),
        max_leaves=8,
    )


@given(expressions(), st.integers(-3, 3), st.integers(-3, 3))
def test_it_means_what_python_means(text: str, a: int, b: int) -> None:
    row = {"a": a, "b": b}
    assert Filter(text, row)(row) == bool(eval(text, {"__builtins__": {}}, row))


def test_a_heading_means_its_metric() -> None:
    row = {"val/nats": 2.0, "best/nats": 1.9, "ngram/bigram/nats": 2.5, "reference.name": "bigram"}
    assert Filter("nats == 2.0", row)(row)
    assert Filter("reference == 'bigram'", row)(row)


def test_a_heading_of_the_table_means_its_key_where_another_ends_alike() -> None:
    with pytest.raises(FilterError, match=r"could be any of optimizer\.lr, train/lr"):
        Filter("lr > 0.002", ROW)
    assert Filter("lr > 0.002", ROW, {"optimizer.lr": "lr"})(ROW)


def test_names_mean_keys_then_headings_then_groups_then_ends() -> None:
    names = spoken_names(
        ["a.b", "reward", "reward.name", "x/b", "val/nats", "q.nats"],
        {"a.b": "b", "x/b": "val/nats", "q.nats": "reward"},
    )
    assert names["b"] == ["a.b"] and names["nats"] == ["val/nats"]
    assert names["reward"] == ["reward"] and names["name"] == ["reward.name"]
