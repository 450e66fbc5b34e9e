"""Queries and writes of the models that share a table, each of which has one kind of its rows.

Cassandra finds the rows of a kind where the discriminator is in the key or has an index; elsewhere
rows of all kinds are read, and those of others are left out here. What is written is named by its
key, so a write through a model of one kind takes whole keys: Cassandra has no DELETE of the dogs
among the animals of a partition.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from cassandra.cqlengine import CQLEngineException
from cassandra.cqlengine.operators import EqualsOperator, InOperator
from cassandra.cqlengine.query import QueryException

from ..connection import PagedRows

if TYPE_CHECKING:
    from .._cqlengine import WhereClause
    from ..mapping.kinds import Kind
    from ..mapping.mapper import Mapper
    from .selection import Row, Selection

    Asked = TypeVar("Asked", bound=Selection)


class Objects:
    """``Model.objects``: a fresh query set, of the rows of the model's own kind."""

    def __get__(self, instance: object, model: Any) -> Any:
        if model.__abstract__:
            raise CQLEngineException(
                f"{model.__name__} is abstract, so it has no table and no rows: ask a model that "
                "inherits from it."
            )
        query: Any = model.__queryset__(model)
        mapper: Mapper = model.__mapper__
        if not mapper.is_kind:
            return query
        kind = mapper.kind
        assert kind is not None  # noqa: S101 - a kind's model has one
        if kind.value is None or not kind.is_found:
            return query
        return query.filter(**{kind.attribute: kind.value})


# Reading


@dataclass(frozen=True)
class Kept:
    """Which of the rows that are read a query keeps.

    :ivar values: what the discriminator has in them; None if Cassandra has looked.
    :ivar unique: the columns, by CQL name, of DISTINCT: of rows in order that are alike in them the
        first one is kept.
    """

    kind: Kind
    values: frozenset[object] | None
    unique: tuple[str, ...] = ()

    def of(self, rows: Iterable[Row]) -> list[Row]:
        """Return the rows of the kind."""
        if self.values is None:
            return list(rows)
        return [row for row in rows if self.kind.value_in(row) in self.values]


class KeptRows(PagedRows):
    """The rows of a query that are kept, page by page, as PagedRows has all of them.

    :param limit: at most so many; 0 for all.
    :param after: the page before, in place of a limit.
    """

    def __init__(
        self, found: PagedRows, kept: Kept, limit: int = 0, after: KeptRows | None = None
    ) -> None:
        self.__dict__.update(found.__dict__)
        self._kept = kept
        self._left: int | None = limit or None if after is None else after._left
        self._last: list[object] | None = None if after is None else after._last
        self._keep()

    def following(self) -> KeptRows:
        """Return the next page, by a request of its own, which may be repeated if it fails."""
        return KeptRows(super().following(), self._kept, after=self)

    def _keep(self) -> None:
        rows = self._kept.of(self.current_rows)
        if self._kept.unique:
            rows = [row for row in rows if self._is_new(row)]
        if self._left is not None:
            rows = rows[: self._left]
            self._left -= len(rows)
        self._current_rows = rows

    def _is_new(self, row: Row) -> bool:
        known, self._last = self._last, [row[field] for field in self._kept.unique]
        return self._last != known

    @property
    def has_more_pages(self) -> bool:
        return self._left != 0 and bool(super().has_more_pages)

    def take_next_page(self) -> None:
        super().take_next_page()
        self._keep()

    def one(self) -> Row | None:
        """Return the first row, or None; reads on until there is one."""
        while not self.current_rows and self.has_more_pages:
            self.fetch_next_page()
        return self.current_rows[0] if self.current_rows else None


def of_own_kind(query: Asked) -> tuple[Asked, Kept | None]:
    """Return the query to send for one that was asked, and which of its rows to keep: None for all.

    A query of a model that shares no table, or owns it, is sent as it is. So is one with a
    condition on the discriminator, if Cassandra takes it beside the others.
    """
    mapper = query.mapper
    kind = mapper.kind
    if kind is None or not mapper.is_kind:
        return query, None
    own, others = _split(kind, query.conditions)
    values: frozenset[object] | None = kind.values()
    if own is not None and not _says_kind(kind, others) and _is_possible(kind, others, query):
        values = None
    unique: tuple[str, ...] = ()
    if query.is_distinct and not (values is None and kind.column.partition_key):
        # DISTINCT is of whole partitions, whatever kinds of rows they have.
        unique = query.distinct_fields
    if values is None and not unique:
        return query, None
    if values is not None:
        # Of two conditions the program's own counts: Cassandra takes one equality of a column.
        query = query.narrowed(others, query.order, ())
    return (query.row_by_row() if unique else query), Kept(kind, values, unique)


def _split(
    kind: Kind, conditions: Sequence[WhereClause]
) -> tuple[WhereClause | None, list[WhereClause]]:
    """Return the condition that the rows are of the model's own kind, and the others."""
    others = list(conditions)
    wanted = None if kind.value is None else kind.column.to_database(kind.value)
    for number, clause in enumerate(others):
        if clause.field == kind.field and _is_equality(clause) and clause.value == wanted:
            return others.pop(number), others
    return None, others


def _says_kind(kind: Kind, conditions: Iterable[WhereClause]) -> bool:
    return any(clause.field == kind.field for clause in conditions)


def _is_possible(kind: Kind, others: Sequence[WhereClause], query: Selection) -> bool:
    """Return whether Cassandra takes a condition on the discriminator beside the others."""
    if query.allows_filtering:
        return True
    mapper = query.mapper
    named = {clause.field for clause in others if _names_values(clause)}
    before = list(mapper.partition_key)
    if kind.attribute not in mapper.partition_key:
        before += mapper.clustering_key
        before = before[: before.index(kind.attribute)] if kind.is_key else []
    fields = {mapper.columns[name].db_field_name for name in before} - {kind.field}
    if kind.is_key and fields <= named:
        return True
    # Cassandra uses an index neither for an order nor for the partitions of an IN.
    partition = {column.db_field_name for column in mapper.partition_key.values()}
    has_in = any(clause.field in partition and not _is_equality(clause) for clause in others)
    return bool(kind.column.index) and not (query.order or has_in)


def _is_equality(clause: WhereClause) -> bool:
    # IN, CONTAINS and others are subclasses of it.
    return type(clause.operator) is EqualsOperator


def _names_values(clause: WhereClause) -> bool:
    return _is_equality(clause) or isinstance(clause.operator, InOperator)


# Writing


def own_conditions(query: Selection, *, deletes: bool) -> list[WhereClause]:
    """Return the conditions of an UPDATE or a DELETE: those of the query, of which a model of one
    kind adds or takes away the one on the discriminator.

    The rule, for a table that the model shares and does not own: a discriminator in the primary key
    is a part of the WHERE, and must be one of the model's own. Any other cannot be, so a DELETE
    must name whole rows; they are written whatever kind they are of.

    :raises QueryException: if the write might concern rows of other models.
    """
    mapper = query.mapper
    kind = mapper.kind
    if kind is None or not mapper.is_kind:
        return list(query.conditions)
    own, others = _split(kind, query.conditions)
    if not kind.is_key:
        named = {clause.field for clause in others if _names_values(clause)}
        missing = [
            name for name, column in mapper.primary_key.items() if column.db_field_name not in named
        ]
        if deletes and missing:
            raise QueryException(_refusal(kind, missing))
        return others
    said = [clause for clause in others if clause.field == kind.field]
    if not said and kind.value is not None:
        if own is None:
            (own,) = type(query)(query.model).filter(**{kind.attribute: kind.value}).conditions
        return [own, *others]
    for clause in said:
        given = clause.value if isinstance(clause.operator, InOperator) else [clause.value]
        stored = {kind.column.to_database(value) for value in kind.values()}
        if not (_names_values(clause) and stored.issuperset(given)):
            break
    else:
        if said:
            return others
    raise QueryException(_refusal(kind, [kind.attribute]))


def _refusal(kind: Kind, missing: Sequence[str]) -> str:
    name, mapper = kind.model.__name__, kind.model.__mapper__
    owner = mapper.table_owner.__name__
    return (
        f"{name}: the table {mapper.table} has rows of other models too, and Cassandra deletes by "
        f"the primary key alone: name whole rows, by {', '.join(mapper.primary_key)} (missing: "
        f"{', '.join(missing)}). db.bulk_delete({name}, {name}.objects(...)) reads the rows of "
        f"{name} and deletes each; {owner}.objects(...).delete() deletes those of every model."
    )
