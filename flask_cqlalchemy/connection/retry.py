"""The driver's errors as the kit's, and the one retry policy, which knows what may be repeated."""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cassandra import (
    AuthenticationFailed,
    ConsistencyLevel,
    DriverException,
    OperationTimedOut,
    ReadTimeout,
    Unavailable,
    WriteFailure,
    WriteTimeout,
    WriteType,
    policies,
)
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionException, ProtocolError
from cassandra.protocol import ErrorMessage, IsBootstrappingErrorMessage, OverloadedErrorMessage

from ..config import PREFIX
from ..errors import (
    CassandraUnavailable,
    CQLAlchemyError,
    OutcomeUnknown,
    RequestTimedOut,
    as_both,
)

log = logging.getLogger("flask_cqlalchemy.connection")


class RetryPolicy(policies.RetryPolicy):  # type: ignore[misc]
    """The kit's one retry policy: at most one repetition, and never of a write that might double.

    The driver's own sends a request to the next host after a connection error without asking
    whether the statement is idempotent; this one asks.
    """

    def on_read_timeout(
        self,
        query: object,
        consistency: int,
        required_responses: int,
        received_responses: int,
        data_retrieved: bool,
        retry_num: int,
    ) -> tuple[int, int | None]:
        """Repeat once when enough replicas answered and only the data itself was missing."""
        del query
        if retry_num == 0 and received_responses >= required_responses and not data_retrieved:
            return self.RETRY, consistency
        return self.RETHROW, None

    def on_write_timeout(
        self,
        query: object,
        consistency: int,
        write_type: int,
        required_responses: int,
        received_responses: int,
        retry_num: int,
    ) -> tuple[int, int | None]:
        """Repeat once when the batch log was not written: then nothing of the batch was."""
        del query, required_responses, received_responses
        if retry_num == 0 and write_type == WriteType.BATCH_LOG:
            return self.RETRY, consistency
        return self.RETHROW, None

    def on_unavailable(
        self,
        query: object,
        consistency: int,
        required_replicas: int,
        alive_replicas: int,
        retry_num: int,
    ) -> tuple[int, int | None]:
        """Ask one more coordinator, which may see more replicas: nothing was written."""
        del query, consistency, required_replicas, alive_replicas
        return (self.RETRY_NEXT_HOST if retry_num == 0 else self.RETHROW), None

    def on_request_error(
        self, query: object, consistency: int, error: Exception, retry_num: int
    ) -> tuple[int, int | None]:
        """Go on to the next host only with a statement that may be applied twice."""
        del consistency, error, retry_num
        idempotent = getattr(query, "is_idempotent", False)
        return (self.RETRY_NEXT_HOST if idempotent else self.RETHROW), None


#: Errors of the driver, and of Cassandra as the driver passes them on.
DRIVER_ERRORS = (
    NoHostAvailable,
    DriverException,
    ConnectionException,
    ProtocolError,
    ErrorMessage,
)

#: What the driver and the operating system raise before a connection stands. A RuntimeError is a
#: thread that cannot be started.
CONNECT_OUTAGES = (*DRIVER_ERRORS, OSError, RuntimeError)

#: What the server says, inside the text of a driver's error; and the operating system, likewise.
_SERVER_WORDS = re.compile(r'message="(.*)"', re.DOTALL)
_SYSTEM_WORDS = re.compile(r"Tried connecting to \[.*\]\. Last error: (.*)", re.DOTALL)


def words_of(error: BaseException) -> str:
    """Return what Cassandra or the operating system says in an error, without what the driver has
    put around it.
    """
    text = str((isinstance(error, OSError) and error.strerror) or error)
    found = _SERVER_WORDS.search(text) or _SYSTEM_WORDS.search(text)
    return " ".join((found[1] if found else text).split())


def reason_of(error: BaseException) -> str:
    """Return the class of an error, what it says, and the setting that may be at fault."""
    name, words, settings = type(error).__name__, words_of(error), ""
    if isinstance(error, AuthenticationFailed):
        settings = f" ({PREFIX}USERNAME and {PREFIX}PASSWORD)"
    elif isinstance(error, ssl.SSLError) or words.startswith("[SSL"):
        # The driver makes another OSError of it, by the number alone.
        name, settings = "SSLError", f" ({PREFIX}SSL)"
    return f"{name}: {words}{settings}" if words else name


def reasons(error: BaseException) -> str:
    """Return which host failed, and why."""
    if not isinstance(error, NoHostAvailable):
        return reason_of(error)
    causes = error.errors if isinstance(error.errors, Mapping) else {}
    if not causes:
        return str(error.args[0] if error.args else error)
    return "; ".join(f"{host}: {reason_of(reason)}" for host, reason in causes.items())


def unavailable(subject: str, error: BaseException) -> CassandraUnavailable:
    """Return the outage that an error of the driver comes to, logged.

    :param subject: what could not be read or done.
    """
    outage = CassandraUnavailable(f"{subject}: no node answered ({reasons(error)})")
    log.warning("%s", outage)
    return outage


#: Errors after which a request may or may not have been carried out.
_UNANSWERED = (WriteTimeout, WriteFailure, ReadTimeout, OperationTimedOut, ConnectionException)

#: A node that takes no requests: nothing was carried out.
_BUSY = (OverloadedErrorMessage, IsBootstrappingErrorMessage)

#: The driver's errors that ``translate`` turns into the kit's.
OUTAGES = (NoHostAvailable, Unavailable, *_BUSY, *_UNANSWERED)


def kit_error(error: Any, subject: str, *, idempotent: bool) -> Exception:
    """Return the kit's error for one of ``OUTAGES``, which is of the driver's class, too, for
    programs that catch that; any other error, and one of the kit's, as it is.

    :param subject: what the error names: a table, or what was done.
    :param idempotent: whether the statement may be applied twice. If not, its timeout is an
        ``OutcomeUnknown``.
    """
    if isinstance(error, CQLAlchemyError) or not isinstance(error, OUTAGES):
        return error
    if isinstance(error, WriteFailure) and idempotent:
        return error  # type: ignore[no-any-return]
    outage: CassandraUnavailable | OutcomeUnknown
    if isinstance(error, NoHostAvailable):
        outage = CassandraUnavailable(f"{subject}: no node answered ({reasons(error)})")
    elif isinstance(error, _BUSY):
        outage = CassandraUnavailable(f"{subject}: the node takes no requests ({reasons(error)})")
    elif isinstance(error, Unavailable):
        level = ConsistencyLevel.value_to_name[error.consistency]
        outage = CassandraUnavailable(
            f"{subject}: {level} needs {error.required_replicas} replicas, "
            f"{error.alive_replicas} are alive"
        )
    elif not idempotent:
        outage = OutcomeUnknown(f"{subject}: the outcome is unknown ({error})")
    else:
        outage = RequestTimedOut(f"{subject}: no answer in time ({error})")
    outage = as_both(outage, error)
    outage.__cause__ = error
    return outage


def translate(error: Any, subject: str, *, idempotent: bool) -> Exception:
    """Return what ``kit_error`` does, logged if it is an outage."""
    found = kit_error(error, subject, idempotent=idempotent)
    if found is not error:
        log.warning("%s", found)
    return found


@contextmanager
def translated(subject: str, *, idempotent: bool) -> Iterator[None]:
    """Raise what ``translate`` gives for the driver's errors in the block."""
    try:
        yield
    except OUTAGES as error:
        raise translate(error, subject, idempotent=idempotent) from error
