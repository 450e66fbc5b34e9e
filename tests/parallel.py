"""How a test run is shared between processes: pytest-xdist's workers, on the run's one node.

A module goes to one worker, as its fixtures serve all its tests; modules that start nodes go first.
A test marked ``alone`` waits for the test that the other worker runs, and that worker for it. One
file, given on the command line, runs without workers. ``conftest`` has the hooks.
"""

from __future__ import annotations

import fcntl
from collections.abc import Sequence
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

#: Processes of a run. Much of it is waiting for nodes, so two suit two cores.
WORKERS = 2

#: Slowest tests that a run of more than one file names at its end.
SLOWEST = 40

#: How the ids of the tests begin that share three nodes, and so a worker.
TOGETHER = (
    "tests/integration/test_three_nodes.py",
    "tests/test_local_cluster.py",
    "tests/test_protocol.py::test_three_nodes",
)


def workers_for(arguments: Sequence[str]) -> int:
    """Return the number of workers for the files and folders of the command line; 0 for a file."""
    paths = {Path(argument.partition("::")[0]) for argument in arguments}
    return 0 if len(paths) == 1 and all(path.is_file() for path in paths) else WORKERS


def in_order(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Return the tests with the modules first that take long: those with nodes of their own.

    The three shared nodes come last of these: they stay, and others would start beside them.
    """
    turn: dict[Path, int] = {}
    for item in items:
        found = 2 if item.get_closest_marker("cluster") else bool(item.get_closest_marker("slow"))
        turn[item.path] = max(found, turn.get(item.path, 0))
    return sorted(items, key=lambda item: (-turn[item.path], uses_three_nodes(item)))


def uses_three_nodes(item: pytest.Item) -> bool:
    return "three_nodes" in getattr(item, "fixturenames", ())


class ByModule(LoadScopeScheduling):
    """Gives each worker whole modules, in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return "three nodes" if nodeid.startswith(TOGETHER) else nodeid.partition("::")[0]


class Room:
    """Where the tests of all workers are: any number of them, or one that is alone.

    :param directory: the same for every worker of a run.
    """

    def __init__(self, directory: Path) -> None:
        # Whoever waits for the room holds the door, so that those who come later queue.
        self._door = (directory / "door.lock").open("w")
        self._room = (directory / "room.lock").open("w")
        self._is_alone = False

    def enter(self, *, alone: bool) -> None:
        """Wait until a test may begin."""
        if alone and self._is_alone:
            return
        fcntl.flock(self._door, fcntl.LOCK_EX)
        fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(self._door, fcntl.LOCK_UN)
        self._is_alone = alone

    def leave(self, *, next_is_alone: bool) -> None:
        """End a test; one that was alone leaves the room to the next such one of its worker."""
        if not (self._is_alone and next_is_alone):
            fcntl.flock(self._room, fcntl.LOCK_UN)
            self._is_alone = False

    def close(self) -> None:
        self._door.close()
        self._room.close()
