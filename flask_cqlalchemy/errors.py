"""Every exception of the kit.

    CQLAlchemyError
    ├── ConfigError              settings that cannot be used; names every key at fault
    │   ├── NoConfig             no settings that say where Cassandra is
    │   └── UnknownBind          a bind that CASSANDRA_BINDS does not have
    ├── NoAppError               a query outside an application
    ├── UnknownColumnType        a column whose type the column table lacks
    ├── EncodingError            a value that cannot be written as JSON
    ├── SchemaError              a model and its live table or keyspace cannot be brought together
    ├── LocalClusterError        a local Cassandra could not be run
    ├── GuardrailError           a query does what CASSANDRA_GUARDRAILS forbids
    ├── BatchTooLarge            a batch that Cassandra would refuse, and that cannot be split
    ├── BulkError                rows of a bulk write that were not written
    ├── UndecodableResponse      an answer of Cassandra that cannot be read at all
    ├── InvalidJSON              400: a text is not JSON, or breaks a limit
    ├── InvalidCursor            400: a page was asked for with a cursor that does not fit the query
    ├── CassandraUnavailable     503: no node answered, or too few replicas are alive
    │   └── RequestTimedOut      503: a node accepted the request and did not finish in time
    └── OutcomeUnknown           503: a write that must not be repeated may have been applied

An error speaks to two readers. ``str(error)`` and ``__cause__`` name the host, model, column or key
for whoever reads the log; ``description``, which Flask shows to anyone, is a fixed sentence.

An error that stands in the place of one of cqlengine's or of Cassandra's is one of these, too: a
program that catches ``CQLEngineException`` or ``InvalidRequest`` catches it as before.

``problems`` answers these errors, and those of schemas, with documents for programs that speak
JSON. No Flask is loaded here: the columns and the local cluster use this module without it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from cassandra.cqlengine import CQLEngineException
from werkzeug.exceptions import BadRequest, ServiceUnavailable

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from .results import BulkResult

E = TypeVar("E", bound=Exception)

#: Seconds that a 503 tells a client to wait (RFC 9110, 10.2.3). A returning node is noticed within
#: about two seconds (connection.RECONNECT_MAX_DELAY), so a shorter wait would only add load.
RETRY_AFTER = 2


@cache
def _both(ours: type[Exception], theirs: type[Exception]) -> type[Exception]:
    # As text it is ours: KeyError, for one, would quote it.
    return type(ours.__name__, (ours, theirs), {"__str__": ours.__str__, "__doc__": ours.__doc__})


def as_both(error: E, other: Exception) -> E:
    """Return an error that says what ``error`` says, and is of the class of ``other``, too.

    For what stands in the place of an error that programs may catch already. What ``other`` has
    besides its text, it has, too.
    """
    both: Any = _both(type(error), type(other))  # type: ignore[arg-type]
    combined: E = both.__new__(both)
    combined.__dict__.update({**other.__dict__, **error.__dict__})
    combined.args = error.args
    return combined


class CQLAlchemyError(Exception):
    """Base of every exception that this package defines."""


class ConfigError(CQLAlchemyError):
    """One or more settings cannot be used.

    :ivar problems: one sentence per problem, each of which begins with the key's name.
    """

    def __init__(self, problems: list[str] | str) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class NoConfig(ConfigError):  # noqa: N818 - the name is that of version 2
    """Nothing in the configuration says where Cassandra is, or in which keyspace to work."""


class UnknownBind(ConfigError, CQLEngineException):  # type: ignore[misc]  # noqa: N818 - as NoConfig
    """A model or a call names a bind that the configuration lacks; cqlengine's connection."""


class NoAppError(CQLAlchemyError, CQLEngineException, RuntimeError):  # type: ignore[misc]
    """A query was made where no initialised application can be found."""


class UnknownColumnType(CQLAlchemyError, TypeError):  # noqa: N818 - what it is, as InvalidCursor
    """A model has a column of a type that ``flask_cqlalchemy.columns`` does not know."""


class EncodingError(CQLAlchemyError, ValueError):
    """A value cannot be written as JSON: its bytes cannot be decoded, or its type is wrong.

    The message names the model and the column.
    """


class SchemaError(CQLAlchemyError, CQLEngineException):  # type: ignore[misc]
    """A model and the live schema disagree in a way that only a person can settle.

    Where Cassandra refused a change, its own error (``InvalidRequest`` and so on), too.
    """


class LocalClusterError(CQLAlchemyError):
    """A local Cassandra could not be started, shared or stopped."""


class GuardrailError(CQLAlchemyError):
    """A query does what ``CASSANDRA_GUARDRAILS`` forbids. If it is a write, it was not sent."""


class GuardrailWarning(UserWarning):
    """A query does what ``CASSANDRA_GUARDRAILS`` warns about."""


class BatchTooLarge(CQLAlchemyError, ValueError):  # noqa: N818 - the server's own words
    """A logged or counter batch is larger than ``CASSANDRA_BATCH_SIZE``. Nothing was sent."""


class BulkError(CQLAlchemyError):
    """A bulk write did not write every row.

    :ivar result: what was written, and the failures by row.
    """

    def __init__(self, message: str, result: BulkResult) -> None:
        super().__init__(message)
        self.result = result


class UndecodableResponse(CQLAlchemyError):  # noqa: N818 - what it is, as InvalidCursor
    """An answer that cannot be read at all; the connection and every other request go on."""

    #: The driver sets it on every answer.
    stream_id: int = 0


class InvalidJSON(CQLAlchemyError, BadRequest, ValueError):  # noqa: N818 - an HTTP answer
    """A text given to ``Schema.loads()`` is not JSON, or breaks a limit.

    Its description says why, and quotes nothing of the text.
    """

    def __init__(self, problem: str) -> None:
        BadRequest.__init__(self, problem)

    def __str__(self) -> str:
        return str(self.description)


class InvalidCursor(CQLAlchemyError, BadRequest):  # noqa: N818 - an HTTP answer, as BadRequest is
    """A cursor was altered, is too old, or belongs to another query, keyspace or user."""

    public_description: ClassVar[str] = (
        "This link to a page is no longer valid. Please start from the first page."
    )

    def __init__(self, detail: str) -> None:
        BadRequest.__init__(self, self.public_description)
        self.detail = detail

    def __str__(self) -> str:
        return self.detail


class _PublicServiceUnavailable(CQLAlchemyError, ServiceUnavailable):  # noqa: N818
    """A 503 whose ``str()`` is for the log and whose page is a fixed sentence."""

    public_description: ClassVar[str]

    def __init__(self, detail: str) -> None:
        ServiceUnavailable.__init__(self, self.public_description, retry_after=RETRY_AFTER)
        self.detail = detail

    def __str__(self) -> str:
        return self.detail

    def get_description(
        self,
        environ: WSGIEnvironment | None = None,
        scope: dict[str, object] | None = None,
    ) -> str:
        del environ, scope
        return f"<p>{self.public_description}</p>"


class CassandraUnavailable(_PublicServiceUnavailable):
    """No node could be reached, or fewer replicas are alive than the consistency level needs."""

    public_description = "The database cannot be reached at the moment. Please try again shortly."


class RequestTimedOut(CassandraUnavailable):
    """Nothing answered in ``CASSANDRA_REQUEST_TIMEOUT``; the statement may be sent again."""

    public_description = "The database did not answer in time. Please try again shortly."


class OutcomeUnknown(_PublicServiceUnavailable):
    """A counter update or conditional write got no answer: read before you repeat it."""

    public_description = (
        "The database did not confirm the change, which may or may not have been made. "
        "Please check before you try again."
    )
