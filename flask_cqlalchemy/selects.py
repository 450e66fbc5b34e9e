"""What a query set is made of: its conditions, and the SELECT that it comes to.

A condition knows its CQL with a marker. All of a query but the values is its *shape*, which leads
to the SELECT's text without making it again.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cassandra.cqlengine.functions import QueryValue
from cassandra.cqlengine.operators import (
    BaseWhereOperator,
    ContainsOperator,
    InOperator,
)
from cassandra.cqlengine.statements import WhereClause

from .conversions import exact_type
from .statements import naming

if TYPE_CHECKING:
    from cassandra.cqlengine.columns import Column

    from .models import BoundModel


@dataclass(frozen=True)
class Filter:
    """What ``filter`` knows of one of its arguments, such as ``price__gt``.

    :ivar shape: the condition's CQL with a marker.
    :ivar exact: a type whose values need no conversion, if there is one.
    """

    shape: str
    field: str
    operator: BaseWhereOperator
    exact: type | None
    to_database: Callable[[Any], Any]
    to_python: Callable[[Any], Any]
    is_equality: bool
    label: str
    kind: str


class Comparison(WhereClause):  # type: ignore[misc]
    """cqlengine's WHERE clause of a plain value, without the object that wraps the value."""

    quote_field = True

    def __init__(self, known: Filter, given: Any) -> None:
        self.known = known
        self.given = given
        if given.__class__ is known.exact:
            self.value = given
        else:
            with naming(known.label, known.kind, given):
                self.value = known.to_database(given)

    @property
    def field(self) -> str:
        return self.known.field

    @property
    def operator(self) -> BaseWhereOperator:
        return self.known.operator

    @property
    def query_value(self) -> QueryValue:
        found = QueryValue(self.value)
        found.set_context_id(self.context_id)
        return found

    context_id: int | None = None

    def get_context_size(self) -> int:
        return 1

    def set_context_id(self, i: int) -> None:
        self.context_id = i

    def update_context(self, ctx: dict[str, Any]) -> None:
        ctx[str(self.context_id)] = self.value


def find_filter(model: type[BoundModel], argument: str) -> Filter | None:
    """Return what to do with an argument of ``filter``; None leaves it to cqlengine.

    :raises QueryOperatorException: if the operator does not exist.
    """
    name, _, operator_name = argument.rpartition("__")
    if argument == "pk__token":
        return None
    if not name:
        name, operator_name = argument, ""
    column: Column | None = model._columns.get(name)
    if column is None and name == "pk":
        column = model._columns.get(model._pk_name or "")
    if column is None:
        return None
    operator = BaseWhereOperator.get_operator(operator_name or "EQ")()
    if isinstance(operator, InOperator | ContainsOperator):
        return None
    field = column.db_field_name
    return Filter(
        f'"{field}" {operator} ?',
        field,
        operator,
        exact_type(column),
        column.to_database,
        column.to_python,
        not operator_name,
        f"{model.__name__}.{column.column_name}",
        column.db_type,
    )


def copy_clause(clause: Any) -> Any:
    """Return a copy: rendering numbers a condition, and other query sets may share this one."""
    copied = copy.copy(clause)
    own = clause.__dict__.get("query_value")
    if own is not None:
        copied.query_value = copy.copy(own)
    return copied
