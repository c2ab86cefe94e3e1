"""What the command has been told, from all sources; each process gets a copy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from transom._command.options import BY_NAME


@dataclass(frozen=True)
class Plan:
    """The application, and the values of the options."""

    #: `MODULE:APP`.
    app: str
    #: The values that somebody has given, by the keys of the options.
    given: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        """Returns the value of an option by its name: what was given, or the default."""
        option = BY_NAME[name]
        return self.given.get(option.key, option.default)

    def with_value_of(self, other: Plan, name: str) -> Plan:
        """Returns a plan with the value that another one has for an option."""
        key = BY_NAME[name].key
        given = {each: value for each, value in self.given.items() if each != key}
        if key in other.given:
            given[key] = other.given[key]
        return Plan(self.app, given)

    def has(self, name: str) -> bool:
        """Returns `True` if somebody has given a value."""
        return BY_NAME[name].key in self.given
