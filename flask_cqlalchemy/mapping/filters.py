"""What an argument of ``filter``, such as ``price__gt``, means for a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from cassandra.cqlengine import columns as cqlengine_columns
from cassandra.cqlengine.operators import (
    BaseWhereOperator,
    ContainsOperator,
    InOperator,
)
from cassandra.cqlengine.query import QueryException

from .conversions import Conversion, passthrough_type

if TYPE_CHECKING:
    from cassandra.cqlengine.columns import Column


class ContainsKeyOperator(ContainsOperator):  # type: ignore[misc]
    """Whether a map has a key, as in ``filter(attrs__contains_key="colour")``.

    cqlengine lacks it.
    """

    symbol = "CONTAINS_KEY"
    cql_symbol = "CONTAINS KEY"
    #: Where an operator is entered by its symbol: not into cqlengine's own table.
    opmap: ClassVar[dict[str, type[BaseWhereOperator]]] = {}


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
    :raises QueryException: if the operator is not one for the column.
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
    field, label = column.db_field_name, f"{model}.{column.column_name}"
    operator: BaseWhereOperator
    if operator_name.upper() == ContainsKeyOperator.symbol:
        operator = ContainsKeyOperator()
        # What is compared is a key.
        column = _keys_of(column, label)
    else:
        operator = BaseWhereOperator.get_operator(operator_name or "EQ")()
        if isinstance(operator, InOperator | ContainsOperator):
            return None
    return Filter(
        f'"{field}" {operator} ?',
        field,
        operator,
        passthrough_type(column),
        column.to_database,
        column.to_python,
        not operator_name,
        label,
        column.db_type,
    )


def _keys_of(column: Column, label: str) -> Column:
    """Return the column of a map's keys.

    :raises QueryException: if the column is not a map.
    """
    if isinstance(column, cqlengine_columns.Map):
        keys: Column = column.key_col
        return keys
    raise QueryException(
        f"{label} is of type {column.db_type}, and contains_key asks for a key of a map. "
        "What a list or a set has is asked with contains."
    )
