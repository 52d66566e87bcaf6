"""Worker processes that import torch while their parent still composes the runs.

What a worker executes comes from the frozen source, and nothing is frozen before every combination
is known to be valid. A process that is started early therefore imports nothing of the project; it
is handed the source's place once there is one.
"""

from __future__ import annotations

import contextlib
import os
import runpy
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from loky.process_executor import ProcessPoolExecutor

from avatarl.sweep.workers.slot import Slot


class WarmUp:
    """Starts a process for each slot, a few at a time, and gives it away when asked.

    Args:
        slots: What the processes may use.
        at_once: How many are started side by side; the others follow, as cores are for the parent
            too.
    """

    def __init__(self, slots: Sequence[Slot], at_once: int) -> None:
        self._slots = list(slots)
        self._made: dict[int, ProcessPoolExecutor] = {}
        self._threads = ThreadPoolExecutor(max(1, at_once), thread_name_prefix="warm-up")
        self._starts: dict[int, Future[None]] = {}

    def __enter__(self) -> WarmUp:
        for number, slot in enumerate(self._slots):
            self._made[number] = _process(slot)
            self._starts[number] = self._threads.submit(self._start, number)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.keep([])

    def _start(self, number: int) -> None:
        with contextlib.suppress(Exception):  # whoever takes the process will be told
            self._made[number].submit(os.getpid).result()

    def take(self, number: int, slot: Slot) -> ProcessPoolExecutor | None:
        """Give a slot's process away; ``None`` unless there is one, begun, for just that slot."""
        if number not in self._starts or self._slots[number] != slot:
            return None
        not_begun = self._starts.pop(number).cancel()
        process = self._made.pop(number)
        return None if not_begun else process

    def keep(self, slots: Sequence[Slot]) -> None:
        """End the processes that these slots have no use for."""
        for number in list(self._starts):
            if number >= len(slots) or slots[number] != self._slots[number]:
                self._starts.pop(number).cancel()
                end(self._made.pop(number))
        if not self._starts:
            self._threads.shutdown(wait=True)


def end(executor: ProcessPoolExecutor) -> None:
    """End an executor and its processes, whatever they do."""
    # loky's shutdown joins its threads but for the queue's feeder, a daemon that drops the last
    # reference to three semaphores. If it does so while Python exits, it may be stopped between
    # unlinking one and saying so, and loky prints warnings of a leak.
    feeder = getattr(getattr(executor, "_call_queue", None), "_thread", None)
    # Idle workers have nothing left to write, and waiting for torch to unload takes time.
    executor.shutdown(wait=True, kill_workers=True)
    if feeder is not None:
        feeder.join()


#: Gives the process of a slot, by its number, if one was started early.
Take = Callable[[int, Slot], ProcessPoolExecutor | None]


def _process(slot: Slot) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        max_workers=1,
        initializer=runpy.run_path,
        initargs=(str(Path(__file__).with_name("waiting.py")),),
        env=slot.environment(),
    )
