"""``Mapper``: what the kit knows of one model.

Worked out once, when the class is made, and reached as ``Model.__mapper__``. Every module that
needs a model's columns, keys or table asks its mapper; no other reads these from the names that
cqlengine keeps private.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeGuard, cast

from cassandra.cqlengine import columns as cqlengine_columns
from cassandra.metadata import protect_name

from ..columns.corrections import correct
from ..connection.place import Place
from ..statements.info import StatementInfo, Timed
from .conversions import Conversion, make_reader
from .filters import Filter, make_filter
from .kinds import Kind, find_kind, find_table_owner
from .writer import Writer, make_writer

if TYPE_CHECKING:
    from cassandra.cqlengine.columns import Column

    from .._cqlengine import Model, UserType

#: Texts of statements that a model remembers; beyond, it forgets all and begins anew.
MOST_TEXTS = 1000


#: A keyspace, the kind of statement, and what else its text depends on.
StatementKey = tuple[Any, ...]


class Places(Protocol):
    """What a mapper asks of its ``CQLAlchemy`` object."""

    def place(self, bind: str = ...) -> Place:
        """Return the current application's connection for a bind, and the keyspace in force."""
        ...

    def has_app(self) -> bool:
        """Return whether there is a current application to answer for."""
        ...


@dataclass(frozen=True, eq=False)
class Mapper:
    """What the kit knows of one model.

    :ivar name: the model's name.
    :ivar model: the class; of one that cqlengine has made for another keyspace, that.
    :ivar definition: the class that a program has written.
    :ivar database: whose model it is.
    :ivar columns: every column by the name of its attribute, in the order of the table.
    :ivar attributes: the names of attributes by the columns' names in CQL.
    :ivar renames: of these, the pairs that differ.
    :ivar partition_key: the columns that say in which partition a row is, in order.
    :ivar clustering_key: the columns by which a partition's rows are ordered.
    :ivar descending: the attributes among these in whose order the greatest value comes first.
    :ivar primary_key: both.
    :ivar static: the attributes of columns that a partition has once.
    :ivar counters: the attributes of counters.
    :ivar indexed: the attributes of columns with an index.
    :ivar user_types: those that the columns name.
    :ivar discriminator: the attribute that tells the models of a shared table apart, if they share
        one.
    :ivar table_owner: the model whose table the rows are in: this one's definition, or the one with
        which it shares it.
    :ivar kind: what the model has of a shared table, if it is one.
    :ivar is_kind: whether the table has rows of other models, which are none of this one's.
    :ivar pk: the attribute that ``pk`` stands for: the only one of the partition key.
    :ivar overridden: what the program has its own version of, of what writes call: ``save``,
        ``validate``, ``objects.create`` and the like.
    :ivar readers: for the columns whose values change in place, what makes one of the driver's.
    :ivar conversions: ``to_python`` of the scalar columns whose type is the program's own.
    :ivar writer: what a write of a row needs.
    """

    name: str
    model: type[Model]
    definition: type[Model]
    database: Places = field(repr=False)
    columns: Mapping[str, Column] = field(repr=False)
    attributes: Mapping[str, str] = field(repr=False)
    renames: tuple[tuple[str, str], ...] = field(repr=False)
    partition_key: Mapping[str, Column]
    clustering_key: Mapping[str, Column]
    descending: frozenset[str] = field(repr=False)
    primary_key: Mapping[str, Column] = field(repr=False)
    static: tuple[str, ...] = field(repr=False)
    counters: tuple[str, ...] = field(repr=False)
    indexed: tuple[str, ...] = field(repr=False)
    user_types: tuple[type[UserType], ...] = field(repr=False)
    discriminator: str | None = field(repr=False)
    table_owner: type[Model] = field(repr=False)
    kind: Kind | None = field(repr=False)
    is_kind: bool = field(repr=False)
    pk: str | None = field(repr=False)
    overridden: frozenset[str] = field(repr=False)
    readers: Mapping[str, Conversion] = field(repr=False)
    conversions: tuple[tuple[str, Conversion], ...] = field(repr=False)
    writer: Writer = field(repr=False)
    #: Whether rows become instances without a call of ``__init__``.
    makes_light: bool = field(repr=False)
    #: What the arguments of ``filter`` mean, and what the statements of a shape are: as they are
    #: asked for.
    filters: dict[str, Filter] = field(default_factory=dict, repr=False)
    statements: dict[StatementKey, StatementInfo] = field(default_factory=dict, repr=False)

    # Names

    @property
    def table(self) -> str:
        """The table's name, as the schema has it."""
        name: str = self.model._raw_column_family_name()
        return name

    @property
    def bind(self) -> str:
        """The bind that the model is of: ``__bind_key__``."""
        bind: str = self.model.__bind_key__
        return bind

    @property
    def own_keyspace(self) -> str | None:
        """The keyspace that the model names itself; None if it is the application's."""
        keyspace: str | None = self.model.__keyspace__
        return keyspace

    @property
    def consistency(self) -> int | None:
        """The level that the model asks of its writes, if it does."""
        level: int | None = self.model.__consistency__
        return level

    @property
    def options(self) -> Mapping[str, object]:
        """The table's options that the model names: ``__options__``."""
        options: Mapping[str, object] | None = self.model.__options__
        return options or {}

    @property
    def is_view(self) -> bool:
        """Whether the model says that it is over a materialised view: ``__view__``."""
        is_view: bool = self.model.__view__
        return is_view

    @property
    def is_polymorphic(self) -> bool:
        """Whether the table is shared by several models."""
        return self.discriminator is not None

    @property
    def has_counters(self) -> bool:
        """Whether the table is one of counters."""
        return bool(self.counters)

    def qualified(self, keyspace: str) -> str:
        """Return the table's name with its keyspace, as CQL writes it."""
        if "column_family_name" in self.overridden:
            return self.model.column_family_name()
        return f"{protect_name(keyspace)}.{protect_name(self.table)}"

    def subject(self, keyspace: str) -> str:
        """Return what an error names as the table."""
        return f"{keyspace}.{self.table}"

    # Where

    def place(self, bind: str | None = None) -> Place:
        """Return where the table is, for one call.

        :param bind: another way to the nodes: the keyspace stays the model's own.
        :raises NoAppError: if there is no current application.
        :raises UnknownBind: if ``CASSANDRA_BINDS`` lacks the bind.
        """
        model = self.model
        place = self.database.place(model.__bind_key__)
        other = bind or model.__connection__
        if other is not None:
            place = Place(self.database.place(other).connection, place.keyspace)
        keyspace = model.__keyspace__
        return Place(place.connection, keyspace) if keyspace else place

    def fields_of_kinds(self) -> list[str]:
        """Return the columns, by their names in CQL, that rows of the model and of those which
        inherit from it have in its table.
        """
        fields = dict.fromkeys(self.attributes)
        for model in () if self.kind is None else self.kind.models_below():
            mapper: Mapper = model.__mapper__
            if mapper.table == self.table:
                fields.update(dict.fromkeys(mapper.attributes))
        return list(fields)

    # What is worked out once

    def filter(self, argument: str) -> Filter | None:
        """Return what an argument of a query set's ``filter`` means; None leaves it to cqlengine.

        :raises QueryOperatorException: if the operator does not exist.
        """
        known = self.filters.get(argument)
        if known is None:
            known = make_filter(self.name, self.columns, self.pk, argument)
            if known is not None:
                # Only what the model has: arguments may come from a request.
                self.filters[argument] = known
        return known

    def remember(self, key: StatementKey, cql: str, timed: Timed | None = None) -> StatementInfo:
        """Return what a statement is, and keep it in ``statements``, so that its text is made once.

        :param key: the keyspace, the kind of statement, and what else its text depends on.
        :param timed: the text with a timestamp, for a write.
        """
        keyspace, kind = key[:2]
        if len(self.statements) >= MOST_TEXTS:
            self.statements.clear()
        info = StatementInfo(kind, self.subject(keyspace), cql, self.model, timed)
        self.statements[key] = info
        return info


class Mapped:
    """What has a mapper: every model of a ``CQLAlchemy`` object."""

    __mapper__: ClassVar[Mapper]


def mapper_of(model: type[object] | None) -> Mapper | None:
    """Return a model's mapper; None for any other class, such as a user type's, and for none."""
    return model.__mapper__ if is_mapped(model) else None


def is_mapped(model: object) -> TypeGuard[type[Mapped]]:
    """Return whether a class is a model of a ``CQLAlchemy`` object."""
    return isinstance(model, type) and issubclass(model, Mapped)


def make_mapper(model: Any, database: Places, overridden: frozenset[str]) -> Mapper:
    """Work out what there is to know of a model; its columns are corrected on the way."""
    by_name: Mapping[str, Column] = model._columns
    for column in by_name.values():
        correct(column)
    readers = {
        name: make_reader(column)
        for name, column in by_name.items()
        if isinstance(
            column, cqlengine_columns.BaseCollectionColumn | cqlengine_columns.UserDefinedType
        )
    }
    makes_light = "__init__" not in overridden and not model._is_polymorphic
    clustering: Mapping[str, Column] = model._clustering_keys
    table_owner = find_table_owner(model)
    kind = find_kind(model, table_owner)
    for base in model.__mro__[1:] if kind is not None else ():
        if is_mapped(base) and "__mapper__" in vars(base):
            # Their SELECTs name the columns of all models that inherit from them.
            base.__mapper__.statements.clear()
    return Mapper(
        name=model.__name__,
        model=model,
        definition=model,
        database=database,
        columns=by_name,
        attributes={column.db_field_name: name for name, column in by_name.items()},
        renames=tuple(model._db_map.items()),
        partition_key=model._partition_keys,
        clustering_key=clustering,
        descending=frozenset(
            name
            for name, column in clustering.items()
            if (column.clustering_order or "").upper() == "DESC"
        ),
        primary_key=model._primary_keys,
        static=_names(by_name, lambda column: column.static),
        counters=_names(by_name, lambda column: isinstance(column, cqlengine_columns.Counter)),
        indexed=_names(by_name, lambda column: column.index),
        user_types=tuple(_user_types_of(by_name.values())),
        discriminator=model._discriminator_column_name,
        table_owner=table_owner,
        kind=kind,
        is_kind=table_owner is not model,
        pk=model._pk_name,
        overridden=overridden,
        readers=readers,
        conversions=_find_conversions(by_name, readers),
        writer=make_writer(model.__name__, by_name, readers),
        makes_light=makes_light,
    )


def copy_mapper(mapper: Mapper, model: Any) -> Mapper:
    """Return the mapper of a class that cqlengine has made of a model, for another keyspace."""
    # cqlengine forgets that it is the base, whose instances cannot be saved.
    model._is_polymorphic_base = mapper.definition._is_polymorphic_base
    return replace(mapper, model=model)


def _names(by_name: Mapping[str, Column], is_wanted: Callable[[Column], bool]) -> tuple[str, ...]:
    return tuple(name for name, column in by_name.items() if is_wanted(column))


def _find_conversions(
    by_name: Mapping[str, Column], readers: Mapping[str, Conversion]
) -> tuple[tuple[str, Conversion], ...]:
    """Return the scalar columns whose values are not as the driver gives them.

    cqlengine's own scalar types give the driver's value back; a program's own type may not.
    """
    return tuple(
        (name, column.to_python)
        for name, column in by_name.items()
        if name not in readers and type(column).to_python.__module__ != cqlengine_columns.__name__
    )


def _user_types_of(columns: Iterable[Column]) -> list[type[UserType]]:
    found: list[type[UserType]] = []
    for column in columns:
        cqlengine_columns.resolve_udts(column, found)
    return list(dict.fromkeys(found))


def keys_of(model: type[object]) -> tuple[Mapping[str, Column], Mapping[str, Column]]:
    """Return the partition key and the primary key of any model of cqlengine's; of another class
    nothing.
    """
    return getattr(model, "_partition_keys", {}), getattr(model, "_primary_keys", {})


def discriminator_of(model: type[object]) -> str | None:
    """Return the attribute that tells the models of a shared table apart; of any class."""
    name: str | None = getattr(model, "_discriminator_column_name", None)
    return name


# User types


def fields_of(user_type: type[UserType]) -> Mapping[str, Column]:
    """Return the fields of a user type, by the names of attributes."""
    return cast("Mapping[str, Column]", user_type._fields)


def user_types_in(user_type: type[UserType]) -> list[type[UserType]]:
    """Return the user types that the fields of another name."""
    return _user_types_of(fields_of(user_type).values())


def columns_of(model: type[object]) -> Mapping[str, Column]:
    """Return the columns of a model, or the fields of a user type, by the names of attributes.

    :raises TypeError: if it is neither, or has none.
    """
    known = getattr(model, "_columns", None) or getattr(model, "_fields", None)
    if not known:
        raise TypeError(f"{model!r} has no columns: it is not a model or a user type, or is empty.")
    return cast("Mapping[str, Column]", known)
