"""A file with weights -> a ready model of the right family, and back to a file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from retimbre.checkpoint.fill import load_weights
from retimbre.checkpoint.write import write_json, write_safetensors
from retimbre.errors import CheckpointError
from retimbre.models.adapted import adapted
from retimbre.models.adapter import Adapter
from retimbre.models.description import Description
from retimbre.models.explain import Explained, explain_file
from retimbre.models.family import Stage
from retimbre.models.origin import METADATA_KEY
from retimbre.models.unfilled import unfilled_network

ENDING = ".safetensors"


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model that is ready to use, and what is known of it.

    Args:
        model: In evaluation mode, on its device.
        stage: Which part of a chain it plays.
        discriminators: Their tensors under our names; empty where the file has none.
    """

    model: nn.Module
    description: Description
    path: Path
    stage: Stage
    discriminators: Mapping[str, Tensor] = field(default_factory=dict)


def load_model(
    path: Path | str,
    *,
    device: str | torch.device = "cpu",
    assume: Mapping[str, Any] | None = None,
    adapters: Sequence[Adapter] = (),
) -> Loaded:
    """The model in a file of Retimbre, EveryVoice, the original HiFi-GAN or TorToiSe.

    Args:
        assume: Values that no tensor tells, by the names that 'retimbre inspect' gives, instead of the usual.
        adapters: What is folded into the weights, from `read_adapter`.

    Raises:
        CheckpointError: if the file is damaged, unsafe, of no known family or contradicts itself; or if it is
            not the base of the adapters.
    """
    path = Path(path)
    found = adapted(explain_file(path, stated=assume), adapters)
    try:
        return loaded(found, device=device)
    except CheckpointError as error:
        raise error.of(path) from error


def loaded(found: Explained, *, device: str | torch.device = "cpu") -> Loaded:
    """The model in a file that is explained already."""
    model = unfilled_network(found.family.build, found.config)
    load_weights(model, found.weights())
    return Loaded(
        model=model.to(device).eval(),
        description=found.description,
        path=found.contents.path,
        stage=found.family.stage,
        discriminators=found.discriminators(),
    )


def save_model(
    path: Path | str, model: nn.Module, description: Description, extra: Mapping[str, Tensor] | None = None
) -> Path:
    """Write weights and description to `path` (ending in .safetensors), the latter also as JSON beside.

    Args:
        extra: Further tensors, such as a vocoder's discriminators.
    """
    return save_tensors(path, {**model.state_dict(), **(extra or {})}, description)


def save_tensors(
    path: Path | str,
    tensors: Mapping[str, Tensor],
    description: Description,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """As `save_model`, without a network.

    Args:
        metadata: Further text for the head of the file.
    """
    path = Path(path)
    path = path if path.suffix == ENDING else path.with_name(path.name + ENDING)
    described = description.to_dict()
    head = {METADATA_KEY: json.dumps(described), "format": "pt", **(metadata or {})}
    write_safetensors(path, tensors, head)
    write_json(path.with_suffix(".json"), described)
    return path
