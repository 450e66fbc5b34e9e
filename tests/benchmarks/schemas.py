"""Rows as JSON, and what dumping them by a schema costs."""

from __future__ import annotations

from flask_cqlalchemy.schemas import schema_for

from .contenders import KIT
from .operations import Operation
from .results import Aim, Benchmark, Row, Setting, make_row
from .rounds import Work, interleave
from .rows import ROWS, HandWrittenSchema

_BY_HAND = "schema written by hand"


def _rows_to_json(setting: Setting) -> Row:
    operation = Operation(f"{ROWS:,} rows to JSON", lambda each: each.write_json, 5, Aim(0.85))
    return operation.run(setting)


def _dump(setting: Setting) -> Row:
    """Dump the same instances by the kit's schema and by one that a programmer has written."""
    kit = setting.contenders.kit
    made, by_hand = schema_for(kit.model), HandWrittenSchema()
    instances = kit.read_rows()
    times = setting.choose(5, 1)
    works = {
        _BY_HAND: Work(lambda: by_hand.dump(instances, many=True), times),
        KIT: Work(lambda: made.dump(instances, many=True), times),
    }
    samples = interleave(works, setting.choose_rounds(25))
    return make_row(
        f"{ROWS:,} instances by AutoSchema",
        samples,
        baseline=_BY_HAND,
        aim=Aim(1.15),
        note="in relation to a marshmallow schema written by hand, of the same instances",
    )


BENCHMARKS = (
    Benchmark("rows to JSON", _rows_to_json),
    Benchmark("AutoSchema", _dump),
)
