"""How answers of Cassandra become rows: the kit's protocol handler for the driver's sessions.

The driver decodes in its event-loop thread, and closes the connection for every thread when a cell
cannot be decoded. Here each cell becomes a value, and an answer that cannot be read is an error of
its own request. Stages: read the columns, or take those cached with a prepared statement; let the
driver's C parser decode the rows with the types below; where it fails, decode the page again cell
by cell. ``install`` puts all of it into a session; executing statements is left to ``connection``.
"""

from __future__ import annotations

import logging
import re
import struct
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from functools import total_ordering
from io import BytesIO
from operator import itemgetter
from typing import Any, TypeAlias
from uuid import UUID, SafeUUID

from cassandra import DriverException, ProtocolVersion, cqltypes, util
from cassandra.cluster import ResponseFuture, Session
from cassandra.cython_deps import HAVE_CYTHON
from cassandra.policies import ColDesc
from cassandra.protocol import (
    COMPRESSED_FLAG,
    CUSTOM_PAYLOAD_FLAG,
    RESULT_KIND_PREPARED,
    RESULT_KIND_ROWS,
    TRACING_FLAG,
    WARNING_FLAG,
    ExecuteMessage,
    ProtocolHandler,
    ResultMessage,
    read_bytesmap,
    read_stringlist,
)
from cassandra.query import PreparedStatement

log = logging.getLogger(__name__)

#: Keyspace, table, column and type of one column of a result, as the driver keeps them.
Column: TypeAlias = tuple[str, str, str, Any]

#: The Python classes of user types: by keyspace, by name. The driver's own live dictionary.
UserTypeMap: TypeAlias = Mapping[str, Mapping[str, type]]

#: Flags of a ROWS result, and of the query parameters of EXECUTE (native protocol v5, 4.2.5.2 and
#: 4.1.4).
_GLOBAL_TABLE = 0x0001
_MORE_PAGES = 0x0002
_NO_METADATA = 0x0004
_METADATA_CHANGED = 0x0008
_SKIP_METADATA = 0x02

#: Bytes of a frame header since v3, and from the end of EXECUTE's two ids to the flags' last byte:
#: a consistency level of two bytes, then flags of four.
_HEADER_SIZE = 9
_TO_FLAGS = 2 + 3

#: Plans kept for statements that are not prepared; beyond it all are forgotten.
_MOST_PLANS = 256

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the driver gives naive UTC
_MILLISECOND = timedelta(milliseconds=1)
_FIRST_MILLISECOND = (datetime.min - _EPOCH) // _MILLISECOND  # noqa: DTZ901
_LAST_MILLISECOND = (datetime.max - _EPOCH) // _MILLISECOND  # noqa: DTZ901

#: Between these the driver's timestamps are exact: 2**33 s around 1970, and some years less.
_DOUBLES_FROM = datetime(1700, 1, 1)  # noqa: DTZ001
_DOUBLES_UNTIL = datetime(2240, 1, 1)  # noqa: DTZ001

#: Milliseconds in 400 years, after which the Gregorian calendar repeats.
_CALENDAR_CYCLE = 146_097 * 86_400_000

_INT64 = struct.Struct(">q")
_INT32 = struct.Struct(">i")
_TWO_INT32 = struct.Struct(">ii")
_UINT16 = struct.Struct(">H")


@total_ordering
@dataclass(frozen=True, slots=True)
class OutOfRangeTimestamp:
    """A ``timestamp`` before year 1 or after year 9999, which no ``datetime`` can hold.

    It sorts before or after every ``datetime``. To write it, bind ``milliseconds``, which the
    driver takes for a timestamp.

    :ivar milliseconds: since 1970-01-01T00:00:00Z.
    """

    milliseconds: int

    def __post_init__(self) -> None:
        if _FIRST_MILLISECOND <= self.milliseconds <= _LAST_MILLISECOND:
            raise ValueError(f"{self.milliseconds} ms since 1970 can be held by a datetime.")

    def __str__(self) -> str:
        cycles, rest = divmod(self.milliseconds, _CALENDAR_CYCLE)
        moment = _EPOCH + rest * _MILLISECOND
        year = moment.year + 400 * cycles
        return f"{year:+05}{moment:-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"

    def __lt__(self, other: object) -> bool:
        if isinstance(other, OutOfRangeTimestamp):
            return self.milliseconds < other.milliseconds
        if isinstance(other, datetime):
            return self.milliseconds < 0
        return NotImplemented


@dataclass(frozen=True, slots=True)
class UndecodableValue:
    """Stands for a cell, or a part of one, whose bytes make no value of its type.

    It never holds the bytes. To see them, select ``type_as_blob(column)``.

    :ivar type_name: the type in CQL.
    :ivar size: of the value, in bytes.
    :ivar reason: what is wrong with it.
    """

    type_name: str
    size: int
    reason: str

    def __str__(self) -> str:
        return f"undecodable {self.type_name} of {self.size} bytes: {self.reason}"


class UndecodableResponse(DriverException):  # type: ignore[misc]
    """An answer that cannot be read at all; the connection and every other request go on."""


class _Timestamp(cqltypes.DateType):  # type: ignore[misc]
    """``timestamp`` by integer arithmetic; the driver's is a float with errors from 2242 on."""

    cassname = cqltypes.DateType.cassname

    @staticmethod
    def deserialize(data: bytes, protocol_version: int) -> datetime | OutOfRangeTimestamp:
        del protocol_version
        milliseconds: int
        (milliseconds,) = _INT64.unpack(data)
        try:
            return _EPOCH + milliseconds * _MILLISECOND
        except OverflowError:
            return OutOfRangeTimestamp(milliseconds)

    @staticmethod
    def serialize(value: Any, protocol_version: int) -> bytes:
        # Called for the lookup of a key in a map.
        if isinstance(value, OutOfRangeTimestamp):
            return _INT64.pack(value.milliseconds)
        data: bytes = cqltypes.DateType.serialize(value, protocol_version)
        return data


class _Time(cqltypes.TimeType):  # type: ignore[misc]
    """``time``; Cassandra stores any 64-bit number there that comes as a blob."""

    cassname = cqltypes.TimeType.cassname

    @staticmethod
    def deserialize(data: bytes, protocol_version: int) -> util.Time | UndecodableValue:
        del protocol_version
        (nanoseconds,) = _INT64.unpack(data)
        if 0 <= nanoseconds < util.Time.DAY:
            return util.Time(nanoseconds)
        return UndecodableValue("time", len(data), "outside the 24 hours of a day")


_set_uuid_int: Callable[[UUID, int], None] = UUID.__dict__["int"].__set__
_set_uuid_safety: Callable[[UUID, SafeUUID], None] = UUID.__dict__["is_safe"].__set__


def _make_uuid(data: bytes, protocol_version: int) -> UUID:
    """Do what ``UUID(bytes=data)`` does in half of its time, without its five other ways."""
    del protocol_version
    if len(data) != 16:
        raise ValueError("a UUID has 16 bytes")
    uuid = UUID.__new__(UUID)
    _set_uuid_int(uuid, int.from_bytes(data, "big"))
    _set_uuid_safety(uuid, SafeUUID.unknown)
    return uuid


class _UUID(cqltypes.UUIDType):  # type: ignore[misc]
    cassname = cqltypes.UUIDType.cassname
    deserialize = staticmethod(_make_uuid)


class _TimeUUID(cqltypes.TimeUUIDType):  # type: ignore[misc]
    cassname = cqltypes.TimeUUIDType.cassname
    deserialize = staticmethod(_make_uuid)


#: Exact for every ``decimal``: 32 bits of scale, and as many digits as memory holds.
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)


class _Decimal(cqltypes.DecimalType):  # type: ignore[misc]
    """``decimal`` without a detour through text, which Python limits to 4,300 digits."""

    cassname = cqltypes.DecimalType.cassname

    @staticmethod
    def deserialize(data: bytes, protocol_version: int) -> Decimal:
        del protocol_version
        (scale,) = _INT32.unpack_from(data)
        if len(data) == _INT32.size:
            raise ValueError("a decimal without digits")
        return Decimal(int.from_bytes(data[4:], "big", signed=True)).scaleb(-scale, _EXACT)


class _Varint(cqltypes.IntegerType):  # type: ignore[misc]
    cassname = cqltypes.IntegerType.cassname

    @staticmethod
    def deserialize(data: bytes, protocol_version: int) -> int:
        del protocol_version
        return int.from_bytes(data, "big", signed=True)


_OWN_TYPES = {
    cqltypes.DateType: _Timestamp,
    cqltypes.TimestampType: _Timestamp,
    cqltypes.TimeType: _Time,
    cqltypes.UUIDType: _UUID,
    cqltypes.TimeUUIDType: _TimeUUID,
    cqltypes.DecimalType: _Decimal,
    cqltypes.IntegerType: _Varint,
}


class _Types:
    """The types of one session: the driver's, with our own inside, each made once.

    The driver keeps the Python class of a user type in a cache of the process, by keyspace and
    name. Two applications with different clusters would get each other's classes; these do not.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[Any, ...], Any] = {}

    def find(self, cqltype: Any, registered: UserTypeMap) -> Any:
        """Return our type for one of the driver's."""
        own = _OWN_TYPES.get(cqltype)
        if own is not None:
            return own
        if issubclass(cqltype, cqltypes.VectorType):
            inner = self.find(cqltype.subtype, registered)
            return self.parameterized(cqltypes.VectorType, (inner, cqltype.vector_size))
        if not cqltype.subtypes:
            return cqltype
        subtypes = tuple(self.find(subtype, registered) for subtype in cqltype.subtypes)
        if issubclass(cqltype, cqltypes.UserType):
            return self.user_type(
                cqltype.keyspace, cqltype.typename, tuple(cqltype.fieldnames), subtypes, registered
            )
        return self.parameterized(cqltype.__base__, subtypes)

    def parameterized(self, base: Any, subtypes: tuple[Any, ...]) -> Any:
        """Return ``base`` with these parameters, as in ``list<int>``."""
        made = self._made.get((base, subtypes))
        if made is None:
            made = self._made[base, subtypes] = base.apply_parameters(subtypes, None)
        return made

    def user_type(
        self,
        keyspace: str,
        name: str,
        fields: tuple[str, ...],
        subtypes: tuple[Any, ...],
        registered: UserTypeMap,
    ) -> Any:
        """Return a user type that makes instances of the class registered with this cluster."""
        mapped_class = registered.get(keyspace, {}).get(name)
        key = (keyspace, name, fields, subtypes, mapped_class)
        made = self._made.get(key)
        if made is None:
            attributes = {
                "subtypes": subtypes,
                "cassname": cqltypes.UserType.cassname,
                "typename": name,
                "fieldnames": fields,
                "keyspace": keyspace,
                "mapped_class": mapped_class,
                "tuple_type": cqltypes.UserType._make_udt_tuple_type(name, fields),
            }
            # The underscore keeps it out of the driver's registry of types.
            made = self._made[key] = type("_UserType", (cqltypes.UserType,), attributes)
        return made


def _user_types_in(cqltype: Any) -> Iterator[Any]:
    if issubclass(cqltype, cqltypes.UserType):
        yield cqltype
    vector_of = getattr(cqltype, "subtype", None)
    for subtype in (*cqltype.subtypes, *([vector_of] if vector_of else [])):
        yield from _user_types_in(subtype)


def _reason(error: Exception) -> str:
    """Say what is wrong without a word of what the bytes were, which the driver's errors quote."""
    if isinstance(error, UnicodeDecodeError):
        return f"not valid {error.encoding.upper()}"
    if isinstance(error, struct.error | IndexError | EOFError):
        return "of another length than its type has"
    return type(error).__name__


def _read_bytes(data: bytes, position: int) -> tuple[bytes | None, int]:
    """Return the [bytes] at ``position`` and the position behind it; None is null."""
    (size,) = _INT32.unpack_from(data, position)
    position += 4
    if size < 0:
        return None, position
    end = position + size
    if end > len(data):
        raise EOFError
    return data[position:end], end


def _read_elements(data: bytes, per_entry: int) -> Iterator[bytes | None]:
    """Yield the elements of a collection: ``per_entry`` is 2 for a map."""
    (count,) = _INT32.unpack_from(data)
    if count < 0:
        raise IndexError
    position = 4
    for _ in range(count * per_entry):
        element, position = _read_bytes(data, position)
        yield element


def _read_fields(data: bytes, count: int) -> Iterator[bytes | None]:
    """Yield the fields of a tuple; those added to the type after the value was written are null."""
    position = 0
    for _ in range(count):
        field = None
        if position < len(data):
            field, position = _read_bytes(data, position)
        yield field


def _make_instance(mapped_class: type, fields: dict[str, Any]) -> Any:
    """Make an instance of a user type's class, whose constructor may refuse our stand-ins."""
    odd = {
        name: value
        for name, value in fields.items()
        if isinstance(value, OutOfRangeTimestamp | UndecodableValue)
    }
    if not odd:
        return mapped_class(**fields)
    instance = mapped_class(**fields | dict.fromkeys(odd))
    for name, value in odd.items():
        setattr(instance, name, value)
    return instance


def decode_value(cqltype: Any, data: bytes | None, protocol_version: int) -> Any:
    """Decode one value, whatever its bytes are.

    Unlike the driver's C parser it takes null inside collections, and puts an ``UndecodableValue``
    in the place of the innermost part that makes no value.
    """
    if data is None:
        return None
    try:
        if data:
            return _decode_data(cqltype, data, protocol_version)
        return cqltype.from_binary(data, protocol_version)
    except Exception as error:
        return UndecodableValue(cqltype.cql_parameterized_type(), len(data), _reason(error))


def _decode_data(cqltype: Any, data: bytes, version: int) -> Any:
    if issubclass(cqltype, cqltypes.ListType | cqltypes.SetType):
        (inner,) = cqltype.subtypes
        return cqltype.adapter(
            [decode_value(inner, element, version) for element in _read_elements(data, 1)]
        )
    if issubclass(cqltype, cqltypes.MapType):
        key_type, value_type = cqltype.subtypes
        decoded = util.OrderedMapSerializedKey(key_type, version)
        elements = _read_elements(data, 2)
        for key, value in zip(elements, elements, strict=True):
            decoded._insert_unchecked(
                decode_value(key_type, key, version), key, decode_value(value_type, value, version)
            )
        return decoded
    if issubclass(cqltype, cqltypes.TupleType):
        fields = tuple(
            decode_value(field_type, field, version)
            for field_type, field in zip(
                cqltype.subtypes, _read_fields(data, len(cqltype.subtypes)), strict=True
            )
        )
        if not issubclass(cqltype, cqltypes.UserType):
            return fields
        if cqltype.mapped_class:
            named = dict(zip(cqltype.fieldnames, fields, strict=True))
            return _make_instance(cqltype.mapped_class, named)
        return cqltype.tuple_type(*fields) if cqltype.tuple_type else fields
    if issubclass(cqltype, cqltypes.FrozenType | cqltypes.ReversedType):
        return decode_value(cqltype.subtypes[0], data, version)
    return cqltype.from_binary(data, version)


def _make_parser(
    names: list[str], types: list[Any], protocol_version: int
) -> Callable[[bytes], list[tuple[Any, ...]]]:
    """Return a function that decodes rows of these columns with the driver's C parser."""
    from cassandra.bytesio import BytesIOReader
    from cassandra.deserializers import make_deserializers
    from cassandra.obj_parser import ListParser
    from cassandra.parsing import ParseDesc

    parser, deserializers = ListParser(), make_deserializers(types)
    columns = ParseDesc(names, types, None, [None] * len(names), deserializers, protocol_version)
    return lambda data: parser.parse_rows(BytesIOReader(data), columns)


def _are_exact(timestamps: Iterable[datetime | None]) -> bool:
    """Say whether the driver's C code, which calculates in doubles, was exact for all of these.

    Within 2**33 s of 1970 a double is less than half a microsecond off, and the driver rounds to
    microseconds.
    """
    moments = list(filter(None, timestamps))
    return not moments or (min(moments) >= _DOUBLES_FROM and max(moments) < _DOUBLES_UNTIL)


class _Plan:
    """How to decode the rows of one list of columns: made once, used for every answer."""

    def __init__(self, columns: list[Column], policy: Any, protocol_version: int) -> None:
        self.columns = columns
        self.names = [name for _, _, name, _ in columns]
        self.types = [cqltype for *_, cqltype in columns]
        self.user_types = [inner for cqltype in self.types for inner in _user_types_in(cqltype)]
        self._policy = policy
        # An encryption policy would give the C parser the driver's own types.
        self._in_c = HAVE_CYTHON and policy is None
        self._timestamps = [
            itemgetter(index)
            for index, cqltype in enumerate(self.types)
            if self._in_c and cqltype is _Timestamp
        ]
        if self._in_c:
            self._parse = _make_parser(self.names, self.types, protocol_version)
        if self._timestamps:
            doubles = [
                cqltypes.DateType if cqltype is _Timestamp else cqltype for cqltype in self.types
            ]
            self._parse_with_doubles = _make_parser(self.names, doubles, protocol_version)

    def is_current(self, registered: UserTypeMap) -> bool:
        """Say whether the classes of all user types are still those that are registered."""
        return all(
            registered.get(known.keyspace, {}).get(known.typename) is known.mapped_class
            for known in self.user_types
        )

    def decode_rows(self, data: bytes, protocol_version: int) -> list[tuple[Any, ...]]:
        """Decode the row count and the rows.

        :raises EOFError, struct.error: if the data ends before the rows do.
        """
        if self._in_c:
            try:
                return self._decode_in_c(data)
            except Exception:
                # Which cell it was, and what can stand for it, only the slow way can tell.
                log.debug("Decoding a page again, cell by cell")
        return list(self._decode_slowly(data, protocol_version))

    def _decode_in_c(self, data: bytes) -> list[tuple[Any, ...]]:
        if self._timestamps:
            try:
                rows = self._parse_with_doubles(data)
                if all(_are_exact(map(pick, rows)) for pick in self._timestamps):
                    return rows
            except Exception:
                log.debug("Decoding a page again, with integers for timestamps")
            # Such pages come in numbers: 9999-12-31 may stand for "never" in every row.
            self._timestamps = []
        return self._parse(data)

    def _decode_slowly(self, data: bytes, protocol_version: int) -> Iterator[tuple[Any, ...]]:
        (count,) = _INT32.unpack_from(data)
        position = 4
        for _ in range(count):
            row = []
            for column in self.columns:
                cell, position = _read_bytes(data, position)
                row.append(self._decode_cell(column, cell, protocol_version))
            yield tuple(row)

    def _decode_cell(self, column: Column, cell: bytes | None, protocol_version: int) -> Any:
        *names, cqltype = column
        if self._policy is not None and cell is not None:
            description = ColDesc(*names)
            if self._policy.contains_column(description):
                cqltype = self._policy.column_type(description)
                cell = self._policy.decrypt(description, cell)
        return decode_value(_OWN_TYPES.get(cqltype, cqltype), cell, protocol_version)


class _ColumnReader:
    """Reads the columns of a ROWS result (native protocol v5, 4.2.5.2)."""

    def __init__(self, data: bytes, position: int, types: _Types, registered: UserTypeMap) -> None:
        self.position = position
        self._data = data
        self._types = types
        self._registered = registered

    def read_columns(self, count: int, *, one_table: bool) -> list[Column]:
        if one_table:
            keyspace, table = self.read_string(), self.read_string()
            return [(keyspace, table, self.read_string(), self._read_type()) for _ in range(count)]
        return [
            (self.read_string(), self.read_string(), self.read_string(), self._read_type())
            for _ in range(count)
        ]

    def read_short_bytes(self) -> bytes:
        start = self.position + 2
        end = self.position = start + self._read_short()
        return self._data[start:end]

    def read_string(self) -> str:
        return self.read_short_bytes().decode()

    def _read_short(self) -> int:
        (value,) = _UINT16.unpack_from(self._data, self.position)
        self.position += 2
        return value  # type: ignore[no-any-return]

    def _read_type(self) -> Any:
        code = self._read_short()
        cqltype = ResultMessage.type_codes[code]
        if cqltype in _OWN_TYPES:
            return _OWN_TYPES[cqltype]
        if cqltype in (cqltypes.ListType, cqltypes.SetType):
            return self._types.parameterized(cqltype, (self._read_type(),))
        if cqltype is cqltypes.MapType:
            return self._types.parameterized(cqltype, (self._read_type(), self._read_type()))
        if cqltype is cqltypes.TupleType:
            inner = tuple(self._read_type() for _ in range(self._read_short()))
            return self._types.parameterized(cqltype, inner)
        if cqltype is cqltypes.UserType:
            keyspace, name = self.read_string(), self.read_string()
            fields = [(self.read_string(), self._read_type()) for _ in range(self._read_short())]
            names, inner = zip(*fields, strict=True)
            return self._types.user_type(keyspace, name, names, inner, self._registered)
        if code == 0:
            custom = cqltypes.lookup_casstype(self.read_string())
            return self._types.find(custom, self._registered)
        return cqltype


class _Rows(ResultMessage):  # type: ignore[misc]
    """A ROWS result, which does not print its rows. The driver registers classes without ``_``."""

    def __repr__(self) -> str:
        return f"<ROWS result with the columns {', '.join(self.column_names or ())}>"


#: Beginnings of the server's warnings that hold names and numbers only.
_HARMLESS_WARNING = re.compile(
    r"Read \d+ live rows and \d+ tombstone cells|Aggregation query used [\w ()]+"
    r"|(?:Unlogged batch|Batch) [^']+"
)


def _log_warnings(warnings: list[str]) -> None:
    # The driver logs them whole; "Read 0 live rows and 1500 tombstone cells" quotes the key.
    for warning in warnings:
        known = _HARMLESS_WARNING.match(warning)
        log.warning(
            "Cassandra warns about a statement: %s. The whole text is in the result's "
            "response_future.warnings.",
            known[0] if known else f"{len(warning)} characters, which may hold values",
        )


class Handler:
    """Encodes and decodes the messages of one session, as the driver's ``ProtocolHandler`` does.

    :param policy: the cluster's column encryption policy, or None.
    """

    encode_message = staticmethod(ProtocolHandler.encode_message)

    def __init__(self, policy: Any = None) -> None:
        self._policy = policy
        self._types = _Types()
        self._plans: dict[tuple[Column, ...], _Plan] = {}
        self._lock = threading.Lock()

    def decode_message(
        self,
        protocol_version: int,
        user_type_map: UserTypeMap,
        stream_id: int,
        flags: int,
        opcode: int,
        body: bytes,
        decompressor: Callable[[bytes], bytes] | None,
        result_metadata: Any,
        *,
        prepared: _PreparedHandler | None = None,
    ) -> Any:
        """Return the driver's message for a frame, or an ``UndecodableResponse``.

        It never raises: for an exception here the driver closes the connection, and logs its buffer
        with the answers of other requests.
        """
        try:
            message = self._decode(
                protocol_version,
                user_type_map,
                flags,
                opcode,
                body,
                decompressor,
                result_metadata,
                prepared,
            )
        except Exception as error:
            if prepared is not None:
                prepared.skips_metadata = False
            # Without its cause, whose text and traceback may quote the answer.
            message = UndecodableResponse(
                f"An answer of Cassandra ({len(body)} bytes, opcode {opcode:#04x}) cannot be read: "
                f"{_reason(error)}. The connection stays open."
            )
        message.stream_id = stream_id
        return message

    def _decode(
        self,
        protocol_version: int,
        registered: UserTypeMap,
        flags: int,
        opcode: int,
        body: bytes,
        decompressor: Callable[[bytes], bytes] | None,
        result_metadata: Any,
        prepared: _PreparedHandler | None,
    ) -> Any:
        if (
            flags & COMPRESSED_FLAG
            and decompressor is not None
            and not ProtocolVersion.has_checksumming_support(protocol_version)
        ):
            body = decompressor(body)
        trace_id = warnings = payload = None
        if flags & (TRACING_FLAG | WARNING_FLAG | CUSTOM_PAYLOAD_FLAG):
            stream = BytesIO(body)
            if flags & TRACING_FLAG:
                trace_id = UUID(bytes=stream.read(16))
            if flags & WARNING_FLAG:
                warnings = read_stringlist(stream)
                _log_warnings(warnings)
            if flags & CUSTOM_PAYLOAD_FLAG:
                payload = read_bytesmap(stream)
            body = stream.read()
        if opcode == ResultMessage.opcode and _INT32.unpack_from(body)[0] == RESULT_KIND_ROWS:
            message = self._decode_rows(body, protocol_version, registered, prepared)
        else:
            message_class = ProtocolHandler.message_types_by_opcode[opcode]
            message = message_class.recv_body(
                BytesIO(body), protocol_version, registered, result_metadata, self._policy
            )
            if prepared is not None and getattr(message, "kind", None) == RESULT_KIND_PREPARED:
                # The statement was prepared again. The driver stores these columns and their id
                # one after the other; ours know their id.
                message.column_metadata = prepared.make_columns(
                    message.column_metadata, message.result_metadata_id
                )
        message.trace_id = trace_id
        message.custom_payload = payload
        message.warnings = warnings
        return message

    def _decode_rows(
        self,
        body: bytes,
        protocol_version: int,
        registered: UserTypeMap,
        prepared: _PreparedHandler | None,
    ) -> _Rows:
        message = _Rows(RESULT_KIND_ROWS)
        flags, count = _TWO_INT32.unpack_from(body, 4)
        position = 12
        if flags & _MORE_PAGES:
            message.paging_state, position = _read_bytes(body, position)
        if flags & _NO_METADATA:
            plan = prepared.find_plan(registered, protocol_version) if prepared else None
            if plan is None or len(plan.names) != count:
                raise IndexError
        else:
            reader = _ColumnReader(body, position, self._types, registered)
            new_id = reader.read_short_bytes() if flags & _METADATA_CHANGED else None
            columns = reader.read_columns(count, one_table=bool(flags & _GLOBAL_TABLE))
            position = reader.position
            plan = self.find_plan(columns, protocol_version)
            message.column_metadata = columns
            if new_id is not None and prepared is not None:
                prepared.remember(columns, new_id)
        message.column_names = plan.names
        message.column_types = plan.types
        message.parsed_rows = plan.decode_rows(body[position:], protocol_version)
        return message

    def find_plan(self, columns: list[Column], protocol_version: int) -> _Plan:
        """Return the plan for columns of our types."""
        key = tuple(columns)
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            plan = self._plans[key] = _Plan(columns, self._policy, protocol_version)
        return plan

    def make_plan(
        self, columns: list[Column], registered: UserTypeMap, protocol_version: int
    ) -> _Plan:
        """Return the plan for columns of the driver's types."""
        return self.find_plan(
            [
                (keyspace, table, name, self._types.find(cqltype, registered))
                for keyspace, table, name, cqltype in columns
            ],
            protocol_version,
        )

    def prepare_request(self, request: ResponseFuture) -> None:
        """Tie a request to the columns that belong to the metadata id it sends.

        The driver reads a statement's id when it makes the message, and its columns when it sends
        it; another thread may have changed both in between. What decides is the id in the message:
        an answer without columns has the columns of that id.
        """
        statement = request.prepared_statement
        if statement is None or not isinstance(request.message, ExecuteMessage):
            return
        columns = statement.result_metadata
        if not isinstance(columns, _ResultColumns) or columns.handler.session_handler is not self:
            if not columns or not statement.result_metadata_id:
                return
            columns = self._adopt(statement)
        request.message.result_metadata_id = columns.handler.metadata_id
        request._protocol_handler = columns.handler

    def _adopt(self, statement: PreparedStatement) -> _ResultColumns:
        # The statement has not been executed yet, so nothing else changes its columns and their id.
        with self._lock:
            columns = statement.result_metadata
            metadata_id = statement.result_metadata_id
            if isinstance(columns, _ResultColumns):
                if columns.handler.session_handler is self:
                    return columns
                metadata_id = columns.handler.metadata_id
            handler = _PreparedHandler(self, statement, columns, metadata_id)
            statement.result_metadata = handler.columns
            return handler.columns


class _ResultColumns(list[Column]):
    """The result columns of a prepared statement, with the handler that knows their id.

    One reference to replace, so that no thread sees the columns of one id with another.
    """

    handler: _PreparedHandler


class _PreparedHandler:
    """Encodes and decodes the requests that send one metadata id of one prepared statement."""

    def __init__(
        self,
        session_handler: Handler,
        statement: PreparedStatement,
        columns: list[Column],
        metadata_id: bytes,
    ) -> None:
        self.session_handler = session_handler
        self.metadata_id = metadata_id
        self.columns = _ResultColumns(columns)
        self.columns.handler = self
        #: Cleared when an answer does not fit the columns: then Cassandra sends them again.
        self.skips_metadata = True
        self._statement = weakref.ref(statement)
        self._plan: _Plan | None = None

    def encode_message(
        self,
        message: Any,
        stream_id: int,
        protocol_version: int,
        compressor: Any,
        allow_beta_protocol_version: bool,
    ) -> bytes:
        """Encode as the driver does, and set the flag that it never sets: "skip metadata"."""
        frame: bytes = ProtocolHandler.encode_message(
            message, stream_id, protocol_version, compressor, allow_beta_protocol_version
        )
        if (
            self.skips_metadata
            and protocol_version == ProtocolVersion.V5
            and isinstance(message, ExecuteMessage)
            and message.result_metadata_id is self.metadata_id
            and not message.custom_payload
        ):
            at = _HEADER_SIZE + 2 + len(message.query_id) + 2 + len(self.metadata_id) + _TO_FLAGS
            return b"%b%c%b" % (frame[:at], frame[at] | _SKIP_METADATA, frame[at + 1 :])
        return frame

    def decode_message(self, *arguments: Any) -> Any:
        """Decode as ``Handler`` does, with the columns of this id.

        Those that the driver passes were read when it sent the request, and may be of another id.
        """
        return self.session_handler.decode_message(*arguments, prepared=self)

    def find_plan(self, registered: UserTypeMap, protocol_version: int) -> _Plan:
        """Return how to decode an answer that came without columns."""
        plan = self._plan
        if plan is None or not plan.is_current(registered):
            plan = self._plan = self.session_handler.make_plan(
                self.columns, registered, protocol_version
            )
        return plan

    def make_columns(self, columns: list[Column], metadata_id: bytes) -> _ResultColumns:
        """Return result columns for the same statement that have another id."""
        handler = _PreparedHandler(self.session_handler, self._statement(), columns, metadata_id)
        return handler.columns

    def remember(self, columns: list[Column], metadata_id: bytes) -> None:
        """Have later requests send the new id."""
        statement = self._statement()
        if statement is not None:
            statement.result_metadata = self.make_columns(columns, metadata_id)
            statement.result_metadata_id = metadata_id


class _Redaction(logging.Filter):
    """Takes values out of the two messages in which the driver would log them.

    One prints a connection's receive buffer, in which other requests' answers may be: the driver's
    own requests, such as PREPARE, are decoded by its own handler. The other prints a whole value
    when the class of a user type lacks a field.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        text = str(record.msg)
        if "buffer: %r" in text and isinstance(record.args, tuple):
            *others, buffer = record.args
            size = len(buffer) if isinstance(buffer, bytes) else 0
            error = record.exc_info[0] if record.exc_info else None
            cause = f", {error.__name__}" if error else ""
            record.args = (*others, f"{size} bytes{cause}")
            record.exc_info = record.exc_text = None
        elif " is part of the UDT " in text:
            record.msg = text.partition(" but is not present in the value ")[0] + " but is missing"
        return True


_redaction = _Redaction()


def install(session: Session, *, skip_metadata: bool = True) -> None:
    """Have a session decode by these rules, before its first statement is executed.

    :param skip_metadata: whether answers to prepared statements leave out the columns, which are
        cached with the statement. Only done on protocol v5, where Cassandra says when they change.
    """
    handler = Handler(session.cluster.column_encryption_policy)
    session.client_protocol_handler = handler
    if skip_metadata:
        session.add_request_init_listener(handler.prepare_request)
    for name in ("cassandra.connection", "cassandra.cqltypes"):
        logging.getLogger(name).addFilter(_redaction)
