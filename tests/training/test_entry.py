"""From a configuration to a result: who identifies a run, who checks its text, who may write."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict

import pytest
import torch

from avatarl import composition
from avatarl.config import RunConfig
from avatarl.data import Corpus
from avatarl.runs import ownership
from avatarl.runs.outputs import Outputs
from avatarl.training import execute

Tiny = Callable[..., RunConfig]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_a_run_is_identified_once_and_its_text_checked_once(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, asked = tiny("trainer.steps=2"), []
    identify, check = Outputs.identify, Corpus.check_context

    def identifying(self: Outputs, *rest: object) -> str:
        asked.append("id")
        return identify(self, *rest)  # type: ignore[arg-type]

    def checking(self: Corpus, context_length: int) -> None:
        asked.append("text")
        check(self, context_length)

    monkeypatch.setattr(Outputs, "identify", identifying)
    monkeypatch.setattr(Corpus, "check_context", checking)
    identity, corpus = composition.identify(config)
    result = execute(config, corpus=corpus, identity=identity)
    assert result["run_id"] == identity
    assert sorted(asked) == ["id", "text"]
    asked.clear()
    assert dict(execute(config)) == dict(result)
    assert asked == ["id"]


def test_who_has_lost_a_run_stops_and_writes_nothing_more(
    tiny: Tiny, caplog: pytest.LogCaptureFixture
) -> None:
    config = tiny()
    identity, corpus = composition.identify(config)
    folder = Outputs(config.output_dir).make_run(identity, config.name)
    claim = ownership.offer(ownership.claim(folder))

    def taken_over(moment: object) -> None:
        heir = json.dumps(asdict(ownership.this_process("heir")))
        folder.claim_file(claim.number + 1).write_text(heir)

    with caplog.at_level(logging.ERROR), pytest.raises(ownership.ClaimLost):
        execute(config, corpus=corpus, identity=identity, on_progress=taken_over)
    assert folder.read_result() is None
    assert folder.read_failure() is None
    assert not caplog.records
    steps = [json.loads(line).get("step") for line in folder.journal.read_text().splitlines()]
    assert steps == [None, 4]
