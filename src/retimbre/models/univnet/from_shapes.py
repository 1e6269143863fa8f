"""UnivNet's sizes from names and shapes; foreign names <-> ours.

Ours are those of TorToiSe, with weight norm named as torch 2 names it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from retimbre.audio.mel import MelSpec, tortoise_univnet_mel100
from retimbre.checkpoint.keys import DIRECTION, LENGTH, older_weight_norm
from retimbre.checkpoint.ledger import Ledger
from retimbre.checkpoint.weight_norm import take_weight_norm, weight_shape
from retimbre.errors import CheckpointError
from retimbre.models.assumptions import Told
from retimbre.models.family import Inferred, Shapes
from retimbre.models.stated import share, whole_numbers
from retimbre.models.univnet.config import PERIOD_CHANNELS, PERIODS, JudgesConfig, UnivNetConfig
from retimbre.models.univnet.magnitudes import RESOLUTIONS
from retimbre.models.votes import count, vote

LAYER = (  # every layer has weight norm
    r"conv_pre|conv_post\.1|res_stack\.\d+\.(?:convt_pre\.1|conv_blocks\.\d+\.1"
    r"|kernel_predictor\.(?:input_conv\.0|residual_convs\.\d+\.[13]|kernel_conv|bias_conv))"
)
JUDGED = r"(?:mrd|mpd)\.discriminators\.\d+\.conv(?:s\.\d+|_post)"
PARTS = (".bias", LENGTH, DIRECTION)
INPUT_CONV = "res_stack.{}.kernel_predictor.input_conv.0"
UPSAMPLING = "res_stack.{}.convt_pre.1"


def fits(shapes: Shapes) -> bool:
    """Has it stages that predict kernels, and upsampling layers among them?"""
    return all(
        any(re.match(rf"res_stack\.\d+\.{part}\.", name) for name in shapes)
        for part in ("kernel_predictor", "convt_pre")
    )


def take(ledger: Ledger) -> None:
    """The names are ours already, but for the ways to store weight norm; discriminators are set aside."""
    take_weight_norm(ledger, f"{LAYER}|{JUDGED}")
    ledger.set_aside(r"(?:mrd|mpd)\..*", "discriminators: only training needs them")


def theirs(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors as TorToiSe's `vocoder.pth` holds them, under `model_g`."""
    return older_weight_norm(tensors)


def mel_of(config: UnivNetConfig) -> MelSpec:
    """TorToiSe's spectrogram, with the network's number of bands and its hop."""
    return replace(tortoise_univnet_mel100(), n_mels=config.n_mels, hop_samples=config.hop_samples)


def config_from(shapes: Shapes, known: Mapping[str, Any]) -> Inferred:
    """The network's sizes, from its shapes and from what somebody states (see `Family`)."""
    told = Told(known)
    n_stages, n_layers = _counts(shapes)
    strides = [weight_shape(shapes, UPSAMPLING.format(stage))[2] // 2 for stage in range(n_stages)]
    powers = [3**layer for layer in range(n_layers)]
    strides = told.value("strides", usual=strides, because="half of each upsampling kernel")
    dilations = told.value(
        "dilations", usual=powers, because=f"powers of 3; the tensors tell only that there are {n_layers}"
    )
    slope = told.value("lReLU_slope", field="slope", usual=0.2, because="as in the released vocoder")
    try:
        config = UnivNetConfig(
            n_mels=_n_mels(shapes, n_stages),
            noise_dim=weight_shape(shapes, "conv_pre")[1],
            dim=vote(shapes, "the channels", dict(_dim_claims(n_stages, n_layers))),
            strides=whole_numbers(strides, "strides", n_stages),
            dilations=whole_numbers(dilations, "dilations", n_layers),
            predictor_kernel=_predictor_kernel(shapes, n_stages),
            slope=share(slope, "lReLU_slope"),
        )
    except ValueError as error:
        raise CheckpointError("the sizes of a UnivNet contradict each other", found=str(error)) from error
    return Inferred(config=config, assumed=tuple(told.assumed))


def judges_config_from(shapes: Shapes, known: Mapping[str, Any]) -> Inferred:
    """The discriminators' sizes, from their shapes and from what our own description says of periods."""
    n_periods = count(shapes, [f"mpd.discriminators.{{}}.conv_post{part}" for part in PARTS])
    if not n_periods or n_periods > len(shapes):
        raise CheckpointError(
            "this file has no complete discriminators",
            expected="tensors named mrd.discriminators.0.… and mpd.discriminators.0.…",
            found=f"{n_periods} of periods",
            do="train with new discriminators, or take a whole file",
        )
    told = Told(known)
    usual = list(PERIODS[:n_periods])
    periods = told.value("periods", usual=usual, because="those of all published discriminators")
    try:
        config = JudgesConfig(
            periods=whole_numbers(periods, "periods", n_periods),
            period_channels=tuple(
                _judges_channels(shapes, "mpd", n_periods, layer) for layer in range(len(PERIOD_CHANNELS))
            ),
            spectrum_channels=_judges_channels(shapes, "mrd", len(RESOLUTIONS), 0),
        )
    except ValueError as error:
        raise CheckpointError("the discriminators' sizes contradict each other", found=str(error)) from error
    return Inferred(config=config, assumed=tuple(told.assumed))


def _judges_channels(shapes: Shapes, kind: str, n_judges: int, layer: int) -> int:
    layers = [f"{kind}.discriminators.{judge}.convs.{layer}" for judge in range(n_judges)]
    claims = {layer + part: 0 for layer in layers for part in PARTS}
    return vote(shapes, f"the channels of layer {layer} of {kind}", claims)


def reference_kwargs(config: UnivNetConfig) -> dict[str, Any]:
    """The arguments of tortoise-tts' `UnivNetGenerator`."""
    return {
        "noise_dim": config.noise_dim,
        "channel_size": config.dim,
        "dilations": list(config.dilations),
        "strides": list(config.strides),
        "lReLU_slope": config.slope,
        "kpnet_conv_size": config.predictor_kernel,
        "hop_length": config.hop_samples,
        "n_mel_channels": config.n_mels,
    }


def _counts(shapes: Shapes) -> tuple[int, int]:
    """How many stages, and how many location-variable layers in each."""
    n_stages = count(shapes, [layer + part for layer in (INPUT_CONV, UPSAMPLING) for part in PARTS])
    n_layers = count(
        shapes,
        [f"res_stack.{stage}.conv_blocks.{{}}.1{part}" for stage in range(n_stages) for part in PARTS],
    )
    if not n_stages or not n_layers or n_stages * n_layers > len(shapes):
        raise CheckpointError(
            "these are not the tensors of a UnivNet",
            expected="stages res_stack.0 …, with as many conv_blocks in each",
            found=f"{n_stages} stages, {n_layers} of these in each, {len(shapes)} tensors",
            do="'retimbre inspect FILE' says what a file holds",
        )
    return n_stages, n_layers


def _n_mels(shapes: Shapes, n_stages: int) -> int:
    claims = {INPUT_CONV.format(stage) + DIRECTION: 1 for stage in range(n_stages)}
    return vote(shapes, "the number of bands", claims)


def _predictor_kernel(shapes: Shapes, n_stages: int) -> int:
    predictors = [f"res_stack.{stage}.kernel_predictor." for stage in range(n_stages)]
    layers = [*(f"residual_convs.{block}.{conv}" for block in range(3) for conv in (1, 3)), "kernel_conv"]
    claims = {predictor + layer + DIRECTION: 2 for predictor in predictors for layer in layers}
    return vote(shapes, "the kernel of the kernel predictors", claims, is_odd=True)


def _dim_claims(n_stages: int, n_layers: int) -> Iterator[tuple[str, int]]:
    for stage in range(n_stages):
        for layer in (UPSAMPLING.format(stage), *_conv_blocks(stage, n_layers)):
            yield from ((layer + part, 0) for part in PARTS)
    yield "conv_post.1" + DIRECTION, 1


def _conv_blocks(stage: int, n_layers: int) -> list[str]:
    return [f"res_stack.{stage}.conv_blocks.{layer}.1" for layer in range(n_layers)]
