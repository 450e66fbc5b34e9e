"""Values as the bytes that a prepared statement takes.

Every value is bound, never written into CQL. Pure functions.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from cassandra.cqlengine import ValidationError
from cassandra.cqltypes import DateType, MapType, TimeType, TimeUUIDType
from cassandra.query import UNSET_VALUE, BoundStatement, PreparedStatement
from cassandra.util import Time

from ..mapping.naming import shorten
from ..protocol import has_time

#: Where a prepared statement keeps the functions that serialize its values.
_SERIALIZERS = "_flask_cqlalchemy_serializers"


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
            f"({shorten(error)})"
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
