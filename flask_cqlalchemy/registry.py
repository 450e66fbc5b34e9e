"""The models and user types of one ``CQLAlchemy`` object, and its way into cqlengine's registry.

For cqlengine's own code (``cassandra.cqlengine.management``, ``BatchQuery``) each bind stands in
cqlengine's registry of connections under a name of its own, which leads to the current
application's connection; the registry's default connection is never set, read or replaced.
"""

from __future__ import annotations

import itertools
import weakref
from typing import TYPE_CHECKING, Any

from cassandra.cqlengine import connection as cqlengine_connection

from .mapping.mapper import Mapped, Places, fields_of, user_types_in
from .statements.info import StatementInfo, describe

if TYPE_CHECKING:
    from cassandra.cluster import Cluster, ResultSet
    from cassandra.cqlengine.usertype import UserType

    from .connection import Connection


class _RoutedSession:
    """The part of a driver session that cqlengine's own code uses."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def execute(
        self, query: Any, parameters: Any = None, timeout: float | object | None = None
    ) -> ResultSet:
        text = query if isinstance(query, str) else getattr(query, "query_string", "")
        info: StatementInfo = describe(text, "batch")
        return self._connection.execute(query, parameters, timeout=timeout, info=info)


class _RoutedConnection(cqlengine_connection.Connection):  # type: ignore[misc]
    """An entry in cqlengine's registry that leads to the current application's connection."""

    def __init__(self, name: str, database: Places, bind: str) -> None:
        super().__init__(name, hosts=None)
        self._database = weakref.ref(database)
        self._bind = bind

    def _find(self) -> Connection:
        database = self._database()
        if database is None:
            raise ReferenceError("the CQLAlchemy object of this model is gone")
        return database.place(self._bind).connection

    @property
    def session(self) -> _RoutedSession:
        return _RoutedSession(self._find())

    @property
    def cluster(self) -> Cluster:
        return self._find().cluster


class Registry:
    """The models and user types of one ``CQLAlchemy`` object, in the order of their definition."""

    _numbers = itertools.count(1)

    def __init__(self, database: Places) -> None:
        self.models: list[type[Mapped]] = []
        self.types: list[type[UserType]] = []
        self._types_version = 0
        self._database = weakref.ref(database)
        self._number = next(self._numbers)
        self._names: dict[str, str] = {}
        weakref.finalize(database, _unregister, self._names)

    def add_model(self, model: type[Mapped]) -> None:
        """Add a model; one of the same module and name, as in a reloaded notebook, is replaced."""
        twins = [known for known in self.models if _same_definition(known, model)]
        for known in twins:
            self.models.remove(known)
        self.models.append(model)
        for user_type in model.__mapper__.user_types:
            self.add_type(user_type)

    def add_type(self, user_type: type[UserType]) -> None:
        """Add a user type behind those that its fields need."""
        for inner in user_types_in(user_type):
            self.add_type(inner)
        if user_type not in self.types:
            self._types_version += 1
            self.types = [
                known for known in self.types if not _same_definition(known, user_type)
            ] + [user_type]

    def types_version(self) -> int:
        """Return how often the user types have changed."""
        return self._types_version

    def types_for(self, keyspace: str) -> list[type[UserType]]:
        """Return the user types to register for ``keyspace``, those last that its models use: where
        two share a name, the later one wins; of those that models use the one with the most fields,
        of which each column makes its own class.
        """
        mappers = [model.__mapper__ for model in self.models]
        own = [mapper for mapper in mappers if mapper.own_keyspace == keyspace]
        users = own or [mapper for mapper in mappers if not mapper.own_keyspace]
        used = {user_type for mapper in users for user_type in mapper.user_types}
        sizes = {user_type: len(fields_of(user_type)) for user_type in used}
        return sorted(self.types, key=lambda user_type: sizes.get(user_type, -1))

    def connection_name(self, bind: str) -> str:
        """Return the name under which cqlengine's registry knows ``bind``."""
        name = self._names.get(bind)
        if name is None:
            name = self._names[bind] = f"flask_cqlalchemy.{self._number}.{bind}"
            database = self._database()
            assert database is not None  # noqa: S101 - the registry belongs to it
            cqlengine_connection._connections[name] = _RoutedConnection(name, database, bind)
        return name


def _unregister(names: dict[str, str]) -> None:
    for name in names.values():
        cqlengine_connection._connections.pop(name, None)


def _same_definition(one: type, other: type) -> bool:
    return (one.__module__, one.__qualname__) == (other.__module__, other.__qualname__)
