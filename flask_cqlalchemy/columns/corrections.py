"""Corrections of cqlengine's own columns, where they lose or alter a value.

``correct`` replaces single methods of a column, and of those inside it, when a model is made. Each
function here stands for one of its methods, and says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from functools import partial
from typing import Any

from cassandra.cqlengine import ValidationError, columns

from ..protocol import OutOfRangeTimestamp, UndecodableValue
from ..protocol.values import milliseconds_of

#: The version of the protocol in whose bytes elements are compared: any will do.
_VERSION = 5


def _to_milliseconds(column: columns.DateTime, value: Any) -> int | None:
    """Do what ``DateTime.to_database`` does, exactly.

    cqlengine multiplies seconds by 1000 in doubles, and stores six in a thousand timestamps as the
    millisecond before.
    """
    if value is None:
        return None
    if not isinstance(value, datetime):
        if isinstance(value, OutOfRangeTimestamp):
            return value.milliseconds
        if not isinstance(value, date):
            raise ValidationError(f"{column.column_name} '{value}' is not a datetime object")
        value = datetime(value.year, value.month, value.day)  # noqa: DTZ001
    return milliseconds_of(value)


def name_of(column: columns.Column) -> str:
    """Return how an error about a column begins: its name, or nothing inside another column."""
    return f"{column.column_name}: " if column.column_name else ""


def _keep_undecoded(column: columns.Column, value: Any) -> Any:
    """Do what the column's ``to_python`` does, but keep what stands for an unusual cell."""
    if isinstance(value, OutOfRangeTimestamp | UndecodableValue):
        return value
    return type(column).to_python(column, value)


def _keep_length(column: columns.Tuple, value: Any) -> Any:
    """Do what ``Tuple.to_python`` does, but refuse extra values and keep an absent tuple absent.

    cqlengine drops values at the end, and makes an empty tuple of None. Inside another type an
    empty tuple is written as bytes that Cassandra cannot read.
    """
    if not value:
        return None
    if isinstance(value, tuple | list) and len(value) > len(column.types):
        raise ValidationError(
            f"{name_of(column)}expected at most {len(column.types)} values, got {len(value)}"
        )
    return columns.Tuple.to_python(column, value)


def _to_bytes(column: columns.Blob, value: Any) -> bytes | None:
    """Do what ``Blob.to_database`` does, but take None, and return bytes: a set can hold them."""
    if value is None:
        return None
    if not isinstance(value, bytes | bytearray):
        raise ValidationError(f"{name_of(column)}expected bytes, got {type(value).__name__}")
    return bytes(value)


def _refuse_null(column: columns.Map, value: Any) -> Any:
    """Do what ``Map.validate`` does, but refuse null values as well as null keys."""
    checked = columns.Map.validate(column, value)
    if checked is not None and None in checked.values():
        raise ValidationError(f"{name_of(column)}a map has no null")
    return checked


def _in_order(column: columns.Column, elements: Iterable[Any]) -> list[Any]:
    """Sort the elements of a set, or the keys of a map, by their value or else by their bytes.

    Cassandra sorts sets and maps itself, nested ones too, but not those in a user type, a tuple or
    a vector: there equal sets have to be written alike.
    """
    known = list(elements)
    try:
        return sorted(known)
    except TypeError:
        return sorted(known, key=lambda each: column.cql_type.serialize(each, _VERSION))


def _to_sorted_set(column: columns.Set, value: Any) -> list[Any] | None:
    """Do what ``Set.to_database`` does, in an order that does not depend on hashes."""
    stored = columns.Set.to_database(column, value)
    return None if stored is None else _in_order(column.value_col, stored)


def _to_sorted_map(column: columns.Map, value: Any) -> dict[Any, Any] | None:
    """Do what ``Map.to_database`` does, in an order that does not depend on who made the map."""
    stored = columns.Map.to_database(column, value)
    if stored is None:
        return None
    return {key: stored[key] for key in _in_order(column.key_col, stored)}


def _changes_scalars(column: columns.Column) -> bool:
    convert = type(column).to_python
    return (
        convert.__module__ == columns.__name__
        and convert is not columns.Column.to_python
        and not isinstance(column, columns.BaseCollectionColumn | columns.UserDefinedType)
    )


def correct(column: columns.Column, *, is_inside: bool = False) -> None:
    """Have a column, and those inside it, keep the values that cqlengine alters or loses."""
    # Partial functions, since a user type's columns are pickled with its instances.
    if type(column) is columns.Tuple:
        column.to_python = partial(_keep_length, column)
    if type(column) is columns.Map:
        column.validate = partial(_refuse_null, column)
    if type(column).to_database is columns.Blob.to_database:
        column.to_database = partial(_to_bytes, column)
    if type(column).to_database is columns.DateTime.to_database:
        column.to_database = partial(_to_milliseconds, column)
    if _changes_scalars(column):
        column.to_python = partial(_keep_undecoded, column)
    if is_inside and type(column) is columns.Set:
        column.to_database = partial(_to_sorted_set, column)
    if is_inside and type(column) is columns.Map:
        column.to_database = partial(_to_sorted_map, column)
    for inner in column.sub_types:
        correct(inner, is_inside=True)
