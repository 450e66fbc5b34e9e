"""``Place``: where a table is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cassandra.query import PreparedStatement

    from . import Connection


@dataclass(frozen=True)
class Place:
    """Where a table is, for one call: the connection and the keyspace in force.

    Found before a statement is made and handed down, so that no two steps can disagree about it.
    """

    connection: Connection
    keyspace: str

    def prepare(self, cql: str) -> PreparedStatement:
        """Return the prepared statement of a text that names its keyspace.

        The user types of the keyspace are registered before.

        :raises CassandraUnavailable: and the others of ``Connection.execute``.
        """
        return self.connection.prepare(cql, types_of=self.keyspace)
