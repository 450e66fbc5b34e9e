"""The SET of an UPDATE: what each change of a column is in CQL.

A scalar is replaced. Of a collection an instance writes what has been added and removed since it
was read, and a query set what its argument says, as ``tags__add`` does. None removes a value, in
the same statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

from cassandra.cqlengine import ValidationError

from ..mapping.instances import UNKNOWN
from ..mapping.naming import unknown_name

if TYPE_CHECKING:
    from ..mapping.mapper import Mapper
    from ..mapping.writer import ColumnWriter, Kind

#: What an argument of ``update()`` may end with, by the kind of the column.
_OPERATIONS: Mapping[Kind, tuple[str, ...]] = {
    "value": (),
    "counter": (),
    "set": ("add", "remove"),
    "list": ("append", "prepend"),
    "map": ("update", "remove"),
}


class Assignments:
    """The assignments of one UPDATE.

    :ivar texts: in CQL, with markers.
    :ivar values: bound to the markers.
    :ivar columns: what is assigned to.
    :ivar is_idempotent: whether they may be made twice.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.values: list[object] = []
        self.columns: list[ColumnWriter] = []
        self.is_idempotent = True

    def __bool__(self) -> bool:
        return bool(self.texts)

    @property
    def only_static(self) -> bool:
        """Whether they concern a partition, and none of its rows."""
        return all(column.is_static for column in self.columns)

    def _assign(self, column: ColumnWriter, text: str, bound: object) -> None:
        self.texts.append(text)
        self.values.append(bound)
        self.columns.append(column)

    def put(self, column: ColumnWriter, bound: object) -> None:
        """Replace the value, by null for None."""
        self._assign(column, column.equals, bound)

    def add(self, column: ColumnWriter, bound: object) -> None:
        """Add elements, pairs of a map, or to a counter; nothing for None."""
        if bound is None:
            return
        if column.kind in ("list", "counter"):
            self.is_idempotent = False
        self._assign(column, f'"{column.field}" = "{column.field}" + ?', bound)

    def prepend(self, column: ColumnWriter, bound: object) -> None:
        """Add elements at the front of a list; nothing for None."""
        if bound is None:
            return
        self.is_idempotent = False
        self._assign(column, f'"{column.field}" = ? + "{column.field}"', bound)

    def remove(self, column: ColumnWriter, bound: object) -> None:
        """Remove elements of a set, or keys of a map; nothing for None."""
        if bound is not None:
            self._assign(column, f'"{column.field}" = "{column.field}" - ?', bound)

    # What a program writes

    def change(self, column: ColumnWriter, value: object, previous: object) -> object:
        """Write a new value of an instance's column, and return it as the row will have it.

        :param previous: what the row has; UNKNOWN if the column was not read, and None for a new
            row's.
        :raises ValidationError: naming the column, if the value cannot be stored.
        """
        if column.kind == "counter":
            return self._count(column, value, previous)
        stored, bound = column.convert(value)
        if bound is None or previous is None or previous is UNKNOWN or column.kind == "value":
            self.put(column, bound)
        elif not previous and column.kind != "list":
            # Nothing that somebody else has added in the meantime is lost.
            self.add(column, bound)
        elif column.kind == "set":
            self.add(column, column.convert(stored - as_set(previous))[1])
            self.remove(column, column.convert(as_set(previous) - stored)[1])
        elif column.kind == "map":
            self._change_map(column, stored, previous)
        else:
            self._change_list(column, stored, previous)
        return stored

    def _count(self, column: ColumnWriter, value: object, previous: object) -> object:
        if value is None:
            raise ValidationError(
                f"{column.label}: a counter cannot be removed, since one that is used again goes "
                "on from its old value. Add what is missing to the number that it shall have."
            )
        stored, number = column.convert(value)
        self.add(column, number - (0 if previous is UNKNOWN else previous or 0))
        return stored

    def _change_map(self, column: ColumnWriter, stored: Any, previous: Any) -> None:
        changed = {
            key: value
            for key, value in stored.items()
            if key not in previous or previous[key] != value
        }
        self.add(column, column.convert(changed)[1])
        self._remove_keys(column, set(previous) - set(stored))

    def _change_list(self, column: ColumnWriter, stored: Any, previous: Any) -> None:
        size = len(previous)
        for start in range(len(stored) - size + 1):
            if stored[start : start + size] == previous:
                self.prepend(column, column.convert(stored[:start])[1])
                self.add(column, column.convert(stored[start + size :])[1])
                return
        self.put(column, column.convert(stored)[1])

    def _remove_keys(self, column: ColumnWriter, keys: AbstractSet[object]) -> None:
        if column.keys is not None:
            self.remove(column, column.keys.convert(set(keys))[1])

    def apply(self, mapper: Mapper, argument: str, value: object) -> None:
        """Write what an argument of a query set's ``update()`` says, such as ``tags__add={"x"}``.

        :raises ValidationError: naming the column or the operation that does not exist, or the
            column whose value cannot be stored.
        """
        column, operation = _read(mapper, argument)
        if operation is None:
            if column.kind == "counter":
                self._count(column, value, None)
            else:
                self.put(column, column.convert(value)[1])
            return
        if value is None:
            raise ValidationError(
                f"{mapper.name}.{argument}: None is nothing to {operation}. To remove the whole "
                f"column, {column.name}=None."
            )
        if operation == "prepend":
            self.prepend(column, column.convert(value)[1])
        elif operation == "remove":
            if column.kind == "map":
                self._remove_keys(column, _keys(mapper, argument, value))
            else:
                self.remove(column, column.convert(value)[1])
        elif column.kind == "map":
            self._update_map(mapper, column, argument, value)
        else:
            self.add(column, column.convert(value)[1])

    def _update_map(
        self, mapper: Mapper, column: ColumnWriter, argument: str, value: object
    ) -> None:
        if not isinstance(value, Mapping):
            raise ValidationError(
                f"{mapper.name}.{argument} takes a dictionary, not {type(value).__name__}."
            )
        kept = {key: each for key, each in value.items() if each is not None}
        self.add(column, column.convert(kept)[1])
        self._remove_keys(column, value.keys() - kept.keys())


def key_refusal(column: ColumnWriter) -> ValidationError:
    """Return the error of an update of the primary key."""
    return ValidationError(
        f"{column.label} belongs to the primary key, which cannot be updated: a row with another "
        "key is another row. Create that one, and delete this."
    )


def _read(mapper: Mapper, argument: str) -> tuple[ColumnWriter, str | None]:
    writer = mapper.writer
    operation: str | None
    name, _, operation = argument.rpartition("__")
    if argument in writer.by_name or not name:
        name, operation = argument, None
    column = writer.by_name.get(name)
    if column is None:
        raise ValidationError(unknown_name(mapper.name, name, mapper.columns))
    if column.is_key:
        raise key_refusal(column)
    if operation is not None and operation not in _OPERATIONS[column.kind]:
        known = ", ".join(f"{name}__{each}" for each in _OPERATIONS[column.kind])
        raise ValidationError(
            f"{mapper.name}.{argument}: a {column.cql_type} has no {operation!r}; "
            f"update() takes {name}{' and ' if known else ''}{known}."
        )
    return column, operation


def _keys(mapper: Mapper, argument: str, value: object) -> AbstractSet[object]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise ValidationError(
            f"{mapper.name}.{argument} takes a set of keys, not {type(value).__name__}."
        )
    return set(value)


def as_set(value: Any) -> set[Any]:
    """Return a set of a value that may be one of the driver's sets."""
    return value if isinstance(value, set) else set(value)
