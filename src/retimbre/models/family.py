"""Family: what every kind of model offers, so that a file with weights can be understood and loaded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

Shapes = Mapping[str, tuple[int, ...]]
Stage = Literal["text-to-spec", "spec-to-wav"]


@dataclass(frozen=True, kw_only=True)
class Inferred:
    """The sizes of a network, and which of them no tensor and no plain value of the file told.

    Args:
        config: The family's own config.
        assumed: One sentence for each value that was assumed, for instance "2 attention heads".
    """

    config: Any
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Family:
    """A kind of model: how to recognise its tensors, size it, build it and name its parts.

    Args:
        name: As in the folder's name, for instance `hifigan`.
        stage: The part of a chain that it plays.
        fits: Do these names and shapes (ours, see `ours`) belong to this family?
        config_from: Sizes from names and shapes (ours) and from the plain values beside them. Those are
            either our own config as a dict (`asdict`), EveryVoice's `hyper_parameters`, or the `config.json`
            of the original HiFi-GAN; all may be partial or empty. What the tensors tell wins.
        build: A network with new weights.
        ours: The weights of a file under our names: prefixes and old weight norms are resolved, and what is
            no part of the network (discriminators, windows) is left out.
        theirs: Back again: our tensors under the names that EveryVoice reads.
    """

    name: str
    stage: Stage
    fits: Callable[[Shapes], bool]
    config_from: Callable[[Shapes, Mapping[str, Any]], Inferred]
    build: Callable[[Any], nn.Module]
    ours: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    theirs: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
