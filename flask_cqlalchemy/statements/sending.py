"""Sending bound statements: one, or those of a batch.

A ``BoundQuery`` is ready to be sent: alone with ``execute``, or with others after ``add_to``. A
batch is counted by partitions and compared with what Cassandra accepts; an unlogged one that is too
large is split by partitions, and any other refused before anything is sent.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
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
from .binding import bind, bind_again
from .info import StatementInfo
from .repeated import in_order
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

    def add_to(self, batch: BatchQuery, sent: Callable[[], object] | None = None) -> None:
        """Have a batch, ours or cqlengine's, send the statement.

        :param sent: called once it has been sent.
        :raises CQLEngineException: if the batch is over, or has statements for another connection.
        :raises ValidationError: if it cannot be in a batch of this kind.
        """
        contents_of(batch).add(self, sent)

    def at(self, timestamp: int) -> BoundQuery:
        """Return the same write with a timestamp, in microseconds since 1970.

        :raises ValidationError: if it has one already, or cannot have one.
        """
        timed = self.info.timed
        if timed is None:
            raise ValidationError(
                f"{self.info}: a batch writes a row twice. All writes of a batch have one "
                "timestamp, so Cassandra would keep the greater value, not the later one: give "
                "each of these writes a timestamp() of its own, or use a batch for each."
            )
        prepared = self.place.prepare(timed.cql)
        statement = bind_again(self.statement, prepared, timed.marker, timestamp)
        return BoundQuery(self.place, statement, replace(self.info, cql=timed.cql, timed=None))

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
        #: Whether nobody is going to send more.
        self.is_over = False
        #: What to call once an entry has been sent, by the entry's id.
        self._sent: dict[int, Callable[[], object]] = {}
        #: What the batch will write of instances, which count as unwritten until it is sent.
        self._pending: dict[int, tuple[object, dict[str, object]]] = {}

    @property
    def connection(self) -> Connection:
        """Where all of them go."""
        return self.entries[0].place.connection

    def add(self, query: BoundQuery, sent: Callable[[], object] | None = None) -> None:
        """Add a statement.

        :param sent: called once it has been sent.
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
        if sent is not None:
            self._sent[id(query)] = sent

    def pending(self, instance: object) -> dict[str, object]:
        """Return what the batch will write of an instance, by attribute, for more to be added."""
        # The instance is kept, or another might come to have its id.
        return self._pending.setdefault(id(instance), (instance, {}))[1]

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
            if self._sent:
                for entry in part:
                    self._sent.pop(id(entry), _nothing)()

    def make_statement(
        self, part: Sequence[BoundQuery], consistency: int | None
    ) -> tuple[BatchStatement, StatementInfo]:
        """Return the driver's batch of some of the statements."""
        statement = BatchStatement(KINDS[self.kind], consistency_level=consistency)
        for entry in in_order(part):
            statement.add(entry.statement)
        statement.is_idempotent = all(entry.statement.is_idempotent for entry in part)
        models = {entry.info.model for entry in part}
        # Nobody else reads the text, which may be long.
        is_heard = is_observed(self.connection.find_app)
        text = "\n".join(entry.info.cql for entry in part) if is_heard else ""
        model = models.pop() if len(models) == 1 else None
        return statement, StatementInfo("batch", str(self), text, model)


def _nothing() -> None:
    """Do what an entry has to do that nobody waits for."""


def contents_of(batch: BatchQuery) -> BatchContents:
    """Return the statements of a batch; one of cqlengine's, which would interpolate values, is made
    to send prepared statements.

    :raises CQLEngineException: if cqlengine's batch is of a kind that Cassandra does not have, or
        the batch is over.
    """
    contents: BatchContents | None = getattr(batch, "contents", None)
    if contents is None:
        kind = str(batch.batch_type or "logged").lower()
        if kind not in KINDS:
            raise CQLEngineException(f"A batch is {', '.join(KINDS)}; not {batch.batch_type!r}.")
        contents = batch.contents = BatchContents(kind)
        batch.__class__ = _sending(type(batch))  # type: ignore[arg-type]
    if batch._executed or contents.is_over:
        raise CQLEngineException(
            "The batch is over, and takes no more writes: nobody would send them. Use another "
            "batch, or write without one: batch(None)."
        )
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
    contents: BatchContents | None = getattr(self, "contents", None)
    if contents is not None and contents.entries:
        contents.send(self._consistency, self._timeout)
        self.contents = BatchContents(contents.kind)
    self._execute_callbacks()


class _Sending(BatchQuery):
    """A batch of cqlengine's that has prepared statements."""

    execute = execute_batch


@lru_cache(maxsize=100)
def _sending(kind: type[BatchQuery]) -> type[BatchQuery]:
    """Return a class of batches whose ``execute`` sends prepared statements, after whatever a
    program's own class does in its own.
    """
    if kind is BatchQuery:
        return _Sending
    make: Any = type
    made: type[BatchQuery] = make(kind.__name__, (kind, _Sending), {"__module__": kind.__module__})
    return made
