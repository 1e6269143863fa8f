"""What a checkpoint says of itself, and the parts that its weights are in."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retimbre.checkpoint.read import read

DEPTH = 3  # names of a part, as in encoder.conformer_layers.0
LEFT_OUT = ("callbacks", "loops")  # of Lightning: folders and counters of the run


@dataclass(frozen=True, kw_only=True)
class Outline:
    """Plain values and parts.

    Args:
        config: Everything in the file that is no tensor.
        parts: Name of a part -> numbers in its tensors, in the order of the file.
    """

    config: dict[str, Any]
    parts: dict[str, int]

    def config_text(self) -> str:
        """As JSON."""
        return json.dumps(self.config, indent=2, ensure_ascii=False, default=str)

    def parts_text(self) -> str:
        """A line for each part, then their sum."""
        total = sum(self.parts.values())
        rows = [*self.parts.items(), ("in all", total)]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {n:>13,}" for name, n in rows)


def outline(path: Path) -> Outline:
    """What the file at `path` holds; nothing in it is run."""
    contents = read(path)
    config = {name: value for name, value in contents.values.items() if name not in LEFT_OUT}
    config |= {name: _readable(text) for name, text in contents.metadata.items()}
    parts: Counter[str] = Counter()
    for name, tensor in contents.tensors.items():
        parts[".".join(name.split(".")[:-1][:DEPTH]) or name] += tensor.numel()
    return Outline(config=config, parts=dict(parts))


def _readable(text: str) -> Any:  # noqa: ANN401 - JSON may hold anything
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
