from __future__ import annotations

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import OmegaConf

from avatarl import composition
from avatarl.composition.releases import BASE
from avatarl.composition.sweep import Composer, forget_unless_planned, refusal


@pytest.fixture
def composer():
    composition.register_resolvers()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(composition.CONF), **BASE):
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration("config", ["data=folio"], run_mode=RunMode.MULTIRUN)
        yield Composer(HydraContext(config_loader=loader, callbacks=None), master)


@pytest.mark.parametrize(
    "overrides",
    [
        ["data=folio"],
        ["data=folio", "seed=3", "reward.confidence_weight=0.25"],
        ["data=folio", "reference=bigram", "reference.alpha=0.5", "optimizer=muon"],
        ["data=folio", "name=mine", "trainer.steps=7", "+tracking.tags=[a]"],
        ["data=text", "data.path=/dev/null", "seed=1"],
        ["data=folio", "seed=2", "++trainer.steps=9", "trainer.batch_size=4"],
        ["data=folio", "+tracking.tags=[a]", "tracking.tags=[b]"],
        ["data=folio", "tracking.mode=offline", "~tracking"],
        ["data=folio", "~tracking.mode", "tracking.mode=offline"],
        ["data=folio", "seed@there=2"],
    ],
)
def test_composing_fast_gives_what_hydra_gives(composer, overrides):
    def plain(config):
        kept = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
        return OmegaConf.to_container(kept, resolve=False)

    composer.compose(["data=folio", "seed=99", "reward.confidence_weight=0.75"])  # leaves no trace
    try:
        expected = plain(composer._load(overrides))
    except Exception as error:
        with pytest.raises(type(error)):
            composer.compose(overrides)
        return
    composed = composer.compose(overrides)
    assert plain(composed) == expected
    assert list(composed.hydra.overrides.task) == overrides


@pytest.mark.parametrize("overrides", [["no.such=1"], ["seed.x=1"], ["data.characters={a: 1}"]])
def test_composing_fast_complains_as_hydra_does(composer, overrides):
    with pytest.raises(HydraException) as expected:
        composer._load(overrides)
    with pytest.raises(type(expected.value)) as caught:
        composer.compose(overrides)
    assert composition.describe_error(caught.value, overrides) == composition.describe_error(
        expected.value, overrides
    )


def test_an_unknown_key_is_refused_when_composing_fast(composer):
    with pytest.raises(Exception, match="no_such_key"):
        composer.compose(["data=folio", "reward.no_such_key=1"])


def test_many_bad_combinations_are_listed_but_not_without_end():
    text = refusal([f"seed={n}: bad" for n in range(30)], 100)
    assert text.startswith("30 of 100 combinations")
    assert "… and 10 more" in text


@pytest.mark.parametrize(
    ("typed", "others", "left"),
    [
        (["seed=0,1"], [], False),
        (["seed=0,-1"], [], True),  # another client's, who is about to write a plan
        (["seed=0,1"], ["plan.json"], True),
        (["seed=0,1"], [".launches"], True),
    ],
)
def test_a_command_that_came_to_nothing_takes_its_own_note_away(tmp_path, typed, others, left):
    directory = tmp_path / "outputs" / "sweeps" / "s"
    directory.mkdir(parents=True)
    OmegaConf.save({"hydra": {"overrides": {"task": typed}}}, directory / "multirun.yaml")
    for name in others:
        (directory / name).touch()
    forget_unless_planned(directory, ["-m", "seed=0,1", "sweep_name=s"])
    assert (directory / "multirun.yaml").exists() is left
    assert (tmp_path / "outputs").exists() is left
    forget_unless_planned(tmp_path / "elsewhere", [])
