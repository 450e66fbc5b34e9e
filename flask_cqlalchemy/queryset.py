"""``QuerySet``: what ``Model.objects`` is. A query, its pages and its JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .bulk import read_by_key
from .pagination import MAX_PER_PAGE, Page, paginate
from .query.base import M, T_co
from .query.creating import Creating
from .rows import to_json

if TYPE_CHECKING:
    from .schemas import Schema


class QuerySet(Creating[T_co]):
    """cqlengine's query set, on the connection of the current application.

    Everything that is documented for cqlengine works on it. Every statement is prepared, with its
    values bound, and there is no implicit LIMIT: a query without one gives every row, fetched page
    by page. ``Post.objects`` is a ``QuerySet[Post]``, and gives instances of ``Post``.
    """

    def paginate(
        self,
        *,
        per_page: int | None = None,
        cursor: str | None = None,
        max_per_page: int = MAX_PER_PAGE,
        error_out: bool = True,
        user: object = None,
    ) -> Page[T_co]:
        """Return one page; see ``db.paginate``.

        :raises InvalidCursor: a 400, before any query, for a cursor of another query.
        :raises ConfigError: if ``SECRET_KEY``, which seals the cursors, is not set.
        """
        return paginate(
            self,
            per_page=per_page,
            cursor=cursor,
            max_per_page=max_per_page,
            error_out=error_out,
            user=user,
        )

    def in_bulk(self: QuerySet[M], keys: Iterable[object]) -> dict[Any, M]:
        """Read many rows by their keys, many at a time; return an instance by each key.

        :param keys: whole primary keys, as ``db.get_many`` takes them.
        :returns: for the keys that have a row. A key is a tuple in the key's order, or the value of
            the only column.
        :raises QueryException: if the query set has conditions, a limit or distinct values.
        :raises ValidationError: naming the column that a key lacks.
        :raises CassandraUnavailable: if one of the rows cannot be read.
        """
        return read_by_key(self, keys)

    def to_json(self, schema: Schema | None = None) -> bytes:
        """Return the rows as JSON, without making instances of them: see ``db.to_json``."""
        return to_json(self, schema)
