"""Which values pass a column's conversions unchanged, on their way to Cassandra and back.

cqlengine validates and copies each value several times. A value of exactly the Python type that a
column gives back (``int`` for Integer, a set of ``str`` for Set(Text)) passes all of it unchanged;
these are recognised here, and go to the driver as they are: what is out of range is refused when it
is bound. For the types that have to look at each value, ``exact`` is the way without detours. Any
other value takes the column's own methods, as ``columns.corrections`` has left them.
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

from ..columns.corrections import has_own_rules, known_kind
from ..columns.formats import MOST_ELEMENTS
from ..columns.values import BINDS, TAKES
from ..protocol.values import milliseconds_of, moment_of

#: From a value as one side has it to the same as the other does.
Conversion = Callable[[Any], Any]

#: The type whose values cqlengine's own columns neither change nor refuse.
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

#: Of these, the types that lose something of a value: a row has fewer digits, or no negative zero.
_ROUNDED = (columns.Float, columns.Decimal)


#: What is copied into a collection as it is. Rows for instances have lists in place of sets.
_COPIED: dict[type, tuple[type, ...]] = {
    set: (list, set, util.SortedSet),
    list: (list,),
    dict: (dict,),
}


def passthrough_type(column: columns.Column) -> type | None:
    """Return the type whose values a scalar column takes as they are; None for others."""
    if type(column) in _ROUNDED or has_own_rules(column):
        return None
    return _PASSTHROUGH_TYPES.get(type(column))


def exact(column: columns.Column) -> Callable[[Any], tuple[Any, Any]] | None:
    """Return what makes of a value that is not null what a row has, and what is bound: at once, for
    a column without rules but those of its type; None for others.
    """
    kind = known_kind(column)
    if kind is None or has_own_rules(column):
        return None
    take, bind = TAKES[kind], BINDS.get(kind)
    if bind is None:

        def convert(given: Any) -> tuple[Any, Any]:
            value = take(kind, given)
            return value, value
    else:

        def convert(given: Any) -> tuple[Any, Any]:
            value = take(kind, given)
            return value, bind(value)

    return convert


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
    """Return what is known of a column's collections; None where their elements are looked at."""
    return _make_container(column, passthrough_type)


def _make_container(
    column: columns.Column, type_of: Callable[[columns.Column], type | None]
) -> Container | None:
    if type(column) is columns.Map:
        key, value = type_of(column.key_col), type_of(column.value_col)
        return Container(dict, key, value) if key and value else None
    kind = {columns.Set: set, columns.List: list}.get(type(column))
    element = type_of(column.value_col) if kind else None
    return Container(kind, element, None) if kind and element else None


def _type_in_rows(column: columns.Column) -> type | None:
    return _PASSTHROUGH_TYPES.get(type(column))


def make_reader(column: columns.Column) -> Conversion:
    """Return a function from what the driver gives for a collection or user type to what a program
    sees: an absent collection is an empty one.
    """
    known = _make_container(column, _type_in_rows)
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
