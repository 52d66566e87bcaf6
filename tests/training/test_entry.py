"""From a configuration to a result: who identifies a run, who checks its text, who may write."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from avatarl import composition, storage
from avatarl.config import RunConfig
from avatarl.data import Corpus
from avatarl.runs import liveness, ownership
from avatarl.runs.folder import RunFolder
from avatarl.runs.outputs import Outputs
from avatarl.runs.progress import Progress
from avatarl.training import execute
from tests.waiting import wait_until

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
        heir = json.dumps(asdict(liveness.this_process("heir")))
        folder.claim_file(claim.number + 1).write_text(heir)

    with caplog.at_level(logging.ERROR), pytest.raises(ownership.ClaimLost):
        execute(config, corpus=corpus, identity=identity, on_progress=taken_over)
    assert folder.read_result() is None
    assert folder.read_failure() is None
    assert not caplog.records
    steps = [json.loads(line).get("step") for line in folder.journal.read_text().splitlines()]
    assert steps == [None, 4]


def test_who_waits_for_another_process_waits_for_storage_too(tiny: Tiny) -> None:
    config = tiny("trainer.steps=2")
    done = execute(config)
    outputs = Path(config.output_dir)
    folder = RunFolder(done.directory)
    away, result = outputs.with_name("away"), folder.result.read_bytes()
    folder.result.unlink()
    claim = ownership.claim(folder)  # by a process that lives: this one
    folder.write_progress(Progress(step=1, steps=2, updated=1.0))

    def vanish(moment: object) -> None:
        def bring_back() -> None:
            wait_until(lambda: asked, "a look at the folder that is gone")
            assert not outputs.exists()
            away.rename(outputs)
            folder.result.write_bytes(result)
            claim.release("done")

        outputs.rename(away)
        threading.Thread(target=bring_back).start()

    asked: list[Path] = []
    with pytest.MonkeyPatch.context() as patch, storage.patient(60, outputs):
        require = storage.require

        def noted(path: Path) -> None:
            asked.append(path)
            require(path)

        patch.setattr(storage, "require", noted)
        assert execute(config, on_progress=vanish)["val/nats"] == done["val/nats"]
    assert len(ownership.history(folder)) == 2
