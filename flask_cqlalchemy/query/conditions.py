"""The conditions of a query set. A condition of one value knows its CQL with a marker."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sized
from typing import TYPE_CHECKING, Any

from cassandra.cqlengine.functions import QueryValue
from cassandra.cqlengine.operators import BaseWhereOperator, InOperator
from cassandra.cqlengine.statements import WhereClause

from ..guardrails import check_in
from ..mapping.naming import naming

if TYPE_CHECKING:
    from ..config import Guardrails
    from ..mapping.filters import Filter


class Comparison(WhereClause):  # type: ignore[misc]
    """cqlengine's WHERE clause for one value, without the object that wraps the value."""

    quote_field = True

    def __init__(self, known: Filter, given: Any) -> None:
        self.known = known
        self.given = given
        if given.__class__ is known.passthrough:
            self.value = given
        else:
            with naming(known.label, known.cql_type, given):
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


def copy_clause(clause: Any) -> Any:
    """Return a copy: rendering numbers a condition, and other query sets may share this one."""
    copied = copy.copy(clause)
    own = clause.__dict__.get("query_value")
    if own is not None:
        copied.query_value = copy.copy(own)
    return copied


def check_lengths(rails: Guardrails, clauses: Iterable[WhereClause], model: str) -> None:
    """Check the number of values of each IN.

    :raises GuardrailError: if one has more than ``CASSANDRA_GUARDRAILS`` allows.
    """
    for clause in clauses:
        if isinstance(clause.operator, InOperator) and isinstance(clause.value, Sized):
            check_in(rails, len(clause.value), f"{model}.{clause.field}")
