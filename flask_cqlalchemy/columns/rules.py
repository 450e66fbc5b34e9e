"""The rules of a field: those of the column's type, of the column, and of the program.

Where two of them limit the same thing in the same direction, the stricter one is left: a text that
is too short is told so once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

from marshmallow import validate

from .fields import Options

#: A marshmallow validator.
Rule = Callable[[Any], object]

_Side = Literal["min", "max"]
_SIDES: tuple[_Side, _Side] = ("min", "max")


def merge(rules: Options, options: Options) -> Options:
    """Return a field's options with the type's rules: both validate, and ``options`` win."""
    merged = {**rules, **options}
    if "validate" in rules and options.get("validate") is not None:
        merged["validate"] = _both(as_list(rules["validate"]), as_list(options["validate"]))
    if "metadata" in rules and options.get("metadata"):
        merged["metadata"] = {**rules["metadata"], **options["metadata"]}
    return merged


def as_list(validators: Any) -> list[Rule]:
    """Return what an option ``validate`` has: one validator, or several."""
    return [validators] if callable(validators) else list(validators)


class _Limits:
    """A ``Length`` or ``Range`` of marshmallow's, whose limits may be taken away."""

    def __init__(self, validator: Any) -> None:
        self.validator = validator
        self.left: set[_Side] = {side for side in _SIDES if self.limit(side) is not None}
        self._all = frozenset(self.left)

    def limit(self, side: _Side) -> Any:
        exact = getattr(self.validator, "equal", None)
        return getattr(self.validator, side) if exact is None else exact

    def is_as_strict_as(self, other: _Limits, side: _Side) -> bool:
        mine, theirs = self.limit(side), other.limit(side)
        if mine == theirs:
            return not self._includes(side) or other._includes(side)
        return bool(mine > theirs if side == "min" else mine < theirs)

    def _includes(self, side: _Side) -> bool:
        return bool(getattr(self.validator, f"{side}_inclusive", True))

    def rest(self) -> list[object]:
        """Return a validator of what is left, if there is any."""
        known = self.validator
        if self.left == self._all or (self.left and getattr(known, "equal", None) is not None):
            return [known]
        if not self.left:
            return []
        options: dict[str, Any] = {side: self.limit(side) for side in self.left}
        if isinstance(known, validate.Range):
            options |= {f"{side}_inclusive": self._includes(side) for side in self.left}
        return [type(known)(**options, error=known.error)]


def _both(rules: Iterable[object], added: Iterable[object]) -> list[object]:
    """Return the validators of two lists; of two limits in a direction the stricter one, and of
    equal ones the added one, whose message may be the program's.
    """
    first, second = [*map(_limits, rules)], [*map(_limits, added)]
    for mine in first:
        for other in second:
            if not (isinstance(mine, _Limits) and isinstance(other, _Limits)):
                continue
            if type(mine.validator) is not type(other.validator):
                continue
            for side in mine.left & other.left:
                loser = mine if other.is_as_strict_as(mine, side) else other
                loser.left = loser.left - {side}
    return [
        validator
        for each in (*first, *second)
        for validator in (each.rest() if isinstance(each, _Limits) else [each])
    ]


def _limits(validator: object) -> object:
    # A subclass may have rules of its own.
    return _Limits(validator) if type(validator) in (validate.Length, validate.Range) else validator
