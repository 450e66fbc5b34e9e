"""``Page``: the rows of one page, the cursors of its neighbours, and links to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlencode

from flask import Response, current_app, request, url_for

from ..rows import json_items, json_rows, schema_of, write
from .cursors import LONGEST_IN_URL

if TYPE_CHECKING:
    from ..query.base import Query, Row
    from ..schemas import Schema

#: The request's arguments.
CURSOR_ARGUMENT = "cursor"
PER_PAGE_ARGUMENT = "per_page"

#: The link relations of a page, in the order in which they are shown; the names are IANA's.
RELATIONS = ("first", "prev", "next")

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Page(Generic[T_co]):
    """One page of a query. Iterating over it gives its items.

    :ivar queryset: the query.
    :ivar rows: as the driver gave them, by the columns' names in CQL. Reading ``items`` consumes
        them.
    :ivar per_page: how many items the page was to have.
    :ivar next: the cursor of the page after this one; None if there was no further row.
    :ivar previous: the cursor of the page before this one. None on the first page and, across
        partitions, where the 20 remembered pages end.
    :ivar is_first: whether no row comes before these.
    """

    queryset: Query[T_co] = field(repr=False)
    rows: list[Row] = field(repr=False)
    per_page: int
    next: str | None
    previous: str | None
    is_first: bool

    @cached_property
    def items(self) -> tuple[T_co, ...]:
        """What the query gives: instances, or lists of values after ``values_list()``."""
        return tuple(self.queryset.make_items(list(self.rows)))

    def __iter__(self) -> Iterator[T_co]:
        return iter(self.items)

    @property
    def has_next(self) -> bool:
        """Whether another page follows. When the page was read, it had a row at least."""
        return self.next is not None

    @property
    def has_previous(self) -> bool:
        """Whether ``previous`` leads to the page before."""
        return self.previous is not None

    def base_url(self, endpoint: str | None = None, **values: object) -> str:
        """Return the URL of the first page: the current one, with its other arguments.

        :param endpoint: for ``url_for``, such as ``".index"``; that of the request unless given.
        :param values: the variables of the endpoint's rule.
        """
        return self._url(None, endpoint, values)

    def url(self, relation: str, endpoint: str | None = None, **values: object) -> str | None:
        """Return the URL of a neighbour, without host.

        :param relation: ``"first"``, ``"prev"`` or ``"next"``.
        :returns: None where there is no such page, or where its cursor only fits a POST.
        """
        if relation == "first":
            return None if self.is_first else self._url(None, endpoint, values)
        cursor = self._cursor(relation)
        if cursor is None or len(cursor) > LONGEST_IN_URL:
            return None
        return self._url(cursor, endpoint, values)

    def long_cursor(self, relation: str) -> str | None:
        """Return the cursor of a neighbour if it is too long for a URL and travels by POST."""
        cursor = self._cursor(relation)
        return cursor if cursor and len(cursor) > LONGEST_IN_URL else None

    def links(self, endpoint: str | None = None, **values: object) -> str:
        """Return the value of a Link header (RFC 8288); empty if there is nothing to link to."""
        urls = {relation: self.url(relation, endpoint, **values) for relation in RELATIONS}
        return ", ".join(f'<{url}>; rel="{relation}"' for relation, url in urls.items() if url)

    def to_json_value(self, schema: Schema | None = None) -> dict[str, Any]:
        """Return what JSON has for the page: its items, and where its neighbours begin.

        :param schema: what to write of an item; the model's ``AutoSchema`` unless given.
        """
        known = schema_of(self.queryset, schema)
        if "items" in self.__dict__:
            # The rows have become the items already.
            items = json_items(self.queryset, self.items, known)
        else:
            items = json_rows(self.queryset, [dict(row) for row in self.rows], known)
        return {
            "items": items,
            "next": self.next,
            "previous": self.previous,
            "has_next": self.has_next,
            "has_previous": self.has_previous,
            "per_page": self.per_page,
        }

    def to_json(self, schema: Schema | None = None) -> bytes:
        """Return the page as JSON, without making instances unless there are some already.

        :param schema: as for ``to_json_value``.
        :raises EncodingError: naming the column whose value cannot be written as JSON.
        """
        known = schema_of(self.queryset, schema)
        document = self.to_json_value(known if schema is not None else None)
        return write(document, document["items"], known)

    def to_response(self, schema: Schema | None = None) -> Response:
        """Return the page as JSON, with a Link header; see ``to_json``."""
        response = current_app.response_class(
            self.to_json(schema) + b"\n", mimetype="application/json"
        )
        links = self.links()
        if links:
            response.headers["Link"] = links
        return response

    def _cursor(self, relation: str) -> str | None:
        return {"prev": self.previous, "next": self.next}.get(relation)

    def _url(self, cursor: str | None, endpoint: str | None, values: dict[str, object]) -> str:
        if endpoint is None:
            endpoint, values = request.endpoint or "", {**(request.view_args or {}), **values}
        # Not through url_for, which would obey a visitor's ?_external=1&_scheme=... .
        arguments = [
            (name, value)
            for name, value in request.args.items(multi=True)
            if name != CURSOR_ARGUMENT
        ]
        if cursor is not None:
            arguments.append((CURSOR_ARGUMENT, cursor))
        path = url_for(endpoint, **values)  # type: ignore[arg-type]
        return f"{path}?{urlencode(arguments)}" if arguments else path
