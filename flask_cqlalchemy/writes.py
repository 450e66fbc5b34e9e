"""Writes of one instance in one statement of a text that does not depend on the values.

An INSERT names every column: what is not given is left unset, what is given as None is null, so it
needs no second statement. An UPDATE names the columns that change. Everything else (conditional
writes, counters, static columns, collections changed in place) goes through cqlengine's statements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from cassandra.cqlengine import ValidationError, columns
from cassandra.query import UNSET_VALUE

from .batch import add_to_batch, microseconds
from .conversions import Container, container, exact_type
from .instances import (
    forget_changes,
    given_values,
    is_light,
    make_instance,
    make_light,
    scalar_changes,
)
from .statements import bind, naming

if TYPE_CHECKING:
    from cassandra.query import BoundStatement

    from ._cqlengine import BatchQuery
    from .connection import Connection
    from .models import BoundModel
    from .signals import StatementInfo

    M = TypeVar("M", bound=BoundModel)


@dataclass(frozen=True)
class _Column:
    """What a write does with one column.

    :ivar exact: a type whose values need neither validation nor conversion.
    :ivar container: the same for a collection.
    """

    name: str
    field: str
    exact: type | None
    container: Container | None
    to_python: Callable[[Any], Any]
    validate: Callable[[Any], Any]
    to_database: Callable[[Any], Any]
    is_null: Callable[[Any], bool]
    default: Callable[[], Any] | None
    is_timestamp: bool
    is_key: bool
    #: ``Model.column``, and the type in CQL, for errors.
    label: str
    kind: str

    def convert(self, given: Any) -> tuple[Any, Any]:
        """Return a value as an instance has it, and as it is bound.

        :raises ValidationError: naming the column, if it cannot be stored.
        """
        if self.container is not None and self.container.holds(given):
            return self.container.kind(given), given or None
        if (
            self.is_timestamp
            and given.__class__ is datetime
            and not columns.DateTime.truncate_microseconds
        ):
            return given, self.to_database(given)
        if given is None:
            if self.is_key:
                raise ValidationError(f"{self.label}, of the primary key, is missing.")
            self.validate(None)
            return None, None
        with naming(self.label, self.kind, given):
            value = self.validate(self.to_python(given))
            if self.is_null(value):
                # Cassandra cannot tell an empty collection from none.
                return value, None
            return value, self.to_database(value)


@dataclass(frozen=True)
class WritePlan:
    """What writes need to know of a model."""

    #: For an INSERT: name, exact type and column.
    columns: tuple[tuple[str, type | None, _Column], ...]
    keys: tuple[_Column, ...]
    #: Columns that one plain UPDATE may set: all but the keys.
    settable: Mapping[str, _Column]
    #: Of these, the ones whose values do not change in place.
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
            exact_type(column),
            container(column),
            column.to_python,
            column.validate,
            column.to_database,
            column._val_is_null,
            column.get_default if column.has_default else None,
            type(column) is columns.DateTime,
            column.is_primary_key,
            f"{model.__name__}.{name}",
            column.db_type,
        )
        for name, column in model._columns.items()
    }
    settable = {
        name: known[name] for name, column in model._columns.items() if not column.is_primary_key
    }
    return WritePlan(
        tuple((name, column.exact, column) for name, column in known.items()),
        tuple(known[name] for name in model._primary_keys),
        settable,
        {name: column for name, column in settable.items() if name not in model._readers},
        tuple(known[name] for name, column in model._columns.items() if column.required),
    )


def check_columns(model: type[BoundModel], given: Mapping[str, Any]) -> None:
    """Refuse names that are no columns.

    :raises ValidationError: naming the first.
    """
    if not given.keys() <= model._columns.keys():
        unknown = given.keys() - model._columns.keys()
        raise ValidationError(
            f"{model.__name__} has no column {min(map(str, unknown))}; its columns are "
            f"{', '.join(model._columns)}."
        )


# INSERT


def bind_insert(
    model: type[BoundModel],
    plan: WritePlan,
    given: Mapping[str, Any],
    connection: Connection,
    keyspace: str,
    *,
    ttl: int | None = None,
    timestamp: int | None = None,
    defaults: bool = True,
) -> tuple[BoundStatement, StatementInfo, dict[str, Any]]:
    """Make the INSERT of a row.

    :param given: values by the names of columns.
    :param defaults: whether the others take their defaults; an instance has done so before.
    :param ttl: seconds.
    :param timestamp: microseconds since 1970.
    :returns: the statement, what it is, and the row by the names of columns.
    :raises ValidationError: naming the column whose value cannot be stored.
    """
    row: dict[str, Any] = {}
    values = []
    for name, exact, column in plan.columns:
        if name in given:
            value = given[name]
            if value.__class__ is exact:
                row[name] = value
                values.append(value)
            else:
                row[name], bound = column.convert(value)
                values.append(bound)
        else:
            value, bound = column.convert(column.default() if defaults and column.default else None)
            row[name] = value
            values.append(UNSET_VALUE if bound is None else bound)
    used: tuple[str, ...] = ()
    if ttl is not None or timestamp is not None:
        options = {"TTL": ttl, "TIMESTAMP": timestamp}
        used = tuple(name for name, option in options.items() if option is not None)
        values += [options[name] for name in used]
    key = (keyspace, "insert", *used)
    info = model._plans.get(key) or model._remember(key, _insert_cql(model, plan, used))
    statement = bind(connection.prepare(info.cql), values, model.__name__)
    statement.is_idempotent = True
    return statement, info, row


def insert(
    model: type[M],
    plan: WritePlan,
    given: Mapping[str, Any],
    *,
    batch: BatchQuery | None = None,
    ttl: int | None = None,
) -> M:
    """Insert a row and return its instance; with a batch, as soon as that is executed.

    :raises ValidationError: naming the column whose value cannot be stored.
    """
    return make_instance(model, _insert(model, plan, given, batch, ttl))


def insert_instance(instance: BoundModel, plan: WritePlan) -> None:
    """Insert the row of a new instance, in its batch if it has one.

    :raises ValidationError: naming the column whose value cannot be stored.
    """
    given = given_values(instance)
    row = _insert(type(instance), plan, given, instance._batch, instance._ttl, defaults=False)
    make_light(instance, row)


def _insert(
    model: type[BoundModel],
    plan: WritePlan,
    given: Mapping[str, Any],
    batch: BatchQuery | None,
    ttl: int | None,
    *,
    defaults: bool = True,
) -> dict[str, Any]:
    connection, keyspace = model._resolve()
    timestamp = None if batch is None else microseconds(batch)
    statement, info, row = bind_insert(
        model,
        plan,
        given,
        connection,
        keyspace,
        ttl=ttl or None,
        timestamp=timestamp,
        defaults=defaults,
    )
    if batch is None:
        connection.execute(statement, subject=info)
    else:
        add_to_batch(batch, connection, statement, info)
    return row


# UPDATE


def update(instance: BoundModel, plan: WritePlan, given: Mapping[str, Any]) -> bool:
    """Write the columns given, and those assigned since a light instance was read, if one plain
    UPDATE can.

    :returns: False if it cannot, and nothing was done.
    :raises ValidationError: naming the column whose value cannot be stored.
    """
    row = instance.__dict__
    originals = scalar_changes(instance)
    wanted = {**{name: row[name] for name in originals}, **given} if originals else given
    plain = plan.plain
    for name, value in wanted.items():
        if value is None or name not in plain:
            return False
    if not is_light(instance):
        return False
    for column in plan.required:
        if column.name not in wanted:
            column.validate(row.get(column.name))
    kept: dict[str, Any] = {}
    changes: dict[str, Any] = {}
    values: list[Any] = []
    for name, value in wanted.items():
        column = plain[name]
        stored, bound = (value, value) if value.__class__ is column.exact else column.convert(value)
        kept[name] = stored
        if stored != (originals[name] if name in originals else row.get(name)):
            changes[name] = stored
            values.append(bound)
    if changes:
        model = type(instance)
        connection, keyspace = model._resolve()
        statement, info = _bind_update(model, plan, changes, values, row, connection, keyspace)
        connection.execute(statement, subject=info)
    row.update(kept)
    if originals:
        forget_changes(instance)
    return True


def bind_update(
    model: type[BoundModel],
    plan: WritePlan,
    given: Mapping[str, Any],
    connection: Connection,
    keyspace: str,
) -> tuple[BoundStatement, StatementInfo]:
    """Make the UPDATE of a row that was not read. None removes a value.

    :param given: the whole primary key, and the columns to write.
    :raises ValidationError: naming the column whose value cannot be stored.
    """
    changes = {name: value for name, value in given.items() if name in plan.settable}
    values = [plan.settable[name].convert(value)[1] for name, value in changes.items()]
    return _bind_update(model, plan, changes, values, given, connection, keyspace)


def check_key(model: type[BoundModel], given: Mapping[str, Any]) -> None:
    """Refuse a row without the whole primary key, or with names that are no columns.

    :raises ValidationError: naming the column.
    """
    check_columns(model, given)
    for name in model._primary_keys:
        if given.get(name) is None:
            raise ValidationError(f"{model.__name__}: {name}, of the primary key, is missing.")


def check_changes(model: type[BoundModel], given: Mapping[str, Any]) -> None:
    """Refuse an update without the whole primary key, or without a column to write.

    :raises ValidationError: naming the column.
    """
    check_key(model, given)
    if given.keys() <= model._primary_keys.keys():
        raise ValidationError(f"{model.__name__}: only the key is given, and no column to write.")


def _bind_update(
    model: type[BoundModel],
    plan: WritePlan,
    changes: Mapping[str, Any],
    values: list[Any],
    row: Mapping[str, Any],
    connection: Connection,
    keyspace: str,
) -> tuple[BoundStatement, StatementInfo]:
    key = (keyspace, "update", *changes)
    info = model._plans.get(key) or model._remember(key, _update_cql(model, plan, changes))
    for column in plan.keys:
        value = row.get(column.name)
        values.append(value if value.__class__ is column.exact else column.convert(value)[1])
    statement = bind(connection.prepare(info.cql), values, model.__name__)
    statement.is_idempotent = True
    return statement, info


# DELETE


def bind_delete(
    model: type[BoundModel],
    plan: WritePlan,
    key: Mapping[str, Any],
    connection: Connection,
    keyspace: str,
) -> tuple[BoundStatement, StatementInfo]:
    """Make the DELETE of a row, by its whole primary key.

    :raises ValidationError: naming the column whose value cannot be stored.
    """
    name = (keyspace, "delete")
    info = model._plans.get(name) or model._remember(name, _delete_cql(model, plan))
    values = [column.convert(key[column.name])[1] for column in plan.keys]
    statement = bind(connection.prepare(info.cql), values, model.__name__)
    statement.is_idempotent = True
    return statement, info


# Texts


def _insert_cql(model: type[BoundModel], plan: WritePlan, options: Sequence[str]) -> str:
    names = ", ".join(f'"{column.field}"' for _, _, column in plan.columns)
    markers = ", ".join("?" * len(plan.columns))
    using = " AND ".join(f"{option} ?" for option in options)
    return (
        f"INSERT INTO {model.column_family_name()} ({names}) VALUES ({markers})"
        f"{' USING ' if using else ''}{using}"
    )


def _update_cql(model: type[BoundModel], plan: WritePlan, changes: Mapping[str, Any]) -> str:
    assignments = ", ".join(f'"{plan.settable[name].field}" = ?' for name in changes)
    return f"UPDATE {model.column_family_name()} SET {assignments} WHERE {_key_cql(plan)}"


def _delete_cql(model: type[BoundModel], plan: WritePlan) -> str:
    return f"DELETE FROM {model.column_family_name()} WHERE {_key_cql(plan)}"


def _key_cql(plan: WritePlan) -> str:
    return " AND ".join(f'"{column.field}" = ?' for column in plan.keys)
