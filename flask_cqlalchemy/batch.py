"""``db.batch()``: several writes in one request."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import TracebackType

from cassandra.cqlengine import CQLEngineException

from ._cqlengine import BatchQuery
from .connection import NOT_SET
from .statements.sending import KINDS, BatchContents, BoundQuery, execute_batch


class Batch(BatchQuery):
    """A batch of prepared statements, sent when the ``with`` block ends without an error.

    A batch is used once: after it was sent, or its block has ended, it takes no more writes. Of two
    writes of a row in one batch the later one wins.

    :param kind: ``logged``: all or nothing, at the cost of a write to the batch log where there are
        several partitions; ``unlogged``: in one request, but not all or nothing; ``counter``.
    :param consistency: a level of ``cassandra.ConsistencyLevel``.
    :param timestamp: for every write without a timestamp: microseconds since 1970, a datetime
        (local time if naive), or a timedelta from now.
    :param timeout: seconds, for each request.
    :param execute_on_exception: send the batch even if the block raises.
    :raises ValueError: if the kind does not exist.
    """

    def __init__(
        self,
        kind: str = "logged",
        *,
        consistency: int | None = None,
        timestamp: datetime | timedelta | int | None = None,
        timeout: float | object | None = NOT_SET,
        execute_on_exception: bool = False,
    ) -> None:
        known = str(kind).lower()
        if known not in KINDS:
            raise ValueError(f"A batch is {', '.join(KINDS)}; not {kind!r}.")
        if timestamp is not None and (
            isinstance(timestamp, bool) or not isinstance(timestamp, int | datetime | timedelta)
        ):
            raise TypeError(
                "A batch's timestamp is a datetime, a timedelta or microseconds since 1970, not "
                f"{timestamp!r}."
            )
        super().__init__(
            KINDS[known],
            consistency=consistency,
            timeout=timeout,
            execute_on_exception=execute_on_exception,
        )
        self.timestamp = timestamp
        self.contents: BatchContents = BatchContents(known)

    def to_query(self) -> BoundQuery:
        """Return one query for all that the batch holds, without sending it.

        :raises CQLEngineException: if it holds nothing.
        """
        contents = self.contents
        if not contents.entries:
            raise CQLEngineException("There is nothing to write.")
        first = contents.entries[0]
        if len(contents.entries) == 1:
            return first
        statement, info = contents.make_statement(contents.entries, self._consistency)
        return BoundQuery(first.place, statement, info)

    @property
    def size(self) -> int:
        """How many statements the batch holds."""
        return len(self.contents.entries)

    execute = execute_batch

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        super().__exit__(exc_type, exc_val, exc_tb)
        self.contents.is_over = True
