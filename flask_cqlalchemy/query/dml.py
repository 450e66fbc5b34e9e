"""``DMLQuery``: what writes an instance, where a program has a version of its own."""

from __future__ import annotations

from .._cqlengine import DMLQuery as CQLEngineDMLQuery
from .._cqlengine import Model
from .options import WriteOptions, options_of
from .saving import change_instance, delete_instance, save_instance


class DMLQuery(CQLEngineDMLQuery):
    """cqlengine's writer of one instance, which makes the kit's statements.

    A model that sets ``__dmlquery__`` to a subclass has each ``save()``, ``update()`` and
    ``delete()`` of its instances go through this class's method of the same name.
    """

    def _options(self) -> WriteOptions:
        return options_of({**vars(self), "_connection": vars(self.instance).get("_connection")})

    def save(self) -> None:
        """Insert a new instance, or write what has changed."""
        save_instance(self.instance, self._options())

    def update(self) -> None:
        """Write what has changed."""
        change_instance(self.instance, {}, self._options())

    def delete(self) -> None:
        """Delete the instance's row."""
        delete_instance(self.instance, self._options())


def dml_query_of(instance: Model, options: WriteOptions) -> CQLEngineDMLQuery:
    """Return what the instance's model asks to write it."""
    model = type(instance)
    return model.__dmlquery__(
        model,
        instance,
        batch=options.batch,
        ttl=options.ttl,
        consistency=options.consistency,
        timestamp=options.timestamp,
        if_not_exists=options.if_not_exists,
        conditional=options.conditions or None,
        timeout=options.timeout,
        if_exists=options.if_exists,
    )
