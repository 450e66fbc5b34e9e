"""Which table the rows of a model are in, where models inherit from models.

A model has a table of its own. With cqlengine's discriminator, a column that says of which model a
row is, several share one: each is the model of one *kind* of its rows. What follows from that for
queries and writes is in ``query.kinds``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cassandra.cqlengine.models import PolymorphicModelException

if TYPE_CHECKING:
    from cassandra.cqlengine.columns import Column

    from .._cqlengine import Model


@dataclass(frozen=True, eq=False)
class Kind:
    """What a model has of a table that is made for several.

    :ivar model: the class that a program has written.
    :ivar attribute: the discriminator's.
    :ivar column: the discriminator.
    :ivar value: what the discriminator has in the model's own rows; None if the model does not say.
    :ivar owns_table: whether every row of the table is the model's, or of one that inherits from
        it.
    :ivar takes_null: whether the rows without a kind are the model's own.
    :ivar models: the models by what the discriminator has in their rows, those of the whole
        hierarchy. It grows with each model that is defined.
    """

    model: type[Model]
    attribute: str
    column: Column
    value: object
    owns_table: bool
    takes_null: bool
    models: dict[object, type[Model]]

    @property
    def field(self) -> str:
        """The discriminator's name in CQL."""
        name: str = self.column.db_field_name
        return name

    @property
    def is_nameless(self) -> bool:
        """Whether nothing in a row could say that it is the model's."""
        return self.value is None and not self.takes_null

    @property
    def is_key(self) -> bool:
        """Whether the discriminator is a part of the primary key."""
        return bool(self.column.is_primary_key)

    def value_in(self, row: Mapping[str, Any]) -> object:
        """Return what the discriminator has in a row that was read with it."""
        return as_kind(self.column, row[self.field])

    @property
    def is_found(self) -> bool:
        """Whether Cassandra finds the rows of one kind: by the key, or by an index."""
        return bool(self.is_key or self.column.index)

    def values(self) -> frozenset[object]:
        """Return what the discriminator has in the rows that the model's queries give.

        Where Cassandra finds the rows of a kind these are the model's own; elsewhere those of the
        models that inherit from it, too. It is cqlengine's rule.
        """
        if self.is_found and self.value is not None:
            return frozenset({self.value})
        below = {value for value, known in self.models.items() if issubclass(known, self.model)}
        return frozenset(below if self.value is None else {*below, self.value})

    def models_below(self) -> Iterator[type[Model]]:
        """Yield the models that inherit from this one, and this one."""
        yield self.model
        for known in self.models.values():
            if known is not self.model and issubclass(known, self.model):
                yield known

    def model_of(self, row: Mapping[str, Any]) -> type[Model]:
        """Return the model of which a row is, by the names of columns in CQL; the one that was
        asked if the row was read without the discriminator, as DISTINCT does.

        :raises PolymorphicModelException: if there is none, or none that inherits from this one.
        """
        if self.field not in row:
            return self.model
        value = self.value_in(row)
        known = self.models.get(value)
        if known is not None and issubclass(known, self.model):
            return known
        if (self.takes_null or value is not None) and value == self.value:
            return self.model
        name = self.model.__name__
        label = f"{name}.{self.attribute}"
        if value is None:
            raise PolymorphicModelException(
                f"{label} is null in a row, so no model can be told for it: {self._key(row)}. An "
                "update() of a row that is not there makes such rows; if_exists() prevents it. "
                f"Delete the row, or give it a {self.attribute}."
            )
        if known is None:
            raise PolymorphicModelException(
                f"{label} is {value!r} in a row, which is the __discriminator_value__ of no model "
                f"that inherits from {name}: {self._key(row)}. Was the module of one not imported?"
            )
        raise PolymorphicModelException(
            f"{label} is {value!r} in a row, which makes it a {known.__name__}, and that is not a "
            f"subclass of {name}: {self._key(row)}."
        )

    def _key(self, row: Mapping[str, Any]) -> str:
        key = self.model.__mapper__.primary_key
        return ", ".join(
            f"{name}={row[column.db_field_name]!r}"
            for name, column in key.items()
            if column.db_field_name in row
        )


def as_kind(column: Column, value: Any) -> object:
    """Return a discriminator's value as ``Kind.models`` has it."""
    return None if value is None else column.to_python(value)


# Tables


def given_name(model: type, others: Iterable[type] | None = None) -> str | None:
    """Return the ``__table_name__`` that a model says itself or has of a base that has no table,
    such as an abstract model or a mixin; None if it is to be derived.

    :param others: the bases that say the names of their own tables; if not given, the models that
        are not abstract.
    """
    above = model.__mro__[1:]
    if others is None:
        others = [base for base in above if not vars(base).get("__abstract__", True)]
    taken = {each for base in others for each in base.__mro__}
    for base in model.__mro__:
        if base not in taken and "__table_name__" in vars(base):
            name: str | None = vars(base)["__table_name__"]
            return name
    return None


#: Between the words of a class's name, in cqlengine's rule for the name of its table.
_WORDS = re.compile("(?<=[a-z])(?=[A-Z])")

#: The most characters of such a name.
_LONGEST_NAME = 48


def derive_name(name: str) -> str:
    """Return the name that cqlengine makes of a class's for its table."""
    return _WORDS.sub("_", name)[-_LONGEST_NAME:].lower().lstrip("_")


def find_table_owner(model: Any) -> Any:
    """Return the model in whose table a model's rows are: itself, unless it inherits a
    discriminator.
    """
    if not model._is_polymorphic or model._is_polymorphic_base:
        return model
    shared = [base for base in model.__mro__[1:] if getattr(base, "_is_polymorphic", False)]
    if given_name(model, shared):
        return model
    for base in shared:
        if not base.__abstract__:
            return base.__mapper__.table_owner
    if model.__discriminator_value__ is None:
        return model
    # Abstract models have no table; one of them names that of its kinds.
    return next((base for base in shared if base.__table_name__), model._polymorphic_base)


def find_kind(model: Any, table_owner: Any) -> Kind | None:
    """Return what a model has of a shared table, and make it known to the others of the table."""
    if not model._is_polymorphic:
        return None
    column, is_base = model._discriminator_column, model._is_polymorphic_base
    value = as_kind(column, model.__discriminator_value__)
    models: dict[object, type[Model]] = {}
    if not is_base:
        models = model._polymorphic_base.__mapper__.kind.models
    if value is not None:
        models[value] = model
    owns_table = table_owner is model
    return Kind(
        model=model,
        attribute=model._discriminator_column_name,
        column=column,
        value=value,
        owns_table=owns_table,
        takes_null=owns_table and not is_base and value is None,
        models=models,
    )
