"""Corrections of cqlengine's own columns, where they lose, alter or let pass a value.

``correct`` replaces the methods of a column, and of those inside it, by those of ``values``, when a
model or a user type is made. A program's own class of columns keeps every method that it defines.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from cassandra.cqlengine import columns

from .values import (
    CONVERSIONS,
    IN_COLLECTION,
    TAKES,
    convert,
    to_database,
    to_python,
    validate,
)

#: The version of the protocol in whose bytes elements are compared: any will do.
_VERSION = 5


def _is_own(column: columns.Column, method: str) -> bool:
    """Return whether a method of a column is a program's, or of a column of the kit's."""
    return bool(getattr(type(column), method).__module__ != columns.__name__)


def known_kind(column: columns.Column) -> str | None:
    """Return the name in ``values.TAKES`` of a column's type; None if the program has its own way
    with the values, or they have others inside.
    """
    kind = column.db_type
    if kind not in TAKES or _is_own(column, "to_python") or _is_own(column, "to_database"):
        return None
    return str(kind)


def has_own_rules(column: columns.Column) -> bool:
    """Return whether a column refuses values that its type takes."""
    return _is_own(column, "validate") or (
        isinstance(column, columns.Text)
        and bool(column.min_length or column.max_length is not None)
    )


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


def _to_sorted(column: Any, value: Any) -> Any:
    """Do what ``to_database`` of a set or a map does, in an order that does not depend on hashes or
    on who made it.
    """
    kind = columns.Map if isinstance(column, columns.Map) else columns.Set
    stored = convert(CONVERSIONS[kind], "to_database", column, value)
    if stored is None:
        return None
    if isinstance(column, columns.Map):
        return {key: stored[key] for key in _in_order(column.key_col, stored)}
    return _in_order(column.value_col, stored)


def _correct_single(column: columns.Column, *, in_collection: bool) -> None:
    kind = known_kind(column)
    if kind is None:
        if column.db_type in ("blob", "timestamp") and not _is_own(column, "to_database"):
            column.to_database = partial(to_database, column.db_type, column)
        return
    if in_collection:
        kind = IN_COLLECTION.get(kind, kind)
    # Partial functions, since a user type's columns are pickled with its instances.
    column.to_database = partial(to_database, kind, column)
    if not _is_own(column, "validate"):
        column.to_python = partial(to_python, kind, column)
        column.validate = partial(validate, kind, column)


def _correct_composed(column: columns.Column, *, is_inside: bool) -> None:
    make = next((make for kind, make in CONVERSIONS.items() if isinstance(column, kind)), None)
    if make is None:
        return
    for method in ("to_python", "validate", "to_database"):
        if not _is_own(column, method):
            setattr(column, method, partial(convert, make, method, column))
    is_sorted = is_inside and isinstance(column, columns.Set | columns.Map)
    if is_sorted and not _is_own(column, "to_database"):
        column.to_database = partial(_to_sorted, column)


def correct(
    column: columns.Column, *, is_inside: bool = False, in_collection: bool = False
) -> None:
    """Have a column, and those inside it, keep the values that cqlengine alters or loses, and
    refuse what they would have to change.

    :param is_inside: whether it is inside another column.
    :param in_collection: whether it has the elements of a list, a set or a map.
    """
    if not column.sub_types:
        _correct_single(column, in_collection=in_collection)
        return
    _correct_composed(column, is_inside=is_inside)
    for inner in column.sub_types:
        correct(
            inner,
            is_inside=True,
            in_collection=isinstance(column, columns.BaseContainerColumn),
        )
