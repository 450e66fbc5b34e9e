"""The conditions of a query set. A condition of one value knows its CQL with a marker."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence, Sized
from collections.abc import Set as AbstractSet
from datetime import date, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from cassandra import util
from cassandra.cqlengine import CQLEngineException, ValidationError
from cassandra.cqlengine.functions import QueryValue, Token
from cassandra.cqlengine.operators import (
    BaseWhereOperator,
    EqualsOperator,
    InOperator,
    NotEqualsOperator,
)
from cassandra.cqlengine.query import QueryException
from cassandra.cqlengine.statements import WhereClause
from werkzeug.exceptions import NotFound

from ..guardrails import check_in
from ..mapping.naming import naming
from ..statements.compiling import compile_clause

if TYPE_CHECKING:
    from ..config import Guardrails
    from ..mapping.filters import Filter
    from ..mapping.mapper import Mapper


class ImpossibleKey(ValidationError, NotFound):  # type: ignore[misc]  # noqa: N818 - an HTTP answer
    """A key is compared with a value that no key can have, such as a nonsense text from a URL.

    There is no such row: where nothing catches it, Flask answers with a 404, which says nothing of
    the value.
    """

    def __init__(self, detail: str) -> None:
        NotFound.__init__(self)
        self.detail = detail

    def __str__(self) -> str:
        return self.detail


#: Classes of ``ImpossibleKey`` by those of the errors that they stand for.
_KINDS: dict[type[ValidationError], type[ImpossibleKey]] = {}


def _impossible(kind: type[ValidationError]) -> type[ImpossibleKey]:
    """Return the class of an ``ImpossibleKey`` that is all that an error was without it."""
    if issubclass(ImpossibleKey, kind):
        return ImpossibleKey
    known = _KINDS.get(kind)
    if known is None:
        known = _KINDS[kind] = type(ImpossibleKey.__name__, (ImpossibleKey, kind), {})
    return known


#: The types of what URL converters give. A key that is compared with anything else is the program's
#: own mistake.
_FROM_URLS = (str, int, float, Decimal, UUID, date, time, util.Date, util.Time)


class Comparison(WhereClause):  # type: ignore[misc]
    """cqlengine's WHERE clause for one value, without the object that wraps the value.

    :raises ImpossibleKey: if it is a text or a number that no key can be.
    :raises ValidationError: naming the column, for any other value that does not fit it.
    """

    quote_field = True

    def __init__(self, known: Filter, given: Any) -> None:
        self.known = known
        self.given = given
        if given.__class__ is known.passthrough:
            self.value = given
        else:
            self.value = _convert(known, given)

    @property
    def field(self) -> str:
        return self.known.field

    @property
    def operator(self) -> BaseWhereOperator:
        return self.known.operator

    @property
    def query_value(self) -> QueryValue:
        found = QueryValue(self.value)
        found.set_context_id(self.context_id)
        return found

    context_id: int | None = None

    def get_context_size(self) -> int:
        return 1

    def set_context_id(self, i: int) -> None:
        self.context_id = i

    def update_context(self, ctx: dict[str, Any]) -> None:
        ctx[str(self.context_id)] = self.value


class Membership(Comparison):
    """IN, with the values of any iterable.

    :raises QueryException: if it is not an iterable of values, or is a text.
    :raises CQLEngineException: if one of the values is None.
    """

    def __init__(self, known: Filter, given: Any) -> None:
        self.known = known
        if isinstance(given, str | bytes | bytearray) or not isinstance(given, Iterable):
            raise QueryException(
                f"{known.label}__in takes several values, such as a list, not "
                f"{with_article(given)}. For one value use {known.label.rpartition('.')[2]}=."
            )
        self.given = list(given)
        if any(value is None for value in self.given):
            raise CQLEngineException(f"{known.label}__in has None, which equals no value.")
        self.value = [
            value if value.__class__ is known.passthrough else _convert(known, value)
            for value in self.given
        ]
        if isinstance(given, AbstractSet):
            # In every process alike: a page's cursor belongs to one order.
            self.value.sort(key=repr)


def compare(known: Filter, given: Any) -> Comparison:
    """Return the condition of a filter and what it was given."""
    return Membership(known, given) if known.takes_many else Comparison(known, given)


def with_article(value: object) -> str:
    """Return how an error names what a value is: by its type."""
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _convert(known: Filter, given: Any) -> Any:
    try:
        with naming(known.label, known.cql_type, given):
            return known.to_database(given)
    except ValidationError as error:
        if known.is_key and isinstance(given, _FROM_URLS):
            raise _impossible(type(error))(str(error)) from error
        raise


def find_impossible(
    conditions: Iterable[WhereClause], error: ValidationError, model: str
) -> ValidationError:
    """Return what to raise for an error about a value that was bound, which names its column."""
    for clause in conditions:
        if isinstance(clause, Comparison) and clause.known.is_key:
            given = clause.given if isinstance(clause, Membership) else [clause.given]
            is_outside = all(isinstance(value, _FROM_URLS) for value in given)
            label = f"{model}.{clause.field}"
            if is_outside and str(error).startswith((f"{label} ", f"{label}:")):
                return _impossible(type(error))(str(error))
    return error


def copy_clause(clause: Any) -> Any:
    """Return a copy: rendering numbers a condition, and other query sets may share this one."""
    copied = copy.copy(clause)
    own = clause.__dict__.get("query_value")
    if own is not None:
        copied.query_value = copy.copy(own)
    return copied


def render(clause: Any) -> tuple[str, Sequence[object]]:
    """Return a condition's CQL with markers, and its values."""
    if isinstance(clause, Comparison):
        return clause.known.shape, (clause.value,)
    return compile_clause(copy_clause(clause))


class NullComparison(Comparison):
    """Whether a column has no value, or has one: ``iff(title=None)``, ``iff(title__ne=None)``."""

    def __init__(self, known: Filter) -> None:
        self.known = known
        self.given = self.value = None


def make_condition(mapper: Mapper, argument: str, given: Any) -> WhereClause:
    """Return the condition of ``iff()``: as one of ``filter()``, and for null.

    :raises QueryException: if the column or the operator does not exist, or takes no such value.
    """
    known = mapper.filter(argument)
    if known is None or isinstance(given, Token):
        raise QueryException(f"{mapper.name}.{argument}: a condition of a write has no token.")
    if isinstance(given, QueryValue):
        return WhereClause(known.field, known.operator, given)
    if given is None:
        if type(known.operator) not in (EqualsOperator, NotEqualsOperator):
            raise QueryException(f"{known.label}: null can only be = or !=.")
        return NullComparison(known)
    return compare(known, given)


def check_lengths(rails: Guardrails, clauses: Iterable[WhereClause], model: str) -> None:
    """Check the number of values of each IN.

    :raises GuardrailError: if one has more than ``CASSANDRA_GUARDRAILS`` allows.
    """
    for clause in clauses:
        if isinstance(clause.operator, InOperator) and isinstance(clause.value, Sized):
            check_in(rails, len(clause.value), f"{model}.{clause.field}")
