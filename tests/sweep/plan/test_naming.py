from __future__ import annotations

from avatarl.names import said_once, short_keys, size_in_words
from avatarl.sweep.plan.naming import Names
from avatarl.sweep.plan.planned import Candidate, make_plan


def test_keys_are_short_where_that_is_plain() -> None:
    keys = ["reference.name", "reward.weight", "objective.kl", "model.kl", "seed"]
    assert short_keys(keys, {"seed"}) == {
        "reference.name": "reference", "reward.weight": "weight", "objective.kl": "objective.kl",
        "model.kl": "model.kl", "seed": "seed",
    }  # fmt: skip


def test_sizes_are_told_in_words() -> None:
    assert size_in_words(24, 6) == "24 runs + 6 controls"
    assert size_in_words(1, 1) == "1 run + 1 control"
    assert size_in_words(2, 0) == "2 runs"


def test_what_all_share_is_told_in_the_order_typed_but_not_where_it_is() -> None:
    runs = [["b=1", "output_dir=x", "a=2", "seed=0"], ["a=2", "b=1", "output_dir=x", "seed=1"]]
    assert said_once(runs) == "all: b=1 a=2"
    assert said_once(runs[:1]) == said_once([]) == said_once([["a=1"], ["a=2"]]) == ""


def test_a_run_has_the_values_of_the_keys_that_differ() -> None:
    config = {"name": "x", "output_dir": "o", "trainer": {"log_every": 7}}
    words = [
        ("data=folio", "+experiment=a", "trainer.log_every=${trainer.steps}"),
        ("data=folio", "~tracking"),
    ]
    runs = make_plan(
        "s", [Candidate(w, config, f"{n:016x}", "") for n, w in enumerate(words)], corpus={}
    ).runs
    names = Names(runs)
    assert names.values(runs[0]) == {"experiment": "a", "trainer.log_every": "7"}
    assert names.values(runs[1]) == {"~tracking": "yes"}
    assert list(names.headings.values()) == ["experiment", "log_every", "~tracking"]
    assert names.label(runs[0]) == "+experiment=a trainer.log_every=7"
