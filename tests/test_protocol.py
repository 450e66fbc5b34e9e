"""Decoding: every cell becomes a value, and columns are sent once."""

from __future__ import annotations

import copy
import logging
import pickle
import random
import struct
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from cassandra import ConsistencyLevel, ProtocolVersion, ReadFailure, cqltypes
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.column_encryption.policies import AES256ColumnEncryptionPolicy
from cassandra.cqlengine import columns
from cassandra.cqlengine.usertype import UserType
from cassandra.policies import ColDesc, RoundRobinPolicy
from cassandra.query import BoundStatement, SimpleStatement, dict_factory
from cassandra.util import Date, Duration, Time

from flask_cqlalchemy import LocalCluster, UndecodableResponse
from flask_cqlalchemy.protocol import (
    OutOfRangeTimestamp,
    UndecodableValue,
    install,
)
from flask_cqlalchemy.protocol.handler import Handler

EPOCH = datetime(1970, 1, 1)
MILLISECOND = timedelta(milliseconds=1)
LAST_MILLISECOND = 253_402_300_799_999
FIRST_MILLISECOND = -62_135_596_800_000
FIRST_MOMENT = datetime(1, 1, 1)
LAST_MOMENT = datetime(9999, 12, 31, 23, 59, 59, 999_999)
FOR_EVER = 2**63 - 1

#: A text beside the undecodable cells of a row, which no log record may contain.
SECRET = "SecretOfARow"

#: Seconds that a test gives its threads.
PATIENCE = 60

NO_METADATA = 0x0004
METADATA_CHANGED = 0x0008


@contextmanager
def open_session(
    config: dict[str, Any], *, protocol_version: int = ProtocolVersion.V5, **options: Any
) -> Iterator[Session]:
    """A driver session to the tests' Cassandra, without the kit's handler."""
    cluster = Cluster(
        config["CASSANDRA_HOSTS"],
        port=config["CASSANDRA_PORT"],
        protocol_version=protocol_version,
        execution_profiles={
            EXEC_PROFILE_DEFAULT: ExecutionProfile(RoundRobinPolicy(), row_factory=dict_factory)
        },
        **options,
    )
    try:
        yield cluster.connect()
    finally:
        cluster.shutdown()


@pytest.fixture(scope="module")
def keyspace(cassandra_config: dict[str, Any]) -> Iterator[str]:
    """A keyspace of this module's own."""
    name = f"proto_{uuid.uuid4().hex[:8]}"
    with open_session(cassandra_config) as session:
        session.execute(
            f"CREATE KEYSPACE {name} WITH replication = "
            "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        )
        yield name
        session.execute(f"DROP KEYSPACE {name}", timeout=60)


@pytest.fixture
def session(cassandra_config: dict[str, Any]) -> Iterator[Session]:
    """A session with the kit's handler."""
    with open_session(cassandra_config) as session:
        install(session)
        yield session


@pytest.fixture
def table(session: Session, keyspace: str) -> Callable[[str], str]:
    """Make a table of ``id int PRIMARY KEY`` and these columns, and return its name."""

    def make(definition: str) -> str:
        name = f"{keyspace}.t{uuid.uuid4().hex[:8]}"
        session.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, {definition})", timeout=60)
        return name

    return make


class Recorder(Handler):
    """The kit's handler, which also notes the flags of every answer with rows."""

    def __init__(self) -> None:
        super().__init__()
        self.flags: list[int] = []
        self.bodies: list[bytes] = []

    def decode_message(self, *args: Any, **options: Any) -> Any:
        _, _, _, frame_flags, opcode, body, *_ = args
        if opcode == 8 and not frame_flags and struct.unpack_from(">i", body) == (2,):
            self.flags.append(struct.unpack_from(">i", body, 4)[0])
            self.bodies.append(body)
        return super().decode_message(*args, **options)

    def attach(self, session: Session) -> Recorder:
        session.client_protocol_handler = self
        session.add_request_init_listener(self.prepare_request)
        return self


def insert_raw(session: Session, table: str, column: str, data: bytes, key: int = 1) -> None:
    """Write a value's bytes as they are; Cassandra refuses what it can tell to be wrong."""
    prepared = session.prepare(f"INSERT INTO {table} (id, {column}) VALUES ({key}, ?)")
    bound = BoundStatement(prepared).bind([None])
    bound.values = [data]
    session.execute(bound)


def read_one(session: Session, statement: str, parameters: Any = None) -> dict[str, Any]:
    row: dict[str, Any] = session.execute(statement, parameters).one()
    return row


def result_body(cqltype_code: bytes, *cells: bytes | None) -> bytes:
    """The body of a ROWS result with one column ``a`` of table ``k.t``."""
    body = struct.pack(">iii", 2, 1, 1) + b"\0\1k\0\1t\0\1a" + cqltype_code
    body += struct.pack(">i", len(cells))
    for cell in cells:
        body += struct.pack(">i", -1) if cell is None else struct.pack(">i", len(cell)) + cell
    return body


def decode(body: bytes, handler: Handler | None = None) -> Any:
    return (handler or Handler()).decode_message(5, {}, 1, 0, 8, body, None, None)


# --- timestamps


MOMENTS = [
    LAST_MILLISECOND,
    FIRST_MILLISECOND,
    0,
    -1,
    -999,
    -1000,
    -1001,
    1_700_000_000_123,
    8_589_934_592_001,
    -8_589_934_592_001,
    32_503_680_000_457,
]


@pytest.mark.parametrize("milliseconds", MOMENTS)
def test_a_timestamp_reads_back_to_the_millisecond(
    session: Session, table: Callable[[str], str], milliseconds: int
) -> None:
    name = table("t timestamp")
    session.execute(f"INSERT INTO {name} (id, t) VALUES (1, {milliseconds})")
    row = read_one(session, f"SELECT t FROM {name}")
    assert row == {"t": EPOCH + milliseconds * MILLISECOND}


def test_the_last_millisecond_is_not_rounded(session: Session, table: Callable[[str], str]) -> None:
    name = table("t timestamp")
    session.execute(f"INSERT INTO {name} (id, t) VALUES (1, '9999-12-31T23:59:59.999Z')")
    row = read_one(session, f"SELECT t FROM {name}")
    assert row["t"] == datetime(9999, 12, 31, 23, 59, 59, 999000)


@pytest.fixture
def nested(session: Session, keyspace: str, table: Callable[[str], str]) -> str:
    """A table with timestamps inside everything that can hold one."""
    session.execute(f"CREATE TYPE IF NOT EXISTS {keyspace}.span (since timestamp, note text)")
    return table(
        "l list<timestamp>, s set<timestamp>, k map<timestamp, int>, v map<int, timestamp>, "
        f"p tuple<timestamp, int>, u {keyspace}.span, x vector<timestamp, 2>, "
        "d list<frozen<map<int, frozen<list<timestamp>>>>>"
    )


def fill_nested(session: Session, name: str, milliseconds: int) -> None:
    at = milliseconds
    session.execute(
        f"INSERT INTO {name} (id, l, s, k, v, p, u, x, d) VALUES (1, [{at}], {{{at}}}, "
        f"{{{at}: 7}}, {{7: {at}}}, ({at}, 7), {{since: {at}, note: 'n'}}, [{at}, {at}], "
        f"[{{7: [{at}]}}])"
    )


def check_nested(row: dict[str, Any], expected: object) -> None:
    assert row["l"] == [expected]
    assert list(row["s"]) == [expected]
    assert list(row["k"].items()) == [(expected, 7)]
    assert row["k"][expected] == 7
    assert list(row["v"].items()) == [(7, expected)]
    assert row["p"] == (expected, 7)
    assert (row["u"].since, row["u"].note) == (expected, "n")
    assert row["x"] == [expected, expected]
    assert list(row["d"][0].items()) == [(7, [expected])]


@pytest.mark.parametrize("milliseconds", MOMENTS)
def test_timestamps_inside_other_values_are_exact(
    session: Session, nested: str, milliseconds: int
) -> None:
    fill_nested(session, nested, milliseconds)
    expected = EPOCH + milliseconds * MILLISECOND
    check_nested(read_one(session, f"SELECT * FROM {nested}"), expected)
    check_nested(session.execute(session.prepare(f"SELECT * FROM {nested}")).one(), expected)


@pytest.mark.parametrize("milliseconds", [LAST_MILLISECOND + 1, FIRST_MILLISECOND - 1, FOR_EVER])
def test_timestamps_out_of_range_are_values(
    session: Session, nested: str, table: Callable[[str], str], milliseconds: int
) -> None:
    plain = table("t timestamp")
    session.execute(f"INSERT INTO {plain} (id, t) VALUES (1, {milliseconds})")
    expected = OutOfRangeTimestamp(milliseconds)
    assert read_one(session, f"SELECT t FROM {plain}") == {"t": expected}
    fill_nested(session, nested, milliseconds)
    check_nested(read_one(session, f"SELECT * FROM {nested}"), expected)


def test_a_page_may_mix_timestamps_of_every_kind(
    session: Session, table: Callable[[str], str]
) -> None:
    name = table("t timestamp")
    wanted: list[object] = [None]
    session.execute(f"INSERT INTO {name} (id) VALUES (0)")
    for key, moment in enumerate([*MOMENTS, FOR_EVER, -FOR_EVER], start=1):
        session.execute(f"INSERT INTO {name} (id, t) VALUES (%s, %s)", (key, moment))
        near = FIRST_MILLISECOND <= moment <= LAST_MILLISECOND
        wanted.append(EPOCH + moment * MILLISECOND if near else OutOfRangeTimestamp(moment))
    rows = session.execute(f"SELECT id, t FROM {name}")
    assert [row["t"] for row in sorted(rows, key=lambda row: row["id"])] == wanted


def test_the_milliseconds_of_a_timestamp_out_of_range_can_be_written_again(
    session: Session, table: Callable[[str], str]
) -> None:
    name = table("t timestamp")
    session.execute(f"INSERT INTO {name} (id, t) VALUES (1, {FOR_EVER})")
    value = read_one(session, f"SELECT t FROM {name}")["t"]
    statement = session.prepare(f"INSERT INTO {name} (id, t) VALUES (2, ?)")
    session.execute(statement, (value.milliseconds,))
    assert read_one(session, f"SELECT t FROM {name} WHERE id = 2")["t"] == value


def test_a_set_sorts_timestamps_out_of_range_around_the_others(
    session: Session, table: Callable[[str], str]
) -> None:
    name = table("s set<timestamp>")
    session.execute(f"INSERT INTO {name} (id, s) VALUES (1, {{0, {FOR_EVER}, {-FOR_EVER}}})")
    found = read_one(session, f"SELECT s FROM {name}")["s"]
    assert list(found) == [OutOfRangeTimestamp(-FOR_EVER), EPOCH, OutOfRangeTimestamp(FOR_EVER)]


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (FOR_EVER, "+292278994-08-17T07:12:55.807Z"),
        (-FOR_EVER - 1, "-292275055-05-16T16:47:04.192Z"),
        (LAST_MILLISECOND + 1, "+10000-01-01T00:00:00.000Z"),
        (FIRST_MILLISECOND - 1, "+0000-12-31T23:59:59.999Z"),
    ],
)
def test_a_timestamp_out_of_range_prints_its_date(milliseconds: int, text: str) -> None:
    assert str(OutOfRangeTimestamp(milliseconds)) == text


def test_a_timestamp_out_of_range_is_a_value_like_any_other() -> None:
    late, early = OutOfRangeTimestamp(FOR_EVER), OutOfRangeTimestamp(-FOR_EVER)
    assert repr(late) == f"OutOfRangeTimestamp(milliseconds={FOR_EVER})"
    assert early < FIRST_MOMENT < LAST_MOMENT < late
    assert late > LAST_MOMENT
    assert early <= FIRST_MOMENT
    assert not late < early
    assert late != LAST_MOMENT
    assert len({late, OutOfRangeTimestamp(FOR_EVER), early}) == 2
    assert pickle.loads(pickle.dumps(late)) == copy.deepcopy(late) == late
    with pytest.raises(TypeError):
        assert late < 3


def test_a_timestamp_in_range_is_a_datetime() -> None:
    with pytest.raises(ValueError, match=r"^0 ms since 1970 can be held by a datetime\.$"):
        OutOfRangeTimestamp(0)


def test_the_driver_is_exact_where_its_own_timestamps_are_taken() -> None:
    first = (datetime(1700, 1, 1) - EPOCH) // MILLISECOND
    last = (datetime(2240, 1, 1) - EPOCH) // MILLISECOND
    moments = [first, last - 1, *(random.randrange(first, last) for _ in range(20_000))]
    body = result_body(b"\0\x0b", *(struct.pack(">q", moment) for moment in moments))
    rows = decode(body).parsed_rows
    assert [row[0] for row in rows] == [EPOCH + moment * MILLISECOND for moment in moments]


# --- other values


TIME_REASON = "outside the 24 hours of a day"


@pytest.mark.parametrize("nanoseconds", ["0xffffffffffffffff", "0x00004e94914f0000"])
def test_a_time_outside_the_day_is_undecodable(
    session: Session, table: Callable[[str], str], nanoseconds: str
) -> None:
    name = table("t time, l list<time>")
    session.execute(
        f"INSERT INTO {name} (id, t, l) "
        f"VALUES (1, blob_as_time({nanoseconds}), [blob_as_time({nanoseconds}), '01:02:03'])"
    )
    row = read_one(session, f"SELECT t, l FROM {name}")
    value = UndecodableValue("time", 8, TIME_REASON)
    assert row == {"t": value, "l": [value, Time("01:02:03")]}
    assert str(value) == "undecodable time of 8 bytes: outside the 24 hours of a day"


def test_every_date_of_cassandra_can_be_read(session: Session, table: Callable[[str], str]) -> None:
    name = table("d date")
    session.execute(f"INSERT INTO {name} (id, d) VALUES (1, blob_as_date(0xffffffff))")
    assert read_one(session, f"SELECT d FROM {name}") == {"d": Date(2**31 - 1)}


def test_a_decimal_without_digits_is_undecodable(
    session: Session, table: Callable[[str], str]
) -> None:
    name = table("d decimal")
    session.execute(f"INSERT INTO {name} (id, d) VALUES (1, blob_as_decimal(0x00000002))")
    row = read_one(session, f"SELECT d FROM {name}")
    assert row == {"d": UndecodableValue("decimal", 4, "ValueError")}


@pytest.mark.parametrize(
    "value",
    [
        Decimal("0.00"),
        Decimal("-1.50"),
        Decimal("1E+20"),
        Decimal((0, (1,), 2**31)),
        Decimal((1, (7,), -(2**31) + 1)),
        Decimal((0, (9,) * 5000, -2500)),
        Decimal(123),
    ],
    ids=lambda value: f"{value:.3E}",
)
def test_every_decimal_is_exact(
    session: Session, table: Callable[[str], str], value: Decimal
) -> None:
    name = table("d decimal")
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    unscaled = 0
    for digit in digits:
        unscaled = 10 * unscaled + digit
    unscaled = -unscaled if value.is_signed() else unscaled
    size = unscaled.bit_length() // 8 + 1
    data = struct.pack(">i", -exponent) + unscaled.to_bytes(size, "big", signed=True)
    insert_raw(session, name, "d", data)
    assert read_one(session, f"SELECT d FROM {name}")["d"].as_tuple() == value.as_tuple()


def test_ttl_of_a_collection_without_one_is_a_list_of_nulls(
    session: Session, table: Callable[[str], str]
) -> None:
    name = table("l list<int>")
    session.execute(f"INSERT INTO {name} (id, l) VALUES (1, [1, 2])")
    assert read_one(session, f"SELECT ttl(l) AS t FROM {name}") == {"t": [None, None]}


def test_null_inside_a_frozen_collection_is_none(
    session: Session, table: Callable[[str], str]
) -> None:
    name = table("l frozen<list<int>>")
    insert_raw(session, name, "l", struct.pack(">iiii", 2, -1, 4, 7))
    assert read_one(session, f"SELECT l FROM {name}") == {"l": [None, 7]}


@pytest.mark.parametrize(
    ("code", "name", "data"),
    [
        (b"\0\2", "bigint", b"\1\2\3"),
        (b"\0\7", "double", b"\1"),
        (b"\0\x09", "int", b"\1\2\3"),
        (b"\0\x0b", "timestamp", b"\1" * 7),
        (b"\0\x0b", "timestamp", b"\1" * 9),
        (b"\0\x0c", "uuid", b"\1" * 15),
        (b"\0\x0f", "timeuuid", b"\1" * 17),
        (b"\0\x10", "inet", b"\1" * 5),
        (b"\0\x11", "date", b"\1"),
        (b"\0\x12", "time", b"\1"),
        (b"\0\6", "decimal", b"\1\2\3"),
        (b"\0\x15", "duration", b"\xff"),
        (b"\0\1", "ascii", b"caf\xc3\xa9"),
        (b"\0\x0d", "text", b"caf\xe9"),
        (b"\0\x20\0\x09", "list<int>", b"\0\0\0\2\0\0\0\4\0\0\0\7"),
        (b"\0\x20\0\x09", "list<int>", b"\xff\xff\xff\xff"),
        (b"\0\x20\0\x09", "list<int>", b"\x7f\xff\xff\xff"),
        (b"\0\x22\0\x0d", "set<varchar>", b"\0\0\0\1\0\0\0\5abc"),
        (b"\0\x21\0\x09\0\x09", "map<int, int>", b"\0\0\0\1\0\0\0\4\0\0\0\7"),
        (b"\0\x31\0\1\0\x09", "frozen<tuple<int>>", b"\0\0"),
    ],
)
def test_damaged_bytes_are_undecodable_and_not_kept(code: bytes, name: str, data: bytes) -> None:
    (value,) = decode(result_body(code, data, None)).parsed_rows[0]
    if data == b"\xff\xff\xff\xff":
        # A negative count, which the driver's C parser takes for none.
        assert value == []
        return
    assert isinstance(value, UndecodableValue)
    assert value.size == len(data)
    assert value.type_name in (name, "varchar")
    assert not hasattr(value, "__dict__")
    assert data.hex() not in repr(value)


def test_the_rows_and_elements_around_a_damaged_one_are_read() -> None:
    good, bad = struct.pack(">ii", 4, 7), struct.pack(">i", 3) + b"abc"
    damaged = decode(result_body(b"\0\x20\0\x09", struct.pack(">i", 2) + bad + good, None))
    assert damaged.parsed_rows == [
        ([UndecodableValue("int", 3, "of another length than its type has"), 7],),
        (None,),
    ]


class Strict:
    """A user type's class that takes nothing but text."""

    def __init__(self, since: datetime, note: str) -> None:
        raise ValueError(f"{since} {note}")


class Span(UserType):
    """A user type of cqlengine, whose constructor refuses what is not a datetime."""

    __type_name__ = "span"
    since = columns.DateTime()
    note = columns.Text()


def test_a_user_type_holds_a_timestamp_out_of_range(
    session: Session, keyspace: str, nested: str
) -> None:
    session.cluster.register_user_type(keyspace, "span", Span)
    fill_nested(session, nested, FOR_EVER)
    value = read_one(session, f"SELECT u FROM {nested}")["u"]
    assert isinstance(value, Span)
    assert (value.since, value.note) == (OutOfRangeTimestamp(FOR_EVER), "n")


def test_a_user_type_whose_class_refuses_its_fields_is_undecodable(
    session: Session, keyspace: str, nested: str
) -> None:
    session.cluster.register_user_type(keyspace, "span", Strict)
    fill_nested(session, nested, 0)
    value = read_one(session, f"SELECT u FROM {nested}")["u"]
    assert value == UndecodableValue("frozen<span>", 17, "ValueError")


ALL_TYPES = (
    "a ascii, b bigint, bl blob, bo boolean, d date, de decimal, do double, du duration, f float, "
    "i int, ine inet, si smallint, t text, ti time, ts timestamp, tu timeuuid, ty tinyint, u uuid, "
    "vi varint, l list<text>, s set<int>, m map<text, int>, tp tuple<int, text>, "
    "ve vector<float, 3>, e text, n int"
)


def test_the_slow_way_gives_what_the_fast_way_gives(
    cassandra_config: dict[str, Any], table: Callable[[str], str]
) -> None:
    name = table(ALL_TYPES)
    with open_session(cassandra_config) as driver:
        recorder = Recorder()
        driver.execute(
            f"INSERT INTO {name} (id, a, b, bl, bo, d, de, do, du, f, i, ine, si, t, ti, ts, tu, "
            "ty, u, vi, l, s, m, tp, ve, e) VALUES (1, 'a', -5, 0xff00, true, '2020-02-29', -1.50, "
            "2.5, 1h, 0.5, 7, '::1', 3, 'é', '01:02:03.004', '1969-12-31T23:59:59.999Z', now(), 4, "
            "uuid(), -12345678901234567890, ['x', ''], {3, 1}, {'k': 1}, (1, null), [1, 2, 3], '')"
        )
        expected = read_one(driver, f"SELECT * FROM {name}")
        recorder.attach(driver)
        fast = read_one(driver, f"SELECT * FROM {name}")
    assert fast == expected
    assert {key: type(value) for key, value in fast.items()} == {
        key: type(value) for key, value in expected.items()
    }
    message = decode(recorder.bodies[0])
    body = recorder.bodies[0]
    decoder = recorder.find_decoder(message.column_metadata, 5)
    start = body.index(struct.pack(">iii", 1, 4, 1), 12)
    (slow,) = decoder._decode_slowly(body[start:], 5)
    assert dict(zip(decoder.names, slow, strict=True)) == expected
    assert isinstance(expected["du"], Duration)


def test_encrypted_columns_are_decrypted(
    cassandra_config: dict[str, Any], keyspace: str, table: Callable[[str], str]
) -> None:
    name = table("t blob, plain text")
    policy = AES256ColumnEncryptionPolicy()
    policy.add_column(ColDesc(keyspace, name.partition(".")[2], "t"), b"k" * 32, "timestamp")
    with open_session(cassandra_config, column_encryption_policy=policy) as session:
        install(session)
        insert = session.prepare(f"INSERT INTO {name} (id, t, plain) VALUES (1, ?, 'p')")
        moment = EPOCH + LAST_MILLISECOND * MILLISECOND
        session.execute(insert, (moment,))
        row = session.execute(session.prepare(f"SELECT t, plain FROM {name}")).one()
    assert row == {"t": moment, "plain": "p"}


# --- the connection and the log


def test_other_threads_see_nothing_of_undecodable_cells(
    session: Session, table: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    name = table("t timestamp, l list<int>, ti time, x text")
    session.execute(
        f"INSERT INTO {name} (id, t, l, ti, x) "
        f"VALUES (1, {FOR_EVER}, [1], blob_as_time(0xffffffffffffffff), '{SECRET}')"
    )
    session.execute(f"INSERT INTO {name} (id, x) VALUES (2, 'good')")
    good = session.prepare(f"SELECT x FROM {name} WHERE id = 2")
    odd = session.prepare(f"SELECT t, ttl(l) AS ttl, ti, x FROM {name} WHERE id = 1")
    done = threading.Event()

    def read_good() -> int:
        count = 0
        while not done.is_set():
            assert session.execute(good).one() == {"x": "good"}
            count += 1
        return count

    with ThreadPoolExecutor(8) as pool:
        readers = [pool.submit(read_good) for _ in range(8)]
        try:
            for _ in range(300):
                assert session.execute(odd).one() == {
                    "t": OutOfRangeTimestamp(FOR_EVER),
                    "ttl": [None],
                    "ti": UndecodableValue("time", 8, TIME_REASON),
                    "x": SECRET,
                }
        finally:
            done.set()
        assert all(reader.result(PATIENCE) > 0 for reader in readers)
    assert all(pool.get_state()["open_count"] for pool in session.get_pools())
    assert SECRET not in caplog.text


def test_an_unreadable_answer_is_an_error_of_its_request_alone(
    session: Session, table: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    class Cutting(Handler):
        """Loses the end of every answer on its way."""

        def decode_message(self, *args: Any, **options: Any) -> Any:
            changed = list(args)
            changed[5] = changed[5][:-3]
            return super().decode_message(*changed, **options)

    caplog.set_level(logging.DEBUG)
    name = table("x text")
    session.execute(f"INSERT INTO {name} (id, x) VALUES (1, '{SECRET}')")
    handler = session.client_protocol_handler
    connections = [
        id(connection) for pool in session.get_pools() for connection in [pool._connection]
    ]
    session.client_protocol_handler = Cutting()
    with pytest.raises(UndecodableResponse) as raised:
        session.execute(f"SELECT x FROM {name}")
    session.client_protocol_handler = handler
    assert str(raised.value).endswith(
        "opcode 0x08) cannot be read: of another length than its type has. "
        "The connection stays open."
    )
    assert raised.value.__cause__ is raised.value.__context__ is None
    assert read_one(session, f"SELECT x FROM {name}") == {"x": SECRET}
    assert [id(pool._connection) for pool in session.get_pools()] == connections
    assert SECRET not in caplog.text


def test_no_bytes_make_the_handler_raise(
    cassandra_config: dict[str, Any], table: Callable[[str], str], session: Session
) -> None:
    name = table(ALL_TYPES)
    session.execute(
        f"INSERT INTO {name} (id, a, de, s, m, tp, ts, ve, l) VALUES "
        "(1, 'a', 1.5, {1}, {'k': 1}, (1, 'x'), 0, [1, 2, 3], ['x'])"
    )
    recorder = Recorder().attach(session)
    read_one(session, f"SELECT * FROM {name}")
    (body,) = recorder.bodies
    chance = random.Random(7)
    for _ in range(3000):
        damaged = bytearray(body[: chance.randrange(8, len(body) + 1)])
        for _ in range(chance.randrange(4)):
            damaged[chance.randrange(len(damaged))] = chance.choice([0, 1, 127, 128, 255])
        message = decode(bytes(damaged))
        assert message.stream_id == 1
    assert repr(decode(body)).startswith("<ROWS result with the columns id, a,")


def test_the_driver_logs_no_key_of_a_server_warning(
    session: Session, keyspace: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"{keyspace}.tombstones"
    session.execute(f"CREATE TABLE {name} (k text, c int, PRIMARY KEY (k, c))")
    delete = session.prepare(f"DELETE FROM {name} WHERE k = ? AND c = ?")
    for future in [session.execute_async(delete, (SECRET, number)) for number in range(1100)]:
        future.result()
    statement = session.prepare(f"SELECT * FROM {name} WHERE k = ?")
    rows = session.execute(statement, (SECRET,))
    assert SECRET in rows.response_future.warnings[0]
    assert SECRET not in caplog.text
    assert (
        "Cassandra warns about a statement: Read 0 live rows and 1100 tombstone cells. The whole "
        "text is in the result's response_future.warnings." in caplog.messages
    )


def test_the_drivers_own_messages_are_redacted(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    del session
    log = logging.getLogger("cassandra.connection")
    try:
        raise ValueError(SECRET)
    except ValueError:
        log.exception(
            "Error decoding response from Cassandra. %s; buffer: %r", "header", SECRET.encode()
        )
    assert caplog.messages == [
        f"Error decoding response from Cassandra. header; buffer: '{len(SECRET)} bytes, ValueError'"
    ]
    assert SECRET not in caplog.text


def test_a_user_type_that_lacks_a_field_is_not_logged(
    session: Session, keyspace: str, table: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    class Half:
        note = SECRET

        def __repr__(self) -> str:
            return SECRET

    session.execute(f"CREATE TYPE {keyspace}.half (since timestamp, note text)")
    name = table(f"u {keyspace}.half")
    session.execute(session.prepare(f"INSERT INTO {name} (id, u) VALUES (1, ?)"), (Half(),))
    assert caplog.messages == ["field since is part of the UDT half but is missing"]


# --- columns that are sent once


def test_the_columns_of_a_prepared_statement_are_left_out(
    cassandra_config: dict[str, Any], table: Callable[[str], str]
) -> None:
    name = table("x text")
    with open_session(cassandra_config) as session:
        recorder = Recorder().attach(session)
        session.execute(f"INSERT INTO {name} (id, x) VALUES (1, 'a')")
        statement = session.prepare(f"SELECT * FROM {name} WHERE id = ?")
        assert session.execute(statement, (1,)).one() == {"id": 1, "x": "a"}
        assert session.execute(statement, (2,)).one() is None
        assert read_one(session, f"SELECT x FROM {name}") == {"x": "a"}
    assert [bool(flags & NO_METADATA) for flags in recorder.flags] == [True, True, False]


def test_pages_come_without_columns_too(
    cassandra_config: dict[str, Any], table: Callable[[str], str]
) -> None:
    name = table("x text")
    with open_session(cassandra_config) as session:
        recorder = Recorder().attach(session)
        for key in range(10):
            session.execute(f"INSERT INTO {name} (id, x) VALUES ({key}, 'a')")
        statement = session.prepare(f"SELECT * FROM {name}")
        statement.fetch_size = 3
        assert sorted(row["id"] for row in session.execute(statement)) == list(range(10))
    assert len(recorder.flags) == 4
    assert all(flags & NO_METADATA for flags in recorder.flags)


@pytest.mark.parametrize("skip_metadata", [True, False])
def test_an_added_column_appears_in_a_prepared_statement(
    cassandra_config: dict[str, Any], table: Callable[[str], str], skip_metadata: bool
) -> None:
    name = table("x text")
    with open_session(cassandra_config) as session:
        recorder = Recorder()
        if skip_metadata:
            recorder.attach(session)
        session.client_protocol_handler = recorder
        session.execute(f"INSERT INTO {name} (id, x) VALUES (1, 'a')")
        statement = session.prepare(f"SELECT * FROM {name}")
        session.execute(statement)
        session.execute(f"ALTER TABLE {name} ADD a int")
        session.execute(f"UPDATE {name} SET a = 5 WHERE id = 1")
        before = len(recorder.flags)
        for _ in range(3):
            assert session.execute(statement).one() == {"id": 1, "x": "a", "a": 5}
        flags = recorder.flags[before:]
    assert flags[0] & METADATA_CHANGED
    assert [bool(flag & NO_METADATA) for flag in flags] == [False, *[skip_metadata] * 2]


def test_a_column_dropped_and_another_added_are_decoded_by_their_own_types(
    session: Session, table: Callable[[str], str]
) -> None:
    name = table("a int, b text")
    session.execute(f"INSERT INTO {name} (id, a, b) VALUES (1, 5, 'b')")
    statement = session.prepare(f"SELECT * FROM {name}")
    assert session.execute(statement).one() == {"id": 1, "a": 5, "b": "b"}
    session.execute(f"ALTER TABLE {name} DROP a")
    session.execute(f"ALTER TABLE {name} ADD c timestamp")
    session.execute(f"UPDATE {name} SET c = 1 WHERE id = 1")
    for _ in range(2):
        row = session.execute(statement).one()
        assert row == {"id": 1, "b": "b", "c": EPOCH + MILLISECOND}


def test_a_field_added_to_a_user_type_appears(
    session: Session, keyspace: str, table: Callable[[str], str]
) -> None:
    session.execute(f"CREATE TYPE {keyspace}.place (street text)")
    name = table(f"p {keyspace}.place")
    session.execute(f"INSERT INTO {name} (id, p) VALUES (1, {{street: 's'}})")
    statement = session.prepare(f"SELECT p FROM {name}")
    assert session.execute(statement).one()["p"] == ("s",)
    session.execute(f"ALTER TYPE {keyspace}.place ADD city text")
    session.execute(f"INSERT INTO {name} (id, p) VALUES (1, {{street: 's', city: 'c'}})")
    for _ in range(2):
        assert session.execute(statement).one()["p"] == ("s", "c")


def test_a_conditional_write_brings_its_columns(
    session: Session, table: Callable[[str], str]
) -> None:
    name = table("x text")
    insert = session.prepare(f"INSERT INTO {name} (id, x) VALUES (1, ?) IF NOT EXISTS")
    assert session.execute(insert, ("a",)).one() == {"[applied]": True}
    assert session.execute(insert, ("b",)).one() == {"[applied]": False, "id": 1, "x": "a"}
    update = session.prepare(f"UPDATE {name} SET x = ? WHERE id = 1 IF x = ?")
    assert session.execute(update, ("b", "no")).one() == {"[applied]": False, "x": "a"}
    assert session.execute(update, ("b", "a")).one() == {"[applied]": True}


def test_protocol_version_4_sends_the_columns_each_time(
    cassandra_config: dict[str, Any], table: Callable[[str], str]
) -> None:
    name = table("t timestamp")
    with open_session(cassandra_config, protocol_version=4) as session:
        recorder = Recorder().attach(session)
        session.execute(f"INSERT INTO {name} (id, t) VALUES (1, {FOR_EVER})")
        statement = session.prepare(f"SELECT t FROM {name}")
        assert session.execute(statement).one() == {"t": OutOfRangeTimestamp(FOR_EVER)}
        assert session.execute(statement).one() == {"t": OutOfRangeTimestamp(FOR_EVER)}
    assert not any(flags & NO_METADATA for flags in recorder.flags)
    assert len(recorder.flags) == 2


def test_a_traced_request_with_a_payload_is_decoded(
    session: Session, table: Callable[[str], str]
) -> None:
    name = table("x text")
    session.execute(f"INSERT INTO {name} (id, x) VALUES (1, 'a')")
    statement = session.prepare(f"SELECT x FROM {name}")
    result = session.execute(statement, trace=True, custom_payload={"key": b"value"})
    assert result.one() == {"x": "a"}
    assert result.get_query_trace().coordinator


def test_a_statement_that_a_node_forgot_is_prepared_again(
    cassandra_config: dict[str, Any], table: Callable[[str], str]
) -> None:
    name = table("x text")
    with open_session(cassandra_config) as session:
        recorder = Recorder().attach(session)
        session.execute(f"INSERT INTO {name} (id, x) VALUES (1, 'a')")
        statement = session.prepare(f"SELECT * FROM {name}")
        session.execute(statement)
        session.execute(f"DROP TABLE {name}", timeout=60)
        session.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, y bigint, z int)", timeout=60)
        session.execute(f"INSERT INTO {name} (id, y, z) VALUES (1, 2, 3)")
        for _ in range(3):
            assert session.execute(statement).one() == {"id": 1, "y": 2, "z": 3}
    assert recorder.flags[-1] & NO_METADATA


class Here:
    def __init__(self, since: datetime, note: str) -> None:
        self.since, self.note = since, note


class There(Here):
    pass


def test_two_clusters_keep_their_classes_of_one_user_type(
    cassandra_config: dict[str, Any], keyspace: str, nested: str
) -> None:
    with open_session(cassandra_config) as one, open_session(cassandra_config) as other:
        fill_nested(one, nested, 0)
        cql = f"SELECT u FROM {nested}"
        statements = {}
        for session, mapped_class in ((one, Here), (other, There)):
            install(session)
            session.cluster.register_user_type(keyspace, "span", mapped_class)
            statements[session] = session.prepare(cql)
        for _ in range(2):
            for session, mapped_class in ((one, Here), (other, There)):
                assert type(read_one(session, cql)["u"]) is mapped_class
                assert type(session.execute(statements[session]).one()["u"]) is mapped_class


def test_a_class_registered_after_preparing_is_used(
    session: Session, keyspace: str, nested: str
) -> None:
    fill_nested(session, nested, 0)
    statement = session.prepare(f"SELECT u FROM {nested}")
    assert session.execute(statement).one()["u"] == (EPOCH, "n")
    session.cluster.register_user_type(keyspace, "span", Here)
    assert type(session.execute(statement).one()["u"]) is Here


def test_columns_that_were_changed_by_the_caller_are_used(
    session: Session, table: Callable[[str], str]
) -> None:
    name = table("s set<int>")
    session.execute(f"INSERT INTO {name} (id, s) VALUES (1, {{3, 1}})")
    statement = session.prepare(f"SELECT s FROM {name}")
    statement.result_metadata = [
        (*column, cqltypes.ListType.apply_parameters(cqltype.subtypes))
        for *column, cqltype in statement.result_metadata
    ]
    assert session.execute(statement).one() == {"s": [1, 3]}


def test_an_answer_that_does_not_fit_its_columns_ends_the_skipping(
    cassandra_config: dict[str, Any], table: Callable[[str], str]
) -> None:
    name = table("x text, y text")
    with open_session(cassandra_config) as session:
        recorder = Recorder().attach(session)
        session.execute(f"INSERT INTO {name} (id, x, y) VALUES (1, 'a', 'b')")
        statement = session.prepare(f"SELECT * FROM {name}")
        # As if a server gave one id to two lists of columns.
        del statement.result_metadata[-1]
        with pytest.raises(UndecodableResponse):
            session.execute(statement)
        assert session.execute(statement).one() == {"id": 1, "x": "a", "y": "b"}
    assert [bool(flags & NO_METADATA) for flags in recorder.flags] == [True, False]


def test_a_request_keeps_the_columns_of_the_id_that_it_sends(
    session: Session, table: Callable[[str], str]
) -> None:
    name = table("x text, y text")
    session.execute(f"INSERT INTO {name} (id, x, y) VALUES (1, 'a', 'b')")
    statement = session.prepare(f"SELECT x, y FROM {name}")

    def learn_of_another_id(_: object) -> None:
        statement.result_metadata = statement.result_metadata[::-1]

    session.add_request_init_listener(learn_of_another_id)
    assert session.execute(statement).one() == {"x": "a", "y": "b"}


def check_row(row: dict[str, Any]) -> None:
    """Check that every value of a row is under the name it was written for."""
    key = row.pop("id")
    assert row.pop("x") == f"text {key}"
    for name, value in row.items():
        kind, number = name.split("_")
        expected = int(number) * 1000 + key if kind == "i" else f"{number} of {key}"
        assert value in (None, expected), (name, value)


def alter_while_reading(
    session: Session, name: str, rounds: int, passed_over: tuple[type[Exception], ...] = ()
) -> list[int]:
    """Add and drop columns while six threads read, and return how many rows each has read.

    :param passed_over: Cassandra's refusals after which a thread reads on.
    """
    for key in range(8):
        session.execute(f"INSERT INTO {name} (id, x) VALUES ({key}, 'text {key}')")
    statement = session.prepare(f"SELECT * FROM {name} WHERE id = ?")
    statement.consistency_level = ConsistencyLevel.ONE
    done = threading.Event()

    def read() -> int:
        count = 0
        while not done.is_set():
            for key in range(8):
                try:
                    row = session.execute(statement, (key,), timeout=30).one()
                except passed_over:
                    continue
                assert row["id"] == key
                check_row(row)
                count += 1
        return count

    with ThreadPoolExecutor(6) as pool:
        readers = [pool.submit(read) for _ in range(6)]
        try:
            for number in range(rounds):
                # The new column sorts before or behind the others, and is of another type.
                column, cqltype = (f"i_{number}", "int") if number % 2 else (f"t_{number}", "text")
                session.execute(f"ALTER TABLE {name} ADD {column} {cqltype}", timeout=60)
                for key in range(8):
                    value: object = number * 1000 + key if number % 2 else f"{number} of {key}"
                    session.execute(
                        SimpleStatement(
                            f"UPDATE {name} SET {column} = %s WHERE id = {key}",
                            consistency_level=ConsistencyLevel.ONE,
                        ),
                        (value,),
                    )
                if number % 3 == 2:
                    session.execute(f"ALTER TABLE {name} DROP {column}", timeout=60)
        finally:
            done.set()
        return [reader.result(PATIENCE) for reader in readers]


def test_readers_see_right_rows_while_columns_come_and_go(
    cassandra_config: dict[str, Any], table: Callable[[str], str]
) -> None:
    name = table("x text")
    with open_session(cassandra_config) as session:
        recorder = Recorder().attach(session)
        assert all(alter_while_reading(session, name, rounds=12))
    assert any(flags & METADATA_CHANGED for flags in recorder.flags)
    assert sum(bool(flags & NO_METADATA) for flags in recorder.flags) > len(recorder.flags) / 2


@pytest.mark.cluster
def test_three_nodes_that_learn_of_a_change_one_by_one_give_right_rows(
    three_nodes: LocalCluster,
) -> None:
    hosts = {"CASSANDRA_HOSTS": three_nodes.contact_points, "CASSANDRA_PORT": three_nodes.port}
    with open_session(hosts, max_schema_agreement_wait=60) as session:
        session.execute(
            "CREATE KEYSPACE proto_three WITH replication = "
            "{'class': 'SimpleStrategy', 'replication_factor': 3}",
            timeout=60,
        )
        session.execute("CREATE TABLE proto_three.t (id int PRIMARY KEY, x text)", timeout=60)
        recorder = Recorder().attach(session)
        # A node may ask another that has not learned of the column yet, which fails on its name:
        # "Unknown column t_4 during deserialization" in that node's log.
        read = alter_while_reading(session, "proto_three.t", 8, passed_over=(ReadFailure,))
        assert all(read)
    assert any(flags & METADATA_CHANGED for flags in recorder.flags)
    assert sum(bool(flags & NO_METADATA) for flags in recorder.flags) > len(recorder.flags) / 2
