"""From the bytes of rows to dictionaries: by the driver's C parser or, where it fails, by cells."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from operator import itemgetter
from typing import Any, TypeAlias

from cassandra import cqltypes, util
from cassandra.cython_deps import HAVE_CYTHON
from cassandra.policies import ColDesc
from cassandra.protocol import (
    ResultMessage,
)

from .types import (
    INT32,
    OWN_TYPES,
    UINT16,
    CQLType,
    Timestamp,
    Types,
    UserTypeMap,
    user_types_in,
    with_lists_and_dicts,
)
from .values import OutOfRangeTimestamp, UndecodableValue

log = logging.getLogger("flask_cqlalchemy.protocol")

#: The values of a row, in the order of its columns.
DecodedRow: TypeAlias = tuple[object, ...]

#: Keyspace, table, column and type of one column of a result, as the driver keeps them.
Column: TypeAlias = tuple[str, str, str, CQLType]

#: Between these the driver's timestamps are exact: 2**33 s around 1970, and some years less.
_DOUBLES_FROM = datetime(1700, 1, 1)  # noqa: DTZ001
_DOUBLES_UNTIL = datetime(2240, 1, 1)  # noqa: DTZ001


def reason(error: Exception) -> str:
    """Return what is wrong, without the bytes, which the driver's errors quote."""
    if isinstance(error, UnicodeDecodeError):
        return f"not valid {error.encoding.upper()}"
    if isinstance(error, struct.error | IndexError | EOFError):
        return "of another length than its type has"
    return type(error).__name__


def read_bytes(data: bytes, position: int) -> tuple[bytes | None, int]:
    """Return the [bytes] at ``position`` and the position behind it; None is null."""
    (size,) = INT32.unpack_from(data, position)
    position += 4
    if size < 0:
        return None, position
    end = position + size
    if end > len(data):
        raise EOFError
    return data[position:end], end


def _read_elements(data: bytes, per_entry: int) -> Iterator[bytes | None]:
    """Yield the elements of a collection: ``per_entry`` is 2 for a map."""
    (count,) = INT32.unpack_from(data)
    if count < 0:
        raise IndexError
    position = 4
    for _ in range(count * per_entry):
        element, position = read_bytes(data, position)
        yield element


def _read_fields(data: bytes, count: int) -> Iterator[bytes | None]:
    """Yield the fields of a tuple; those added to the type after the value was written are null."""
    position = 0
    for _ in range(count):
        field = None
        if position < len(data):
            field, position = read_bytes(data, position)
        yield field


def _make_instance(mapped_class: Callable[..., object], fields: dict[str, object]) -> object:
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


def decode_value(cqltype: CQLType, data: bytes | None, protocol_version: int) -> Any:
    """Decode one value, whatever its bytes are.

    Unlike the driver's C parser it takes null inside collections, and puts an ``UndecodableValue``
    in the place of the innermost part that cannot be decoded.
    """
    if data is None:
        return None
    try:
        if data:
            return _decode_data(cqltype, data, protocol_version)
        return cqltype.from_binary(data, protocol_version)
    except Exception as error:
        return UndecodableValue(cqltype.cql_parameterized_type(), len(data), reason(error))


def _decode_data(cqltype: CQLType, data: bytes, version: int) -> Any:
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
    names: list[str], types: list[CQLType], protocol_version: int
) -> Callable[[bytes], list[DecodedRow]]:
    """Return a function that decodes rows of these columns with the driver's C parser."""
    from cassandra.bytesio import BytesIOReader
    from cassandra.deserializers import make_deserializers
    from cassandra.obj_parser import ListParser
    from cassandra.parsing import ParseDesc

    parser, deserializers = ListParser(), make_deserializers(types)
    columns = ParseDesc(names, types, None, [None] * len(names), deserializers, protocol_version)
    return lambda data: parser.parse_rows(BytesIOReader(data), columns)


def _are_exact(timestamps: Iterable[datetime | None]) -> bool:
    """Return whether the driver's C code, which calculates in doubles, was exact for all of these.

    Within 2**33 s of 1970 a double is less than half a microsecond off, and the driver rounds to
    microseconds.
    """
    moments = list(filter(None, timestamps))
    return not moments or (min(moments) >= _DOUBLES_FROM and max(moments) < _DOUBLES_UNTIL)


class RowDecoder:
    """Decodes the rows of one list of columns: made once, used for every answer."""

    def __init__(
        self,
        columns: list[Column],
        policy: Any,
        protocol_version: int,
        *,
        for_instances: bool = False,
    ) -> None:
        self.columns = columns
        self.names = [name for _, _, name, _ in columns]
        self.types = [cqltype for *_, cqltype in columns]
        self.user_types = [inner for cqltype in self.types for inner in user_types_in(cqltype)]
        self._policy = policy
        # An encryption policy would give the C parser the driver's own types.
        self._in_c = HAVE_CYTHON and policy is None
        self._timestamps = [
            itemgetter(index)
            for index, cqltype in enumerate(self.types)
            if self._in_c and cqltype is Timestamp
        ]
        parsed = [*map(with_lists_and_dicts, self.types)] if for_instances else self.types
        if self._in_c:
            self._parse = _make_parser(self.names, parsed, protocol_version)
        if self._timestamps:
            doubles = [cqltypes.DateType if cqltype is Timestamp else cqltype for cqltype in parsed]
            self._parse_with_doubles = _make_parser(self.names, doubles, protocol_version)

    def is_current(self, registered: UserTypeMap) -> bool:
        """Return whether the classes of all user types are still those that are registered."""
        return all(
            registered.get(known.keyspace, {}).get(known.typename) is known.registered_class
            for known in self.user_types
        )

    def decode_rows(self, data: bytes, protocol_version: int) -> list[DecodedRow]:
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

    def _decode_in_c(self, data: bytes) -> list[DecodedRow]:
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

    def _decode_slowly(self, data: bytes, protocol_version: int) -> Iterator[DecodedRow]:
        (count,) = INT32.unpack_from(data)
        position = 4
        for _ in range(count):
            row = []
            for column in self.columns:
                cell, position = read_bytes(data, position)
                row.append(self._decode_cell(column, cell, protocol_version))
            yield tuple(row)

    def _decode_cell(self, column: Column, cell: bytes | None, protocol_version: int) -> Any:
        *names, cqltype = column
        if self._policy is not None and cell is not None:
            description = ColDesc(*names)
            if self._policy.contains_column(description):
                cqltype = self._policy.column_type(description)
                cell = self._policy.decrypt(description, cell)
        return decode_value(OWN_TYPES.get(cqltype, cqltype), cell, protocol_version)


class ColumnReader:
    """Reads the columns of a ROWS result (native protocol v5, 4.2.5.2)."""

    def __init__(self, data: bytes, position: int, types: Types, registered: UserTypeMap) -> None:
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
        (value,) = UINT16.unpack_from(self._data, self.position)
        self.position += 2
        return value  # type: ignore[no-any-return]

    def _read_type(self) -> CQLType:
        code = self._read_short()
        cqltype = ResultMessage.type_codes[code]
        if cqltype in OWN_TYPES:
            return OWN_TYPES[cqltype]
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
