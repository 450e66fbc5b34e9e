"""Batches of prepared statements: ``db.batch()``, and cqlengine's ``BatchQuery`` on our models.

Stages: models add bound statements; ``execute`` counts the partitions, compares the size with what
Cassandra accepts, splits an unlogged batch that is too large by partitions, and sends the driver's
``BatchStatement``. A size that Cassandra would refuse is refused here before anything is sent.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from types import MethodType
from typing import TYPE_CHECKING, Any, NamedTuple

from cassandra.cqlengine import CQLEngineException, ValidationError
from cassandra.cqlengine.connection import NOT_SET
from cassandra.cqlengine.query import check_applied
from cassandra.cqltypes import CounterColumnType, ListType, MapType, SetType
from cassandra.query import UNSET_VALUE, BatchStatement, BatchType

from ._cqlengine import BatchQuery
from .config import PREFIX
from .errors import BatchTooLarge
from .guardrails import check_partitions
from .signals import StatementInfo, is_observed

if TYPE_CHECKING:
    from cassandra.query import BoundStatement, PreparedStatement

    from .connection import Connection

KINDS = {
    "logged": BatchType.LOGGED,
    "unlogged": BatchType.UNLOGGED,
    "counter": BatchType.COUNTER,
}

# What Cassandra 5.0 counts (``PartitionUpdate.dataSize``) beside the bytes of clustering keys and
# values, in bytes; found by the sizes in its warnings.
_PARTITION = 29
_ROW = 21
_CELL = 20
_COLLECTION = 8
_EXPIRY, _ROW_EXPIRY = 8, 4
_COUNTER = 28

#: For an element: a cell and what leads to it, without the lengths that stand in the bound value.
_BYTES_PER_ELEMENT = {SetType: _CELL - 4, ListType: _CELL + 16 - 4, MapType: _CELL - 8}

#: Bytes of the number that a collection's value begins with.
_COUNT = 4

#: Statements that the native protocol allows in a batch: their number has two bytes.
MAX_STATEMENTS = 0xFFFF

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class _Entry(NamedTuple):
    bound: BoundStatement
    info: StatementInfo

    @property
    def partition(self) -> object:
        """What Cassandra makes one mutation of: a partition key in a keyspace, in any table."""
        key = self.bound.routing_key
        return id(self.bound) if key is None else (self.bound.keyspace, key)


class _Contents:
    """The statements of a batch, all for one connection."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.connection: Connection | None = None
        self.entries: list[_Entry] = []
        #: In microseconds since 1970, as soon as a write has asked for it.
        self.timestamp: int | None = None

    def add(self, connection: Connection, bound: BoundStatement, info: StatementInfo) -> None:
        """Add a statement.

        :raises CQLEngineException: if it needs another connection than those before.
        :raises ValidationError: if its table has counters and the batch is for others, or the
            other way round.
        """
        if self.connection is None:
            self.connection = connection
        elif self.connection is not connection:
            bind = info.model.__bind_key__ if info.model else ""
            raise CQLEngineException(
                f"{info.subject} is reached by the bind {bind!r}; the batch holds statements of "
                "another cluster. Use one batch for each."
            )
        if info.model is not None and info.model._has_counter is not (self.kind == "counter"):
            has = "has counters" if info.model._has_counter else "has no counters"
            other = "counter" if info.model._has_counter else "logged"
            raise ValidationError(
                f"{info.model.__name__} {has}, and cannot be in a batch of the kind "
                f"{self.kind!r}: use db.batch({other!r})."
            )
        self.entries.append(_Entry(bound, info))

    def __str__(self) -> str:
        """Return the tables, for errors and signals."""
        return ", ".join(sorted({entry.info.subject for entry in self.entries}))

    def parts(self) -> list[list[_Entry]]:
        """Return the batches to send: one, unless an unlogged batch is too large.

        :raises BatchTooLarge: for a logged or counter batch that Cassandra would refuse.
        :raises GuardrailError: if the batch has more partitions than CASSANDRA_GUARDRAILS allows.
        """
        assert self.connection is not None  # noqa: S101 - there is a statement
        settings = self.connection.settings
        partitions: dict[object, list[_Entry]] = {}
        for entry in self.entries:
            partitions.setdefault(entry.partition, []).append(entry)
        check_partitions(settings.guardrails, len(partitions), self, self.kind)
        limit = settings.batch_size * 1024
        # Cassandra does not limit a batch to one partition.
        sizes = _sizes(partitions.values()) if len(partitions) > 1 else [0]
        size = sum(sizes)
        if size <= limit and len(self.entries) <= MAX_STATEMENTS:
            return [self.entries]
        if self.kind == "unlogged":
            return list(_split(partitions.values(), sizes, limit))
        raise BatchTooLarge(
            f"{self}: a {self.kind} batch of {len(self.entries)} statements, "
            f"{size / 1024:.0f} KiB, on {len(partitions)} partitions; Cassandra takes "
            f"{settings.batch_size} KiB ({PREFIX}BATCH_SIZE) and {MAX_STATEMENTS} statements. Use "
            "smaller batches, or writes that need no batch: db.bulk_create()."
        )

    def send(self, consistency: int | None, timeout: Any) -> None:
        """Send all statements.

        :raises LWTException: if a condition did not hold.
        """
        for part in self.parts():
            statement, info = self.make_statement(part, consistency)
            assert self.connection is not None  # noqa: S101 - there is a statement
            check_applied(self.connection.execute(statement, subject=info, timeout=timeout))

    def make_statement(
        self, part: Sequence[_Entry], consistency: int | None
    ) -> tuple[BatchStatement, StatementInfo]:
        """Return the driver's batch of some of the statements."""
        statement = BatchStatement(KINDS[self.kind], consistency_level=consistency)
        for entry in part:
            statement.add(entry.bound)
        statement.is_idempotent = all(entry.bound.is_idempotent for entry in part)
        models = {entry.info.model for entry in part}
        # Nobody else reads the text, which may be long.
        assert self.connection is not None  # noqa: S101 - there is a statement
        is_heard = is_observed(self.connection.find_app)
        text = "\n".join(entry.info.cql for entry in part) if is_heard else ""
        model = models.pop() if len(models) == 1 else None
        return statement, StatementInfo("batch", str(self), text, model)


@dataclass(frozen=True)
class _Marker:
    """What Cassandra adds to the bytes of one bound value.

    :ivar overhead: bytes if there is a value, or null.
    :ivar per_element: bytes for each element of a collection.
    """

    index: int
    overhead: int
    per_element: int


def _markers(entry: _Entry) -> tuple[int, list[_Marker]]:
    """Return the bytes that a statement has without its values, and the markers whose values
    Cassandra counts: all but the partition key's and the options'.
    """
    prepared: PreparedStatement = entry.bound.prepared_statement
    metadata = prepared.column_metadata
    expires = any(column.name == "[ttl]" for column in metadata)
    cell = _CELL + (_EXPIRY if expires else 0)
    model = entry.info.model
    clustering = (
        {column.db_field_name for column in model._clustering_keys.values()} if model else ()
    )
    found = []
    for index, column in enumerate(metadata):
        if index in (prepared.routing_key_indexes or ()) or column.name.startswith("["):
            continue
        is_key = column.name in clustering
        per_element = _BYTES_PER_ELEMENT.get(column.type.__base__, 0)
        overhead = cell + (_COUNTER if column.type is CounterColumnType else 0)
        found.append(_Marker(index, 0 if is_key else overhead, 0 if is_key else per_element))
    if entry.info.kind != "delete":
        return _ROW + (_ROW_EXPIRY if expires else 0), found
    # DELETE "a", "b" FROM ...: a cell for each; without any, the row, or the whole partition.
    removed = entry.info.cql.partition(" FROM ")[0].count('"') // 2
    return (_ROW if removed or found else 0) + removed * _CELL, found


def _sizes(partitions: Iterable[Sequence[_Entry]]) -> list[int]:
    """Return the bytes that Cassandra counts for the statements of each partition, or a little
    more: it does not tell which collections are frozen, and counts a row written twice once.
    """
    known: dict[int, tuple[int, list[_Marker]]] = {}
    sizes = []
    for entries in partitions:
        size = _PARTITION
        for entry in entries:
            bound = entry.bound
            layout = known.get(id(bound.prepared_statement))
            if layout is None:
                layout = known[id(bound.prepared_statement)] = _markers(entry)
            size += layout[0]
            for marker in layout[1]:
                value = bound.values[marker.index] if marker.index < len(bound.values) else None
                if value is UNSET_VALUE:
                    continue
                size += marker.overhead
                if value is not None:
                    size += len(value)
                    if marker.per_element and len(value) >= _COUNT:
                        elements = int.from_bytes(value[:_COUNT], "big")
                        size += _COLLECTION + elements * marker.per_element
        sizes.append(size)
    return sizes


def _split(
    partitions: Iterable[list[_Entry]], sizes: Sequence[int], limit: int
) -> Iterator[list[_Entry]]:
    """Yield batches that Cassandra accepts. One partition is kept together, as it was."""
    part: list[_Entry] = []
    used = 0
    for entries, size in zip(partitions, sizes, strict=True):
        if part and (used + size > limit or len(part) + len(entries) > MAX_STATEMENTS):
            yield part
            part, used = [], 0
        part += entries
        used += size
        while len(part) > MAX_STATEMENTS:
            yield part[:MAX_STATEMENTS]
            part = part[MAX_STATEMENTS:]
    if part:
        yield part


class Batch(BatchQuery):
    """A batch of prepared statements, sent when the ``with`` block ends without an error.

    :param kind: ``logged``: all or nothing, at the cost of a write to the batch log where there are
        several partitions; ``unlogged``: in one request, but not all or nothing; ``counter``.
    :param consistency: a level of ``cassandra.ConsistencyLevel``.
    :param timestamp: of every write that has none of its own: microseconds since 1970, a datetime
        (local time if naive), or a timedelta from now.
    :param timeout: seconds, for each request.
    :param execute_on_exception: send the batch even if the block raises.
    :raises ValueError: if the kind does not exist.
    """

    _executed: bool

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
        self._contents: _Contents = _Contents(known)

    def to_statement(self) -> tuple[Any, StatementInfo]:
        """Return the driver's statement for what the batch holds, without sending it.

        :raises CQLEngineException: if it holds nothing.
        """
        entries = self._contents.entries
        if not entries:
            raise CQLEngineException("There is nothing to write.")
        if len(entries) == 1:
            return entries[0].bound, entries[0].info
        return self._contents.make_statement(entries, self._consistency)

    @property
    def size(self) -> int:
        """How many statements the batch holds."""
        return len(self._contents.entries)

    def execute(self) -> None:
        """Send the statements, then call what ``add_callback`` was given.

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
        contents: _Contents = self._contents
        if contents.entries:
            contents.send(self._consistency, self._timeout)
            self._contents = _Contents(contents.kind)
        self._execute_callbacks()


def _adopt(batch: BatchQuery) -> _Contents:
    """Have one of cqlengine's batches, which would interpolate, send prepared statements."""
    kind = str(batch.batch_type or "logged").lower()
    if kind not in KINDS:
        raise CQLEngineException(f"A batch is {', '.join(KINDS)}; not {batch.batch_type!r}.")
    contents = batch._contents = _Contents(kind)
    batch.execute = MethodType(Batch.execute, batch)  # type: ignore[method-assign]
    return contents


def _contents_of(batch: BatchQuery) -> _Contents:
    contents: _Contents = getattr(batch, "_contents", None) or _adopt(batch)
    return contents


def add_to_batch(
    batch: BatchQuery, connection: Connection, bound: BoundStatement, info: StatementInfo
) -> None:
    """Add a statement to a batch, ours or cqlengine's.

    :raises CQLEngineException: if it needs another connection than those before.
    :raises ValidationError: if it cannot be in a batch of this kind.
    """
    _contents_of(batch).add(connection, bound, info)


def microseconds(batch: BatchQuery) -> int | None:
    """Return the timestamp that a batch gives to its writes, since 1970: one for all of them."""
    given = batch.timestamp
    if given is None or isinstance(given, int):
        return given
    contents = _contents_of(batch)
    if contents.timestamp is None:
        moment = datetime.now(timezone.utc) + given if isinstance(given, timedelta) else given
        since = moment.astimezone(timezone.utc) - _EPOCH
        contents.timestamp = since // timedelta(microseconds=1)
    return contents.timestamp
