"""From cqlengine's statements to CQL with markers and the values to bind.

cqlengine interpolates values into CQL on the client. Here every value is bound: also LIMIT, TTL and
TIMESTAMP, or there would be a prepared statement for each of their values. Pure functions.
"""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cassandra.cqlengine.statements import (
    BaseCQLStatement,
    CounterUpdateClause,
    DeleteStatement,
    InsertStatement,
    ListUpdateClause,
    SelectStatement,
    UpdateStatement,
    ValueQuoter,
)

if TYPE_CHECKING:
    from typing_extensions import Self

#: cqlengine numbers the values of a statement; ours have names.
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")


class _Placeholder(int):
    """A number that a statement writes as a placeholder: cqlengine writes these values as text."""

    name: str

    def __new__(cls, name: str) -> Self:
        marker = super().__new__(cls, 1)
        marker.name = name
        return marker

    def __format__(self, spec: str) -> str:
        return f"%({self.name})s"


_MARKERS = {name: _Placeholder(name) for name in ("limit", "ttl", "timestamp")}


def compile_statement(statement: BaseCQLStatement) -> tuple[str, list[Any]]:
    """Return the statement's CQL with ``?`` for each value, and the values in order."""
    values: dict[str, Any] = statement.get_context()
    given = {name: getattr(statement, name, None) for name in _MARKERS}
    # A limit or a TTL of 0 means none; a timestamp of 0 is a timestamp.
    used = {
        name: value
        for name, value in given.items()
        if value or (name == "timestamp" and value is not None)
    }
    try:
        for name, value in used.items():
            values[name] = value
            if name == "timestamp":
                values[name] = _microseconds(statement)
            setattr(statement, name, _MARKERS[name])
        text = str(statement)
    finally:
        for name, value in used.items():
            setattr(statement, name, value)
    names: list[str] = []

    def replace(match: re.Match[str]) -> str:
        names.append(match[1])
        return "?"

    cql = _PLACEHOLDER.sub(replace, text)
    return cql, [_unquote(values[name]) for name in names]


def _microseconds(statement: BaseCQLStatement) -> int:
    """Return a statement's timestamp since 1970; cqlengine takes one of zero for none."""
    if statement.timestamp == timedelta():
        return time.time_ns() // 1000
    return int(statement.timestamp_normalized or 0)


def _unquote(value: Any) -> Any:
    """Return what one of cqlengine's quoters would have written as text."""
    return value.value if isinstance(value, ValueQuoter) else value


def is_idempotent(statement: BaseCQLStatement) -> bool:
    """Return whether applying the statement twice leaves the same rows as applying it once.

    False for conditional writes, counters, and appending to or prepending to a list
    (https://docs.datastax.com/en/developer/python-driver/latest/getting-started/#query-idempotence).
    """
    if isinstance(statement, SelectStatement):
        return True
    if isinstance(statement, InsertStatement):
        return not statement.if_not_exists
    if not isinstance(statement, UpdateStatement | DeleteStatement):
        return False
    if statement.conditionals or statement.if_exists:
        return False
    return not any(
        isinstance(clause, CounterUpdateClause | ListUpdateClause)
        for clause in getattr(statement, "assignments", ())
    )
