"""Optimisers that leave torch's compiler alone compute what torch's own do."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from avatarl.optimizer.uncompiled import uncompiled

SETTINGS = [
    (torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.1, "fused": True}),
    (torch.optim.Muon, {"lr": 0.01, "adjust_lr_fn": "match_rms_adamw"}),
]


@pytest.mark.parametrize(("kind", "settings"), SETTINGS)
def test_moves_weights_as_torchs_own_does(kind, settings):
    torch.manual_seed(0)
    start = torch.randn(5, 3)
    gradients = torch.randn(10, 5, 3)
    ends = []
    for optimizer_kind in (kind, uncompiled(kind)):
        weight = torch.nn.Parameter(start.clone())
        optimizer = optimizer_kind([{"params": [weight]}], **settings)
        for gradient in gradients:
            weight.grad = gradient.clone()
            optimizer.step()
            optimizer.zero_grad()
        ends.append((weight.detach(), optimizer.state_dict()["state"]))
    (expected, expected_state), (got, got_state) = ends
    assert not torch.equal(expected, start)
    assert torch.equal(got, expected)
    assert got_state.keys() == expected_state.keys()
    for index, entries in expected_state.items():
        for name, value in entries.items():
            assert torch.equal(got_state[index][name], value), name


def test_training_does_not_import_the_compiler(tmp_path):
    """It takes torch a second, at the start of every process."""
    program = (
        "import sys, avatarl; avatarl.run(sys.argv[1:]);"
        "print([name for name in sys.modules if name == 'torch._dynamo'])"
    )
    overrides = ["data=folio", "data.characters=20000", "model=gpt2_tiny", "trainer.steps=2"]
    overrides += ["trainer.batch_size=4", "trainer.device=cpu", "tracking=files"]
    done = subprocess.run(
        [sys.executable, "-c", program, *overrides, f"output_dir={tmp_path}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"
