"""Executing changes of a schema, one by one.

Several processes may do this at once: every change is either conditional on the schema lacking it,
or followed by a look at the live schema before a failure counts. After each change the nodes must
agree on the schema.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cassandra import RequestExecutionException, RequestValidationException
from cassandra.metadata import protect_name
from cassandra.protocol import ErrorMessage
from cassandra.query import SimpleStatement

from ..config import PREFIX
from ..connection.retry import DRIVER_ERRORS, unavailable, words_of
from ..errors import CassandraUnavailable, OutcomeUnknown, SchemaError, as_both
from ..statements.info import StatementInfo

if TYPE_CHECKING:
    from cassandra.cluster import Cluster
    from cassandra.metadata import KeyspaceMetadata

    from ..connection import Connection
    from ..connection.place import Place

#: Seconds between two looks at the live schema while a change is under way elsewhere.
POLL_INTERVAL = 0.2

#: Seconds that nodes get to agree, and a change to show after it timed out, however short
#: CASSANDRA_SCHEMA_TIMEOUT is: as long as the driver waits by itself.
SHORTEST_WAIT = 10.0


def agrees(connection: Connection, seconds: float) -> bool:
    """Return whether the nodes agree on the schema, or come to within so many seconds.

    :raises CassandraUnavailable: if the node that is asked is lost.
    """
    cluster = connection.cluster
    try:
        return bool(cluster.control_connection.wait_for_schema_agreement(wait_time=seconds))
    except DRIVER_ERRORS as error:
        raise unavailable("the schema", error) from error


def refresh(connection: Connection) -> Cluster:
    """Wait until the nodes agree on the schema, and read it.

    :returns: the driver's Cluster, whose ``metadata`` is now that of the nodes.
    :raises CassandraUnavailable: if the node that is asked is lost.
    :raises SchemaError: if they do not agree within ``CASSANDRA_SCHEMA_TIMEOUT``, or 10 s if that
        is shorter.
    """
    seconds = max(connection.settings.schema_timeout, SHORTEST_WAIT)
    if not agrees(connection, seconds):
        raise SchemaError(
            f"The nodes did not agree on the schema within {seconds:g} s "
            f"({PREFIX}SCHEMA_TIMEOUT); `nodetool describecluster` shows which differ."
        )
    cluster = connection.cluster
    try:
        cluster.refresh_schema_metadata(max_schema_agreement_wait=0)
    except DRIVER_ERRORS as error:
        # The driver keeps the cause to itself: the node was lost after it had agreed.
        raise unavailable("the schema", error) from error
    return cluster


@dataclass(frozen=True)
class Change:
    """A change of a schema. As text it is a sentence without its full stop.

    :ivar what: was done, such as ``added the column title to the table``.
    :ivar subject: what it was done to, such as ``blog.post`` or ``table post of Post``.
    :ivar cql: the statement that did it.
    :ivar destroys: whether data are lost by it.
    """

    what: str
    subject: str
    cql: str
    destroys: bool = False

    def __str__(self) -> str:
        return f"{self.what} {self.subject}"


def find_keyspace(connection: Connection, name: str) -> KeyspaceMetadata | None:
    """Return what the driver last read of a keyspace; None if it does not exist."""
    return connection.cluster.metadata.keyspaces.get(name)


def require_keyspace(place: Place) -> KeyspaceMetadata:
    """Return a keyspace, read again if it seems not to exist.

    :raises SchemaError: if it does not.
    """
    live = find_keyspace(place.connection, place.keyspace)
    if live is None:
        live = refresh(place.connection).metadata.keyspaces.get(place.keyspace)
    if live is None:
        raise SchemaError(
            f"The keyspace {place.keyspace} does not exist: `flask cql sync` or db.sync_db() "
            "creates it."
        )
    return live


def change(connection: Connection, cql: str, subject: str, is_done: Callable[[], bool]) -> None:
    """Execute one schema change.

    :param is_done: asks the metadata whether the schema is as wanted; asked only when the statement
        failed or timed out, since another process may have made the same change.
    :raises SchemaError: if Cassandra refuses the change.
    """
    seconds = connection.settings.schema_timeout
    statement = SimpleStatement(cql)
    try:
        info = StatementInfo("schema", subject, cql)
        rows = connection.execute(statement, timeout=seconds, info=info)
    except (CassandraUnavailable, OutcomeUnknown):
        deadline = time.monotonic() + max(seconds, SHORTEST_WAIT)
        while True:
            refresh(connection)
            if is_done():
                return
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_INTERVAL)
    except (RequestValidationException, RequestExecutionException, ErrorMessage) as error:
        refresh(connection)
        if not is_done():
            why = words_of(error)
            refused = SchemaError(f"{subject}: Cassandra refused the change ({why}): {cql}")
            raise as_both(refused, error) from error
    else:
        if not rows.response_future.is_schema_agreed:
            refresh(connection)


#: What a schema has: how CQL names it, and where the driver's ``KeyspaceMetadata`` keeps it.
Kind = Literal["table", "type", "view"]
_KINDS = {
    "table": ("TABLE", "tables"),
    "type": ("TYPE", "user_types"),
    "view": ("MATERIALIZED VIEW", "views"),
}


def find_kind(place: Place, name: str) -> Kind | None:
    """Return whether a name is that of a table or of a materialised view; None if of neither."""
    live = find_keyspace(place.connection, place.keyspace)
    if live is None:
        return None
    return "view" if name in live.views else "table" if name in live.tables else None


def drop(place: Place, kind: Kind, name: str) -> list[Change]:
    """Drop a table, type or view with all that is in it, if it exists."""
    in_cql, where = _KINDS[kind]

    def exists() -> bool:
        live = find_keyspace(place.connection, place.keyspace)
        return live is not None and name in getattr(live, where)

    if not exists():
        return []
    qualified = f"{protect_name(place.keyspace)}.{protect_name(name)}"
    cql = f"DROP {in_cql} IF EXISTS {qualified}"
    change(place.connection, cql, f"{kind} {name}", lambda: not exists())
    if kind == "type":
        place.connection.forget_types()
    return [Change(f"dropped the {kind}", f"{place.keyspace}.{name}", cql, destroys=True)]


def truncate(place: Place, table: str) -> None:
    """Remove every row of a table. All nodes must be up (Cassandra's rule for TRUNCATE)."""
    cql = f"TRUNCATE {protect_name(place.keyspace)}.{protect_name(table)}"
    place.connection.execute(
        SimpleStatement(cql, is_idempotent=True),
        timeout=place.connection.settings.schema_timeout,
        info=StatementInfo("schema", f"table {table}", cql),
    )
