"""What mypy and pyright, both at their strictest, say of a program that uses the extension.

``project`` is that program. A line that ends in ``# type`` tells what ``reveal_type`` shows, one in
``# error`` that there is an error; no other line may have one.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PROJECT = Path(__file__).parent / "project"
PROGRAM = ("models.py", "views.py", "schemas.py")

MYPY = """\
[mypy]
strict = true
mypy_path = {root}
{plugins}
[mypy-cassandra.*]
# As an installed package has it: mypy reports no errors in one.
ignore_missing_imports = true
"""

PYRIGHT = {"typeCheckingMode": "strict", "pythonVersion": "3.10", "extraPaths": [str(ROOT)]}

_EXPECTED = re.compile(r"^ +reveal_type\(.*\)  # (.+?)(?:; to mypy: (.+))?$")
_MYPY_LINE = re.compile(r"^(\w+\.py):(\d+): (error|note): (.*)$")
_REVEALED = re.compile(r"^(?:Revealed type is|Type of \".*\" is) \"(.*)\"$", re.DOTALL)

#: The modules before a name: mypy writes them, pyright does not.
_MODULES = re.compile(r"\b(?:\w+\.)+(?=\w)")

Line = tuple[str, int]


@dataclass
class Findings:
    """What a type checker says of each line, and what it is to say."""

    types: dict[Line, str] = field(default_factory=dict)
    errors: defaultdict[Line, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, line: Line, message: str, *, is_error: bool) -> None:
        revealed = _REVEALED.match(message)
        if is_error:
            self.errors[line].append(message)
        elif revealed is not None:
            self.types[line] = _MODULES.sub("", revealed[1])


def expected(names: tuple[str, ...], *, to_mypy: bool) -> Findings:
    """Return what the comments of the program say."""
    found = Findings()
    for name in names:
        for number, line in enumerate((PROJECT / name).read_text().splitlines(), 1):
            match = _EXPECTED.match(line)
            if match is not None:
                found.types[name, number] = (match[2] if to_mypy else None) or match[1]
            elif line.endswith("  # error"):
                found.errors[name, number] = []
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that has the program."""
    copytree(PROJECT, tmp_path / "program", ignore=ignore_patterns("__pycache__"))
    return tmp_path / "program"


def run_mypy(folder: Path, names: tuple[str, ...], *, plugins: str) -> Findings:
    """Run mypy as a program's developer does."""
    (folder / "mypy.ini").write_text(MYPY.format(root=ROOT, plugins=plugins))
    output = run(folder, "mypy", *names)
    found = Findings()
    for line in output.splitlines():
        match = _MYPY_LINE.match(line)
        if match is not None:
            found.add((match[1], int(match[2])), match[4], is_error=match[3] == "error")
        else:
            assert re.match(r"Found \d+ errors? in |\w+\.py:\d+: note: ", line), output
    return found


def run_pyright(folder: Path, names: tuple[str, ...]) -> Findings:
    """Run pyright as a program's developer does."""
    (folder / "pyrightconfig.json").write_text(json.dumps({**PYRIGHT, "include": names}))
    report = json.loads(run(folder, "pyright", "--outputjson", "--pythonpath", sys.executable))
    assert report["summary"]["filesAnalyzed"] == len(names)
    found = Findings()
    for each in report["generalDiagnostics"]:
        line = Path(each["file"]).name, each["range"]["start"]["line"] + 1
        found.add(line, each["message"], is_error=each["severity"] != "information")
    return found


def run(folder: Path, module: str, *arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert not result.stderr, result.stderr
    return result.stdout


def check(found: Findings, wanted: Findings) -> None:
    """Compare what a type checker says with the comments."""
    assert found.types == wanted.types
    unexpected = {line: texts for line, texts in found.errors.items() if line not in wanted.errors}
    assert unexpected == {}
    assert wanted.errors.keys() - found.errors.keys() == set()


def test_the_program_says_enough() -> None:
    wanted = expected(PROGRAM, to_mypy=True)
    assert len(wanted.types) > 90
    assert len(wanted.errors) > 35


def test_mypy_with_the_plugin(folder: Path) -> None:
    plugins = "plugins = flask_cqlalchemy.mypy_plugin"
    check(run_mypy(folder, PROGRAM, plugins=plugins), expected(PROGRAM, to_mypy=True))


def test_mypy_without_the_plugin(folder: Path) -> None:
    names = ("without_plugin.py",)
    check(run_mypy(folder, names, plugins=""), expected(names, to_mypy=True))


def test_pyright(folder: Path) -> None:
    names = (*PROGRAM, "without_plugin.py")
    check(run_pyright(folder, names), expected(names, to_mypy=False))


def test_mypy_with_the_plugin_and_a_cache(folder: Path) -> None:
    """What the plugin makes is stored, and found again."""
    plugins = "plugins = flask_cqlalchemy.mypy_plugin"
    run_mypy(folder, ("models.py",), plugins=plugins)
    check(run_mypy(folder, PROGRAM, plugins=plugins), expected(PROGRAM, to_mypy=True))
