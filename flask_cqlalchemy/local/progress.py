"""Shows how far a start has come: a bar on a terminal where rich is installed, else plain lines."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress, TaskID
    from typing_extensions import Self

    from .messages import Stage

#: Lines of a download that are printed where there is no terminal: one per this many jars.
_EVERY = 20

_log = logging.getLogger("flask_cqlalchemy.local")


class ProgressPrinter:
    """Prints to standard error what a start is doing. Use it in a ``with`` statement.

    :param verbose: print every stage; else only a download, which may take a minute.
    """

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end_bar()

    def __call__(self, stage: Stage) -> None:
        """Show one stage."""
        _log.info("%s", stage.text)
        if stage.total:
            self._show_count(stage)
        elif self._verbose:
            self._end_bar()
            _print(stage.text)

    def _show_count(self, stage: Stage) -> None:
        if self._bar is None and sys.stderr.isatty():
            self._bar = _rich_bar()
        if self._bar is None:
            if stage.done % _EVERY == 0 or stage.done == stage.total:
                _print(stage.text)
        elif self._task is None:
            self._task = self._bar.add_task(stage.text, completed=stage.done, total=stage.total)
        else:
            self._bar.update(self._task, description=stage.text, completed=stage.done)

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._task = None


def _print(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _rich_bar() -> Progress | None:
    """A running bar; None where rich is not installed."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    except ImportError:
        return None
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )
    bar.start()
    return bar
