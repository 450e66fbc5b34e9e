"""The ``CQLAlchemy`` object: the one door to everything that a program uses.

One object serves many applications. ``init_app`` reads an application's settings and makes its
connections, which open with the first query; how a query finds its application is in ``state``.
All else here is a short way to the module that does it.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from flask import Blueprint, Flask

from . import bulk, columns, converters, json, schemas
from .batch import Batch
from .cli.cql import make_group
from .config import DEFAULT_BIND, Settings, keys_as_docstring, read_settings
from .connection import NOT_SET, Connection, check_workers
from .cql import Parameters, execute
from .errors import NoAppError
from .models import BoundModel, BoundUserType, make_model_base, make_type_base
from .pagination import paginate
from .rows import to_json
from .state import EXTENSION_NAME, AppState, Database, LocalNodes, keyspace_name
from .tables import sync

if TYPE_CHECKING:
    from cassandra.cluster import ResultSet

    from ._cqlengine import UserType
    from .columns.typed import Columns
    from .tables import Change

    M = TypeVar("M", bound=BoundModel)

#: Where a local node keeps its data unless CASSANDRA_LOCAL_DIRECTORY says otherwise, in the
#: application's instance folder.
LOCAL_DIRECTORY = "cassandra"


class CQLAlchemy(Database):
    """Apache Cassandra for Flask applications.

    .. code-block:: python

        db = CQLAlchemy()

        class Post(db.Model):
            id = db.columns.UUID(primary_key=True, default=uuid.uuid4)
            title = db.columns.Text()

        def create_app():
            app = Flask(__name__)
            app.config.from_prefixed_env()
            db.init_app(app)
            return app

    A query needs no more than the application's context: ``Post.objects(id=...).first()``.

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
    AutoSchema = schemas.AutoSchema
    auto_field = staticmethod(schemas.auto_field)
    fields_for_model = staticmethod(schemas.fields_for_model)

    # Several rows at once. The model, query or batch that these are given says whose they are.
    batch = Batch
    bulk_create = staticmethod(bulk.bulk_create)
    bulk_update = staticmethod(bulk.bulk_update)
    bulk_delete = staticmethod(bulk.bulk_delete)
    get_many = staticmethod(bulk.get_many)
    paginate = staticmethod(paginate)
    to_json = staticmethod(to_json)

    def __init__(self, app: Flask | None = None) -> None:
        super().__init__()
        self.Model: type[BoundModel] = make_model_base(self)
        self.UserType: type[BoundUserType] = make_type_base(self)
        if app is not None:
            self.init_app(app)
            self._app = app

    def __repr__(self) -> str:
        """Return the current application, and for each bind the hosts and the keyspace in force."""
        try:
            state = self._state
        except NoAppError:
            return f"<{type(self).__name__} without a current application>"
        app = state.app()
        places = [
            f"{'' if bind == DEFAULT_BIND else f'{bind}: '}"
            f"{_where(settings)}, keyspace {self.place(bind).keyspace}"
            for bind, settings in state.settings.items()
        ]
        return f"<{type(self).__name__} of {app and app.name!r}: {'; '.join(places)}>"

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
        converters.install(app)
        app.shell_context_processor(self._shell_context)
        # A blueprint without routes is how an extension brings templates.
        app.register_blueprint(
            Blueprint(EXTENSION_NAME, "flask_cqlalchemy", template_folder="templates")
        )
        app.cli.add_command(make_group())
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
                connection = Connection(
                    chosen,
                    find_hosts,
                    self.registry.types_for,
                    find_app,
                    self.registry.types_version,
                )
                shared.append((cluster, connection))
            connections[bind] = connection
        return connections

    def _shell_context(self) -> dict[str, object]:
        types = {user_type.__name__: user_type for user_type in self.registry.types}
        return {"db": self, **types, **{model.__name__: model for model in self.models}}

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
        return execute(
            self.place(bind),
            cql,
            parameters,
            consistency=consistency,
            idempotent=idempotent,
            timeout=timeout,
            fetch_size=fetch_size,
        )

    def get_or_404(self, model: type[M], **key: object) -> M:
        """Return the row of ``model`` with this key, or end the request with a 404."""
        return model.objects.get_or_404(**key)

    # Schema

    @property
    def models(self) -> tuple[type[BoundModel], ...]:
        """Every model that is not abstract, in the order of definition."""
        return tuple(self.registry.models)  # type: ignore[arg-type]

    def create_keyspace_simple(
        self, name: str, replication_factor: int, *, bind: str = DEFAULT_BIND
    ) -> None:
        """Create a keyspace with SimpleStrategy, unless it is there."""
        replication = {"class": "SimpleStrategy", "replication_factor": str(replication_factor)}
        sync.create_keyspace(self.place(bind).connection, keyspace_name(name), replication)

    def sync_db(self) -> list[Change]:
        """Create what the models need and the cluster lacks: keyspaces, user types, tables.

        A table that exists gains the columns and indexes that it lacks; nothing is removed. Safe to
        call from several processes at once.

        :returns: what was done, which as text is a sentence each; nothing when all was there.
        :raises SchemaError: if a table's primary key differs from the model's, or if a keyspace is
            missing and ``CASSANDRA_REPLICATION`` is needed.
        """
        return sync.sync(self)

    def create_all(self) -> list[Change]:
        """Do what ``sync_db()`` does, under the tutorial's name for it."""
        return self.sync_db()

    def sync_table(self, model: type[BoundModel]) -> list[Change]:
        """Create or extend one model's table, with its keyspace and the user types that it uses.

        :raises SchemaError: if ``model`` is not a model, or is abstract; and as ``sync_db()``.
        """
        return sync.sync_model(self, model)

    def sync_type(self, user_type: type[UserType], *, bind: str = DEFAULT_BIND) -> list[Change]:
        """Create or extend one user type in the current keyspace, after those that it needs."""
        return sync.sync_type(self, user_type, bind)

    def drop_all(self) -> list[Change]:
        """Drop the table of every model and every user type, with all data. Keyspaces stay.

        :returns: what was dropped, which as text is a sentence each.
        """
        return sync.drop_all(self)


CQLAlchemy.init_app.__doc__ = (CQLAlchemy.init_app.__doc__ or "").replace(
    "{keys}", keys_as_docstring(" " * 8).lstrip()
)


def _where(settings: Settings) -> str:
    """Return where a cluster is, without anything that only its users may know."""
    if settings.cloud:
        return f"cloud bundle {settings.cloud}"
    if settings.hosts:
        hosts = (f"[{host}]" if ":" in host else host for host in settings.hosts)
        return ", ".join(f"{host}:{settings.port}" for host in hosts)
    return f"{settings.local_nodes} local node{'s' if settings.local_nodes > 1 else ''}"


def _fixed_hosts(settings: Settings) -> Any:
    return lambda: (settings.hosts, settings.port)
