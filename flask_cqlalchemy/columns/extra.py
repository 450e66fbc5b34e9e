"""Columns that cqlengine lacks (``Vector``), or that check too little there (``Duration``)."""

from __future__ import annotations

from typing import Any

from cassandra.cqlengine import columns
from cassandra.cqltypes import VectorType

from .values import convert, convert_vector, validate


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
        made: list[object] | None = convert(convert_vector, "validate", self, value)
        return made

    def to_python(self, value: object) -> list[object] | None:
        made: list[object] | None = convert(convert_vector, "to_python", self, value)
        return made

    def to_database(self, value: object) -> list[object] | None:
        made: list[object] | None = convert(convert_vector, "to_database", self, value)
        return made


class Duration(columns.Duration):  # type: ignore[misc]
    """Months, days and nanoseconds (``cassandra.util.Duration``), all of one sign.

    Cassandra cannot compare durations, so a key, an element of a set or the key of a map cannot be
    one.
    """

    _python_type_hashable = False

    def validate(self, value: object) -> Any:
        return validate("duration", self, value)
