"""Family: what every kind of model offers, so that a file with weights can be understood and loaded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor, nn

from retimbre.audio.mel import MelSpec
from retimbre.checkpoint.ledger import Ledger
from retimbre.models.assumptions import Assumption

WRAPPERS = {"module.": "DataParallel", "_orig_mod.": "torch.compile"}
Shapes = Mapping[str, tuple[int, ...]]
Stage = Literal[
    "text-to-spec",
    "spec-to-wav",
    "text-to-codes",
    "codes-to-spec",
    "wav-to-codes",
    "codes-to-wav",
    "ranking",
    "voice",
]


@dataclass(frozen=True, kw_only=True)
class Inferred:
    """The sizes of a network, and which of them no tensor and no plain value of the file told.

    Args:
        config: The family's own config.
        assumed: One for each value that was assumed.
        unknowable: What no tensor tells and what makes no difference to the weights, a phrase each.
        reference: Arguments of the family's tool that are no sizes of the network, as the file tells them;
            nested like `Family.reference_kwargs`, which has the tool's own defaults for them.
    """

    config: Any
    assumed: tuple[Assumption, ...] = ()
    unknowable: tuple[str, ...] = ()
    reference: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Opponents:
    """The discriminators that a vocoder of a family is trained against, which `take` sets aside.

    Args:
        config_from: Their sizes, as `Family.config_from`; the config has `periods`, which no tensor tells.
        build: A set of them with new weights; its `state_dict` has exactly our names.
    """

    config_from: Callable[[Shapes, Mapping[str, Any]], Inferred]
    build: Callable[[Any], nn.Module]


@dataclass(frozen=True, kw_only=True)
class Family:
    """A kind of model: how to recognise its tensors, size it, build it and name its parts.

    Args:
        name: As in the folder's name, for instance `hifigan`.
        stage: The part of a chain that it plays.
        fits: Do these names and shapes, as in the file but without prefixes of wrappers, belong to it? Two or
            three telling names are enough: a damaged file should still be recognised, and then be refused by
            the name of the tensor that is wrong.
        take: Brings the tensors of a file under our names: what is renamed, dropped or set aside, and why.
        config_from: Sizes from names and shapes (ours) and from the plain values beside them. Those are
            either our own config as a dict (`asdict`), what the user states, EveryVoice's `hyper_parameters`,
            or the `config.json` of the original HiFi-GAN; all may be partial or empty. What the tensors tell
            wins. Where a tensor that it needs is missing or has another number of axes, CheckpointError
            names it.
        build: A network with new weights; its `state_dict` has exactly our names.
        theirs: Our tensors under the names of the tool that the family comes from.
        reference_kwargs: What that tool calls the sizes: arguments with which it would build this network.
        mel: The spectrogram that the family always reads or writes, where the tensors' file never says.
        tool: Who wrote files of this family, where nothing in them says.
        opponents: Discriminators that a file may hold beside a vocoder.
    """

    name: str
    stage: Stage
    fits: Callable[[Shapes], bool]
    take: Callable[[Ledger], None]
    config_from: Callable[[Shapes, Mapping[str, Any]], Inferred]
    build: Callable[[Any], nn.Module]
    theirs: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    reference_kwargs: Callable[[Any], dict[str, Any]]
    mel: Callable[[Any], MelSpec] | None = None
    tool: str = ""
    opponents: Opponents | None = None

    def ledger_of(self, tensors: Mapping[str, Tensor]) -> Ledger:
        """The tensors of a file on their way to our names, as far as `take` and the wrappers' prefixes go."""
        ledger = unwrapped(tensors)
        self.take(ledger)
        return ledger


def unwrapped(tensors: Mapping[str, Tensor]) -> Ledger:
    """Without the prefixes of wrappers, where all names have one."""
    ledger = Ledger(tensors)
    for _ in range(2):  # in either order
        for prefix, wrapper in WRAPPERS.items():
            ledger.strip(prefix, f"prefix of {wrapper}")
    return ledger


def unprefixed(name: str) -> str:
    """One name without the prefixes of wrappers."""
    for _ in range(2):  # in either order
        for prefix in WRAPPERS:
            name = name.removeprefix(prefix)
    return name
