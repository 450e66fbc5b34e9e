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
    QueryOperatorException,
)
from cassandra.cqlengine.query import QueryException

from .conversions import Conversion, passthrough_type
from .naming import unknown_name

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


#: The operators by what stands behind a column's name, in capitals.
_OPERATORS: Mapping[str, type[BaseWhereOperator]] = {
    **{word: found for word, found in BaseWhereOperator.opmap.items() if " " not in word},
    ContainsKeyOperator.symbol: ContainsKeyOperator,
}


@dataclass(frozen=True)
class Filter:
    """A comparison of one column with a value, or with several, to come.

    :ivar shape: the condition's CQL with a marker.
    :ivar field: the column's name in CQL.
    :ivar passthrough: a type whose values need no conversion, if there is one.
    :ivar to_database: of one value: for CONTAINS that of an element, for IN that of one of several.
    :ivar label: ``Model.column``, for errors.
    :ivar cql_type: the type of one value.
    :ivar takes_many: whether it is IN.
    :ivar is_key: whether the column is in the primary key.
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
    takes_many: bool
    is_key: bool


def make_filter(
    model: str, columns: Mapping[str, Column], pk: str | None, argument: str
) -> Filter | None:
    """Return what an argument of ``filter`` means; None for ``pk__token``, which cqlengine knows.

    :param model: its name, for errors.
    :param columns: by attribute.
    :param pk: the attribute that ``pk`` stands for.
    :raises QueryException: if the column does not exist, naming those that are like it, or if the
        operator is not one for it.
    :raises QueryOperatorException: if the operator does not exist.
    :raises QueryException: if the operator is not one for the column.
    """
    if argument == "pk__token" or argument.startswith("pk__token__"):
        return None
    name, _, word = argument.rpartition("__")
    if not name or argument in columns:
        name, word = argument, ""
    if name == "pk" and pk is not None and "pk" not in columns:
        name = pk
    if name not in columns and word.upper() not in _OPERATORS:
        # Underscores in a name, as likely as an operator.
        name = argument
    column = find_column(model, columns, name)
    operator = _operator(f"{model}.{name}", word)
    # What is compared: a column, or an element of a collection.
    compared = column
    if isinstance(operator, ContainsKeyOperator):
        compared = _keys_of(column, f"{model}.{column.column_name}")
    elif isinstance(operator, ContainsOperator):
        compared = _element_of(column)
    field = column.db_field_name
    return Filter(
        f'"{field}" {operator} ?',
        field,
        operator,
        passthrough_type(compared),
        compared.to_database,
        compared.to_python,
        not word,
        f"{model}.{column.column_name}",
        compared.db_type,
        isinstance(operator, InOperator),
        column.is_primary_key,
    )


def find_column(model: str, columns: Mapping[str, Column], name: str) -> Column:
    """Return the column of an attribute.

    :raises QueryException: if it does not exist, naming those that are like it.
    """
    column = columns.get(name)
    if column is not None:
        return column
    for attribute, other in columns.items():
        if other.db_field_name == name:
            raise QueryException(
                f"{model} has no column {name}: this is the name in CQL of {attribute}."
            )
    raise QueryException(unknown_name(model, name, columns))


def _operator(label: str, word: str) -> BaseWhereOperator:
    found = _OPERATORS.get(word.upper() or "EQ")
    if found is None:
        known = [each.lower() for each in _OPERATORS]
        raise QueryOperatorException(unknown_name(label, word, known, "operator"))
    return found()


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


def _element_of(column: Column) -> Column:
    """Return the column of what CONTAINS compares: the elements of a list or set, the values of a
    map; of anything else, which Cassandra will refuse, the column itself.
    """
    if isinstance(column, cqlengine_columns.BaseContainerColumn):
        element: Column = getattr(column, "value_col", column)
        return element
    return column
