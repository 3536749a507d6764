"""Child processes: waited for, ended by their process id, and quoted when they die early."""

import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from demo.children import Crew, Died, free_port
from demo.signals import Asked, Signals

READY = "import signal; print('ready now', flush=True); signal.pause()"


def start(crew: Crew, code: str) -> int:
    """Start a Python program, wait until it says `ready`, and give the process id."""
    env = dict(os.environ)
    child = crew.start("program", [sys.executable, "-c", code], env=env, cwd=Path.cwd())
    child.until(lambda: child.says("ready"))
    return child.pid


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_every_child_is_ended_when_the_block_is_left() -> None:
    with Signals() as signals, Crew(signals) as crew:
        pids = [start(crew, READY), start(crew, READY)]
    assert all(map(gone, pids))


def test_a_child_that_dies_early_is_quoted() -> None:
    code = "import sys; print('the reason'); sys.exit(3)"
    with Signals() as signals, Crew(signals) as crew, pytest.raises(Died) as died:
        start(crew, code)
    assert str(died.value) == ("The program ended with status 3. Its last output:\n  | the reason")


def test_a_child_that_ends_later_is_noticed() -> None:
    with Signals() as signals, Crew(signals) as crew:
        os.kill(start(crew, READY), signal.SIGKILL)
        with pytest.raises(Died):
            crew.watch()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_children_too(number: signal.Signals) -> None:
    pids = []

    def run() -> None:
        with Signals() as signals, Crew(signals) as crew:
            pids.append(start(crew, READY))
            os.kill(os.getpid(), number)
            crew.watch()

    with pytest.raises(Asked):
        run()
    assert all(map(gone, pids))


def test_a_signal_waits_until_a_child_that_starts_is_known() -> None:
    reached = []

    def run() -> None:
        with Signals() as signals, signals.held():
            os.kill(os.getpid(), signal.SIGTERM)
            reached.append("the end of the block")

    with pytest.raises(Asked):
        run()
    assert reached


def test_a_signal_does_not_break_the_clean_up() -> None:
    with Signals() as signals, signals.ignored():
        os.kill(os.getpid(), signal.SIGINT)


def test_the_port_that_is_wanted_is_taken_when_it_is_free() -> None:
    port = free_port(0)
    assert free_port(port) == port


def test_another_port_is_taken_when_somebody_listens_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert free_port(port) not in (0, port)
