"""JSON of models, pages and Cassandra's types, in any JSON provider and in a faster one.

``install`` lets whatever provider an application has write them (``jsonify(post)``).
``CassandraJSONProvider`` is a faster provider, which a program may choose. Rows of a query become
JSON without instances: see ``rows``.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import date, datetime, time, timedelta, timezone
from typing import Any, NoReturn

import orjson
from cassandra import util
from cassandra.cqlengine.usertype import BaseUserType
from flask import Flask, Response
from flask.json.provider import DefaultJSONProvider

from .columns import find_encode
from .columns import formats as f
from .columns.fields import as_text, json_order
from .errors import EncodingError
from .mapping.mapper import Mapped
from .pagination.page import Page
from .protocol import OutOfRangeTimestamp, UndecodableValue
from .query.base import Query
from .rows import json_items, schema_of
from .schemas import schema_for

#: What a provider calls for an object that its library cannot write.
Default = Callable[[Any], object]


def _sorted(values: Iterable[object]) -> list[object]:
    return sorted(values, key=_order)


def _simple(value: object) -> object:
    """Return a value whose parts at most are unknown to a JSON library."""
    return value if isinstance(value, _SIMPLE) else to_json_value(value)


_SIMPLE = (str, int, float, list, tuple, dict, type(None))


def _order(value: object) -> tuple[bool, object]:
    if isinstance(value, int | float):
        return False, value
    return True, value if isinstance(value, str) else json_order(_simple(value), to_json_value)


def _encode_mapping(mapping: Mapping[object, object]) -> dict[str, object]:
    return {as_text(_simple(key), to_json_value): value for key, value in mapping.items()}


def _encode_instance(instance: object) -> object:
    return schema_for(type(instance)).dump(instance)


def _refuse_undecodable(value: UndecodableValue) -> NoReturn:
    raise EncodingError(str(value))


#: How the kit's own classes and the driver's collections are written. What single values look like,
#: the column table says.
_BY_CLASS: dict[type, Default] = {
    UndecodableValue: _refuse_undecodable,
    OutOfRangeTimestamp: f.encode_timestamp,
    Mapped: _encode_instance,
    BaseUserType: _encode_instance,
    Query: lambda query: json_items(query, query, schema_of(query, None)),
    Page: Page.to_json_value,
    util.SortedSet: _sorted,
    util.OrderedMap: _encode_mapping,
    set: _sorted,
    frozenset: _sorted,
    bytearray: f.encode_blob,
}

#: Of these classes, those whose JSON has an order: the columns'.
_ORDERED = (Mapped, BaseUserType, Query, Page)

#: Of all of them, those that Flask would take for the program's own dataclasses.
_OWN_DATACLASSES = (UndecodableValue, OutOfRangeTimestamp, Page)


class _Item(tuple[str, object]):
    """A pair that stays where it is when pairs are sorted."""

    __slots__ = ()

    def __lt__(self, _other: object) -> bool:
        return False


class _InOrder(dict[str, Any]):
    """An object whose keys keep their order, whatever the host says of its own: Flask sorts them
    unless told otherwise, and json asks a dictionary for its items to do so.
    """

    def items(self) -> Any:
        return [_Item((key, _in_order(value))) for key, value in super().items()]


class _AllInOrder(list[Any]):
    """An array of such objects."""


def _in_order(value: object) -> object:
    if type(value) is dict:
        return _InOrder(value)
    return _AllInOrder(map(_in_order, value)) if type(value) is list else value


def _encode(value: object, encode: Default) -> object:
    found = encode(value)
    return _in_order(found) if isinstance(value, _ORDERED) else found


def _find_encoder(kind: type) -> Default | None:
    """Return what encodes the values of a class that a JSON library does not know."""
    for base in kind.__mro__:
        encode = _BY_CLASS.get(base) or find_encode(base)
        if encode is not None:
            return encode
    return None


def to_json_value(value: object) -> object:
    """Return what JSON has for a value that a JSON library does not know.

    :raises TypeError: if the kit does not know it either.
    :raises EncodingError: if the value's bytes in the table could not be decoded.
    """
    encode = _find_encoder(type(value))
    if encode is None:
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
    return encode(value)


def chain(before: Default) -> Default:
    """Return a ``default`` that asks ``before`` first, and then the kit for what is left."""

    def default(value: object) -> object:
        if isinstance(value, _OWN_DATACLASSES):
            return _encode(value, to_json_value)
        try:
            return before(value)
        except TypeError:
            encode = _find_encoder(type(value))
            if encode is None:
                raise
        # Outside the handler, or the kit's error would show the provider's as its context.
        return _encode(value, encode)

    return default


def install(app: Flask) -> None:
    """Have the application's JSON provider write models, pages and Cassandra's types.

    What the provider writes already stays as it is. One without a ``default``, or with one that
    cannot be replaced, is left alone.
    """
    before = getattr(app.json, "default", None)
    if callable(before):
        with suppress(AttributeError):
            app.json.default = chain(before)  # type: ignore[attr-defined]


# A faster provider

#: An integer may be too large for orjson, which would read it as a double.
_MANY_DIGITS = re.compile(rb"[0-9]{19}")


def _write_datetime(moment: datetime) -> str:
    offset = moment.utcoffset()
    if offset is not None and offset % timedelta(minutes=1):
        # Local mean time: RFC 3339 has no seconds in an offset.
        moment, offset = moment.astimezone(timezone.utc), timedelta()
    return moment.isoformat() if offset else f"{moment.replace(tzinfo=None).isoformat()}Z"


def _default(value: object) -> object:
    if isinstance(value, datetime):
        return _write_datetime(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, enum.Enum):
        return value.value
    return DefaultJSONProvider.default(value)


#: Classes that ``default`` is asked about: orjson rounds an offset with seconds, and leaves out the
#: fields of a dataclass that begin with an underscore.
_ASK = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


class CassandraJSONProvider(DefaultJSONProvider):
    """A JSON provider on orjson: ``app.json = CassandraJSONProvider(app)``, before ``init_app``.

    Beside models and Cassandra's types it writes a ``datetime`` as RFC 3339, one without a time
    zone being in UTC, where Flask's writes an HTTP date, and NaN and infinities as null. What
    orjson refuses (integers of more than 64 bits, keys that are not strings, halves of surrogate
    pairs) is written and read by the standard library, as before.
    """

    default = staticmethod(chain(_default))

    def dumps(self, obj: object, **options: Any) -> str:
        """Write JSON; any option of ``json.dumps`` leads to the standard library."""
        if not options:
            try:
                return self._write(obj).decode()
            except TypeError:
                # orjson raises this for all that it refuses; the standard library may know better.
                pass
        return super().dumps(obj, **options)

    def loads(self, s: str | bytes, **options: Any) -> Any:
        """Read JSON; any option of ``json.loads`` leads to the standard library."""
        data = s.encode("utf-8", "surrogatepass") if isinstance(s, str) else s
        if not (options or _MANY_DIGITS.search(data)):
            try:
                return orjson.loads(data)
            except orjson.JSONDecodeError:
                # The standard library reads NaN, and other encodings than UTF-8.
                pass
        try:
            return json.loads(s, **options)
        except RecursionError:
            raise ValueError("The JSON is nested too deeply.") from None

    def response(self, *args: object, **kwargs: object) -> Response:
        """Return a response with the arguments as JSON, indented in debug mode."""
        obj = self._prepare_response_obj(args, kwargs)
        is_indented = self.compact is False or (self.compact is None and self._app.debug)
        try:
            body = self._write(obj)
            if is_indented:
                # Afterwards: what keeps its order is written apart, which orjson does not indent.
                body = orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2)
        except TypeError:
            return super().response(*args, **kwargs)  # type: ignore[return-value]
        make: Any = self._app.response_class
        made: Response = make(body + b"\n", mimetype=self.mimetype)
        return made

    def _write(self, obj: object) -> bytes:
        if not self.sort_keys:
            return orjson.dumps(obj, default=self.default, option=_ASK)
        option = _ASK | orjson.OPT_SORT_KEYS
        return orjson.dumps(obj, default=self._default_in_order, option=option)

    def _default_in_order(self, value: object) -> object:
        """Do what ``default`` does, but write what has an order of its own apart, unsorted."""
        found = self.default(value)
        if isinstance(found, _InOrder | _AllInOrder):
            return orjson.Fragment(orjson.dumps(found, default=self.default, option=_ASK))
        return found
