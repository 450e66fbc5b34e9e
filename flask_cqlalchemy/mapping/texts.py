"""Values as a person reads them: what the reprs of instances, user types and query sets show.

The driver's ``Date(20785)`` is the day that it counts from 1970; here it is
``Date('2026-11-28')``, from which ``cassandra.util.Date`` makes the same day again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from cassandra import util
from cassandra.cqlengine.functions import QueryValue

from ..columns.formats import encode_date, encode_time

if TYPE_CHECKING:
    from .._cqlengine import WhereClause

#: Characters of a value in a condition; an IN may have thousands of values.
_MOST_CHARACTERS = 100


def show(value: object) -> str:
    """Return the repr of a value of a column, at any depth with readable dates and times."""
    if isinstance(value, util.Date):
        return f"Date({encode_date(value)!r})"
    if isinstance(value, util.Time):
        return f"Time({encode_time(value)!r})"
    if type(value) is list:
        return f"[{_all(value)}]"
    if type(value) is tuple:
        return f"({_all(value)}{',' * (len(value) == 1)})"
    if isinstance(value, set | util.SortedSet):
        return f"{{{_all(value)}}}" if value else "set()"
    if isinstance(value, dict | util.OrderedMap):
        pairs = (f"{show(key)}: {show(item)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    return repr(value)


def _all(values: Iterable[object]) -> str:
    return ", ".join(map(show, values))


def show_condition(clause: WhereClause, attributes: Mapping[str, str]) -> str:
    """Return a condition of a query set, such as ``day = Date('2026-11-28')``.

    :param attributes: the names of attributes by the columns' names in CQL.
    """
    # A comparison keeps what it was given, as a program has it.
    value = getattr(clause, "given", clause.value)
    if isinstance(value, QueryValue):
        text = f"{type(value).__name__}({show(value.value)})"
    else:
        text = show(value)
    if len(text) > _MOST_CHARACTERS:
        text = f"{text[: _MOST_CHARACTERS - 3]}..."
    return f"{attributes.get(clause.field, clause.field)} {clause.operator} {text}"
