from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from avatarl.signals import SignalFlag, catching


@pytest.fixture
def heeds_sigint() -> Iterator[None]:
    """What a shell starts in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def send(*numbers: int) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)


def test_signals_are_remembered_in_order_and_the_latest_gives_the_exit_code() -> None:
    with catching() as stop:
        assert (stop(), stop.repeated(), stop.exit_code) == (False, False, 0)
        send(signal.SIGINT)
        assert (stop(), stop.repeated(), stop.exit_code) == (True, False, 130)
        send(signal.SIGTERM)
        assert (stop.repeated(), stop.exit_code) == (True, 143)
    assert stop.received == [signal.SIGINT, signal.SIGTERM]


def test_the_former_handlers_are_back_afterwards_whatever_happens() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR1)
    with pytest.raises(ValueError), catching(signal.SIGUSR1, signal.SIGTERM) as stop:
        send(signal.SIGUSR1)
        raise ValueError
    assert stop()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR1)) == before


def test_a_signal_that_is_not_named_is_left_alone(heeds_sigint: None) -> None:
    with catching(signal.SIGUSR1) as stop, pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)
    assert not stop()


def test_a_handler_of_ones_own_comes_first_and_may_end_everything() -> None:
    def insist(number: int) -> None:
        if flag():
            raise KeyboardInterrupt

    flag = SignalFlag(insist)
    with catching(signal.SIGUSR1, flag=flag), pytest.raises(KeyboardInterrupt):
        send(signal.SIGUSR1)
        send(signal.SIGUSR1)
    assert flag.received == [signal.SIGUSR1]


def test_outside_the_main_thread_nothing_is_installed() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def look() -> None:
        with catching() as stop:
            seen.extend([signal.getsignal(signal.SIGINT), stop()])

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [before, False]
