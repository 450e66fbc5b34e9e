"""How an instance keeps its columns: as the row that was read, until something is changed.

cqlengine wraps each value of each instance in a manager that notices changes, copies deeply and
costs several times what reading the row does. A *light* instance, which is what a query gives, has
the row as its ``__dict__``: reading a scalar is reading an attribute, and assigning to one keeps
what it was. Assigning a collection, and whatever of cqlengine's own code asks for ``_values``,
makes it a *full* one, with cqlengine's managers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from cassandra.cqlengine import columns
from cassandra.cqlengine.connection import NOT_SET
from cassandra.cqlengine.models import ColumnQueryEvaluator

from .conversions import make_reader

if TYPE_CHECKING:
    from .models import BoundModel

    M = TypeVar("M", bound=BoundModel)

#: Ends the key under which a light instance keeps a collection that somebody has read, and may
#: change in place. No column has a blank in its name.
_READ = " read"

#: Where a full instance keeps which columns it was read without.
_UNREAD = "_unread"

#: Where a light instance keeps what its scalars were before they were assigned to.
_ORIGINALS = "_originals"

#: Where ``save_state`` keeps what cqlengine's managers hold.
_MANAGED = "_managed"

#: What cqlengine's ``Model.__init__`` sets; the class has what holds for an instance that was read.
_MADE_BY_CQLENGINE = frozenset(
    {
        "_values",
        "_ttl",
        "_timestamp",
        "_conditional",
        "_batch",
        "_timeout",
        "_is_persisted",
        "_connection",
        _UNREAD,
    }
)

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class ScalarAttribute:
    """A column whose values do not change in place.

    Without ``__set__``, so a light instance's ``__dict__`` comes first and this is not even called.
    """

    def __init__(self, column: columns.Column) -> None:
        self.column = column
        self._evaluator = ColumnQueryEvaluator(column)

    def __get__(self, instance: BoundModel | None, owner: type[BoundModel]) -> Any:
        if instance is None:
            return self._evaluator
        values = instance.__dict__.get("_values")
        # A light instance that comes here was read without this column.
        return None if values is None else values[self.column.column_name].getval()


class MutableAttribute(ScalarAttribute):
    """A column whose values a program may change in place: a collection or a user type."""

    def __init__(self, column: columns.Column, read: Callable[[Any], Any]) -> None:
        super().__init__(column)
        self._read = read
        self._key = column.column_name + _READ

    def __get__(self, instance: BoundModel | None, owner: type[BoundModel]) -> Any:
        if instance is None:
            return self._evaluator
        state = instance.__dict__
        value = state.get(self._key)
        if value is None:
            name = self.column.column_name
            values = state.get("_values")
            if values is not None:
                return values[name].getval()
            # The row keeps what the driver gave: to compare with, and for a copy.
            value = self._read(state.get(name))
            if value is not None:
                state[self._key] = value
        return value

    def __set__(self, instance: BoundModel, value: Any) -> None:
        instance._values[self.column.column_name].setval(value)


class AliasAttribute:
    """``pk``: another name of a model's only partition key."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: BoundModel | None, owner: type[BoundModel]) -> Any:
        return getattr(owner if instance is None else instance, self._name)

    def __set__(self, instance: BoundModel, value: Any) -> None:
        setattr(instance, self._name, value)


class FullValues:
    """``_values``: makes a light instance a full one when it is first asked for."""

    def __get__(self, instance: BoundModel | None, owner: type[BoundModel]) -> Any:
        if instance is None:
            return self
        state = instance.__dict__
        originals = state.get(_ORIGINALS, _NOTHING)
        values = {}
        for name, column in owner._columns.items():
            row_value = state.get(name)
            make = owner._readers.get(name)
            if make is None:
                value, previous = row_value, originals.get(name, row_value)
            else:
                key = name + _READ
                value = state[key] if key in state else make(row_value)
                previous = make(row_value)
            manager = column.value_manager(instance, column, value)
            manager.previous_value = previous
            manager.explicit = name in originals or (make is not None and value != previous)
            values[name] = manager
        unread = frozenset(name for name in owner._columns if not _is_in(state, name))
        if unread:
            state[_UNREAD] = unread
        state["_values"] = values
        # Last, or another thread that reads would find neither.
        for name in owner._columns:
            state.pop(name, None)
            state.pop(name + _READ, None)
        state.pop(_ORIGINALS, None)
        return values


def _is_in(state: dict[str, Any], name: str) -> bool:
    return name in state or name + _READ in state


def was_read(instance: BoundModel, name: str) -> bool:
    """Say whether an instance has a column: not if it was read without it. Null is a value."""
    state = instance.__dict__
    if "_values" not in state:
        return _is_in(state, name)
    if name not in state.get(_UNREAD, ()):
        return True
    manager = state["_values"][name]
    if not manager.explicit or manager.value is None:
        return False
    default = manager.column.default
    if default in (set, list, dict):
        default = default()
    # cqlengine puts a default in, though the row may have another value.
    return not callable(default) and bool(manager.value != default)


def mark_unread(instance: BoundModel, names: Iterable[str]) -> None:
    """Say which columns a full instance was read without."""
    instance.__dict__[_UNREAD] = frozenset(names)


def save_state(instance: BoundModel) -> dict[str, Any]:
    """Return an instance's state for ``pickle`` and ``copy``: without cqlengine's managers."""
    state = dict(instance.__dict__)
    values = state.pop("_values", None)
    if state.get("_timeout") is NOT_SET:
        # A copy of the marker would be taken for a number of seconds.
        del state["_timeout"]
    if values is not None:
        state[_MANAGED] = {
            name: (manager.value, manager.previous_value, manager.explicit)
            for name, manager in values.items()
        }
    return state


def restore_state(instance: BoundModel, state: dict[str, Any]) -> None:
    """Give an instance a state that ``save_state`` returned."""
    managed = state.pop(_MANAGED, None)
    if managed is not None:
        values = state["_values"] = {}
        for name, (value, previous, explicit) in managed.items():
            column = instance._columns[name]
            manager = values[name] = column.value_manager(instance, column, value)
            manager.previous_value, manager.explicit = previous, explicit
    object.__setattr__(instance, "__dict__", state)


def find_readers(model: type[BoundModel]) -> dict[str, Callable[[Any], Any]]:
    """Return, for each column whose values a program may change in place, how to make one of what
    the driver gives.
    """
    return {
        name: make_reader(column)
        for name, column in model._columns.items()
        if isinstance(column, columns.BaseCollectionColumn | columns.UserDefinedType)
    }


def find_conversions(model: type[BoundModel]) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    """Return the scalar columns whose values are not as the driver gives them.

    cqlengine's own scalar types give the driver's value back; a program's own type may not.
    """
    return tuple(
        (name, column.to_python)
        for name, column in model._columns.items()
        if name not in model._readers and type(column).to_python.__module__ != columns.__name__
    )


def is_light(instance: BoundModel) -> bool:
    """Say whether an instance has its row, of which at most scalars have changed."""
    state = instance.__dict__
    if "_values" in state:
        return False
    for name, read in instance._readers.items():
        key = name + _READ
        if key in state and state[key] != read(state.get(name)):
            return False
    return True


def assign_scalar(instance: BoundModel, name: str, value: Any) -> None:
    """Assign to a column of a light instance whose values do not change in place."""
    state = instance.__dict__
    state.setdefault(_ORIGINALS, {}).setdefault(name, state.get(name))
    state[name] = value


def scalar_changes(instance: BoundModel) -> Mapping[str, Any]:
    """Return what the scalars of a light instance were before they were assigned to."""
    return instance.__dict__.get(_ORIGINALS) or _NOTHING


def forget_changes(instance: BoundModel) -> None:
    """Take a light instance for what is stored."""
    instance.__dict__.pop(_ORIGINALS, None)


def given_values(instance: BoundModel) -> dict[str, Any]:
    """Return what an instance has: of a new one the columns that were given, or that have a value;
    of one that was read the columns that were.
    """
    state = instance.__dict__
    if "_values" not in state:
        return {
            name: getattr(instance, name)
            for name in instance._columns
            if name in state or state.get(name + _READ)
        }
    return {
        name: manager.value
        for name, manager in instance._values.items()
        if manager.explicit or not manager.column._val_is_null(manager.value)
    }


def make_light(instance: BoundModel, row: dict[str, Any]) -> None:
    """Make an instance whose row has been written one as if it had been read."""
    values = instance.__dict__.get("_values")
    if values is None:
        forget_changes(instance)
        return
    state = {
        name: value for name, value in instance.__dict__.items() if name not in _MADE_BY_CQLENGINE
    }
    for name in instance._readers:
        # A program may hold on to the collection that it has read from the instance.
        held = values[name].value
        if held.__class__ is row[name].__class__ and held:
            state[name + _READ] = held
    object.__setattr__(instance, "__dict__", row | state)


def make_instance(model: type[M], row: dict[str, Any]) -> M:
    """Return a light instance with a row by the names of attributes, which it takes over."""
    instance = object.__new__(model)
    object.__setattr__(instance, "__dict__", row)
    return instance


def make_instances(
    model: type[M], rows: Iterable[dict[str, Any]], known: dict[str, Any]
) -> list[M]:
    """Return a light instance for each row, which it takes over.

    :param rows: dictionaries by the columns' names in CQL.
    :param known: values that the rows lack because the query gave them.
    """
    make, set_attribute = object.__new__, object.__setattr__
    instances = []
    renames, conversions = tuple(model._db_map.items()), model._conversions
    if not (known or renames or conversions):
        for row in rows:
            instance = make(model)
            set_attribute(instance, "__dict__", row)
            instances.append(instance)
        return instances
    for row in rows:
        if known:
            row.update(known)
        for field, name in renames:
            if field in row:
                row[name] = row.pop(field)
        for name, convert in conversions:
            if row.get(name) is not None:
                row[name] = convert(row[name])
        instance = make(model)
        set_attribute(instance, "__dict__", row)
        instances.append(instance)
    return instances
