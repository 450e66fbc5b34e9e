"""How an instance keeps its columns: as the row that was read, until something is changed.

cqlengine wraps each value of each instance in a manager that notices changes, copies deeply and
costs several times what reading the row does. A *light* instance, as a query returns it, has
the row as its ``__dict__``: reading a scalar is reading an attribute, and assigning to one keeps
what it was. Assigning a collection, and whatever of cqlengine's own code asks for ``_values``,
makes it a *full* one, with cqlengine's managers. The keys of ``__dict__`` tell the states apart::

    new, or full               "_values", which cqlengine's __init__ or FullValues has set
    light, as it was read      the row: "title", "tags", ...
    light, a scalar assigned   the row, and "_originals" with what the scalar was
    light, a collection read   the row, and "tags read" with the copy that a program may change
    stored                     light, as it was read: make_light, forget_changes
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from cassandra.cqlengine import columns
from cassandra.cqlengine.connection import NOT_SET
from cassandra.cqlengine.models import ColumnQueryEvaluator

if TYPE_CHECKING:
    from .._cqlengine import Model
    from .mapper import Mapper

    M = TypeVar("M", bound=Model)

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

_NOTHING: Mapping[str, object] = MappingProxyType({})

#: Stands for what the row has in a column that the instance was read without.
UNKNOWN = object()


class ScalarAttribute:
    """A column whose values do not change in place.

    Without ``__set__``, so a light instance's ``__dict__`` comes first and this is not even called.
    """

    def __init__(self, column: columns.Column) -> None:
        self.column = column
        self._evaluator = ColumnQueryEvaluator(column)

    def __get__(self, instance: Model | None, owner: type[Model]) -> Any:
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

    def __get__(self, instance: Model | None, owner: type[Model]) -> Any:
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

    def __set__(self, instance: Model, value: object) -> None:
        instance._values[self.column.column_name].setval(value)


class AliasAttribute:
    """``pk``: another name of a model's only partition key."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: Model | None, owner: type[Model]) -> Any:
        return getattr(owner if instance is None else instance, self._name)

    def __set__(self, instance: Model, value: object) -> None:
        setattr(instance, self._name, value)


class FullValues:
    """``_values``: makes a light instance a full one when it is first asked for."""

    def __get__(self, instance: Model | None, owner: type[Model]) -> Any:
        if instance is None:
            return self
        state = instance.__dict__
        originals = state.get(_ORIGINALS, _NOTHING)
        mapper: Mapper = owner.__mapper__
        readers = mapper.readers
        values = {}
        for name, column in mapper.columns.items():
            row_value = state.get(name)
            make = readers.get(name)
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
        unread = frozenset(name for name in mapper.columns if not _is_in(state, name))
        if unread:
            state[_UNREAD] = unread
        state["_values"] = values
        # Last, or another thread that reads would find neither.
        for name in mapper.columns:
            state.pop(name, None)
            state.pop(name + _READ, None)
        state.pop(_ORIGINALS, None)
        return values


def _is_in(state: dict[str, object], name: str) -> bool:
    return name in state or name + _READ in state


def was_read(instance: object, name: str) -> bool:
    """Return whether an instance has a column: not if it was read without it. Null is a value."""
    state = instance.__dict__
    if "_values" not in state:
        return name in state
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


def mark_unread(instance: Model, names: Iterable[str]) -> None:
    """Remember which columns a full instance was read without."""
    instance.__dict__[_UNREAD] = frozenset(names)


def save_state(instance: Model) -> dict[str, object]:
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


def restore_state(instance: Model, state: dict[str, Any]) -> None:
    """Give an instance a state that ``save_state`` returned."""
    managed = state.pop(_MANAGED, None)
    if managed is not None:
        values = state["_values"] = {}
        columns_by_name = instance.__mapper__.columns
        for name, (value, previous, explicit) in managed.items():
            column = columns_by_name[name]
            manager = values[name] = column.value_manager(instance, column, value)
            manager.previous_value, manager.explicit = previous, explicit
    object.__setattr__(instance, "__dict__", state)


def is_light(instance: Model) -> bool:
    """Return whether an instance has its row, of which at most scalars have changed."""
    state = instance.__dict__
    if "_values" in state:
        return False
    for name, read in instance.__mapper__.readers.items():
        key = name + _READ
        if key in state and state[key] != read(state.get(name)):
            return False
    return True


def assign_scalar(instance: Model, name: str, value: object) -> None:
    """Assign to a column of a light instance whose values do not change in place."""
    state = instance.__dict__
    state.setdefault(_ORIGINALS, {}).setdefault(name, state.get(name))
    state[name] = value


def scalar_changes(instance: Model) -> Mapping[str, object]:
    """Return what the scalars of a light instance were before they were assigned to."""
    return instance.__dict__.get(_ORIGINALS) or _NOTHING


def forget_changes(instance: Model) -> None:
    """Take a light instance for what is stored."""
    instance.__dict__.pop(_ORIGINALS, None)


def given_values(instance: Model) -> dict[str, object]:
    """Return the values of an instance: for a new one the columns that were given or have a value,
    for one that was read the columns that were read.
    """
    state = instance.__dict__
    if "_values" not in state:
        # Of a new one what is null was not given, unless it was assigned.
        originals, stored = scalar_changes(instance), is_stored(instance)
        return {
            name: getattr(instance, name)
            for name, column in instance.__mapper__.columns.items()
            if state.get(name) is not None
            or state.get(name + _READ)
            or name in originals
            or (stored and name in state and not column.static)
        }
    return {
        name: manager.value
        for name, manager in instance._values.items()
        if manager.explicit or not manager.column._val_is_null(manager.value)
    }


def make_light(instance: Model, row: dict[str, object]) -> None:
    """Make an instance whose row has been written one as if it had been read."""
    state = instance.__dict__
    values = state.get("_values")
    if values is None:
        state.pop("_is_persisted", None)
        forget_changes(instance)
        held = {name: state.get(name + _READ) for name in instance.__mapper__.readers}
        state.update(row)
    else:
        # A program may hold on to the collection that it has read from the instance.
        held = {name: values[name].value for name in instance.__mapper__.readers}
        others = {name: value for name, value in state.items() if name not in _MADE_BY_CQLENGINE}
        if state.get("_connection"):
            # Where the row is, is not an option of one write.
            others["_connection"] = state["_connection"]
        state = row | others
        object.__setattr__(instance, "__dict__", state)
    for name, value in held.items():
        if value and value.__class__ is row[name].__class__:
            state[name + _READ] = value
            if value is row[name]:
                # To compare with, when the program changes its own.
                state[name] = deepcopy(value)
        else:
            state.pop(name + _READ, None)


def stored_values(instance: Model, names: Iterable[str]) -> dict[str, object]:
    """Return values of columns as they were when the instance was read or written; of a new
    instance, those that it has.
    """
    state = instance.__dict__
    if not is_stored(instance):
        return {name: getattr(instance, name) for name in names}
    if "_values" in state:
        return {name: instance._values[name].previous_value for name in names}
    row, readers = {**state, **scalar_changes(instance)}, instance.__mapper__.readers
    return {
        name: readers[name](row.get(name)) if name in readers else row.get(name) for name in names
    }


def take_over(instance: Model, read: Model) -> None:
    """Give an instance the state of one that has just been read, which nobody else has.

    What a program has put on it stays, and so does the connection that it was told to use.
    """
    mapper = instance.__mapper__
    replaced = {*mapper.columns, *_MADE_BY_CQLENGINE, _ORIGINALS, "_if_exists", "_if_not_exists"}
    replaced.update(name + _READ for name in mapper.readers)
    replaced.remove("_connection")
    kept = {name: value for name, value in instance.__dict__.items() if name not in replaced}
    object.__setattr__(instance, "__dict__", {**read.__dict__, **kept})


def is_stored(instance: object) -> bool:
    """Return whether an instance has a row: it was read, or has been written."""
    return bool(getattr(instance, "_is_persisted", False))


def mark_stored(instance: Model) -> None:
    """Take an instance for one that has a row, as it was when that was inserted."""
    instance.__dict__.pop("_is_persisted", None)


def mark_saved(instance: Model) -> None:
    """Take an instance, a copy of which has been saved, for one that was."""
    instance._set_persisted()


def mark_deleted(instance: Model) -> None:
    """Take an instance for a new one: its row has been deleted."""
    state = instance.__dict__
    state["_is_persisted"] = False
    forget_changes(instance)
    for manager in state.get("_values", _NOTHING).values():
        manager.previous_value = None
        manager.explicit = not manager.column._val_is_null(manager.value)


def changed_key(instance: Model) -> Mapping[str, tuple[object, object]]:
    """Return which columns of the primary key have changed since the instance was read: what they
    were, and are.
    """
    state = instance.__dict__
    if not is_stored(instance):
        return {}
    names = instance.__mapper__.primary_key
    values = state.get("_values")
    if values is None:
        originals = state.get(_ORIGINALS, _NOTHING)
        found = {name: (originals[name], state[name]) for name in names if name in originals}
    else:
        found = {name: (values[name].previous_value, values[name].value) for name in names}
        if instance.__mapper__.has_counters:
            # create() has nothing to insert, and no row to remember the key of.
            found = {name: pair for name, pair in found.items() if pair[0] is not None}
    return {name: pair for name, pair in found.items() if pair[0] != pair[1]}


def changes_of(
    instance: Model, pending: Mapping[str, object] = _NOTHING, also: Iterable[str] = ()
) -> dict[str, tuple[Any, Any]]:
    """Return what has changed since an instance was read or made: the new value, and what the row
    has, or UNKNOWN.

    :param pending: what is going to be written in the same batch, by attribute.
    :param also: columns to return in any case.
    """
    state = instance.__dict__
    managers = state.get("_values")
    find = _change_in_row if managers is None else _change_in_manager
    wanted = {*also}
    found = {}
    for name in instance.__mapper__.columns:
        value, previous, is_changed = find(instance, name)
        if name in pending:
            previous = pending[name]
            is_changed = value != previous
        if is_changed or name in wanted:
            found[name] = value, previous
    return found


def _change_in_row(instance: Model, name: str) -> tuple[Any, Any, bool]:
    state = instance.__dict__
    make = instance.__mapper__.readers.get(name)
    if make is None:
        originals = state.get(_ORIGINALS, _NOTHING)
        value = state.get(name)
        if name not in originals:
            return value, value, False
        previous = originals[name]
        # To assign None is to remove what is there now, whatever was read.
        return value, previous, value is None or value != previous
    previous = make(state.get(name))
    value = state.get(name + _READ, previous)
    return value, previous, value != previous


def _change_in_manager(instance: Model, name: str) -> tuple[Any, Any, bool]:
    state = instance.__dict__
    manager = state["_values"][name]
    value, previous = manager.value, manager.previous_value
    is_null = manager.column._val_is_null(value)
    if not is_stored(instance):
        is_counter = isinstance(manager.column, columns.Counter)
        return value, previous, bool(manager.changed or manager.deleted or is_counter)
    if manager.explicit and name in state.get(_UNREAD, ()):
        previous = UNKNOWN
    is_changed = manager.explicit if is_null else value != previous
    return value, previous, bool(is_changed or manager.deleted)


def mark_written(instance: Model, written: Mapping[str, tuple[Any, Any]]) -> None:
    """Take columns of an instance for written.

    :param written: what the instance had then, and what the row has now, by attribute. What has
        changed since stays to be written.
    """
    state = instance.__dict__
    if is_stored(instance) or _is_whole(instance, written):
        state.pop("_is_persisted", None)
    for name, (given, stored) in written.items():
        if "_values" not in state:
            _mark_in_row(instance, name, given, stored)
            continue
        manager = state["_values"][name]
        if manager.value == given:
            manager.explicit = False
            if manager.value != stored or type(manager.value) is not type(stored):
                manager.value = stored
        manager.previous_value = deepcopy(stored)
    if _UNREAD in state:
        state[_UNREAD] -= written.keys()


def _is_whole(instance: Model, written: Iterable[str]) -> bool:
    """Return whether the row of a new instance has all of it, though it was not inserted."""
    mapper: Mapper = instance.__mapper__
    others = mapper.columns.keys() - mapper.primary_key.keys() - {*written}
    return all(mapper.columns[name]._val_is_null(getattr(instance, name)) for name in others)


def _mark_in_row(instance: Model, name: str, given: Any, stored: Any) -> None:
    state = instance.__dict__
    if name in instance.__mapper__.readers:
        if (
            name + _READ in state
            and state[name + _READ] == given
            and (given != stored or type(given) is not type(stored))
        ):
            state[name + _READ] = stored
        state[name] = deepcopy(stored)
        return
    originals = state.get(_ORIGINALS, {})
    if state.get(name) == given:
        state[name] = stored
        originals.pop(name, None)
        if not originals:
            forget_changes(instance)
    else:
        originals[name] = stored


def make_instance(model: type[M], row: dict[str, object]) -> M:
    """Return a light instance with a row by the names of attributes, which it takes over."""
    instance = object.__new__(model)
    object.__setattr__(instance, "__dict__", row)
    return instance


def make_full_instance(model: type[M], values: Mapping[str, object]) -> M:
    """Return an instance, made by the model's ``__init__``, with values that were read."""
    instance = model(**values)
    instance._set_persisted(force=True)
    return instance


def make_instances(
    mapper: Mapper, rows: Iterable[dict[str, object]], known: dict[str, object]
) -> list[Any]:
    """Return a light instance for each row, which it takes over.

    :param rows: dictionaries by the columns' names in CQL.
    :param known: values that the rows lack because the query gave them.
    """
    make, set_attribute = object.__new__, object.__setattr__
    instances = []
    model, renames, conversions = mapper.model, mapper.renames, mapper.conversions
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
