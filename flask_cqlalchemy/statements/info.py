"""What a statement is: for errors, signals and guard rails."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Timed(NamedTuple):
    """A write's text with a timestamp, and which of its markers that is."""

    cql: str
    marker: int


@dataclass(frozen=True)
class StatementInfo:
    """What a statement is.

    :ivar kind: ``select``, ``insert``, ``update``, ``delete``, ``batch``, ``schema`` or ``other``.
    :ivar subject: the table with its keyspace, or what is known in its place.
    :ivar cql: the text, with markers where the values are; of a batch, one statement per line.
    :ivar model: None for plain CQL, and for a batch over several models.
    :ivar timed: the same with a timestamp, for a write that has none and may have one.
    """

    kind: str
    subject: str
    cql: str
    model: type[Any] | None = None
    timed: Timed | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return self.subject


_KINDS = {
    **{kind.upper(): kind for kind in ("select", "insert", "update", "delete")},
    "BEGIN": "batch",
    **dict.fromkeys(("CREATE", "ALTER", "DROP", "TRUNCATE"), "schema"),
}

#: Blanks and comments before the first word (CQL has three sorts of comments).
_FIRST_WORD = re.compile(r"(?:\s|(?:--|//)[^\r\n]*(?:[\r\n]|$)|/\*.*?\*/)*(\w*)", re.DOTALL)


def first_word(cql: str) -> str:
    """Return the keyword that a statement begins with, in capitals; "" if the text has none."""
    found = _FIRST_WORD.match(cql)
    return found[1].upper() if found else ""


def describe(cql: str, subject: str) -> StatementInfo:
    """Return what is known of a statement that no model made."""
    return StatementInfo(_KINDS.get(first_word(cql), "other"), subject, cql)
