"""Cursors: where a page begins, as text that only the application can read or make.

A cursor holds clustering values or Cassandra's paging state, which has a partition key in clear,
so it is encrypted and authenticated (Fernet), with keys derived from SECRET_KEY. Stages of opening
one: its length, its authenticity and age, its version, and the query that it was made for; only
then is its content looked at. Nothing here talks to Cassandra.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import hmac
import re
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cassandra.cqlengine.statements import ValueQuoter
from cassandra.cqlengine.usertype import UserType
from cassandra.util import SortedSet
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..errors import ConfigError, CQLAlchemyError, InvalidCursor
from ..mapping.mapper import fields_of

if TYPE_CHECKING:
    from flask import Flask

#: Characters. A longer cursor travels by POST: gunicorn takes request lines of 4,094 bytes unless
#: told otherwise, and the path and the other arguments need some of them.
LONGEST_IN_URL = 3_072

#: Characters. The starts of earlier pages are left out before a cursor outgrows this, so that a
#: Link header with two cursors fits the 4 kB that a proxy such as nginx keeps for all headers.
LONGEST_WITH_EARLIER = 1_536

#: Characters; Flask takes form fields of 500,000 bytes unless told otherwise. A paging state with a
#: partition key and a clustering key of the greatest size, 64 kB each, needs about 175,000.
LONGEST = 400_000

#: How many starts of earlier pages a cursor in token order carries.
MOST_EARLIER = 20

#: Seconds that the clock of the server that made a cursor may be ahead of ours, as in Fernet.
CLOCK_SKEW = 60

#: The first byte of a cursor's content. Raise it when the layout changes.
VERSION = 1

#: Bytes of the digest that ties a cursor to its query.
DIGEST_SIZE = 16

#: Bytes that Fernet adds: version 1, time 8, initialisation vector 16, padding 16 at most, MAC 32.
_FERNET_BYTES = 73

_KEY_INFO = b"flask-cqlalchemy cursor"
_ALPHABET = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class Direction(enum.IntEnum):
    """Which rows of a partition a page shows, seen from the clustering values of its cursor."""

    AFTER = 0
    BEFORE = 1
    #: The rows before these values, and the row that has them.
    UP_TO = 2


@dataclass(frozen=True)
class KeysetCursor:
    """A place inside a partition.

    :ivar edge: the clustering values, serialised as Cassandra does.
    :ivar position: how many rows of the query were shown before the place; for ``limit()`` alone.
    """

    direction: Direction
    edge: tuple[bytes, ...]
    position: int


@dataclass(frozen=True)
class Start:
    """Where a page in token order begins.

    :ivar state: Cassandra's paging state; empty for the first page.
    :ivar position: how many rows come before; for ``limit()`` alone.
    """

    state: bytes = b""
    position: int = 0


@dataclass(frozen=True)
class StateCursor:
    """A place in token order, and the starts of the pages before it, the nearest first."""

    start: Start
    earlier: tuple[Start, ...] = ()


Cursor = KeysetCursor | StateCursor

_ONE_BYTE = [bytes([number]) for number in range(0x80)]

#: The byte after the version and the digest, in a ``StateCursor``. In a ``KeysetCursor`` that byte
#: is the direction.
_STATE_KIND = 3


def _pack_number(number: int) -> bytes:
    """LEB128: seven bits a byte, the lowest first."""
    if number <= 0x7F:
        return _ONE_BYTE[number]
    packed = bytearray()
    while number > 0x7F:
        packed.append(number & 0x7F | 0x80)
        number >>= 7
    packed.append(number)
    return bytes(packed)


def _pack_bytes(value: bytes) -> bytes:
    return _pack_number(len(value)) + value


def _pack_start(start: Start) -> bytes:
    return _pack_number(start.position) + _pack_bytes(start.state)


def _pack(cursor: Cursor) -> bytes:
    if isinstance(cursor, KeysetCursor):
        head = bytes([cursor.direction]) + _pack_number(cursor.position)
        return head + b"".join(map(_pack_bytes, cursor.edge))
    packed = bytes([_STATE_KIND]) + _pack_start(cursor.start)
    # The starts of the furthest pages are left out when they are too many or too long.
    for start in cursor.earlier[:MOST_EARLIER]:
        longer = packed + _pack_start(start)
        if _text_length(len(longer)) > LONGEST_WITH_EARLIER:
            break
        packed = longer
    return packed


class _Reader:
    """Takes apart what ``_pack`` made."""

    def __init__(self, packed: bytes) -> None:
        self._packed = packed
        self._position = 0

    def __bool__(self) -> bool:
        return self._position < len(self._packed)

    def take(self, size: int) -> bytes:
        start, self._position = self._position, self._position + size
        if self._position > len(self._packed):
            raise ValueError("too short")
        return self._packed[start : self._position]

    def number(self) -> int:
        number = shift = 0
        while True:
            byte = self.take(1)[0]
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte <= 0x7F:
                return number

    def chunk(self) -> bytes:
        return self.take(self.number())

    def start(self) -> Start:
        position = self.number()
        return Start(self.chunk(), position)


def _unpack(packed: bytes) -> Cursor:
    """Undo ``_pack``.

    :raises ValueError: if this is not a cursor.
    """
    reader = _Reader(packed)
    kind = reader.take(1)[0]
    if kind == _STATE_KIND:
        start, earlier = reader.start(), []
        while reader:
            earlier.append(reader.start())
        return StateCursor(start, tuple(earlier))
    direction, position, edge = Direction(kind), reader.number(), []
    while reader:
        edge.append(reader.chunk())
    return KeysetCursor(direction, tuple(edge), position)


def _text_length(content: int) -> int:
    """Return the greatest length of a cursor with so many bytes of content."""
    return -(-(content + 1 + DIGEST_SIZE + _FERNET_BYTES) * 4 // 3)


class Sealer:
    """Seals and opens the cursors of one application.

    :param fernet: the keys, the one to seal with first.
    :param max_age: seconds.
    """

    def __init__(self, fernet: MultiFernet, max_age: float) -> None:
        self._fernet = fernet
        self._max_age = max_age

    def seal(self, cursor: Cursor, digest: bytes, *, subject: str, now: float | None = None) -> str:
        """Return ``cursor`` as text of the URL-safe base64 alphabet, without padding.

        :param digest: that of the query, from ``digest_of``.
        :param subject: the table, for an error.
        :param now: seconds since 1970, in place of the clock's.
        :raises CQLAlchemyError: if the row's keys are too long even for a POST.
        """
        content = bytes([VERSION]) + digest + _pack(cursor)
        sealed_at = int(time.time() if now is None else now)
        text = self._fernet.encrypt_at_time(content, sealed_at).rstrip(b"=").decode("ascii")
        if len(text) > LONGEST:
            raise CQLAlchemyError(
                f"{subject}: the keys of a row make a cursor of {len(text)} characters, of which "
                f"{LONGEST} can be sent; page through this table in a program of your own."
            )
        return text

    def open(self, text: str, digest: bytes, *, subject: str, now: float | None = None) -> Cursor:
        """Return what ``seal`` was given.

        :raises InvalidCursor: unless this application sealed it for the same query, not long ago.
        """
        if len(text) > LONGEST:
            raise InvalidCursor(
                f"{subject}: the cursor has {len(text)} characters, of which {LONGEST} are allowed"
            )
        token = _canonical(text)
        try:
            content = self._fernet.decrypt(token) if token else b""
        except InvalidToken:
            content = b""
        if not content:
            raise InvalidCursor(
                f"{subject}: the cursor was altered, or made with a key that is neither SECRET_KEY "
                "nor in SECRET_KEY_FALLBACKS"
            )
        age = (time.time() if now is None else now) - self._fernet.extract_timestamp(token)
        if not -CLOCK_SKEW <= age <= self._max_age:
            raise InvalidCursor(
                f"{subject}: the cursor is {age:.0f} s old, of which {self._max_age:g} are allowed"
            )
        if content[0] != VERSION:
            raise InvalidCursor(
                f"{subject}: the cursor has version {content[0]}, and this is {VERSION}"
            )
        if not hmac.compare_digest(content[1 : 1 + DIGEST_SIZE], digest):
            raise InvalidCursor(
                f"{subject}: the cursor was made for another model, keyspace, filter, order, limit "
                "or user"
            )
        return _unpack(content[1 + DIGEST_SIZE :])


def _canonical(text: str) -> bytes:
    """Return ``text`` as a Fernet token, or nothing if ``seal`` cannot have written this text.

    Python's base64 skips foreign characters and ignores the spare bits of the last one, so that
    many texts would stand for one token.
    """
    if not _ALPHABET.fullmatch(text) or len(text) % 4 == 1:
        return b""
    token = text.encode("ascii") + b"=" * (-len(text) % 4)
    return token if base64.urlsafe_b64encode(base64.urlsafe_b64decode(token)) == token else b""


#: For each application its keys, and the secrets that they were derived from.
_keys: weakref.WeakKeyDictionary[Flask, tuple[tuple[str | bytes, ...], MultiFernet]] = (
    weakref.WeakKeyDictionary()
)


def _derive(secret: str | bytes) -> Fernet:
    """Derive a key from a secret with HKDF (RFC 5869)."""
    material = secret.encode() if isinstance(secret, str) else secret
    key = HKDF(SHA256(), length=32, salt=None, info=_KEY_INFO).derive(material)
    return Fernet(base64.urlsafe_b64encode(key))


def keys_of(app: Flask) -> MultiFernet:
    """Return the keys for an application's cursors, derived again when its secrets change.

    :raises ConfigError: if ``SECRET_KEY`` is not set.
    """
    if not app.config.get("SECRET_KEY"):
        raise ConfigError("SECRET_KEY is not set: the cursors of pages are encrypted with it.")
    secrets = (app.config["SECRET_KEY"], *(app.config.get("SECRET_KEY_FALLBACKS") or ()))
    known = _keys.get(app)
    if known is None or known[0] != secrets:
        known = _keys[app] = secrets, MultiFernet([_derive(secret) for secret in secrets])
    return known[1]


def digest_of(parts: Sequence[object]) -> bytes:
    """Return a digest of what a cursor is bound to, the same in every process.

    :raises TypeError: for a value whose text may differ between processes.
    """
    return hashlib.sha256("\0".join(map(_lasting_text, parts)).encode()).digest()[:DIGEST_SIZE]


def _lasting_text(value: Any) -> str:
    """Return text that equal values share in every process, and no other value has."""
    if isinstance(value, ValueQuoter):
        value = value.value
    if isinstance(value, UserType):
        value = {name: getattr(value, name) for name in fields_of(type(value))}
    if isinstance(value, Mapping):
        return f"{{{','.join(sorted(_pairs(value)))}}}"
    if isinstance(value, AbstractSet | SortedSet):
        return f"<{','.join(sorted(map(_lasting_text, value)))}>"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_lasting_text, value))}]"
    kind: Any = type(value)
    if kind.__repr__ is object.__repr__:
        raise TypeError(f"a cursor cannot be bound to a {kind.__qualname__}")
    return f"{kind.__qualname__} {value!r}"


def _pairs(values: Mapping[Any, Any]) -> Iterator[str]:
    for key, value in values.items():
        yield f"{_lasting_text(key)}:{_lasting_text(value)}"
