"""Sending bound statements: one, or those of a batch.

A ``BoundQuery`` is ready to be sent: alone with ``execute``, or with others after ``add_to``. A
batch is counted by partitions and compared with what Cassandra accepts; an unlogged one that is too
large is split by partitions, and any other refused before anything is sent.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from types import MethodType
from typing import TYPE_CHECKING, Any, NamedTuple

from cassandra.cqlengine import CQLEngineException, ValidationError
from cassandra.cqlengine.query import check_applied
from cassandra.query import BatchStatement, BatchType

from .._cqlengine import BatchQuery
from ..config import PREFIX
from ..connection import NOT_SET
from ..connection.place import Place
from ..errors import BatchTooLarge
from ..guardrails import check_partitions
from ..mapping.mapper import mapper_of
from ..signals import is_observed
from .binding import bind
from .info import StatementInfo
from .sizes import MOST_IN_BATCH, sizes_of, split

if TYPE_CHECKING:
    from cassandra.query import BoundStatement, PreparedStatement

    from ..connection import Connection, PagedRows

KINDS = {
    "logged": BatchType.LOGGED,
    "unlogged": BatchType.UNLOGGED,
    "counter": BatchType.COUNTER,
}


class BoundQuery(NamedTuple):
    """A bound statement, where it goes, and what it is. (A tuple: one is made for each query.)"""

    place: Place
    statement: BoundStatement
    info: StatementInfo

    def execute(
        self, *, timeout: float | object | None = NOT_SET, paging_state: bytes | None = None
    ) -> PagedRows:
        """Execute the statement alone.

        :param timeout: seconds; None waits for ever, and unset is ``CASSANDRA_REQUEST_TIMEOUT``.
        :param paging_state: where the result begins; it must come from Cassandra.
        :raises CassandraUnavailable: and the others of ``Connection.execute``.
        """
        return self.place.connection.execute(
            self.statement, info=self.info, timeout=timeout, paging_state=paging_state
        )

    def add_to(self, batch: BatchQuery) -> None:
        """Have a batch, ours or cqlengine's, send the statement.

        :raises CQLEngineException: if the batch has statements for another connection.
        :raises ValidationError: if it cannot be in a batch of this kind.
        """
        contents_of(batch).add(self)

    @property
    def partition(self) -> object:
        """What Cassandra makes one mutation of: a partition key in a keyspace, in any table."""
        key = self.statement.routing_key
        return id(self.statement) if key is None else (self.statement.keyspace, key)


def bind_query(
    place: Place,
    info: StatementInfo,
    values: Sequence[Any],
    *,
    subject: str,
    idempotent: bool,
    consistency: int | None = None,
    fetch_size: int | None = None,
    prepared: PreparedStatement | None = None,
) -> BoundQuery:
    """Prepare a statement, bind its values and set its options: the one way to a ``BoundQuery``.

    :param subject: what an error about a value names: the model.
    :param idempotent: whether it may be applied twice.
    :param prepared: the statement, if it has been prepared already.
    :raises ValidationError: naming the column whose value has the wrong type or is out of range.
    :raises CassandraUnavailable: and the others of ``Connection.execute``.
    """
    statement = bind(prepared or place.prepare(info.cql), values, subject)
    statement.is_idempotent = idempotent
    if consistency is not None:
        statement.consistency_level = consistency
    if fetch_size is not None:
        statement.fetch_size = fetch_size
    return BoundQuery(place, statement, info)


class BatchContents:
    """The statements of a batch, all for one connection."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.entries: list[BoundQuery] = []
        #: In microseconds since 1970, as soon as a write has asked for it.
        self.timestamp: int | None = None

    @property
    def connection(self) -> Connection:
        """Where all of them go."""
        return self.entries[0].place.connection

    def add(self, query: BoundQuery) -> None:
        """Add a statement.

        :raises CQLEngineException: if it needs another connection than those before.
        :raises ValidationError: if its table has counters and the batch is for others, or the
            other way round.
        """
        info = query.info
        mapper = mapper_of(info.model)
        if self.entries and self.connection is not query.place.connection:
            raise CQLEngineException(
                f"{info.subject} is reached by the bind {mapper.bind if mapper else ''!r}; the "
                "batch holds statements of another cluster. Use one batch for each."
            )
        if mapper is not None and mapper.has_counters is not (self.kind == "counter"):
            has = "has counters" if mapper.has_counters else "has no counters"
            other = "counter" if mapper.has_counters else "logged"
            raise ValidationError(
                f"{mapper.name} {has}, and cannot be in a batch of the kind "
                f"{self.kind!r}: use db.batch({other!r})."
            )
        self.entries.append(query)

    def __str__(self) -> str:
        """Return the tables, for errors and signals."""
        return ", ".join(sorted({entry.info.subject for entry in self.entries}))

    def parts(self) -> list[list[BoundQuery]]:
        """Return the batches to send: one, unless an unlogged batch is too large.

        :raises BatchTooLarge: for a logged or counter batch that Cassandra would refuse.
        :raises GuardrailError: if the batch has more partitions than CASSANDRA_GUARDRAILS allows.
        """
        settings = self.connection.settings
        partitions: dict[object, list[BoundQuery]] = {}
        for entry in self.entries:
            partitions.setdefault(entry.partition, []).append(entry)
        check_partitions(settings.guardrails, len(partitions), self, self.kind)
        limit = settings.batch_size * 1024
        # Cassandra does not limit a batch to one partition.
        sizes = sizes_of(partitions.values()) if len(partitions) > 1 else [0]
        size = sum(sizes)
        if size <= limit and len(self.entries) <= MOST_IN_BATCH:
            return [self.entries]
        if self.kind == "unlogged":
            return list(split(partitions.values(), sizes, limit))
        raise BatchTooLarge(
            f"{self}: a {self.kind} batch of {len(self.entries)} statements, "
            f"{size / 1024:.0f} KiB, on {len(partitions)} partitions; Cassandra takes "
            f"{settings.batch_size} KiB ({PREFIX}BATCH_SIZE) and {MOST_IN_BATCH} statements. Use "
            "smaller batches, or writes that need no batch: db.bulk_create()."
        )

    def send(self, consistency: int | None, timeout: float | object | None) -> None:
        """Send all statements.

        :raises LWTException: if a condition did not hold.
        """
        connection = self.connection
        for part in self.parts():
            statement, info = self.make_statement(part, consistency)
            check_applied(connection.execute(statement, info=info, timeout=timeout))

    def make_statement(
        self, part: Sequence[BoundQuery], consistency: int | None
    ) -> tuple[BatchStatement, StatementInfo]:
        """Return the driver's batch of some of the statements."""
        statement = BatchStatement(KINDS[self.kind], consistency_level=consistency)
        for entry in part:
            statement.add(entry.statement)
        statement.is_idempotent = all(entry.statement.is_idempotent for entry in part)
        models = {entry.info.model for entry in part}
        # Nobody else reads the text, which may be long.
        is_heard = is_observed(self.connection.find_app)
        text = "\n".join(entry.info.cql for entry in part) if is_heard else ""
        model = models.pop() if len(models) == 1 else None
        return statement, StatementInfo("batch", str(self), text, model)


def contents_of(batch: BatchQuery) -> BatchContents:
    """Return the statements of a batch; one of cqlengine's, which would interpolate values, is made
    to send prepared statements.

    :raises CQLEngineException: if cqlengine's batch is of a kind that Cassandra does not have.
    """
    contents: BatchContents | None = getattr(batch, "contents", None)
    if contents is None:
        kind = str(batch.batch_type or "logged").lower()
        if kind not in KINDS:
            raise CQLEngineException(f"A batch is {', '.join(KINDS)}; not {batch.batch_type!r}.")
        contents = batch.contents = BatchContents(kind)
        batch.execute = MethodType(execute_batch, batch)  # type: ignore[method-assign]
    return contents


def execute_batch(self: Any) -> None:
    """Send the statements, then call what ``add_callback`` was given.

    The ``execute`` of ``Batch``, and of one of cqlengine's batches that has prepared statements.

    :raises BatchTooLarge: if Cassandra would refuse a logged or counter batch for its size.
        Nothing was sent.
    :raises LWTException: if a condition did not hold.
    """
    if self._executed and self.warn_multiple_exec:
        warnings.warn("Batch executed multiple times.", stacklevel=2)
    self._executed = True
    if self.queries:
        raise CQLEngineException(
            "The batch holds statements of models that do not belong to a CQLAlchemy object; "
            "they need a batch of their own."
        )
    contents = contents_of(self)
    if contents.entries:
        contents.send(self._consistency, self._timeout)
        self.contents = BatchContents(contents.kind)
    self._execute_callbacks()
