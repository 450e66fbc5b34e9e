"""``Items``: what iterating over a query gives, read page by page as it is asked for.

A page is read when something of it is wanted, and what was read is kept: a second loop costs
nothing, and two loops see the same instances.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from ..connection import PagedRows

T = TypeVar("T")


class Source(Protocol[T]):
    """What items are read with: a query."""

    def read_after(self, page: PagedRows | None) -> PagedRows:
        """Read the page after another one; the first one after None."""
        ...

    def make_page(self, page: PagedRows, before: int) -> list[T]:
        """Return the items of a page; it may refuse them, given how many there are already."""
        ...


class Items(Generic[T]):
    """The items of one query, for all loops and threads that ask for them.

    A page that could not be read is asked for again by whoever comes next.
    """

    def __init__(self, source: Source[T]) -> None:
        self._source = source
        self._page: PagedRows | None = None
        self._lock = threading.Lock()
        #: What has been read so far; it only grows.
        self.known: list[T] = []
        self.is_complete = False

    def __iter__(self) -> Iterator[T]:
        if not self.known:
            self._read_beyond(0)
        return iter(self.known) if self.is_complete else self._walk()

    def _walk(self) -> Iterator[T]:
        position = 0
        while self.has(position):
            page = self.known[position:]
            yield from page
            position += len(page)

    def has(self, index: int) -> bool:
        """Read until there is an item of this number, and return whether there is one."""
        while len(self.known) <= index and not self.is_complete:
            self._read_beyond(len(self.known))
        return len(self.known) > index

    def all(self) -> list[T]:
        """Read what is left, and return everything."""
        while not self.is_complete:
            self._read_beyond(len(self.known))
        return self.known

    def _read_beyond(self, count: int) -> None:
        """Read the next page, unless another thread has done so."""
        with self._lock:
            if self.is_complete or len(self.known) > count:
                return
            page = self._source.read_after(self._page)
            self.known += self._source.make_page(page, count)
            # Last of all: a page that was refused is read again.
            self.is_complete = not page.has_more_pages
            self._page = None if self.is_complete else page
