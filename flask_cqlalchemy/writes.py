"""Writes of one instance in one statement of a text that does not depend on the values.

An INSERT names every column: what is not given is left unset, what is given as None is null, so it
needs no second statement. An UPDATE names the columns given. Everything else (conditional writes,
batches, TTLs, counters, static columns, collections changed in place) goes through cqlengine's
statements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cassandra.cqlengine import columns
from cassandra.query import UNSET_VALUE

from .instances import is_light, make_instances
from .statements import bind

if TYPE_CHECKING:
    from .models import BoundModel


@dataclass(frozen=True)
class _Column:
    """What a write does with one column."""

    name: str
    field: str
    to_python: Callable[[Any], Any]
    validate: Callable[[Any], Any]
    to_database: Callable[[Any], Any]
    is_null: Callable[[Any], bool]
    default: Callable[[], Any] | None


@dataclass(frozen=True)
class WritePlan:
    """What writes need to know of a model."""

    columns: tuple[_Column, ...]
    keys: tuple[_Column, ...]
    #: Columns that ``update`` may set in one plain UPDATE: neither keys nor changed in place.
    plain: Mapping[str, _Column]
    required: tuple[_Column, ...]


def make_write_plan(model: type[BoundModel]) -> WritePlan | None:
    """Return the plan of a model; None if cqlengine's statements have to write it."""
    special = any(
        column.static or isinstance(column, columns.Counter) for column in model._columns.values()
    )
    if special or not model._is_plain:
        return None
    known = {
        name: _Column(
            name,
            column.db_field_name,
            column.to_python,
            column.validate,
            column.to_database,
            column._val_is_null,
            column.get_default if column.has_default else None,
        )
        for name, column in model._columns.items()
    }
    mutable = columns.BaseCollectionColumn | columns.UserDefinedType
    return WritePlan(
        tuple(known.values()),
        tuple(known[name] for name in model._primary_keys),
        {
            name: known[name]
            for name, column in model._columns.items()
            if not column.is_primary_key and not isinstance(column, mutable)
        },
        tuple(known[name] for name, column in model._columns.items() if column.required),
    )


def insert(model: type[BoundModel], plan: WritePlan, given: Mapping[str, Any]) -> BoundModel:
    """Insert a row and return its instance.

    :param given: values by the names of columns; the others take their defaults.
    :raises ValidationError: naming the column whose value cannot be stored.
    """
    row: dict[str, Any] = {}
    bound_values = []
    for column in plan.columns:
        is_given = column.name in given
        if is_given:
            value = given[column.name]
            if value is not None:
                value = column.to_python(value)
        else:
            value = column.default() if column.default else None
        value = column.validate(value)
        row[column.name] = value
        # Cassandra cannot tell an empty collection from none.
        if column.is_null(value):
            bound_values.append(None if is_given else UNSET_VALUE)
        else:
            bound_values.append(column.to_database(value))
    connection, keyspace = model._resolve()
    cql = _cql(model, (keyspace, "insert"), lambda: _insert_cql(model, plan))
    statement = bind(connection.prepare(cql), bound_values, model.__name__)
    statement.is_idempotent = True
    connection.execute(statement, subject=model._subject(keyspace))
    # The row has the names of attributes already.
    (instance,) = make_instances(model, [row], {}, renamed=True)
    return instance


def update(instance: BoundModel, plan: WritePlan, given: Mapping[str, Any]) -> bool:
    """Write columns of a light instance, if a plain UPDATE can.

    :returns: False if it cannot, and nothing was done.
    :raises ValidationError: naming the column whose value cannot be stored.
    """
    if not is_light(instance) or not all(
        name in plan.plain and value is not None for name, value in given.items()
    ):
        return False
    model, row = type(instance), instance.__dict__
    for column in plan.required:
        if column.name not in given:
            column.validate(row.get(column.name))
    changes = {}
    for name, value in given.items():
        column = plan.plain[name]
        validated = column.validate(column.to_python(value))
        if validated != row.get(name):
            changes[name] = validated
    if not changes:
        return True
    connection, keyspace = model._resolve()
    cql = _cql(
        model,
        (keyspace, "update", tuple(changes)),
        lambda: _update_cql(model, plan, changes),
    )
    values = [plan.plain[name].to_database(value) for name, value in changes.items()]
    values += [column.to_database(row.get(column.name)) for column in plan.keys]
    statement = bind(connection.prepare(cql), values, model.__name__)
    statement.is_idempotent = True
    connection.execute(statement, subject=model._subject(keyspace))
    row.update(changes)
    return True


def _cql(model: type[BoundModel], key: tuple[Any, ...], make: Callable[[], str]) -> str:
    """Return the text of a write, made once for a model and keyspace."""
    known = model._plans.get(key)
    if known is None:
        known = model._plans[key] = make()
    return str(known)


def _insert_cql(model: type[BoundModel], plan: WritePlan) -> str:
    names = ", ".join(f'"{column.field}"' for column in plan.columns)
    markers = ", ".join("?" * len(plan.columns))
    return f"INSERT INTO {model.column_family_name()} ({names}) VALUES ({markers})"


def _update_cql(model: type[BoundModel], plan: WritePlan, changes: Mapping[str, Any]) -> str:
    assignments = ", ".join(f'"{plan.plain[name].field}" = ?' for name in changes)
    where = " AND ".join(f'"{column.field}" = ?' for column in plan.keys)
    return f"UPDATE {model.column_family_name()} SET {assignments} WHERE {where}"
