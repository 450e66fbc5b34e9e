"""Signals (blinker) before and after each statement, for logs, metrics and traces.

.. code-block:: python

    @after_statement.connect_via(app)
    def log(app, statement, outcome):
        app.logger.info("%s %.1f ms", statement.cql, outcome.seconds * 1000)

Both are sent by the application, in the thread that made the query, once for each request to
Cassandra: a read of three pages is three. As long as nobody listens, nothing is built or measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from blinker import Namespace

from .statements.info import StatementInfo

__all__ = ["Outcome", "StatementInfo", "after_statement", "before_statement"]

_signals = Namespace()

#: Sent before a statement, with ``statement: StatementInfo``. What a receiver raises stops it.
before_statement = _signals.signal("cqlalchemy-before-statement")

#: Sent after a statement, whether it succeeded or not, with ``statement: StatementInfo`` and
#: ``outcome: Outcome``.
after_statement = _signals.signal("cqlalchemy-after-statement")


@dataclass(frozen=True)
class Outcome:
    """What became of a statement.

    :ivar seconds: from sending it to its answer, decoded.
    :ivar rows: of the answer; of one page, if there are several. None for an answer without rows.
    :ivar coordinator: address and port of the node that answered; None if no node did.
    :ivar error: what the query raises; None for success.
    """

    seconds: float
    rows: int | None
    coordinator: str | None
    error: Exception | None = None


def is_observed(find_app: Callable[[], Any]) -> bool:
    """Return whether anybody listens to this application.

    :param find_app: returns the application; called only if anybody listens to any.
    """
    if not (before_statement.receivers or after_statement.receivers):
        return False
    app = find_app()
    return before_statement.has_receivers_for(app) or after_statement.has_receivers_for(app)


class Observation:
    """A statement under way, the first signal about which is sent by making this."""

    def __init__(self, sender: Any, statement: StatementInfo) -> None:
        self._sender, self._statement = sender, statement
        self._rows: int | None = None
        self._coordinator: str | None = None
        self._seconds: float | None = None
        before_statement.send(sender, statement=statement)
        self._start = time.perf_counter()

    def note(self, rows: Any, future: Any) -> None:
        """Take what there is to know from the driver's answer.

        :param future: its ResponseFuture.
        """
        if rows is not None and future._col_names is not None:
            self._rows = len(rows)
        host = future.coordinator_host
        self._coordinator = str(host.endpoint) if host is not None else None

    def stop(self) -> None:
        """Take the time now, if ``end`` comes later."""
        self._seconds = time.perf_counter() - self._start

    def end(self, error: Exception | None) -> None:
        """Send the second signal."""
        if self._seconds is None:
            self.stop()
        outcome = Outcome(self._seconds or 0.0, self._rows, self._coordinator, error)
        after_statement.send(self._sender, statement=self._statement, outcome=outcome)


@contextmanager
def observe(sender: Any, statement: StatementInfo) -> Iterator[Observation]:
    """Send the signals around a block that executes ``statement``."""
    observation, error = Observation(sender, statement), None
    try:
        yield observation
    except Exception as raised:
        error = raised
        raise
    finally:
        observation.end(error)
