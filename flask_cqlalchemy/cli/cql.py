"""``flask cql``: the commands of an application that uses the extension.

Each command works on the current application's clusters. What destroys data asks first, or takes
``--yes``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, Protocol, cast

import click
from flask.cli import with_appcontext

from ..connection.retry import DRIVER_ERRORS, reasons
from ..errors import CQLAlchemyError
from ..state import current_database
from ..tables import apply
from .output import print_table

if TYPE_CHECKING:
    from ..connection.place import Place
    from ..mapping.mapper import Mapper
    from ..tables import Change

P = ParamSpec("P")

#: Where outages are logged.
OUTAGES_LOGGER = "flask_cqlalchemy.connection"

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
_yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def _command(function: Callable[P, None]) -> Callable[P, None]:
    """Run in the application's context, and end with a message where the kit raises an error."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            with _quiet():
                function(*args, **kwargs)
        except CQLAlchemyError as error:
            raise click.ClickException(str(error)) from error
        except DRIVER_ERRORS as error:
            raise click.ClickException(reasons(error)) from error

    return with_appcontext(run)


@contextmanager
def _quiet() -> Iterator[None]:
    """Do not print what is logged about an outage, where the program has told logging nothing: the
    command ends with the same words.
    """
    silent = logging.NullHandler()
    logger = logging.getLogger(OUTAGES_LOGGER)
    logger.addHandler(silent)
    try:
        yield
    finally:
        logger.removeHandler(silent)


def _chosen(names: Sequence[str]) -> list[Mapper]:
    """Return the models of these names, or every model where no name is given."""
    known = {mapper.name: mapper for mapper in _mappers()}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.ClickException(
            f"There is no model {unknown[0]}; the models are {', '.join(sorted(known)) or 'none'}."
        )
    return [known[name] for name in names] if names else _mappers()


def _mappers() -> list[Mapper]:
    return [model.__mapper__ for model in current_database().registry.models]


class _Schema(Protocol):
    """What ``CQLAlchemy`` does to the schema, or a program's class that inherits from it."""

    def sync_db(self) -> list[Change]: ...

    def drop_all(self) -> list[Change]: ...


def _schema() -> _Schema:
    return cast("_Schema", current_database())


def _say(done: Iterable[object]) -> None:
    for change in done:
        sentence = str(change)
        click.echo(f"{sentence[0].upper()}{sentence[1:]}.")


def make_group() -> click.Group:
    """Return the ``cql`` group: one for each application, since a Group is mutable."""
    group = click.Group("cql", help="Work with the application's Cassandra keyspaces and models.")
    for command in (status, models, sync, drop, truncate):
        group.add_command(command)
    return group


@click.command()
@_json_option
@_command
def status(as_json: bool) -> None:
    """Show the clusters, their nodes and the keyspaces in use."""
    database = current_database()
    found = [_describe(bind, database.place(bind)) for bind in database.binds]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for number, cluster in enumerate(found):
        if number:
            click.echo()
        click.echo(f"bind      {cluster['bind']}")
        click.echo(f"cluster   {cluster['cluster']}")
        click.echo(f"keyspace  {cluster['keyspace']} ({cluster['replication']})")
        agreed = "agreed" if cluster["schema_agreed"] else "the nodes disagree"
        click.echo(f"schema    {agreed}")
        rows = [
            [
                str(host["address"]),
                str(host["data_center"]),
                str(host["version"]),
                str(host["state"]),
            ]
            for host in cluster["hosts"]  # type: ignore[attr-defined]
        ]
        print_table(["node", "data centre", "version", "state"], rows)


def _describe(bind: str, place: Place) -> dict[str, object]:
    cluster = place.connection.cluster
    live = cluster.metadata.keyspaces.get(place.keyspace)
    strategy = live.replication_strategy.export_for_schema() if live else "does not exist yet"
    return {
        "bind": bind,
        "cluster": cluster.metadata.cluster_name,
        "keyspace": place.keyspace,
        "replication": strategy,
        "schema_agreed": apply.agrees(place.connection, 1),
        "hosts": [
            {
                "address": f"{host.address}:{cluster.port}",
                "data_center": host.datacenter,
                "version": host.release_version,
                "state": "up" if host.is_up else "down",
            }
            for host in sorted(cluster.metadata.all_hosts(), key=lambda host: str(host.address))
        ],
    }


@click.command()
@_json_option
@_command
def models(as_json: bool) -> None:
    """List the models, and whether their tables are there."""
    found = []
    mappers = _mappers()
    for mapper in mappers:
        place = mapper.place()
        found.append(
            {
                "model": mapper.name,
                "bind": mapper.bind,
                "keyspace": place.keyspace,
                "table": mapper.table,
                "columns": len(mapper.columns),
                "exists": apply.find_kind(place, mapper.table) is not None,
            }
        )
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif not found:
        click.echo("The application has no models. Are the modules that define them imported?")
    else:
        rows = [
            [
                str(entry["model"]),
                str(entry["bind"]),
                f"{entry['keyspace']}.{entry['table']}",
                str(entry["columns"]),
                "yes" if entry["exists"] else f"no: {_remedy(mapper)}",
            ]
            for entry, mapper in zip(found, mappers, strict=True)
        ]
        print_table(["model", "bind", "table", "columns", "table exists"], rows)


def _remedy(mapper: Mapper) -> str:
    return "CREATE MATERIALIZED VIEW" if mapper.is_view else "flask cql sync"


@click.command()
@_command
def sync() -> None:
    """Create the keyspaces, types and tables that the models need and the cluster lacks.

    A table that exists gains missing columns and indexes. Nothing is removed.
    """
    done = _schema().sync_db()
    _say(done or ["everything is there already"])


@click.command()
@click.argument("names", metavar="[MODEL]...", nargs=-1)
@_yes_option
@_command
def drop(names: tuple[str, ...], yes: bool) -> None:
    """Drop the tables of MODELs, or of all models with their types, and all their rows."""
    chosen = _chosen(names)
    _confirm("Drop", chosen, yes)
    if not names:
        done = _schema().drop_all()
    else:
        done = []
        for mapper in chosen:
            place = mapper.place()
            apply.refresh(place.connection)
            kind = apply.find_kind(place, mapper.table)
            done += apply.drop(place, kind, mapper.table) if kind else []
    _say(done or ["there was nothing to drop"])


@click.command()
@click.argument("names", metavar="[MODEL]...", nargs=-1)
@_yes_option
@_command
def truncate(names: tuple[str, ...], yes: bool) -> None:
    """Remove every row of the tables of MODELs, or of all models. All nodes must be up."""
    chosen = _chosen(names)
    _confirm("Remove every row of", chosen, yes)
    for place, table in {(mapper.place(), mapper.table): None for mapper in chosen}:
        apply.refresh(place.connection)
        kind = apply.find_kind(place, table)
        if kind != "table":
            what = "view" if kind else "table"
            why = "is emptied with its table" if kind else "does not exist"
            click.echo(f"The {what} {place.keyspace}.{table} {why}.")
            continue
        apply.truncate(place, table)
        click.echo(f"Emptied the table {place.keyspace}.{table}.")


def _confirm(verb: str, chosen: Sequence[Mapper], yes: bool) -> None:
    if not chosen:
        raise click.ClickException("The application has no models.")
    names = sorted({mapper.subject(mapper.place().keyspace) for mapper in chosen})
    if not yes:
        click.confirm(f"{verb} {', '.join(names)}?", abort=True)
