"""Values as the bytes that a prepared statement takes.

Every value is bound, never written into CQL. What serializes the values is put together once for
each prepared statement, of functions that do for common types what the driver's do in fewer steps.
Where these refuse a value, the driver's own serialize it, or say what is wrong with it. Pure
functions.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import repeat
from operator import attrgetter
from typing import Any
from uuid import UUID

from cassandra import cqltypes
from cassandra.cqlengine import ValidationError
from cassandra.query import UNSET_VALUE, BoundStatement, PreparedStatement
from cassandra.util import SortedSet, Time

from ..columns.values import TAKES, Refusal, why_not
from ..protocol import CQLType, has_time
from ..words import describe

#: From a value that is not null to its bytes.
Serializer = Callable[[Any], bytes]

#: The most bytes of a value in a partition key, whose length has two bytes.
MOST_KEY_BYTES = 65_535

#: Where a prepared statement keeps what serializes its values.
_SERIALIZERS = "_flask_cqlalchemy_serializers"


def bind(prepared: PreparedStatement, values: Sequence[object], subject: str) -> BoundStatement:
    """Bind ``values`` to a prepared statement.

    :param subject: what an error names: the model.
    :raises ValidationError: naming the column whose value has the wrong type or is out of range.
    """
    if prepared.column_encryption_policy is None:
        serialize = prepared.__dict__.get(_SERIALIZERS) or _remember_serializers(prepared)
        try:
            serialized = [
                value if value is None or value is UNSET_VALUE else each(value)
                for each, value in zip(serialize, values, strict=True)
            ]
        except Exception:
            serialized = _serialize_slowly(prepared, values, subject)
        for index in prepared.routing_key_indexes or ():
            if values[index] is UNSET_VALUE:
                name = prepared.column_metadata[index].name
                raise ValidationError(f"{name}, of the partition key, has no value")
            packed: Any = serialized[index]
            if packed is not None and len(packed) > MOST_KEY_BYTES:
                name = prepared.column_metadata[index].name
                raise ValidationError(
                    f"{subject}.{name}: a key has {MOST_KEY_BYTES:,} bytes at most, and this value "
                    f"has {len(packed):,}"
                )
        bound = BoundStatement(prepared)
        bound.values = serialized
        # The driver prints these; a statement of ours shows no values.
        bound.raw_values = None
        return bound
    try:
        return prepared.bind(values)
    except Exception:
        _serialize_slowly(prepared, values, subject)
        raise


def bind_again(
    bound: BoundStatement, prepared: PreparedStatement, index: int, number: int
) -> BoundStatement:
    """Bind the values of another statement, and one more, to a prepared statement.

    :param index: the marker for ``number``, which is a bigint.
    """
    again = BoundStatement(prepared, consistency_level=bound.consistency_level)
    again.values = [*bound.values[:index], _pack_long(number), *bound.values[index:]]
    again.raw_values = None
    again.is_idempotent = bound.is_idempotent
    return again


def _remember_serializers(prepared: PreparedStatement) -> Sequence[Serializer]:
    version = prepared.protocol_version
    found = [_fast(column.type, version) for column in prepared.column_metadata or ()]
    prepared.__dict__[_SERIALIZERS] = found
    return found


def _serialize_slowly(
    prepared: PreparedStatement, values: Sequence[object], subject: str
) -> list[object]:
    """Serialize by the driver's own functions, which take more than the fast ones do.

    :raises Refusal: naming the column whose value they refuse, too.
    """
    serialized = []
    for column, value in zip(prepared.column_metadata, values, strict=True):
        if value is None or value is UNSET_VALUE:
            serialized.append(value)
            continue
        try:
            serialized.append(_checked(column.type, prepared.protocol_version)(value))
        except Exception as error:
            # The driver's types raise many kinds, down to OSError for a text that is no address.
            name = _MARKER.sub(r"\1", column.name)
            refused = _refusal(column.type, value, prepared.protocol_version)
            raise refused.within(f"{subject}.{name}") from error
    return serialized


#: How Cassandra names a marker that is not for a column: ``[ttl]``, ``in(id)``, ``value(tags)``.
_MARKER = re.compile(r"^(?:\w*\(|\[)(.*)[)\]]$")


def _refusal(cqltype: CQLType, value: object, version: int) -> Refusal:
    """Return what is wrong with a value that cannot be serialized, in words about the value."""
    if issubclass(cqltype, cqltypes.FrozenType | cqltypes.ReversedType):
        return _refusal(cqltype.subtypes[0], value, version)
    for where, inner, each in _parts(cqltype, value):
        if each is None:
            if not issubclass(cqltype, cqltypes.TupleType):
                return Refusal(f"is None, and a {cqltype.typename} has no null", where)
            continue
        try:
            _checked(inner, version)(each)
        except Exception:
            return _refusal(inner, each, version).within(where)
    if issubclass(cqltype, cqltypes.UserType):
        return Refusal(f"takes the user type {cqltype.typename}, not {describe(value)}")
    if issubclass(cqltype, cqltypes.VectorType):
        return Refusal(f"takes a list of {cqltype.vector_size} values, and this is not one")
    return why_not(cqltype.typename, value)


def _parts(cqltype: CQLType, value: Any) -> Iterator[tuple[str, CQLType, object]]:
    """Yield the values inside another: where they are, of what type they are, and what they are."""
    if isinstance(value, str | bytes):
        return
    if issubclass(cqltype, cqltypes.MapType):
        key_type, value_type = cqltype.subtypes
        for key, each in value.items() if isinstance(value, Mapping) else ():
            yield " (a key)", key_type, key
            yield " (a value)", value_type, each
    elif issubclass(cqltype, cqltypes.UserType):
        for name, inner in zip(cqltype.fieldnames, cqltype.subtypes, strict=True):
            yield f".{name}", inner, getattr(value, name, None)
    elif isinstance(value, Iterable):
        types: Iterable[CQLType] = ()
        if issubclass(cqltype, cqltypes.TupleType):
            types = cqltype.subtypes
        elif issubclass(cqltype, cqltypes.VectorType):
            types = repeat(cqltype.subtype)
        elif issubclass(cqltype, cqltypes.ListType | cqltypes.SetType):
            types = repeat(cqltype.subtypes[0])
        is_set = issubclass(cqltype, cqltypes.SetType)
        for index, (inner, each) in enumerate(zip(types, value, strict=False)):
            yield " (an element)" if is_set else f"[{index}]", inner, each


# Fast


def _fast(cqltype: CQLType, version: int) -> Serializer:
    """Return what serializes the values of a type: what this module has for it, or the driver's."""
    found = _BY_TYPE.get(cqltype)
    if found is not None:
        return found
    if issubclass(cqltype, cqltypes.ListType | cqltypes.SetType):
        return _make_elements(_element(cqltype.subtypes[0], version))
    if issubclass(cqltype, cqltypes.MapType):
        key, value = cqltype.subtypes
        return _make_map(_element(key, version), _element(value, version))
    return _checked(cqltype, version)


def _element(cqltype: CQLType, version: int) -> Serializer:
    """Return what serializes a part of a collection; null is left to the driver."""
    serialize = _fast(cqltype, version)
    if cqltype in _BY_TYPE:
        return serialize

    def serialize_value(value: object) -> bytes:
        if value is None:
            # A user type would write each of its fields as null.
            raise TypeError
        return serialize(value)

    return serialize_value


_pack_size = struct.Struct(">i").pack
_pack_long = struct.Struct(">q").pack


def _serialize_decimal(value: Decimal) -> bytes:
    sign, digits, exponent = value.as_tuple()
    unscaled = int("".join(map(str, digits)))
    if sign:
        unscaled = -unscaled
    # The shortest two's complement, as Java's BigInteger writes it.
    bits = (unscaled if unscaled >= 0 else unscaled + 1).bit_length()
    return _pack_size(-exponent) + unscaled.to_bytes(bits // 8 + 1, "big", signed=True)  # type: ignore[operator]


def _make_elements(element: Serializer) -> Serializer:
    def serialize(values: Iterable[object]) -> bytes:
        if values.__class__ not in _ITERABLES:
            raise TypeError
        parts = [b""]
        for value in values:
            part = element(value)
            parts += (_pack_size(len(part)), part)
        parts[0] = _pack_size(len(parts) // 2)
        return b"".join(parts)

    return serialize


#: Other classes are left to the driver: a text, say, is an iterable, but not one of values.
_ITERABLES = (list, set, tuple, frozenset, SortedSet)


def _make_map(key: Serializer, value: Serializer) -> Serializer:
    def serialize(pairs: Mapping[object, object]) -> bytes:
        parts = [_pack_size(len(pairs))]
        for each, mapped in pairs.items():
            first, second = key(each), value(mapped)
            parts += (_pack_size(len(first)), first, _pack_size(len(second)), second)
        return b"".join(parts)

    return serialize


#: Each refuses what is not of its type, and null, which the driver has its own way with.
_BY_TYPE: Mapping[CQLType, Serializer] = {
    cqltypes.VarcharType: str.encode,
    cqltypes.BooleanType: {True: b"\x01", False: b"\x00"}.__getitem__,
    cqltypes.ByteType: struct.Struct(">b").pack,
    cqltypes.Int32Type: _pack_size,
    cqltypes.LongType: _pack_long,
    cqltypes.ShortType: struct.Struct(">h").pack,
    cqltypes.DoubleType: struct.Struct(">d").pack,
    cqltypes.FloatType: struct.Struct(">f").pack,
    cqltypes.UUIDType: attrgetter("bytes"),
    cqltypes.DecimalType: _serialize_decimal,
}


# The driver's own


def _checked(cqltype: CQLType, version: int) -> Serializer:
    """Return the driver's function, refusing also what Cassandra would, or what cannot be read."""
    serialize: Callable[[Any, int], bytes] = cqltype.serialize
    if issubclass(cqltype, cqltypes.BooleanType | cqltypes.BytesType):
        # The driver writes any number for a boolean, and of a number so many bytes.
        return lambda value: serialize(TAKES[cqltype.typename](cqltype.typename, value), version)
    # Before timestamps, since the driver takes a time UUID for a timestamp.
    if issubclass(cqltype, cqltypes.TimeUUIDType):
        return lambda value: serialize(_with_time(value), version)
    if issubclass(cqltype, cqltypes.DateType):
        # cqlengine gives milliseconds, for which the driver tries a datetime and a date first.
        pack = struct.Struct(">q").pack
        return lambda value: pack(value) if type(value) is int else serialize(value, version)
    if issubclass(cqltype, cqltypes.MapType):
        return lambda value: serialize(_without_null(value), version)
    if issubclass(cqltype, cqltypes.TimeType):
        return lambda value: serialize(_of_a_day(value), version)
    return lambda value: serialize(value, version)


def _without_null(value: object) -> object:
    """Refuse what the driver would write as an empty value."""
    if isinstance(value, Mapping) and None in value.values():
        raise ValueError("a map has no null")
    return value


def _with_time(value: object) -> object:
    """Refuse a UUID that Cassandra would refuse, in an error that does not name the column."""
    if isinstance(value, UUID) and not has_time(value):
        raise ValueError(f"its version is {value.version}, and must be 1")
    return value


def _of_a_day(value: object) -> object:
    """Refuse a time that Cassandra stores, and that cannot be read again."""
    nanoseconds = getattr(value, "nanosecond_time", 0)
    if not 0 <= nanoseconds < Time.DAY:
        raise ValueError(f"{nanoseconds} ns are not within a day")
    return value
