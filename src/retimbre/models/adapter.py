"""Adapters in a file: small matrices for some layers of a network, and over which base they were learnt.

    adapter.safetensors
        base_model.model.<layer>.lora_A.weight    [rank dim_in]
        base_model.model.<layer>.lora_B.weight    [dim_out rank]
        in its head, `retimbre_adapter`           an AdapterDescription as JSON; adapter.json holds it too

The names are those of peft (https://github.com/huggingface/peft), so that no family takes them for its own.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from retimbre.checkpoint.digest import sha256_of
from retimbre.checkpoint.read import Contents, read
from retimbre.checkpoint.write import write_json, write_safetensors
from retimbre.errors import CheckpointError
from retimbre.nn.lora import Adapters

ADAPTER_KEY = "retimbre_adapter"  # in the head of the file
FORMAT_VERSION = 1
ENDING = ".safetensors"
PREFIX, DOWN, UP = "base_model.model.", ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True, kw_only=True)
class BaseFile:
    """The checkpoint that adapters were learnt over.

    Args:
        file: Its name.
        sha256: Of the file.
        weights_sha256: Of its weights, whatever the format: that of a converted file is the same.
    """

    file: str
    sha256: str
    weights_sha256: str


@dataclass(frozen=True, kw_only=True)
class AdapterDescription:
    """What adapters are.

    Args:
        family: Of the base.
        rank: Rows and columns between the two small matrices of a layer.
        alpha: Their product is multiplied by alpha / rank.
        targets: The groups of layers that they were asked for.
        step: Steps of their training.
        lineage: Where they come from: the base's own lineage, data, contact.
    """

    family: str
    base: BaseFile
    rank: int
    alpha: float
    targets: tuple[str, ...] = ()
    step: int = 0
    lineage: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` gives the same description back."""
        return {"format_version": FORMAT_VERSION, **asdict(self), "targets": list(self.targets)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "AdapterDescription":
        """What `to_dict` wrote, also after a journey through JSON."""
        if values.get("format_version") != FORMAT_VERSION:
            raise CheckpointError(
                "the description of these adapters cannot be read",
                expected=f"format_version {FORMAT_VERSION}",
                found=str(values.get("format_version")),
                do="update Retimbre",
            )
        return cls(
            family=str(values["family"]),
            base=BaseFile(**{name: str(values["base"][name]) for name in BaseFile.__dataclass_fields__}),
            rank=int(values["rank"]),
            alpha=float(values["alpha"]),
            targets=tuple(map(str, values["targets"])),
            step=int(values["step"]),
            lineage=dict(values["lineage"]),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Adapter:
    """The adapters in a file.

    Args:
        pairs: Name of a layer of the base -> its small matrices A and B.
        strength: What they add is multiplied by it: 1 as they were learnt, 0 not at all.
    """

    path: Path
    description: AdapterDescription
    pairs: Mapping[str, tuple[Tensor, Tensor]] = field(repr=False)
    strength: float = 1.0

    @property
    def factor(self) -> float:
        """What the product of two small matrices is multiplied by."""
        return self.strength * self.description.alpha / self.description.rank

    def facts(self) -> dict[str, Any]:
        """What travels with a network that they were folded into."""
        described = self.description
        return {
            "file": self.path.name,
            "sha256": sha256_of(self.path),
            "strength": self.strength,
            "step": described.step,
            "lineage": dict(described.lineage),
        }


def write_adapter(path: Path, adapters: Adapters, description: AdapterDescription) -> Path:
    """Write the small matrices and their description to `path`, the latter also as JSON beside it."""
    path = path if path.suffix == ENDING else path.with_name(path.name + ENDING)
    tensors = {}
    for name, pair in adapters.by_layer().items():
        tensors[f"{PREFIX}{name}{DOWN}"] = pair.lora_A.weight
        tensors[f"{PREFIX}{name}{UP}"] = pair.lora_B.weight
    described = description.to_dict()
    write_safetensors(path, tensors, {ADAPTER_KEY: json.dumps(described), "format": "pt"})
    write_json(path.with_suffix(".json"), described)
    return path


def read_adapter(path: Path | str, *, strength: float = 1.0) -> Adapter:
    """The adapters in a file.

    Raises:
        CheckpointError: It cannot be read, is something else, or is damaged.
    """
    contents = read(Path(path))
    if not is_adapter(contents):
        raise CheckpointError(
            f"{path} holds no adapters",
            expected="a file that 'training.lora' wrote",
            do="see what 'retimbre inspect FILE' says about it",
        )
    try:
        described = described_in(contents)
        return Adapter(path=contents.path, description=described, pairs=_pairs(contents), strength=strength)
    except CheckpointError as error:
        raise error.of(contents.path) from error


def is_adapter(contents: Contents) -> bool:
    """Does the head of the file say so?"""
    return ADAPTER_KEY in contents.metadata


def described_in(contents: Contents) -> AdapterDescription:
    """What the head of the file says of its adapters."""
    try:
        return AdapterDescription.from_dict(json.loads(contents.metadata[ADAPTER_KEY]))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        found = f"{type(error).__name__}: {str(error)[:120]}"
        raise CheckpointError("the description of these adapters is damaged", found=found) from error


def _pairs(contents: Contents) -> dict[str, tuple[Tensor, Tensor]]:
    """Both matrices of each layer; nothing else may be in the file."""
    tensors = contents.tensors
    layers = dict.fromkeys(name.removeprefix(PREFIX).removesuffix(DOWN).removesuffix(UP) for name in tensors)
    wanted = {name for layer in layers for name in (f"{PREFIX}{layer}{DOWN}", f"{PREFIX}{layer}{UP}")}
    if wanted != set(tensors) or not wanted:
        odd = sorted(wanted ^ set(tensors))
        raise CheckpointError(
            "these adapters are not complete",
            expected=f"{DOWN[1:]} and {UP[1:]} of each layer",
            found=f"only one of {', '.join(odd[:3])}" if odd else "nothing",
        )
    return {layer: (tensors[f"{PREFIX}{layer}{DOWN}"], tensors[f"{PREFIX}{layer}{UP}"]) for layer in layers}
