"""Pages of a query, each of which begins at a sealed cursor.

Stages: the request's arguments are checked; the cursor is opened, which takes no query; a page is
read (``reading``); its neighbours' cursors are sealed (``cursors``) into a ``Page`` (``page``). No
COUNT and no OFFSET: a page costs the same however far it is from the first.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from flask import has_request_context, request
from werkzeug.exceptions import BadRequest

from ..errors import InvalidCursor
from ..query.kinds import of_own_kind
from .cursors import Cursor, KeysetCursor, Sealer, StateCursor, digest_of, keys_of
from .page import CURSOR_ARGUMENT, PER_PAGE_ARGUMENT, Page
from .reading import keyset_of, read_gathered, read_in_partition, read_in_token_order

if TYPE_CHECKING:
    from ..query.base import Query

__all__ = ["DEFAULT_PER_PAGE", "MAX_PER_PAGE", "Page", "paginate"]

T = TypeVar("T")

log = logging.getLogger(__name__)

#: Items on a page, unless the request or the program asks for another number.
DEFAULT_PER_PAGE = 20

#: The most items on a page, unless ``paginate`` is told otherwise.
MAX_PER_PAGE = 100

#: Most digits of ``per_page``; a longer number is too large without being read.
_MOST_DIGITS = 9


def paginate(
    query: Query[T],
    *,
    per_page: int | None = None,
    cursor: str | None = None,
    max_per_page: int = MAX_PER_PAGE,
    error_out: bool = True,
    user: object = None,
) -> Page[T]:
    """Return one page of a query set.

    A ``limit()`` of the query set holds for all pages together.

    :param per_page: how many items; None reads the request's argument ``per_page``, or takes 20.
    :param cursor: where the page begins; None reads the request's argument ``cursor``, also from
        the form of a POST. Without one it is the first page.
    :param max_per_page: the most that ``per_page`` may be.
    :param error_out: answer 400 for a bad ``per_page`` or cursor. If false, a ``per_page`` that is
        too large becomes ``max_per_page``, any other bad one 20, and a bad cursor the first page.
    :param user: whom the cursors are for: an identifier, or a Flask-Login user. The cursors of one
        user are of no use to another.
    :raises InvalidCursor: a 400, before any query, for a cursor that is too old, or that was not
        made by this application for this model, keyspace, filter, order, limit and user.
    :raises BadRequest: naming ``per_page``.
    :raises NotFound: for a filter by a key that no row can have.
    :raises ConfigError: if ``SECRET_KEY`` is not set.
    """
    place = query.place()
    app = place.connection.find_app()
    assert app is not None  # noqa: S101 - it is the current one, or that of CQLAlchemy(app)
    sealer = Sealer(keys_of(app), place.connection.settings.cursor_age)
    asked = _requested_size() if per_page is None else per_page
    size = _size(asked, max_per_page, error_out=error_out)
    text = _requested_cursor() if cursor is None else cursor
    subject = query.mapper.qualified(place.keyspace)
    sent, _ = of_own_kind(query)
    keyset, limit = keyset_of(sent), query.row_limit
    digest = digest_of([*sent.binding(), keyset is not None, _identity(user)])
    start: Cursor | None = None
    if text is not None:
        try:
            start = sealer.open(text, digest, subject=subject)
        except InvalidCursor as error:
            log.info("%s", error)
            if error_out:
                raise
    if keyset is not None:
        assert not isinstance(start, StateCursor)  # noqa: S101 - the digest tells
        found = read_in_partition(query, keyset, size, start, limit)
    else:
        assert not isinstance(start, KeysetCursor)  # noqa: S101 - the digest tells
        read = read_gathered if query.is_gathered else read_in_token_order
        found = read(query, size, start, limit)

    def seal(neighbour: Cursor | None) -> str | None:
        return sealer.seal(neighbour, digest, subject=subject) if neighbour else None

    return Page(
        queryset=query,
        rows=found.rows,
        per_page=size,
        next=seal(found.next),
        previous=seal(found.previous),
        is_first=found.is_first,
    )


def _requested_cursor() -> str | None:
    if not has_request_context():
        return None
    text = request.args.get(CURSOR_ARGUMENT)
    # The form only where it may be: reading it uses up the body.
    return request.form.get(CURSOR_ARGUMENT) if text is None and request.method == "POST" else text


def _requested_size() -> str | None:
    return request.args.get(PER_PAGE_ARGUMENT) if has_request_context() else None


def _size(asked: int | str | None, most: int, *, error_out: bool) -> int:
    """Return how many items a page gets.

    :raises BadRequest: if that is not a number from 1 to ``most``, and ``error_out``.
    """
    default = min(DEFAULT_PER_PAGE, most)
    if asked is None:
        return default
    if isinstance(asked, str):
        digits = asked if asked.isascii() and asked.isdigit() else "0"
        number = most + 1 if len(digits) > _MOST_DIGITS else int(digits)
    else:
        number = asked
    if 1 <= number <= most:
        return number
    if error_out:
        raise BadRequest(f"{PER_PAGE_ARGUMENT} must be a whole number from 1 to {most}.")
    return most if number > most else default


def _identity(user: object) -> object:
    """Return what stands for a user in a cursor's binding."""
    get_id = getattr(user, "get_id", None)
    return get_id() if callable(get_id) else user
