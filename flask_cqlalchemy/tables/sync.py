"""Brings keyspaces, user types and tables to what the models say.

Stages: a missing keyspace, then user types, then tables with their columns, options and indexes.
Nothing is ever removed or changed in type. A materialised view is compared with its model, and
never created: what it selects is for a person to say.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from cassandra.cqlengine import management
from cassandra.cqlengine.usertype import UserType
from cassandra.metadata import protect_name

from ..config import DEFAULT_BIND, PREFIX
from ..errors import SchemaError
from ..mapping.mapper import fields_of, is_mapped, user_types_in
from ..statements.info import StatementInfo
from ..statements.sending import bind_query
from .apply import Change, change, drop, find_keyspace, refresh, require_keyspace
from .options import changed_options, write_options

if TYPE_CHECKING:
    from cassandra.cqlengine.columns import Column
    from cassandra.metadata import TableMetadata

    from ..connection import Connection
    from ..connection.place import Place
    from ..mapping.mapper import Mapped, Mapper
    from ..state import Database

log = logging.getLogger(__name__)


# What an application's models need


def sync(database: Database) -> list[Change]:
    """Create what all models need and the clusters lack; see ``CQLAlchemy.sync_db``."""
    done: list[Change] = []
    for connection in database.connections:
        refresh(connection)
    for bind in database.binds:
        done += _create_keyspace_of(database, bind, database.place(bind))
    for model in database.registry.models:
        done += sync_model(database, model)
    for user_type in database.registry.types:
        done += sync_type(database, user_type)
    for connection in database.connections:
        refresh(connection)
    return done


def sync_model(database: Database, model: type[Mapped]) -> list[Change]:
    """Create or extend one model's table; see ``CQLAlchemy.sync_table``."""
    mapper = _mapper_with_table(model)
    place = mapper.place()
    done = _create_keyspace_of(database, mapper.bind, place)
    for user_type in _with_needed(database, mapper.user_types):
        done += create_type(place, user_type)
    return done + create_table(place, mapper)


def sync_type(
    database: Database, user_type: type[UserType], bind: str = DEFAULT_BIND
) -> list[Change]:
    """Create or extend one user type; see ``CQLAlchemy.sync_type``."""
    if not (isinstance(user_type, type) and issubclass(user_type, UserType)):
        raise _foreign(user_type, "user type", "UserType")
    place = database.place(bind)
    done = _create_keyspace_of(database, bind, place)
    for known in _with_needed(database, [user_type]):
        done += create_type(place, known)
    return done


def _mapper_with_table(model: object) -> Mapper:
    if not is_mapped(model):
        raise _foreign(model, "model", "Model")
    mapper = model.__mapper__
    if mapper.model.__abstract__:
        raise SchemaError(
            f"{mapper.name} is abstract (__abstract__), and has no table: sync the models that "
            "inherit from it."
        )
    return mapper


def _foreign(given: object, what: str, base: str) -> SchemaError:
    name = given.__name__ if isinstance(given, type) else repr(given)
    return SchemaError(
        f"{name} is not a {what}: let it inherit from db.{base}, where db is your CQLAlchemy "
        "object."
    )


def drop_all(database: Database) -> list[Change]:
    """Drop the table of every model and every user type; see ``CQLAlchemy.drop_all``."""
    done: list[Change] = []
    mappers = [model.__mapper__ for model in database.registry.models]
    places = {mapper.place() for mapper in mappers}
    for place in places:
        refresh(place.connection)
    # A table that has views cannot be dropped.
    for mapper in reversed(mappers):
        done += drop(mapper.place(), "view", mapper.table)
    for mapper in reversed(mappers):
        done += drop(mapper.place(), "table", mapper.table)
    for place in places:
        for user_type in reversed(database.registry.types):
            done += drop(place, "type", user_type.type_name())
    return done


def _with_needed(database: Database, user_types: Iterable[type[UserType]]) -> list[type[UserType]]:
    """Return user types and those that their fields need, each behind those that it needs."""
    needed: set[type[UserType]] = set()
    rest = list(user_types)
    while rest:
        known = rest.pop()
        if known not in needed:
            needed.add(known)
            rest += user_types_in(known)
    return [user_type for user_type in database.registry.types if user_type in needed]


def _create_keyspace_of(database: Database, bind: str, place: Place) -> list[Change]:
    return create_keyspace(place.connection, place.keyspace, database.settings(bind).replication)


# Single keyspaces, types and tables


def create_keyspace(
    connection: Connection, name: str, replication: Mapping[str, str] | None
) -> list[Change]:
    """Create a keyspace unless it is there.

    :param replication: as CQL's ``WITH replication``; None means one replica, and is possible only
        where the cluster has one node.
    :returns: what was done, in one sentence, or an empty list.
    :raises SchemaError: if ``replication`` is needed.
    """
    if find_keyspace(connection, name) or name in refresh(connection).metadata.keyspaces:
        return []
    if replication is None:
        nodes = len(connection.cluster.metadata.all_hosts())
        if nodes > 1:
            raise SchemaError(
                f"The keyspace {name} does not exist and the cluster has {nodes} nodes: set "
                f"{PREFIX}REPLICATION, for example to 3 or {{'dc1': 3}}, to have it created."
            )
        replication = {"class": "SimpleStrategy", "replication_factor": "1"}
    options = ", ".join(f"'{key}': '{value}'" for key, value in replication.items())
    cql = f"CREATE KEYSPACE IF NOT EXISTS {protect_name(name)} WITH replication = {{{options}}}"
    change(connection, cql, f"keyspace {name}", lambda: find_keyspace(connection, name) is not None)
    refresh(connection)
    return [Change("created the keyspace", name, cql)]


def create_type(place: Place, user_type: type[UserType]) -> list[Change]:
    """Create a user type, or add the fields that it lacks. Types that it needs must be there."""
    name, connection = user_type.type_name(), place.connection
    qualified = f"{protect_name(place.keyspace)}.{protect_name(name)}"
    subject = f"{place.keyspace}.{name}"

    def live_fields() -> dict[str, str]:
        live = require_keyspace(place).user_types.get(name)
        return dict(zip(live.field_names, live.field_types, strict=True)) if live else {}

    known, fields = fields_of(user_type), live_fields()
    done: list[Change] = []
    if not fields:
        definitions = ", ".join(field.get_column_def() for field in known.values())
        cql = f"CREATE TYPE IF NOT EXISTS {qualified} ({definitions})"
        change(connection, cql, f"type {name}", lambda: bool(live_fields()))
        done.append(Change("created the type", subject, cql))
    for field in known.values() if fields else ():
        column = field.db_field_name
        if column in fields:
            _check_type(f"type {name}", field, fields[column])
            continue

        def is_done(column: str = column) -> bool:
            return column in live_fields()

        cql = f"ALTER TYPE {qualified} ADD {field.get_column_def()}"
        change(connection, cql, f"type {name}", is_done)
        done.append(Change(f"added the field {column} to the type", subject, cql))
    if done:
        connection.forget_types()
    return done


def create_table(place: Place, mapper: Mapper) -> list[Change]:
    """Create a model's table, or add the columns, options and indexes that it lacks.

    :raises SchemaError: if the table's primary key is not the model's, if Cassandra refuses an
        option, or if the name is that of a view that lacks a column.
    """
    name, connection = mapper.table, place.connection
    subject = f"table {name} of {mapper.name}"

    def live() -> TableMetadata | None:
        return require_keyspace(place).tables.get(name)

    done = []
    table = live()
    # A view may be younger than what the driver has read, and a table must not be made over it.
    if table is None and (mapper.is_view or _live_row(place, "view", name)):
        return _check_view(place, mapper)
    if mapper.is_view:
        raise SchemaError(
            f"{mapper.name} is over a materialised view (__view__), and {place.keyspace}.{name} "
            "is a table: drop the table, or take __view__ out of the model."
        )
    if table is None:
        cql = _create_cql(place, mapper, subject)
        change(connection, cql, subject, lambda: live() is not None)
        done.append(Change("created the table", f"{place.keyspace}.{name}", cql))
    else:
        _check_key(mapper, table)
        done += _add_columns(place, mapper, table, subject, live)
        done += _set_options(place, mapper, "table", subject)
    return done + _add_indexes(place, mapper, subject, live)


def _create_cql(place: Place, mapper: Mapper, subject: str) -> str:
    columns = [column.get_column_def() for column in mapper.columns.values()]
    partition = ", ".join(
        protect_name(each.db_field_name) for each in mapper.partition_key.values()
    )
    clustering = [protect_name(each.db_field_name) for each in mapper.clustering_key.values()]
    columns.append(f"PRIMARY KEY ({', '.join([f'({partition})', *clustering])})")
    properties = _written_options(mapper.options, subject)
    if clustering:
        order = ", ".join(
            f"{protect_name(each.db_field_name)} {each.clustering_order or 'ASC'}"
            for each in mapper.clustering_key.values()
        )
        properties.insert(0, f"CLUSTERING ORDER BY ({order})")
    return (
        f"CREATE TABLE IF NOT EXISTS {mapper.qualified(place.keyspace)} ({', '.join(columns)})"
        f"{' WITH ' if properties else ''}{' AND '.join(properties)}"
    )


def _check_view(place: Place, mapper: Mapper) -> list[Change]:
    """Compare a view with its model, and give it the model's options.

    :raises SchemaError: if its primary key is not the model's, or it lacks a column.
    """
    name = mapper.table
    view = require_keyspace(place).views.get(name)
    if view is None:
        view = refresh(place.connection).metadata.keyspaces[place.keyspace].views.get(name)
    if view is None:
        log.warning(
            "The materialised view %s.%s of %s does not exist. It is yours to create, with CREATE "
            "MATERIALIZED VIEW, once its table is there.",
            place.keyspace,
            name,
            mapper.name,
        )
        return []
    subject = f"view {name} of {mapper.name}"
    _check_key(mapper, view)
    for column in mapper.columns.values():
        if column.db_field_name not in view.columns:
            raise SchemaError(
                f"{subject}: the view has no column {column.db_field_name}, and a view takes no "
                "further ones. Drop and create it again, or leave the column out of the model."
            )
        _check_type(subject, column, view.columns[column.db_field_name].cql_type)
    return _set_options(place, mapper, "view", subject)


def _add_columns(
    place: Place,
    mapper: Mapper,
    table: TableMetadata,
    subject: str,
    live: Callable[[], TableMetadata | None],
) -> list[Change]:
    done = []
    for column in mapper.columns.values():
        name = column.db_field_name
        if name in table.columns:
            _check_type(subject, column, table.columns[name].cql_type)
            continue

        def is_done(name: str = name) -> bool:
            now = live()
            return now is not None and name in now.columns

        cql = f"ALTER TABLE {mapper.qualified(place.keyspace)} ADD {column.get_column_def()}"
        change(place.connection, cql, subject, is_done)
        qualified = f"{table.keyspace_name}.{table.name}"
        done.append(Change(f"added the column {name} to the table", qualified, cql))
    return done


#: Where Cassandra keeps the options of what a model stands for, and how ALTER names it.
_KEPT = {
    "table": ("tables", "table_name", "TABLE"),
    "view": ("views", "view_name", "MATERIALIZED VIEW"),
}


def _live_row(place: Place, kind: Literal["table", "view"], name: str) -> Mapping[str, Any]:
    """Return what Cassandra says of a table or view; {} if there is none.

    Read from the nodes: the driver's metadata may be older, and lack the newer options.
    """
    table, column, _ = _KEPT[kind]
    cql = f"SELECT * FROM system_schema.{table} WHERE keyspace_name = ? AND {column} = ?"
    info = StatementInfo("select", f"system_schema.{table}", cql)
    query = bind_query(place, info, [place.keyspace, name], subject=info.subject, idempotent=True)
    row: Mapping[str, Any] | None = query.execute().one()
    return row or {}


def _set_options(
    place: Place, mapper: Mapper, kind: Literal["table", "view"], subject: str
) -> list[Change]:
    if not mapper.options:
        return []

    def missing() -> dict[str, object]:
        return changed_options(mapper.options, _live_row(place, kind, mapper.table))

    changes = missing()
    if not changes:
        return []
    properties = " AND ".join(_written_options(changes, subject))
    cql = f"ALTER {_KEPT[kind][2]} {mapper.qualified(place.keyspace)} WITH {properties}"
    change(place.connection, cql, subject, lambda: not missing())
    return [Change("changed options of the", subject, cql)]


def _written_options(options: Mapping[str, object], subject: str) -> list[str]:
    try:
        return write_options(options)
    except ValueError as problem:
        raise SchemaError(f"{subject}: {problem}.") from None


def _add_indexes(
    place: Place,
    mapper: Mapper,
    subject: str,
    live: Callable[[], TableMetadata | None],
) -> list[Change]:
    done = []
    for attribute in mapper.indexed:
        name = mapper.columns[attribute].db_field_name

        def is_done(name: str = name) -> bool:
            now = live()
            return now is not None and bool(management._get_index_name_by_column(now, name))

        if not is_done():
            table = mapper.qualified(place.keyspace)
            cql = f"CREATE INDEX IF NOT EXISTS ON {table} ({protect_name(name)})"
            change(place.connection, cql, subject, is_done)
            done.append(Change(f"created an index on {name} of the", subject, cql))
    return done


def _names(key: Sequence[Column]) -> str:
    return ", ".join(column.name for column in key)


def _check_key(mapper: Mapper, table: TableMetadata) -> None:
    partition = ", ".join(column.db_field_name for column in mapper.partition_key.values())
    clustering = ", ".join(column.db_field_name for column in mapper.clustering_key.values())
    live = (_names(table.partition_key), _names(table.clustering_key))
    if live != (partition, clustering):
        raise SchemaError(
            f"The primary key of {mapper.name} is (({partition}), {clustering}); that of the "
            f"table {table.keyspace_name}.{table.name} is (({live[0]}), {live[1]}). A primary key "
            "cannot be changed: give the model another __table_name__ and copy the rows, or drop "
            "the table."
        )


_FROZEN = "frozen<"


def _without_inner_frozen(cql_type: str) -> str:
    """Return a type without its superfluous ``frozen``: inside another type all is frozen,
    and a tuple always is (CQL, Data types).
    """
    is_frozen = cql_type.startswith(_FROZEN) and not cql_type.startswith(f"{_FROZEN}tuple<")
    text, first = cql_type, len(_FROZEN) if is_frozen else 0
    while (start := text.find(_FROZEN, first)) >= 0:
        inner = end = start + len(_FROZEN)
        depth = 1
        while depth:
            depth += {"<": 1, ">": -1}.get(text[end], 0)
            end += 1
        text = text[:start] + text[inner : end - 1] + text[end:]
    return text


def _check_type(subject: str, column: Column, live: str) -> None:
    """Warn when a column's type is not the model's: Cassandra cannot change it in place."""
    if _without_inner_frozen(column.db_type) != _without_inner_frozen(live):
        warnings.warn(
            f"{subject}: the column {column.db_field_name} is {live}, in the model "
            f"{column.db_type}. Change the model, or add a column of another name and copy the "
            "values.",
            stacklevel=2,
        )
