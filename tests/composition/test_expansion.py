"""A sweep's words stand for what was typed, or are refused with what to type instead."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra

from avatarl import composition
from avatarl.composition.expansion import check_expansion
from avatarl.composition.releases import BASE, IS_NEXT
from avatarl.errors import ConfigError

#: What Hydra 1.3 makes something else of, and 1.4 what was typed.
MENDED = (
    "seed=sort(range(0,5,2),reverse=true)", "seed=sort(range(0,6,4),reverse=true)",
    "seed=sort(range(9,0,-4))", "trainer.steps=int(range(0,3,1.5))",
    "optimizer.lr=range(0,7,0.7)",
)  # fmt: skip


@pytest.fixture
def loader() -> Iterator[ConfigLoader]:
    with initialize_config_dir(str(composition.CONF), **BASE):
        yield GlobalHydra.instance().config_loader()


@pytest.mark.parametrize(
    ("word", "valid"),
    [
        ("seed=sort(range(0,5,2),reverse=true)", "seed=4,2,0"),
        ("seed=sort(range(0,6,4),reverse=true)", "seed=4,0"),
        ("seed=sort(range(9,0,-4))", "seed=1,5,9"),
        ("trainer.steps=int(range(0,3,1.5))", "trainer.steps=0,1"),
        ("optimizer.lr=range(0,7,0.7)", "2.8,3.5,4.2,4.9,5.6,6.3"),
        ("seed=range(0,3,1),5", "each value by itself: 0,1,2,5"),
        ("name=choice('1','2')", "name='1','2'"),
        ("name=str(1,2)", "name='1','2'"),
        ("seed=range(5,0)", "a range or list that has some"),
        ("seed=range(0,5,0)", "a step above or below 0"),
        ("optimizer.lr=range(0,1,1e-9)", "at most 100,000 values"),
        ("optimizer.lr=interval(0,1)", "range(start,stop,step)"),
        ("reference=glob(zzz*)", "a glob of add_alpha, bigram"),
        ("reference=glob(*,exclude=*)", "a glob of add_alpha, bigram"),
        ("seed=glob(*)", "a group's name as key"),
    ],
)
def test_what_would_be_expanded_wrongly_is_refused(
    loader: ConfigLoader, word: str, valid: str
) -> None:
    key, _, value = word.partition("=")
    if IS_NEXT and word in MENDED:
        check_expansion([word], loader)
        return
    with pytest.raises(ConfigError) as caught:
        check_expansion([word], loader)
    message = str(caught.value)
    assert key in message
    assert value in message
    assert valid in message.partition("valid: ")[2]


@pytest.mark.parametrize(
    "word",
    [
        "seed=0,1", "seed=range(0,3)", "seed=range(3,0,-1)", "seed=sort(3,1,2)", "seed=7",
        "seed=sort(range(0,5,2))", "reference=glob(*gram)", "reference=glob(*,exclude=none)",
        "name=a,'b c'", "name='1','2'", "trainer.threads=null,1", "tracking.artifact=true,false",
        "optimizer.lr=1e-4,1e-3", "optimizer.lr=float(range(1,3))", "seed=shuffle(range(0,5))",
        "optimizer.lr=${objective.kl_coef},0.1", "seed=tag(x,choice(1,2))", "seed=int(0.9,1.2)",
        "tracking.tags=[a,b],[c]", "objective.kl_coef={shape: linear, start: 0},{shape: cosine}",
        "~trainer.steps", "+data.x=1,2",
    ],
)  # fmt: skip
def test_what_hydra_expands_rightly_passes(loader: ConfigLoader, word: str) -> None:
    check_expansion([word], loader)
