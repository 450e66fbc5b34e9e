"""What a table can be asked, and what a query is told that asks for something else.

A table answers what its primary key was made for. cqlengine refuses some of what is not before it
is sent; all else is left to Cassandra, which knows. Both refusals get their words from ``explain``:
the model and the column, what the table can be asked, and the ways out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cassandra import InvalidRequest
from cassandra.cqlengine.columns import BaseContainerColumn
from cassandra.cqlengine.operators import (
    ContainsOperator,
    EqualsOperator,
    GreaterThanOperator,
    GreaterThanOrEqualOperator,
    InOperator,
    LessThanOperator,
    LessThanOrEqualOperator,
    LikeOperator,
    NotEqualsOperator,
)
from cassandra.cqlengine.query import QueryException

from .conditions import ImpossibleKey

if TYPE_CHECKING:
    from cassandra.cqlengine.columns import Column

    from .._cqlengine import WhereClause
    from ..mapping.mapper import Mapper

_RANGES = (
    GreaterThanOperator,
    GreaterThanOrEqualOperator,
    LessThanOperator,
    LessThanOrEqualOperator,
)

_FIXED = (EqualsOperator, InOperator)

#: What Cassandra says of a query that the table is not made for; its other refusals, such as of a
#: table that is missing, are passed on as they are.
_REFUSALS = re.compile(
    r"use ALLOW FILTERING|be restricted|(?:not|only|are|is) supported|(?:not|n't) support"
    r"|only supports|\bunsupported\b|SELECT DISTINCT|Cannot use CONTAINS",
    re.IGNORECASE,
)

#: What Cassandra says of a key that no row can have.
_IMPOSSIBLE = re.compile(r"Key may not be empty|Key length of \d+ is longer than maximum of \d+")


class Unanswerable(QueryException, InvalidRequest):  # type: ignore[misc]
    """Cassandra has refused a query that the table is not made for."""


class _ImpossibleKey(ImpossibleKey, InvalidRequest):  # type: ignore[misc]
    """Cassandra has refused a key that no row can have."""


@dataclass(frozen=True)
class Question:
    """What a query asks of a table.

    :ivar order: its ORDER BY, as CQL writes it.
    :ivar distinct: the columns of DISTINCT, by CQL name.
    :ivar is_filtering: whether it says ALLOW FILTERING.
    """

    mapper: Mapper
    conditions: Sequence[WhereClause]
    order: Sequence[str] = ()
    distinct: Sequence[str] = ()
    is_filtering: bool = False


def explained(question: Question, error: InvalidRequest) -> InvalidRequest:
    """Return what to raise for an error of Cassandra's about a SELECT."""
    _, _, said = str(error).rpartition('message="')
    said = said.removesuffix('"')
    impossible = _IMPOSSIBLE.search(said)
    if impossible:
        return _ImpossibleKey(f"{question.mapper.name}: {impossible[0]}")
    if not _REFUSALS.search(said):
        return error
    return Unanswerable(explain(question, said))


def explain(question: Question, said: str) -> str:
    """Return why a table does not answer a question, and what to do.

    :param said: how the question was refused: that it is, is certain.
    """
    table = _Table(question)
    lower = said.lower()
    finders = [_of_an_operator, _of_the_key, _of_clustering, _of_columns]
    if "order by" in lower:
        finders.insert(0, _of_order)
    if "distinct" in lower:
        finders.insert(0, _of_distinct)
    for find in finders:
        found = find(table)
        if found is not None:
            return found
    return f"{table.mapper.name} cannot be asked this: {table.can}. {said}"


def not_ordered_by(mapper: Mapper, name: str) -> str:
    """Return why rows cannot be ordered by a column."""
    table = _Table(Question(mapper, ()))
    if name in mapper.partition_key:
        why = "which is of the partition key: partitions are in the order of their tokens"
    else:
        why = "which does not cluster"
    if not table.clustering:
        return (
            f"{mapper.name} cannot be ordered by {name}, {why}. A partition has one row; sort the "
            f"rows in Python, or make a table that has {name} as a clustering key."
        )
    return (
        f"{mapper.name} cannot be ordered by {name}, {why}. order_by() takes the clustering key "
        f"({_listed(table.clustering)}), as the table has it or reversed; sort the rows in Python, "
        f"or make a table that has {name} as a clustering key."
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


class _Table:
    """A table, and the conditions of a question by attribute."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.mapper = mapper = question.mapper
        self.partition, self.clustering = list(mapper.partition_key), list(mapper.clustering_key)
        self.indexed = [name for name, column in mapper.columns.items() if column.has_index]
        self.conditions: dict[str, list[WhereClause]] = {}
        #: Whether token() stands for the partition key.
        self.has_token = False
        for clause in question.conditions:
            name = mapper.attributes.get(clause.field)
            if name is None:
                self.has_token = True
            else:
                self.conditions.setdefault(name, []).append(clause)

    @property
    def columns(self) -> Mapping[str, Column]:
        return self.mapper.columns

    @property
    def others(self) -> list[str]:
        """The columns with conditions that are not in the primary key."""
        return [name for name in self.conditions if name not in self.mapper.primary_key]

    @property
    def has_partition(self) -> bool:
        """Whether the question is about whole partitions that it names, or a range of tokens."""
        return self.has_token or all(map(self.is_fixed, self.partition))

    @property
    def uses_index(self) -> bool:
        return any(name in self.indexed for name in self.conditions)

    @property
    def can(self) -> str:
        """What the table can be asked."""
        text = f"its table is read by the partition key ({_listed(self.partition)})"
        if self.clustering:
            text += f", then by {_listed(self.clustering)}"
        others = [name for name in self.indexed if name not in self.partition]
        if others:
            text += f", or by the index of {' or '.join(others)}"
        return text

    @property
    def cost(self) -> str:
        """What ALLOW FILTERING costs."""
        part = "partition" if self.has_partition and not self.has_token else "table"
        return f"allow_filtering(), which reads every row of the {part}"

    def is_fixed(self, name: str) -> bool:
        """Whether a column has a condition, each of = or IN."""
        found = self.conditions.get(name, [])
        return bool(found) and all(type(clause.operator) in _FIXED for clause in found)

    def has_range(self, name: str) -> bool:
        return any(isinstance(each.operator, _RANGES) for each in self.conditions.get(name, []))

    def ways_out(self, name: str) -> str:
        """The ways out where a table would have to be searched for a column's values."""
        index = "" if name in self.indexed else f"give {name} an index, "
        return f"{index}make a table for this question, or call {self.cost}"


def _of_an_operator(table: _Table) -> str | None:
    """Look for an operator that Cassandra does not have, or not for the column."""
    model = table.mapper.name
    for name, clauses in table.conditions.items():
        column = table.columns[name]
        for clause in clauses:
            kind = type(clause.operator)
            if kind is NotEqualsOperator:
                return (
                    f"{model} cannot be asked for {name}__ne: Cassandra has no condition for what "
                    "is not equal. Leave those rows out in Python, or ask for the ranges below and "
                    "above, if the key has them."
                )
            if isinstance(clause.operator, ContainsOperator) and not isinstance(
                column, BaseContainerColumn
            ):
                return (
                    f"{model} cannot be asked for {name}__contains: {name} is a {column.db_type}, "
                    "and only sets, lists and maps contain values."
                )
            if kind is LikeOperator and name not in table.indexed:
                return (
                    f"{model} cannot be asked for {name}__like: LIKE needs an index for it (SASI), "
                    "made in CQL and declared with custom_index=True."
                )
            is_open = name not in table.mapper.primary_key and not table.question.is_filtering
            if kind is InOperator and is_open:
                return (
                    f"{model} cannot be asked for {name}__in: IN is for the primary key "
                    f"({_listed(table.mapper.primary_key)}). Ask for each value by itself, make a "
                    f"table for this question, or call {table.cost}."
                )
            if kind is EqualsOperator and _is_unfrozen(column):
                return (
                    f"{model} cannot be asked for {name} as a whole: {name} is a "
                    f"{column.db_type}. Ask with {name}__contains for one of its values."
                )
        if len(clauses) > 1 and any(type(each.operator) in _FIXED for each in clauses):
            return (
                f"{model} cannot be asked for {name} twice: beside = or __in no other condition "
                f"on {name} may stand. Leave one."
            )
    return None


def _is_unfrozen(column: Column) -> bool:
    return isinstance(column, BaseContainerColumn) and not column.db_type.startswith("frozen")


def _of_the_key(table: _Table) -> str | None:
    """Look for a partition key that is not given whole."""
    if table.has_partition or table.question.is_filtering or table.uses_index:
        return None
    model, key = table.mapper.name, _listed(table.partition)
    ranged = next((name for name in table.partition if table.has_range(name)), None)
    if ranged is not None:
        return (
            f"{model} cannot be asked for a range of {ranged}: partitions are not in the order of "
            f"the partition key ({key}), which takes = or __in. Give these, ask for "
            f"a range of tokens (pk__token__gt=Token(...)), make a table that has {ranged} as a "
            f"clustering key, or call {table.cost}."
        )
    given = [name for name in table.partition if name in table.conditions]
    missing = [name for name in table.partition if name not in table.conditions]
    if given:
        return (
            f"{model} cannot be asked for {_listed(given)} without {_listed(missing)}: a partition "
            f"is found by its whole key; {table.can}. Filter by {_listed(missing)} too, make a "
            f"table that has {_listed(given)} as its partition key, or call {table.cost}."
        )
    if table.others:
        names = _listed(table.others)
        return (
            f"{model} cannot be asked for {names} alone: {table.can}. Filter by these, "
            f"{table.ways_out(table.others[0] if len(table.others) == 1 else 'one of them')}."
        )
    clustering = [name for name in table.clustering if name in table.conditions]
    if clustering:
        return (
            f"{model} cannot be asked for {_listed(clustering)} without {key}: rows are in order "
            f"inside a partition only; {table.can}. Filter by {key} too, "
            f"{table.ways_out(clustering[0])}."
        )
    return None


def _of_clustering(table: _Table) -> str | None:
    """Look for a clustering key that is not given from its beginning."""
    if table.question.is_filtering or table.uses_index or not table.has_partition:
        return None
    model, key = table.mapper.name, _listed(table.clustering)
    missing: str | None = None
    ranged: str | None = None
    for name in table.clustering:
        if name not in table.conditions:
            missing = missing or name
        elif missing is not None:
            return (
                f"{model} cannot be asked for {name} without {missing}: the clustering key ({key}) "
                f"is filtered from its beginning. Filter by {missing} too, {table.ways_out(name)}."
            )
        elif ranged is not None:
            return (
                f"{model} cannot be asked for {name} beside a range of {ranged}: of the clustering "
                f"key ({key}), only the last column with a filter may have a range. Give "
                f"{ranged}= or {ranged}__in, {table.ways_out(name)}."
            )
        elif table.has_range(name):
            ranged = name
    return None


def _of_columns(table: _Table) -> str | None:
    """Look for conditions on columns that no index finds."""
    if table.question.is_filtering:
        return None
    model = table.mapper.name
    for name in table.others:
        if name not in table.indexed:
            where = " inside a partition" if table.has_partition else ""
            return (
                f"{model} cannot be asked for {name}{where}: {table.can}. Filter by these alone, "
                f"{table.ways_out(name)}."
            )
        if table.has_range(name):
            return (
                f"{model} cannot be asked for a range of {name}: its index finds equal values "
                f"only. Make a table that has {name} as a clustering key, or call {table.cost}."
            )
    return None


def _of_order(table: _Table) -> str | None:
    """Look for an ORDER BY that the table does not have."""
    order = [each.replace('"', "") for each in table.question.order]
    if not order:
        return None
    model, key = table.mapper.name, _listed(table.clustering)
    if table.uses_index:
        names = [name for name in table.indexed if name in table.conditions]
        return (
            f"{model} cannot be ordered when it is asked for {_listed(names)}: an index has no "
            "order. Sort the rows in Python, or make a table for this question."
        )
    if table.has_token or not table.has_partition:
        return (
            f"{model} cannot be ordered without {_listed(table.partition)}: rows are in order "
            "inside a partition only. Filter by the whole partition key, or sort the rows in "
            "Python."
        )
    return (
        f"{model} cannot be ordered by {_listed(order)}: "
        f"order_by() takes the clustering key ({key}) from its beginning, each column as the table "
        "has it or each reversed."
    )


def _of_distinct(table: _Table) -> str | None:
    """Look for columns that DISTINCT does not take."""
    fields = table.question.distinct
    if not fields:
        return None
    mapper, key = table.mapper, _listed(table.partition)
    names = [mapper.attributes.get(field, field) for field in fields]
    wrong = [name for name in names if name not in mapper.partition_key]
    wrong = [name for name in wrong if name not in mapper.static]
    if wrong or not set(mapper.partition_key) <= set(names):
        return (
            f"{mapper.name} cannot be asked for distinct {_listed(names)}: distinct() takes the "
            f"whole partition key ({key}), and static columns."
        )
    return (
        f"{mapper.name} cannot be asked for distinct rows by "
        f"{_listed(name for name in table.conditions if name not in mapper.partition_key)}: "
        f"distinct() goes with filters by the partition key ({key})."
    )
