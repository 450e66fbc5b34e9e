"""What the kit costs, against the driver, cqlengine and coodie: ``python -m tests.benchmarks``.

Starts a node, measures, and prints two tables in Markdown; how far it is goes to stderr. Takes a
quarter of an hour or so, and wants a machine that has nothing else to do.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from flask_cqlalchemy import LocalCluster

from . import bulk, growth, operations, pages, report, schemas, serving
from .contenders import Place, opened
from .results import Benchmark, Row, Setting, Step, progress

BENCHMARKS: tuple[Benchmark, ...] = (
    *operations.BENCHMARKS,
    *bulk.BENCHMARKS,
    *pages.BENCHMARKS,
    *schemas.BENCHMARKS,
    *serving.BENCHMARKS,
    *growth.BENCHMARKS,
)


def main() -> None:
    """Measure, print, and write the guide if told to."""
    options = _options()
    chosen = [each for each in BENCHMARKS if not options.only or each.name in options.only]
    with LocalCluster() as cluster:
        place = Place(cluster.contact_points, cluster.port)
        with opened(place) as contenders:
            rows, steps = run(chosen, Setting(place, contenders, options.quick, options.rounds))
    text = report.text(rows, steps)
    print(text)
    if options.write:
        report.write(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description="What the kit costs."
    )
    parser.add_argument("--quick", action="store_true", help="do little of everything, for a trial")
    parser.add_argument(
        "--only",
        action="append",
        choices=[each.name for each in BENCHMARKS],
        metavar="NAME",
        help="measure this alone; repeatable",
    )
    parser.add_argument("--rounds", type=int, help="in place of each benchmark's own number")
    parser.add_argument(
        "--write", action="store_true", help=f"put the tables into {report.GUIDE.name}"
    )
    return parser.parse_args()


def run(chosen: Sequence[Benchmark], setting: Setting) -> tuple[list[Row], list[Step]]:
    """Measure, and return the lines of both tables."""
    rows: list[Row] = []
    steps: list[Step] = []
    setting.settle()
    for benchmark in chosen:
        progress(benchmark.name)
        found = benchmark.run(setting)
        if isinstance(found, Row):
            rows.append(found)
        else:
            steps += found
    return rows, steps


if __name__ == "__main__":
    main()
