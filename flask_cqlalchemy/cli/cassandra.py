"""``flask cassandra``: a local Cassandra that stays up between runs of the application.

Plain commands that need no application. They reach the same supervisor as ``LocalCluster``; what
``start`` leaves there is a pin in place of a lease.
"""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import LocalClusterError
from .output import print_table

if TYPE_CHECKING:
    from ..local.messages import ClusterStatus, NodeStatus

#: Seconds between two looks at a log that is followed.
_FOLLOW_INTERVAL = 0.2

_HEADINGS = ("Node", "Address", "Data centre", "State", "PID", "Memory")


class _Commands(click.Group):
    """Shows a LocalClusterError as a command's error: its text, and exit code 1."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except LocalClusterError as error:
            raise click.ClickException(str(error)) from error


_directory = click.option(
    "--directory",
    type=click.Path(file_okay=False, resolve_path=True, path_type=Path),
    help="Where the data are.  [default: in your user data directory]",
)


@click.group("cassandra", cls=_Commands)
def cassandra() -> None:
    """Run Apache Cassandra on this machine, for development.

    It needs no Docker and no root, listens on loopback addresses only, and keeps its data.
    """


@cassandra.command()
@click.option(
    "--nodes",
    type=click.IntRange(min=1),
    help="How many nodes.  [default: as last time, else 1]",
)
@_directory
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="The port for clients.  [default: as last time, else 9042 or a free one]",
)
def start(nodes: int | None, directory: Path | None, port: int | None) -> None:
    """Start nodes that stay up until "flask cassandra stop".

    Nodes of the same directory that are down are started again. The first start on a machine
    downloads Cassandra, about 70 MB.
    """
    from ..local.client import hold
    from ..local.messages import Request
    from ..local.progress import ProgressPrinter
    from ..local.settings import LocalOptions, Manifest

    where = _where(directory)
    made = Manifest.read(where)
    settings = LocalOptions(
        nodes=nodes or (made.nodes if made else 1),
        port=port,
        data_centers=made.data_centers if made else 1,
        tokens=made.tokens if made else 1,
    )
    settings.check()
    with ProgressPrinter(verbose=True) as progress:
        connection, status = hold(where, Request("pin", settings), progress)
    connection.close()
    hosts = ",".join(status.contact_points)
    click.echo(f"Cassandra {status.cassandra} is up, with its data in {where}")
    # Lines of their own, to be pasted.
    click.echo("Use it with:")
    click.echo(f"  export FLASK_CASSANDRA_HOSTS={hosts} FLASK_CASSANDRA_PORT={status.port}")
    click.echo("Stop it with:")
    click.echo(f"  flask cassandra stop{as_option(directory)}")


@cassandra.command()
@_directory
def stop(directory: Path | None) -> None:
    """Stop the nodes, whoever uses them. Their data stay."""
    from ..local.client import ask
    from ..local.client import status as status_of
    from ..local.messages import Request

    where = _where(directory)
    before = status_of(where)
    if not before.running:
        click.echo(f"No Cassandra runs in {where}")
        return
    ask(where, Request("stop"))
    users = f", which {_programs(before.leases)} using" if before.leases else ""
    click.echo(f"Stopped the Cassandra in {where}{users}")


@cassandra.command()
@_directory
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def status(ctx: click.Context, directory: Path | None, as_json: bool) -> None:
    """Show the nodes. Exits with 0 when all are up, else with 1."""
    from ..local.client import status as status_of

    where = _where(directory)
    found = status_of(where)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
    elif not found.nodes:
        click.echo(f"No Cassandra was ever started in {where}")
    else:
        click.echo(_summary(found))
        print_table(_HEADINGS, [_cells(node) for node in found.nodes])
    if not found.nodes or any(node.state != "up" for node in found.nodes):
        ctx.exit(1)


@cassandra.command()
@click.option("--node", type=click.IntRange(min=1), required=True, help="Which, counted from 1.")
@_directory
def kill(node: int, directory: Path | None) -> None:
    """Kill a node as a power cut would.

    "flask cassandra start" brings it back.
    """
    from ..local.client import ask
    from ..local.messages import Request

    ask(_where(directory), Request("kill", node=node))
    click.echo(
        f"Killed node {node}. Bring it back with: flask cassandra start{as_option(directory)}"
    )


@cassandra.command()
@click.option("--node", type=click.IntRange(min=1), default=1, show_default=True, help="Which one.")
@click.option(
    "--lines", type=click.IntRange(min=0), default=50, show_default=True, help="How many lines."
)
@click.option("--follow", "-f", is_flag=True, help="Go on with what is added, until Ctrl-C.")
@_directory
def logs(node: int, lines: int, follow: bool, directory: Path | None) -> None:
    """Print the end of a node's log."""
    from ..local.layout import log_path, read_log

    where = _where(directory)
    log = log_path(where, node)
    if not log.exists():
        raise LocalClusterError(f"There is no log of node {node} in {where}")
    # Measured first: what is written while the end is printed must not be lost.
    size = log.stat().st_size
    click.echo(read_log(where, node, lines), nl=False)
    if follow:
        _follow(log, size)


def _follow(log: Path, position: int) -> None:
    """Print what a file has beyond ``position``, and what is added to it, until Ctrl-C."""
    while True:
        if log.stat().st_size < position:
            position = 0  # begun anew
        with log.open("rb") as file:
            file.seek(position)
            added = file.read()
        position += len(added)
        click.echo(added.decode(errors="replace"), nl=False)
        time.sleep(_FOLLOW_INTERVAL)


def as_option(directory: Path | None) -> str:
    """What a command that is suggested needs to find the same directory, as a shell takes it."""
    return f" --directory {shlex.quote(str(directory))}" if directory else ""


def _programs(count: int) -> str:
    return "1 program was" if count == 1 else f"{count} programs were"


def _where(directory: Path | None) -> Path:
    from ..local.client import default_directory

    return directory or default_directory()


def _summary(found: ClusterStatus) -> str:
    if not found.running:
        return f"Cassandra {found.cassandra} in {found.directory} does not run"
    held = ["until it is stopped"] if found.pinned else []
    if found.leases:
        held.append(f"for {found.leases} program{'s' if found.leases > 1 else ''}")
    return (
        f"Cassandra {found.cassandra} in {found.directory}, port {found.port}, "
        f"up {' and '.join(held) or 'for nobody, and about to stop'}"
    )


def _cells(node: NodeStatus) -> tuple[str, ...]:
    memory = f"{node.memory / 2**20:.0f} MiB" if node.memory else "-"
    return (
        str(node.number),
        node.address,
        node.data_center,
        node.state,
        str(node.pid or "-"),
        memory,
    )
