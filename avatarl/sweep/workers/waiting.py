"""What a worker process does while it waits for the source it is to execute.

This file is executed by its text (:mod:`avatarl.sweep.workers.warmup`), so that the process has
imported nothing of the project when the frozen source is known.
"""

import os
import signal
import sys
import threading
import time


def _leave_with_parent(parent: int) -> None:
    # From when the worker proper is there, this is its own business: it puts its run down first.
    while "avatarl.sweep.workers.worker" not in sys.modules:
        if os.getppid() != parent:
            os._exit(1)
        time.sleep(0.2)


signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent acts
threading.Thread(target=_leave_with_parent, args=(os.getppid(),), daemon=True).start()
