"""What ``CASSANDRA_GUARDRAILS`` watches: queries that work on a laptop and fail in production.

Each guardrail is off, warns (a ``GuardrailWarning`` at the line of the program that made the query)
or raises ``GuardrailError``. Texts hold no changing numbers, so that Python shows a warning once
for each such line.
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

from flask import request

from .config import PREFIX, Guardrail, Guardrails
from .errors import GuardrailError, GuardrailWarning
from .statements.info import first_word

if TYPE_CHECKING:
    from cassandra.query import BoundStatement

#: Where a request's WSGI environment counts its statements. Not in ``g``, which requests may share.
_COUNTS = "flask_cqlalchemy.statements"

#: Packages whose lines are not the program's.
_NOT_THE_PROGRAM = ("flask_cqlalchemy.", "cassandra.", "contextlib")


def check_filtering(rails: Guardrails, subject: object) -> None:
    """Check a query that says ALLOW FILTERING."""
    if rails.allow_filtering.is_on:
        _trip(
            rails.allow_filtering,
            "allow_filtering",
            f"{subject}: ALLOW FILTERING reads every row of the table, or of a partition, to find "
            "some. Filter by the primary key, or by a column with an index.",
        )


def check_rows(rails: Guardrails, before: int, count: int, subject: object) -> None:
    """Check how many rows an unlimited query has read.

    :param before: the rows without the last page.
    :param count: the rows with it.
    """
    rail = rails.unpaged_rows
    if before <= rail.limit < count and rail.is_on:
        _trip(
            rail,
            "unpaged_rows",
            f"{subject}: more than {rail.limit} rows were read at once. Use limit(), paginate(), "
            "or iter(), which holds two pages at most.",
        )


def check_in(rails: Guardrails, count: int, subject: object) -> None:
    """Check an IN with ``count`` values."""
    rail = rails.in_values
    if rail.is_on and count > rail.limit:
        _trip(
            rail,
            "in_values",
            f"{subject}: IN has more than {rail.limit} values, which one node has to gather. "
            "db.get_many() asks for each row where it is.",
        )


def check_partitions(rails: Guardrails, count: int, subject: object, kind: str) -> None:
    """Check a batch over ``count`` partitions."""
    is_logged = kind == "logged"
    rail = rails.logged_batch_partitions if is_logged else rails.batch_partitions
    if rail.is_on and count > rail.limit:
        advice = (
            "All of them wait for the batch log; keep it for few writes that belong together."
            if is_logged
            else "It is slower than the same writes one by one: use db.bulk_create(), or one batch "
            "for each partition."
        )
        partitions = "partition" if rail.limit == 1 else "partitions"
        _trip(
            rail,
            "logged_batch_partitions" if is_logged else "batch_partitions",
            f"{subject}: the {kind} batch writes to more than {rail.limit} {partitions}. {advice}",
        )


def count_repetition(rails: Guardrails, bound: BoundStatement, subject: object) -> None:
    """Count a statement in the current request, and check how often it has come."""
    rail = rails.repeated_statements
    if not rail.is_on:
        return
    counts: dict[bytes, int] = request.environ.setdefault(_COUNTS, {})
    query_id = bound.prepared_statement.query_id
    count = counts[query_id] = counts.get(query_id, 0) + 1
    if count == rail.limit + 1 or (count > rail.limit and rail.action == "raise"):
        cql = bound.prepared_statement.query_string
        advice = (
            "Read the rows together, with db.get_many() or from one partition."
            if first_word(cql) == "SELECT"
            else "db.bulk_create(), bulk_update() and bulk_delete() do not wait for each."
        )
        _trip(
            rail,
            "repeated_statements",
            f"{subject}: one request executes the same statement more than {rail.limit} times: "
            f"{cql}. {advice}",
        )


def _trip(rail: Guardrail, name: str, message: str) -> None:
    text = f"{message} ({PREFIX}GUARDRAILS {name})"
    if rail.action == "raise":
        raise GuardrailError(text)
    warnings.warn(text, GuardrailWarning, stacklevel=_program_level())


def _program_level() -> int:
    """Return the ``stacklevel``, for ``_trip``, of the innermost line that is the program's."""
    level, frame = 2, sys._getframe(1).f_back
    while frame is not None and frame.f_globals.get("__name__", "").startswith(_NOT_THE_PROGRAM):
        level, frame = level + 1, frame.f_back
    return level
