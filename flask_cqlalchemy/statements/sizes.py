"""The bytes that Cassandra counts for the statements of a batch, and how a large one is split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from cassandra.cqltypes import CounterColumnType, ListType, MapType, SetType
from cassandra.query import UNSET_VALUE

from ..mapping.mapper import mapper_of

if TYPE_CHECKING:
    from cassandra.query import BoundStatement, PreparedStatement

    from .info import StatementInfo

# What Cassandra 5.0 counts (``PartitionUpdate.dataSize``) beside the bytes of clustering keys and
# values, in bytes; found by the sizes in its warnings.
_PARTITION = 29
_ROW = 21
_CELL = 20
_COLLECTION = 8
_EXPIRY, _ROW_EXPIRY = 8, 4
_COUNTER = 28

#: For each element, by type: a cell and its path, less the lengths that the bound value has.
_BYTES_PER_ELEMENT = {SetType: _CELL - 4, ListType: _CELL + 16 - 4, MapType: _CELL - 8}

#: Bytes of the number that a collection's value begins with.
_COUNT = 4

#: Statements that the native protocol allows in a batch: their number has two bytes.
MOST_IN_BATCH = 0xFFFF


class Entry(Protocol):
    """What there must be to know of a statement."""

    @property
    def statement(self) -> BoundStatement: ...

    @property
    def info(self) -> StatementInfo: ...


E = TypeVar("E", bound=Entry)


@dataclass(frozen=True)
class _MarkerSize:
    """What Cassandra adds to the bytes of one bound value.

    :ivar overhead: bytes if there is a value, or null.
    :ivar per_element: bytes for each element of a collection.
    """

    index: int
    overhead: int
    per_element: int


def _markers(entry: Entry) -> tuple[int, list[_MarkerSize]]:
    """Return the bytes that a statement has without its values, and the markers whose values
    Cassandra counts: all but the partition key's and the options'.
    """
    prepared: PreparedStatement = entry.statement.prepared_statement
    metadata = prepared.column_metadata
    expires = any(column.name == "[ttl]" for column in metadata)
    cell = _CELL + (_EXPIRY if expires else 0)
    mapper = mapper_of(entry.info.model)
    clustering = (
        {column.db_field_name for column in mapper.clustering_key.values()} if mapper else ()
    )
    found = []
    for index, column in enumerate(metadata):
        if index in (prepared.routing_key_indexes or ()) or column.name.startswith("["):
            continue
        is_key = column.name in clustering
        per_element = _BYTES_PER_ELEMENT.get(column.type.__base__, 0)
        overhead = cell + (_COUNTER if column.type is CounterColumnType else 0)
        found.append(_MarkerSize(index, 0 if is_key else overhead, 0 if is_key else per_element))
    if entry.info.kind != "delete":
        return _ROW + (_ROW_EXPIRY if expires else 0), found
    # DELETE "a", "b" FROM ...: a cell for each; without any, the row, or the whole partition.
    removed = entry.info.cql.partition(" FROM ")[0].count('"') // 2
    return (_ROW if removed or found else 0) + removed * _CELL, found


def sizes_of(partitions: Iterable[Sequence[Entry]]) -> list[int]:
    """Return the bytes that Cassandra counts for the statements of each partition, or a little
    more: the driver does not tell which collections are frozen, and Cassandra counts a row that is
    written twice once.
    """
    known: dict[int, tuple[int, list[_MarkerSize]]] = {}
    sizes = []
    for entries in partitions:
        size = _PARTITION
        for entry in entries:
            bound = entry.statement
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


def split(partitions: Iterable[list[E]], sizes: Sequence[int], limit: int) -> Iterator[list[E]]:
    """Yield batches that Cassandra accepts. A partition's statements stay together, in order."""
    part: list[E] = []
    used = 0
    for entries, size in zip(partitions, sizes, strict=True):
        if part and (used + size > limit or len(part) + len(entries) > MOST_IN_BATCH):
            yield part
            part, used = [], 0
        part += entries
        used += size
        while len(part) > MOST_IN_BATCH:
            yield part[:MOST_IN_BATCH]
            part = part[MOST_IN_BATCH:]
    if part:
        yield part
