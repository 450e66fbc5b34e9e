"""The 1.1 documentation's example runs as it stands, in a plain Python shell.

The example fixes its host, the default port and its keyspace. For the test's cluster three lines of
configuration are put before ``db = CQLAlchemy(app)``, where a reader would put them; every other
line is the file's own. The console lines are read from its docstring.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

QUICKSTART = Path(__file__).parents[1] / "examples" / "quickstart.py"

#: The line before which the configuration ends.
INIT = "db = CQLAlchemy(app)\n"


def console_lines() -> list[str]:
    docstring = ast.get_docstring(ast.parse(QUICKSTART.read_text()))
    assert docstring
    return re.findall(r"^>>> (.+)$", docstring, re.MULTILINE)


def write_example(directory: Path, config: dict[str, Any]) -> None:
    """Write the example to ``directory`` with ``config`` in place of its cluster."""
    source = QUICKSTART.read_text()
    assert source.count(INIT) == 1
    lines = "".join(f"app.config[{key!r}] = {value!r}\n" for key, value in config.items())
    (directory / "examples").mkdir()
    (directory / "examples" / "quickstart.py").write_text(source.replace(INIT, lines + INIT))


def run_shell(directory: Path, lines: list[str]) -> str:
    """Run lines as a program on the standard input of Python, and return what it prints."""
    shell = subprocess.run(
        [sys.executable, "-W", "error", "-"],
        cwd=directory,
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (shell.returncode, shell.stderr) == (0, "")
    return shell.stdout


def test_the_console_lines_are_those_of_the_documentation() -> None:
    assert console_lines() == [
        "from examples.quickstart import db, User",
        "db.sync_db()",
        "user1 = User.create(username='John Doe')",
    ]


def test_the_example_stores_a_user_without_an_application_context(
    tmp_path: Path, cassandra_config: dict[str, Any]
) -> None:
    write_example(tmp_path, cassandra_config)
    look = "print([user.username for user in User.objects(uid=user1.uid)])"
    printed = run_shell(tmp_path, [*console_lines(), look, "done = db.drop_all()"])
    assert printed == "['John Doe']\n"


def test_importing_the_example_connects_to_nothing(tmp_path: Path, unused_port: int) -> None:
    write_example(tmp_path, {"CASSANDRA_PORT": unused_port})
    assert run_shell(tmp_path, [*console_lines()[:1], "print(User.__name__)"]) == "User\n"
