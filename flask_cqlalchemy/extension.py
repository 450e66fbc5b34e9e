"""The ``CQLAlchemy`` object: what an application holds, and how a query finds it.

One object serves many applications. It keeps, for each, the settings and one connection a bind; a
query goes to those of the current application. Nothing here connects before it is asked to.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from cassandra.cqlengine import columns
from flask import Blueprint, Flask, current_app, has_app_context

from . import tables
from .config import (
    DEFAULT_BIND,
    PREFIX,
    Settings,
    check_name,
    keys_as_docstring,
    read_settings,
)
from .connection import Connection, check_workers
from .errors import ConfigError, NoAppError
from .models import (
    BoundModel,
    BoundUserType,
    Registry,
    make_model_base,
    make_type_base,
    user_types_of,
)
from .pagination import MAX_PER_PAGE, Page, paginate

if TYPE_CHECKING:
    from cassandra.cluster import Session
    from cassandra.cqlengine.usertype import UserType

    from .local import LocalCluster
    from .query import QuerySet

#: The key in ``app.extensions``.
EXTENSION_NAME = "cqlalchemy"

#: Where a local node keeps its data unless CASSANDRA_LOCAL_DIRECTORY says otherwise, in the
#: application's instance folder.
LOCAL_DIRECTORY = "cassandra"


class _LocalNodes:
    """The lease of one process on the nodes that CASSANDRA_LOCAL_NODES asks for."""

    def __init__(self, nodes: int, directory: Path) -> None:
        self._nodes = nodes
        self._directory = directory
        self._cluster: LocalCluster | None = None
        self._pid = os.getpid()
        self._lock = threading.Lock()

    def endpoint(self) -> tuple[Sequence[str], int]:
        """Start the nodes, or join them, and return the contact points and the port."""
        if self._pid != os.getpid():
            self._lock, self._pid, self._cluster = threading.Lock(), os.getpid(), None
        with self._lock:
            if self._cluster is None:
                from .local import LocalCluster

                self._cluster = LocalCluster(self._nodes, self._directory).start()
            return self._cluster.contact_points, self._cluster.port

    def release(self) -> None:
        """End the lease, if this process has one."""
        cluster, self._cluster = self._cluster, None
        if cluster is not None and self._pid == os.getpid():
            cluster.stop()


@dataclass(eq=False)
class _AppState:
    """What this package holds for one application."""

    #: Weak: the application's life ends this state's, not the other way round.
    app: weakref.ref[Flask]
    settings: Mapping[str, Settings]
    connections: Mapping[str, Connection]
    local: _LocalNodes | None
    #: Keyspaces that ``set_keyspace`` put in place of the configured ones, by bind.
    keyspaces: dict[str, str] = field(default_factory=dict)

    def connection(self, bind: str) -> Connection:
        found = self.connections.get(bind)
        if found is None:
            raise ConfigError(
                f"{PREFIX}BINDS has no {bind!r}, which a model or a call names; it has "
                f"{', '.join(sorted(self.connections))}."
            )
        return found

    def close(self) -> None:
        for connection in self.connections.values():
            connection.close()
        if self.local:
            self.local.release()


#: Keyspaces that ``use_keyspace`` put in force in this context, by application and bind.
_keyspaces_in_context: ContextVar[Mapping[tuple[int, str], str]] = ContextVar(
    "flask_cqlalchemy_keyspaces",
    default=MappingProxyType({}),
)


class CQLAlchemy:
    """Apache Cassandra for Flask applications.

    .. code-block:: python

        db = CQLAlchemy()

        def create_app():
            app = Flask(__name__)
            app.config.from_prefixed_env()
            db.init_app(app)
            return app

    :param app: initialise this application at once, and use it where none is current, as in a plain
        Python shell.
    """

    #: cqlengine's column types.
    columns = columns

    def __init__(self, app: Flask | None = None) -> None:
        self._states: weakref.WeakKeyDictionary[Flask, _AppState] = weakref.WeakKeyDictionary()
        self._app: Flask | None = None
        self.registry = Registry(self)
        self.Model: type[BoundModel] = make_model_base(self)
        self.UserType: type[BoundUserType] = make_type_base(self)
        if app is not None:
            self.init_app(app)
            self._app = app

    def init_app(self, app: Flask) -> None:
        """Set up an application. Reads its configuration, and does not connect unless told to.

        {keys}

        :raises ConfigError: with every problem of the configuration, each beginning with its key.
        :raises NoConfig: if no host or no keyspace is configured.
        :raises RuntimeError: if the application has been set up before.
        :raises ConfigError: under gevent workers that the driver cannot serve.
        :raises CassandraUnavailable: with ``CASSANDRA_LAZY_CONNECT=False``, if no node answers.
        """
        holder = app.extensions.get(EXTENSION_NAME)
        if holder is not None:
            raise RuntimeError(
                "This application has a CQLAlchemy object already. Make one `db = CQLAlchemy()` "
                "for the program, import it everywhere, and call db.init_app(app) once for each "
                "application."
            )
        check_workers()
        settings = read_settings(app.config, development=app.debug or app.testing)
        main = settings[DEFAULT_BIND]
        local = None
        if main.local_nodes and not (main.hosts or main.cloud):
            directory = main.local_directory or Path(app.instance_path) / LOCAL_DIRECTORY
            local = _LocalNodes(main.local_nodes, directory)
        connections = self._make_connections(settings, local)
        state = _AppState(weakref.ref(app), settings, connections, local)
        self._states[app] = state
        weakref.finalize(app, state.close)
        app.extensions[EXTENSION_NAME] = self
        app.shell_context_processor(self._shell_context)
        # A blueprint without routes is how an extension brings templates.
        app.register_blueprint(
            Blueprint(EXTENSION_NAME, "flask_cqlalchemy", template_folder="templates")
        )
        _add_commands(app)
        if not main.lazy_connect:
            for connection in set(state.connections.values()):
                connection.session  # noqa: B018 - opens it

    def _make_connections(
        self, settings: Mapping[str, Settings], local: _LocalNodes | None
    ) -> dict[str, Connection]:
        """Return a connection for each bind; binds that differ in the keyspace alone share one."""
        connections: dict[str, Connection] = {}
        shared: list[tuple[Settings, Connection]] = []
        for bind, chosen in settings.items():
            cluster = replace(chosen, keyspace="", replication=None)
            connection = next((known for other, known in shared if other == cluster), None)
            if connection is None:
                at_local = local is not None and not (chosen.hosts or chosen.cloud)
                find_hosts = local.endpoint if at_local and local else _fixed_hosts(chosen)
                connection = Connection(chosen, find_hosts, self._user_types)
                shared.append((cluster, connection))
            connections[bind] = connection
        return connections

    def _user_types(self) -> list[type[UserType]]:
        return self.registry.types

    def _shell_context(self) -> dict[str, object]:
        return {"db": self, **{model.__name__: model for model in self.models}}

    # The application of a query

    def has_app(self) -> bool:
        """Say whether a query would find an application."""
        return self._app is not None or (has_app_context() and self._current_app in self._states)

    @property
    def _current_app(self) -> Flask:
        return current_app._get_current_object()  # type: ignore[attr-defined, no-any-return]

    @property
    def _state(self) -> _AppState:
        if has_app_context():
            state = self._states.get(self._current_app)
            if state is not None:
                return state
        if self._app is not None:
            return self._states[self._app]
        if has_app_context():
            raise NoAppError(
                f"The application {self._current_app.name!r} has not been set up with this "
                "CQLAlchemy object: was db.init_app(app) forgotten?"
            )
        raise NoAppError(
            "There is no current application. Work inside `with app.app_context():` or in "
            "`flask shell`, on an application that db.init_app(app) has set up."
        )

    def find_connection(self, bind: str = DEFAULT_BIND) -> Connection:
        """Return the current application's connection for a bind.

        :raises NoAppError: if there is no current application.
        :raises ConfigError: if ``CASSANDRA_BINDS`` lacks the bind.
        """
        return self._state.connection(bind)

    def find_keyspace(self, bind: str = DEFAULT_BIND) -> str:
        """Return the keyspace in force for a bind: ``use_keyspace``'s, ``set_keyspace``'s, or the
        configured one.

        :raises NoAppError: if there is no current application.
        """
        return self.resolve(bind)[1]

    def resolve(self, bind: str = DEFAULT_BIND) -> tuple[Connection, str]:
        """Return what ``find_connection`` and ``find_keyspace`` do, in one step."""
        state = self._state
        connection = state.connection(bind)
        in_context = _keyspaces_in_context.get()
        if in_context and (id(state), bind) in in_context:
            return connection, in_context[id(state), bind]
        return connection, state.keyspaces.get(bind) or state.settings[bind].keyspace

    # Connections

    @property
    def session(self) -> Session:
        """The driver's Session of the current application, in this process. Rows are dictionaries.

        :raises CassandraUnavailable: if no node answers.
        """
        return self.find_connection().session

    def connect(self) -> None:
        """Open the current application's connections now, instead of with the first query.

        :raises CassandraUnavailable: if no node answers.
        """
        for connection in set(self._state.connections.values()):
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

    @property
    def binds(self) -> tuple[str, ...]:
        """The names of the current application's binds, the main one first."""
        return tuple(self._state.connections)

    # Keyspaces

    def set_keyspace(self, name: str | None = None, *, bind: str = DEFAULT_BIND) -> None:
        """Make ``name`` the keyspace of the application's models, in every thread.

        :param name: a keyspace; None for the configured one. A model's own ``__keyspace__`` stands.
        :raises ValueError: if ``name`` cannot be the name of a keyspace.
        """
        self.find_connection(bind)
        if name is None:
            self._state.keyspaces.pop(bind, None)
        else:
            self._state.keyspaces[bind] = _keyspace_name(name)

    @contextmanager
    def use_keyspace(self, name: str, *, bind: str = DEFAULT_BIND) -> Iterator[None]:
        """Use the keyspace ``name`` in this context alone, until the ``with`` block ends.

        :raises ValueError: if ``name`` cannot be the name of a keyspace.
        """
        self.find_connection(bind)
        key = (id(self._state), bind)
        token = _keyspaces_in_context.set(
            {**_keyspaces_in_context.get(), key: _keyspace_name(name)}
        )
        try:
            yield
        finally:
            _keyspaces_in_context.reset(token)

    def create_keyspace_simple(
        self, name: str, replication_factor: int, *, bind: str = DEFAULT_BIND
    ) -> None:
        """Create a keyspace with SimpleStrategy, unless it is there."""
        replication = {"class": "SimpleStrategy", "replication_factor": str(replication_factor)}
        tables.create_keyspace(self.find_connection(bind), _keyspace_name(name), replication)

    # Queries

    def get_or_404(self, model: type[BoundModel], **key: Any) -> Any:
        """Return the row of ``model`` with this key, or end the request with a 404."""
        return model.objects.get_or_404(**key)

    def paginate(
        self,
        query: QuerySet,
        *,
        per_page: int | None = None,
        cursor: str | None = None,
        max_per_page: int = MAX_PER_PAGE,
        error_out: bool = True,
        user: object = None,
    ) -> Page[Any]:
        """Return one page of a query set; see ``pagination.paginate``.

        :raises InvalidCursor: a 400, before any query, for a cursor that is not one of this query.
        :raises ConfigError: if ``SECRET_KEY``, which seals the cursors, is not set.
        """
        state = self._state
        return paginate(
            query,
            per_page=per_page,
            cursor=cursor,
            max_per_page=max_per_page,
            error_out=error_out,
            user=user,
            app=state.app(),
            max_age=state.settings[DEFAULT_BIND].cursor_age,
        )

    # Schema

    @property
    def models(self) -> tuple[type[BoundModel], ...]:
        """Every model that is not abstract, in the order of definition."""
        return tuple(self.registry.models)

    def sync_db(self) -> list[str]:
        """Create what the models need and the cluster lacks: keyspaces, user types, tables.

        A table that exists gains the columns and indexes that it lacks; nothing is removed. Safe to
        call from several processes at once.

        :returns: what was done, a sentence each; nothing when all was there.
        :raises SchemaError: if a table's primary key differs from the model's, or if a keyspace is
            missing and ``CASSANDRA_REPLICATION`` is needed.
        """
        done: list[str] = []
        for connection in set(self._state.connections.values()):
            tables.refresh(connection)
        for bind in self._state.settings:
            done += self._create_keyspace(bind, self.find_keyspace(bind))
        for model in self.models:
            done += self.sync_table(model)
        for user_type in self.registry.types:
            done += self.sync_type(user_type)
        for connection in set(self._state.connections.values()):
            tables.refresh(connection)
        return done

    def create_all(self) -> list[str]:
        """Do what ``sync_db()`` does, under the tutorial's name for it."""
        return self.sync_db()

    def sync_table(self, model: type[BoundModel]) -> list[str]:
        """Create or extend one model's table, with its keyspace and the user types that it uses."""
        connection, keyspace = self._place(model)
        done = self._create_keyspace(model.__bind_key__, keyspace)
        needed = set(user_types_of(model))
        # The registry's order has each type behind those that its fields need.
        for user_type in self.registry.types:
            if any(user_type is known or _uses(known, user_type) for known in needed):
                done += tables.sync_type(connection, keyspace, user_type)
        return done + tables.sync_table(connection, keyspace, model)

    def sync_type(self, user_type: type[UserType], *, bind: str = DEFAULT_BIND) -> list[str]:
        """Create or extend one user type in the current keyspace, after those that it needs."""
        connection, keyspace = self.find_connection(bind), self.find_keyspace(bind)
        done = self._create_keyspace(bind, keyspace)
        for known in self.registry.types:
            if known is user_type or _uses(user_type, known):
                done += tables.sync_type(connection, keyspace, known)
        return done

    def drop_all(self) -> list[str]:
        """Drop the table of every model and every user type, with all data. Keyspaces stay.

        :returns: what was dropped, a sentence each.
        """
        done: list[str] = []
        places = {self._place(model) for model in self.models}
        for connection, _ in places:
            tables.refresh(connection)
        for model in reversed(self.models):
            connection, keyspace = self._place(model)
            done += tables.drop(connection, keyspace, "table", model._raw_column_family_name())
        for connection, keyspace in places:
            for user_type in reversed(self.registry.types):
                done += tables.drop(connection, keyspace, "type", user_type.type_name())
        return done

    def _create_keyspace(self, bind: str, keyspace: str) -> list[str]:
        replication = self._state.settings[bind].replication
        return tables.create_keyspace(self.find_connection(bind), keyspace, replication)

    def _place(self, model: type[BoundModel]) -> tuple[Connection, str]:
        """Return where the table of ``model`` is."""
        keyspace = model.__keyspace__ or self.find_keyspace(model.__bind_key__)
        return self.find_connection(model.__bind_key__), keyspace


CQLAlchemy.init_app.__doc__ = (CQLAlchemy.init_app.__doc__ or "").replace(
    "{keys}", keys_as_docstring(" " * 8).lstrip()
)


def _fixed_hosts(settings: Settings) -> Any:
    return lambda: (settings.hosts, settings.port)


def _keyspace_name(name: str) -> str:
    try:
        return check_name(name)
    except ValueError as problem:
        raise ValueError(f"A keyspace's name {problem}.") from None


def _uses(user_type: type[UserType], other: type[UserType]) -> bool:
    """Say whether ``other`` stands in a field of ``user_type``, at any depth."""
    found: list[type[UserType]] = []
    for column in user_type._fields.values():
        columns.resolve_udts(column, found)
    return any(inner is other or _uses(inner, other) for inner in found)


def _add_commands(app: Flask) -> None:
    from .cli.cql import make_group

    app.cli.add_command(make_group())
