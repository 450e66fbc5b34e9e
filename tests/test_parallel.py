"""How a run of these tests is shared between processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from pathlib import Path

import pytest

from .local_helpers import ROOT
from .parallel import WORKERS, Room, workers_for

#: Seconds in which a test that may begin has begun, and after which one that may not has not.
PATIENCE, IMPATIENCE = 10, 0.2


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[tuple[Room, Room]]:
    """The same room as two workers see it."""
    rooms = Room(tmp_path), Room(tmp_path)
    yield rooms
    for room in rooms:
        room.close()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.mark.parametrize(
    ("arguments", "workers"),
    [
        (["tests/test_parallel.py"], 0),
        (["tests/test_parallel.py::test_one", "tests/test_parallel.py::test_two"], 0),
        (["tests/test_parallel.py", "tests/conftest.py"], WORKERS),
        (["tests/browser"], WORKERS),
        (["tests"], WORKERS),
    ],
)
def test_one_file_needs_no_workers(
    arguments: list[str], workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert workers_for(arguments) == workers


def test_every_process_collects_the_same_tests() -> None:
    """An id with a set in it would depend on the process's hashes; pytest-xdist would refuse."""

    def collect(seed: int) -> str:
        return subprocess.run(
            [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.rpartition("\n\n")[0]

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(collect, (1, 2))
    assert "test_every_process_collects_the_same_tests" in first
    assert first.splitlines() == second.splitlines()


def test_tests_run_beside_each_other(rooms: tuple[Room, Room]) -> None:
    for room in rooms:
        room.enter(alone=False)
    for room in rooms:
        room.leave(next_is_alone=False)


def test_one_that_is_alone_waits_and_is_waited_for(
    rooms: tuple[Room, Room], pool: ThreadPoolExecutor
) -> None:
    mine, other = rooms
    mine.enter(alone=False)
    alone = pool.submit(other.enter, alone=True)
    with pytest.raises(NotYet):
        alone.result(IMPATIENCE)
    mine.leave(next_is_alone=False)
    alone.result(PATIENCE)
    next_one = pool.submit(mine.enter, alone=False)
    with pytest.raises(NotYet):
        next_one.result(IMPATIENCE)
    other.leave(next_is_alone=False)
    next_one.result(PATIENCE)


def test_those_of_a_worker_that_are_alone_follow_each_other(
    rooms: tuple[Room, Room], pool: ThreadPoolExecutor
) -> None:
    mine, other = rooms
    mine.enter(alone=True)
    waiting = pool.submit(other.enter, alone=False)
    mine.leave(next_is_alone=True)
    mine.enter(alone=True)
    with pytest.raises(NotYet):
        waiting.result(IMPATIENCE)
    mine.leave(next_is_alone=False)
    waiting.result(PATIENCE)
