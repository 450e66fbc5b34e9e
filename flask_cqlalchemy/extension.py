"""The ``CQLAlchemy`` object: what an application holds, and how a query finds it.

One object serves many applications. It keeps, for each, the settings and one connection a bind; a
query goes to those of the current application. Nothing here connects before it is asked to.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from cassandra.cqlengine.columns import resolve_udts
from flask import Blueprint, Flask, current_app, has_app_context

from . import bulk, columns, json, schemas, tables
from .batch import Batch
from .bulk import CONCURRENCY, MAX_FAILURES, BulkResult, Progress
from .config import (
    DEFAULT_BIND,
    Settings,
    check_name,
    keys_as_docstring,
    read_settings,
)
from .connection import NOT_SET, Connection, check_workers
from .cql import Parameters, execute
from .errors import NoAppError
from .models import (
    BoundModel,
    BoundUserType,
    Registry,
    make_model_base,
    make_type_base,
    user_types_of,
)
from .pagination import MAX_PER_PAGE, Page, paginate
from .schemas import AutoSchema, auto_field, fields_for_model
from .state import AppState, LocalNodes, keyspaces_in_context

if TYPE_CHECKING:
    from cassandra.cluster import ResultSet, Session

    from ._cqlengine import UserType
    from .columns.typed import Columns
    from .query import QuerySet

    M = TypeVar("M", bound=BoundModel)
    T = TypeVar("T")

#: The key in ``app.extensions``.
EXTENSION_NAME = "cqlalchemy"

#: Where a local node keeps its data unless CASSANDRA_LOCAL_DIRECTORY says otherwise, in the
#: application's instance folder.
LOCAL_DIRECTORY = "cassandra"


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

    #: The types of columns: cqlengine's, and those that it lacks.
    if TYPE_CHECKING:
        columns: ClassVar[Columns]
    else:
        columns = columns

    # Schemas made from models; the names are marshmallow-sqlalchemy's.
    Schema = schemas.Schema
    AutoSchema = AutoSchema
    auto_field = staticmethod(auto_field)
    fields_for_model = staticmethod(fields_for_model)

    def __init__(self, app: Flask | None = None) -> None:
        self._states: weakref.WeakKeyDictionary[Flask, AppState] = weakref.WeakKeyDictionary()
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
            local = LocalNodes(main.local_nodes, directory)
        connections = self._make_connections(app, settings, local)
        state = AppState(weakref.ref(app), settings, connections, local)
        self._states[app] = state
        weakref.finalize(app, state.close)
        app.extensions[EXTENSION_NAME] = self
        json.install(app)
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
        self, app: Flask, settings: Mapping[str, Settings], local: LocalNodes | None
    ) -> dict[str, Connection]:
        """Return a connection for each bind; binds that differ in the keyspace alone share one."""
        find_app = weakref.ref(app)
        connections: dict[str, Connection] = {}
        shared: list[tuple[Settings, Connection]] = []
        for bind, chosen in settings.items():
            cluster = replace(chosen, keyspace="", replication=None)
            connection = next((known for other, known in shared if other == cluster), None)
            if connection is None:
                at_local = local is not None and not (chosen.hosts or chosen.cloud)
                find_hosts = local.endpoint if at_local and local else _fixed_hosts(chosen)
                connection = Connection(chosen, find_hosts, self.registry.types_for, find_app)
                shared.append((cluster, connection))
            connections[bind] = connection
        return connections

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
    def _state(self) -> AppState:
        if has_app_context():
            state = self._states.get(current_app._get_current_object())  # type: ignore[attr-defined]
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
        return self._state.place(bind)[0]

    def find_keyspace(self, bind: str = DEFAULT_BIND) -> str:
        """Return the keyspace in force for a bind: ``use_keyspace``'s, ``set_keyspace``'s, or the
        configured one.

        :raises NoAppError: if there is no current application.
        """
        return self.resolve(bind)[1]

    def resolve(self, bind: str = DEFAULT_BIND) -> tuple[Connection, str]:
        """Return what ``find_connection`` and ``find_keyspace`` do, in one step."""
        state = self._state
        place = state.place(bind)
        in_context = keyspaces_in_context.get()
        if in_context and (id(state), bind) in in_context:
            return place[0], in_context[id(state), bind]
        return place

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
        self._state.set_keyspace(bind, None if name is None else _keyspace_name(name))

    @contextmanager
    def use_keyspace(self, name: str, *, bind: str = DEFAULT_BIND) -> Iterator[None]:
        """Use the keyspace ``name`` in this context alone, until the ``with`` block ends.

        :raises ValueError: if ``name`` cannot be the name of a keyspace.
        """
        self.find_connection(bind)
        key = (id(self._state), bind)
        token = keyspaces_in_context.set({**keyspaces_in_context.get(), key: _keyspace_name(name)})
        try:
            yield
        finally:
            keyspaces_in_context.reset(token)

    def create_keyspace_simple(
        self, name: str, replication_factor: int, *, bind: str = DEFAULT_BIND
    ) -> None:
        """Create a keyspace with SimpleStrategy, unless it is there."""
        replication = {"class": "SimpleStrategy", "replication_factor": str(replication_factor)}
        tables.create_keyspace(self.find_connection(bind), _keyspace_name(name), replication)

    # Queries

    def execute(
        self,
        cql: str,
        parameters: Parameters | None = None,
        *,
        bind: str = DEFAULT_BIND,
        consistency: int | None = None,
        idempotent: bool | None = None,
        timeout: float | object | None = NOT_SET,
        fetch_size: int | None = None,
    ) -> ResultSet:
        """Execute CQL of your own: prepared, with the values bound, in the keyspace in force.

        .. code-block:: python

            for row in db.execute("SELECT title FROM post WHERE id = ?", [post_id]):
                print(row["title"])

        :param parameters: a value for each ``?``, or a mapping for ``:name``.
        :param consistency: a level of ``cassandra.ConsistencyLevel``.
        :param idempotent: whether the statement may be sent again after an error; if not given, a
            SELECT may.
        :param timeout: seconds; ``CASSANDRA_REQUEST_TIMEOUT`` if not given, and
            ``CASSANDRA_SCHEMA_TIMEOUT`` for a change of the schema.
        :param fetch_size: rows of a page; the pages are fetched as they are read.
        :returns: the driver's result; rows are dictionaries.
        :raises ValueError: for ``USE``, and if the values do not fit the markers.
        :raises ValidationError: naming the column whose value has the wrong type.
        :raises CassandraUnavailable: if no node answers or too few replicas are alive.
        """
        connection, keyspace = self.resolve(bind)
        connection.register_types(keyspace)
        return execute(
            connection,
            keyspace,
            cql,
            parameters,
            consistency=consistency,
            idempotent=idempotent,
            timeout=timeout,
            fetch_size=fetch_size,
        )

    def batch(
        self,
        kind: str = "logged",
        *,
        consistency: int | None = None,
        timestamp: datetime | timedelta | int | None = None,
        timeout: float | object | None = NOT_SET,
        execute_on_exception: bool = False,
    ) -> Batch:
        """Return a batch for ``with``; its writes are sent together at the end.

        .. code-block:: python

            with db.batch() as batch:
                Post.batch(batch).create(title="First")
                user.batch(batch).update(posts=1)

        The parameters are those of ``batch.Batch``.
        """
        return Batch(
            kind,
            consistency=consistency,
            timestamp=timestamp,
            timeout=timeout,
            execute_on_exception=execute_on_exception,
        )

    def bulk_create(
        self,
        model: type[M],
        rows: Iterable[Mapping[str, object] | M],
        *,
        concurrency: int = CONCURRENCY,
        ttl: int | None = None,
        on_progress: Progress | None = None,
        max_failures: int = MAX_FAILURES,
    ) -> BulkResult:
        """Insert many rows, of any iterable, in constant memory.

        :param rows: mappings of columns to values, or new instances. Taken no faster than Cassandra
            takes them.
        :param concurrency: statements under way at a time.
        :param ttl: seconds until the rows vanish.
        :param on_progress: called with the rows written and those failed, ten times a second at
            most and once at the end.
        :param max_failures: after so many no more rows are taken.
        :returns: how many rows were written.
        :raises BulkError: if not all of them; its ``result`` says how many were, and which failed
            why. What ``rows`` itself raises is its cause.
        """
        return bulk.write(
            model,
            rows,
            bulk.inserts(model, ttl),
            concurrency=concurrency,
            on_progress=on_progress,
            max_failures=max_failures,
        )

    def bulk_update(
        self,
        model: type[BoundModel],
        rows: Iterable[Mapping[str, object]],
        *,
        concurrency: int = CONCURRENCY,
        on_progress: Progress | None = None,
        max_failures: int = MAX_FAILURES,
    ) -> BulkResult:
        """Write columns of many rows, without reading them.

        :param rows: mappings, each with the whole primary key and the columns to write; None
            removes a value. The other parameters, the result and the errors are ``bulk_create``'s.
        """
        return bulk.write(
            model,
            rows,
            bulk.updates(model),
            concurrency=concurrency,
            on_progress=on_progress,
            max_failures=max_failures,
        )

    def bulk_delete(
        self,
        model: type[BoundModel],
        keys: Iterable[object],
        *,
        concurrency: int = CONCURRENCY,
        on_progress: Progress | None = None,
        max_failures: int = MAX_FAILURES,
    ) -> BulkResult:
        """Delete many rows.

        :param keys: whole primary keys, as in ``get_many``, or instances. The other parameters, the
            result and the errors are ``bulk_create``'s.
        """
        return bulk.write(
            model,
            keys,
            bulk.deletes(model),
            concurrency=concurrency,
            on_progress=on_progress,
            max_failures=max_failures,
        )

    def get_many(
        self, model: type[M], keys: Iterable[object], *, concurrency: int = CONCURRENCY
    ) -> list[M | None]:
        """Read many rows by their keys, each from the nodes that have it.

        :param keys: whole primary keys: mappings, tuples in the key's order, or the values of the
            only column.
        :param concurrency: statements under way at a time.
        :returns: an instance for each key, in the order of the keys; None where there is no row.
        :raises ValidationError: naming the column that a key lacks.
        :raises CassandraUnavailable: if one of the rows cannot be read.
        """
        return bulk.get_many(model, keys, concurrency=concurrency)

    def get_or_404(self, model: type[M], **key: object) -> M:
        """Return the row of ``model`` with this key, or end the request with a 404."""
        return model.objects.get_or_404(**key)

    def paginate(
        self,
        query: QuerySet[T],
        *,
        per_page: int | None = None,
        cursor: str | None = None,
        max_per_page: int = MAX_PER_PAGE,
        error_out: bool = True,
        user: object = None,
    ) -> Page[T]:
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

    def to_json(self, query: QuerySet[object], schema: schemas.Schema | None = None) -> bytes:
        """Return the rows of a query set as JSON, without making instances of them.

        :param schema: what to write of a row; the model's ``AutoSchema`` unless given.
        :raises EncodingError: naming the column whose value JSON cannot have.
        :raises GuardrailError: as iterating over the query set does.
        """
        return json.to_json(query, schema)

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
        resolve_udts(column, found)
    return any(inner is other or _uses(inner, other) for inner in found)


def _add_commands(app: Flask) -> None:
    from .cli.cql import make_group

    app.cli.add_command(make_group())
