"""What a worker process does while it waits for the source it is to execute.

A worker runs this file by its path (:mod:`avatarl.sweep.workers.warmup`), so that it has imported
nothing of the project when the frozen source is known. It isn't meant to be imported.
"""

import contextlib
import os
import signal
import sys
import threading
import time


def _leave_with_parent(parent: int) -> None:
    # Once the worker proper is there, it leaves by itself, after its run has a checkpoint.
    while "avatarl.sweep.workers.worker" not in sys.modules:
        if os.getppid() != parent:
            os._exit(1)
        time.sleep(0.2)


signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent acts
threading.Thread(target=_leave_with_parent, args=(os.getppid(),), daemon=True).start()
with contextlib.suppress(ImportError):  # the worker proper will say so
    # The slowest import that every run needs: half of what a worker takes to start.
    import torch  # noqa: F401
