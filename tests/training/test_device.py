"""Which device a run is sent to; of accelerators other than CUDA's only that is tested."""

from __future__ import annotations

import pytest
import torch

from avatarl.errors import ConfigError
from avatarl.training import precision
from avatarl.training.device import pick_device, widest


@pytest.fixture(params=["cuda", "mps", "xpu"])
def there(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A machine that has two of one kind."""
    device = torch.device(request.param)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: device)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    return request.param


def test_what_torch_can_accelerate_on_is_taken(there: str) -> None:
    assert pick_device("auto") == torch.device(there)
    assert pick_device(there) == torch.device(there)
    assert pick_device(f"{there}:1") == torch.device(there, 1)
    assert pick_device("cpu") == torch.device("cpu")


def test_what_is_not_there_is_refused(there: str) -> None:
    other = "xpu" if there == "mps" else "mps"
    for name in (other, f"{there}:2"):
        with pytest.raises(ConfigError, match=f"valid: auto, cpu or {there}"):
            pick_device(name)


def test_without_an_accelerator_the_processor_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: None)
    assert pick_device("auto") == torch.device("cpu")
    with pytest.raises(ConfigError, match="valid: auto or cpu"):
        pick_device("mps")


def test_sums_are_kept_as_wide_as_the_device_has(there: str) -> None:
    wide = widest(torch.device(there))
    assert wide == (torch.float32 if there == "mps" else torch.float64)


def test_a_precision_that_a_device_lacks_falls_back_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.amp, "is_autocast_available", lambda kind: False)
    remarks: list[tuple[int, str]] = []
    assert precision.precision_of("bf16", torch.device("mps"), remarks) is None
    assert [line for _, line in remarks] == [
        "trainer.precision=bf16: not to be had on mps: fp32 instead"
    ]
