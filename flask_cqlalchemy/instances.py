"""How an instance keeps its columns: as the row that was read, until something is changed.

cqlengine wraps each value of each instance in a manager that notices changes, copies deeply and
costs several times what reading the row does. A *light* instance, which is what a query gives, has
the row as its ``__dict__``: reading a scalar is reading an attribute. The first write, and whatever
of cqlengine's own code asks for ``_values``, makes it a *full* one, with cqlengine's managers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from cassandra.cqlengine import columns
from cassandra.cqlengine.models import ColumnQueryEvaluator

if TYPE_CHECKING:
    from .models import BoundModel

#: Where a light instance keeps the collections that somebody has read, and may change in place.
_CONTAINERS = "_containers"

#: Where ``save_state`` keeps what cqlengine's managers hold.
_MANAGED = "_managed"


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

    def __get__(self, instance: BoundModel | None, owner: type[BoundModel]) -> Any:
        if instance is None:
            return self._evaluator
        state, name = instance.__dict__, self.column.column_name
        values = state.get("_values")
        if values is not None:
            return values[name].getval()
        read = state.setdefault(_CONTAINERS, {})
        if name not in read:
            # The row keeps what the driver gave: to compare with, and for a copy.
            read[name] = to_python(self.column, state.get(name))
        return read[name]

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
        read = state.pop(_CONTAINERS, {})
        values = {}
        for name, column in owner._columns.items():
            row_value = state.pop(name, None)
            previous = to_python(column, row_value)
            value = read[name] if name in read else to_python(column, row_value)
            manager = column.value_manager(instance, column, value)
            manager.previous_value = previous
            values[name] = manager
        state["_values"] = values
        return values


def save_state(instance: BoundModel) -> dict[str, Any]:
    """Return an instance's state for ``pickle`` and ``copy``: without cqlengine's managers."""
    state = dict(instance.__dict__)
    values = state.pop("_values", None)
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


def to_python(column: columns.Column, value: Any) -> Any:
    """Return a column's value as a program sees it: an absent collection is an empty one."""
    if value is None and not isinstance(column, columns.BaseContainerColumn):
        return None
    return column.to_python(value)


def is_mutable(column: columns.Column) -> bool:
    """Say whether a program may change a value of ``column`` in place."""
    return isinstance(column, columns.BaseCollectionColumn | columns.UserDefinedType)


def find_conversions(model: type[BoundModel]) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    """Return the scalar columns whose values are not as the driver gives them.

    cqlengine's own scalar types give the driver's value back; a program's own type may not.
    """
    return tuple(
        (name, column.to_python)
        for name, column in model._columns.items()
        if not is_mutable(column) and type(column).to_python.__module__ != columns.__name__
    )


def is_light(instance: BoundModel) -> bool:
    """Say whether an instance is as it was read, and no collection of it has been asked for."""
    state = instance.__dict__
    return "_values" not in state and _CONTAINERS not in state


def make_instances(
    model: type[BoundModel],
    rows: Iterable[dict[str, Any]],
    known: dict[str, Any],
    *,
    renamed: bool = False,
) -> list[BoundModel]:
    """Return a light instance for each row, which it takes over.

    :param rows: dictionaries by the columns' names in CQL.
    :param known: values that the rows lack because the query gave them.
    :param renamed: the rows have the names of attributes instead.
    """
    renames = () if renamed else tuple(model._db_map.items())
    conversions = () if renamed else model._conversions
    make, set_attribute = object.__new__, object.__setattr__
    instances = []
    for row in rows:
        if known:
            row.update(known)
        for field, name in renames:
            if field in row:
                row[name] = row.pop(field)
        for name, convert in conversions:
            if row.get(name) is not None:
                row[name] = convert(row[name])
        row["_is_persisted"] = True
        instance = make(model)
        set_attribute(instance, "__dict__", row)
        instances.append(instance)
    return instances
