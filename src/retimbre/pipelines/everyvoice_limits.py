"""What EveryVoice 0.5 can build from its configuration: some sizes are fixed in its code."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from retimbre.audio.mel import spec_type
from retimbre.checkpoint.shapes import shapes_of
from retimbre.errors import CheckpointError
from retimbre.models.complete import network_outline
from retimbre.models.explain import Explained
from retimbre.models.fastspeech2.config import FastSpeech2Config, StyleSizes
from retimbre.models.hifigan.config import DiscriminatorConfig, GeneratorConfig
from retimbre.models.hifigan.discriminators import Discriminators
from retimbre.models.hifigan.from_shapes import discriminator_config_from

POSTNET_DIM, ATTENTION_DIM, STYLE_DIM = 512, 80, 256
OWN_SPECS = ("mel-librosa", "mel")
GENERATOR_ALONE = "write the generator alone: --part generator"


def require_known_to_everyvoice(found: Explained, *, takes_shifted: bool = False) -> None:
    """Raise CheckpointError for a model that no configuration of EveryVoice describes.

    Args:
        takes_shifted: Let a spectrogram pass whose frames lie half a hop later than EveryVoice's.
    """
    mel = found.description.output_mel
    kind = spec_type(mel)
    known = (*OWN_SPECS, "mel-hifigan") if takes_shifted else OWN_SPECS
    broken = [f"{limit:g} Hz" for limit in (mel.low_hz, mel.high_hz) if limit != int(limit)]
    reasons: dict[str, str | None] = {
        "a spectrogram of the kind mel-librosa or mel": None if kind in known else kind,
        "a spectrogram with limits in whole hertz": ", ".join(broken) or None,
    }
    if isinstance(found.config, GeneratorConfig):
        reasons |= _of_vocoder(found.config, mel.n_fft_samples)
    if isinstance(found.config, FastSpeech2Config):
        reasons |= _of_text_to_spec(found.config)
        reasons["a symbol table"] = None if found.description.symbols else "rows without symbols"
    for expected, why in reasons.items():
        if why is not None:
            raise CheckpointError(
                f"EveryVoice knows no model like {found.contents.path.name}",
                expected=expected,
                found=why,
                do="give an --output that ends in .safetensors, for Retimbre",
            )


def discriminators_for_everyvoice(found: Explained) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A vocoder's discriminators, and what EveryVoice's configuration calls their sizes.

    Raises:
        CheckpointError: there are none, or EveryVoice's are wider.
    """
    judges, name = found.discriminators(), found.contents.path.name
    if not judges:
        raise CheckpointError(
            f"{name} has no discriminators, and a full vocoder of EveryVoice has",
            expected="a full checkpoint",
            found="a generator alone",
            do=GENERATOR_ALONE,
        )
    sizes = discriminator_config_from(shapes_of(judges), found.description.sizes).config
    fixed = DiscriminatorConfig(periods=sizes.periods, n_scales=sizes.n_scales)
    outline = network_outline(Discriminators, fixed)
    narrow = [part for part, tensor in judges.items() if tensor.shape != outline[part].shape]
    if narrow:
        raise CheckpointError(
            f"the discriminators of {name} are narrower than EveryVoice's fixed ones",
            expected=f"{narrow[0]} of shape {tuple(outline[narrow[0]].shape)}",
            found=f"{tuple(judges[narrow[0]].shape)}",
            do=GENERATOR_ALONE,
        )
    return judges, {"mpd_layers": list(sizes.periods), "msd_layers": sizes.n_scales}


def _of_vocoder(config: GeneratorConfig, n_fft_samples: int) -> Mapping[str, str | None]:
    pairs = list(zip(config.upsample_rates, config.upsample_kernels, strict=True))
    uneven = [f"{kernel} for {rate}" for rate, kernel in pairs if kernel % rate]
    usual = n_fft_samples * config.istft_hop_samples // config.hop_samples
    n_fft = config.istft_n_fft_samples
    return {
        "kernels that are multiples of their rates": ", ".join(uneven) or None,
        f"an inverse STFT of {usual} samples": None if n_fft in (None, usual) else str(n_fft),
    }


def _of_text_to_spec(config: FastSpeech2Config) -> Mapping[str, str | None]:
    widths = {config.pitch.dim, config.energy.dim} - {config.dim}
    attention = config.attention_dim if config.learns_alignment else ATTENTION_DIM
    style = config.style or StyleSizes()
    is_usual = style == StyleSizes() and (not config.style or config.dim == STYLE_DIM)
    return {
        f"a post-net of {POSTNET_DIM} channels, or none": _other(
            config.postnet_dim or POSTNET_DIM, POSTNET_DIM
        ),
        f"an alignment of {ATTENTION_DIM} channels": _other(attention, ATTENTION_DIM),
        f"predictors of pitch and energy as wide as the rest, {config.dim}": ", ".join(map(str, widths))
        or None,
        f"style tokens of its own sizes, in a network of {STYLE_DIM} channels": None
        if is_usual
        else f"{config.dim} channels, {style}",
    }


def _other(size: int, usual: int) -> str | None:
    return None if size == usual else str(size)
