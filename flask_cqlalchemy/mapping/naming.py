"""Errors of values, which name the model and the column."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cassandra.cqlengine import ValidationError


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
