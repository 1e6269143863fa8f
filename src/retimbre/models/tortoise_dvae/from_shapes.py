"""Sizes of a discrete variational autoencoder from names and shapes; its author's words <-> ours.

Our names are those of DL-Art-School, where it was trained.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from retimbre.audio.mel import MelSpec, everyvoice_mel, tortoise_mel80
from retimbre.audio.tortoise_norms import tortoise_norms
from retimbre.checkpoint.ledger import Ledger
from retimbre.errors import CheckpointError
from retimbre.models.assumptions import Assumption, Told
from retimbre.models.family import Inferred, Shapes
from retimbre.models.tortoise_dvae.config import ACTIVATIONS, DvaeConfig
from retimbre.models.votes import vote

CODEBOOK = ("codebook.embed", "codebook.cluster_size", "codebook.embed_avg")
FIRST = ("encoder.0.0.weight", "encoder.0.0.bias")
ENDS = ("weight", "bias")
SHORTER = tuple(f"encoder.{{}}.0.{end}" for end in ENDS)
REPEATED = tuple(f"decoder.{{}}.0.conv.{end}" for end in ENDS)
TRANSPOSED = tuple(f"decoder.{{}}.0.{end}" for end in ENDS)
RESBLOCKS = tuple(
    f"{part}.{{}}.net.{place}.{end}" for part in ("encoder", "decoder") for place in (0, 2, 4) for end in ENDS
)
UNKNOWABLE = (
    "decay and epsilon of the running averages in the code book",
    "the spectrogram: that of TorToiSe is taken, divided by its norms",
)


def fits(shapes: Shapes) -> bool:
    """Is there a code book with running averages behind a first layer of this kind?"""
    return any(name in shapes for name in CODEBOOK) and any(name in shapes for name in FIRST)


def take(ledger: Ledger) -> None:
    """Bring the tensors of a file under our names, which are the file's."""
    ledger.drop(
        r"discrete_loss\..*",
        "how evenly codes were used in training: the class of XTTS keeps count, and nothing reads it",
    )


def config_from(shapes: Shapes, known: Mapping[str, Any]) -> Inferred:
    """Every size from names and shapes, by majority; stride and activation from `known`, or assumed."""
    _require_time_alone(shapes)
    _refuse_norms(shapes)
    layout = _layout(shapes)
    told = Told(known)
    try:
        config = DvaeConfig(
            **{size: vote(shapes, size, claims) for size, claims in layout.claims().items()},
            n_layers=layout.n_layers,
            n_resblocks=layout.n_resblocks,
            is_transposed=layout.is_transposed,
            stride=_stride(told),
            activation=_activation(told),
        )
    except ValueError as error:
        raise CheckpointError("the sizes of a dVAE contradict each other", found=str(error)) from error
    return Inferred(config=config, assumed=(*told.assumed, *_missing_norms(config)), unknowable=UNKNOWABLE)


def theirs(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under DL-Art-School's names, which are the same."""
    return dict(tensors)


def reference_kwargs(config: DvaeConfig) -> dict[str, Any]:
    """Arguments of `DiscreteVAE`, which DL-Art-School and XTTS share."""
    return {
        "channels": config.n_mels,
        "normalization": None,
        "positional_dims": 1,
        "num_tokens": config.n_codes,
        "codebook_dim": config.codebook_dim,
        "hidden_dim": config.dim,
        "num_resnet_blocks": config.n_resblocks,
        "kernel_size": config.kernel,
        "num_layers": config.n_layers,
        "use_transposed_convs": config.is_transposed,
        "stride": config.stride,
        "activation": config.activation,
    }


def mel(config: DvaeConfig) -> MelSpec:
    """TorToiSe's spectrogram; with another number of bands nobody knows norms, and nothing is divided."""
    norms = tortoise_norms()
    if config.n_mels == len(norms):
        return tortoise_mel80(norms)
    return replace(everyvoice_mel(n_mels=config.n_mels), drops_last_frame=False)


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Which parts there are, and so under which number each tensor is found."""

    n_layers: int
    n_resblocks: int
    is_transposed: bool

    def claims(self) -> dict[str, dict[str, int]]:
        """Size -> the tensors that have it as an axis, and which axis that is."""
        n_before = 1 + self.n_resblocks  # in the decoder, before its layers
        template = TRANSPOSED[0] if self.is_transposed else REPEATED[0]
        longer = [template.format(n_before + layer) for layer in range(self.n_layers)]
        shorter = [SHORTER[0].format(layer) for layer in range(self.n_layers)]
        encoded, decoded = (
            f"encoder.{self.n_layers + self.n_resblocks}",
            f"decoder.{n_before + self.n_layers}",
        )
        dim_out = 1 if self.is_transposed else 0  # transposed convolutions are stored in × out
        return {
            "n_mels": {FIRST[0]: 1, f"{decoded}.weight": 0, f"{decoded}.bias": 0},
            "n_codes": {"codebook.embed": 1, "codebook.cluster_size": 0, "codebook.embed_avg": 1},
            "codebook_dim": {
                "codebook.embed": 0,
                "codebook.embed_avg": 0,
                f"{encoded}.weight": 0,
                f"{encoded}.bias": 0,
                "decoder.0.weight": 1,
            },
            "dim": {FIRST[0]: 0, FIRST[1]: 0, f"{decoded}.weight": 1, longer[-1]: dim_out},
            "kernel": dict.fromkeys((*shorter, *longer), 2),
        }


def _layout(shapes: Shapes) -> _Layout:
    n_repeated, n_transposed = (
        sum(_n_numbers(shapes, template) for template in kind) for kind in (REPEATED, TRANSPOSED)
    )
    is_transposed = n_transposed > n_repeated
    n_layers = _parts(shapes, (*SHORTER, *(TRANSPOSED if is_transposed else REPEATED)), FIRST[0])
    n_resblocks = _parts(shapes, RESBLOCKS, RESBLOCKS[0].format(n_layers))
    return _Layout(n_layers=n_layers, n_resblocks=n_resblocks, is_transposed=is_transposed)


def _parts(shapes: Shapes, templates: Iterable[str], first: str) -> int:
    """How many parts there are: of each template a number of tensors; the most common number holds."""
    votes = Counter(n for template in templates if (n := _n_numbers(shapes, template)))
    if not votes:
        raise CheckpointError(
            "these weights are no complete dVAE",
            expected=f"a tensor '{first}', and others like it",
            found="none",
            do="ask for the whole file",
        )
    return votes.most_common(1)[0][0]


def _n_numbers(shapes: Shapes, template: str) -> int:
    pattern = re.compile(re.escape(template).replace(r"\{\}", r"\d+"))
    return sum(pattern.fullmatch(name) is not None for name in shapes)


def _require_time_alone(shapes: Shapes) -> None:
    """The same class can read images; its kernels then have one axis more."""
    kernels = [
        name for name in shapes if re.fullmatch(r"(en|de)coder\.\d+(\.\d|\.net\.\d|\.0\.conv)?\.weight", name)
    ]
    flat = [name for name in kernels if len(shapes[name]) == 4]
    if len(flat) > len(kernels) / 2:
        raise CheckpointError(
            "this autoencoder reads images, not spectrograms over time (positional_dims 2)",
            expected=f"a tensor '{flat[0]}' with 3 axes",
            found=f"shape {shapes[flat[0]]}",
        )


def _refuse_norms(shapes: Shapes) -> None:
    """Group norms between the layers; no tensor tells how many groups, and no released file has them."""
    norms = [
        name for name in shapes if re.fullmatch(r"encoder\.\d+\.weight", name) and len(shapes[name]) == 1
    ]
    if norms:
        raise CheckpointError(
            f"'{norms[0]}' is a norm inside the encoder (encoder_norm), which Retimbre does not read",
            expected="an encoder of convolutions alone, as in all released files",
            found=f"shape {shapes[norms[0]]}",
        )


def _stride(told: Told) -> int:
    stride = told.value("stride", usual=2, because="the default of its class, as in all known files")
    if type(stride) is not int or stride < 1:
        raise _nonsense("stride", "a whole number of at least 1", stride)
    return stride


def _activation(told: Told) -> Any:  # noqa: ANN401 (one of two words)
    activation = told.value(
        "activation", usual="relu", because="the default of its class, as in all known files"
    )
    if activation not in ACTIVATIONS:
        raise _nonsense("activation", " or ".join(ACTIVATIONS), activation)
    return activation


def _nonsense(name: str, expected: str, found: object) -> CheckpointError:
    return CheckpointError(
        f"the {name} stated for this dVAE makes no sense",
        expected=expected,
        found=repr(found),
        do=f"leave '--assume {name}=…' away, or give another value",
    )


def _missing_norms(config: DvaeConfig) -> tuple[Assumption, ...]:
    n_known = len(tortoise_norms())
    if config.n_mels == n_known:
        return ()
    because = f"TorToiSe's are for {n_known} bands, so the {config.n_mels} bands are not divided by any"
    return (Assumption(name="mel_norms", value=None, because=because, can_be_stated=False),)
