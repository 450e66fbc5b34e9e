"""Columns that cqlengine lacks (``Vector``), or that check too little there (``Duration``)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cassandra.cqlengine import ValidationError, columns
from cassandra.cqltypes import VectorType

from .corrections import name_of
from .formats import check_duration


class Vector(columns.BaseCollectionColumn):  # type: ignore[misc]
    """A fixed number of values of one type: ``vector<float, 384>`` for the embedding of a text.

    :param dimension: how many.
    :param element: the column type of each.
    :raises ValueError: if ``dimension`` is not a positive whole number.
    """

    _python_type_hashable = False

    def __init__(
        self,
        dimension: int,
        element: columns.Column | type[columns.Column] = columns.Float,
        **options: Any,
    ) -> None:
        if not isinstance(dimension, int) or isinstance(dimension, bool) or dimension < 1:
            raise ValueError(f"The dimension of a Vector is a positive number, not {dimension!r}.")
        super().__init__((element,), **options)
        self.dimension = dimension
        self.value_col = self.types[0]
        self.db_type = f"vector<{self.value_col.db_type}, {dimension}>"

    @property
    def cql_type(self) -> Any:
        return VectorType.apply_parameters([self.value_col.cql_type, self.dimension], None)

    def _freeze_db_type(self) -> None:
        """Do nothing: a vector is always written whole, so CQL needs no ``frozen`` for it."""

    def validate(self, value: object) -> list[object] | None:
        checked = super().validate(value)
        if checked is None:
            return None
        if not isinstance(checked, list | tuple):
            raise ValidationError(
                f"{name_of(self)}a vector is a list, not a {type(value).__name__}"
            )
        if len(checked) != self.dimension:
            raise ValidationError(
                f"{name_of(self)}{len(checked)} values; the vector has {self.dimension}"
            )
        if None in checked:
            raise ValidationError(f"{name_of(self)}None is not allowed in a vector")
        return [self.value_col.validate(element) for element in checked]

    def to_python(self, value: Iterable[object] | None) -> list[object] | None:
        return None if value is None else [self.value_col.to_python(each) for each in value]

    def to_database(self, value: Iterable[object] | None) -> list[object] | None:
        return None if value is None else [self.value_col.to_database(each) for each in value]


class Duration(columns.Duration):  # type: ignore[misc]
    """Months, days and nanoseconds (``cassandra.util.Duration``), all of one sign.

    Cassandra cannot compare durations, so a key, an element of a set or the key of a map cannot be
    one.
    """

    _python_type_hashable = False

    def validate(self, value: object) -> Any:
        try:
            checked = super().validate(value)
            if checked is not None:
                check_duration(checked)
        except TypeError:
            raise ValidationError(
                f"{name_of(self)}expected a Duration, got {type(value).__name__}"
            ) from None
        except ValueError as problem:
            raise ValidationError(f"{name_of(self)}{problem}") from None
        return checked
