"""What the extension holds for one application: its settings, connections and local nodes."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from flask import Flask

from .config import PREFIX, Settings
from .connection import Connection
from .errors import ConfigError


class LocalNodes:
    """The nodes that CASSANDRA_LOCAL_NODES asks for."""

    def __init__(self, nodes: int, directory: Path) -> None:
        from .local import LocalCluster  # for development alone

        self._cluster = LocalCluster(nodes, directory)

    def endpoint(self) -> tuple[Sequence[str], int]:
        """Start the nodes, or join them, and return the contact points and the port."""
        if not self._cluster.is_leased:
            self._cluster.start()
        return self._cluster.contact_points, self._cluster.port

    def release(self) -> None:
        """End the lease, if this process has one."""
        self._cluster.stop()


@dataclass(eq=False)
class AppState:
    """What this package holds for one application."""

    #: Weak: the application's life ends this state's, not the other way round.
    app: weakref.ref[Flask]
    settings: Mapping[str, Settings]
    connections: Mapping[str, Connection]
    local: LocalNodes | None
    #: The connection and the keyspace of each bind: what is configured, until ``set_keyspace``.
    places: dict[str, tuple[Connection, str]] = field(init=False)

    def __post_init__(self) -> None:
        self.places = {}
        for bind in self.connections:
            self.set_keyspace(bind, None)

    def place(self, bind: str) -> tuple[Connection, str]:
        found = self.places.get(bind)
        if found is None:
            raise ConfigError(
                f"{PREFIX}BINDS has no {bind!r}, which a model or a call names; it has "
                f"{', '.join(sorted(self.connections))}."
            )
        return found

    def set_keyspace(self, bind: str, name: str | None) -> None:
        self.places[bind] = self.connections[bind], name or self.settings[bind].keyspace

    def close(self) -> None:
        for connection in self.connections.values():
            connection.close()
        if self.local:
            self.local.release()


#: Keyspaces that ``use_keyspace`` put in force in this context, by application and bind.
keyspaces_in_context: ContextVar[Mapping[tuple[int, str], str]] = ContextVar(
    "flask_cqlalchemy_keyspaces",
    default=MappingProxyType({}),
)
