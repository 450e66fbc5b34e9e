"""What differs from cqlengine and from version 2: ``python -m tests.compatibility CHECKOUT...``.

Runs the suite of each checkout twice on a node, and prints the counts and every test whose outcome
differs, in Markdown. Fails if docs/compatibility.md does not account for one of these tests, or
accounts for one that does not differ. It is told there where the checkouts come from.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from flask_cqlalchemy import LocalCluster

from .runs import Node, On, Outcome, Suite, run, suite_of

GUIDE = Path(__file__).parents[2] / "docs" / "compatibility.md"

#: A test's id in the guide.
ID = re.compile(r"`([\w/]+\.py::[\w:]+)`")


def main() -> None:
    """Run, print, and compare with the guide."""
    options = _options()
    accounted = set(ID.findall(GUIDE.read_text()))
    differing: set[str] = set()
    with _node(options.cassandra_hosts) as node:
        for checkout in options.checkout:
            suite = suite_of(checkout)
            stock, ours = (_run(suite, checkout, on, node) for on in ("stock", "ours"))
            differing |= differences(stock, ours).keys()
            print(table(suite, stock, ours))
    problems = [f"{name} differs, and {GUIDE.name} does not say why" for name in differing]
    if len(options.checkout) > 1:
        problems = [*problems, *(f"{name} does not differ" for name in accounted - differing)]
    sys.exit("\n".join(sorted(problems)) if problems else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.compatibility", description="What differs from cqlengine."
    )
    parser.add_argument("checkout", nargs="+", type=Path, help="of a project with a known suite")
    parser.add_argument("--cassandra-hosts", metavar="HOST:PORT", help="in place of an own node")
    return parser.parse_args()


@contextmanager
def _node(address: str | None) -> Iterator[Node]:
    if address:
        host, _, port = address.partition(":")
        yield Node(host, int(port or 9042))
        return
    with LocalCluster() as cluster:
        yield Node(cluster.contact_points[0], cluster.port)


def _run(suite: Suite, checkout: Path, on: On, node: Node) -> Mapping[str, Outcome]:
    with tempfile.TemporaryDirectory() as folder:
        return run(suite, checkout.resolve(), on, node, Path(folder))


def differences(
    stock: Mapping[str, Outcome], ours: Mapping[str, Outcome]
) -> dict[str, tuple[Outcome, Outcome]]:
    """Return the tests that do not end alike, with both outcomes."""
    missing = Outcome("missing")
    pairs = {
        name: (stock.get(name, missing), ours.get(name, missing))
        for name in sorted(stock.keys() | ours.keys())
    }
    return {name: pair for name, pair in pairs.items() if pair[0].outcome != pair[1].outcome}


def table(suite: Suite, stock: Mapping[str, Outcome], ours: Mapping[str, Outcome]) -> str:
    """Return the counts and the differences as Markdown."""
    counts = [Counter(each.outcome for each in found.values()) for found in (stock, ours)]
    lines = [
        f"## {suite.name}",
        "",
        "| outcome | stock | ours |",
        "| --- | --- | --- |",
        *(
            f"| {outcome} | {counts[0][outcome]} | {counts[1][outcome]} |"
            for outcome in ("passed", "failed", "error", "skipped")
        ),
        "",
        "| test | stock | ours | why |",
        "| --- | --- | --- | --- |",
    ]
    for name, (before, after) in differences(stock, ours).items():
        error = " ".join((after.error or before.error).split()).replace("|", "\\|")
        lines.append(f"| `{name}` | {before.outcome} | {after.outcome} | {error[:200]} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
