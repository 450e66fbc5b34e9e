"""The same row twice in one batch: the later write wins.

The statements of a batch have one timestamp, at which a deletion beats a value, and the greater
value the smaller one. So those that write the same cells get timestamps of their own, each after
the one before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from cassandra.query import UNSET_VALUE

from ..mapping.mapper import mapper_of

if TYPE_CHECKING:
    from cassandra.query import BoundStatement
    from typing_extensions import Self

    from ..connection.place import Place
    from .info import StatementInfo

#: The columns of an UPDATE's SET and of a DELETE, as the kit writes them.
_QUOTED = re.compile(r'"((?:[^"]|"")+)"')

#: Stands for all columns of a row.
_ALL = "*"

#: Stands for what a partition has once: its row.
_PARTITION = "partition"


class _Entry(Protocol):
    @property
    def place(self) -> Place: ...
    @property
    def statement(self) -> BoundStatement: ...
    @property
    def info(self) -> StatementInfo: ...
    @property
    def partition(self) -> object: ...
    def at(self, timestamp: int) -> Self: ...


E = TypeVar("E", bound=_Entry)


def in_order(entries: Sequence[E]) -> Sequence[E]:
    """Return the statements of a batch such that of two writes of a cell the later one wins.

    :raises ValidationError: if that takes timestamps that they cannot have.
    """
    groups = _groups(entries)
    if not groups:
        return entries
    ordered = list(entries)
    for numbers in groups:
        for clashing in _clashing([entries[number] for number in numbers]):
            for entry in entries:
                if " IF " in entry.info.cql:
                    # Cassandra gives all of a conditional batch one timestamp: refuse it.
                    entry.at(0)
            # Of the driver, each after the one before, and before those of later writes.
            timestamp = entries[0].place.connection.session.cluster.timestamp_generator
            for index in clashing:
                ordered[numbers[index]] = entries[numbers[index]].at(timestamp())
    return ordered


def _groups(entries: Sequence[E]) -> list[list[int]]:
    """Return the numbers of the statements that may write the same cells, together."""
    known: dict[int, tuple[int, ...] | None] = {}
    by_row: dict[object, list[int]] = {}
    for number, entry in enumerate(entries):
        statement = entry.statement
        prepared = id(statement.prepared_statement)
        if prepared not in known:
            known[prepared] = _key_markers(entry)
        markers = known[prepared]
        if markers is None:
            break
        values = statement.values
        row = (entry.info.subject, *[values[index] for index in markers])
        by_row.setdefault(row, []).append(number)
    else:
        return [numbers for numbers in by_row.values() if len(numbers) > 1]
    # Some statement is not about one row alone.
    by_partition: dict[object, list[int]] = {}
    # An IN of the partition key may mean any partition of its table.
    scattered = {each.info.subject for each in entries if each.statement.routing_key is None}
    for number, entry in enumerate(entries):
        subject = entry.info.subject
        where = (subject, None if subject in scattered else entry.partition)
        by_partition.setdefault(where, []).append(number)
    return [numbers for numbers in by_partition.values() if len(numbers) > 1]


def _key_markers(entry: _Entry) -> tuple[int, ...] | None:
    """Return which markers have the primary key, if a statement writes one row and no column that
    the whole partition has.
    """
    mapper = mapper_of(entry.info.model)
    if mapper is None or mapper.static:
        return None
    names = [column.name for column in entry.statement.prepared_statement.column_metadata]
    fields = [column.db_field_name for column in mapper.primary_key.values()]
    if any(names.count(field) != 1 for field in fields):
        return None
    if entry.info.kind == "delete" and any(
        f'"{each}" = ?' not in entry.info.cql for each in fields
    ):
        return None
    return tuple(names.index(field) for field in fields)


def _clashing(entries: Sequence[_Entry]) -> Iterator[list[int]]:
    """Yield the indexes of those that have one timestamp, if two of them write the same cell."""
    by_timestamp: dict[object, list[int]] = {}
    for index, entry in enumerate(entries):
        by_timestamp.setdefault(_bound(entry).get("[timestamp]"), []).append(index)
    for indexes in by_timestamp.values():
        written: dict[object, set[str]] = {}
        for cells in (_cells(entries[index]) for index in indexes):
            if any(_touches(cell, written) for cell in cells):
                yield indexes
                break
            for row, column in cells:
                written.setdefault(row, set()).add(column)


def _touches(cell: tuple[object, str], written: dict[object, set[str]]) -> bool:
    row, column = cell
    if row is None or None in written:
        return bool(written)
    columns = written.get(row)
    return columns is not None and (column == _ALL or _ALL in columns or column in columns)


def _cells(entry: _Entry) -> set[tuple[object, str]]:
    """Return what a statement writes, as rows and columns; the row None is all of a partition."""
    mapper = mapper_of(entry.info.model)
    bound = _bound(entry)
    if mapper is None or entry.statement.routing_key is None:
        return {(None, _ALL)}
    if mapper.has_counters and entry.info.kind == "update":
        # Both are added.
        return set()
    key = [column.db_field_name for column in mapper.primary_key.values()]
    static = {mapper.columns[name].db_field_name for name in mapper.static}
    kind, cql = entry.info.kind, entry.info.cql
    if kind == "insert":
        columns = {name for name, value in bound.items() if value is not UNSET_VALUE} - {*key}
        columns -= {"[ttl]", "[timestamp]"}
        # The row itself, which a deletion removes too.
        columns |= {""} if all(name in bound for name in key) else set()
    elif kind == "update":
        columns = set(_QUOTED.findall(cql.partition(" SET ")[2].partition(" WHERE ")[0]))
    else:
        columns = set(_QUOTED.findall(cql.partition(" FROM ")[0])) or {_ALL}
    clustering = [column.db_field_name for column in mapper.clustering_key.values()]
    is_whole = all(f'"{name}" = ?' in cql for name in clustering) or kind == "insert"
    partition = entry.partition
    row = (partition, *map(bound.get, clustering)) if is_whole else None
    return {((partition, _PARTITION) if column in static else row, column) for column in columns}


def _bound(entry: _Entry) -> dict[str, object]:
    metadata = entry.statement.prepared_statement.column_metadata
    values = entry.statement.values
    return {column.name: value for column, value in zip(metadata, values, strict=True)}
