"""From cqlengine's statements to CQL with markers and the values to bind.

cqlengine interpolates values into CQL on the client. Here every value is bound: also LIMIT, or
there would be a prepared statement for each. Pure functions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from cassandra.cqlengine.statements import BaseCQLStatement, ValueQuoter

if TYPE_CHECKING:
    from typing_extensions import Self

    from .._cqlengine import WhereClause

#: cqlengine numbers the values of a statement; ours have names.
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")


class _Placeholder(int):
    """A number that a statement writes as a placeholder: cqlengine writes a limit as text."""

    def __new__(cls) -> Self:
        return super().__new__(cls, 1)

    def __format__(self, spec: str) -> str:
        return "%(limit)s"


_LIMIT = _Placeholder()


def compile_statement(statement: BaseCQLStatement) -> tuple[str, list[Any]]:
    """Return the statement's CQL with ``?`` for each value, and the values in order."""
    values: dict[str, Any] = statement.get_context()
    limit = getattr(statement, "limit", None)
    if limit:
        values["limit"] = limit
        statement.limit = _LIMIT
    try:
        return _with_markers(str(statement), values)
    finally:
        if limit:
            statement.limit = limit


def compile_clause(clause: WhereClause) -> tuple[str, list[Any]]:
    """Return the CQL of one condition with ``?`` for each value, and the values in order.

    :param clause: a copy, whose values are numbered.
    """
    values: dict[str, Any] = {}
    clause.set_context_id(0)
    clause.update_context(values)
    return _with_markers(str(clause), values)


def _with_markers(text: str, values: dict[str, Any]) -> tuple[str, list[Any]]:
    names: list[str] = []

    def replace(match: re.Match[str]) -> str:
        names.append(match[1])
        return "?"

    cql = _PLACEHOLDER.sub(replace, text)
    return cql, [_unquote(values[name]) for name in names]


def _unquote(value: Any) -> Any:
    """Return what one of cqlengine's quoters would have written as text."""
    return value.value if isinstance(value, ValueQuoter) else value
