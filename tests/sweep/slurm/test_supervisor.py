"""What a job looks at before it works."""

from __future__ import annotations

import pytest

from avatarl.files import write_checked
from avatarl.sweep.plan import snapshot
from avatarl.sweep.slurm.supervisor import read_pack


@pytest.fixture
def code(tmp_path):
    root = tmp_path / "tree"
    (root / "avatarl").mkdir(parents=True)
    (root / "avatarl" / "a.py").write_text("x = 1\n")
    return snapshot.freeze(tmp_path / "outputs", root)


def test_a_pack_or_source_that_is_damaged_is_named_and_not_worked_on(tmp_path, code):
    pack, content = tmp_path / "pack-0.json", {"code": str(code), "runs": [{"lr": 0.001}]}
    write_checked(pack, content)
    assert read_pack(tmp_path, 0) == content
    (code / "avatarl" / "a.py").write_text("x = 2\n")
    with pytest.raises(ValueError, match=f"the frozen source {code} isn't what was stored"):
        read_pack(tmp_path, 0)
    pack.write_text(pack.read_text().replace("0.001", "0.003"))
    with pytest.raises(ValueError, match=f"{pack} isn't what was stored"):
        read_pack(tmp_path, 0)
