"""From cqlengine's statements to CQL with markers and the values to bind.

cqlengine interpolates values into CQL on the client. Here every value is bound: also LIMIT, TTL and
TIMESTAMP, or there would be a prepared statement for each of their values. Pure functions.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

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
from cassandra.cqltypes import DateType, MapType, TimeType, TimeUUIDType
from cassandra.query import UNSET_VALUE, BoundStatement, PreparedStatement
from cassandra.util import Time

from .protocol import has_time

if TYPE_CHECKING:
    from typing_extensions import Self

#: Where a prepared statement keeps the functions that serialize its values.
_SERIALIZERS = "_flask_cqlalchemy_serializers"

#: cqlengine numbers the values of a statement; ours have names.
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")


class Placeholder(int):
    """A number that a statement writes as a placeholder: cqlengine writes these values as text."""

    name: str

    def __new__(cls, name: str) -> Self:
        marker = super().__new__(cls, 1)
        marker.name = name
        return marker

    def __format__(self, spec: str) -> str:
        return f"%({self.name})s"


_PLACEHOLDERS = {name: Placeholder(name) for name in ("limit", "ttl", "timestamp")}


def compile_statement(statement: BaseCQLStatement) -> tuple[str, list[Any]]:
    """Return the statement's CQL with ``?`` for each value, and the values in order."""
    values: dict[str, Any] = statement.get_context()
    given = {name: getattr(statement, name, None) for name in _PLACEHOLDERS}
    # A limit or a TTL of 0 is none; a timestamp of 0 is one.
    used = {
        name: value
        for name, value in given.items()
        if value or (name == "timestamp" and value is not None)
    }
    try:
        for name, value in used.items():
            values[name] = value
            if name == "timestamp" and value:
                values[name] = statement.timestamp_normalized
            setattr(statement, name, _PLACEHOLDERS[name])
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
        # The driver prints these; a statement of ours shows no values.
        bound.raw_values = None
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


@contextmanager
def naming(label: str, kind: str, value: Any) -> Iterator[None]:
    """Raise whatever a conversion raises as a ``ValidationError`` that names the column.

    :param label: the model and the column.
    :param kind: the column's type in CQL.
    """
    try:
        yield
    except ValidationError as error:
        # cqlengine names the column by its attribute, and none inside a collection.
        model, _, name = label.rpartition(".")
        if str(error).startswith(f"{name}: "):
            raise ValidationError(f"{model}.{error}") from error
        if name in str(error):
            raise
        raise ValidationError(f"{label}: {error}") from error
    except Exception as error:
        raise ValidationError(
            f"{label}: a {type(value).__name__} cannot be stored as {kind} ({_shorten(error)})"
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
    serialize: Callable[[Any, int], bytes] = cqltype.serialize
    # Before timestamps: to the driver a time UUID is one.
    if issubclass(cqltype, TimeUUIDType):
        return lambda value, version: serialize(_with_time(value), version)
    if issubclass(cqltype, DateType):
        # cqlengine gives milliseconds, for which the driver tries a datetime and a date first.
        pack = struct.Struct(">q").pack
        return lambda value, version: (
            pack(value) if type(value) is int else serialize(value, version)
        )
    if issubclass(cqltype, MapType):
        return lambda value, version: serialize(_without_null(value), version)
    if issubclass(cqltype, TimeType):
        return lambda value, version: serialize(_of_a_day(value), version)
    return serialize


def _without_null(value: Any) -> Any:
    """Refuse what the driver would write as an empty value."""
    if isinstance(value, Mapping) and None in value.values():
        raise ValueError("a map has no null")
    return value


def _with_time(value: Any) -> Any:
    """Refuse a UUID that Cassandra would refuse without a word of the column."""
    if isinstance(value, UUID) and not has_time(value):
        raise ValueError(f"its version is {value.version}, and must be 1")
    return value


def _of_a_day(value: Any) -> Any:
    """Refuse a time that Cassandra stores, and nobody can read."""
    nanoseconds = getattr(value, "nanosecond_time", 0)
    if not 0 <= nanoseconds < Time.DAY:
        raise ValueError(f"{nanoseconds} ns are not within a day")
    return value


def _find_culprit(
    prepared: PreparedStatement, values: Sequence[Any]
) -> tuple[str, str, Any] | None:
    """Return the column, its CQL type and the value that cannot be serialised."""
    for column, value in zip(prepared.column_metadata, values, strict=False):
        if value is None or value is UNSET_VALUE:
            continue
        try:
            _serializer(column.type)(value, prepared.protocol_version)
        except Exception:
            cql_type = column.type.cql_parameterized_type()
            return column.name, "text" if cql_type == "varchar" else cql_type, value
    return None


def _shorten(error: Exception) -> str:
    """Return what the error says without the driver's preamble, which repeats type and column."""
    _, preamble, reason = str(error).rpartition("; (")
    return (reason.rstrip(")") if preamble else reason) or type(error).__name__
