from __future__ import annotations

import pytest

from avatarl.errors import ConfigError
from avatarl.sweep.workers import machine


@pytest.mark.parametrize(
    ("visible", "found"), [("0,1", ["0", "1"]), ("", []), ("-1", []), ("GPU-a", ["GPU-a"])]
)
def test_visible_gpus(visible, found):
    assert machine.gpus({"CUDA_VISIBLE_DEVICES": visible}) == found


def test_slots_share_out_gpus_and_cores(monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "8")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert [(slot.gpu, slot.threads) for slot in machine.slots("auto", 10)] == [("4", 4), ("7", 4)]
    assert [slot.gpu for slot in machine.slots(4, 10)] == ["4", "7", "4", "7"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert [(slot.gpu, slot.threads) for slot in machine.slots(16, 3)] == [(None, 2)] * 3
    assert len(machine.slots("auto", 100)) == 8
    with pytest.raises(ConfigError, match="workers"):
        machine.slots("many", 3)
