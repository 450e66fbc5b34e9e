"""What the layers above the driver cost alone: the same work on sessions that answer at once.

The answers are recorded from the node. A session's ``execute_async`` is replaced, so binding values
and interpolating them into text, which the driver does for its callers, still count.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from threading import Event, Lock
from typing import Any

from cassandra.cluster import ResponseFuture, Session
from cassandra.query import PreparedStatement, SimpleStatement, bind_params

from .contenders import Contender
from .rounds import Work, frozen, sample, turn

Answer = list[dict[str, Any]] | None


class _Ready(ResponseFuture):
    """A response that is there already."""

    _event = Event()
    _event.set()

    def __init__(self, query: Any, answer: Answer) -> None:
        self.query = query
        self.attempted_hosts: list[Any] = []
        self._callback_lock = Lock()
        self._callbacks: list[Any] = []
        self._errbacks: list[Any] = []
        self._final_result = answer


class Stub:
    """Stands for ``session.execute_async``.

    :ivar requests: what one run of the work was answered, request by request.
    """

    def __init__(self, session: Session, requests: list[Answer]) -> None:
        self._session = session
        self._requests = requests
        self._answers: Iterator[Answer] = iter(())

    def fill(self, times: int) -> None:
        """Make the answers for so many runs: whoever is asked may keep and change them."""
        runs = [_copies(answer) for _ in range(times) for answer in self._requests]
        self._answers = iter(runs)

    def __call__(self, query: Any, parameters: Any = None, *_: Any, **__: Any) -> _Ready:
        if isinstance(query, PreparedStatement):
            query = query.bind(parameters)
        elif isinstance(query, SimpleStatement) and parameters:
            bind_params(query.query_string, parameters, self._session.encoder)
        return _Ready(query, next(self._answers))


def _copies(answer: Answer) -> Answer:
    return None if answer is None else [dict(row) for row in answer]


def _record(session: Session, work: Work) -> list[Answer]:
    """Return the node's answers to one run."""
    ask, found = session.execute_async, []

    def execute_async(*args: Any, **options: Any) -> Any:
        future = ask(*args, **options)
        future.result()
        found.append(_copies(future._final_result))
        return future

    session.execute_async = execute_async
    try:
        work.run()
    finally:
        del session.execute_async
    return found


@contextmanager
def _stubbed(session: Session, work: Work) -> Iterator[Stub]:
    stub = Stub(session, _record(session, work))
    session.execute_async = stub
    try:
        yield stub
    finally:
        del session.execute_async


def measure_layers(
    works: Mapping[str, Work], contenders: Mapping[str, Contender], rounds: int
) -> dict[str, float]:
    """Return microseconds of CPU for each unit of work, without I/O: the median of the rounds."""
    found: dict[str, list[float]] = {name: [] for name in works}
    with ExitStack() as stack:
        stubs = {
            name: stack.enter_context(_stubbed(contenders[name].session, work))
            for name, work in works.items()
        }
        stack.enter_context(frozen())
        for number in range(rounds):
            for name in turn(list(works), number):
                stubs[name].fill(works[name].times)
                found[name].append(sample(works[name]).cpu)
    return {name: statistics.median(each) for name, each in found.items()}
