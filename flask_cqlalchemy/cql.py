"""``db.execute()``: CQL that a program writes itself, prepared like the models' own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cassandra import ProtocolVersion
from cassandra.query import PreparedStatement, SimpleStatement

from .connection import NOT_SET
from .errors import SchemaError
from .statements.info import StatementInfo, describe, first_word
from .statements.sending import bind_query

if TYPE_CHECKING:
    from cassandra.cluster import ResultSet

    from .connection import Connection
    from .connection.place import Place

#: Values for the markers of a statement: in order, or by name.
Parameters = Sequence[Any] | Mapping[str, Any]


def execute(
    place: Place,
    cql: str,
    parameters: Parameters | None,
    *,
    consistency: int | None = None,
    idempotent: bool | None = None,
    timeout: float | object | None = NOT_SET,
    fetch_size: int | None = None,
) -> ResultSet:
    """Execute one statement; see ``CQLAlchemy.execute``."""
    if not isinstance(cql, str):
        raise TypeError(
            f"db.execute() takes the text of a statement, not {type(cql).__name__}; "
            "db.session.execute() takes the driver's statements."
        )
    if first_word(cql) == "USE":
        raise ValueError(
            "USE would change the keyspace of every thread of this process. Use "
            "`with db.use_keyspace(name):`, or write the keyspace before the table's name."
        )
    info, connection = describe(cql, _shorten(cql)), place.connection
    # Before version 5 a statement could not say its keyspace.
    has_keyspace = ProtocolVersion.uses_keyspace_flag(connection.cluster.protocol_version)
    own_keyspace = place.keyspace if has_keyspace else None
    if info.kind == "schema":
        return _change_schema(connection, info, parameters, own_keyspace, timeout)
    prepared = connection.prepare(cql, own_keyspace, types_of=place.keyspace)
    query = bind_query(
        place,
        info,
        _values(prepared, parameters),
        subject=info.subject,
        idempotent=info.kind == "select" if idempotent is None else idempotent,
        consistency=consistency,
        fetch_size=fetch_size,
        prepared=prepared,
    )
    return query.execute(timeout=timeout)


def _change_schema(
    connection: Connection,
    info: StatementInfo,
    parameters: Parameters | None,
    keyspace: str | None,
    timeout: float | object | None,
) -> ResultSet:
    if parameters:
        raise ValueError(f"A change of the schema takes no values: {info.subject}")
    rows = connection.execute(
        SimpleStatement(info.cql, keyspace=keyspace),
        timeout=connection.settings.schema_timeout if timeout is NOT_SET else timeout,
        info=info,
    )
    connection.forget_types()
    if not rows.response_future.is_schema_agreed:
        raise SchemaError(f"The nodes do not agree on the schema yet after: {info.subject}")
    return rows


def _values(prepared: PreparedStatement, parameters: Parameters | None) -> Sequence[Any]:
    """Return a value for each marker.

    :raises ValueError: if there are more or fewer; the driver would take a missing one for UNSET.
    """
    names = [column.name for column in prepared.column_metadata or ()]
    subject = _shorten(prepared.query_string)
    if isinstance(parameters, Mapping):
        wrong = set(names) ^ parameters.keys()
        if wrong:
            name = min(map(str, wrong))
            what = "has no value" if name in names else "is not a marker of the statement"
            raise ValueError(f"{subject}: {name} {what}; the markers are {', '.join(names)}.")
        return [parameters[name] for name in names]
    if parameters is not None and (
        isinstance(parameters, str | bytes) or not isinstance(parameters, Sequence)
    ):
        raise TypeError(
            "The values of a statement are a sequence or a mapping, not "
            f"{type(parameters).__name__}."
        )
    values = list(parameters or ())
    if len(values) != len(names):
        raise ValueError(
            f"{subject}: {len(values)} values for {len(names)} markers ({', '.join(names)})."
        )
    return values


def _shorten(cql: str) -> str:
    """Return the text as an error names it."""
    line = " ".join(cql.split())
    return line if len(line) <= 80 else f"{line[:79]}…"
