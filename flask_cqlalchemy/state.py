"""What the extension holds for each application, and how a query finds its own.

An ``AppState`` has the settings, connections and local nodes of one application. A ``Database``, of
which ``CQLAlchemy`` is the public class, keeps one for each of its applications.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from flask import Flask, current_app, has_app_context

from .config import DEFAULT_BIND, PREFIX, Settings, check_name
from .connection import Connection
from .connection.place import Place
from .errors import NoAppError, UnknownBind
from .registry import Registry

if TYPE_CHECKING:
    from cassandra.cluster import Session

#: The key in ``app.extensions``.
EXTENSION_NAME = "cqlalchemy"


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
    #: Where each bind leads: to what is configured, until ``set_keyspace``.
    places: dict[str, Place] = field(init=False)

    def __post_init__(self) -> None:
        self.places = {}
        for bind in self.connections:
            self.set_keyspace(bind, None)

    def place(self, bind: str) -> Place:
        """Return the connection of a bind, and its keyspace.

        :raises UnknownBind: if there is no such bind.
        """
        found = self.places.get(bind)
        if found is None:
            raise UnknownBind(
                f"{PREFIX}BINDS has no {bind!r}, which a model or a call names; it has "
                f"{', '.join(sorted(self.connections))}."
            )
        return found

    def set_keyspace(self, bind: str, name: str | None) -> None:
        """Make ``name`` the keyspace of a bind; None for the configured one."""
        keyspace = name or self.settings[bind].keyspace
        self.places[bind] = Place(self.connections[bind], keyspace)

    def close(self) -> None:
        """Close the connections of this process, and end its lease on local nodes."""
        for connection in self.connections.values():
            connection.close()
        if self.local:
            self.local.release()


#: Keyspaces that ``use_keyspace`` put in force in this context, by application and bind.
_keyspaces: ContextVar[Mapping[tuple[int, str], str]] = ContextVar(
    "flask_cqlalchemy_keyspaces",
    default=MappingProxyType({}),
)


class Database:
    """What a ``CQLAlchemy`` object holds for each application, and how a query finds its own."""

    def __init__(self) -> None:
        self._states: weakref.WeakKeyDictionary[Flask, AppState] = weakref.WeakKeyDictionary()
        self._app: Flask | None = None
        self.registry = Registry(self)

    # The application of a query

    def has_app(self) -> bool:
        """Return whether a query would find an application."""
        return self._app is not None or (has_app_context() and _application() in self._states)

    @property
    def _state(self) -> AppState:
        if has_app_context():
            state = self._states.get(_application())
            if state is not None:
                return state
        if self._app is not None:
            return self._states[self._app]
        if has_app_context():
            raise NoAppError(
                f"The application {_application().name!r} has not been set up with this "
                "CQLAlchemy object: was db.init_app(app) forgotten?"
            )
        raise NoAppError(
            "There is no current application. Work inside `with app.app_context():` or in "
            "`flask shell`, on an application that db.init_app(app) has set up."
        )

    def place(self, bind: str = DEFAULT_BIND) -> Place:
        """Return the current application's connection for a bind, and the keyspace in force:
        ``use_keyspace``'s, ``set_keyspace``'s, or the configured one.

        :raises NoAppError: if there is no current application.
        :raises UnknownBind: if ``CASSANDRA_BINDS`` lacks the bind.
        """
        state = self._state
        place = state.places.get(bind) or state.place(bind)
        in_context = _keyspaces.get()
        if in_context and (id(state), bind) in in_context:
            return Place(place.connection, in_context[id(state), bind])
        return place

    def settings(self, bind: str = DEFAULT_BIND) -> Settings:
        """Return the current application's settings for a bind.

        :raises NoAppError: if there is no current application.
        """
        return self._state.settings[bind]

    @property
    def binds(self) -> tuple[str, ...]:
        """The names of the current application's binds, the main one first."""
        return tuple(self._state.connections)

    @property
    def connections(self) -> tuple[Connection, ...]:
        """The current application's connections: binds that differ in the keyspace share one."""
        return tuple(dict.fromkeys(self._state.connections.values()))

    # Connections

    @property
    def session(self) -> Session:
        """The driver's Session of the current application, in this process. Rows are dictionaries.

        :raises CassandraUnavailable: if no node answers.
        """
        return self.place().connection.session

    def connect(self) -> None:
        """Open the current application's connections now, instead of with the first query.

        :raises CassandraUnavailable: if no node answers.
        """
        for connection in self.connections:
            connection.session  # noqa: B018 - opens it

    def close(self) -> None:
        """Close the current application's connections in this process.

        The next query opens new ones.
        """
        self._state.close()

    @contextmanager
    def outside_context(self, app: Flask) -> Iterator[None]:
        """Let queries outside any application context go to ``app``, as after ``CQLAlchemy(app)``.

        For tests: unlike a pushed context it shares no ``g`` with the requests of a test client.
        """
        if app not in self._states:
            raise NoAppError(
                f"The application {app.name!r} has not been set up with this CQLAlchemy object."
            )
        before, self._app = self._app, app
        try:
            yield
        finally:
            self._app = before

    # Keyspaces

    def set_keyspace(self, name: str | None = None, *, bind: str = DEFAULT_BIND) -> None:
        """Make ``name`` the keyspace of the application's models, in every thread.

        :param name: a keyspace; None for the configured one. A model's own ``__keyspace__`` stands.
        :raises ValueError: if ``name`` cannot be the name of a keyspace.
        """
        self.place(bind)
        self._state.set_keyspace(bind, None if name is None else keyspace_name(name))

    @contextmanager
    def use_keyspace(self, name: str, *, bind: str = DEFAULT_BIND) -> Iterator[None]:
        """Use the keyspace ``name`` in this context alone, until the ``with`` block ends.

        :raises ValueError: if ``name`` cannot be the name of a keyspace.
        """
        self.place(bind)
        key = (id(self._state), bind)
        token = _keyspaces.set({**_keyspaces.get(), key: keyspace_name(name)})
        try:
            yield
        finally:
            _keyspaces.reset(token)


def _application() -> Flask:
    """Return the application itself, in place of Flask's proxy for it."""
    return current_app._get_current_object()  # type: ignore[attr-defined, no-any-return]


def keyspace_name(name: str) -> str:
    """Return a name that a keyspace can have.

    :raises ValueError: for any other.
    """
    try:
        return check_name(name)
    except ValueError as problem:
        raise ValueError(f"A keyspace's name {problem}.") from None


def current_database() -> Database:
    """Return the ``CQLAlchemy`` object of the current application.

    :raises RuntimeError: outside an application context.
    :raises KeyError: if the application has none.
    """
    database: Database = current_app.extensions[EXTENSION_NAME]
    return database
