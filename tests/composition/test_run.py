from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra.errors import HydraException

from avatarl import composition
from avatarl.composition.multirun import multirun
from avatarl.composition.run import _name_in_sweep
from avatarl.errors import UserError

FOLIO = ["data=folio", "data.characters=20000", "tracking=files"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["reward=nothing"], ["reward", "nothing", "match", "confidence_scaled"]),
        (["reward.confidence_wieght=1"], ["reward.confidence_wieght", "'1'", "did you mean"]),
        (["reward=match", "reward.hard_weight=1"], ["reward.hard_weight", "valid: name"]),
        (["rewards=match"], ["rewards", "did you mean 'reward'"]),
        (["seed=[1,2"], ["seed=[1,2", "override"]),
        (["reward=mixed", "reference=none"], ["reference", "none", "reads it"]),
        (["explorer.action_weighting=uniform"], ["objective.baseline", "without an optimum"]),
        (["objective=cross_entropy", "explorer=temperature"], ["explorer", "exhaustive"]),
        (["explorer.horizon=4"], ["explorer.horizon", "explorer=temperature"]),
        (["optimizer.lr=-1"], ["optimizer.lr", "-1", "greater than 0"]),
        (["optimizer.lr=nan"], ["optimizer.lr", "nan", "finite"]),
        (["model.n_embd=wide"], ["model.n_embd", "wide", "integer"]),
        (["~reward"], ["~reward", "confidence_scaled"]),
        (["~trainer.steps"], ["~trainer.steps", "a run needs it"]),
        (["trainer=1"], ["trainer='1'", "default"]),
    ],
)
def test_each_mistake_is_one_line_naming_key_value_and_what_is_valid(
    overrides: list[str], words: list[str]
) -> None:
    with pytest.raises(UserError) as caught:
        composition.compose([*FOLIO, *overrides])
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("overrides", ["seed=1", ["seed=1", 1], [None]])
def test_what_is_no_list_of_words_is_refused(overrides: Any) -> None:
    with pytest.raises(UserError, match=r"overrides=.* valid: a list of words"):
        composition.compose(overrides)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("trainer.batch_size=99999999", ["trainer.batch_size", "windows", "1 to "]),
        ("model.context_length=2000", ["model.context_length", "held-out", "at most 1999"]),
    ],
)
def test_what_the_text_has_no_room_for_is_refused_before_a_run_has_a_name(
    override: str, words: list[str]
) -> None:
    config = composition.compose([*FOLIO, override])
    with pytest.raises(UserError) as caught:
        composition.identify(config)
    for word in words:
        assert word in str(caught.value)


def test_a_development_slice_without_a_window_is_refused_before_a_run_has_a_name() -> None:
    steered = ["reference=ngram4", "reference/schedule=ladder", "data.dev_fraction=0.0001"]
    with pytest.raises(UserError, match=r"data\.dev_fraction"):
        composition.identify(composition.compose([*FOLIO, *steered]))


def test_a_launcher_set_like_a_value_is_put_right() -> None:
    told = composition.describe_error(HydraException("…"), ["seed=1", "hydra.launcher=slurm"])
    assert told == "hydra.launcher='slurm' can't be used; valid: hydra/launcher=slurm"


def test_the_control_shares_everything_but_the_game() -> None:
    run = composition.compose([*FOLIO, "optimizer.lr=0.01", "seed=3", "explorer.positions=last"])
    control = composition.control_of(run)
    assert control.objective.name == "cross_entropy"
    assert control.explorer.positions == "last"
    for group in ("data", "model", "optimizer", "trainer", "seed"):
        assert control.raw[group] == run.raw[group]


def test_the_control_is_not_named_after_the_run_it_belongs_to() -> None:
    named = ["data=folio", "data.characters=20000", "tracking.run_name=mine"]
    assert composition.control_of(composition.compose(named)).raw["tracking"]["run_name"] is None


def test_runs_that_differ_in_the_game_alone_share_one_control() -> None:
    one = composition.compose([*FOLIO, "reference=bigram", "reward.confidence_weight=0"])
    two = composition.compose([*FOLIO, "reference=trigram", "reward.confidence_weight=2"])
    controls = [composition.identify(composition.control_of(run))[0] for run in (one, two)]
    assert controls[0] == controls[1]
    assert composition.identify(one)[0] != composition.identify(two)[0]


def test_the_same_command_names_the_same_sweep() -> None:
    name = composition.sweep_name("config", ["reference=bigram,trigram", "seed=0,1"])
    assert name == composition.sweep_name("config", ["reference=bigram,trigram", "seed=0,1"])
    assert name != composition.sweep_name("config", ["reference=bigram,trigram", "seed=0,2"])
    assert composition.sweep_name("demo", []) == "demo"
    assert set(composition.sweep_name("config", ["a/b=c d", "$(x)=`y`"])) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
    )


def test_a_run_of_a_sweep_is_named_in_wandb_by_what_differs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from omegaconf import OmegaConf

    typed = ["reference=bigram", "reward.confidence_weight=0.5", "output_dir=/x", "trainer.steps=9"]
    config = OmegaConf.create(
        {"hydra": {"sweep": {"dir": "/x/sweeps/mine"}, "overrides": {"task": typed}}}
    )
    tracking = {"group": None, "run_name": None, "dir": None}
    _name_in_sweep(tracking, config)
    named = {"group": "mine", "run_name": "reference=bigram confidence_weight=0.5"}
    assert tracking == {**named, "dir": "/x/sweeps/mine"}
    # wandb's own variable says where all of its files go.
    monkeypatch.setenv("WANDB_DIR", "/elsewhere")
    tracking = {"dir": None}
    _name_in_sweep(tracking, config)
    assert tracking == {"dir": None}


def test_an_option_of_ones_own_is_found_beside_where_its_folder_was_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf" / "reward").mkdir(parents=True)
    (tmp_path / "conf" / "reward" / "focal.yaml").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="; or with -cd conf the focal that lies there"):
        composition.compose([*FOLIO, "reward=focal"])
    with pytest.raises(UserError) as caught:
        composition.compose([*FOLIO, "reward=other"])
    assert "-cd" not in str(caught.value)


def test_a_sweep_that_is_not_kept_is_answered_with_those_that_are() -> None:
    with pytest.raises(UserError, match=r"valid: config, demo, .*did you mean 'demo'"):
        multirun(["hydra.launcher.dry_run=true"], "dmeo")


@pytest.mark.parametrize(("package", "about"), [("hydra", True), ("avatarl", False)])
def test_whose_error_it_is_is_told_by_the_module_wherever_it_lies(
    package: str, about: bool
) -> None:
    # A clone called avatarl that holds its environment, and one of ours in a folder called hydra.
    for place in ("/home/me/avatarl/.venv/hydra/x.py", "/home/me/hydra/avatarl/x.py"):
        raises = compile("raise ValueError", place, "exec")
        with pytest.raises(ValueError) as caught:
            exec(raises, {"__name__": f"{package}.x"})
        assert composition.is_about_words(caught.value) is about
