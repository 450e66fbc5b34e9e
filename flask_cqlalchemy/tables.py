"""Brings keyspaces, user types and tables to what the models say.

Stages: a missing keyspace, then user types, then tables with their columns, options and indexes.
Nothing is ever removed or changed in type. Several processes may do this at once: every change is
either conditional on the schema lacking it, or followed by a look at the live schema before a
failure counts. After each change the nodes must agree on the schema.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from cassandra import RequestExecutionException, RequestValidationException
from cassandra.cqlengine import management
from cassandra.metadata import protect_name
from cassandra.protocol import ErrorMessage
from cassandra.query import SimpleStatement

from .config import PREFIX
from .errors import CassandraUnavailable, OutcomeUnknown, SchemaError

if TYPE_CHECKING:
    from cassandra.cluster import Cluster
    from cassandra.cqlengine.columns import Column
    from cassandra.cqlengine.usertype import UserType
    from cassandra.metadata import KeyspaceMetadata, TableMetadata

    from .connection import Connection
    from .models import BoundModel

#: Seconds between two looks at the live schema while a change is under way elsewhere.
POLL_INTERVAL = 0.2


#: Seconds that nodes get to agree, and a change to show after it timed out, however short
#: CASSANDRA_SCHEMA_TIMEOUT is: as long as the driver waits by itself.
SHORTEST_WAIT = 10.0


def refresh(connection: Connection) -> Cluster:
    """Wait until the nodes agree on the schema, and read it.

    :returns: the driver's Cluster, whose ``metadata`` is now that of the nodes.
    :raises SchemaError: if they do not agree within ``CASSANDRA_SCHEMA_TIMEOUT``, or 10 s if that
        is shorter.
    """
    seconds = max(connection.settings.schema_timeout, SHORTEST_WAIT)
    cluster = connection.cluster
    agreed = cluster.control_connection.wait_for_schema_agreement(wait_time=seconds)
    if not agreed:
        raise SchemaError(
            f"The nodes did not agree on the schema within {seconds:g} s "
            f"({PREFIX}SCHEMA_TIMEOUT); `nodetool describecluster` shows which differ."
        )
    cluster.refresh_schema_metadata(max_schema_agreement_wait=0)
    return cluster


def _keyspace(connection: Connection, name: str) -> KeyspaceMetadata | None:
    return connection.cluster.metadata.keyspaces.get(name)


def change(connection: Connection, cql: str, subject: str, is_done: Callable[[], bool]) -> None:
    """Execute one schema change.

    :param is_done: asks the metadata whether the schema is as wanted; asked only when the statement
        failed or timed out, since another process may have made the same change.
    :raises SchemaError: if Cassandra refuses the change.
    """
    seconds = connection.settings.schema_timeout
    statement = SimpleStatement(cql)
    try:
        rows = connection.execute(statement, timeout=seconds, subject=subject)
    except (RequestValidationException, RequestExecutionException, ErrorMessage) as error:
        refresh(connection)
        if not is_done():
            raise SchemaError(
                f"{subject}: Cassandra refused the change ({error}): {cql}"
            ) from error
    except (CassandraUnavailable, OutcomeUnknown):
        deadline = time.monotonic() + max(seconds, SHORTEST_WAIT)
        while True:
            refresh(connection)
            if is_done():
                return
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_INTERVAL)
    else:
        if not rows.response_future.is_schema_agreed:
            refresh(connection)


def create_keyspace(
    connection: Connection, name: str, replication: Mapping[str, str] | None
) -> list[str]:
    """Create a keyspace unless it is there.

    :param replication: as CQL's ``WITH replication``; None means one replica, and is possible only
        where the cluster has one node.
    :returns: what was done, one sentence or none.
    :raises SchemaError: if ``replication`` is needed.
    """
    if _keyspace(connection, name) or name in refresh(connection).metadata.keyspaces:
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
    change(
        connection,
        f"CREATE KEYSPACE IF NOT EXISTS {protect_name(name)} WITH replication = {{{options}}}",
        f"keyspace {name}",
        lambda: _keyspace(connection, name) is not None,
    )
    refresh(connection)
    return [f"created the keyspace {name}"]


def sync_type(connection: Connection, keyspace: str, user_type: type[UserType]) -> list[str]:
    """Create a user type, or add the fields that it lacks. Types that it needs must be there."""
    name = user_type.type_name()
    qualified = f"{protect_name(keyspace)}.{protect_name(name)}"

    def live_fields() -> dict[str, str]:
        live = _require(connection, keyspace).user_types.get(name)
        return dict(zip(live.field_names, live.field_types, strict=True)) if live else {}

    fields = live_fields()
    if not fields:
        definitions = ", ".join(field.get_column_def() for field in user_type._fields.values())
        change(
            connection,
            f"CREATE TYPE IF NOT EXISTS {qualified} ({definitions})",
            f"type {name}",
            lambda: bool(live_fields()),
        )
        connection.forget_types()
        return [f"created the type {keyspace}.{name}"]
    done = []
    for field in user_type._fields.values():
        column = field.db_field_name
        if column not in fields:
            change(
                connection,
                f"ALTER TYPE {qualified} ADD {field.get_column_def()}",
                f"type {name}",
                lambda column=column: column in live_fields(),  # type: ignore[misc]
            )
            done.append(f"added the field {column} to the type {keyspace}.{name}")
        else:
            _check_type(f"type {name}", field, fields[column])
    if done:
        connection.forget_types()
    return done


def sync_table(connection: Connection, keyspace: str, model: type[BoundModel]) -> list[str]:
    """Create a model's table, or add the columns, options and indexes that it lacks.

    :raises SchemaError: if the table's primary key is not the model's.
    """
    table_name = model._raw_column_family_name()
    subject = f"table {table_name} of {model.__name__}"

    def live() -> TableMetadata | None:
        return _require(connection, keyspace).tables.get(table_name)

    done = []
    table = live()
    if table is None:
        cql = management._get_create_table(model)
        change(
            connection,
            cql.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1),
            subject,
            lambda: live() is not None,
        )
        done.append(f"created the table {keyspace}.{table_name}")
    else:
        _check_key(model, table)
        done += _add_columns(connection, model, table, subject, live)
        done += _set_options(model, subject)
    return done + _add_indexes(connection, model, subject, live)


def _add_columns(
    connection: Connection,
    model: type[BoundModel],
    table: TableMetadata,
    subject: str,
    live: Callable[[], TableMetadata | None],
) -> list[str]:
    done = []
    for column in model._columns.values():
        name = column.db_field_name
        if name in table.columns:
            _check_type(subject, column, table.columns[name].cql_type)
            continue

        def is_done(name: str = name) -> bool:
            now = live()
            return now is not None and name in now.columns

        change(
            connection,
            f"ALTER TABLE {model.column_family_name()} ADD {column.get_column_def()}",
            subject,
            is_done,
        )
        done.append(f"added the column {name} to the table {table.keyspace_name}.{table.name}")
    return done


def _set_options(model: type[BoundModel], subject: str) -> list[str]:
    try:
        changed = management._update_options(model, connection=model._get_connection())
    except KeyError as error:
        raise SchemaError(f"{subject}: {error.args[0]}") from error
    return [f"changed options of the {subject}"] if changed else []


def _add_indexes(
    connection: Connection,
    model: type[BoundModel],
    subject: str,
    live: Callable[[], TableMetadata | None],
) -> list[str]:
    done = []
    for column in model._columns.values():
        name = column.db_field_name

        def is_done(name: str = name) -> bool:
            now = live()
            return now is not None and bool(management._get_index_name_by_column(now, name))

        if column.index and not is_done():
            change(
                connection,
                f"CREATE INDEX IF NOT EXISTS ON {model.column_family_name()} "
                f"({protect_name(name)})",
                subject,
                is_done,
            )
            done.append(f"created an index on {name} of the {subject}")
    return done


def drop(connection: Connection, keyspace: str, kind: str, name: str) -> list[str]:
    """Drop a table or type with all that is in it; ``kind`` is ``"table"`` or ``"type"``."""
    live = _keyspace(connection, keyspace)
    if live is None or name not in (live.tables if kind == "table" else live.user_types):
        return []
    change(
        connection,
        f"DROP {kind.upper()} IF EXISTS {protect_name(keyspace)}.{protect_name(name)}",
        f"{kind} {name}",
        lambda: _lacks(connection, keyspace, kind, name),
    )
    if kind == "type":
        connection.forget_types()
    return [f"dropped the {kind} {keyspace}.{name}"]


def truncate(connection: Connection, keyspace: str, table: str) -> None:
    """Remove every row of a table. All nodes must be up (Cassandra's rule for TRUNCATE)."""
    connection.execute(
        SimpleStatement(
            f"TRUNCATE {protect_name(keyspace)}.{protect_name(table)}", is_idempotent=True
        ),
        timeout=connection.settings.schema_timeout,
        subject=f"table {table}",
    )


def _lacks(connection: Connection, keyspace: str, kind: str, name: str) -> bool:
    live = _keyspace(connection, keyspace)
    return live is None or name not in (live.tables if kind == "table" else live.user_types)


def _require(connection: Connection, keyspace: str) -> KeyspaceMetadata:
    live = _keyspace(connection, keyspace)
    if live is None:
        live = refresh(connection).metadata.keyspaces.get(keyspace)
    if live is None:
        raise SchemaError(
            f"The keyspace {keyspace} does not exist: `flask cql sync` or db.sync_db() creates it."
        )
    return live


def _names(key: Sequence[Column]) -> str:
    return ", ".join(column.name for column in key)


def _check_key(model: type[BoundModel], table: TableMetadata) -> None:
    partition = ", ".join(column.db_field_name for column in model._partition_keys.values())
    clustering = ", ".join(column.db_field_name for column in model._clustering_keys.values())
    live = (_names(table.partition_key), _names(table.clustering_key))
    if live != (partition, clustering):
        raise SchemaError(
            f"The primary key of {model.__name__} is (({partition}), {clustering}); that of the "
            f"table {table.keyspace_name}.{table.name} is (({live[0]}), {live[1]}). A primary key "
            "cannot be changed: give the model another __table_name__ and copy the rows, or drop "
            "the table."
        )


_FROZEN = "frozen<"


def _without_inner_frozen(cql_type: str) -> str:
    """Return a type without each ``frozen`` that says nothing: inside another type all is frozen,
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
