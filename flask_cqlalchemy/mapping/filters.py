"""What an argument of ``filter``, such as ``price__gt``, means for a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cassandra.cqlengine.operators import (
    BaseWhereOperator,
    ContainsOperator,
    InOperator,
)

from .conversions import Conversion, passthrough_type

if TYPE_CHECKING:
    from cassandra.cqlengine.columns import Column


@dataclass(frozen=True)
class Filter:
    """A comparison of one column with a value to come.

    :ivar shape: the condition's CQL with a marker.
    :ivar field: the column's name in CQL.
    :ivar passthrough: a type whose values need no conversion, if there is one.
    :ivar label: ``Model.column``, for errors.
    :ivar cql_type: the column's type.
    """

    shape: str
    field: str
    operator: BaseWhereOperator
    passthrough: type | None
    to_database: Conversion
    to_python: Conversion
    is_equality: bool
    label: str
    cql_type: str


def make_filter(
    model: str, columns: Mapping[str, Column], pk: str | None, argument: str
) -> Filter | None:
    """Return what an argument of ``filter`` means; None leaves it to cqlengine.

    :param model: its name, for errors.
    :param columns: by attribute.
    :param pk: the attribute that ``pk`` stands for.
    :raises QueryOperatorException: if the operator does not exist.
    """
    name, _, operator_name = argument.rpartition("__")
    if argument == "pk__token":
        return None
    if not name:
        name, operator_name = argument, ""
    column = columns.get(name)
    if column is None and name == "pk" and pk is not None:
        column = columns.get(pk)
    if column is None:
        return None
    operator = BaseWhereOperator.get_operator(operator_name or "EQ")()
    if isinstance(operator, InOperator | ContainsOperator):
        return None
    field = column.db_field_name
    return Filter(
        f'"{field}" {operator} ?',
        field,
        operator,
        passthrough_type(column),
        column.to_database,
        column.to_python,
        not operator_name,
        f"{model}.{column.column_name}",
        column.db_type,
    )
