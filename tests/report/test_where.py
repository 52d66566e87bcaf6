from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarl.report.where import Filter, FilterError

ROW = {
    "reference.name": "ngram4",
    "reward.confidence_weight": 0.5,
    "objective.name": "grpo",
    "objective.std": True,
    "optimizer.lr": 0.003,
    "optimizer.betas": [0.9, 0.95],
    "data.path": None,
    "val/nats": 1.9,
    "seed": 2,
    "state": "done",
}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
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
    ],
)
def test_it_keeps_what_it_says(text: str, kept: bool) -> None:
    assert Filter(text, ROW)(ROW) is kept


def test_a_comparison_with_a_missing_key_never_holds() -> None:
    other = {key: value for key, value in ROW.items() if key != "reward.confidence_weight"}
    assert not Filter("reward.confidence_weight >= 0", ROW)(other)
    assert not Filter("reward.confidence_weight < 0", ROW)(other)
    assert Filter("reward.confidence_weight is None", ROW)(other)


@pytest.mark.parametrize(
    ("text", "told"),
    [
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
    ],
)
def test_what_cannot_be_understood_is_told(text: str, told: str) -> None:
    with pytest.raises(FilterError) as caught:
        Filter(text, ROW)
    assert told in str(caught.value)
    assert "valid: comparisons joined by and, or, not" in str(caught.value)
    assert caught.value.exit_code == 2


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
