"""``QuerySet``: what ``Model.objects`` is. A query, its pages and its JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .pagination import MAX_PER_PAGE, Page, paginate
from .query.base import Query, T_co
from .rows import to_json

if TYPE_CHECKING:
    from .schemas import Schema


class QuerySet(Query[T_co]):
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

    def to_json(self, schema: Schema | None = None) -> bytes:
        """Return the rows as JSON, without making instances of them: see ``db.to_json``."""
        return to_json(self, schema)
