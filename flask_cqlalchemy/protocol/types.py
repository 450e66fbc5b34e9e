"""Cassandra's types as the kit decodes them: exact, and of one session."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from typing import Any, TypeAlias
from uuid import UUID, SafeUUID

from cassandra import cqltypes, util

from .values import OutOfRangeTimestamp, UndecodableValue, moment_of

#: The Python classes of user types: by keyspace, by name. The driver's own live dictionary.
UserTypeMap: TypeAlias = Mapping[str, Mapping[str, type]]

_INT64 = struct.Struct(">q")
#: A class of the driver's that stands for a CQL type; the driver says nothing of its types.
CQLType: TypeAlias = Any

#: From the bytes of a value, and the version of the protocol, to the value.
Reader: TypeAlias = Callable[[bytes, int], object]

INT32 = struct.Struct(">i")
TWO_INT32 = struct.Struct(">ii")
UINT16 = struct.Struct(">H")


class Timestamp(cqltypes.DateType):  # type: ignore[misc]
    """``timestamp`` by integer arithmetic; the driver's is a float with errors from 2242 on."""

    cassname = cqltypes.DateType.cassname

    @staticmethod
    def deserialize(data: bytes, protocol_version: int) -> datetime | OutOfRangeTimestamp:
        del protocol_version
        (milliseconds,) = _INT64.unpack(data)
        return moment_of(milliseconds)

    @staticmethod
    def serialize(value: object, protocol_version: int) -> bytes:
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
        (scale,) = INT32.unpack_from(data)
        if len(data) == INT32.size:
            raise ValueError("a decimal without digits")
        return Decimal(int.from_bytes(data[4:], "big", signed=True)).scaleb(-scale, _EXACT)


class _Varint(cqltypes.IntegerType):  # type: ignore[misc]
    cassname = cqltypes.IntegerType.cassname

    @staticmethod
    def deserialize(data: bytes, protocol_version: int) -> int:
        del protocol_version
        return int.from_bytes(data, "big", signed=True)


OWN_TYPES = {
    cqltypes.DateType: Timestamp,
    cqltypes.TimestampType: Timestamp,
    cqltypes.TimeType: _Time,
    cqltypes.UUIDType: _UUID,
    cqltypes.TimeUUIDType: _TimeUUID,
    cqltypes.DecimalType: _Decimal,
    cqltypes.IntegerType: _Varint,
}


class Types:
    """The types of one session: the driver's, with our own inside, each made once.

    The driver keeps the Python class of a user type in a cache of the process, by keyspace and
    name. Two applications with different clusters would get each other's classes; these do not.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[CQLType, ...], CQLType] = {}

    def find(self, cqltype: CQLType, registered: UserTypeMap) -> CQLType:
        """Return our type for one of the driver's."""
        own = OWN_TYPES.get(cqltype)
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

    def parameterized(self, base: CQLType, subtypes: tuple[CQLType, ...]) -> CQLType:
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
        subtypes: tuple[CQLType, ...],
        registered: UserTypeMap,
    ) -> CQLType:
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
                "registered_class": mapped_class,
                "mapped_class": _maker(mapped_class, fields),
                "tuple_type": cqltypes.UserType._make_udt_tuple_type(name, fields),
            }
            # The underscore keeps it out of the driver's registry of types.
            made = self._made[key] = type("_UserType", (cqltypes.UserType,), attributes)
        return made


def _maker(mapped_class: Any, fields: tuple[str, ...]) -> Any:
    """Return what makes an instance of a user type's class of the fields that Cassandra has, of
    which a class that is older than the type does not know all.
    """
    known = getattr(mapped_class, "__fields_in_rows__", None)
    if known is None or known.issuperset(fields):
        return mapped_class

    def make(**values: object) -> object:
        return mapped_class(**{name: values[name] for name in known & values.keys()})

    return make


class _DictMap(cqltypes._ParameterizedType):  # type: ignore[misc]
    """``map`` as a dictionary, which is made and collected in less time than the driver's map.

    Only for what instances alone will see. It knows no null and no key that cannot be hashed: the
    page is then decoded cell by cell, into the driver's map.
    """

    typename = "map"
    num_subtypes = 2
    #: What reads a key, and what reads a value.
    readers: tuple[Reader, Reader]

    @classmethod
    def apply_parameters(cls, subtypes: Any, names: Any = None) -> Any:
        made = super().apply_parameters(subtypes, names)
        made.readers = tuple(map(_reader, made.subtypes))
        return made

    @classmethod
    def deserialize(cls, data: bytes, protocol_version: int) -> dict[object, object]:
        read_key, read_value = cls.readers
        (count,) = INT32.unpack_from(data)
        found, end = {}, 4
        for _ in range(count):
            start, end = end + 4, end + 4 + INT32.unpack_from(data, end)[0]
            key = data[start:end]
            start, end = end + 4, end + 4 + INT32.unpack_from(data, end)[0]
            if end < start or end > len(data):
                raise ValueError("a null in a map")
            found[read_key(key, protocol_version)] = read_value(data[start:end], protocol_version)
        return found


def _decode_text(data: bytes, protocol_version: int) -> str:
    del protocol_version
    return data.decode()


def _reader(cqltype: CQLType) -> Reader:
    if cqltype is cqltypes.UTF8Type:
        return _decode_text
    read: Reader = cqltype.from_binary
    return read


def with_lists_and_dicts(cqltype: CQLType) -> CQLType:
    """Return a type for the same bytes whose values take less time to make: a list for a set, a
    dictionary for a map.
    """
    if issubclass(cqltype, cqltypes.SetType):
        return cqltypes.ListType.apply_parameters(cqltype.subtypes, None)
    if issubclass(cqltype, cqltypes.MapType):
        return _DictMap.apply_parameters(cqltype.subtypes, None)
    return cqltype


def user_types_in(cqltype: CQLType) -> Iterator[CQLType]:
    if issubclass(cqltype, cqltypes.UserType):
        yield cqltype
    vector_of = getattr(cqltype, "subtype", None)
    for subtype in (*cqltype.subtypes, *([vector_of] if vector_of else [])):
        yield from user_types_in(subtype)
