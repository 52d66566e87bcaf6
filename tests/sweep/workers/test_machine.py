from __future__ import annotations

import os
from pathlib import Path

import pytest

import avatarl
from avatarl import app
from avatarl.composition.shipped import compose_shipped
from avatarl.errors import ConfigError
from avatarl.sweep.workers import machine
from avatarl.sweep.workers.slot import Slot
from tests import tiny

MIG = "MIG-3eb87630-93d5-5f2b-8cfa-1b2c3d4e5f60"
UUID = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        ("0,1", ["0", "1"]),
        (" 3 , 1 ", ["3", "1"]),
        ("", []),
        ("-1", []),
        ("0,-1,1", ["0"]),
        ("NoDevFiles", []),
        ("none", []),
        (UUID, [UUID]),
        (f"{MIG},{MIG[:-1]}1", [MIG, f"{MIG[:-1]}1"]),
    ],
)
def test_visible_gpus(visible: str, found: list[str]) -> None:
    assert machine.gpus({"CUDA_VISIBLE_DEVICES": visible}) == found
    assert machine.gpus({"HIP_VISIBLE_DEVICES": visible}) == found
    # HIP counts what ROCR leaves.
    left = [str(number) for number in range(len(found))]
    assert machine.gpus({"ROCR_VISIBLE_DEVICES": visible}) == left


def test_a_worker_sees_its_own_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HIP_VISIBLE_DEVICES", raising=False)
    slot = Slot("3", 1)
    assert slot.environment()["CUDA_VISIBLE_DEVICES"] == "3"
    assert "HIP_VISIBLE_DEVICES" not in slot.environment()
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "2,3")
    assert slot.environment()["HIP_VISIBLE_DEVICES"] == "3"


def test_slots_share_out_gpus_and_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "8")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert [(slot.gpu, slot.threads) for slot in machine.slots("auto", 10)] == [("4", 4), ("7", 4)]
    assert [slot.gpu for slot in machine.slots(4, 10)] == ["4", "7", "4", "7"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert [(slot.gpu, slot.threads) for slot in machine.slots(16, 3)] == [(None, 2)] * 3
    assert len(machine.slots("auto", 100)) == 8
    with pytest.raises(ConfigError, match="workers"):
        machine.slots("many", 3)


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, 64),
        ({"cpu.max": "max 100000\n"}, 64),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "250000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "9900000 100000\n"}, 64),
        ({"cpu.max": "nonsense"}, 64),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
    ],
)
def test_a_containers_quota_bounds_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], found: int
) -> None:
    for name in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"):
        monkeypatch.delenv(name, raising=False)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    read = Path.read_text
    lines = "1:cpu,cpuacct:/docker/x\n0::/docker/x\n2:memory:/y\n"

    def told(path: Path, *arguments: str, **options: str) -> str:
        own = str(path) == "/proc/self/cgroup"
        return lines if own else read(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", told)
    assert machine.cores() == found


def test_the_quota_of_a_group_above_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "cpu.max").write_text("800000 100000")
    (tmp_path / "a" / "cpu.max").write_text("400000 100000")
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    monkeypatch.setattr(Path, "read_text", _own_group(Path.read_text, "0::/a/b\n"))
    assert machine._quota() == 4


def _own_group(read, lines):
    def told(path, *arguments, **options):
        own = str(path) == "/proc/self/cgroup"
        return lines if own else read(path, *arguments, **options)

    return told


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in that says what the files ``list`` and ``query`` hold; ``fails`` makes it fail."""
    script = tmp_path / "nvidia-smi"
    script.write_text(
        f"#!/bin/sh\ncd {tmp_path}\n"
        'if [ -e fails ]; then cat fails; exit 9; fi\nif [ "$1" = -L ]; then cat list; '
        "else cat query; fi\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    machine._all_gpus.cache_clear()
    (tmp_path / "list").write_text(f"GPU 0: H100 (UUID: {UUID})\nGPU 1: H100 (UUID: GPU-b)\n")
    (tmp_path / "query").write_text(f"0, {UUID}, 80000, 81559\n1, GPU-b, 312, 81559\n")
    return tmp_path


def test_gpus_are_listed_and_slices_stand_for_a_divided_one(nvidia_smi: Path) -> None:
    assert machine.gpus() == ["0", "1"]
    slices = "".join(f"  MIG 1g.10gb Device {n}: (UUID: MIG-{n})\n" for n in range(2))
    (nvidia_smi / "list").write_text(
        f"GPU 0: H100 (UUID: {UUID})\n{slices}GPU 1: H100 (UUID: GPU-b)\n"
    )
    machine._all_gpus.cache_clear()
    assert machine.gpus() == ["MIG-0", "MIG-1", "1"]


def test_a_full_gpu_is_named(nvidia_smi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.gpu_problems() == ["GPU 1 is full: 0.3 of 79.6 GiB are free"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", UUID[:12])
    assert machine.gpu_problems() == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-b")
    assert machine.gpu_problems() == ["GPU 1 is full: 0.3 of 79.6 GiB are free"]
    assert machine.gpu_problems("cpu") == []


def test_a_full_gpu_is_named_before_a_run_by_hand_begins(
    nvidia_smi: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*tiny.TINY, "trainer.device=auto", "tracking=files", f"output_dir={nvidia_smi}/out"]
    words += ["trainer.steps=1", "trainer.eval_positions=16", "trainer.sample_characters=0"]
    avatarl.run(words)
    assert caplog.messages[0] == "GPU 1 is full: 0.3 of 79.6 GiB are free"
    app.run(compose_shipped(words))
    assert capsys.readouterr().out.startswith("note: GPU 1 is full")


def test_a_broken_gpu_is_named(nvidia_smi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (nvidia_smi / "query").write_text(f"0, {UUID}, [Unknown Error], 81559\n1, GPU-b, 9000, 9000\n")
    (problem,) = machine.gpu_problems()
    assert problem.startswith("GPU 0 seems to be broken: nvidia-smi says ")
    (nvidia_smi / "fails").write_text(
        "Failed to initialize NVML: Driver/library version mismatch\n"
    )
    machine._all_gpus.cache_clear()
    (problem,) = machine.gpu_problems()
    assert problem.endswith("fails: Failed to initialize NVML: Driver/library version mismatch")
    assert machine.gpus() == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert machine.gpu_problems() == []


def test_amds_gpus_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, simds in enumerate((0, 304, 304)):  # the first node is the processor
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "properties").write_text(
            f"cpu_cores_count 8\nsimd_count {simds}\n"
        )
    monkeypatch.setattr(machine, "_KFD", tmp_path)
    monkeypatch.setattr(machine, "_NVIDIA_SMI", "no-such-command")
    machine._all_gpus.cache_clear()
    assert machine.gpus({}) == ["0", "1"]
    machine._all_gpus.cache_clear()
