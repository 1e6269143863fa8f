"""HiFi-GAN's sizes from names and shapes; foreign names <-> ours.

Ours are EveryVoice's: the generator's without its prefix, the discriminators' with `mpd.` or `msd.`.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from retimbre.checkpoint import keys
from retimbre.checkpoint.ledger import Ledger
from retimbre.checkpoint.weight_norm import take_weight_norm, weight_shape
from retimbre.errors import CheckpointError
from retimbre.models.assumptions import Assumption
from retimbre.models.family import Inferred, Shapes, unwrapped
from retimbre.models.hifigan.config import DiscriminatorConfig, GeneratorConfig
from retimbre.models.votes import count, vote

Value = TypeVar("Value")

GENERATOR = "generator."
DISCRIMINATORS = ("mpd.", "msd.")
FIXED = ("spectral_transform.", "inverse_spectral_transform.")  # windows and filters: computed, never learned
LAYER = r"conv_pre|conv_post|ups\.\d+|resblocks\.\d+\.convs[12]?\.\d+"  # these have weight norm
JUDGED = r"(?:mpd|msd)\.discriminators\.\d+\.conv(?:s\.\d+|_post)"  # and these, or a spectral one
PARTS = ("conv_pre", "ups", "resblocks", "conv_post")
PERIODS = (2, 3, 5, 7, 11)
V3_KERNELS, V3_DILATIONS = (3, 5, 7), ((1, 2), (2, 6), (3, 12))  # as published, residual blocks of kind "2"
STATED = ("upsample_rates", "resblock_dilation_sizes", "periods")  # by the user
JUDGES = ("msd_layers", "mpd_layers")  # EveryVoice's words for how many scales, and which periods
UNKNOWABLE = (
    "msd_layers and mpd_layers: the discriminators are not in the file; EveryVoice's usual ones are named",
)
LARGEST = 1 << 16  # of any number beside the tensors
WITNESSES = (".bias", keys.LENGTH, keys.DIRECTION)
ACTIVATION = "original_hifigan_leaky_relu"


def take(ledger: Ledger) -> None:
    """Our names are EveryVoice's, without its prefix; discriminators are set aside."""
    ledger.rename_all(lambda name: name.removeprefix(GENERATOR), "EveryVoice's prefix of the generator")
    take_weight_norm(ledger, f"{LAYER}|{JUDGED}")
    ledger.set_aside(
        rf"({'|'.join(map(re.escape, DISCRIMINATORS))}).*", "discriminators: only training needs them"
    )
    ledger.drop(rf"({'|'.join(map(re.escape, FIXED))}).*", "windows and filters: computed, never learned")


def theirs(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors, with or without discriminators, under the names that EveryVoice reads."""
    return {
        name if name.startswith(DISCRIMINATORS) else GENERATOR + name: tensor
        for name, tensor in tensors.items()
    }


def discriminator_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The discriminators' weights of a file under our names; empty where it has none."""
    ledger = unwrapped(tensors)
    take(ledger)
    return ledger.only_aside().tensors


def istft_window(config: GeneratorConfig) -> dict[str, Tensor]:
    """The constant that EveryVoice expects in a full checkpoint of its inverse-STFT variant."""
    if config.istft_n_fft_samples is None:
        return {}
    return {"inverse_spectral_transform.window": torch.hann_window(config.istft_n_fft_samples)}


def fits(shapes: Shapes) -> bool:
    """Are these the tensors of a generator of spectrograms, and of nothing like it?"""
    parts = {name.removeprefix(GENERATOR).split(".")[0] for name in shapes}
    is_like_it = any(name.startswith("cond") and name not in PARTS for name in parts) or any(
        ".activations." in name for name in shapes
    )
    return {"ups", "resblocks"} <= parts and not is_like_it


def model_section(config: GeneratorConfig) -> dict[str, Any]:
    """What EveryVoice calls the sizes: with these values its `model` section builds the same network."""
    return {
        "resblock": config.resblock,
        "upsample_rates": list(config.upsample_rates),
        "upsample_kernel_sizes": list(config.upsample_kernels),
        "upsample_initial_channel": config.initial_channels,
        "resblock_kernel_sizes": list(config.resblock_kernels),
        "resblock_dilation_sizes": [list(dilations) for dilations in config.resblock_dilations],
        "activation_function": f"everyvoice.utils.{ACTIVATION}",
        "istft_layer": config.is_istft,
        "msd_layers": 3,
        "mpd_layers": list(PERIODS),
    }


def config_from(shapes: Shapes, known: Mapping[str, Any]) -> Inferred:
    """The generator's sizes, from its shapes and from the plain values beside them (see `Family`)."""
    found = _Layers(shapes)
    beside = _beside(known)
    _require_known_activation(beside)
    assumed: list[Assumption] = []
    kernels = tuple(weight_shape(shapes, f"ups.{stage}")[2] for stage in range(found.n_stages))
    rates = _rates(beside, kernels, assumed)
    _require_even_rest(shapes, rates, kernels)
    block_kernels = tuple(found.block_kernel(block) for block in range(found.n_blocks))
    n_post = found.outputs("conv_post")
    try:
        config = GeneratorConfig(
            n_mels=weight_shape(shapes, "conv_pre")[1],
            resblock=found.resblock,
            upsample_rates=rates,
            upsample_kernels=kernels,
            initial_channels=found.initial_channels(),
            resblock_kernels=block_kernels,
            resblock_dilations=_dilations(beside, found, block_kernels, assumed),
            istft_n_fft_samples=n_post - 2 if n_post > 1 else None,
        )
    except ValueError as error:
        raise CheckpointError("a generator's sizes contradict each other", found=str(error)) from error
    reference = _judges_section(beside)
    return Inferred(
        config=config,
        assumed=tuple(assumed),
        unknowable=() if len(reference) == len(JUDGES) else UNKNOWABLE,
        reference=reference,
    )


def discriminator_config_from(shapes: Shapes, known: Mapping[str, Any]) -> Inferred:
    """The discriminators' sizes; `shapes` as `discriminator_tensors` names them."""
    n_periods, n_scales = _count(shapes, "mpd.discriminators."), _count(shapes, "msd.discriminators.")
    if not n_periods or not n_scales:
        raise CheckpointError(
            "this file has no complete discriminators",
            expected="tensors named mpd.discriminators.0.… and msd.discriminators.0.…",
            found=f"{n_periods} of periods and {n_scales} of scales",
            do="train with new discriminators, or take a full checkpoint",
        )
    periods = _known_periods(_beside(known), n_periods)
    usual = Assumption(
        name="periods", value=list(PERIODS[:n_periods]), because="those of all published discriminators"
    )
    period_channels = tuple(_judges_channels(shapes, "mpd", n_periods, layer) for layer in range(5))
    scale_channels = tuple(_judges_channels(shapes, "msd", n_scales, layer) for layer in range(7))
    inputs = (1, *scale_channels[:-1])
    of_group = tuple(
        vote(shapes, "the channels in a group", _weights("msd", n_scales, layer, axis=1))
        for layer in range(7)
    )
    try:
        config = DiscriminatorConfig(
            periods=periods or PERIODS[:n_periods],
            n_scales=n_scales,
            period_channels=period_channels,
            scale_channels=scale_channels,
            scale_groups=tuple(n_in // n for n_in, n in zip(inputs, of_group, strict=True)),
        )
    except ValueError as error:
        raise CheckpointError("the discriminators' sizes contradict each other", found=str(error)) from error
    return Inferred(
        config=config,
        assumed=() if periods else (usual,),
        reference={"msd_layers": n_scales, "mpd_layers": list(config.periods)},
    )


def _judges_channels(shapes: Shapes, kind: str, n_judges: int, layer: int) -> int:
    biases = {f"{kind}.discriminators.{judge}.convs.{layer}.bias": 0 for judge in range(n_judges)}
    weights = _weights(kind, n_judges, layer, axis=0)
    return vote(shapes, f"the channels of layer {layer} of {kind}", {**biases, **weights})


def _weights(kind: str, n_judges: int, layer: int, *, axis: int) -> dict[str, int]:
    """Of one layer of all discriminators; the first of scales has a spectral norm."""
    layers = [f"{kind}.discriminators.{judge}.convs.{layer}" for judge in range(n_judges)]
    return {name: axis for layer in layers for name in (layer + keys.DIRECTION, f"{layer}.weight_orig")}


class _Layers:
    """A generator's layers by name: the shape of each weight, and how many there are."""

    def __init__(self, named: Shapes) -> None:
        self._named = named
        self.resblock: Literal["1", "2"] = "1" if any(".convs1." in name for name in named) else "2"
        self.convs = "convs1" if self.resblock == "1" else "convs"
        # Where weight norm was folded, length and direction are one witness: both parts must be asked alone.
        self.n_stages = max(count(named, [f"ups.{{}}{part}"]) for part in (".bias", keys.DIRECTION))
        kinds = [f"{convs}.0{part}" for convs in ("convs", "convs1", "convs2") for part in WITNESSES]
        n_resblocks = count(named, [f"resblocks.{{}}.{kind}" for kind in kinds])
        if not self.n_stages or not n_resblocks:
            raise CheckpointError(
                "these are not the tensors of a HiFi-GAN generator",
                expected="layers ups.0 … and the same number of resblocks for each of them",
                found=f"{self.n_stages} upsampling stages and {n_resblocks} residual blocks",
                do="'retimbre inspect FILE' says what a file holds",
            )
        self.n_blocks = math.ceil(n_resblocks / self.n_stages)  # where one is missing, it is named
        self.n_convs = count(
            named,
            [
                f"resblocks.{block}.{self.convs}.{{}}{part}"
                for block in range(n_resblocks)
                for part in WITNESSES
            ],
        )

    def initial_channels(self) -> int:
        first = {f"ups.0{keys.LENGTH}": 0, f"ups.0{keys.DIRECTION}": 0}
        return vote(self._named, "the first channels", {**self._claims("conv_pre"), **first})

    def outputs(self, layer: str) -> int:
        claims = {layer + keys.DIRECTION: 0, f"{layer}.bias": 0}  # the length may be made of the direction
        return vote(self._named, f"the outputs of {layer}", claims)

    def block_kernel(self, block: int) -> int:
        """Of the so-manieth residual block of every stage."""
        blocks = range(block, self.n_stages * self.n_blocks, self.n_blocks)
        claims = {
            f"resblocks.{number}.{self.convs}.{conv}{keys.DIRECTION}": 2
            for number in blocks
            for conv in range(self.n_convs)
        }
        return vote(self._named, f"the kernel of residual block {block}", claims, is_odd=True)

    def _claims(self, layer: str) -> dict[str, int]:
        return {layer + keys.LENGTH: 0, layer + keys.DIRECTION: 0, f"{layer}.bias": 0}


def _require_even_rest(shapes: Shapes, rates: tuple[int, ...], kernels: tuple[int, ...]) -> None:
    for stage, (rate, kernel) in enumerate(zip(rates, kernels, strict=True)):
        if kernel < rate or (kernel - rate) % 2:
            raise CheckpointError(
                f"no upsampling by {rate} has such a kernel",
                expected=f"{rate} plus an even number",
                found=f"{kernel} in 'ups.{stage}{keys.DIRECTION}'",
                do="state the rates, if this kernel is right: --assume upsample_rates=[…]",
            )


def _count(names: Mapping[str, object], prefix: str) -> int:
    return len({name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix)})


def _beside(known: Mapping[str, Any]) -> Mapping[str, Any]:
    """The model's part of the plain values: EveryVoice has it two levels deep."""
    config = known.get("config")
    model = config.get("model") if isinstance(config, Mapping) else None
    stated = {name: known[name] for name in (*STATED, *JUDGES) if name in known}
    return {**model, **stated} if isinstance(model, Mapping) else known


def _require_known_activation(beside: Mapping[str, Any]) -> None:
    name = str(beside.get("activation_function", ACTIVATION))
    if name.split(".")[-1] != ACTIVATION:
        raise CheckpointError(
            "this generator was trained with another activation function",
            expected=f"everyvoice.utils.{ACTIVATION}",
            found=name,
            do="use a vocoder with the usual one; with this one it would sound wrong",
        )


def _rates(beside: Mapping[str, Any], kernels: tuple[int, ...], assumed: list[Assumption]) -> tuple[int, ...]:
    if "upsample_rates" not in beside:
        rates = tuple(kernel // 2 for kernel in kernels)
        assumed.append(Assumption(name="upsample_rates", value=list(rates), because="half of each kernel"))
        return rates
    rates = _numbers(beside["upsample_rates"], "upsample_rates")
    if len(rates) != len(kernels):
        raise _contradiction("upsample_rates", f"{len(kernels)} numbers", _listed(rates))
    return rates


def _dilations(
    beside: Mapping[str, Any], found: _Layers, kernels: tuple[int, ...], assumed: list[Assumption]
) -> tuple[tuple[int, ...], ...]:
    given = beside.get("resblock_dilation_sizes", beside.get("resblock_dilations"))
    if given is None:
        is_v3 = found.resblock == "2" and found.n_convs == 2 and kernels == V3_KERNELS
        usual = tuple(range(1, 2 * found.n_convs, 2))  # 1, 3, 5, or 1, 3 where there are two
        dilations = V3_DILATIONS if is_v3 else (usual,) * len(kernels)
        because = "as published for such residual blocks"
        assumed.append(
            Assumption(name="resblock_dilation_sizes", value=list(map(list, dilations)), because=because)
        )
        return dilations
    rows = given if isinstance(given, list | tuple) else ()
    # EveryVoice gives three dilations for either kind of block; the second kind uses the first two.
    n_read = found.n_convs if found.resblock == "2" else None
    dilations = tuple(_numbers(row, "resblock_dilations")[:n_read] for row in rows)
    if len(dilations) != len(kernels) or any(len(row) != found.n_convs for row in dilations):
        raise _contradiction(
            "resblock_dilations", f"{len(kernels)} lists of {found.n_convs} numbers", str(given)[:80]
        )
    return dilations


def _known_periods(beside: Mapping[str, Any], n_periods: int) -> tuple[int, ...]:
    given = beside.get("periods", beside.get("mpd_layers"))
    if given is None:
        return ()
    periods = _numbers(given, "mpd_layers")
    if len(periods) != n_periods:
        raise _contradiction("mpd_layers", f"{n_periods} numbers", _listed(periods))
    return periods


def _judges_section(beside: Mapping[str, Any]) -> dict[str, Any]:
    """What is told of discriminators, in EveryVoice's words, as far as it makes sense."""
    n_scales, periods = beside.get("msd_layers"), beside.get("mpd_layers", beside.get("periods"))
    told: dict[str, Any] = {"msd_layers": n_scales} if type(n_scales) is int else {}
    is_list = isinstance(periods, list | tuple) and all(type(number) is int for number in periods)
    return told | ({"mpd_layers": list(periods or ())} if is_list else {})


def _numbers(given: object, name: str) -> tuple[int, ...]:
    if isinstance(given, list | tuple) and all(type(n) is int and 0 < n <= LARGEST for n in given):
        return tuple(given)
    raise _contradiction(name, f"a list of whole numbers from 1 to {LARGEST:,}", repr(given)[:80])


def _contradiction(name: str, expected: str, found: str) -> CheckpointError:
    return CheckpointError(
        f"'{name}' in the configuration does not fit the tensors",
        expected=expected,
        found=found,
        do="see that the configuration beside the file is its own",
    )


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))
