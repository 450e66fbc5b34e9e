"""Reading one page of a query set.

Two ways, and ``keyset_of`` says which. Inside a partition, where every partition key column is
given by ``=`` and other filters are ``=`` or a range on clustering columns, a page begins at
clustering values (a keyset): the reversed order gives the page before, and rows that come and go
between two requests neither repeat nor skip another. Any other query goes through Cassandra's
paging state, which only leads forward. But rows that are in order over several partitions, which
Cassandra does not give page by page, are counted from the first one.

``_read`` is the only function that touches Cassandra.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cassandra import ProtocolVersion
from cassandra.cqlengine.columns import DateTime
from cassandra.cqlengine.operators import (
    EqualsOperator,
    GreaterThanOperator,
    GreaterThanOrEqualOperator,
    LessThanOperator,
    LessThanOrEqualOperator,
)
from cassandra.cqlengine.statements import WhereClause

from ..errors import CQLAlchemyError
from .cursors import Cursor, Direction, KeysetCursor, Start, StateCursor

if TYPE_CHECKING:
    from cassandra.cqlengine.columns import Column

    from ..query.base import Query, Row

#: How clustering values are written in a cursor, whichever version the connection speaks.
_VALUE_FORMAT = ProtocolVersion.V5

_LOWER_BOUNDS = (GreaterThanOperator, GreaterThanOrEqualOperator)
_UPPER_BOUNDS = (LessThanOperator, LessThanOrEqualOperator)


@dataclass(frozen=True)
class Found:
    """The rows of a page, and the cursors of its neighbours.

    :ivar is_first: no row comes before these.
    """

    rows: list[Row]
    next: Cursor | None
    previous: Cursor | None
    is_first: bool


def _read(
    query: Query, wanted: int, paging_state: bytes | None = None
) -> tuple[list[Row], bytes | None]:
    """Read on until there are ``wanted`` rows or no more: Cassandra may return short pages.

    :returns: the rows, and where the rest begins; None at the end.
    """
    rows: list[Row] = []
    while True:
        page = query.read_page(wanted - len(rows), paging_state)
        rows += page.rows
        paging_state = page.paging_state
        if paging_state is None or len(rows) >= wanted:
            return rows, paging_state


@dataclass(frozen=True)
class Keyset:
    """How to walk through the rows of one partition.

    :ivar fixed: the filters that hold for every row: all but a range.
    :ivar bounds: the range, which is on the first of ``columns``.
    :ivar columns: the clustering columns that ``fixed`` leaves open, in the table's order.
    :ivar ascending: for each of them, whether it grows from page to page.
    :ivar order: the query's ORDER BY, as cqlengine writes it.
    """

    fixed: tuple[WhereClause, ...]
    bounds: tuple[WhereClause, ...]
    columns: tuple[Column, ...]
    ascending: tuple[bool, ...]
    order: tuple[str, ...]

    def slices(
        self, edge: Sequence[bytes], *, forward: bool, inclusive: bool
    ) -> Iterator[list[WhereClause]]:
        """Yield the filters of the statements that give the rows beyond ``edge``, in order.

        Rows beyond (a, b) have the clustering values (a, beyond b), then (beyond a, any). CQL's
        ``(x, y) > (a, b)`` would say it at once, but not where x ascends and y descends.

        :param edge: a row's value of each column; empty for all rows of the query.
        :param inclusive: begin with the row at the edge.
        """
        if not edge:
            yield [*self.fixed, *self.bounds]
            return
        values = [
            _value_from_cursor(column, value)
            for column, value in zip(self.columns, edge, strict=True)
        ]
        for last in reversed(range(len(values))):
            clauses = [
                WhereClause(column.db_field_name, EqualsOperator(), value)
                for column, value in zip(self.columns[:last], values, strict=False)
            ]
            beyond, far = _LOWER_BOUNDS, _UPPER_BOUNDS
            if self.ascending[last] != forward:
                beyond, far = far, beyond
            operator = beyond[inclusive and last == len(values) - 1]
            clauses.append(WhereClause(self.columns[last].db_field_name, operator(), values[last]))
            if last == 0:
                # The edge is within the range, and CQL takes one bound on each side.
                clauses += [bound for bound in self.bounds if isinstance(bound.operator, far)]
            yield [*self.fixed, *clauses]

    def edge_of(self, row: Row) -> tuple[bytes, ...]:
        """Return the clustering values of a row, as a cursor carries them.

        :raises CQLAlchemyError: if one is empty, as Cassandra permits for a number.
        """
        edge = []
        for column in self.columns:
            value = row[column.db_field_name]
            if value is None:
                raise CQLAlchemyError(
                    f"A row has an empty value in the clustering column {column.db_field_name}, so "
                    "no page can begin there."
                )
            edge.append(_value_for_cursor(column, value))
        return tuple(edge)


def keyset_of(query: Query) -> Keyset | None:
    """Return how to walk through the partition of a query set, or None if it is not within one.

    None also for a filter that is not on the primary key, a range that is not on the first open
    clustering column, an IN and DISTINCT: Cassandra cannot reverse some of these, and the others
    have no simple edge.
    """
    mapper = query.mapper
    by_field: dict[str, list[WhereClause]] = {}
    for clause in query.conditions:
        by_field.setdefault(clause.field, []).append(clause)
    fixed: list[WhereClause] = []
    for column in mapper.partition_key.values():
        clauses = by_field.pop(column.db_field_name, [])
        if not _is_equality(clauses):
            return None
        fixed += clauses
    clustering = list(mapper.clustering_key.values())
    open_columns = list(clustering)
    while open_columns and _is_equality(by_field.get(open_columns[0].db_field_name, [])):
        fixed += by_field.pop(open_columns.pop(0).db_field_name)
    bounds = by_field.pop(open_columns[0].db_field_name, []) if open_columns else []
    if by_field or query.is_distinct or not all(map(_is_bound, bounds)):
        return None
    natural = {
        column.db_field_name: name not in mapper.descending
        for name, column in mapper.clustering_key.items()
    }
    order = tuple(query.order) or tuple(
        f'"{name}" {"ASC" if ascends else "DESC"}' for name, ascends in natural.items()
    )
    turned = False
    if order:
        name, direction = order[0].rsplit(" ", 1)
        turned = natural[name.strip('"')] != (direction == "ASC")
    return Keyset(
        fixed=tuple(fixed),
        bounds=tuple(bounds),
        columns=tuple(open_columns),
        ascending=tuple(natural[column.db_field_name] != turned for column in open_columns),
        # Even if it is the table's own order: the model may declare another one.
        order=order if open_columns else tuple(query.order),
    )


def _value_for_cursor(column: Column, value: Any) -> bytes:
    # A timestamp that no datetime can hold has its milliseconds.
    value = getattr(value, "milliseconds", value)
    packed: bytes = column.cql_type.serialize(value, _VALUE_FORMAT)
    return packed


def _value_from_cursor(column: Column, packed: bytes) -> Any:
    if isinstance(column, DateTime):
        # The driver's own decoding goes through a float; it binds milliseconds as they are.
        return int.from_bytes(packed, "big", signed=True)
    return column.cql_type.deserialize(packed, _VALUE_FORMAT)


def _is_equality(clauses: Sequence[WhereClause]) -> bool:
    # IN, CONTAINS and others are subclasses of it.
    return len(clauses) == 1 and type(clauses[0].operator) is EqualsOperator


def _is_bound(clause: WhereClause) -> bool:
    return isinstance(clause.operator, _LOWER_BOUNDS + _UPPER_BOUNDS)


def _turned(order: str) -> str:
    name, direction = order.rsplit(" ", 1)
    return f"{name} {'DESC' if direction == 'ASC' else 'ASC'}"


def _walk(
    query: Query,
    keyset: Keyset,
    edge: Sequence[bytes],
    wanted: int,
    *,
    forward: bool = True,
    inclusive: bool = False,
) -> list[Row]:
    """Return at most ``wanted`` rows beyond ``edge``, the nearest first.

    Sends one statement for each open clustering column at most; most often the first one suffices.
    """
    rows: list[Row] = []
    names = [column.db_field_name for column in keyset.columns]
    for clauses in keyset.slices(edge, forward=forward, inclusive=inclusive):
        order = keyset.order if forward else tuple(map(_turned, keyset.order))
        step = query.narrowed(clauses, order, names)
        rows += _read(step, wanted - len(rows))[0]
        if len(rows) >= wanted:
            break
    return rows[:wanted]


def read_in_partition(
    query: Query,
    keyset: Keyset,
    per_page: int,
    cursor: KeysetCursor | None,
    limit: int | None,
) -> Found:
    """Read a page inside a partition."""
    if cursor is not None and cursor.direction is not Direction.AFTER:
        found = _read_before(query, keyset, per_page, cursor, limit)
        if found.rows:
            return found
        # Everything before has been deleted since.
        cursor = None
    position = cursor.position if cursor else 0
    wanted, is_last = _room(per_page, position, limit)
    # The row beyond the page says whether there is a next one.
    rows = _walk(query, keyset, cursor.edge if cursor else (), wanted + (not is_last))
    more, rows = len(rows) > wanted, rows[:wanted]
    previous = None
    if cursor and rows:
        previous = KeysetCursor(Direction.BEFORE, keyset.edge_of(rows[0]), position)
    elif cursor:
        # Everything after the edge has been deleted since; the row at the edge may still be there.
        previous = replace(cursor, direction=Direction.UP_TO)
    return Found(
        rows,
        next=_after(keyset, rows, position) if more else None,
        previous=previous,
        is_first=cursor is None,
    )


def _read_before(
    query: Query, keyset: Keyset, per_page: int, cursor: KeysetCursor, limit: int | None
) -> Found:
    inclusive = cursor.direction is Direction.UP_TO
    rows = _walk(query, keyset, cursor.edge, per_page + 1, forward=False, inclusive=inclusive)
    earlier, rows = len(rows) > per_page, rows[:per_page][::-1]
    if not rows:
        return Found([], next=None, previous=None, is_first=True)
    # Rows that were inserted since could make it negative.
    position = max(0, cursor.position - len(rows))
    after = _after(keyset, rows, position)
    more = limit is None or after.position < limit
    return Found(
        rows,
        next=after if more and _walk(query, keyset, after.edge, 1) else None,
        previous=(
            KeysetCursor(Direction.BEFORE, keyset.edge_of(rows[0]), position) if earlier else None
        ),
        is_first=not earlier,
    )


def _after(keyset: Keyset, rows: Sequence[Row], position: int) -> KeysetCursor:
    return KeysetCursor(Direction.AFTER, keyset.edge_of(rows[-1]), position + len(rows))


def read_in_token_order(
    query: Query, per_page: int, cursor: StateCursor | None, limit: int | None
) -> Found:
    """Read a page by paging state.

    A full page has a paging state even when nothing follows, so one row is read beyond it: one more
    request for each page but the last.
    """
    cursor = cursor or StateCursor(Start())
    start = cursor.start
    wanted, is_last = _room(per_page, start.position, limit)
    rows, state = _read(query, wanted, start.state or None)
    following = None
    if state is not None and not is_last and _read(query, 1, state)[0]:
        following = StateCursor(Start(state, start.position + len(rows)), (start, *cursor.earlier))
    return Found(
        rows,
        next=following,
        previous=StateCursor(cursor.earlier[0], cursor.earlier[1:]) if cursor.earlier else None,
        is_first=not start.state,
    )


def read_gathered(
    query: Query, per_page: int, cursor: StateCursor | None, limit: int | None
) -> Found:
    """Read a page of rows that are in order over several partitions.

    All rows before it are read, too; there are no more than a query may gather.
    """
    position = cursor.start.position if cursor else 0
    wanted, is_last = _room(per_page, position, limit)
    rows = query.first_rows(position + wanted + (not is_last))[position:]
    more, rows = len(rows) > wanted, rows[:wanted]
    before = Start(position=max(0, position - per_page))
    return Found(
        rows,
        next=StateCursor(Start(position=position + len(rows))) if more else None,
        previous=StateCursor(before) if position else None,
        is_first=not position,
    )


def _room(per_page: int, position: int, limit: int | None) -> tuple[int, bool]:
    """Return how many rows a page may have, and whether ``limit()`` ends with it."""
    if limit is None:
        return per_page, False
    # No cursor is made for a page behind the limit, so there is room for a row at least.
    left = limit - position
    return min(per_page, left), left <= per_page
