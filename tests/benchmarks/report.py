"""The two tables in Markdown, what they were measured on, and their place in the guide."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

import psutil

from flask_cqlalchemy.local.settings import CASSANDRA_VERSION

from .contenders import COODIE, CQLENGINE, DRIVER, KIT
from .results import Aim, Equal, Row, Step
from .rounds import Ratio, Sample, Spread

GUIDE = Path(__file__).parents[2] / "docs" / "performance.md"
BEGIN = "<!-- what python -m tests.benchmarks --write puts here -->"
END = "<!-- the end of it -->"

_COLUMNS = (DRIVER, KIT, CQLENGINE, COODIE)
_HEAD = (
    "operation",
    *_COLUMNS,
    "aim",
    "missed by",
    "middle half of the rounds",
    "dearer than",
    "layers alone, us",
    "notes",
)


def text(rows: Sequence[Row], steps: Sequence[Step]) -> str:
    """Return all that is measured in a run: where, and a table or two."""
    tables = [main_table(rows)] if rows else []
    if steps:
        tables.append(growth_table(steps))
    return "\n\n".join([machine(), *tables])


def main_table(rows: Iterable[Row]) -> str:
    """Return the table of the operations.

    The cell of a row's baseline has microseconds, the others its multiples; CPU first, and the wall
    in brackets.
    """
    return _markdown(_HEAD, map(_line, rows))


def growth_table(steps: Iterable[Step]) -> str:
    """Return the table of what a unit costs at each size."""
    head = ("what grows", "to", "unit", DRIVER, KIT, CQLENGINE)
    names = head[3:]
    lines = (
        [step.subject, step.size, step.unit]
        + [_number(step.costs[name]) if name in step.costs else "" for name in names]
        for step in steps
    )
    return _markdown(head, lines)


def _line(row: Row) -> list[str]:
    kit = row.ratios[KIT]
    return [
        row.operation,
        *(_cell(row, name) for name in _COLUMNS),
        _aim(row.aim),
        _missed(row.aim, kit),
        f"{_range(kit.cpu)} ({_range(kit.wall)})",
        ", ".join(_cheaper(row)),
        " / ".join(f"{name} {_number(cost)}" for name, cost in row.layers.items()),
        row.note,
    ]


def _cell(row: Row, name: str) -> str:
    if name == row.baseline:
        return _cost(row.cost)
    if name in row.ratios:
        found = row.ratios[name]
        return f"{_ratio(found.cpu.median)} ({_ratio(found.wall.median)})"
    return ""


def _cost(cost: Sample) -> str:
    return f"{_number(cost.cpu)} us ({_number(cost.wall)})"


def _aim(aim: Aim | Equal | None) -> str:
    if aim is None:
        return ""
    if isinstance(aim, Equal):
        return f"equal, which by noise is {_range(aim.noise.cpu)} ({_range(aim.noise.wall)})"
    return _ratio(aim.most) if aim.measure == "cpu" else f"({_ratio(aim.most)})"


def _missed(aim: Aim | Equal | None, found: Ratio) -> str:
    """Return by how much an aim was missed; nothing where it was reached."""
    if isinstance(aim, Equal):
        missed = [
            f"{kind} {max(0.0, ours.median - noise.high, noise.low - ours.median):.0%}"
            for kind, ours, noise in (
                ("CPU", found.cpu, aim.noise.cpu),
                ("wall", found.wall, aim.noise.wall),
            )
            if not noise.low <= ours.median <= noise.high
        ]
        return ", ".join(missed)
    if aim is None:
        return ""
    excess = aim.spread_of(found).median / aim.most - 1
    return f"{excess:.1%}" if excess > 0 else ""


def _cheaper(row: Row) -> list[str]:
    """Return which of the other libraries take less CPU than the kit."""
    ours = row.ratios[KIT].cpu.median
    costs = {name: found.cpu.median for name, found in row.ratios.items()} | {row.baseline: 1.0}
    return [name for name in (CQLENGINE, COODIE) if costs.get(name, ours + 1) <= ours]


def _ratio(number: float) -> str:
    return f"{number:.2f}" if number >= 0.1 else f"{number:.3f}"


def _range(found: Spread) -> str:
    return f"{_ratio(found.low)} to {_ratio(found.high)}"


def _number(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def machine() -> str:
    """Return what the figures were measured on, and with which versions: a paragraph."""
    memory = psutil.virtual_memory().total / 2**30
    today = datetime.datetime.now(tz=datetime.timezone.utc)
    command = shlex.join(["python", "-m", "tests.benchmarks", *sys.argv[1:]])
    return (
        f"{today:%d %B %Y}, {os.cpu_count()} CPUs ({_processor()}), "
        f"{memory:.0f} GB of memory, {platform.system()}; Python {platform.python_version()}, "
        f"cassandra-driver {version('cassandra-driver')}, Cassandra {CASSANDRA_VERSION}, "
        f"coodie {version('coodie')}, Flask-CQLAlchemy {version('Flask-CQLAlchemy')}; `{command}`."
    )


def _processor() -> str:
    """Return the processor's name, and its numbers where it has none."""
    wanted = ("model name", "vendor_id", "cpu family", "model")
    found: dict[str, str] = {}
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else []:
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    name = found.get("model name", "")
    if name and name != "unknown":
        return name
    known = [f"{key} {found[key]}" for key in wanted[1:] if key in found]
    return ", ".join(known) or platform.processor() or platform.machine()


def write(text: str) -> None:
    """Replace what the guide has between its two marks.

    :raises ValueError: if a mark is missing.
    """
    guide = GUIDE.read_text()
    before, begin, rest = guide.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{GUIDE.name} lacks {BEGIN} or {END}")
    GUIDE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
