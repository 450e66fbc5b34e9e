"""Errors of names and values, which name the model and the column."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import Any

from cassandra.cqlengine import ValidationError

from ..columns.values import Refusal, within
from ..words import describe
from ..words import unknown_name as unknown_name


@contextmanager
def naming(label: str, cql_type: str, value: Any) -> Iterator[None]:
    """Raise whatever a conversion raises as a ``ValidationError`` that names the column.

    :param label: the model and the column.
    :param cql_type: the column's type in CQL.
    """
    try:
        yield
    except Exception as error:
        found = named(label, cql_type, value, error)
        if found is error:
            raise
        raise found from error


def named(label: str, cql_type: str, value: Any, error: Exception) -> ValidationError:
    """Return the error of a conversion as one that names the column; for the parameters see
    ``naming``.
    """
    model, _, name = label.rpartition(".")
    if isinstance(error, Refusal):
        # The column has named itself, but for one that has no name.
        where = error.where
        return error.within(f"{model}.") if where.startswith(name) else within(label, error)
    if not isinstance(error, ValidationError):
        # A program's own code: what is the kit's refuses in its own words.
        return Refusal(
            f": {describe(value)} cannot be stored as {cql_type} ({shorten(error)})", label
        )
    text = str(error)
    if label in text or type(error) is not ValidationError:
        return error
    if text.startswith((f"{name} ", f"{name}: ")):
        return ValidationError(f"{model}.{text}")
    return ValidationError(f"{label}: {text}")


@contextmanager
def naming_model(model: str, columns: Container[str]) -> Iterator[None]:
    """Name the model in an error of cqlengine's that begins with the name of a column."""
    try:
        yield
    except ValidationError as error:
        column = re.match(r"\w*", str(error))
        if column is None or column[0] not in columns:
            raise
        raise named(f"{model}.{column[0]}", "", None, error) from error


def shorten(error: Exception) -> str:
    """Return what the error says without the driver's preamble, which repeats type and column."""
    _, preamble, reason = str(error).rpartition("; (")
    return (reason.rstrip(")") if preamble else reason) or type(error).__name__
