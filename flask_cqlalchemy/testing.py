"""What the pytest plugin does to the database: a cluster for a run, and clean tables for each test.

A ``Cleaner`` listens to the requests of each application's sessions, so it knows which tables a
test wrote to, whichever way it did. Counter tables are truncated: a deleted counter would resume
its old value. Other tables lose their partitions, which costs a fraction of a TRUNCATE, and are
truncated only where a row outlives that (one with a timestamp in the future, or of a conditional
write).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

from cassandra import InvalidRequest
from cassandra.cluster import ResponseFuture
from cassandra.cqlengine.management import _get_create_table
from cassandra.metadata import TableMetadata, protect_name
from cassandra.query import BatchStatement, BoundStatement, PreparedStatement, SimpleStatement
from flask import Flask

from .config import Settings
from .connection import Connection
from .extension import CQLAlchemy
from .state import EXTENSION_NAME
from .statements.info import describe

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from .mapping.mapper import Mapper
    from .state import Database

#: A table with more partitions than this is truncated: deleting them would take longer.
MOST_PARTITIONS = 100

#: Partitions deleted in one table before it is truncated once: each delete leaves a tombstone that
#: the next search for partitions reads.
MOST_TOMBSTONES = 2000

_NAME = r'(?:"((?:[^"]|"")+)"|(\w+))'
_WRITE = re.compile(
    r"\b(?:INSERT\s+INTO|UPDATE|DELETE\b[^;]*?\bFROM|TRUNCATE(?:\s+TABLE)?)\s+"
    rf"(?:{_NAME}\s*\.\s*)?{_NAME}",
    re.IGNORECASE,
)


class CassandraCluster(Protocol):
    """What a test needs of a cluster."""

    @property
    def contact_points(self) -> Sequence[str]: ...

    @property
    def port(self) -> int: ...


@dataclass(frozen=True)
class RunningCluster:
    """A cluster that somebody else runs."""

    contact_points: tuple[str, ...]
    port: int = 9042


def parse_hosts(text: str) -> RunningCluster:
    """Read ``host[:port],...``; the port, where one is given, is that of every host.

    :raises ValueError: if the ports differ or are not numbers.
    """
    hosts, ports = [], set()
    for item in text.split(","):
        host, _, port = item.strip().partition(":")
        hosts.append(host)
        if port:
            ports.add(int(port))
    if len(ports) > 1:
        raise ValueError(f"--cassandra-hosts {text}: every node must have the same port")
    return RunningCluster(tuple(hosts), *ports)


def kept_directory(root: Path) -> Path:
    """Return where ``--keep-cassandra`` keeps the nodes of the project at ``root``."""
    from platformdirs import user_cache_path

    name = hashlib.sha256(str(root).encode()).hexdigest()[:12]
    return user_cache_path("flask-cqlalchemy") / "pytest" / name


@contextmanager
def open_cluster(
    *, hosts: str | None, nodes: int, keep: bool, directory: Path, root: Path
) -> Iterator[CassandraCluster]:
    """Yield a cluster for a test run, and end it afterwards.

    :param hosts: the option ``--cassandra-hosts``; None starts local nodes.
    :param nodes: how many.
    :param keep: leave them running, in a directory that belongs to the project at ``root``.
    :param directory: where the nodes of this run keep their data otherwise.
    """
    if hosts:
        yield parse_hosts(hosts)
        return
    from .local import LocalCluster

    if keep:
        directory = kept_directory(root)
    with LocalCluster(nodes, directory) as cluster:
        if keep:
            cluster.pin()
        yield cluster


Table = tuple[str, str]


def _written_tables(query: Any, session: Any) -> Iterator[Table]:
    """Yield the keyspace and name of each table that a driver statement may write to."""
    if isinstance(query, BatchStatement):
        for is_prepared, text_or_id, _ in query._statements_and_parameters:
            text = text_or_id
            if is_prepared:
                prepared = session.cluster._prepared_statements.get(text_or_id)
                text = prepared.query_string if prepared else ""
            yield from _tables_in(text, query.keyspace)
    elif isinstance(query, BoundStatement):
        # Without markers a bound statement does not know its keyspace.
        prepared = query.prepared_statement
        yield from _tables_in(prepared.query_string, query.keyspace or prepared.keyspace)
    elif isinstance(query, SimpleStatement):
        yield from _tables_in(query.query_string, query.keyspace)


@lru_cache
def _tables_in(text: str, default_keyspace: str | None) -> tuple[Table, ...]:
    return tuple(
        (quoted_keyspace or keyspace.lower() or default_keyspace or "", quoted or table.lower())
        for quoted_keyspace, keyspace, quoted, table in _WRITE.findall(text)
    )


class Cleaner:
    """Empties what tests write, over a connection of its own.

    :param cluster: where.
    :param prefix: what the name of a keyspace must begin with to be touched.
    :param drop_keyspaces: drop the keyspaces that the tests used, at the end.
    """

    def __init__(self, cluster: CassandraCluster, prefix: str, *, drop_keyspaces: bool) -> None:
        settings = Settings(hosts=tuple(cluster.contact_points), port=cluster.port)
        hosts, port = cluster.contact_points, cluster.port
        self._connection = Connection(settings, lambda: (hosts, port), lambda _: [])
        self._prefix = prefix
        self._drop_keyspaces = drop_keyspaces
        self._keyspaces: set[str] = set()
        self._synced: set[tuple[Table, str]] = set()
        self._prepared: dict[str, PreparedStatement] = {}
        self._tombstones: dict[Table, int] = {}
        self._heard: WeakSet[Connection] = WeakSet()
        self._written: set[Table] = set()
        #: The keyspaces of the application that was watched last.
        self._latest: frozenset[str] = frozenset()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del kind, error, trace
        if self._drop_keyspaces:
            for keyspace in sorted(self._keyspaces):
                cql = f"DROP KEYSPACE IF EXISTS {protect_name(keyspace)}"
                self._connection.execute(
                    cql,
                    timeout=self._connection.settings.schema_timeout,
                    info=describe(cql, f"keyspace {keyspace}"),
                )
        self._connection.close()

    @contextmanager
    def clean_after(self, app: Flask, *, everything: bool) -> Iterator[CQLAlchemy]:
        """Sync the tables of ``app``, and empty those written to until the block ends.

        :param everything: empty every table: somebody may write over other connections.
        :raises ValueError: if a model's keyspace does not begin with the prefix.
        """
        database: CQLAlchemy = app.extensions[EXTENSION_NAME]
        with database.outside_context(app):
            self._check_keyspaces(database)
            self._sync(database)
            self._listen(database)
            try:
                yield database
            finally:
                self.clean_up(everything=everything)

    def watch(self, app: object) -> None:
        """Note what an application writes from now on, if it is one of this package's on this
        cluster. Only keyspaces whose names begin with the prefix count.
        """
        database = app.extensions.get(EXTENSION_NAME) if isinstance(app, Flask) else None
        if database is None:
            return
        with database.outside_context(app):
            settings = database.settings()
            if settings.port == self._connection.settings.port and settings.hosts:
                self._listen(database)

    def _listen(self, database: CQLAlchemy) -> None:
        names = _keyspaces_of(database)
        self._latest = frozenset(name for name in names if name.startswith(self._prefix))
        self._keyspaces |= self._latest
        for connection in database.connections:
            if connection not in self._heard:
                self._heard.add(connection)
                connection.add_listener(self._note)

    def _note(self, future: ResponseFuture) -> None:
        self._written.update(_written_tables(future.query, future.session))

    @property
    def written(self) -> frozenset[Table]:
        """The tables that have been written to, and not been emptied since."""
        return frozenset(self._written)

    def forget(self, kept: AbstractSet[Table]) -> None:
        """Leave the rows of all tables but ``kept``, as of a fixture for several tests."""
        self._written &= kept

    def clean_up(self, *, everything: bool = False) -> None:
        """Empty the tables that were written to.

        :param everything: empty every table of the application that was watched last.
        """
        written, self._written = self._written, set()
        if everything:
            self.empty(self._tables_of(self._latest))
        elif written:
            self.empty([table for table in list(written) if table[0] in self._keyspaces])

    def empty(self, tables: Iterable[Table]) -> None:
        """Remove every row of ``tables``, each step for all tables at once."""
        wanted = list(tables)
        try:
            self._empty(wanted)
        except InvalidRequest:
            # What this connection has read may still have a table that the test has dropped.
            self._connection.cluster.refresh_schema_metadata()
            self._empty(wanted)

    def _empty(self, tables: Sequence[Table]) -> None:
        found = [self._metadata(table) for table in tables]
        live = [table for table in found if table is not None]
        counters = [table for table in live if _has_counters(table)]
        others = [table for table in live if not _has_counters(table)]
        self._truncate(counters + self._delete_partitions(others))

    def _delete_partitions(self, tables: Sequence[TableMetadata]) -> list[TableMetadata]:
        """Delete the partitions of ``tables``; return the tables that need a TRUNCATE."""
        session = self._connection.session
        searches = [
            session.execute_async(self._prepare(_select_keys(table)), [MOST_PARTITIONS + 1])
            for table in tables
        ]
        rest, deleted, deletes = [], [], []
        for table, search in zip(tables, searches, strict=True):
            keys = list(search.result())
            name = (table.keyspace_name, table.name)
            self._tombstones[name] = self._tombstones.get(name, 0) + len(keys)
            if len(keys) > MOST_PARTITIONS or self._tombstones[name] > MOST_TOMBSTONES:
                rest.append(table)
            elif keys:
                delete = self._prepare(_delete_key(table))
                deletes += [session.execute_async(delete, list(key.values())) for key in keys]
                deleted.append(table)
        for future in deletes:
            future.result()
        checks = [
            session.execute_async(self._prepare(_select_keys(table)), [1]) for table in deleted
        ]
        rest += [
            table for table, check in zip(deleted, checks, strict=True) if check.result().one()
        ]
        return rest

    def _truncate(self, tables: Sequence[TableMetadata]) -> None:
        session = self._connection.session
        seconds = self._connection.settings.schema_timeout
        futures = [
            session.execute_async(SimpleStatement(f"TRUNCATE {_qualified(table)}"), timeout=seconds)
            for table in tables
        ]
        for table, future in zip(tables, futures, strict=True):
            future.result()
            self._tombstones.pop((table.keyspace_name, table.name), None)

    def _check_keyspaces(self, database: CQLAlchemy) -> None:
        for name in sorted(_keyspaces_of(database)):
            if not name.startswith(self._prefix):
                raise ValueError(
                    f"The keyspace {name} is not a test's: its name does not begin with "
                    f"{self._prefix!r}, so nothing in it is touched. Give create_app() the "
                    "settings of the cassandra_config fixture."
                )

    def _sync(self, database: CQLAlchemy) -> None:
        """Sync once for each set of table definitions, not for each test."""
        wanted = {
            ((mapper.place().keyspace, mapper.table), _definition(mapper))
            for mapper in _mappers(database)
        }
        if not wanted <= self._synced:
            database.sync_db()
            self._synced |= wanted

    def _metadata(self, table: Table) -> TableMetadata | None:
        keyspace, name = table
        for _ in range(2):
            live = self._connection.cluster.metadata.keyspaces.get(keyspace)
            if live is not None and name in live.tables:
                return live.tables[name]
            # The table may be younger than what this connection has read.
            self._connection.cluster.refresh_schema_metadata()
        return None

    def _tables_of(self, keyspaces: Iterable[str]) -> list[Table]:
        cluster = self._connection.cluster
        cluster.refresh_schema_metadata()
        live = cluster.metadata.keyspaces
        return [(name, table) for name in keyspaces if name in live for table in live[name].tables]

    def _prepare(self, cql: str) -> PreparedStatement:
        prepared = self._prepared.get(cql)
        if prepared is None:
            prepared = self._prepared[cql] = self._connection.session.prepare(cql)
        return prepared


def _mappers(database: Database) -> list[Mapper]:
    return [model.__mapper__ for model in database.registry.models]


def _keyspaces_of(database: Database) -> set[str]:
    models = {mapper.place().keyspace for mapper in _mappers(database)}
    return models | {database.place(bind).keyspace for bind in database.binds}


def _definition(mapper: Mapper) -> str:
    return f"{_get_create_table(mapper.model)} {mapper.indexed}"


def _has_counters(table: TableMetadata) -> bool:
    return any(column.cql_type == "counter" for column in table.columns.values())


def _qualified(table: TableMetadata) -> str:
    return f"{protect_name(table.keyspace_name)}.{protect_name(table.name)}"


def _key(table: TableMetadata) -> list[str]:
    return [protect_name(column.name) for column in table.partition_key]


def _select_keys(table: TableMetadata) -> str:
    return f"SELECT DISTINCT {', '.join(_key(table))} FROM {_qualified(table)} LIMIT ?"


def _delete_key(table: TableMetadata) -> str:
    where = " AND ".join(f"{column} = ?" for column in _key(table))
    return f"DELETE FROM {_qualified(table)} WHERE {where}"
