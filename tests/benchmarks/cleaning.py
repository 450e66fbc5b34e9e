"""What it costs to clean up after a test: ``python -m tests.benchmarks.cleaning``.

Compares the plugin's cleaning with a TRUNCATE of the same tables, interleaved in one process on a
local node, by the median of the rounds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from flask import Flask

from flask_cqlalchemy import CQLAlchemy, LocalCluster
from flask_cqlalchemy.testing import Cleaner

ROUNDS = 30
ROWS = 10


def main() -> None:
    db = CQLAlchemy()

    class One(db.Model):
        id = db.columns.Integer(primary_key=True)

    class Two(db.Model):
        id = db.columns.Integer(primary_key=True)

    class Hits(db.Model):
        id = db.columns.Integer(primary_key=True)
        count = db.columns.Counter()

    class Likes(db.Model):
        id = db.columns.Integer(primary_key=True)
        count = db.columns.Counter()

    plain, counters = (One, Two), (Hits, Likes)

    def write(models: Any) -> None:
        for model in models:
            for number in range(ROWS // len(models)):
                if model in counters:
                    model(id=number).update(count=1)
                else:
                    model.create(id=number)

    with LocalCluster() as cluster:
        app = Flask(__name__)
        app.config.from_mapping(
            CASSANDRA_HOSTS=cluster.contact_points,
            CASSANDRA_PORT=cluster.port,
            CASSANDRA_KEYSPACE="test_cleaning",
        )
        db.init_app(app)
        with app.app_context(), Cleaner(cluster, "test_", drop_keyspaces=False) as cleaner:
            db.sync_db()
            keyspace = db.place().keyspace

            def clean(models: Any) -> None:
                cleaner.empty([(keyspace, model._raw_column_family_name()) for model in models])

            def truncate(models: Any) -> None:
                for model in models:
                    db.session.execute(f"TRUNCATE {model.column_family_name()}", timeout=60)

            print(f"{'tables':24} {'clean':>9} {'TRUNCATE':>9} {'ratio':>7}")
            for label, models in (("two tables, 10 rows", plain), ("two counter tables", counters)):
                ours: list[float] = []
                theirs: list[float] = []
                for _ in range(ROUNDS):
                    for results, work in ((ours, clean), (theirs, truncate)):
                        write(models)
                        results.append(_milliseconds(lambda: work(models)))  # noqa: B023
                ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
                print(
                    f"{label:24} {statistics.median(ours):6.1f} ms "
                    f"{statistics.median(theirs):6.1f} ms {ratio:7.2f}"
                )
            db.close()


def _milliseconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    main()
