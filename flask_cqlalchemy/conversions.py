"""What a column does with a value on its way to Cassandra and back, and when that is nothing.

cqlengine validates and copies each value several times. A value of exactly the Python type that a
column gives back (``int`` for Integer, a set of ``str`` for Set(Text)) passes all of it unchanged;
these are recognised here, and go to the driver as they are. Any other value takes cqlengine's way,
with its coercions and its errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from cassandra import util
from cassandra.cqlengine import ValidationError, columns

from .protocol import OutOfRangeTimestamp, UndecodableValue
from .protocol.values import milliseconds_of, moment_of

#: The type whose values cqlengine's own columns neither change nor refuse; what is out of range is
#: refused when it is bound.
_EXACT_TYPES: dict[type[columns.Column], type] = {
    columns.Text: str,
    columns.Integer: int,
    columns.TinyInt: int,
    columns.SmallInt: int,
    columns.BigInt: int,
    columns.VarInt: int,
    columns.Boolean: bool,
    columns.Float: float,
    columns.Double: float,
    columns.Decimal: Decimal,
    columns.UUID: UUID,
    columns.TimeUUID: UUID,
}


#: The version of the protocol in whose bytes elements are compared: any will do.
_VERSION = 5

#: Elements that cqlengine allows in a collection.
MOST_ELEMENTS = 65_535

#: Of what a collection is made by a plain copy. Rows for instances have lists for sets.
_COPIED: dict[type, tuple[type, ...]] = {
    set: (list, set, util.SortedSet),
    list: (list,),
    dict: (dict,),
}


def exact_type(column: columns.Column) -> type | None:
    """Return the type whose values a scalar column takes and gives as they are; None for others."""
    if isinstance(column, columns.Text) and (
        column.min_length is not None or column.max_length is not None
    ):
        return None
    return _EXACT_TYPES.get(type(column))


@dataclass(frozen=True)
class Container:
    """A collection all of whose elements are of exact types.

    :ivar kind: ``set``, ``list`` or ``dict``.
    :ivar element: the exact type of the elements, of a map's keys.
    :ivar value: the exact type of a map's values; None for other collections.
    """

    kind: type[Any]
    element: type
    value: type | None

    def holds(self, value: Any) -> bool:
        """Say whether cqlengine would leave ``value`` as it is."""
        if value.__class__ is not self.kind or len(value) > MOST_ELEMENTS:
            return False
        if not value:
            return True
        if self.value is not None and {*map(type, value.values())} != {self.value}:
            return False
        return {*map(type, value)} == {self.element}


def container(column: columns.Column) -> Container | None:
    """Return what is known of a column's collections; None where cqlengine has to convert them."""
    if type(column) is columns.Map:
        key, value = exact_type(column.key_col), exact_type(column.value_col)
        return Container(dict, key, value) if key and value else None
    kind = {columns.Set: set, columns.List: list}.get(type(column))
    element = exact_type(column.value_col) if kind else None
    return Container(kind, element, None) if kind and element else None


def make_reader(column: columns.Column) -> Callable[[Any], Any]:
    """Return a function from what the driver gives for a collection or user type to what a program
    sees: an absent collection is an empty one.
    """
    known = container(column)
    if known is None:
        optional = not isinstance(column, columns.BaseContainerColumn)
        return lambda value: None if value is None and optional else column.to_python(value)
    kind = known.kind
    copied = _COPIED[kind]

    def read(value: Any) -> Any:
        if value.__class__ in copied:
            return kind(value)
        if value is None:
            return kind()
        if value.__class__ is util.OrderedMapSerializedKey:
            # As a mapping it would serialize each key to find its value.
            return dict(value._items)
        return column.to_python(value)

    return read


def as_stored(value: Any) -> Any:
    """Return a scalar as a row would have it: a timestamp in UTC, in whole milliseconds."""
    if isinstance(value, datetime):
        return moment_of(milliseconds_of(value))
    return value


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
    """Return how an error about a column begins; one inside another has no name."""
    return f"{column.column_name}: " if column.column_name else ""


def _keep_undecoded(column: columns.Column, value: Any) -> Any:
    """Do what the column's ``to_python`` does, and leave alone what is of no type for a reason."""
    if isinstance(value, OutOfRangeTimestamp | UndecodableValue):
        return value
    return type(column).to_python(column, value)


def _keep_length(column: columns.Tuple, value: Any) -> Any:
    """Do what ``Tuple.to_python`` does, which would leave out values at the end, and make an empty
    tuple of an absent one: inside another it would be written as one, which Cassandra cannot read.
    """
    if not value:
        return None
    if isinstance(value, tuple | list) and len(value) > len(column.types):
        raise ValidationError(
            f"{name_of(column)}a tuple of {len(value)} values; it has {len(column.types)}"
        )
    return columns.Tuple.to_python(column, value)


def _to_bytes(column: columns.Blob, value: Any) -> bytes | None:
    """Do what ``Blob.to_database`` does, for null too, and with bytes, which a set can have."""
    if value is None:
        return None
    if not isinstance(value, bytes | bytearray):
        raise ValidationError(f"{name_of(column)}a {type(value).__name__} is no bytes")
    return bytes(value)


def _refuse_null(column: columns.Map, value: Any) -> Any:
    """Do what ``Map.validate`` does, which looks for null among the keys alone."""
    checked = columns.Map.validate(column, value)
    if checked is not None and None in checked.values():
        raise ValidationError(f"{name_of(column)}a map has no null")
    return checked


def _in_order(column: columns.Column, elements: Iterable[Any]) -> list[Any]:
    """Sort the elements of a set, or the keys of a map, by their value or else by their bytes.

    Cassandra does it for a set or a map, also for one in another, but not for one in a user type, a
    tuple or a vector: there equal sets have to be written alike.
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


def make_exact(column: columns.Column, *, is_inside: bool = False) -> None:
    """Have a column, and those inside it, convert without loss what cqlengine does not."""
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
        make_exact(inner, is_inside=True)
