"""The sizes of TorToiSe's HiFi-GAN decoder from names and shapes; foreign names <-> ours.

Ours are those of TorToiSe, with weight norm named as torch 2 names it.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor

from retimbre.checkpoint.keys import DIRECTION, LENGTH, older_weight_norm
from retimbre.checkpoint.ledger import Ledger
from retimbre.checkpoint.weight_norm import take_weight_norm, weight_shape
from retimbre.errors import CheckpointError
from retimbre.models.assumptions import Told
from retimbre.models.family import Inferred, Shapes
from retimbre.models.stated import rows_of_numbers, whole_numbers
from retimbre.models.tortoise_hifigan.config import LatentDecoderConfig
from retimbre.models.votes import count, vote

BLOCK = r"resblocks\.\d+\.convs[12]?\.\d+"
LAYER = rf"conv_pre|conv_post|ups\.\d+|{BLOCK}"  # these have weight norm
PARTS = (".bias", LENGTH, DIRECTION)


def fits(shapes: Shapes) -> bool:
    """Is it a HiFi-GAN that is told the voice at its beginning alone? (XTTS's is told it at every stage.)"""
    parts = {name.split(".")[0] for name in shapes}
    return {"cond_layer", "conv_pre", "ups", "resblocks"} <= parts and "conds" not in parts


def take(ledger: Ledger) -> None:
    """The names are ours already, but for the ways to store weight norm."""
    take_weight_norm(ledger, LAYER)


def theirs(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors as TorToiSe's `hifidecoder.pth` holds them."""
    return older_weight_norm(tensors)


def config_from(shapes: Shapes, known: Mapping[str, Any]) -> Inferred:
    """The network's sizes, from its shapes and from what somebody states (see `Family`)."""
    told, found = Told(known), _Layers(shapes)
    kernels = [weight_shape(shapes, f"ups.{stage}")[2] for stage in range(found.n_stages)]
    rates = told.value(
        "upsample_factors",
        field="upsample_rates",
        usual=[kernel // 2 for kernel in kernels],
        because="half of each upsampling kernel",
    )
    usual = [list(range(1, 2 * found.n_convs, 2))] * found.n_blocks
    dilations = told.value(
        "resblock_dilation_sizes",
        field="resblock_dilations",
        usual=usual,
        because=f"as in the released decoder; the tensors tell only that each block has {found.n_convs}",
    )
    rates = whole_numbers(rates, "upsample_factors", found.n_stages)
    try:
        config = LatentDecoderConfig(
            latent_dim=weight_shape(shapes, "conv_pre")[1],
            conditioning_dim=vote(shapes, "the width of a voice", {"cond_layer.weight": 1}),
            resblock=found.resblock,
            upsample_rates=rates,
            upsample_kernels=tuple(map(_possible_kernel, kernels, rates)),
            initial_channels=_initial_channels(shapes),
            resblock_kernels=tuple(map(found.kernel, range(found.n_blocks))),
            resblock_dilations=rows_of_numbers(
                dilations, "resblock_dilation_sizes", found.n_blocks, found.n_convs
            ),
        )
    except ValueError as error:
        raise CheckpointError("the sizes of a decoder contradict each other", found=str(error)) from error
    return Inferred(config=config, assumed=tuple(told.assumed))


def reference_kwargs(config: LatentDecoderConfig) -> dict[str, Any]:
    """The arguments of tortoise-tts' `HifiganGenerator`."""
    return {
        "in_channels": config.latent_dim,
        "out_channels": 1,
        "resblock_type": config.resblock,
        "resblock_dilation_sizes": [list(row) for row in config.resblock_dilations],
        "resblock_kernel_sizes": list(config.resblock_kernels),
        "upsample_kernel_sizes": list(config.upsample_kernels),
        "upsample_initial_channel": config.initial_channels,
        "upsample_factors": list(config.upsample_rates),
        "cond_channels": config.conditioning_dim,
    }


class _Layers:
    """How many parts there are of each kind, by majority."""

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        n_first = sum(".convs1." in name for name in shapes)
        self.resblock: Literal["1", "2"] = "1" if n_first > sum(".convs." in name for name in shapes) else "2"
        self.convs = ("convs1", "convs2") if self.resblock == "1" else ("convs",)
        self.n_stages = _n_stages(shapes)
        n_blocks = count(
            shapes, [f"resblocks.{{}}.{convs}.0{part}" for convs in self.convs for part in PARTS]
        )
        self.n_convs = count(
            shapes,
            [
                f"resblocks.{block}.{convs}.{{}}{part}"
                for block in range(n_blocks)
                for convs in self.convs
                for part in PARTS
            ],
        )
        if not self.n_stages or not self.n_convs or n_blocks * self.n_convs > len(shapes):
            raise CheckpointError(
                "these are not the tensors of TorToiSe's HiFi-GAN decoder",
                expected="layers ups.0 … and the same number of resblocks for each of them",
                found=f"{self.n_stages} upsampling stages and {n_blocks} residual blocks",
                do="'retimbre inspect FILE' says what a file holds",
            )
        self.n_blocks = math.ceil(
            n_blocks / self.n_stages
        )  # of each stage; where one is missing, it is named

    def kernel(self, block: int) -> int:
        """The kernel of each stage's residual block of this number."""
        numbers = [stage * self.n_blocks + block for stage in range(self.n_stages)]
        layers = [
            f"resblocks.{number}.{convs}.{conv}"
            for number in numbers
            for convs in self.convs
            for conv in range(self.n_convs)
        ]
        claims = {layer + DIRECTION: 2 for layer in layers}
        return vote(self._shapes, f"the kernel of residual block {block}", claims, is_odd=True)


def _n_stages(shapes: Shapes) -> int:
    """As many as there are upsampling layers, and widths of residual blocks, which each stage halves."""
    numbered = [count(shapes, [f"ups.{{}}{part}"]) for part in PARTS]
    widths = [
        len(
            {
                shape[0]
                for name, shape in shapes.items()
                if shape and re.fullmatch(BLOCK + re.escape(part), name)
            }
        )
        for part in PARTS
    ]
    claims = Counter(n for n in (*numbered, *widths) if n)
    return claims.most_common(1)[0][0] if claims else 0


def _possible_kernel(found: int, rate: int) -> int:
    """Rate plus an even number: with any other a column would not become `rate`; then it is damaged."""
    return found - (found - rate) % 2


def _initial_channels(shapes: Shapes) -> int:
    claims = dict.fromkeys(("conv_pre.bias", "conv_pre" + LENGTH, "conv_pre" + DIRECTION), 0)
    claims |= dict.fromkeys(
        ("ups.0" + LENGTH, "ups.0" + DIRECTION, "cond_layer.weight", "cond_layer.bias"), 0
    )
    return vote(shapes, "the channels before the first stage", claims)
