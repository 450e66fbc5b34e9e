"""From cqlengine's statements to CQL with markers and the values to bind.

cqlengine interpolates values into CQL on the client. Here every value is bound: also LIMIT, TTL and
TIMESTAMP, or there would be a prepared statement for each of their values. Pure functions.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cassandra.cqlengine import ValidationError
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
from cassandra.cqltypes import DateType
from cassandra.query import UNSET_VALUE, BoundStatement, PreparedStatement

if TYPE_CHECKING:
    from typing_extensions import Self

#: Where a prepared statement keeps the functions that serialize its values.
_SERIALIZERS = "_flask_cqlalchemy_serializers"

#: cqlengine numbers the values of a statement; ours have names.
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")


class _Marker(int):
    """A number that a statement writes as a placeholder: cqlengine writes these values as text."""

    name: str

    def __new__(cls, name: str) -> Self:
        marker = super().__new__(cls, 1)
        marker.name = name
        return marker

    def __format__(self, spec: str) -> str:
        return f"%({self.name})s"


_MARKERS = {name: _Marker(name) for name in ("limit", "ttl", "timestamp")}


def compile_statement(statement: BaseCQLStatement) -> tuple[str, list[Any]]:
    """Return the statement's CQL with ``?`` for each value, and the values in order."""
    values: dict[str, Any] = statement.get_context()
    given = {name: getattr(statement, name, None) for name in _MARKERS}
    try:
        for name, value in given.items():
            if value:
                values[name] = statement.timestamp_normalized if name == "timestamp" else value
                setattr(statement, name, _MARKERS[name])
        text = str(statement)
    finally:
        for name, value in given.items():
            if value:
                setattr(statement, name, value)
    names: list[str] = []

    def replace(match: re.Match[str]) -> str:
        names.append(match[1])
        return "?"

    cql = _PLACEHOLDER.sub(replace, text)
    return cql, [_unquote(values[name]) for name in names]


def _unquote(value: Any) -> Any:
    """Return what one of cqlengine's quoters would have written as text."""
    return value.value if isinstance(value, ValueQuoter) else value


def is_idempotent(statement: BaseCQLStatement) -> bool:
    """Say whether applying the statement twice leaves the same rows as applying it once.

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


def bind(prepared: PreparedStatement, values: Sequence[Any], subject: str) -> BoundStatement:
    """Bind ``values`` to a prepared statement.

    :param subject: what an error names: the model.
    :raises ValidationError: naming the column whose value has the wrong type or is out of range.
    """
    try:
        if prepared.column_encryption_policy is not None:
            return prepared.bind(values)
        bound = BoundStatement(prepared)
        bound.values = _serialize(prepared, values)
        bound.raw_values = values
        return bound
    except ValidationError:
        raise
    except Exception as error:
        # The driver's types raise many kinds, down to OSError for a text that is no IP address.
        column = _find_culprit(prepared, values)
        if column is None:
            raise
        name, cql_type, value = column
        raise ValidationError(
            f"{subject}.{name}: a {type(value).__name__} cannot be stored as {cql_type} "
            f"({_shorten(error)})"
        ) from error


def _serialize(prepared: PreparedStatement, values: Sequence[Any]) -> list[Any]:
    """Do what the driver's ``bind`` does, which looks for encrypted columns once a value."""
    state = prepared.__dict__
    serializers = state.get(_SERIALIZERS)
    if serializers is None:
        serializers = state[_SERIALIZERS] = [
            _serializer(column.type) for column in prepared.column_metadata or ()
        ]
    version = prepared.protocol_version
    serialized = [
        value if value is None or value is UNSET_VALUE else serialize(value, version)
        for serialize, value in zip(serializers, values, strict=True)
    ]
    for index in prepared.routing_key_indexes or ():
        if values[index] is UNSET_VALUE:
            name = prepared.column_metadata[index].name
            raise ValidationError(f"{name}, of the partition key, has no value")
    return serialized


def _serializer(cqltype: Any) -> Callable[[Any, int], bytes]:
    if issubclass(cqltype, DateType):
        # cqlengine gives milliseconds, for which the driver tries a datetime and a date first.
        pack, other = struct.Struct(">q").pack, cqltype.serialize
        return lambda value, version: pack(value) if type(value) is int else other(value, version)
    serialize: Callable[[Any, int], bytes] = cqltype.serialize
    return serialize


def _find_culprit(
    prepared: PreparedStatement, values: Sequence[Any]
) -> tuple[str, str, Any] | None:
    """Return the column, its CQL type and the value that cannot be serialised."""
    for column, value in zip(prepared.column_metadata, values, strict=False):
        if value is None or value is UNSET_VALUE:
            continue
        try:
            column.type.serialize(value, prepared.protocol_version)
        except Exception:
            cql_type = column.type.cql_parameterized_type()
            return column.name, "text" if cql_type == "varchar" else cql_type, value
    return None


def _shorten(error: Exception) -> str:
    """Return what the error says without the driver's preamble, which repeats type and column."""
    _, preamble, reason = str(error).rpartition("; (")
    return (reason.rstrip(")") if preamble else reason) or type(error).__name__
