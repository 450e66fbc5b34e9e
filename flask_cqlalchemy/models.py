"""``db.Model`` and ``db.UserType``: cqlengine's classes, bound to a ``CQLAlchemy`` object.

cqlengine keeps its default keyspace and connection in globals of the process. A bound model asks
its ``CQLAlchemy`` object instead, which answers for the current application.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar, cast

from cassandra import util
from cassandra.cqlengine import ValidationError
from cassandra.cqlengine import connection as cqlengine_connection
from cassandra.cqlengine.models import (
    ModelDefinitionException,
    PolymorphicModelException,
    _clone_model_class,
    hybrid_classmethod,
)

from ._cqlengine import Model as CQLEngineModel
from ._cqlengine import ModelMetaClass, ModelQuerySet
from ._cqlengine import UserType as CQLEngineUserType
from .columns.corrections import correct
from .columns.values import Refusal
from .config import DEFAULT_BIND
from .mapping.instances import (
    AliasAttribute,
    FullValues,
    MutableAttribute,
    ScalarAttribute,
    assign_scalar,
    make_full_instance,
    restore_state,
    save_state,
    stored_values,
    take_over,
    was_read,
)
from .mapping.kinds import derive_name, given_name
from .mapping.mapper import Mapped, copy_mapper, fields_of, make_mapper
from .mapping.naming import naming_model, unknown_name
from .mapping.texts import show
from .query.base import Query
from .query.dml import DMLQuery, dml_query_of
from .query.kinds import Objects
from .query.options import take_options
from .query.saving import change_instance, check_changed_names, delete_instance, save_instance
from .query.writes import check_key
from .queryset import QuerySet

if TYPE_CHECKING:
    from typing_extensions import Self

    from .state import Database

#: What a program may have its own version of, that a write of the kit's could pass by.
_OVERRIDABLE = (
    *("__init__", "save", "create", "update", "delete", "validate", "__dmlquery__"),
    "column_family_name",
)

#: The same of a model's query set.
_OF_QUERY_SETS = ("create", "update", "delete")

#: Where the versions of these are that are not a program's.
_STOCK_MODULES = frozenset(
    {__name__, CQLEngineModel.__module__, Query.__module__, ModelQuerySet.__module__}
)


class _ModelMeta(ModelMetaClass):
    def __init__(self, name: str, bases: tuple[type, ...], attrs: dict[str, object]) -> None:
        super().__init__(name, bases, attrs)
        model: Any = self
        if _is_clone(name, bases, attrs):
            # Differs in the keyspace at most, which is a part of every key.
            model.__mapper__ = copy_mapper(bases[0].__mapper__, model)  # type: ignore[attr-defined]
            return
        if not any(isinstance(base, _ModelMeta) for base in bases):
            # BoundModel itself.
            return
        overridden = frozenset(
            [each for each in _OVERRIDABLE if _is_overridden(self, each)]
            + [
                f"objects.{each}"
                for each in _OF_QUERY_SETS
                if _is_overridden(model.__queryset__, each)
            ]
        )
        model.__mapper__ = mapper = make_mapper(model, model._database, overridden)
        if mapper.table_owner is model and not attrs["__abstract__"]:
            # To cqlengine a model's name is that of all that inherit from it, too.
            model.__table_name__ = given_name(self)
        for column_name, column in mapper.columns.items():
            if '"' in column.db_field_name:
                raise ModelDefinitionException(
                    f"{name}.{column_name}: the name {column.db_field_name!r} has a quote, "
                    "which cqlengine cannot write."
                )
            read = mapper.readers.get(column_name)
            attribute = ScalarAttribute(column) if read is None else MutableAttribute(column, read)
            setattr(model, column_name, attribute)
        if mapper.pk is not None and "pk" not in mapper.columns:
            model.pk = AliasAttribute(mapper.pk)
        if not attrs["__abstract__"]:
            model._database.registry.add_model(model)


def _is_overridden(model: type, name: str) -> bool:
    owner = next(base for base in model.__mro__ if name in vars(base))
    return owner.__module__ not in _STOCK_MODULES


def _is_clone(name: str, bases: tuple[type, ...], attrs: dict[str, object]) -> bool:
    """Recognise the class that cqlengine makes of a model for ``using()`` and ``ContextQuery``."""
    base = bases[0]
    return (
        "__qualname__" not in attrs
        and base.__name__ == name
        and not getattr(base, "__abstract__", True)
    )


class _NoDatabaseError(ModelDefinitionException, AttributeError):  # type: ignore[misc]
    """A model inherits from ``Model`` itself. An AttributeError, for those who only look around."""


class _NoDatabase:
    """Stands for the database of what inherits from ``Model`` itself, not from ``db.Model``."""

    def __init__(self, base: str) -> None:
        self._base = base

    def __get__(self, instance: object, owner: type) -> Database:
        raise _NoDatabaseError(
            f"{owner.__name__} has no database: let it inherit from {self._base}, where db is your "
            "CQLAlchemy object."
        )


class BoundModel(CQLEngineModel, Mapped, metaclass=_ModelMeta):
    """The base of every ``db.Model``.

    Beside what cqlengine documents (``__keyspace__``, ``__table_name__``, ``__options__``,
    ``__abstract__``, ``__discriminator_value__``) a model may set ``__bind_key__`` to the name of
    an entry of ``CASSANDRA_BINDS``, and ``__view__`` to true if it is over a materialised view,
    which is read alone: nothing creates it, and writes are refused.
    """

    __abstract__ = True
    __bind_key__: ClassVar[str] = DEFAULT_BIND
    __view__: ClassVar[bool] = False
    __queryset__ = QuerySet
    __dmlquery__ = DMLQuery
    _database: ClassVar[Database] = cast("Database", _NoDatabase("db.Model"))
    #: The classes that cqlengine made of this one for other keyspaces, for models that inherit.
    _clones: ClassVar[dict[type[Any], type[Any]]]

    _values = FullValues()
    # What cqlengine sets on every instance that it makes; a light one has it from the class.
    _ttl = None
    _conditional = None
    _batch = None
    _timeout = cqlengine_connection.NOT_SET
    _is_persisted = True

    def __init__(self, **values: object) -> None:
        """Make an instance that is not stored yet.

        :raises ValidationError: naming the column that does not exist or does not take its value.
        """
        known = self.__mapper__.columns
        if not values.keys() <= known.keys():
            name = min(values.keys() - known.keys())
            raise ValidationError(unknown_name(type(self).__name__, name, known))
        with naming_model(type(self).__name__, known):
            super().__init__(**values)

    def validate(self) -> None:
        """Check the values of all columns, which then are as a row has them.

        :raises ValidationError: naming the column that does not take its value.
        """
        mapper = self.__mapper__
        with naming_model(type(self).__name__, mapper.columns):
            super().validate()
        for name in mapper.readers:
            manager = self._values[name]
            if manager.value is None:
                manager.value = mapper.columns[name].to_python(None)

    def _set_attribute(self, name: str, value: object) -> None:
        mapper = self.__mapper__
        if name not in mapper.columns:
            super().__setattr__(name, value)
        elif "_values" in self.__dict__ or name in mapper.readers:
            self._values[name].setval(value)
        else:
            assign_scalar(self, name, value)

    def _delete_attribute(self, name: str) -> None:
        column = self.__mapper__.columns.get(name)
        if column is None:
            super().__delattr__(name)
        elif column.can_delete:
            self._values[name].delval()
        else:
            raise AttributeError(f"cannot delete {name} columns")

    if not TYPE_CHECKING:
        objects = Objects()
        # With these a type checker would let a program assign to any attribute.
        __setattr__, __delattr__ = _set_attribute, _delete_attribute

    def __repr__(self) -> str:
        """Return the model and its columns, the key among them; ``...`` for what was not read."""
        mapper = self.__mapper__
        names = [name for name in mapper.columns if name != mapper.discriminator]
        shown = [f"{name}={show(getattr(self, name))}" for name in names if was_read(self, name)]
        rest = ["..."] if len(shown) < len(names) else []
        return f"{type(self).__name__}({', '.join(shown + rest)})"

    def __getstate__(self) -> dict[str, object]:
        return save_state(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        restore_state(self, state)

    def __copy__(self) -> Self:
        # A copy with the same collections would change together with the original.
        return deepcopy(self)

    def __hash__(self) -> int:
        """Hash the model and the primary key, as it is stored, so that instances can be elements of
        sets and keys of dictionaries. Equal are those that have the same values.

        While an instance is in one, its key must not be changed.

        :raises TypeError: if a part of the key is missing, or cannot be stored.
        """
        mapper = self.__mapper__
        key = []
        for name, column in mapper.primary_key.items():
            value = getattr(self, name)
            if value is None:
                raise TypeError(
                    f"{mapper.name}: {name}, of the primary key, is missing, and an instance is "
                    "hashed by its key."
                )
            try:
                key.append(_hashable(column.to_database(value)))
            except Exception as problem:
                raise TypeError(
                    f"{mapper.name}.{name}, of the primary key, cannot be stored, and an instance "
                    "is hashed by its key."
                ) from problem
        return hash((mapper.definition, *key))

    @classmethod
    def _get_keyspace(cls) -> str | None:
        # cqlengine asks while it makes the class, too, when there is no application yet.
        if cls.__keyspace__ or not cls._database.has_app():
            return cls.__keyspace__
        return cls._database.place(cls.__bind_key__).keyspace

    @classmethod
    def column_family_name(cls, include_keyspace: bool = True) -> str:
        """Return the table's name in CQL, quoted where it must be.

        :raises NoAppError: if the keyspace is an application's, and there is none.
        """
        if include_keyspace and not cls.__keyspace__:
            cls._database.place(cls.__bind_key__)
        return super().column_family_name(include_keyspace)

    @classmethod
    def _raw_column_family_name(cls) -> str:
        owner = cls.__mapper__.table_owner
        if cls is not owner:
            return owner._raw_column_family_name()
        if "_table_name" not in vars(cls):
            # Nor does cqlengine tell apart what it has worked out of a name and what of a base's.
            cls._table_name = None
        if cls._is_polymorphic and not (cls._is_polymorphic_base or cls.__table_name__):
            # cqlengine would take the name of the abstract model that has the discriminator.
            cls._table_name = derive_name(cls.__name__)
        return super()._raw_column_family_name()

    @classmethod
    def _construct_instance(cls, values: dict[str, Any]) -> BoundModel:
        kind = cls.__mapper__.kind
        if kind is None:
            return super()._construct_instance(values)  # type: ignore[no-any-return]
        model = cls._in_this_keyspace(kind.model_of(values))
        # By the names of that model: cqlengine knows those of the one that was asked.
        names = model.__mapper__.attributes
        known = {names[field]: value for field, value in values.items() if field in names}
        made: BoundModel = make_full_instance(model, known)
        return made

    @classmethod
    def _in_this_keyspace(cls, model: Any) -> Any:
        """Return a model that inherits from this one, or what cqlengine makes of it for the
        keyspace for which it has made this one.
        """
        original = cls.__mapper__.definition
        if cls is original:
            return model
        clones = cls.__dict__.get("_clones")
        if clones is None:
            kept: Any = cls
            kept._clones = clones = {original: cls}
        if model not in clones:
            clones[model] = _clone_model_class(model, {"__keyspace__": cls.__keyspace__})
        return clones[model]

    @classmethod
    def create(cls, **kwargs: object) -> Self:
        """Insert a row and return its instance.

        :raises ValidationError: naming the column that does not exist or whose value cannot be
            stored.
        """
        return cls.objects.create(**kwargs)

    @classmethod
    def get_or_create(
        cls, defaults: Mapping[str, object] | None = None, **values: object
    ) -> tuple[Self, bool]:
        """Insert a row unless one has its key; see ``QuerySet.get_or_create``."""
        return cls.objects.get_or_create(defaults, **values)

    @classmethod
    def update_or_create(
        cls, defaults: Mapping[str, object] | None = None, **values: object
    ) -> tuple[Self, bool]:
        """Insert a row, or write these columns of it; see ``QuerySet.update_or_create``."""
        return cls.objects.update_or_create(defaults, **values)

    def refresh(self) -> Self:
        """Read the row again, all columns of it. What was changed and not saved is lost.

        :raises DoesNotExist: if the row is gone; the instance stays as it is.
        :raises ValidationError: naming the column of the primary key that the instance lacks.
        """
        mapper = self.__mapper__
        key = stored_values(self, mapper.primary_key)
        check_key(mapper, key)
        query: QuerySet[Self] = type(self).objects
        connection = self.__dict__.get("_connection")
        take_over(self, (query.using(connection=connection) if connection else query).get(**key))
        return self

    def save(self) -> Self:
        """Insert a new instance, or write what has changed since the instance was read.

        :raises ValidationError: naming the column whose value cannot be stored.
        :raises LWTException: if a condition did not hold.
        """
        options = take_options(self)
        if self._is_written_by_the_kit():
            save_instance(self, options)
        else:
            dml_query_of(self, options).save()
        return self

    def update(self, **values: object) -> Self:
        """Write the columns given, and those changed since the instance was read.

        :raises ValidationError: naming the column that does not exist, belongs to the key, or whose
            value cannot be stored.
        :raises LWTException: if a condition did not hold.
        """
        options = take_options(self)
        check_changed_names(self, values)
        mapper = self.__mapper__
        if "validate" in mapper.overridden or "__dmlquery__" in mapper.overridden:
            for name, value in values.items():
                setattr(self, name, value)
            values = {}
        if self._is_written_by_the_kit():
            change_instance(self, values, options)
        else:
            dml_query_of(self, options).update()
        return self

    def delete(self) -> None:
        """Delete the row. The instance is a new one then: ``save()`` would insert it again.

        :raises ValidationError: if the key was changed since the instance was read.
        :raises LWTException: if a condition did not hold.
        """
        options = take_options(self)
        if "__dmlquery__" in self.__mapper__.overridden:
            dml_query_of(self, options).delete()
        else:
            delete_instance(self, options)

    def _is_written_by_the_kit(self) -> bool:
        """Prepare a write: have the program's own code check it, and say whose code sends it."""
        mapper = self.__mapper__
        if mapper.discriminator is not None:
            if self._is_polymorphic_base:
                raise PolymorphicModelException(
                    f"{mapper.name} is the base of models that share a table: save one of those."
                )
            if mapper.kind is not None and mapper.kind.is_nameless:
                raise PolymorphicModelException(
                    f"{mapper.name} has no __discriminator_value__, so nobody could tell of which "
                    "model its row is: give it one, or save a model that has."
                )
            if getattr(self, mapper.discriminator) != self.__discriminator_value__:
                setattr(self, mapper.discriminator, self.__discriminator_value__)
        if "validate" in mapper.overridden:
            self.validate()
        return "__dmlquery__" not in mapper.overridden

    @classmethod
    def _class_get_connection(cls) -> str:
        # cqlengine's own code looks the name up in its registry, where no bind has its own name.
        return cls._database.registry.connection_name(cls.__connection__ or cls.__bind_key__)

    def _inst_get_connection(self) -> str:
        name: str | None = self._connection
        if name is None:
            return self._class_get_connection()
        return self._database.registry.connection_name(name)

    _get_connection = hybrid_classmethod(_class_get_connection, _inst_get_connection)


def _hashable(value: Any) -> object:
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
    #: By which names a row may give its fields.
    __fields_in_rows__: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        fields = fields_of(cls)
        cls.__fields_in_rows__ = frozenset(field.db_field_name for field in fields.values())
        for field in fields.values():
            correct(field, is_inside=True)
        database = cls.__dict__.get("_database")
        if database is None:
            cls._database.registry.add_type(cls)

    def __init__(self, **values: object) -> None:
        """Make a value of fields, which may have the names of attributes or those in CQL.

        :raises ValidationError: naming the field that does not exist or does not take its value.
        """
        kind = type(self)
        unknown = values.keys() - fields_of(kind).keys() - kind.__fields_in_rows__
        if unknown:
            raise ValidationError(
                unknown_name(kind.__name__, min(unknown), fields_of(kind), "field")
            )
        try:
            super().__init__(**values)
        except Refusal as refused:
            raise refused.within(f"{kind.__name__}.") from refused.__cause__

    def __repr__(self) -> str:
        shown = (f"{name}={show(getattr(self, name))}" for name in fields_of(type(self)))
        return f"{type(self).__name__}({', '.join(shown)})"

    def __hash__(self) -> int:
        """Hash the values, so that user types can be elements of sets and keys of maps.

        While an instance is in a set or a key of a map, it must not be changed.
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
