"""What neither tensors nor plain values tell of a model, and with which option the user can.

A family's `config_from` asks here for each such value. It is found in our own description of the model, or in
what the user states, or else it is assumed, and noted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OPTION = "--assume"


@dataclass(frozen=True, kw_only=True)
class Assumption:
    """A value that was assumed.

    Args:
        name: As the tool that the file comes from calls it, for instance `heads`.
        value: What was assumed, as JSON knows it.
        because: The rule that gave it.
        can_be_stated: Whether the user can say otherwise by `--assume NAME=VALUE`.
    """

    name: str
    value: Any
    because: str
    can_be_stated: bool = True

    def __str__(self) -> str:
        if self.value is None:
            return self.because
        option = f" ({OPTION} {self.name}=…)" if self.can_be_stated else ""
        return f"{self.name} {shown(self.value)}: {self.because}{option}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON; `from_dict` gives the same back."""
        return {
            "name": self.name,
            "value": self.value,
            "because": self.because,
            "option": f"{OPTION} {self.name}=…" if self.can_be_stated else None,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | str) -> "Assumption":
        """What `to_dict` wrote; at first it was a sentence."""
        if isinstance(values, str):
            return sentence("", values)
        return cls(
            name=values["name"],
            value=values["value"],
            because=values["because"],
            can_be_stated=values["option"] is not None,
        )


class Told:
    """What is known of a model besides its tensors; keeps what had to be assumed.

    Args:
        known: Our own sizes (by the names of our config), or what the user states (by an assumption's name).
    """

    def __init__(self, known: Mapping[str, Any]) -> None:
        self._known = known
        self.assumed: list[Assumption] = []

    def value(self, name: str, *, usual: Any, because: str, field: str = "") -> Any:  # noqa: ANN401
        """The value called `name` (in our config: `field`); where nobody tells, `usual`, noted as assumed."""
        for key in (name, field):
            if key and key in self._known:
                return self._known[key]
        self.assumed.append(Assumption(name=name, value=usual, because=because))
        return usual


def sentence(name: str, text: str) -> Assumption:
    """An assumption that no option changes, as one sentence."""
    return Assumption(name=name, value=None, because=text, can_be_stated=False)


def shown(value: Any) -> str:  # noqa: ANN401 (any plain value)
    """Lists of lists as `1, 3, 5 / 1, 3, 5`, everything else as it is."""
    if not isinstance(value, list | tuple):
        return str(value)
    is_nested = any(isinstance(each, list | tuple) for each in value)
    return (" / " if is_nested else ", ").join(map(shown, value))
