"""The settings of ``CASSANDRA_GUARDRAILS``: what is watched, beyond which number, and what then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from .parsers import parse_integer

#: What a guardrail may do.
ACTIONS = ("off", "warn", "raise")

#: The largest number that a guardrail may have.
_MOST = 1_000_000_000


@dataclass(frozen=True)
class Guardrail:
    """One guardrail: what it does, and beyond which number."""

    action: str = "warn"
    limit: int = 0

    @property
    def is_on(self) -> bool:
        return self.action != "off"


@dataclass(frozen=True)
class Guardrails:
    """Every guardrail. Each one warns unless it is set."""

    #: A query that says ALLOW FILTERING; it has no number.
    allow_filtering: Guardrail = Guardrail()
    #: Rows read into memory by a query without a limit. cqlengine stopped reading at this number.
    unpaged_rows: Guardrail = Guardrail(limit=10_000)
    #: Values of an IN.
    in_values: Guardrail = Guardrail(limit=100)
    #: Partitions of an unlogged or counter batch, which gains nothing by a second one.
    batch_partitions: Guardrail = Guardrail(limit=1)
    #: Partitions of a logged batch. A few are what it is for; each one adds cost.
    logged_batch_partitions: Guardrail = Guardrail(limit=10)
    #: Executions of the same statement in one request.
    repeated_statements: Guardrail = Guardrail(limit=50)


_NAMES = tuple(field.name for field in fields(Guardrails))


def parse_guardrails(value: object) -> Guardrails:
    """Read one action for all, or a mapping of guardrails to actions or ``[action, limit]``."""
    if isinstance(value, str):
        action = _parse_action(value)
        rails = Guardrails()
        return replace(
            rails, **{name: replace(getattr(rails, name), action=action) for name in _NAMES}
        )
    if not isinstance(value, Mapping):
        raise ValueError(
            f"must be one of {', '.join(ACTIONS)}, or a mapping of guardrails to these, not "
            f"{value!r}"
        )
    rails = Guardrails()
    for name, given in value.items():
        if name not in _NAMES:
            raise ValueError(
                f"has {name!r}, which is not a guardrail; the guardrails are {', '.join(_NAMES)}"
            )
        try:
            rail = _parse_rail(getattr(rails, name), given, counts=name != "allow_filtering")
        except ValueError as problem:
            raise ValueError(f"{name} {problem}") from None
        rails = replace(rails, **{name: rail})
    return rails


def _parse_rail(default: Guardrail, given: object, *, counts: bool) -> Guardrail:
    if not isinstance(given, list | tuple):
        return replace(default, action=_parse_action(given))
    if not counts:
        raise ValueError("has no limit: give the action alone")
    if len(given) != 2:
        raise ValueError(f"must be an action, or an action and a limit, not {given!r}")
    return Guardrail(_parse_action(given[0]), parse_integer(1, _MOST)(given[1]))


def _parse_action(given: object) -> str:
    # YAML, and some environments, make a boolean of "off".
    action = "off" if given is False else str(given).strip().lower()
    if action not in ACTIONS:
        raise ValueError(f"must be one of {', '.join(ACTIONS)}, not {given!r}")
    return action
