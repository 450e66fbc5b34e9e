"""The prepared statements of one session.

Bounded: the statement used least recently goes first. Threads that need the same text at once wait
for one of them to prepare it. After a change of the schema every statement is prepared anew, since
a table of the same name may have other types now.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from cassandra.cluster import Session
from cassandra.query import PreparedStatement

#: Statements kept for each session. A prepared statement takes a few kB in the client.
MOST_PREPARED = 1000


@dataclass(frozen=True)
class CacheMetrics:
    """How a session's cache has done since the session was opened."""

    size: int
    prepared: int
    evicted: int


class StatementCache:
    """Prepares each text once for ``session``.

    :param session: the driver's session.
    :param size: statements to keep.
    """

    def __init__(self, session: Session, size: int = MOST_PREPARED) -> None:
        self._session = session
        self._size = size
        self._statements: OrderedDict[tuple[str | None, str], PreparedStatement] = OrderedDict()
        self._preparing: dict[tuple[str | None, str], threading.Event] = {}
        self._lock = threading.Lock()
        self._generation = 0
        self._prepared = 0
        self._evicted = 0

    @property
    def metrics(self) -> CacheMetrics:
        with self._lock:
            return CacheMetrics(len(self._statements), self._prepared, self._evicted)

    def get(self, cql: str, keyspace: str | None = None) -> PreparedStatement:
        """Return the prepared statement of ``cql``.

        :param keyspace: of names without one (protocol v5).
        :raises Exception: whatever the driver raises when it cannot prepare; the next call tries
            again.
        """
        key = (keyspace, cql)
        while True:
            with self._lock:
                statement = self._statements.get(key)
                if statement is not None:
                    self._statements.move_to_end(key)
                    return statement
                underway = self._preparing.get(key)
                if underway is None:
                    done = self._preparing[key] = threading.Event()
                    generation = self._generation
                    break
            underway.wait()
        try:
            statement = self._session.prepare(cql, keyspace=keyspace)
            with self._lock:
                self._prepared += 1
                if generation == self._generation:
                    self._statements[key] = statement
                    if len(self._statements) > self._size:
                        self._statements.popitem(last=False)
                        self._evicted += 1
            return statement
        finally:
            with self._lock:
                del self._preparing[key]
            done.set()

    def forget(self) -> None:
        """Prepare every statement anew when it is next used."""
        with self._lock:
            self._generation += 1
            self._statements.clear()
