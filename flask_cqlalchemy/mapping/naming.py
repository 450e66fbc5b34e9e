"""Errors of names and values, which name the model and the column."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from cassandra.cqlengine import ValidationError

#: Characters of an unknown name that an error shows: it may come from a request.
_MOST_OF_A_NAME = 60

#: How to give what looks like a column and is an option of a write.
_OPTIONS = {
    "batch": "batch(...)",
    "consistency": "consistency(...)",
    "if_exists": "if_exists()",
    "if_not_exists": "if_not_exists()",
    "iff": "iff(...)",
    "timeout": "timeout(...)",
    "timestamp": "timestamp(...)",
    "ttl": "ttl(...)",
    "using": "using(...)",
}


def unknown_name(owner: str, name: object, known: Iterable[str], kind: str = "column") -> str:
    """Return what an error says of a name that its owner does not have.

    ``Post has no column titel (did you mean title?); its columns are id, title.``

    :param owner: the name of the model or the user type.
    :param name: what was given; it is cut short.
    :param known: the names that there are, in the order in which they are listed.
    :param kind: what the names are: ``column``, ``field``.
    """
    given, names = str(name)[:_MOST_OF_A_NAME], list(known)
    if given in _OPTIONS:
        hint = f" ({given} is an option of a write: {owner}.{_OPTIONS[given]})"
    else:
        hint = _did_you_mean(given, names)
    return f"{owner} has no {kind} {given}{hint}; its {kind}s are {', '.join(names)}."


def _did_you_mean(given: str, known: Iterable[str]) -> str:
    by_case = {name.lower(): name for name in known}
    close = difflib.get_close_matches(given.lower(), by_case)
    return f" (did you mean {' or '.join(by_case[each] for each in close)}?)" if close else ""


@contextmanager
def naming(label: str, cql_type: str, value: Any) -> Iterator[None]:
    """Raise whatever a conversion raises as a ``ValidationError`` that names the column.

    :param label: the model and the column.
    :param cql_type: the column's type in CQL.
    """
    try:
        yield
    except ValidationError as error:
        # cqlengine names the column by its attribute, and no column inside a collection.
        model, _, name = label.rpartition(".")
        if str(error).startswith(f"{name}: "):
            raise ValidationError(f"{model}.{error}") from error
        if name in str(error):
            raise
        raise ValidationError(f"{label}: {error}") from error
    except Exception as error:
        raise ValidationError(
            f"{label}: a {type(value).__name__} cannot be stored as {cql_type} ({shorten(error)})"
        ) from error


def shorten(error: Exception) -> str:
    """Return what the error says without the driver's preamble, which repeats type and column."""
    _, preamble, reason = str(error).rpartition("; (")
    return (reason.rstrip(")") if preamble else reason) or type(error).__name__
