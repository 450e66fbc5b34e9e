"""``db.Model`` and ``db.UserType``: cqlengine's classes, bound to a ``CQLAlchemy`` object.

cqlengine keeps its default keyspace and connection in globals of the process. A bound model asks
its ``CQLAlchemy`` object instead, which answers for the current application. For cqlengine's own
code (``BatchQuery``, ``cassandra.cqlengine.management``) each bind stands in cqlengine's registry
under a name of its own; the registry's default connection is never set, read or replaced.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from cassandra import util
from cassandra.cqlengine import columns
from cassandra.cqlengine import connection as cqlengine_connection
from cassandra.cqlengine.models import (
    ModelDefinitionException,
    _clone_model_class,
    hybrid_classmethod,
)

from ._cqlengine import Model as CQLEngineModel
from ._cqlengine import ModelMetaClass
from ._cqlengine import UserType as CQLEngineUserType
from .config import DEFAULT_BIND
from .conversions import make_exact
from .instances import (
    AliasAttribute,
    FullValues,
    MutableAttribute,
    ScalarAttribute,
    assign_scalar,
    find_conversions,
    find_readers,
    restore_state,
    save_state,
)
from .query import DMLQuery, QuerySet
from .signals import StatementInfo
from .writes import WritePlan, make_write_plan
from .writes import insert_instance as write_insert_of
from .writes import update as write_update

if TYPE_CHECKING:
    from cassandra.cluster import Cluster, ResultSet
    from typing_extensions import Self

    from .connection import Connection
    from .pagination import Page


class Database(Protocol):
    """What a model asks its ``CQLAlchemy`` object."""

    registry: Registry

    def find_keyspace(self, bind: str) -> str:
        """Return the keyspace in force for ``bind`` in the current context."""
        ...

    def find_connection(self, bind: str) -> Connection:
        """Return the current application's connection for ``bind``."""
        ...

    def resolve(self, bind: str) -> tuple[Connection, str]:
        """Return the current application's connection and the keyspace in force for ``bind``."""
        ...

    @property
    def paginate(self) -> Callable[..., Page[Any]]:
        """Returns one page of a query set."""
        ...

    @property
    def to_json(self) -> Callable[..., bytes]:
        """Returns the rows of a query set as JSON."""
        ...

    def has_app(self) -> bool:
        """Say whether there is a current application to answer for."""
        ...


#: Statements that a model remembers; beyond, it forgets all and begins anew.
MAX_STATEMENTS = 1000

#: Options of a write that an instance may carry (``timestamp()``, ``iff()`` and so on), with which
#: cqlengine's statements write it.
_OPTIONS_OF_STATEMENTS = frozenset(
    {
        "_timestamp",
        "_conditional",
        "_timeout",
        "_connection",
        "_if_exists",
        "_if_not_exists",
    }
)

#: All of them; our own INSERT knows these two as well.
_OPTIONS = _OPTIONS_OF_STATEMENTS | {"_batch", "_ttl"}


def _is_set(option: Any) -> bool:
    return bool(option) and option is not cqlengine_connection.NOT_SET


class _RoutedSession:
    """The part of a driver session that cqlengine's own code uses."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def execute(
        self, query: Any, parameters: Any = None, timeout: float | object | None = None
    ) -> ResultSet:
        return self._connection.execute(query, parameters, timeout=timeout, subject="batch")


class _RoutedConnection(cqlengine_connection.Connection):  # type: ignore[misc]
    """An entry in cqlengine's registry that leads to the current application's connection."""

    def __init__(self, name: str, database: Database, bind: str) -> None:
        super().__init__(name, hosts=None)
        self._database = weakref.ref(database)
        self._bind = bind

    def _find(self) -> Connection:
        database = self._database()
        if database is None:
            raise ReferenceError("the CQLAlchemy object of this model is gone")
        return database.find_connection(self._bind)

    @property
    def session(self) -> _RoutedSession:
        return _RoutedSession(self._find())

    @property
    def cluster(self) -> Cluster:
        return self._find().cluster


class Registry:
    """The models and user types of one ``CQLAlchemy`` object, in the order of their definition."""

    _numbers = itertools.count(1)

    def __init__(self, database: Database) -> None:
        self.models: list[type[BoundModel]] = []
        self.types: list[type[CQLEngineUserType]] = []
        self._database = weakref.ref(database)
        self._number = next(self._numbers)
        self._names: dict[str, str] = {}
        weakref.finalize(database, _unregister, self._names)

    def add_model(self, model: type[BoundModel]) -> None:
        """Add a model; one of the same module and name, as in a reloaded notebook, is replaced."""
        twins = [known for known in self.models if _same_definition(known, model)]
        for known in twins:
            self.models.remove(known)
        self.models.append(model)
        for user_type in user_types_of(model):
            self.add_type(user_type)

    def add_type(self, user_type: type[CQLEngineUserType]) -> None:
        """Add a user type behind those that its fields need."""
        for field in user_type._fields.values():
            for inner in _user_types_in(field):
                self.add_type(inner)
        if user_type not in self.types:
            self.types = [
                known for known in self.types if not _same_definition(known, user_type)
            ] + [user_type]

    def types_for(self, keyspace: str) -> list[type[CQLEngineUserType]]:
        """Return the user types, those last that models of ``keyspace`` use.

        Of two types of one name the last to be registered with a session stands for the name.
        """
        own = [model for model in self.models if model.__keyspace__ == keyspace]
        users = own or [model for model in self.models if not model.__keyspace__]
        used = {user_type for model in users for user_type in user_types_of(model)}
        return sorted(self.types, key=lambda user_type: user_type in used)

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


def _user_types_in(column: columns.Column) -> list[type[CQLEngineUserType]]:
    found: list[type[CQLEngineUserType]] = []
    columns.resolve_udts(column, found)
    return found


def user_types_of(model: type[BoundModel]) -> Iterator[type[CQLEngineUserType]]:
    """Yield the user types that the columns of ``model`` name."""
    for column in model._columns.values():
        yield from _user_types_in(column)


class _ModelMeta(ModelMetaClass):
    def __init__(self, name: str, bases: tuple[type, ...], attrs: dict[str, Any]) -> None:
        super().__init__(name, bases, attrs)
        model: Any = self
        if _is_clone(name, bases, attrs):
            # Differs in the keyspace at most, which is a part of every key.
            return
        model._filters, model._plans = {}, {}
        for column in model._columns.values():
            if '"' in column.db_field_name:
                raise ModelDefinitionException(
                    f"{name}.{column.column_name}: the name {column.db_field_name!r} has a quote, "
                    "which cqlengine cannot write."
                )
            make_exact(column)
        model._readers = find_readers(model)
        model._conversions = find_conversions(model)
        model._is_plain = model.__init__ is CQLEngineModel.__init__ and not model._is_polymorphic
        for column_name, column in model._columns.items():
            read = model._readers.get(column_name)
            attribute = ScalarAttribute(column) if read is None else MutableAttribute(column, read)
            setattr(model, column_name, attribute)
        # A program's own validation or writes are heard by cqlengine's code alone.
        is_stock = model.validate is CQLEngineModel.validate and model.__dmlquery__ is DMLQuery
        model._write_plan = make_write_plan(model) if is_stock else None
        if model._pk_name is not None and "pk" not in model._columns:
            model.pk = AliasAttribute(model._pk_name)
        if not attrs["__abstract__"]:
            model._database.registry.add_model(model)


def _is_clone(name: str, bases: tuple[type, ...], attrs: dict[str, Any]) -> bool:
    """Recognise the class that cqlengine makes of a model for ``using()`` and ``ContextQuery``."""
    base = bases[0]
    return (
        "__qualname__" not in attrs
        and base.__name__ == name
        and not getattr(base, "__abstract__", True)
    )


class _NoDatabase:
    """Stands for the database of what inherits from ``Model`` itself, not from ``db.Model``."""

    def __init__(self, base: str) -> None:
        self._base = base

    def __get__(self, instance: object, owner: type) -> Database:
        raise ModelDefinitionException(
            f"{owner.__name__} has no database: let it inherit from {self._base}, where db is your "
            "CQLAlchemy object."
        )


def definition_of(model: type[Any]) -> type[Any]:
    """Return the class that a program has written: cqlengine makes others of it for ``using()``."""
    return next((kind for kind in model.__mro__ if "_readers" in vars(kind)), model)


class BoundModel(CQLEngineModel, metaclass=_ModelMeta):
    """The base of every ``db.Model``.

    Beside what cqlengine documents (``__keyspace__``, ``__table_name__``, ``__options__``,
    ``__abstract__``, ``__discriminator_value__``) a model may set ``__bind_key__`` to the name of
    an entry of ``CASSANDRA_BINDS``.
    """

    __abstract__ = True
    __bind_key__: ClassVar[str] = DEFAULT_BIND
    __queryset__ = QuerySet
    __dmlquery__ = DMLQuery
    _database: ClassVar[Database] = cast("Database", _NoDatabase("db.Model"))
    #: What the query set has worked out for this model: arguments of ``filter``, shapes of SELECTs.
    _filters: ClassVar[dict[str, Any]]
    _plans: ClassVar[dict[tuple[Any, ...], Any]]
    #: Of a class for another keyspace: those of the models that inherit from it.
    _clones: ClassVar[dict[type[Any], type[Any]]]
    #: Columns whose values change in place, with what makes one from the row.
    _readers: ClassVar[dict[str, Callable[[Any], Any]]]
    #: Scalar columns of a program's own types, with their ``to_python``.
    _conversions: ClassVar[tuple[tuple[str, Callable[[Any], Any]], ...]]
    #: Whether a row becomes an instance without ``__init__`` having a say.
    _is_plain: ClassVar[bool]
    #: What a write in one plain statement needs; None where cqlengine's have to do it.
    _write_plan: ClassVar[WritePlan | None]

    _values = FullValues()
    # What cqlengine sets on every instance that it makes; a light one has it from the class.
    _ttl = None
    _conditional = None
    _batch = None
    _timeout = cqlengine_connection.NOT_SET
    _is_persisted = True

    def _set_attribute(self, name: str, value: Any) -> None:
        if name not in self._columns:
            super().__setattr__(name, value)
        elif "_values" in self.__dict__ or name in self._readers:
            self._values[name].setval(value)
        else:
            assign_scalar(self, name, value)

    def _delete_attribute(self, name: str) -> None:
        column = self._columns.get(name)
        if column is None:
            super().__delattr__(name)
        elif column.can_delete:
            self._values[name].delval()
        else:
            raise AttributeError(f"cannot delete {name} columns")

    if not TYPE_CHECKING:
        # With these a type checker would let a program assign to any attribute.
        __setattr__, __delattr__ = _set_attribute, _delete_attribute

    def __getstate__(self) -> dict[str, Any]:
        return save_state(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        restore_state(self, state)

    def __copy__(self) -> Self:
        # A copy with the same collections would change together with the original.
        return deepcopy(self)

    @classmethod
    def _get_keyspace(cls) -> str | None:
        # cqlengine asks while it makes the class, too, when there is no application yet.
        if cls.__keyspace__ or not cls._database.has_app():
            return cls.__keyspace__
        return cls._database.find_keyspace(cls.__bind_key__)

    @classmethod
    def column_family_name(cls, include_keyspace: bool = True) -> str:
        """Return the table's name in CQL, quoted where it must be.

        :raises NoAppError: if the keyspace is an application's, and there is none.
        """
        if include_keyspace and not cls.__keyspace__:
            cls._database.find_keyspace(cls.__bind_key__)
        return super().column_family_name(include_keyspace)

    @classmethod
    def _discover_polymorphic_submodels(cls) -> None:
        # cqlengine would find the classes that it makes for another keyspace, too.
        super()._discover_polymorphic_submodels()
        for value, kind in cls._discriminator_map.items():
            cls._discriminator_map[value] = definition_of(kind)

    @classmethod
    def _construct_instance(cls, values: dict[str, Any]) -> BoundModel:
        original = definition_of(cls)
        if cls is original or not cls._is_polymorphic:
            return super()._construct_instance(values)  # type: ignore[no-any-return]
        # cqlengine knows no subclass of what it has made for another keyspace.
        instance: BoundModel = original._construct_instance(values)
        kind, clones = type(instance), cls.__dict__.get("_clones")
        if clones is None:
            kept: Any = cls
            kept._clones = clones = {original: cls}
        if kind not in clones:
            clones[kind] = _clone_model_class(kind, {"__keyspace__": cls.__keyspace__})
        instance.__class__ = clones[kind]
        return instance

    @classmethod
    def _find_connection(cls, bind: str | None = None) -> Connection:
        """Return the connection of ``bind``, of the model's own, or of its bind key."""
        return cls._database.find_connection(bind or cls.__connection__ or cls.__bind_key__)

    @classmethod
    def _resolve(cls, bind: str | None = None) -> tuple[Connection, str]:
        """Return the connection and the keyspace of a query, with its user types registered.

        ``bind`` is another way to the nodes: the keyspace stays the model's own.
        """
        connection, keyspace = cls._database.resolve(cls.__bind_key__)
        other = bind or cls.__connection__
        if other is not None:
            connection = cls._database.find_connection(other)
        keyspace = cls.__keyspace__ or keyspace
        if cls._database.registry.types:
            connection.register_types(keyspace)
        return connection, keyspace

    @classmethod
    def _remember(cls, key: tuple[Any, ...], cql: str) -> StatementInfo:
        """Return what a statement is, and keep it, so that its text is made once.

        :param key: the keyspace, the kind of statement, and what else its text depends on.
        """
        keyspace, kind = key[:2]
        if len(cls._plans) >= MAX_STATEMENTS:
            cls._plans.clear()
        info = cls._plans[key] = StatementInfo(kind, cls._subject(keyspace), cql, cls)
        return info

    @classmethod
    def create(cls, **kwargs: object) -> Self:
        """Insert a row and return its instance.

        :raises ValidationError: naming the column that does not exist or whose value cannot be
            stored.
        """
        return cls.objects.create(**kwargs)

    @classmethod
    def _subject(cls, keyspace: str) -> str:
        """Return what an error names as the table."""
        return f"{keyspace}.{cls._raw_column_family_name()}"

    def update(self, **values: object) -> Self:
        """Write the columns given, and those changed since the instance was read.

        :raises ValidationError: naming the column that does not exist, belongs to the key, or whose
            value cannot be stored.
        """
        plan = self._write_plan
        if (
            plan is not None
            and self.__dict__.keys().isdisjoint(_OPTIONS)
            and self.__consistency__ is None
            and write_update(self, plan, values)
        ):
            return self
        return super().update(**values)

    def save(self) -> Self:
        """Insert a new instance; of one that was read, write what has changed since.

        :raises ValidationError: naming the column whose value cannot be stored.
        """
        plan = self._write_plan
        if plan is not None and self.__consistency__ is None:
            state = self.__dict__
            if self._is_persisted:
                if state.keys().isdisjoint(_OPTIONS) and write_update(self, plan, {}):
                    return self
            elif not any(_is_set(state.get(option)) for option in _OPTIONS_OF_STATEMENTS):
                write_insert_of(self, plan)
                return self
        return super().save()

    @classmethod
    def _class_get_connection(cls) -> str:
        return cls.__connection__ or cls._database.registry.connection_name(cls.__bind_key__)

    def _inst_get_connection(self) -> str:
        return self._connection or self._class_get_connection()

    _get_connection = hybrid_classmethod(_class_get_connection, _inst_get_connection)


def _hashable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return frozenset((key, _hashable(item)) for key, item in value.items())
    if isinstance(value, set | util.SortedSet):
        return frozenset(map(_hashable, value))
    if isinstance(value, list | tuple):
        return tuple(map(_hashable, value))
    return value


class BoundUserType(CQLEngineUserType):
    """The base of every ``db.UserType``."""

    _database: ClassVar[Database] = cast("Database", _NoDatabase("db.UserType"))

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        database = cls.__dict__.get("_database")
        if database is None:
            cls._database.registry.add_type(cls)

    def __hash__(self) -> int:
        """Hash the values, so that a set may have user types, and a map keys of them.

        As with any value that can change: not while it is in one.
        """
        return hash((type(self), *map(_hashable, self.values())))

    @classmethod
    def register_for_keyspace(cls, keyspace: str, connection: str | None = None) -> None:
        """Do nothing: each connection registers the types of its keyspaces itself."""


def make_model_base(database: Database) -> type[BoundModel]:
    """Return the ``Model`` class of one ``CQLAlchemy`` object."""
    attrs = {"__abstract__": True, "_database": database, "__doc__": BoundModel.__doc__}
    base: Any = _ModelMeta("Model", (BoundModel,), attrs)
    return base  # type: ignore[no-any-return]


def make_type_base(database: Database) -> type[BoundUserType]:
    """Return the ``UserType`` class of one ``CQLAlchemy`` object."""
    attrs = {"_database": database, "__doc__": BoundUserType.__doc__}
    make: Any = type(BoundUserType)
    return make("UserType", (BoundUserType,), attrs)  # type: ignore[no-any-return]
