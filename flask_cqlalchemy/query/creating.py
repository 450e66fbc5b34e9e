"""``get_or_create`` and ``update_or_create``: a row that is there afterwards, whoever wrote it.

Both begin with INSERT ... IF NOT EXISTS, so of two requests with the same key one creates the row,
and the other one is told what it has. Such a write costs four times as much as a plain one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from cassandra.cqlengine import CQLEngineException, ValidationError
from cassandra.cqlengine.query import LWTException, QueryException

from .base import Query, T_co
from .writes import check_key

if TYPE_CHECKING:
    from .._cqlengine import Model

    M = TypeVar("M", bound=Model)

#: How often all begins anew because the row was deleted in between.
_MOST_TRIES = 10

#: What the row of an INSERT that was not applied has beside the table's columns.
_APPLIED = "[applied]"


class Creating(Query[T_co]):
    """A query set with the writes that look first."""

    def get_or_create(
        self: Creating[M], defaults: Mapping[str, object] | None = None, **values: object
    ) -> tuple[M, bool]:
        """Insert a row unless one has its key; return the instance, and whether it is new.

        .. code-block:: python

            member, created = Member.get_or_create(room="lobby", name="ann", joined=now)

        :param defaults: further columns of a new row, as Django has them.
        :param values: the whole primary key, and columns of a new row. A row that is there keeps
            its own.
        :raises ValidationError: naming the column that is missing in the key, does not exist or
            cannot be stored.
        :raises QueryException: if the query set has conditions, a batch or a timestamp.
        :raises OutcomeUnknown: if Cassandra does not say what happened.
        """
        given = self._values_of("get_or_create", defaults, values)
        return self._insert_or(lambda found: self._whole(found, given), given)

    def update_or_create(
        self: Creating[M], defaults: Mapping[str, object] | None = None, **values: object
    ) -> tuple[M, bool]:
        """Insert a row, or write these columns of the one that has its key; return the instance,
        and whether it is new.

        The parameters and errors are those of ``get_or_create``. The second write is an UPDATE ...
        IF EXISTS: a row that is deleted in between is inserted whole, not left with these columns.

        :raises LWTException: if that happens ten times on end.
        """
        mapper = self.mapper
        given = self._values_of("update_or_create", defaults, values)
        key = self._key_in(given)
        changes = {name: value for name, value in given.items() if name not in key}

        def update(found: M) -> M:
            if not changes:
                return self._whole(found, given)
            # Without the condition on a discriminator, with which query sets may begin.
            rows = self.narrowed((), (), ())
            if changes.keys() <= {*mapper.static}:
                # They are the partition's, whatever rows it has.
                rows.filter(**{name: key[name] for name in mapper.partition_key}).update(**changes)
            else:
                rows.filter(**key).if_exists().update(**changes)
            return self.get(**key)

        return self._insert_or(update, given)

    def _values_of(
        self, method: str, defaults: Mapping[str, object] | None, values: dict[str, object]
    ) -> dict[str, object]:
        """Return the columns of a new row, if the query set is one for this."""
        mapper = self.mapper
        if self.is_filtered or self._conditional:
            raise QueryException(
                f"{mapper.name}: {method}() takes the key as arguments, and no conditions before."
            )
        if self._batch:
            raise CQLEngineException(
                f"{mapper.name}: {method}() returns what happened, which a batch does not know."
            )
        if self._timestamp is not None:
            raise QueryException(
                f"{mapper.name}: {method}() is a conditional write, whose timestamp is Cassandra's."
            )
        further: Mapping[str, object] = defaults or {}
        if "defaults" in mapper.columns:
            further = {} if defaults is None else {"defaults": defaults}
        twice = values.keys() & further.keys()
        if twice:
            raise ValidationError(
                f"{mapper.name}.{min(twice)} is given twice: as an argument, and in defaults."
            )
        # All is written again if the row goes in between, and an iterator gives its values once.
        given = {
            name: list(value) if isinstance(value, Iterator) else value
            for name, value in {**values, **further}.items()
        }
        check_key(mapper, given)
        return given

    def _key_in(self, given: Mapping[str, object]) -> dict[str, object]:
        return {name: given[name] for name in self.mapper.primary_key}

    def _insert_or(
        self: Creating[M], use: Callable[[M], M], given: dict[str, object]
    ) -> tuple[M, bool]:
        """Insert a row, or return what ``use`` makes of the one that is there.

        :param use: raises ``LWTException`` or ``DoesNotExist`` if the row is gone by then; all
            begins anew.
        """
        tries = 0
        while True:
            try:
                return self.if_not_exists().create(**given), True
            except LWTException as refused:
                found = self._existing(refused.existing)
            tries += 1
            try:
                return use(found), False
            except (LWTException, self.model.DoesNotExist):
                if tries >= _MOST_TRIES:
                    raise

    def _whole(self: Creating[M], found: M, given: Mapping[str, object]) -> M:
        # Cassandra answers an INSERT without the static columns.
        return self.get(**self._key_in(given)) if self.mapper.static else found

    def _existing(self, row: Mapping[str, Any]) -> Any:
        """Return the instance of the row that kept an INSERT from being applied."""
        mapper = self.mapper
        known = {
            field: value
            for field, value in row.items()
            if field in mapper.attributes or (mapper.is_polymorphic and field != _APPLIED)
        }
        (instance,) = type(self)(self.model).make_items([known])
        return instance
