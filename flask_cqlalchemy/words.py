"""Words that errors of several modules share: close names, and what kind of value was given."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

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
    given, names = shorten_name(name), list(known)
    if given in _OPTIONS and kind == "column":
        hint = f" ({given} is an option of a write: {owner}.{_OPTIONS[given]})"
    else:
        hint = did_you_mean(given, names)
    return f"{owner} has no {kind} {given}{hint}; its {kind}s are {', '.join(names)}."


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return `` (did you mean title?)`` with the names that are close; nothing if none is."""
    by_case = {each.lower(): each for each in known}
    close = difflib.get_close_matches(shorten_name(name).lower(), by_case)
    return f" (did you mean {' or '.join(by_case[each] for each in close)}?)" if close else ""


def shorten_name(name: object) -> str:
    """Return a name as an error shows it, however long it is."""
    return str(name)[:_MOST_OF_A_NAME]


def describe(value: object) -> str:
    """Return what a value is, without the value: ``a str``, ``an int``, ``None``."""
    if value is None:
        return "None"
    name = type(value).__name__
    if isinstance(value, bytes):
        return name
    return f"{'an' if name[0] in 'aeioAEIO' else 'a'} {name}"
