from __future__ import annotations

import itertools
import logging
import shutil
from collections.abc import Callable

import pytest
import torch

from avatarl.config import RunConfig
from avatarl.data import load
from avatarl.training.learner import Learner

Tiny = Callable[..., RunConfig]


def learner(config: RunConfig) -> Learner:
    return Learner(config, load(config.data), torch.device("cpu"))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a CPU needs g++")
def test_a_numeric_sweep_compiles_once(tiny: Tiny) -> None:
    """Three learning rates, two confidence weights, two seeds: one program serves all twelve."""
    from torch._dynamo.testing import CompileCounterWithBackend

    import avatarl.training.compiled as compiled

    torch._dynamo.reset()
    counter = CompileCounterWithBackend("inductor")
    compiled._program.cache_clear()
    compile_for_real = torch.compile
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            torch,
            "compile",
            lambda function, **options: compile_for_real(function, backend=counter, **options),
        )
        for rate, weight, seed in itertools.product((1e-3, 2e-3, 3e-3), (0.0, 0.5), (1, 2)):
            numbers = [f"optimizer.lr={rate}", f"reward.confidence_weight={weight}"]
            settings = ["optimizer=adamw", f"seed={seed}", *numbers]
            fused = learner(tiny(*settings, "trainer.compile=on"))
            plain = learner(tiny(*settings, "trainer.compile=off"))
            for _ in range(2):
                facts = fused.train_step(with_facts=True)
                expected = plain.train_step(with_facts=True)
                torch.testing.assert_close(facts["train/loss"], expected["train/loss"])
    compiled._program.cache_clear()
    assert counter.frame_count == 1


def test_on_a_cpu_auto_leaves_the_network_as_it_is(tiny: Tiny) -> None:
    subject = learner(tiny("trainer.compile=auto"))
    assert subject.forwards[0][0] is subject.model


def test_graphs_fall_back_with_a_line(tiny: Tiny) -> None:
    subject = learner(tiny("trainer.compile=graphs"))
    line = "trainer.compile=graphs: compiled without CUDA graphs: it needs a GPU"
    assert subject.remarks == [(logging.WARNING, line)]
