"""Which values pass a column's conversions unchanged, on their way to Cassandra and back.

cqlengine validates and copies each value several times. A value of exactly the Python type that a
column gives back (``int`` for Integer, a set of ``str`` for Set(Text)) passes all of it unchanged;
these are recognised here, and go to the driver as they are. Any other value takes cqlengine's way,
with its coercions and its errors, which ``columns.corrections`` mends where it loses something.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from cassandra import util
from cassandra.cqlengine import columns

from ..columns.formats import MOST_ELEMENTS
from ..protocol.values import milliseconds_of, moment_of

#: From a value as one side has it to the same as the other does.
Conversion = Callable[[Any], Any]

#: The type whose values cqlengine's own columns neither change nor refuse; what is out of range is
#: refused when it is bound.
_PASSTHROUGH_TYPES: dict[type[columns.Column], type] = {
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


#: What is copied into a collection as it is. Rows for instances have lists in place of sets.
_COPIED: dict[type, tuple[type, ...]] = {
    set: (list, set, util.SortedSet),
    list: (list,),
    dict: (dict,),
}


def passthrough_type(column: columns.Column) -> type | None:
    """Return the type whose values a scalar column takes and gives as they are; None for others."""
    if isinstance(column, columns.Text) and (
        column.min_length is not None or column.max_length is not None
    ):
        return None
    return _PASSTHROUGH_TYPES.get(type(column))


@dataclass(frozen=True)
class Container:
    """A collection all of whose elements pass unchanged.

    :ivar kind: ``set``, ``list`` or ``dict``.
    :ivar element: the passthrough type of the elements, or of a map's keys.
    :ivar value: the passthrough type of a map's values; None for other collections.
    """

    kind: type[Any]
    element: type
    value: type | None

    def holds(self, value: Any) -> bool:
        """Return whether cqlengine would leave ``value`` as it is."""
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
        key, value = passthrough_type(column.key_col), passthrough_type(column.value_col)
        return Container(dict, key, value) if key and value else None
    kind = {columns.Set: set, columns.List: list}.get(type(column))
    element = passthrough_type(column.value_col) if kind else None
    return Container(kind, element, None) if kind and element else None


def make_reader(column: columns.Column) -> Conversion:
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


def as_stored(value: object) -> object:
    """Return a scalar as a row would have it: a timestamp in UTC, in whole milliseconds."""
    if isinstance(value, datetime):
        return moment_of(milliseconds_of(value))
    return value
