"""What a write of a row needs to know of the columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cassandra.cqlengine import ValidationError, columns

from ..columns.corrections import correct
from ..columns.values import Refusal
from .conversions import Container, Conversion, container, exact, passthrough_type
from .naming import named, naming

#: How a change of a column is written: as its new value, or, for the others, by what is added and
#: removed.
Kind = Literal["value", "set", "list", "map", "counter"]

#: What an absent collection reads as.
_EMPTY: Mapping[Kind, Callable[[], object]] = {"set": set, "list": list, "map": dict}


@dataclass(frozen=True)
class ColumnWriter:
    """What a write does with one column.

    :ivar name: of the attribute.
    :ivar field: the name in CQL.
    :ivar passthrough: a type whose values need neither validation nor conversion.
    :ivar container: the same for a collection.
    :ivar exact: what converts its values at once, if they have no rules but those of their type.
    :ivar label: ``Model.column``, for errors.
    :ivar cql_type: the column's type.
    :ivar equals: ``"column" = ?``: an assignment, and a condition.
    :ivar keys: for a map, what a set of its keys is.
    """

    name: str
    field: str
    passthrough: type | None
    container: Container | None
    to_python: Conversion
    validate: Conversion
    to_database: Conversion
    is_null: Callable[[Any], bool]
    default: Callable[[], Any] | None
    exact: Callable[[Any], tuple[Any, Any]] | None
    is_key: bool
    is_static: bool
    kind: Kind
    label: str
    cql_type: str
    equals: str
    keys: ColumnWriter | None

    def convert(self, given: Any) -> tuple[Any, Any]:
        """Return a value as an instance has it, and as it is bound.

        :raises ValidationError: naming the column, if it cannot be stored.
        """
        if self.container is not None and self.container.holds(given):
            return self.container.kind(given), given or None
        if given is None:
            if self.is_key:
                raise ValidationError(f"{self.label}, of the primary key, is missing.")
            try:
                self.validate(None)
            except ValidationError as error:
                raise named(self.label, self.cql_type, None, error) from error
            empty = _EMPTY.get(self.kind)
            return None if empty is None else empty(), None
        if self.exact is not None:
            try:
                return self.exact(given)
            except Refusal as error:
                raise error.within(self.label) from None
        with naming(self.label, self.cql_type, given):
            value = self.validate(self.to_python(given))
            if self.is_null(value):
                # Cassandra cannot tell an empty collection from null.
                return value, None
            return value, self.to_database(value)


@dataclass(frozen=True)
class Writer:
    """The columns of a table as writes see them.

    :ivar columns: for an INSERT: name, passthrough type and column.
    :ivar by_name: the same by the names of attributes.
    :ivar keys: the primary key.
    :ivar partition: of these, the ones of the partition key.
    :ivar settable: columns that one UPDATE may set: all but the keys.
    :ivar scalars: of these, the ones whose change is written as a new value of the whole row's, and
        whose values do not change in place.
    :ivar required: the columns that must have a value.
    :ivar has_static: whether a partition has columns of its own.
    """

    columns: tuple[tuple[str, type | None, ColumnWriter], ...]
    by_name: Mapping[str, ColumnWriter]
    keys: tuple[ColumnWriter, ...]
    partition: tuple[ColumnWriter, ...]
    settable: Mapping[str, ColumnWriter]
    scalars: Mapping[str, ColumnWriter]
    required: tuple[ColumnWriter, ...]
    has_static: bool


def make_writer(
    model: str, by_name: Mapping[str, columns.Column], changing: Mapping[str, object]
) -> Writer:
    """Return the writer of a table.

    :param model: its name, for errors.
    :param by_name: the columns by attribute.
    :param changing: the names of columns whose values change in place.
    """
    known = {name: _make_column(model, name, column) for name, column in by_name.items()}
    settable = {name: each for name, each in known.items() if not each.is_key}
    return Writer(
        columns=tuple((name, each.passthrough, each) for name, each in known.items()),
        by_name=known,
        keys=tuple(each for each in known.values() if each.is_key),
        partition=tuple(known[name] for name, column in by_name.items() if column.partition_key),
        settable=settable,
        scalars={
            name: each
            for name, each in settable.items()
            if each.kind == "value" and not each.is_static and name not in changing
        },
        required=tuple(known[name] for name, column in by_name.items() if column.required),
        has_static=any(each.is_static for each in known.values()),
    )


def _make_column(model: str, name: str, column: columns.Column) -> ColumnWriter:
    field = column.db_field_name
    return ColumnWriter(
        name,
        field,
        passthrough_type(column),
        container(column),
        column.to_python,
        column.validate,
        column.to_database,
        column._val_is_null,
        column.get_default if column.has_default else None,
        exact(column),
        column.is_primary_key,
        column.static,
        _kind(column),
        f"{model}.{name}",
        column.db_type,
        f'"{field}" = ?',
        _make_column(model, name, _keys_of(column)) if isinstance(column, columns.Map) else None,
    )


#: The kinds of the columns that are not replaced as a whole.
_KINDS: Mapping[type[columns.Column], Kind] = {
    columns.Set: "set",
    columns.List: "list",
    columns.Map: "map",
    columns.Counter: "counter",
}


def _kind(column: columns.Column) -> Kind:
    for known, kind in _KINDS.items():
        if isinstance(column, known):
            return kind
    return "value"


def _keys_of(column: columns.Map) -> columns.Set:
    keys = columns.Set(column.key_col)
    keys.set_column_name(column.column_name)
    keys.db_field = column.db_field_name
    correct(keys)
    return keys
