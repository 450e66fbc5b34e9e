"""Cursors without a database: what a sealed one shows, and which ones are refused."""

from __future__ import annotations

import base64
import datetime
import decimal
import string
import uuid

import pytest
from cassandra.cqlengine.statements import InQuoter
from cassandra.util import SortedSet
from flask import Flask

from flask_cqlalchemy import ConfigError, CQLAlchemy, CQLAlchemyError, InvalidCursor
from flask_cqlalchemy.config import Settings
from flask_cqlalchemy.pagination.cursors import (
    LONGEST,
    LONGEST_WITH_EARLIER,
    MOST_EARLIER,
    Cursor,
    Direction,
    KeysetCursor,
    Sealer,
    Start,
    StateCursor,
    digest_of,
    keys_of,
)

DIGEST = digest_of(["Post", "blog.post"])
NOW = 1_700_000_000
PUBLIC = "This link to a page is no longer valid. Please start from the first page."

ALTERED = (
    "blog.post: the cursor was altered, or made with a key that is neither SECRET_KEY nor in "
    "SECRET_KEY_FALLBACKS"
)


#: Seconds for which a cursor is good here.
AGE = Settings().cursor_age


def sealer_of(secret: str | bytes = "one", *fallbacks: str, max_age: float = AGE) -> Sealer:
    app = Flask("cursors", root_path=".")
    app.config.update(SECRET_KEY=secret, SECRET_KEY_FALLBACKS=list(fallbacks) or None)
    return Sealer(keys_of(app), max_age)


SEALER = sealer_of()


def seal(cursor: Cursor, sealer: Sealer = SEALER) -> str:
    return sealer.seal(cursor, DIGEST, subject="blog.post", now=NOW)


def open_(text: str, sealer: Sealer = SEALER, *, now: float = NOW) -> Cursor:
    return sealer.open(text, DIGEST, subject="blog.post", now=now)


def refusal(text: str, sealer: Sealer = SEALER, *, now: float = NOW) -> str:
    """Return the log's reason for refusing a cursor; the public one is always the same."""
    with pytest.raises(InvalidCursor) as caught:
        open_(text, sealer, now=now)
    assert caught.value.code == 400
    assert caught.value.description == PUBLIC
    return str(caught.value)


CURSORS: list[Cursor] = [
    KeysetCursor(Direction.AFTER, (b"\x00\x00\x00\x07",), 0),
    KeysetCursor(Direction.BEFORE, (b"", b"text", bytes(300)), 123_456),
    KeysetCursor(Direction.UP_TO, (b"x",), 127),
    StateCursor(Start()),
    StateCursor(Start(b"state", 20), (Start(b"earlier", 10), Start())),
]


@pytest.mark.parametrize("cursor", CURSORS, ids=repr)
def test_a_cursor_opens_as_it_was_sealed(cursor: Cursor) -> None:
    assert open_(seal(cursor)) == cursor


def test_a_cursor_needs_no_quoting_in_a_url() -> None:
    texts = [seal(StateCursor(Start(b"x" * size))) for size in range(40)]
    assert set("".join(texts)) <= set(string.ascii_letters + string.digits + "-_")


def test_the_length_of_typical_cursors() -> None:
    """An integer and a time; then a UUID in token order, alone and 20 pages on."""
    keyset = KeysetCursor(Direction.AFTER, (bytes(8), bytes(4)), 300)
    alone = StateCursor(Start(bytes(24), 20), (Start(),))
    far = StateCursor(
        Start(bytes(24), 500), tuple(Start(bytes(24), 20 * n) for n in range(MOST_EARLIER))
    )
    assert [len(seal(cursor)) for cursor in (keyset, alone, far)] == [140, 140, 866]


def test_no_value_can_be_read_in_a_cursor() -> None:
    text = seal(StateCursor(Start(b"alice@example.org", 10), (Start(b"bob@example.org"),)))
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    for word in (b"alice", b"bob", b"example", DIGEST):
        assert word not in text.encode()
        assert word not in raw


def test_two_cursors_for_one_place_differ() -> None:
    assert seal(CURSORS[0]) != seal(CURSORS[0])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "abcd",
        "A" * 140,
        "=" * 8,
        "ümläut",
        "\0",
        " ",
        "gAAAAABl",
        "../../etc/passwd",
        "\N{FULLWIDTH DIGIT ONE}" * 4,
    ],
)
def test_foreign_text_is_refused(text: str) -> None:
    assert refusal(text) == ALTERED


def test_every_truncated_cursor_is_refused() -> None:
    text = seal(CURSORS[1])
    for length in range(len(text)):
        assert refusal(text[:length]) == ALTERED
        assert refusal(text[length + 1 :]) == ALTERED


def test_every_cursor_with_one_other_bit_is_refused() -> None:
    text = seal(CURSORS[0])
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    for bit in range(8 * len(raw)):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        assert refusal(base64.urlsafe_b64encode(changed).decode().rstrip("=")) == ALTERED


def test_every_other_spelling_of_a_cursor_is_refused() -> None:
    """Python's base64 would skip foreign characters, and ignore the last one's spare bits."""
    cursors: list[Cursor] = [StateCursor(Start(b"x" * size)) for size in (0, 16, 32)]
    for text in map(seal, cursors):
        last = [text[:-1] + letter for letter in string.ascii_letters if letter != text[-1]]
        for other in (*last, text + "=", text + "\n", "!" + text, text[:9] + " " + text[9:]):
            assert refusal(other) == ALTERED


def test_a_cursor_that_is_too_long_is_refused_unread() -> None:
    assert refusal("A" * 1_000_000) == (
        "blog.post: the cursor has 1000000 characters, of which 400000 are allowed"
    )


def test_a_cursor_is_good_for_its_age() -> None:
    text = seal(CURSORS[0])
    assert open_(text, now=NOW + 86_400) == CURSORS[0]
    assert refusal(text, now=NOW + 86_401) == (
        "blog.post: the cursor is 86401 s old, of which 86400 are allowed"
    )


def test_a_cursor_from_the_future_is_refused() -> None:
    text = seal(CURSORS[0])
    assert open_(text, now=NOW - 60) == CURSORS[0]
    assert refusal(text, now=NOW - 61) == (
        "blog.post: the cursor is -61 s old, of which 86400 are allowed"
    )


def test_a_rotated_key_still_opens_cursors() -> None:
    text = seal(CURSORS[0], sealer_of("one"))
    assert open_(text, sealer_of("two", "one")) == CURSORS[0]
    assert refusal(text, sealer_of("two")) == ALTERED


def test_a_new_cursor_is_sealed_with_the_new_key() -> None:
    text = seal(CURSORS[0], sealer_of("two", "one"))
    assert open_(text, sealer_of("two")) == CURSORS[0]
    assert refusal(text, sealer_of("one")) == ALTERED


def test_a_secret_may_be_bytes() -> None:
    assert open_(seal(CURSORS[0], sealer_of(b"one")), sealer_of("one")) == CURSORS[0]


def test_a_changed_secret_is_noticed() -> None:
    app = Flask("cursors", root_path=".")
    app.config["SECRET_KEY"] = "one"
    first = keys_of(app)
    assert keys_of(app) is first
    app.config["SECRET_KEY"] = "two"
    assert keys_of(app) is not first


@pytest.mark.parametrize("secret", [None, "", b""])
def test_without_a_secret_there_are_no_cursors(secret: str | bytes | None) -> None:
    app = Flask("cursors", root_path=".")
    app.config["SECRET_KEY"] = secret
    with pytest.raises(ConfigError) as caught:
        keys_of(app)
    assert caught.value.problems == [
        "SECRET_KEY is not set: the cursors of pages are encrypted with it."
    ]


def test_a_cursor_of_another_query_is_refused() -> None:
    text = sealer_of().seal(CURSORS[0], digest_of(["Other"]), subject="blog.other", now=NOW)
    assert refusal(text) == (
        "blog.post: the cursor was made for another model, keyspace, filter, order, limit or user"
    )


def test_a_cursor_of_another_version_is_refused() -> None:
    app = Flask("cursors", root_path=".")
    app.config["SECRET_KEY"] = "one"
    content = b"\x09" + DIGEST
    text = keys_of(app).encrypt_at_time(content, NOW).decode().rstrip("=")
    assert refusal(text) == "blog.post: the cursor has version 9, and this is 1"


def test_the_starts_of_the_furthest_pages_are_left_out() -> None:
    many = tuple(Start(b"%03d" % number, number) for number in range(30))
    opened = open_(seal(StateCursor(Start(b"here"), many)))
    assert opened == StateCursor(Start(b"here"), many[:MOST_EARLIER])


def test_starts_that_would_make_a_cursor_too_long_are_left_out() -> None:
    long = tuple(Start(bytes(200), number) for number in range(MOST_EARLIER))
    text = seal(StateCursor(Start(bytes(200)), long))
    opened = open_(text)
    assert isinstance(opened, StateCursor)
    assert opened.earlier == long[: len(opened.earlier)]
    assert len(opened.earlier) == 4
    assert len(text) <= LONGEST_WITH_EARLIER


def test_a_place_with_a_key_of_60_kilobytes_has_a_cursor() -> None:
    cursor = StateCursor(Start(bytes(60_000)), (Start(bytes(60_000)),))
    text = seal(cursor)
    assert len(text) < LONGEST
    assert open_(text) == StateCursor(cursor.start)


def test_a_place_that_no_request_could_carry_has_none() -> None:
    with pytest.raises(CQLAlchemyError) as caught:
        seal(KeysetCursor(Direction.AFTER, (bytes(300_000),), 0))
    assert str(caught.value) == (
        "blog.post: the keys of a row make a cursor of 400119 characters, of which 400000 can be "
        "sent; page through this table in a program of your own."
    )


def test_equal_queries_share_a_digest() -> None:
    key = uuid.UUID(int=1)
    assert digest_of([{"a": 1, "b": {"x", "y"}}, key, InQuoter([1, 2])]) == digest_of(
        [{"b": {"y", "x"}, "a": 1}, uuid.UUID(int=1), [1, 2]]
    )
    assert digest_of([SortedSet([2, 1])]) == digest_of([{1, 2}])


def test_user_types_are_compared_by_their_fields() -> None:
    db = CQLAlchemy()

    class Place(db.UserType):
        street = db.columns.Text()
        number = db.columns.Integer()

    assert digest_of([Place(street="a", number=1)]) == digest_of([Place(street="a", number=1)])
    assert digest_of([Place(street="a", number=1)]) != digest_of([Place(street="a", number=2)])


def test_values_that_look_alike_do_not_share_a_digest() -> None:
    values: list[list[object]] = [
        [1],
        ["1"],
        [1.0],
        [True],
        [decimal.Decimal(1)],
        [b"1"],
        [None],
        ["None"],
        [],
        [[]],
        [[1]],
        [1, 2],
        [[1, 2]],
        ["a", "b"],
        ["a\0str 'b'"],
        ["a,b"],
        [{"a": "b"}],
        [{"a", "b"}],
        [datetime.datetime(2020, 1, 1)],
        [datetime.date(2020, 1, 1)],
    ]
    assert len({digest_of(value) for value in values}) == len(values)


def test_a_digest_needs_values_with_a_lasting_text() -> None:
    class Opaque:
        pass

    with pytest.raises(TypeError) as caught:
        digest_of([Opaque()])
    assert str(caught.value).startswith("a cursor cannot be bound to a ")
