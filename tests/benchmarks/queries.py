"""What queries cost: ``python -m tests.benchmarks.queries``.

Compares ``db.Model`` and plain cqlengine with hand-written prepared driver code that does the same
work, interleaved in one process on a local node: client CPU, by the median of the rounds' ratios.
"""

from __future__ import annotations

import datetime
import decimal
import itertools
import os
import statistics
import time
import uuid
from collections.abc import Callable
from types import ModuleType
from typing import Any

from cassandra.cqlengine import columns
from cassandra.cqlengine import connection as cqlengine_connection
from cassandra.cqlengine.models import Model as StockModel
from flask import Flask

from flask_cqlalchemy import CQLAlchemy, LocalCluster

ROUNDS = 15
ROWS = 1000
NAMES = ("part", "id", "name", "uid", "price", "at", "tags", "attrs", "score", "ok")


def row_columns(kinds: ModuleType) -> dict[str, Any]:
    return {
        "__table_name__": "row",
        "part": kinds.Integer(primary_key=True),
        "id": kinds.Integer(primary_key=True),
        "name": kinds.Text(),
        "uid": kinds.UUID(),
        "price": kinds.Decimal(),
        "at": kinds.DateTime(),
        "tags": kinds.Set(kinds.Text),
        "attrs": kinds.Map(kinds.Text, kinds.Text),
        "score": kinds.Double(),
        "ok": kinds.Boolean(),
    }


def values(part: int, number: int) -> tuple[Any, ...]:
    at = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc).replace(tzinfo=None)
    return (
        *(part, number, f"name {number}", uuid.UUID(int=number), decimal.Decimal("1.5"), at),
        *({"a", "b"}, {"k": "v"}, 1.5, True),
    )


def main() -> None:
    # cqlengine warns without it.
    os.environ["CQLENG_ALLOW_SCHEMA_MANAGEMENT"] = "1"
    db = CQLAlchemy()
    row = type(db.Model)("Row", (db.Model,), row_columns(columns))
    with LocalCluster() as cluster:
        app = Flask(__name__)
        app.config.from_mapping(
            CASSANDRA_HOSTS=cluster.contact_points,
            CASSANDRA_PORT=cluster.port,
            CASSANDRA_KEYSPACE="test_benchmark",
        )
        db.init_app(app)
        cqlengine_connection.register_connection(
            "stock",
            hosts=cluster.contact_points,
            cluster_options={"port": cluster.port, "protocol_version": 5},
        )
        stock = type(StockModel)(
            "Row",
            (StockModel,),
            {
                **row_columns(columns),
                "__keyspace__": "test_benchmark",
                "__connection__": "stock",
            },
        )
        with app.app_context():
            db.sync_db()
            _measure(db, row, stock)
            db.close()
        cqlengine_connection.unregister_connection("stock")


def _measure(db: CQLAlchemy, row: Any, stock: Any) -> None:
    # A session of its own: the driver's as it comes, without the kit's protocol handler.
    session = db.session.cluster.connect("test_benchmark")
    names, markers = ", ".join(NAMES), ", ".join("?" * len(NAMES))
    insert = session.prepare(f"INSERT INTO row ({names}) VALUES ({markers})")
    one = session.prepare(f"SELECT {names} FROM row WHERE part = ? AND id = ?")
    many = session.prepare(f"SELECT {names} FROM row WHERE part = ?")
    change = session.prepare("UPDATE row SET name = ? WHERE part = ? AND id = ?")
    for number in range(ROWS):
        session.execute(insert, values(1, number))
    ours, theirs = row.get(part=1, id=5), stock.get(part=1, id=5)
    new_names = map(str, itertools.count())

    def attributes(instances: Any) -> list[list[Any]]:
        return [[getattr(each, name) for name in NAMES] for each in instances]

    operations: list[tuple[str, int, Callable[[], Any], Callable[[], Any], Callable[[], Any]]] = [
        (
            "point read",
            100,
            lambda: session.execute(one, (1, 5)).one(),
            lambda: row.get(part=1, id=5),
            lambda: stock.get(part=1, id=5),
        ),
        (
            "create",
            100,
            lambda: session.execute(insert, values(2, 1)),
            lambda: row.create(**dict(zip(NAMES, values(2, 1), strict=True))),
            lambda: stock.create(**dict(zip(NAMES, values(2, 1), strict=True))),
        ),
        (
            "update one column",
            100,
            lambda: session.execute(change, (next(new_names), 1, 5)),
            lambda: ours.update(name=next(new_names)),
            lambda: theirs.update(name=next(new_names)),
        ),
        (
            f"{ROWS} rows, untouched",
            3,
            lambda: list(session.execute(many, (1,))),
            lambda: list(row.objects(part=1)),
            lambda: list(stock.objects(part=1)),
        ),
        (
            f"{ROWS} rows, all attributes",
            3,
            lambda: [[each[name] for name in NAMES] for each in session.execute(many, (1,))],
            lambda: attributes(row.objects(part=1)),
            lambda: attributes(stock.objects(part=1)),
        ),
    ]
    print(f"{'operation':26} {'driver':>9} {'db.Model':>9} {'cqlengine':>10}")
    for label, times, *contenders in operations:
        results: list[list[float]] = [[], [], []]
        for _ in range(ROUNDS):
            for result, work in zip(results, contenders, strict=True):
                result.append(_cpu_microseconds(work, times))
        driver, model, plain = results
        print(
            f"{label:26} {statistics.median(driver):6.0f} us "
            f"{_ratio(model, driver):9.2f} {_ratio(plain, driver):10.2f}"
        )
    start = time.perf_counter()
    for _ in range(20_000):
        row.objects.filter(part=1).filter(id=5).filter(name="x").filter(score=1.0).limit(5)
    print(f"4 filters and a limit      {(time.perf_counter() - start) * 50:6.1f} us")


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def _cpu_microseconds(work: Callable[[], Any], times: int) -> float:
    start = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - start) / times * 1e6


if __name__ == "__main__":
    main()
