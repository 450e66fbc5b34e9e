"""The benchmarks run, and print the table that they promise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.report import BEGIN, END, GUIDE

ROOT = Path(__file__).parents[2]


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split(" | ")]


@pytest.mark.slow
def test_a_quick_run_compares_all_four() -> None:
    result = run("--quick", "--only", "point read", "--rounds", "1")

    assert result.returncode == 0, result.stderr
    head, _, row = (cells(line) for line in result.stdout.splitlines() if line.startswith("|"))
    found = dict(zip(head, row, strict=True))
    assert found["operation"] == "point read"
    assert found["driver"].endswith(")")
    assert "us" in found["driver"]
    for name in ("Flask-CQLAlchemy", "cqlengine", "coodie"):
        assert float(found[name].split()[0]) > 0
        assert name in found["layers alone, us"]


def test_an_unknown_name_lists_the_known_ones() -> None:
    result = run("--only", "nothing")

    assert result.returncode == 2
    assert "'point read'" in result.stderr
    assert "'growth of models'" in result.stderr


def test_the_guide_has_a_place_for_the_tables() -> None:
    guide = GUIDE.read_text()

    assert guide.index(BEGIN) < guide.index(END)
