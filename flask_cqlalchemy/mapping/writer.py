"""What a write of one row in one statement needs to know of its columns.

Whether such a statement may do a write is decided in ``query.writes``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cassandra.cqlengine import ValidationError, columns

from ..columns.values import Refusal
from .conversions import Container, Conversion, container, exact, passthrough_type
from .naming import named, naming

if TYPE_CHECKING:
    from collections.abc import Container as HasNames


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
    label: str
    cql_type: str

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
            return None, None
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
    :ivar keys: the primary key.
    :ivar settable: columns that one UPDATE may set: all but the keys.
    :ivar scalars: of these, the ones whose values do not change in place.
    """

    columns: tuple[tuple[str, type | None, ColumnWriter], ...]
    keys: tuple[ColumnWriter, ...]
    settable: Mapping[str, ColumnWriter]
    scalars: Mapping[str, ColumnWriter]
    required: tuple[ColumnWriter, ...]


def make_writer(
    model: str, by_name: Mapping[str, columns.Column], changing: HasNames[str]
) -> Writer | None:
    """Return the writer of a table; None if it has counters or static columns.

    :param model: its name, for errors.
    :param by_name: the columns by attribute.
    :param changing: the names of columns whose values change in place.
    """
    if any(column.static or isinstance(column, columns.Counter) for column in by_name.values()):
        return None
    known = {
        name: ColumnWriter(
            name,
            column.db_field_name,
            passthrough_type(column),
            container(column),
            column.to_python,
            column.validate,
            column.to_database,
            column._val_is_null,
            column.get_default if column.has_default else None,
            exact(column),
            column.is_primary_key,
            f"{model}.{name}",
            column.db_type,
        )
        for name, column in by_name.items()
    }
    settable = {name: each for name, each in known.items() if not each.is_key}
    return Writer(
        columns=tuple((name, each.passthrough, each) for name, each in known.items()),
        keys=tuple(each for each in known.values() if each.is_key),
        settable=settable,
        scalars={name: each for name, each in settable.items() if name not in changing},
        required=tuple(known[name] for name, column in by_name.items() if column.required),
    )
