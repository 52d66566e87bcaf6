"""What a process sets for itself before torch loads."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ASKED = """
import os, sys
from avatarl import app, cli
from avatarl.process import prepare_process
prepare_process()
print("torch" in sys.modules, os.environ.get("GOMP_SPINCOUNT"))
"""


@pytest.mark.parametrize(
    ("typed", "spins"),
    [({}, "20000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "PASSIVE"}, "None")],
)
def test_threads_spin_briefly_unless_the_user_said_how(typed, spins):
    ours = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {key: value for key, value in os.environ.items() if key not in ours} | typed
    told = subprocess.run(
        [sys.executable, "-c", ASKED], env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["False", spins]
