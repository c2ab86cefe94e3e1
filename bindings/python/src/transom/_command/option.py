"""An option of the command: its name, its place in the help, and how its value is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transom._command.mistake import Mistake


@dataclass(frozen=True)
class Option:
    """An option, which the command line, the environment and the file give in the same words."""

    #: The name in the file, such as `stop-timeout`; `--stop-timeout` on the command line.
    name: str
    #: The heading in the help.
    group: str
    #: The meaning, for the help.
    help: str
    #: What stands for the value in the help; `""` for an option without a value.
    metavar: str = ""
    #: Converts the text of a value. Raises `ValueError` with the reason.
    parse: Callable[[str], Any] = str
    #: `True` if the option may be given several times.
    is_many: bool = False
    #: `True` if each value is `NAME=VALUE`: the file has a table then.
    is_table: bool = False
    #: The value if nobody gives one.
    default: Any = None
    #: The letter of the short form, such as `b`.
    letter: str = ""

    @property
    def key(self) -> str:
        """The name as a Python name."""
        return self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        """The name of the environment variable."""
        return f"TRANSOM_{self.key.upper()}"

    @property
    def is_flag(self) -> bool:
        """Returns `True` for an option without a value."""
        return not self.metavar

    def read(self, text: str, source: str) -> Any:
        """Returns the value for a text that stands at `source`. Raises `Mistake`."""
        try:
            return self.parse(text)
        except ValueError as error:
            raise Mistake(f"{source}: {error}, got {text!r}") from None

    def joined(self, texts: list[str], source: str) -> Any:
        """Returns the value for the texts of an option that may be given several times."""
        values = [self.read(text, source) for text in texts]
        return dict(values) if self.is_table else values
