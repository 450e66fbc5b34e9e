"""The first page of a great table against one far behind it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from cassandra.concurrent import execute_concurrent
from cassandra.query import BatchStatement, BatchType, PreparedStatement

from .contenders import KIT, Contenders
from .results import Benchmark, Equal, Row, Setting, make_row, progress
from .rounds import Work, interleave, ratio, typical

PER_PAGE = 100

_ROWS_OF_A_PART = 100
_TABLE = "page_row"


def _define(contenders: Contenders) -> Any:
    """Return the model of small rows, its table empty."""
    db = contenders.kit.db
    body = {
        "__table_name__": _TABLE,
        "part": db.columns.Integer(primary_key=True),
        "id": db.columns.Integer(primary_key=True),
        "name": db.columns.Text(),
    }
    model = type(db.Model)("PageRow", (db.Model,), body)
    db.sync_table(model)
    return model


def _batches(insert: PreparedStatement, rows: int) -> Iterator[tuple[BatchStatement, None]]:
    for part in range(rows // _ROWS_OF_A_PART):
        batch = BatchStatement(BatchType.UNLOGGED)
        for number in range(_ROWS_OF_A_PART):
            batch.add(insert, (part, number, f"name {number}"))
        yield batch, None


def _fill(contenders: Contenders, rows: int) -> None:
    start = time.monotonic()
    session = contenders.driver.session
    insert = session.prepare(f"INSERT INTO {_TABLE} (part, id, name) VALUES (?, ?, ?)")
    results = execute_concurrent(
        session, _batches(insert, rows), concurrency=20, results_generator=True
    )
    for _ in results:
        pass
    progress(f"{rows:,} rows filled in, in {time.monotonic() - start:.0f} s")


def _walk(contenders: Contenders, model: Any, number: int) -> str:
    """Return the cursor of page ``number``, counted from 1."""
    start = time.monotonic()
    cursor = None
    for _ in range(number - 1):
        page = contenders.kit.db.paginate(model.objects, per_page=PER_PAGE, cursor=cursor)
        cursor = page.next
        assert cursor is not None
    progress(f"at page {number:,}, in {time.monotonic() - start:.0f} s")
    assert cursor is not None
    return cursor


def _run(setting: Setting) -> Row:
    rows, far = setting.choose(1_000_000, 20_000), setting.choose(5_000, 100)
    contenders = setting.contenders
    model = _define(contenders)
    _fill(contenders, rows)
    paginate = contenders.kit.db.paginate

    def page(cursor: str | None) -> Work:
        return Work(
            lambda: paginate(model.objects, per_page=PER_PAGE, cursor=cursor).items,
            setting.choose(40, 10),
        )

    far_cursor = _walk(contenders, model, far)
    works = {
        "first": page(None),
        "first again": page(None),
        "second": page(_walk(contenders, model, 2)),
        KIT: page(far_cursor),
    }
    samples = interleave(works, setting.choose_rounds(25))
    near, first = ratio(samples, KIT, "second"), typical(samples["first"])
    return make_row(
        f"page {far:,} of {rows:,} rows",
        {name: samples[name] for name in ("first", KIT)},
        baseline="first",
        aim=Equal(ratio(samples, "first again", "first")),
        note=(
            f"in relation to page 1, {first.cpu:,.0f} us ({first.wall:,.0f}), of {PER_PAGE} rows; "
            "in relation to page 2, which has a cursor to open too: "
            f"{near.cpu.median:.2f} ({near.wall.median:.2f})"
        ),
    )


BENCHMARKS = (Benchmark("pages", _run),)
